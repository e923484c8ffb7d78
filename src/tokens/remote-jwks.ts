import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { AppError, AuthError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { fetchJson, unavailable } from './fetch-json.ts'
import { fetchIssuerMetadata } from './issuer-metadata.ts'

/** Where a verifier gets its keys from. */
export type KeySource = {
  /** The key with that kid if it is at hand. */
  find: (kid: string) => KeyObject | undefined
  /**
   * Looks for it at the issuer. AuthError `invalid_token` when the issuer does not publish it, AppError
   * `temporarily_unavailable` when that cannot be known.
   */
  fetch: (kid: string) => Promise<KeyObject>
}

export type RemoteJwks = KeySource & {
  /** Starts a fetch when there are no keys or they are older than the issuer's max-age; call it every second or so. */
  refreshIfDue: () => void
  /** Since when the keys at hand are what the issuer publishes; undefined before the first success. */
  ageSeconds: () => number | undefined
  isUsable: () => boolean
}

export type RemoteJwksOptions = {
  issuer: string
  /** Without it, the `jwks_uri` of the issuer's metadata (RFC 8414). */
  jwksUrl?: string | undefined
  /** The least time between two fetches, whether they succeed or not. */
  cooldownSeconds: number
  /** For how long keys stay usable while the issuer cannot be reached. */
  maxStaleSeconds: number
  clock: Clock
  log: Log
}

type Snapshot = { keys: ReadonlyMap<string, KeyObject>; fetchedAtMs: number; maxAgeSeconds: number }

const DEFAULT_MAX_AGE_SECONDS = 300
const LONGEST_MAX_AGE_SECONDS = 3600
const MIN_MODULUS_BITS = 2048

/**
 * The issuer's JWKS, kept fresh in the background. Good keys never wait for the network, keys outlive an issuer outage
 * up to a ceiling, and however many unknown kids come in, there is one fetch per cooldown.
 */
export function createRemoteJwks(options: RemoteJwksOptions): RemoteJwks {
  const { clock, cooldownSeconds, maxStaleSeconds, log } = options
  let snapshot: Snapshot | undefined
  let running: Promise<void> | undefined
  let lastAttemptAtMs = -Infinity
  let hasLastAttemptFailed = false

  const ageSeconds = () => snapshot && (clock() - snapshot.fetchedAtMs) / 1000
  const isUsable = () => (ageSeconds() ?? Infinity) <= maxStaleSeconds
  const cooldownLeftSeconds = () => cooldownSeconds - (clock() - lastAttemptAtMs) / 1000

  async function attemptFetch(): Promise<void> {
    lastAttemptAtMs = clock()
    try {
      snapshot = await fetchSnapshot(options)
      hasLastAttemptFailed = false
    } catch (error) {
      hasLastAttemptFailed = true
      log.warn(
        { event: 'jwks.fetch_failed', url: options.jwksUrl ?? options.issuer, err: error },
        'cannot fetch the JWKS',
      )
    } finally {
      running = undefined
    }
  }

  /** Joins the fetch under way, or starts one unless the last was too recent. */
  function refresh(): Promise<void> | undefined {
    if (running === undefined && cooldownLeftSeconds() <= 0) running = attemptFetch()
    return running
  }

  const find = (kid: string) => (isUsable() ? snapshot?.keys.get(kid) : undefined)

  return {
    find,
    ageSeconds,
    isUsable,
    refreshIfDue() {
      const isFresh = snapshot !== undefined && (ageSeconds() ?? 0) < snapshot.maxAgeSeconds
      if (!isFresh) void refresh()
    },
    async fetch(kid) {
      await refresh()
      const key = find(kid)
      if (key !== undefined) return key
      if (hasLastAttemptFailed || !isUsable()) {
        throw new AppError(
          'temporarily_unavailable',
          'The signing keys cannot be fetched right now.',
          {
            reason: 'keys_unavailable',
            headers: { 'retry-after': String(Math.max(1, Math.ceil(cooldownLeftSeconds()))) },
          },
        )
      }
      throw new AuthError('invalid_token', 'The issuer does not publish the key of this token.', {
        reason: 'unknown_kid',
      })
    },
  }
}

const metadataSchema = z.object({ jwks_uri: z.url() })
const jwksSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())) })
const rsaSigningKey = z.object({
  kty: z.literal('RSA'),
  kid: z.string().min(1),
  alg: z.literal('RS256').optional(),
  use: z.literal('sig').optional(),
  n: z.string(),
  e: z.string(),
})

async function fetchSnapshot({
  issuer,
  jwksUrl,
  maxStaleSeconds,
  clock,
}: RemoteJwksOptions): Promise<Snapshot> {
  const { body, headers } = await fetchJson(
    jwksUrl ?? (await fetchIssuerMetadata(issuer, metadataSchema)).jwks_uri,
  )
  const keys = new Map<string, KeyObject>()
  for (const jwk of jwksSchema.parse(body).keys) {
    const parsed = rsaSigningKey.safeParse(jwk)
    if (!parsed.success) continue
    const { kty, n, e } = parsed.data
    const key = createPublicKey({ key: { kty, n, e }, format: 'jwk' })
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_MODULUS_BITS)
      keys.set(parsed.data.kid, key)
  }
  // An issuer always has a key: an empty set is a fault on its side, not a reason to forget the keys at hand.
  if (keys.size === 0) throw unavailable('the JWKS has no usable RS256 key')
  // However long the issuer allows, keys are fetched again well before they may no longer be used.
  const maxAgeSeconds = Math.min(maxAgeOf(headers), maxStaleSeconds / 2, LONGEST_MAX_AGE_SECONDS)
  return { keys, fetchedAtMs: clock(), maxAgeSeconds }
}

function maxAgeOf(headers: Headers): number {
  const seconds = /(?:^|,)\s*max-age=(\d{1,9})/.exec(headers.get('cache-control') ?? '')?.[1]
  return seconds === undefined ? DEFAULT_MAX_AGE_SECONDS : Math.max(1, Number(seconds))
}
