import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { followRevocations } from '../revocations/follow-store.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import {
  createOpenGuard,
  createRevocationGuard,
  type RevocationGuard,
} from '../revocations/revocation-guard.ts'
import type { Surroundings } from './compose.ts'
import { openStore } from './open-registry.ts'

export type ProxyRevocations = { guard: RevocationGuard; close: () => Promise<void> }

/** What the proxy knows of revocations: from the issuer in the same process, from Redis, or, said loudly, nothing. */
export async function openProxyRevocations(
  config: Config,
  { log, clock }: Surroundings,
  inProcess: LiveRevocations | undefined,
): Promise<ProxyRevocations> {
  const { revocations, redis } = config
  const feed = revocations.feed ?? (inProcess ? 'in_process' : redis.url ? 'redis' : 'off')
  if (feed === 'off' || feed === 'issuer') {
    log.warn({ event: 'revocations.off' }, 'revoked tokens are accepted until they expire')
    return { guard: createOpenGuard(), close: async () => undefined }
  }
  const options = { ...revocations, log }
  if (inProcess !== undefined) {
    return { guard: createRevocationGuard(inProcess, options), close: async () => undefined }
  }
  if (feed === 'in_process') {
    throw new ConfigError(
      ['revocations.feed: in_process needs the issuer in the same process'],
      'use `start`, or set redis.url',
    )
  }
  const store = await openStore(config, clock)
  const followed = followRevocations(store, { clock, log })
  return {
    guard: createRevocationGuard(followed, options),
    close: async () => {
      followed.close()
      await store.close()
    },
  }
}
