/** What is looked for in a JSON document, by the way that leads there; the same for every document. */
export type Place = {
  /** It is an object, of which these members matter. */
  readonly members?: readonly (readonly [name: string, Place])[]
  /** It is an array, of which every item matters. */
  readonly items?: Place
  /** An object or a string that is not empty, which begins here, is to be told. */
  readonly isSought?: true
  /** The text of an object here is wanted, once it is whole. */
  readonly isKept?: true
}

/** Is told what is found. */
export type Finder = {
  onFound?: () => void
  /** The text of an object; one that is too long is left out. */
  onObject?: (text: string) => void
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

const NOTHING = Buffer.alloc(0)

/** How far a document has been read. */
type Reading = {
  readonly root: Place
  readonly finder: Finder
  depth: number
  /** The places of the open objects and arrays on a way to something; deeper ones only count for `depth`. */
  readonly path: Place[]
  isNameNext: boolean
  isInName: boolean
  /** What of the name came with bytes before these; undefined when none did. */
  nameBefore: Buffer | undefined
  /** Where the name read last leads. */
  member: Place | undefined
  isInString: boolean
  /** The string before this byte ended in a backslash that is itself not escaped. */
  isEscaped: boolean
  /** A string has begun that is to be told unless it is empty. */
  isSoughtString: boolean
  kept: Kept | undefined
  keptFrom: number
}

type Kept = { parts: Buffer[]; bytes: number }

/**
 * Finds places in a document that comes in pieces and is not kept: depth and strings are followed byte by byte, so that a text which
 * looks like what is sought is only a text. The insides of strings are jumped over. A name spelt with escapes is not known.
 */
export function createJsonScanner(root: Place, finder: Finder): JsonScanner {
  let reading = begin(root, finder)
  return {
    scan: (bytes, from, to) => scan(reading, bytes, from, to),
    restart() {
      reading = begin(root, finder)
    },
  }
}

const begin = (root: Place, finder: Finder): Reading => ({
  root,
  finder,
  depth: 0,
  path: [],
  isNameNext: false,
  isInName: false,
  nameBefore: undefined,
  member: undefined,
  isInString: false,
  isEscaped: false,
  isSoughtString: false,
  kept: undefined,
  keptFrom: 0,
})

function scan(reading: Reading, bytes: Buffer, from: number, to: number): void {
  let at = from
  reading.keptFrom = from
  while (at < to) {
    if (reading.isInString) {
      at = readString(reading, bytes, at, to)
      continue
    }
    const byte = bytes[at]
    at += 1
    if (byte === QUOTE) beginString(reading)
    else if (byte === COMMA) reading.isNameNext = true
    else if (byte === COLON) reading.isNameNext = false
    else if (byte === OPEN_OBJECT) open(reading, at - 1, true)
    else if (byte === OPEN_ARRAY) open(reading, at - 1, false)
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) close(reading, bytes, at)
  }
  keep(reading, bytes, to)
}

function placeOfValue({ depth, path, root, member }: Reading): Place | undefined {
  if (depth !== path.length) return undefined
  if (depth === 0) return root
  return path[depth - 1]?.items ?? member
}

function open(reading: Reading, at: number, isObject: boolean): void {
  const place = placeOfValue(reading)
  if (place !== undefined) {
    if (isObject && place.isSought === true) reading.finder.onFound?.()
    if (isObject && place.isKept === true) {
      reading.kept = { parts: [], bytes: 0 }
      reading.keptFrom = at
    }
    if ((isObject ? place.members : place.items) !== undefined) reading.path.push(place)
  }
  reading.depth += 1
  reading.isNameNext = isObject
  reading.member = undefined
}

function close(reading: Reading, bytes: Buffer, end: number): void {
  const { path } = reading
  if (reading.depth > 0) reading.depth -= 1
  if (path.length > reading.depth) path.pop()
  const { kept } = reading
  if (kept === undefined || reading.depth !== path.length) return
  reading.kept = undefined
  if (kept.bytes + end - reading.keptFrom > MAX_OBJECT_BYTES) return
  const { keptFrom, finder } = reading
  // Mostly it has come in one piece, and need not be copied.
  if (kept.bytes === 0) finder.onObject?.(bytes.toString('utf8', keptFrom, end))
  else finder.onObject?.(Buffer.concat([...kept.parts, bytes.subarray(keptFrom, end)]).toString())
}

function keep({ kept, keptFrom }: Reading, bytes: Buffer, end: number): void {
  if (kept === undefined) return
  kept.bytes += end - keptFrom
  if (kept.bytes <= MAX_OBJECT_BYTES) kept.parts.push(Buffer.from(bytes.subarray(keptFrom, end)))
  else kept.parts = []
}

function beginString(reading: Reading): void {
  const { depth, path } = reading
  reading.isInString = true
  if (depth !== path.length) return
  if (reading.isNameNext && path[depth - 1]?.members !== undefined) {
    reading.isInName = true
    reading.nameBefore = undefined
  } else reading.isSoughtString = placeOfValue(reading)?.isSought === true
}

/** Reads on in a string, and gives where to go on after it, or `to`. */
function readString(reading: Reading, bytes: Buffer, from: number, to: number): number {
  if (reading.isSoughtString) {
    if (bytes[from] !== QUOTE) reading.finder.onFound?.()
    reading.isSoughtString = false
  }
  const end = findEnd(reading, bytes, from, to)
  if (reading.isInName) {
    if (end === -1) keepName(reading, bytes.subarray(from, to))
    else readName(reading, bytes, from, end)
  }
  if (end === -1) return to
  reading.isInString = false
  reading.isInName = false
  return end + 1
}

function readName(reading: Reading, bytes: Buffer, from: number, end: number): void {
  const around = reading.path.at(-1)
  if (reading.nameBefore === undefined) {
    reading.member = memberNamed(around, bytes, from, end)
    return
  }
  const name = keepName(reading, bytes.subarray(from, end))
  reading.member = memberNamed(around, name, 0, name.length)
}

/** Until the rest of it comes; of one that is too long to be sought, as much as tells that. */
function keepName(reading: Reading, piece: Buffer): Buffer {
  const { nameBefore = NOTHING } = reading
  const name = Buffer.concat([nameBefore, piece.subarray(0, MAX_NAME_BYTES)])
  reading.nameBefore = name.subarray(0, MAX_NAME_BYTES)
  return reading.nameBefore
}

function memberNamed(around: Place | undefined, bytes: Buffer, from: number, end: number) {
  for (const [name, place] of around?.members ?? []) {
    if (name.length === end - from && isAt(bytes, from, name)) return place
  }
  return undefined
}

function isAt(bytes: Buffer, from: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) {
    if (name.charCodeAt(i) !== bytes[from + i]) return false
  }
  return true
}

function findEnd(reading: Reading, bytes: Buffer, from: number, to: number): number {
  let at = from
  if (reading.isEscaped) at += 1
  reading.isEscaped = false
  const near = Math.min(at + SHORT_BYTES, to)
  for (let i = at; i < near && bytes[i] !== BACKSLASH; i += 1) if (bytes[i] === QUOTE) return i
  for (;;) {
    const quote = bytes.indexOf(QUOTE, at)
    const end = quote === -1 || quote > to ? to : quote
    let run = end
    while (run > at && bytes[run - 1] === BACKSLASH) run -= 1
    const isNextEscaped = (end - run) % 2 === 1
    if (end === to) {
      reading.isEscaped = isNextEscaped
      return -1
    }
    if (!isNextEscaped) return end
    at = end + 1
  }
}
