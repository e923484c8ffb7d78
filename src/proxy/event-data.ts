const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BYTE_ORDER_MARK = Buffer.from('\ufeff')
const DATA = Buffer.from('data:')
const ANOTHER_LINE = -1

export type EventData = {
  /** A part of an event's data; several `data` lines are one. */
  onData: (bytes: Buffer, from: number, to: number) => void
  /** A blank line: what comes next is another event. */
  onEventEnd: () => void
}

/** Reads server-sent events (HTML §9.2.6) that come in pieces, and keeps nothing of them. Lines end in LF or CR LF; a BOM may be first. */
export function createEventReader({ onData, onEventEnd }: EventData): (chunk: Buffer) => void {
  /** How many bytes of a byte order mark the stream has begun with; all of them, when it has none. */
  let marked = 0
  /** How many bytes of `data:` the line has begun with. */
  let matched = 0

  function readLine(bytes: Buffer, from: number, end: number): void {
    let at = from
    // A blank line may end in two bytes.
    if (matched === 0 && bytes[at] === CARRIAGE_RETURN) at += 1
    while (matched !== ANOTHER_LINE && matched < DATA.length && at < end) {
      matched = bytes[at] === DATA[matched] ? matched + 1 : ANOTHER_LINE
      at += 1
    }
    if (matched === DATA.length && at < end) onData(bytes, at, end)
  }

  function skipMark(bytes: Buffer): number {
    let at = 0
    while (marked < BYTE_ORDER_MARK.length && at < bytes.length) {
      if (bytes[at] !== BYTE_ORDER_MARK[marked]) marked = BYTE_ORDER_MARK.length
      else {
        marked += 1
        at += 1
      }
    }
    return at
  }

  return (chunk) => {
    let from = skipMark(chunk)
    while (from < chunk.length) {
      const found = chunk.indexOf(LINE_FEED, from)
      const end = found === -1 ? chunk.length : found
      if (from < end) readLine(chunk, from, end)
      if (found !== -1) {
        if (matched === 0) onEventEnd()
        matched = 0
      }
      from = end + 1
    }
  }
}
