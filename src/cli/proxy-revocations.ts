import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { followIssuer } from '../revocations/follow-issuer.ts'
import { followRevocations } from '../revocations/follow-store.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import {
  createOpenGuard,
  createRevocationGuard,
  type RevocationGuard,
} from '../revocations/revocation-guard.ts'
import type { ClientTokenSource } from '../tokens/client-token.ts'
import type { Surroundings } from './compose.ts'
import { openStore } from './open-registry.ts'

export type ProxyRevocations = { guard: RevocationGuard; close: () => Promise<void> }

export type RevocationSources = {
  /** What the issuer knows of revocations, where it is in the same process. */
  inProcess: LiveRevocations | undefined
  /** Tokens of the proxy's own client, where it has one. */
  tokens: ClientTokenSource | undefined
}

/** The issuer is heard of every 5 s: anything shorter would be stale in between. */
const SHORTEST_STALENESS_OVER_HTTP_SECONDS = 10

/**
 * What the proxy knows of revocations: from the issuer in the same process, from Redis, from the issuer over HTTP or,
 * said loudly, nothing. A ConfigError where the configured feed cannot be followed.
 */
export async function openProxyRevocations(
  config: Config,
  { log, clock }: Surroundings,
  { inProcess, tokens }: RevocationSources,
): Promise<ProxyRevocations> {
  const { revocations, redis, issuer } = config
  const feed = revocations.feed ?? (inProcess ? 'in_process' : redis.url ? 'redis' : 'issuer')
  if (feed === 'off') {
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
  if (feed === 'issuer') {
    const url = `${issuer.url}/revocations`
    const followed = followIssuer({ url, tokens: requireFeed(config, tokens), clock, log })
    return {
      guard: createRevocationGuard(followed, options),
      close: async () => followed.close(),
    }
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

/** Without it every revoked token would pass: that must be somebody's decision. */
function requireFeed(
  { revocations }: Config,
  tokens: ClientTokenSource | undefined,
): ClientTokenSource {
  if (tokens === undefined) {
    throw new ConfigError(
      [
        'revocations.feed: issuer needs proxy.clientId and proxy.clientKeyFile, or the proxy cannot know what is revoked',
      ],
      'docs/operations.md, «A proxy on a machine of its own»; or set redis.url; or, to accept revoked tokens until they expire, revocations.feed=off',
    )
  }
  if (revocations.maxStalenessSeconds < SHORTEST_STALENESS_OVER_HTTP_SECONDS) {
    throw new ConfigError([
      `revocations.maxStalenessSeconds: must be ${SHORTEST_STALENESS_OVER_HTTP_SECONDS} or more with the feed of the issuer, which is heard of every 5 s`,
    ])
  }
  return tokens
}
