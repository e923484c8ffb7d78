import { createHash } from 'node:crypto'
import type Provider from 'oidc-provider'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { z } from 'zod'
import type { Store } from '../store/store.ts'
import { createUseOnce } from '../store/use-once.ts'
import { inspectToken } from '../tokens/inspect.ts'
import { refuse } from './client-authentication.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** How far ahead an assertion may expire: it is kept until then, so that it is not used again. */
const MAX_LIFETIME_SECONDS = 600

/**
 * What oidc-provider leaves open about the claims of a client assertion (RFC 7523 §3): the audience is the issuer and
 * nothing else (it also takes the endpoint's address, and lists), the identifier is a string, the end is near but not
 * over (it gives 15 s).
 */
export function requireStrictAssertion(issuer: string, { errors }: OidcProvider) {
  return function assertJwtClientAuthClaimsAndHeader(
    _ctx: KoaContextWithOIDC,
    claims: Readonly<Record<string, unknown>>,
  ): void {
    const now = Date.now() / 1000
    const rules = z.object({
      aud: z.literal(issuer, { error: 'the audience must be the issuer alone' }),
      jti: z.string({ error: 'the jti must be a string' }).max(300, 'the jti is too long'),
      exp: z
        .number()
        .min(now, 'the assertion has expired')
        .max(now + MAX_LIFETIME_SECONDS, 'the assertion expires too far ahead'),
    })
    const problem = rules.safeParse(claims).error?.issues[0]?.message
    if (problem !== undefined) throw new errors.InvalidClientAuth(problem)
  }
}

/** How far ahead of our clock oidc-provider takes DPoP proofs, which it asks us to remember as if they were made now. */
const PROOF_LEAD_SECONDS = 300

/**
 * Lets each assertion and each DPoP proof (RFC 9449 §11.1) count once, on every issuer of the same store: oidc-provider
 * would look first and write then, so that two at the same time both pass.
 */
export function rememberAssertions(
  provider: Provider,
  store: Store,
  { Provider, errors }: OidcProvider,
): void {
  const isUnused = createUseOnce(store, 'used-assertions')
  Object.assign(provider.ReplayDetection, {
    async unique(client: string, jti: string, exp: number): Promise<boolean> {
      const id = createHash('sha256')
        .update(JSON.stringify([client, jti]))
        .digest('base64url')
      const ttlSeconds = Math.max(1, Math.ceil(exp - Date.now() / 1000)) + PROOF_LEAD_SECONDS
      const isUnique = await isUnused({ id, ttlSeconds }).catch((error: unknown) =>
        refuse(error, Provider.ctx, errors),
      )
      if (!isUnique && isProofWith(jti, Provider.ctx)) {
        // oidc-provider would call it an invalid grant.
        throw new errors.InvalidDpopProof('the DPoP proof was used before')
      }
      return isUnique
    },
  })
}

function isProofWith(jti: string, ctx: KoaContextWithOIDC | undefined): boolean {
  try {
    return inspectToken(ctx?.get('dpop') ?? '').payload['jti'] === jti
  } catch {
    return false
  }
}
