import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import type { Ring } from '../keys/ring.ts'
import { createRingKeys } from '../keys/ring-keys.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'
import { createTokenExplainer } from '../tokens/explain.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'

const answerSchema = z.object({
  accepted: z.boolean(),
  checks: z.array(
    z.object({
      check: z.string(),
      outcome: z.enum(['passed', 'refused', 'unknown', 'depends', 'skipped']),
      reason: z.string().optional().describe("as in a proxy's log"),
      detail: z.string().optional(),
    }),
  ),
})

export type TokenEndpointOptions = {
  issuer: string
  /** The resource that tokens are explained for, with the skew that is allowed there. */
  proxy: { url: string; clockSkewSeconds: number }
  ring: () => Ring
  revocations: Pick<RevocationGuard, 'requireNotRevoked'>
  clock: Clock
}

/** A POST, so that no token gets into a URL and from there into somebody's log. */
export function tokenEndpoint(options: TokenEndpointOptions): Endpoint {
  const { issuer, proxy, ring, revocations, clock } = options
  const explain = createTokenExplainer({
    keys: createRingKeys(ring),
    describeKey: (kid) => ring().keys.find((key) => key.kid === kid)?.state,
    policy: {
      issuer,
      audience: proxy.url,
      clockSkewSeconds: proxy.clockSkewSeconds,
      senderConstrained: 'checked_by_caller',
    },
    requireNotRevoked: revocations.requireNotRevoked,
    clock,
  })
  return defineEndpoint({
    method: 'POST',
    path: '/admin/v1/tokens/explain',
    operation: 'admin.tokens.explain',
    summary: 'Say whether the proxy would let a token in, check by check',
    scope: 'admin:read',
    takes: {
      body: z.strictObject({
        token: z.string().min(1).max(10_000),
        scope: z
          .string()
          .max(1000)
          .default(OCR_SCOPE)
          .describe('what the route needs; what the OCR routes need'),
      }),
    },
    answers: { status: 200, body: answerSchema },
    async run({ body: { token, scope } }) {
      return { status: 200, body: await explain(token, scope.split(' ').filter(Boolean)) }
    },
  })
}
