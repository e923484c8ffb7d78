import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { CHAIN_START } from '../../src/audit/chain.ts'
import { createAuditTrail, type AuditSink } from '../../src/audit/trail.ts'
import { AppError } from '../../src/kernel/errors.ts'
import { callFacts, verifyLines } from '../support/audit-lines.ts'
import { createTestLog } from '../support/log-lines.ts'
import { waitUntil } from '../support/wait-until.ts'

/** How long a record waits for others. */
const FLUSH_MS = 200

/** A trail on a sink that a test makes fail, hang or work. */
function startTrail(onFailure: 'refuse' | 'continue') {
  const written: string[] = []
  const time = { now: 0 }
  let onWrite = (): unknown => undefined
  const take: AuditSink['write'] = async (text) => {
    written.push(...text.toString().trimEnd().split('\n'))
    onWrite()
  }
  let write = take
  const { log, lines: logged } = createTestLog()
  const trail = createAuditTrail({
    writer: 'proxy-1',
    head: CHAIN_START,
    sink: { write: (text) => write(text), close: async () => undefined },
    onFailure,
    clock: () => time.now,
    monotonicMs: () => time.now,
    log,
  })
  return {
    trail,
    written,
    logged,
    time,
    fail: () => {
      write = () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
    },
    hang: () => {
      write = () => new Promise(() => undefined)
    },
    work: () => {
      write = take
    },
    /** The next write waits. */
    hold() {
      const letGo = Promise.withResolvers<void>()
      let isHeld = false
      write = async (text) => {
        write = take
        isHeld = true
        await letGo.promise
        await take(text)
      }
      return {
        isHeld: () => isHeld,
        go: letGo.resolve,
        fail: () => letGo.reject(new Error('not this time')),
      }
    },
    onWrite: (next: () => unknown) => {
      onWrite = next
    },
  }
}

const refusalOf = (run: () => void): string | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof AppError ? error.code : 'bug'
  }
}

test('a record is written within 200 ms without being asked for', async () => {
  const { trail, written } = startTrail('refuse')
  trail.record(callFacts('a'))
  await waitUntil('the record', async () => written.length === 1)
  expect(verifyLines(written).problems).toEqual([])
  await trail.close()
})

test('what comes while a batch is being written waits for the next', async () => {
  const { trail, written, onWrite } = startTrail('refuse')
  onWrite(() => written.length < 100 && trail.record(callFacts('meanwhile')))
  trail.record(callFacts('a'))
  await waitUntil('the record', async () => written.length > 0)
  await setImmediate()
  expect(written).toHaveLength(1)
  onWrite(() => undefined)
  await trail.close()
  expect(verifyLines(written)).toMatchObject({ problems: [], writers: [{ records: 2 }] })
})

test('whose 200 ms are over while a batch is being written is written right after it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { trail, written, hold } = startTrail('refuse')
  const held = hold()
  trail.record(callFacts('a'))
  await vi.advanceTimersByTimeAsync(FLUSH_MS)
  trail.record(callFacts('b'))
  await vi.advanceTimersByTimeAsync(FLUSH_MS)
  // Whose own time is not over.
  trail.record(callFacts('c'))
  held.go()
  await setImmediate()
  expect(written).toHaveLength(3)
  await trail.close()
})

test('a write that fails while the trail is being closed is made once more', async () => {
  const { trail, written, hold } = startTrail('refuse')
  const held = hold()
  trail.record(callFacts('a'))
  await waitUntil('the write', async () => held.isHeld())
  const closed = trail.close()
  await setImmediate()
  await setImmediate()
  held.fail()
  await closed
  expect(verifyLines(written)).toMatchObject({ problems: [], writers: [{ records: 1 }] })
})

test('while the sink fails, what cannot be recorded is refused; afterwards nothing is missing', async () => {
  const { trail, written, logged, fail, work } = startTrail('refuse')
  trail.record(callFacts('a'))
  await waitUntil('the first', async () => written.length === 1)
  fail()
  trail.record(callFacts('b'))
  await waitUntil('the failure', async () => trail.isFailing())
  expect(refusalOf(trail.requireRecordable)).toBe('temporarily_unavailable')
  expect(trail.readiness()).toMatchObject({ status: 'unavailable' })
  trail.record(callFacts('c'))
  work()
  await waitUntil('the recovery', async () => !trail.isFailing())
  expect(refusalOf(trail.requireRecordable)).toBeUndefined()
  await trail.close()
  expect(verifyLines(written)).toMatchObject({ problems: [], writers: [{ records: 3 }] })
  const events = logged.map((line) => (JSON.parse(line) as { event: string }).event)
  expect(events).toEqual(['audit.failed', 'audit.recovered', 'audit.checkpoint'])
})

test('with `continue` calls go on, what finds no room is counted, and the chain stays whole', async () => {
  const { trail, written, fail, work } = startTrail('continue')
  fail()
  for (let i = 0; i < 50_010; i += 1) trail.record(callFacts(String(i)))
  await waitUntil('the failure', async () => trail.isFailing())
  expect(refusalOf(trail.requireRecordable)).toBeUndefined()
  expect(trail.readiness()).toMatchObject({ status: 'ok', detail: expect.any(String) })
  expect(trail.lostRecords()).toBe(10)
  work()
  await waitUntil('the recovery', async () => !trail.isFailing())
  await trail.close()
  expect(verifyLines(written)).toMatchObject({ problems: [], writers: [{ records: 50_000 }] })
})

test('a sink that does not answer is taken for dead, and its lag grows', async () => {
  const { trail, time, hang } = startTrail('refuse')
  hang()
  trail.record(callFacts('a'))
  expect(refusalOf(trail.requireRecordable)).toBeUndefined()
  time.now += 6000
  expect(trail.lagSeconds()).toBe(6)
  expect(refusalOf(trail.requireRecordable)).toBe('temporarily_unavailable')
})
