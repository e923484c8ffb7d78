import { expect, test } from 'vitest'
import { isTakenOver, reloadedConfig } from '../../src/cli/reload.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { listSettings, valueOf } from '../../src/config/settings.ts'

function configOf(...set: string[]): Config {
  const loaded = loadConfig({ env: {}, set })
  if (loaded.problems !== undefined) throw new Error(loaded.problems.join())
  return loaded.config
}
const TLS = ['proxy.tls.cert=a.pem', 'proxy.tls.key=a.key']
const OTHER = [
  'log.level=debug',
  'limits.defaults.rpm=7',
  'limits.onFailure=refuse',
  'limits.onFailureOf.rpm=continue',
  'proxy.routes=[]',
  'proxy.maxBodyBytes=7',
  'proxy.firstByteTimeoutSeconds=7',
  'proxy.idleTimeoutSeconds=7',
  'proxy.drainSeconds=7',
  'proxy.queue.maxWaiting=7',
  'proxy.clockSkewSeconds=7',
  'proxy.tls.clientCa=b.ca',
]

test.each([
  ['with TLS before and after', TLS, ['proxy.tls.cert=b.pem', 'proxy.tls.key=b.key']],
  ['without TLS', [], []],
  ['that would begin to have TLS', [], TLS],
  ['that would end to have TLS', TLS, []],
])('a reload of workers %s takes over just what it is said to', (_title, before, after) => {
  const [started, next] = [configOf(...before), configOf(...after, ...OTHER)]
  const reloaded = reloadedConfig(started, next)
  const ofProxy = listSettings().filter(({ path }) => /^(proxy|limits|log)\./.test(path))
  for (const { path } of ofProxy) {
    const from = isTakenOver(path, started, next) ? next : started
    expect([path, valueOf(reloaded, path)]).toEqual([path, valueOf(from, path)])
  }
})
