import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Ring } from '../keys/ring.ts'
import { createRingKeys } from '../keys/ring-keys.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'
import { createTokenExplainer } from '../tokens/explain.ts'
import { wordsOf } from '../tokens/scope.ts'
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
  /** What tokens are explained for unless another resource is named, and the skew that is allowed for all. */
  proxy: { url: string; clockSkewSeconds: number }
  /** Everything that tokens are issued for. */
  resources: readonly string[]
  ring: () => Ring
  revocations: Pick<RevocationGuard, 'requireNotRevoked'>
  clock: Clock
}

/** A POST, so that no token gets into a URL and from there into somebody's log. */
export function tokenEndpoint(options: TokenEndpointOptions): Endpoint {
  const { issuer, proxy, resources, ring, revocations, clock } = options
  const explainerFor = (audience: string) =>
    createTokenExplainer({
      keys: createRingKeys(ring),
      describeKey: (kid) => ring().keys.find((key) => key.kid === kid)?.state,
      policy: {
        issuer,
        audiences: [audience],
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
    summary: 'Say whether the proxy, or another resource, would let a token in, check by check',
    scope: 'admin:read',
    takes: {
      body: z.strictObject({
        token: z.string().min(1).max(10_000),
        resource: z.string().max(2000).default(proxy.url).describe('whom the token is shown to'),
        scope: z
          .string()
          .max(1000)
          .optional()
          .describe(
            'what is needed there; by default what the OCR routes need, and elsewhere none',
          ),
      }),
    },
    answers: { status: 200, body: answerSchema },
    async run({ body: { token, resource, scope } }) {
      const isProxy = resource === proxy.url
      if (!isProxy && !resources.includes(resource)) {
        throw new AppError('malformed_request', 'resource: no tokens are issued for it here', {
          reason: 'unknown_resource',
        })
      }
      const needed = scope ?? (isProxy ? OCR_SCOPE : '')
      const scopes = wordsOf(needed)
      return { status: 200, body: await explainerFor(resource)(token, scopes) }
    },
  })
}
