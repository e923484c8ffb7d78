import type { Config } from '../config/schema.ts'
import type { AuthenticatedFile } from '../kernel/authenticated-file.ts'
import { ConfigError } from '../kernel/errors.ts'
import { followIssuer } from '../revocations/follow-issuer.ts'
import { followRevocations, type FollowOptions } from '../revocations/follow-store.ts'
import { keepRevocations } from '../revocations/kept-revocations.ts'
import { createLiveRevocations, type LiveRevocations } from '../revocations/live-revocations.ts'
import {
  createOpenGuard,
  createRevocationGuard,
  type RevocationGuard,
} from '../revocations/revocation-guard.ts'
import type { ClientTokenSource } from '../tokens/client-token.ts'
import type { Surroundings } from './compose.ts'
import { openStore } from './open-registry.ts'

export type ProxyRevocations = {
  guard: RevocationGuard
  /** What is known; undefined where nothing is asked. */
  live: LiveRevocations | undefined
  close: () => Promise<void>
}

export type RevocationSources = {
  /** What the issuer knows of revocations, where it is in the same process. */
  inProcess: LiveRevocations | undefined
  /** Tokens of the proxy's own client, where it has one. */
  tokens: ClientTokenSource | undefined
  /** Where the view is kept for a restart. */
  file: AuthenticatedFile | undefined
}

/** The age of the view goes to disk ten times within its bound, and at least once a minute. */
const keepIntervalMs = (maxStalenessSeconds: number): number =>
  Math.min(maxStalenessSeconds * 100, 60_000)

/** The issuer is heard of every 5 s: anything shorter would be stale in between. */
const SHORTEST_STALENESS_OVER_HTTP_SECONDS = 10

/**
 * What the proxy knows of revocations: from the issuer in the same process, from Redis, from the issuer over HTTP or,
 * said loudly, nothing. A ConfigError where the configured feed cannot be followed.
 */
export async function openProxyRevocations(
  config: Config,
  { log, clock }: Surroundings,
  { inProcess, tokens, file }: RevocationSources,
): Promise<ProxyRevocations> {
  const { revocations, redis } = config
  const feed = revocations.feed ?? (inProcess ? 'in_process' : redis.url ? 'redis' : 'issuer')
  if (feed === 'off') {
    log.warn({ event: 'revocations.off' }, 'revoked tokens are accepted until they expire')
    return { guard: createOpenGuard(), live: undefined, close: async () => undefined }
  }
  const options = { ...revocations, log }
  if (inProcess !== undefined) {
    const guard = createRevocationGuard(inProcess, options)
    return { guard, live: inProcess, close: async () => undefined }
  }
  if (feed === 'in_process') {
    throw new ConfigError(
      ['revocations.feed: in_process needs the issuer in the same process'],
      'use `start`, or set redis.url',
    )
  }
  const feedTokens = feed === 'issuer' ? requireFeed(config, tokens) : undefined
  const live = createLiveRevocations(clock)
  const intervalMs = keepIntervalMs(revocations.maxStalenessSeconds)
  const kept = file && (await keepRevocations(file, live, { clock, log, intervalMs }))
  const followed =
    feedTokens === undefined
      ? await followOnRedis(config, { clock, log, live })
      : followIssuer({
          url: `${config.issuer.url}/revocations`,
          tokens: feedTokens,
          clock,
          log,
          live,
        })
  return {
    guard: createRevocationGuard(live, options),
    live,
    close: async () => {
      await followed.close()
      await kept?.close()
    },
  }
}

async function followOnRedis(
  config: Config,
  options: FollowOptions,
): Promise<{ close: () => Promise<void> }> {
  const store = await openStore(config, options.clock)
  const followed = followRevocations(store, options)
  return {
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
