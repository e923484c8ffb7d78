/** What is looked for in a JSON document, by the way that leads there, and what to do where it is found. */
export type Place = {
  /** It is an object, of which these members matter. */
  members?: readonly (readonly [name: string, Place])[]
  /** It is an array, of which every item matters. */
  items?: Place
  /** An object or a string that is not empty begins here. */
  onFound?: () => void
  /** The text of the object here, once it is whole; one that is too long is left out. */
  onObject?: (text: Buffer) => void
}

export type JsonScanner = {
  /** Goes on with the bytes from `from` up to `to`. */
  scan: (bytes: Buffer, from: number, to: number) => void
  /** What comes next is another document. */
  restart: () => void
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const MAX_OBJECT_BYTES = 65_536
const MAX_NAME_BYTES = 32
/** Up to here a loop finds the end of a string sooner than a search does. */
const SHORT_BYTES = 32

/**
 * Finds places in a document that comes in pieces and is not kept: depth and strings are followed byte by byte, so that a text which
 * looks like what is sought is only a text. The insides of strings are jumped over. A name spelt with escapes is not known.
 */
export function createJsonScanner(root: Place): JsonScanner {
  let depth = 0
  /** The places of the open objects and arrays on a way to something; deeper ones only count for `depth`. */
  let path: Place[] = []
  let isNameNext = false
  /** The name read last, as far as it has come: its bytes, and how many there were. */
  const name = new Uint8Array(MAX_NAME_BYTES)
  let nameLength = 0
  let isInName = false
  let isInString = false
  /** The string before this byte ended in a backslash that is itself not escaped. */
  let isEscaped = false
  /** Waits for the first byte of a string that is a value. */
  let onFirstByte: (() => void) | undefined
  let kept: { parts: Buffer[]; bytes: number; isDone: (text: Buffer) => void } | undefined
  let keptFrom = 0

  function placeOfValue(): Place | undefined {
    if (depth !== path.length) return undefined
    const around = path.at(-1)
    if (around === undefined) return root
    return around.items ?? around.members?.find(([each]) => isName(each))?.[1]
  }

  function isName(wanted: string): boolean {
    if (wanted.length !== nameLength) return false
    for (let i = 0; i < nameLength; i += 1) if (wanted.charCodeAt(i) !== name[i]) return false
    return true
  }

  function open(at: number, isObject: boolean): void {
    const place = placeOfValue()
    if (place !== undefined) {
      if (isObject) place.onFound?.()
      if (isObject && place.onObject !== undefined) {
        kept = { parts: [], bytes: 0, isDone: place.onObject }
        keptFrom = at
      }
      if ((isObject ? place.members : place.items) !== undefined) path.push(place)
    }
    depth += 1
    isNameNext = isObject
    nameLength = 0
  }

  function close(bytes: Buffer, end: number): void {
    if (depth > 0) depth -= 1
    if (path.length > depth) path.pop()
    if (kept === undefined || depth !== path.length) return
    keep(bytes, end)
    if (kept.bytes <= MAX_OBJECT_BYTES) kept.isDone(Buffer.concat(kept.parts))
    kept = undefined
  }

  function keep(bytes: Buffer, end: number): void {
    if (kept === undefined) return
    kept.bytes += end - keptFrom
    if (kept.bytes <= MAX_OBJECT_BYTES) kept.parts.push(Buffer.from(bytes.subarray(keptFrom, end)))
    else kept.parts = []
  }

  function beginString(): void {
    isInString = true
    if (depth !== path.length) return
    if (isNameNext && path.at(-1)?.members !== undefined) {
      isInName = true
      nameLength = 0
    } else onFirstByte = placeOfValue()?.onFound
  }

  /** Reads on in a string, and gives where to go on after it, or `to`. */
  function readString(bytes: Buffer, from: number, to: number): number {
    if (onFirstByte !== undefined) {
      if (bytes[from] !== QUOTE) onFirstByte()
      onFirstByte = undefined
    }
    const end = findEnd(bytes, from, to)
    const stop = end === -1 ? to : end
    if (isInName) readName(bytes, from, stop)
    if (end === -1) return to
    isInString = false
    isInName = false
    return end + 1
  }

  /** A name that is too long is cut, and so is none that is sought. */
  function readName(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to && nameLength < MAX_NAME_BYTES; at += 1) {
      name[nameLength] = bytes[at] ?? 0
      nameLength += 1
    }
  }

  function findEnd(bytes: Buffer, from: number, to: number): number {
    let at = from
    if (isEscaped) at += 1
    isEscaped = false
    const near = Math.min(at + SHORT_BYTES, to)
    for (let i = at; i < near && bytes[i] !== BACKSLASH; i += 1) if (bytes[i] === QUOTE) return i
    for (;;) {
      const quote = bytes.indexOf(QUOTE, at)
      const end = quote === -1 || quote > to ? to : quote
      let run = end
      while (run > at && bytes[run - 1] === BACKSLASH) run -= 1
      const isNextEscaped = (end - run) % 2 === 1
      if (end === to) {
        isEscaped = isNextEscaped
        return -1
      }
      if (!isNextEscaped) return end
      at = end + 1
    }
  }

  return {
    scan(bytes, from, to) {
      let at = from
      keptFrom = from
      while (at < to) {
        if (isInString) {
          at = readString(bytes, at, to)
          continue
        }
        const byte = bytes[at]
        at += 1
        if (byte === QUOTE) beginString()
        else if (byte === COMMA) isNameNext = true
        else if (byte === COLON) isNameNext = false
        else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) open(at - 1, byte === OPEN_OBJECT)
        else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) close(bytes, at)
      }
      keep(bytes, to)
    },
    restart() {
      depth = 0
      path = []
      isNameNext = false
      nameLength = 0
      isInName = false
      isInString = false
      isEscaped = false
      onFirstByte = undefined
      kept = undefined
    },
  }
}
