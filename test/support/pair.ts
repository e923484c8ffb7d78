import type { Config } from '../../src/config/schema.ts'
import { testConfig } from './gatehouse.ts'

/** The same public address for both of a pair, as behind a load balancer: each listens on a port of its own. */
export async function pairOf(dir: string, redisUrl: string, more: readonly string[] = []) {
  const encryptionKey = Buffer.alloc(32, 1).toString('base64')
  const set = [`redis.url=${redisUrl}`, `keys.encryptionKey=${encryptionKey}`, ...more]
  const one = await testConfig(dir, set)
  const two = await testConfig(dir, set)
  const other: Config = {
    ...two,
    issuer: { ...two.issuer, url: one.issuer.url },
    proxy: { ...two.proxy, url: one.proxy.url },
  }
  return [one, other] as const
}
