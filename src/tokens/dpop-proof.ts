import { calculateJwkThumbprint, compactVerify, EmbeddedJWK } from 'jose'
import { hash } from 'node:crypto'
import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AuthError } from '../kernel/errors.ts'
import { parseCompactJws, type CompactJws } from './compact-jws.ts'
import { NONCE_LIFETIME_SECONDS, type DpopNonces } from './dpop-nonces.ts'
import { normaliseTargetUri } from './target-uri.ts'

/** What proofs may be signed with: asymmetric algorithms alone. */
export const DPOP_ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'RS256',
  'Ed25519',
  'EdDSA',
] as const

/** What a proof was sent with. */
export type ProvenRequest = {
  /** The DPoP header; several of them joined by a comma, as they come from Node. */
  proof: string | undefined
  method: string
  /** The URI of the request as callers know it; a query does not matter. */
  uri: string
  /** The token that the proof must be for (`ath`). */
  accessToken: string
  /** The thumbprint (RFC 7638) of the key that the token is bound to, its `cnf.jkt`. */
  boundTo: string
}

/** A proof that is good unless it was used before: it has an id of its own, which must be remembered for that long. */
export type GoodProof = {
  readonly id: string
  readonly ttlSeconds: number
  /** What to answer with in `DPoP-Nonce` (RFC 9449 §9); undefined when the caller has it already. */
  readonly nextNonce: string | undefined
}

/**
 * AuthError `invalid_dpop_proof`, or `use_dpop_nonce` with a `DPoP-Nonce`, when the proof is not good. Whether it was used
 * before (§11.1) is left to be found out by whoever lets the request in.
 */
export type DpopVerifier = (request: ProvenRequest) => Promise<GoodProof>

export type DpopVerifierOptions = {
  nonces: DpopNonces
  clockSkewSeconds: number
  clock: Clock
}

/** How old a proof without a nonce may be. */
const MAX_AGE_SECONDS = 60

const MAX_PROOF_LENGTH = 4096

const claimsSchema = z.object({
  jti: z.string().min(1).max(256),
  htm: z.string(),
  htu: z.string(),
  iat: z.number(),
  ath: z.string(),
  nonce: z.string().optional(),
})
type ProofClaims = z.infer<typeof claimsSchema>

/**
 * Checks proofs as a resource server does (RFC 9449 §4.3), the numbers being those of its list. A nonce is offered and
 * not demanded: one of ours shows that the proof is fresh (§8), else `iat` has to.
 */
export function createDpopVerifier(options: DpopVerifierOptions): DpopVerifier {
  const { nonces, clockSkewSeconds, clock } = options
  const ttlSeconds = Math.max(NONCE_LIFETIME_SECONDS, MAX_AGE_SECONDS + 2 * clockSkewSeconds + 1)

  const isRecent = (iat: number): boolean => {
    const age = epochSeconds(clock) - iat
    return age <= MAX_AGE_SECONDS + clockSkewSeconds && age >= -clockSkewSeconds
  }

  /** 10 and 11. */
  function requireFresh({ nonce, iat }: ProofClaims): void {
    const isFresh = nonce === undefined ? isRecent(iat) : nonces.isAcceptable(nonce)
    if (isFresh) return
    const why = nonce === undefined ? 'The DPoP proof is not recent.' : 'The nonce is not ours.'
    throw new AuthError('use_dpop_nonce', `${why} Use the one in DPoP-Nonce.`, {
      reason: nonce === undefined ? 'dpop_iat' : 'dpop_nonce',
      headers: { 'dpop-nonce': nonces.current() },
    })
  }

  return async function verifyDpopProof({ proof, method, uri, accessToken, boundTo }) {
    const jws = parseProof(proof)
    const claims = parseClaims(jws)
    const jwk = keyOf(jws)
    await verifySignature(proof)
    if (claims.htm !== method) throw refusal('is for another method', 'dpop_htm')
    const target = normaliseTargetUri(claims.htu)
    if (target === undefined || target !== normaliseTargetUri(uri)) {
      throw refusal('is for another address', 'dpop_htu')
    }
    requireFresh(claims)
    if (claims.ath !== hash('sha256', accessToken, 'base64url')) {
      throw refusal('is for another access token', 'dpop_ath')
    }
    if ((await calculateJwkThumbprint(jwk)) !== boundTo) {
      throw refusal('is signed with another key than that of the token', 'dpop_jkt')
    }
    const nonce = nonces.current()
    return {
      id: hash('sha256', JSON.stringify([boundTo, target, claims.jti]), 'base64url'),
      ttlSeconds,
      nextNonce: nonce === claims.nonce ? undefined : nonce,
    }
  }
}

/** 1, 2, 4 and 5: one header with a JWS whose type and algorithm are those of a proof. */
function parseProof(proof: string | undefined): CompactJws {
  if (proof === undefined) throw refusal('is missing', 'dpop_missing')
  if (proof.length > MAX_PROOF_LENGTH) throw refusal('is too long', 'dpop_malformed')
  const jws = wellFormed(proof)
  const { typ, alg, crit, b64 } = jws.header
  if (typeof typ !== 'string' || !/^(application\/)?dpop\+jwt$/i.test(typ)) {
    throw refusal('is not of the type dpop+jwt', 'dpop_typ')
  }
  if (!DPOP_ALGORITHMS.some((accepted) => accepted === alg)) {
    throw refusal('is signed with an algorithm that is not accepted', 'dpop_alg')
  }
  if (crit !== undefined || b64 !== undefined) {
    throw refusal('needs an extension that is not supported', 'dpop_crit')
  }
  return jws
}

function wellFormed(proof: string): CompactJws {
  try {
    return parseCompactJws(proof)
  } catch {
    throw refusal('is not one well-formed JWS', 'dpop_malformed')
  }
}

/** 3: the claims are there, and of their types. */
function parseClaims({ payload }: CompactJws): ProofClaims {
  const parsed = claimsSchema.safeParse(payload)
  if (parsed.success) return parsed.data
  const claim = String(parsed.error.issues[0]?.path[0] ?? 'payload')
  throw refusal(`lacks the claim ${claim}, or it is not valid`, `dpop_claim_${claim}`)
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/** 7: a public key and nothing more. */
function keyOf({ header: { jwk } }: CompactJws): Record<string, unknown> {
  const parsed = z.record(z.string(), z.unknown()).safeParse(jwk)
  if (!parsed.success) throw refusal('has no key', 'dpop_jwk')
  if (PRIVATE_MEMBERS.some((member) => member in parsed.data)) {
    throw refusal('has a private key in it', 'dpop_jwk')
  }
  return parsed.data
}

/** 6: by the key in the proof itself. */
async function verifySignature(proof = ''): Promise<void> {
  try {
    await compactVerify(proof, EmbeddedJWK, { algorithms: [...DPOP_ALGORITHMS] })
  } catch {
    throw refusal('is not signed by the key in it', 'dpop_signature')
  }
}

export const usedBefore = (): AuthError => refusal('was used before', 'dpop_replay')

const refusal = (what: string, reason: string): AuthError =>
  new AuthError('invalid_dpop_proof', `The DPoP proof ${what}.`, { reason })
