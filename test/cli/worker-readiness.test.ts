import { expect, test } from 'vitest'
import { countSilence, readinessOf, type Heard } from '../../src/cli/worker-readiness.ts'
import { runChecks } from '../../src/kernel/ops-server.ts'

const ok = { keys: { status: 'ok' }, audit: { status: 'ok' } } as const
const keyless = { ...ok, keys: { status: 'unavailable', detail: 'no signing keys yet' } } as const

test('workers are as ready as the least ready of them, and one that is missing is said', () => {
  const heard = (checks: Heard['checks']) => ({ checks, silentSeconds: 0 })
  let workers: Heard[] = [heard(ok), heard(ok)]
  const readiness = readinessOf(() => workers, 2)
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok' }, ...ok })
  workers = [heard(ok), heard(keyless)]
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok' }, ...keyless })
  workers = [heard(ok), heard(undefined)]
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok', detail: '1 of 2 serve' }, ...ok })
  workers = []
  expect(runChecks(readiness)).toMatchObject({
    workers: { status: 'unavailable', detail: '0 of 2 serve' },
    keys: { status: 'unavailable' },
  })
})

test('workers that hang serve nobody, and after half a minute each is given up once', () => {
  const [silent, starting] = [
    { checks: ok, silentSeconds: 0 },
    { checks: undefined, silentSeconds: 0 },
  ]
  const readiness = readinessOf(() => [silent], 1)
  const lost: unknown[] = []
  const pass = (seconds: number) => {
    for (let i = 0; i < seconds; i += 1)
      countSilence([silent, starting], (worker) => lost.push(worker))
  }
  pass(4)
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok' }, ...ok })
  pass(1)
  expect(runChecks(readiness)).toMatchObject({
    workers: { status: 'unavailable', detail: '0 of 1 serve' },
    audit: { status: 'unavailable' },
  })
  pass(24)
  expect(lost).toEqual([])
  pass(10)
  expect(lost).toEqual([silent])
})
