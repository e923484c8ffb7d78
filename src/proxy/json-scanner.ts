/** What is looked for in a JSON document, by the way that leads there; the same for every document. */
export type Place = {
  /** It is an object, of which these members matter. */
  readonly members: readonly Member[] | undefined
  /** It is an array, of which every item matters. */
  readonly items: Place | undefined
  /** An object or a string that is not empty, which begins here, is to be told. */
  readonly isSought: boolean
  /** It is a number, to be told with the others of the object around it. */
  readonly isCount: boolean
  /** It is an object, of which the counts are told once it is whole. */
  readonly hasCounts: boolean
}
type Member = { readonly name: string; readonly place: Place }

/** All places are made from it: objects of one shape are read the faster. */
const NOWHERE: Place = {
  members: undefined,
  items: undefined,
  isSought: false,
  isCount: false,
  hasCounts: false,
}
const COUNT: Place = { ...NOWHERE, isCount: true }

export const SOUGHT: Place = { ...NOWHERE, isSought: true }
export const listOf = (items: Place): Place => ({ ...NOWHERE, items })
export const objectWith = (places: Readonly<Record<string, Place>>): Place => ({
  ...NOWHERE,
  members: Object.entries(places).map(([name, place]) => ({ name, place })),
})
export const countsOf = (...names: readonly string[]): Place => ({
  ...NOWHERE,
  members: names.map((name) => ({ name, place: COUNT })),
  hasCounts: true,
})

/** What is a whole number, not negative, and no larger than a number holds exactly. */
export type Counts = { [name in string]?: number | undefined }

/** Is told what is found. */
export type Finder = {
  onFound?: () => void
  onCounts?: (counts: Readonly<Counts>) => void
}

/** Of one document. */
export type JsonScanner = {
  /** Goes on with the bytes from `from` up to `to`. */
  scan: (bytes: Buffer, from: number, to: number) => void
}

const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const MAX_NAME_BYTES = 32
/** A longer number is no count. */
const MAX_NUMBER_BYTES = 32
/** Up to here a loop finds the end of a string sooner than a search does. */
const SHORT_BYTES = 32

const NOTHING = Buffer.alloc(0)

/**
 * Finds places in a document that comes in pieces and is not kept: depth and strings are followed byte by byte, so that a text which
 * looks like what is sought is only a text. The insides of strings are jumped over. A name spelt with escapes is not known.
 */
export const createJsonScanner = (root: Place, finder: Finder): JsonScanner =>
  new Reading(root, finder)

/** How far a document has been read. A class, because requests make two of them, and closures take twice the memory. */
class Reading implements JsonScanner {
  readonly root: Place
  readonly finder: Finder
  /** The open objects and arrays on a way to something. */
  readonly path: Place[] = []
  /** How many are open inside of these that lead nowhere. */
  beyond = 0
  /** In an object, the next string is a name. */
  isNameNext = false
  /** Where the name read last leads. */
  member: Member | undefined
  /** The string that has begun with bytes before these, if one has. */
  cut: Cut | undefined
  /** That string has ended in a backslash that is itself not escaped. */
  isEscaped = false
  /** What of a name came with bytes before these. */
  nameBefore: Buffer = NOTHING
  /** What has come of a number that counts. */
  number = ''
  counts: Counts = {}

  constructor(root: Place, finder: Finder) {
    this.root = root
    this.finder = finder
  }

  scan(bytes: Buffer, from: number, to: number): void {
    scan(this, bytes, from, to)
  }
}

/** Of what is `sought`, no byte has come yet: it may be empty. */
type Cut = 'name' | 'sought' | 'text'

function scan(reading: Reading, bytes: Buffer, from: number, to: number): void {
  if (from === to) return
  let at = reading.cut === undefined ? from : resumeString(reading, bytes, from, to)
  while (at < to) {
    if (reading.beyond > 0) {
      at = passBeyond(reading, bytes, at, to)
      continue
    }
    const byte = bytes[at]
    at += 1
    if (byte === QUOTE) at = readString(reading, bytes, at, to)
    else if (byte === COMMA) endValue(reading)
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) open(reading, byte)
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) close(reading)
    else if (reading.member?.place.isCount === true) readNumber(reading, byte)
  }
}

/** Goes on in what leads nowhere, up to its end: only strings and depth matter. */
function passBeyond(reading: Reading, bytes: Buffer, from: number, to: number): number {
  let { beyond } = reading
  let at = from
  while (at < to && beyond > 0) {
    const byte = bytes[at]
    at += 1
    if (byte === QUOTE) at = passString(reading, bytes, at, to)
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) beyond += 1
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) beyond -= 1
  }
  reading.beyond = beyond
  return at
}

