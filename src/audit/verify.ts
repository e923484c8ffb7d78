import { CHAIN_START, readLine, type ChainHead } from './chain.ts'
import type { AuditRecord } from './record.ts'

export type TrailProblem = {
  kind: 'not_a_record' | 'changed' | 'removed' | 'inserted' | 'relinked' | 'cut' | 'rewritten'
  writer?: string
  seq?: number
  /** Where it is: a file and its line. */
  source: string
  detail: string
}

/** A writer's chain as it was found. */
export type FoundChain = {
  writer: string
  records: number
  first_seq: number
  last_seq: number
  last_time: string
  last_hash: string
  /** An unfinished line after it: the process was killed, or is just writing. */
  torn_bytes: number
}

export type Checkpoint = { writer: string; seq: number; hash: string }
export type TrailReport = { writers: FoundChain[]; problems: TrailProblem[] }

export type TrailVerifier = {
  /** The lines of each writer in their order. `isWhole` is false for what ends without a newline. */
  read: (text: string, source: string, isWhole: boolean) => void
  report: () => TrailReport
}

/** Several times what is written at once. */
const MAX_RECENT = 20_000

type Chain = FoundChain & { head: ChainHead }

/**
 * Follows every writer's chain and says what does not fit: a changed, inserted or removed record is found by the chain
 * itself, a tail that was cut or written anew by the checkpoints that the log has. `allowsRepeats` is for a trail in
 * Redis, where the very same record may be twice after an answer was lost.
 */
export function createTrailVerifier(
  checkpoints: readonly Checkpoint[] = [],
  { allowsRepeats = false } = {},
): TrailVerifier {
  const chains = new Map<string, Chain>()
  const problems: TrailProblem[] = []
  const awaited = new Map(checkpoints.map((point) => [`${point.writer}:${point.seq}`, point]))
  const seen = new Set<Checkpoint>()

  function read(text: string, source: string, isWhole: boolean): void {
    const line = readLine(text)
    if (line.record === undefined) {
      if (isWhole)
        problems.push({ kind: 'not_a_record', source, detail: 'this is no audit record' })
      else tornAfter(source, text)
      return
    }
    follow(line.record, line.isIntact, source)
  }

  /** The name of a file says whose line it was to be. */
  function tornAfter(source: string, text: string): void {
    const chain = [...chains.values()].find(({ writer }) => source.includes(`.${writer}.`))
    if (chain !== undefined) chain.torn_bytes = Buffer.byteLength(text)
  }

  /** By writer and place, the hashes of those that may come again. */
  const recent = new Map<string, string>()

  function isRepeat({ writer, seq, hash }: AuditRecord): boolean {
    if (!allowsRepeats) return false
    const place = `${writer}:${seq}`
    if (recent.get(place) === hash) return true
    recent.set(place, hash)
    if (recent.size > MAX_RECENT) recent.delete(recent.keys().next().value ?? '')
    return false
  }

  function follow(record: AuditRecord, isIntact: boolean, source: string): void {
    if (isIntact && isRepeat(record)) return
    const { writer, seq, hash, prev, time } = record
    const problem = (kind: TrailProblem['kind'], detail: string) =>
      problems.push({ kind, writer, seq, source, detail })
    const chain = chains.get(writer)
    const before = chain?.head ?? (seq === 1 ? CHAIN_START : { seq: seq - 1, hash: prev })

    if (!isIntact) problem('changed', 'the record does not match its hash')
    if (seq > before.seq + 1) {
      const missing = seq - before.seq - 1
      problem(
        'removed',
        `${missing} of the records after ${before.seq} ${missing === 1 ? 'is' : 'are'} not here`,
      )
    } else if (seq <= before.seq) {
      problem('inserted', `it comes after record ${before.seq}`)
    } else if (prev !== before.hash) {
      problem(
        'relinked',
        `it does not follow from record ${before.seq}, which was changed or replaced`,
      )
    }

    const point = awaited.get(`${writer}:${seq}`)
    if (point !== undefined) {
      seen.add(point)
      if (point.hash !== hash) problem('rewritten', 'its hash is not that of the checkpoint')
    }
    chains.set(writer, {
      writer,
      records: (chain?.records ?? 0) + 1,
      first_seq: chain?.first_seq ?? seq,
      last_seq: seq,
      last_time: time,
      last_hash: hash,
      torn_bytes: 0,
      // What is inserted is not gone on from.
      head: seq <= before.seq ? before : { seq, hash },
    })
  }

  /** What the log knows of and the trail does not have. What is before its first record has expired. */
  function cuts(): TrailProblem[] {
    return [...awaited.values()].flatMap((point) => {
      const { writer, seq } = point
      const chain = chains.get(writer)
      if (seen.has(point) || (chain !== undefined && seq < chain.first_seq)) return []
      const end = chain === undefined ? 'there is no record of it' : `it ends at ${chain.last_seq}`
      const detail = `the log has a checkpoint of record ${seq}, but ${end}`
      return [{ kind: 'cut', writer, seq, source: writer, detail }]
    })
  }

  return {
    read,
    report: () => ({
      writers: [...chains.values()].map(({ head: _head, ...found }) => found),
      problems: [...problems, ...cuts()],
    }),
  }
}
