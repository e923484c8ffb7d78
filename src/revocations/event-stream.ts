import { AppError } from '../kernel/errors.ts'

/** What a server-sent event stream says, in its order; `id` is the last one that was given, empty without. */
export type StreamItem =
  | { type: 'event'; name: string; data: string; id: string }
  | { type: 'comment' }
  | { type: 'retry'; delayMs: number }

export type EventStreamParser = { push: (chunk: Uint8Array) => StreamItem[] }

/** Far above any event of ours, far below what would hurt. */
const MAX_EVENT_CHARACTERS = 65_536

/**
 * Reads `text/event-stream` (WHATWG HTML §9.2.6) however it is cut into chunks. An event of more than 65,536 characters
 * is an AppError `temporarily_unavailable`: nobody can make us remember more.
 */
export function createEventStreamParser(): EventStreamParser {
  const decoder = new TextDecoder()
  let unfinished = ''
  let mayLineFeedFollow = false
  let data: string[] = []
  let dataCharacters = 0
  let name = ''
  let id = ''

  /** The lines that have ended. A carriage return ends one at once: the line feed after it may never come. */
  function linesOf(chunk: Uint8Array): string[] {
    let text = decoder.decode(chunk, { stream: true })
    if (text === '') return []
    if (mayLineFeedFollow && text.startsWith('\n')) text = text.slice(1)
    mayLineFeedFollow = text.endsWith('\r')
    const lines = (unfinished + text).split(/\r\n|\r|\n/)
    unfinished = lines.pop() ?? ''
    return lines
  }

  function dispatch(): StreamItem[] {
    const event = { type: 'event', name: name || 'message', data: data.join('\n'), id } as const
    const isEmpty = data.length === 0
    data = []
    dataCharacters = 0
    name = ''
    return isEmpty ? [] : [event]
  }

  function readLine(line: string): StreamItem[] {
    if (line === '') return dispatch()
    if (line.startsWith(':')) return [{ type: 'comment' }]
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') {
      data.push(value)
      dataCharacters += value.length + 1
      requireBounded(dataCharacters)
    } else if (field === 'event') name = value
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) {
      return [{ type: 'retry', delayMs: Number(value) }]
    }
    return []
  }

  return {
    push(chunk) {
      const items = linesOf(chunk).flatMap(readLine)
      requireBounded(unfinished.length)
      return items
    },
  }
}

function requireBounded(characters: number): void {
  if (characters <= MAX_EVENT_CHARACTERS) return
  throw new AppError('temporarily_unavailable', 'an event of the stream is too long')
}
