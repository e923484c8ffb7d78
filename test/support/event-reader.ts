import { waitUntil } from './wait-until.ts'

export type FeedEvent = { id: string; data: Record<string, unknown> }

export type EventReader = {
  response: Response
  /** All that has come so far, as it was sent. */
  text: () => string
  events: () => FeedEvent[]
  comments: () => number
  hasEnded: () => boolean
  /** Resolves once that is so. */
  until: (what: string, isSo: () => boolean) => Promise<void>
  leave: () => void
}

/** Reads a stream of server-sent events as it comes. */
export async function readEvents(
  url: string,
  headers: Record<string, string> = {},
): Promise<EventReader> {
  const leaving = new AbortController()
  const response = await fetch(url, { headers, signal: leaving.signal })
  let text = ''
  let ended = false
  const readAll = async () => {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
  }
  void readAll()
    .catch(() => undefined)
    .finally(() => {
      ended = true
    })
  const blocks = () => text.split('\n\n').slice(0, -1)
  return {
    response,
    text: () => text,
    events: () =>
      blocks().flatMap((block) => {
        const [, id, data] = /^event: revocation\nid: (.+)\ndata: (.+)$/.exec(block) ?? []
        return id === undefined || data === undefined ? [] : [{ id, data: JSON.parse(data) }]
      }),
    comments: () => blocks().filter((block) => block.startsWith(':')).length,
    hasEnded: () => ended,
    until: (what, isSo) => waitUntil(what, async () => isSo()),
    leave: () => leaving.abort(),
  }
}
