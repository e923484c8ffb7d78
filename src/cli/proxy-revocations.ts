import type { Config } from '../config/schema.ts'
import type { AuthenticatedFile } from '../kernel/authenticated-file.ts'
import { ConfigError } from '../kernel/errors.ts'
import { followIssuer } from '../revocations/follow-issuer.ts'
import { followRevocations } from '../revocations/follow-store.ts'
import { keepRevocations } from '../revocations/kept-revocations.ts'
import { createLiveRevocations, type LiveRevocations } from '../revocations/live-revocations.ts'
import {
  createOpenGuard,
  createRevocationGuard,
  type RevocationGuard,
} from '../revocations/revocation-guard.ts'
import type { Store } from '../store/store.ts'
import type { ClientTokenSource } from '../tokens/client-token.ts'
import type { Surroundings } from './running.ts'
import { openStore } from './open-store.ts'

export type ProxyRevocations = {
  guard: RevocationGuard
  /** What is known; undefined where nothing is asked. */
  live: LiveRevocations | undefined
  /** The store that it comes from, where that is at hand. */
  store: Store | undefined
  close: () => Promise<void>
}

/** The issuer, as a proxy in the same process sees it. */
export type InProcessIssuer = { revocations: LiveRevocations; store: Store | undefined }

export type RevocationSources = {
  /** What the issuer knows of revocations, where it is in the same process. */
  inProcess: InProcessIssuer | undefined
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
    return {
      guard: createOpenGuard(),
      live: undefined,
      store: undefined,
      close: async () => undefined,
    }
  }
  const options = { ...revocations, log }
  if (inProcess !== undefined) {
    const { revocations: live, store } = inProcess
    const guard = createRevocationGuard(live, options)
    return { guard, live, store, close: async () => undefined }
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
  const source = feedTokens ?? (await openStore(config, clock))
  const isStore = 'follow' in source
  const followed = isStore
    ? followRevocations(source, { clock, log, live })
    : followIssuer({ url: `${config.issuer.url}/revocations`, tokens: source, clock, log, live })
  return {
    guard: createRevocationGuard(live, options),
    live,
    store: isStore ? source : undefined,
    close: async () => {
      followed.close()
      if (isStore) await source.close()
      await kept?.close()
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
