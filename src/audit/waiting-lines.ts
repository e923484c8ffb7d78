import { createCohort } from '../kernel/cohorts.ts'
import { hashOf, type ChainHead } from './chain.ts'

/** Whole lines, each with its newline. */
export type LineBatch = {
  readonly text: Buffer
  /** How far the chain has got with its last line. */
  readonly end: ChainHead
}

/** A line without what links it to others; it is told its number. */
type Draft = (seq: number) => string

/** Lines of one chain on their way to a sink. */
export type WaitingLines = {
  /** Completes a draft to a line; not at once. */
  push: (draft: Draft) => void
  /** Of the last line of all. */
  lastSeq: () => number
  /** The first of them, the same until they are dropped; what comes meanwhile goes into another batch. */
  oldest: () => LineBatch | undefined
  dropOldest: () => void
  /** When the first line of all came. */
  sinceMs: () => number | undefined
}

const BATCH_BYTES = 1 << 20
/** UTF-8 has no more for a UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3
/** Of both hashes, with their names and the newline. */
const LINK_BYTES = 128

type Room = { buffer: Buffer; used: number; end: ChainHead; sinceMs: number }

/** They wait outside of V8's heap, whose collector would copy each of them twice meanwhile. */
export function createWaitingLines(
  start: ChainHead,
  monotonicMs: () => number,
  batchBytes = BATCH_BYTES,
): WaitingLines {
  const rooms: Room[] = []
  let head = start
  /** The oldest, once somebody has begun to read it. */
  let closed: LineBatch | undefined
  let spare: Buffer | undefined
  const unchained = createCohort((draft: Draft) => append(draft(head.seq + 1)))
  let unchainedSinceMs = 0

  function roomFor(bytes: number): Room {
    const last = rooms.length > (closed === undefined ? 0 : 1) ? rooms.at(-1) : undefined
    if (last !== undefined && last.used + bytes <= last.buffer.length) return last
    const room = { buffer: takeBuffer(bytes), used: 0, end: head, sinceMs: unchainedSinceMs }
    rooms.push(room)
    return room
  }

  function takeBuffer(bytes: number): Buffer {
    if (spare === undefined || spare.length < bytes) {
      return Buffer.allocUnsafeSlow(Math.max(bytes, batchBytes))
    }
    const taken = spare
    spare = undefined
    return taken
  }

  function append(draft: string): void {
    const room = roomFor(draft.length * MAX_BYTES_PER_UNIT + LINK_BYTES)
    const { buffer, used } = room
    let at = used + buffer.write(draft, used)
    at += buffer.write(`,"prev":"${head.hash}"}`, at, 'latin1')
    const hash = hashOf(buffer.subarray(used, at))
    // In place of the closing brace.
    at += buffer.write(`,"hash":"${hash}"}\n`, at - 1, 'latin1') - 1
    head = { seq: head.seq + 1, hash }
    room.used = at
    room.end = head
  }

  return {
    push(draft) {
      if (unchained.size() === 0) unchainedSinceMs = monotonicMs()
      unchained.add(draft)
    },
    lastSeq: () => head.seq + unchained.size(),
    oldest() {
      if (closed === undefined) unchained.workOff()
      const room = rooms[0]
      if (closed !== undefined || room === undefined) return closed
      closed = { text: room.buffer.subarray(0, room.used), end: room.end }
      return closed
    },
    dropOldest() {
      closed = undefined
      spare = rooms.shift()?.buffer
    },
    sinceMs: () => rooms[0]?.sinceMs ?? (unchained.size() > 0 ? unchainedSinceMs : undefined),
  }
}
