import { expect, onTestFinished, test } from 'vitest'
import { openProxyLimits } from '../../src/cli/proxy-limits.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createMetricsRegistry } from '../../src/kernel/metrics.ts'
import type { AccessToken } from '../../src/tokens/access-token.ts'

const caller: AccessToken = {
  kid: 'k',
  jti: 'j',
  subject: 'robot',
  clientId: 'robot',
  audiences: [],
  tenantId: 'default',
  scopes: [],
  limits: {},
  issuedAt: 0,
  expiresAt: 0,
  confirmation: undefined,
}

test('a reload takes over the defaults and what becomes of callers while Redis is away', async () => {
  const env = {}
  // Nobody listens there.
  const set = ['redis.url=redis://127.0.0.1:1', 'limits.defaults.daily_requests=1']
  const loaded = loadConfig({ env, set })
  if (loaded.problems !== undefined) throw new Error(loaded.problems.join())
  const log = createLog('info', { write: () => undefined })
  const surroundings = { log, clock: Date.now }
  const opened = await openProxyLimits(loaded.config, surroundings, createMetricsRegistry())
  onTestFinished(opened.close)
  const { limits, reload } = opened
  expect(await limits.enter(caller)).toMatchObject({ headers: {} })
  await expect(async () => limits.enter(caller)).rejects.toMatchObject({
    reason: 'subject_daily_requests',
  })
  reload({ defaults: { daily_requests: 2 }, onFailure: 'local' })
  expect(await limits.enter(caller)).toMatchObject({ headers: {} })
  reload({ defaults: { daily_requests: 9 }, onFailure: 'refuse' })
  await expect(async () => limits.enter(caller)).rejects.toMatchObject({
    reason: 'limits_unavailable',
  })
  reload({ defaults: { daily_requests: 1 }, onFailure: 'continue' })
  expect(await limits.enter(caller)).toMatchObject({ headers: {} })
  reload({
    defaults: { daily_requests: 1 },
    onFailure: 'continue',
    onFailureOf: { daily_requests: 'refuse' },
  })
  await expect(async () => limits.enter(caller)).rejects.toMatchObject({
    reason: 'limits_unavailable',
  })
})