function placeOfValue({ path, root, member }: Reading): Place | undefined {
  const around = path.at(-1)
  return around === undefined ? root : (around.items ?? member?.place)
}

function open(reading: Reading, byte: number): void {
  const place = placeOfValue(reading)
  const isObject = byte === OPEN_OBJECT
  if (isObject && place?.isSought === true) reading.finder.onFound?.()
  if (isObject && place?.hasCounts === true) reading.counts = {}
  if (place !== undefined && (isObject ? place.members : place.items) !== undefined) {
    reading.path.push(place)
  } else reading.beyond = 1
  reading.isNameNext = isObject
  reading.member = undefined
}

function close(reading: Reading): void {
  endValue(reading)
  const place = reading.path.pop()
  if (place?.hasCounts === true) reading.finder.onCounts?.(reading.counts)
}

function readNumber(reading: Reading, byte: number | undefined): void {
  if (byte === undefined || byte <= SPACE || byte === COLON) return
  if (reading.number.length <= MAX_NUMBER_BYTES) reading.number += String.fromCharCode(byte)
}

function endValue(reading: Reading): void {
  reading.isNameNext = true
  const { number, member, counts } = reading
  reading.number = ''
  if (number === '' || member === undefined) return
  const value = number.length <= MAX_NUMBER_BYTES ? Number(number) : Number.NaN
  counts[member.name] = Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

/** Each of these reads on in a string, and gives where to go on after it; `to` when it has not ended. */
function readString(reading: Reading, bytes: Buffer, from: number, to: number): number {
  if (reading.isNameNext && reading.path.at(-1)?.members !== undefined) {
    return readName(reading, bytes, from, to)
  }
  if (placeOfValue(reading)?.isSought === true) return readSought(reading, bytes, from, to)
  return passString(reading, bytes, from, to)
}

function resumeString(reading: Reading, bytes: Buffer, from: number, to: number): number {
  const { cut, isEscaped } = reading
  const at = isEscaped ? from + 1 : from
  reading.cut = undefined
  reading.isEscaped = false
  switch (cut) {
    case 'name':
      return readName(reading, bytes, at, to)
    case 'sought':
      return readSought(reading, bytes, at, to)
    default:
      return passString(reading, bytes, at, to)
  }
}

function passString(reading: Reading, bytes: Buffer, from: number, to: number): number {
  const end = findEnd(reading, bytes, from, to)
  if (end !== -1) return end + 1
  reading.cut = 'text'
  return to
}

function readSought(reading: Reading, bytes: Buffer, from: number, to: number): number {
  if (from === to) {
    reading.cut = 'sought'
    return to
  }
  if (bytes[from] !== QUOTE) reading.finder.onFound?.()
  return passString(reading, bytes, from, to)
}

function readName(reading: Reading, bytes: Buffer, from: number, to: number): number {
  const around = reading.path.at(-1)
  const end = findEnd(reading, bytes, from, to)
  if (end === -1) {
    reading.nameBefore = joinName(reading.nameBefore, bytes.subarray(from, to))
    reading.cut = 'name'
    return to
  }
  if (reading.nameBefore === NOTHING) reading.member = memberNamed(around, bytes, from, end)
  else {
    const name = joinName(reading.nameBefore, bytes.subarray(from, end))
    reading.member = memberNamed(around, name, 0, name.length)
    reading.nameBefore = NOTHING
  }
  reading.isNameNext = false
  return end + 1
}

/** Of a name that is too long to be sought, as much as tells that. */
const joinName = (before: Buffer, piece: Buffer): Buffer =>
  Buffer.concat([before, piece.subarray(0, MAX_NAME_BYTES)]).subarray(0, MAX_NAME_BYTES)

function memberNamed(around: Place | undefined, bytes: Buffer, from: number, end: number) {
  for (const member of around?.members ?? []) {
    if (member.name.length === end - from && isAt(bytes, from, member.name)) return member
  }
  return undefined
}

function isAt(bytes: Buffer, from: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) {
    if (name.charCodeAt(i) !== bytes[from + i]) return false
  }
  return true
}

/** Where the quote is that ends a string; -1 when it has not ended. */
function findEnd(reading: Reading, bytes: Buffer, from: number, to: number): number {
  const near = Math.min(from + SHORT_BYTES, to)
  for (let i = from; i < near && bytes[i] !== BACKSLASH; i += 1) if (bytes[i] === QUOTE) return i
  let at = from
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
