import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { fetchJson, unavailable } from './fetch-json.ts'
import { fetchIssuerMetadata } from './issuer-metadata.ts'

const rsaSigningKey = z.object({
  kty: z.literal('RSA'),
  kid: z.string().min(1),
  alg: z.literal('RS256').optional(),
  use: z.literal('sig').optional(),
  n: z.string(),
  e: z.string(),
})

/** What the issuer published at some time (milliseconds since the epoch), as it can be written down. */
export const publishedKeysSchema = z.strictObject({
  fetchedAtMs: z.number(),
  jwks: z.array(rsaSigningKey),
})
export type PublishedKeys = z.infer<typeof publishedKeysSchema>

/** The same, ready to verify with. */
export type JwksSnapshot = PublishedKeys & { keys: ReadonlyMap<string, KeyObject> }

export type FetchedJwks = JwksSnapshot & {
  /** For how long the issuer says that it need not be asked again. */
  maxAgeSeconds: number
  /** By how much its clock is ahead of ours, to about a second; undefined when it does not tell the time. */
  issuerAheadSeconds: number | undefined
}

export type JwksPlace = {
  issuer: string
  /** Without it, the `jwks_uri` of the issuer's metadata (RFC 8414). */
  jwksUrl?: string | undefined
}

const DEFAULT_MAX_AGE_SECONDS = 300
const MIN_MODULUS_BITS = 2048

const metadataSchema = z.object({ jwks_uri: z.url() })
const jwksSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())) })

/** Gets the JWKS. AppError `temporarily_unavailable` when there is none, or none with a key that could be used. */
export async function fetchJwks(place: JwksPlace, clock: Clock): Promise<FetchedJwks> {
  const { issuer, jwksUrl } = place
  const url = jwksUrl ?? (await fetchIssuerMetadata(issuer, metadataSchema)).jwks_uri
  const askedAtMs = clock()
  const { body, headers } = await fetchJson(url)
  const fetchedAtMs = clock()
  const jwks = jwksSchema.parse(body).keys.flatMap((jwk) => rsaSigningKey.safeParse(jwk).data ?? [])
  const snapshot = importKeys({ fetchedAtMs, jwks })
  // An issuer always has a key: an empty set is a fault on its side, not a reason to forget the keys at hand.
  if (snapshot.keys.size === 0) throw unavailable('the JWKS has no usable RS256 key')
  return {
    ...snapshot,
    maxAgeSeconds: maxAgeOf(headers),
    issuerAheadSeconds: secondsAhead(headers, (askedAtMs + fetchedAtMs) / 2),
  }
}

/** Leaves out what is too short to be trusted. */
export function importKeys({ fetchedAtMs, jwks }: PublishedKeys): JwksSnapshot {
  const pairs = jwks.map((jwk) => {
    const { kty, n, e } = jwk
    return { jwk, key: createPublicKey({ key: { kty, n, e }, format: 'jwk' }) }
  })
  const usable = pairs.filter(
    ({ key }) => (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_MODULUS_BITS,
  )
  return {
    fetchedAtMs,
    jwks: usable.map(({ jwk }) => jwk),
    keys: new Map(usable.map(({ jwk, key }) => [jwk.kid, key])),
  }
}

export function withoutKeys(snapshot: JwksSnapshot, kids: ReadonlySet<string>): JwksSnapshot {
  return {
    fetchedAtMs: snapshot.fetchedAtMs,
    jwks: snapshot.jwks.filter(({ kid }) => !kids.has(kid)),
    keys: new Map([...snapshot.keys].filter(([kid]) => !kids.has(kid))),
  }
}

function maxAgeOf(headers: Headers): number {
  const seconds = /(?:^|,)\s*max-age=(\d{1,9})/.exec(headers.get('cache-control') ?? '')?.[1]
  return seconds === undefined ? DEFAULT_MAX_AGE_SECONDS : Math.max(1, Number(seconds))
}

/** `Date` is in whole seconds, and as old as `Age` says where a cache answers (RFC 9110 §6.6.1, RFC 9111 §5.1). */
function secondsAhead(headers: Headers, atMs: number): number | undefined {
  const dateMs = Date.parse(headers.get('date') ?? '')
  const ageSeconds = Number(headers.get('age') ?? 0)
  if (Number.isNaN(dateMs) || Number.isNaN(ageSeconds)) return undefined
  return (dateMs + 500 - atMs) / 1000 + ageSeconds
}
