import type { ServerResponse } from 'node:http'
import type { LoggedRevocation } from '../revocations/live-revocations.ts'

/** A reader that has not caught up by that many entries, beyond those that it began with, is cut off. */
const MAX_BEHIND = 10_000
/** So is one that takes nothing for that many beats. */
const MAX_BLOCKED_BEATS = 3
const ENTRIES_PER_WRITE = 100

export type EventStream = {
  push: (news: readonly LoggedRevocation[]) => void
  /** A comment, as soon as the reader has been sent all there is: it may take that for «complete up to now». */
  beat: () => void
  end: () => void
}

/**
 * Sends entries as server-sent events (WHATWG HTML §9.2), as fast as the reader takes them. What waits are references to
 * entries that the log holds anyway. A reader that is cut off comes back with its `Last-Event-ID` and loses nothing.
 */
export function createEventStream(
  res: ServerResponse,
  replayed: readonly LoggedRevocation[],
): EventStream {
  let waiting = [...replayed]
  let sent = 0
  let blockedBeats = 0
  let owesComment = false
  const maxWaiting = replayed.length + MAX_BEHIND
  const isCaughtUp = () => sent === waiting.length

  const isTaking = () => !res.writableNeedDrain && !res.writableEnded && !res.destroyed

  const pump = () => {
    while (!isCaughtUp() && isTaking()) {
      const batch = waiting.slice(sent, sent + ENTRIES_PER_WRITE)
      sent += batch.length
      res.write(batch.map(formatEvent).join(''))
    }
    if (!isCaughtUp()) return
    waiting = []
    sent = 0
    if (!owesComment || !isTaking()) return
    owesComment = false
    res.write(':\n\n')
  }
  res.on('drain', () => {
    blockedBeats = 0
    pump()
  })
  pump()

  return {
    push(news) {
      waiting.push(...news)
      if (waiting.length - sent > maxWaiting) res.destroy()
      else pump()
    },
    beat() {
      owesComment = true
      if (res.writableNeedDrain) blockedBeats += 1
      if (blockedBeats >= MAX_BLOCKED_BEATS) res.destroy()
      else pump()
    },
    end: () => void res.end(),
  }
}

function formatEvent({ id, entry }: LoggedRevocation): string {
  return `event: revocation\nid: ${id}\ndata: ${JSON.stringify(entry)}\n\n`
}
