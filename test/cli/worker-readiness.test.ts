import { expect, test } from 'vitest'
import { readinessOf } from '../../src/cli/worker-readiness.ts'
import { runChecks } from '../../src/kernel/ops-server.ts'

const ok = { keys: { status: 'ok' }, audit: { status: 'ok' } } as const
const keyless = { ...ok, keys: { status: 'unavailable', detail: 'no signing keys yet' } } as const

test('workers are as ready as the least ready of them, and one that is missing is said', () => {
  let workers: { checks: typeof ok | typeof keyless | undefined }[] = [
    { checks: ok },
    { checks: ok },
  ]
  const readiness = readinessOf(() => workers, 2)
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok' }, ...ok })
  workers = [{ checks: ok }, { checks: keyless }]
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok' }, ...keyless })
  workers = [{ checks: ok }, { checks: undefined }]
  expect(runChecks(readiness)).toEqual({ workers: { status: 'ok', detail: '1 of 2 serve' }, ...ok })
  workers = []
  expect(runChecks(readiness)).toMatchObject({
    workers: { status: 'unavailable', detail: '0 of 2 serve' },
    keys: { status: 'unavailable' },
  })
})
