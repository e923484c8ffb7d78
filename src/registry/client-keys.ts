import { createPublicKey } from 'node:crypto'
import { z } from 'zod'

/** With which a client may sign what it authenticates with (RFC 7523 §2.2). */
export const CLIENT_ASSERTION_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'Ed25519', 'EdDSA'] as const

/** What each key is good for. The larger curves serve in certificates alone (RFC 8705 §2.2). */
const ALGORITHMS_OF = {
  RSA: ['RS256', 'PS256'],
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['Ed25519', 'EdDSA'],
} as const

const MIN_MODULUS_BITS = 2048
/** Larger ones, and larger exponents, make the issuer work for whoever registered them. */
const MAX_MODULUS_BITS = 8192
const MAX_EXPONENT = 2n ** 32n

/** The members that only a private or symmetric key has (RFC 7518 §6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/)
const publicKeySchema = z
  .discriminatedUnion('kty', [
    z.looseObject({ kty: z.literal('RSA'), n: base64url.max(2000), e: base64url.max(10) }),
    z.looseObject({
      kty: z.literal('EC'),
      crv: z.enum(['P-256', 'P-384', 'P-521']),
      x: base64url,
      y: base64url,
    }),
    z.looseObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: base64url }),
  ])
  .superRefine((key, context) => {
    const problem = problemOf(key)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
type PublicKey = z.infer<typeof publicKeySchema>

/**
 * The public keys of a client (RFC 7517 §5): RSA of 2048 bits or more, P-256, Ed25519, for certificates P-384 and P-521;
 * real points of their curves, without a private member, and with an `alg`, if any, that is theirs.
 */
export const publicJwksSchema = z.strictObject({ keys: z.array(publicKeySchema).min(1).max(20) })

/** Whether it can have signed an assertion that the issuer takes. */
export function canSignAssertion(key: PublicKey): boolean {
  const accepted: readonly string[] = CLIENT_ASSERTION_ALGORITHMS
  return key['use'] !== 'enc' && algorithmsOf(key).some((algorithm) => accepted.includes(algorithm))
}

const algorithmsOf = (key: PublicKey): readonly string[] =>
  ALGORITHMS_OF[key.kty === 'RSA' ? key.kty : key.crv]

function problemOf(key: PublicKey): string | undefined {
  if (PRIVATE_MEMBERS.some((member) => member in key)) return 'is a private key'
  const { alg } = key
  if (alg !== undefined && !algorithmsOf(key).some((algorithm) => algorithm === alg)) {
    return `must have an alg among ${algorithmsOf(key).join(', ')}`
  }
  const details = detailsOf(key)
  if (details === undefined) return 'is not a public key'
  return key.kty === 'RSA' ? problemOfRsa(details) : undefined
}

type RsaDetails = { modulusLength?: number; publicExponent?: bigint }

function problemOfRsa({ modulusLength = 0, publicExponent = 0n }: RsaDetails): string | undefined {
  if (modulusLength < MIN_MODULUS_BITS) return `has fewer than ${MIN_MODULUS_BITS} bits`
  if (modulusLength > MAX_MODULUS_BITS) return `has more than ${MAX_MODULUS_BITS} bits`
  const isFit = publicExponent > 2n && publicExponent < MAX_EXPONENT && publicExponent % 2n === 1n
  return isFit ? undefined : 'has an exponent that no sound key has'
}

/** Undefined for what is no key, such as coordinates beside the curve. */
function detailsOf(key: PublicKey): RsaDetails | undefined {
  try {
    return createPublicKey({ key: { ...key }, format: 'jwk' }).asymmetricKeyDetails ?? {}
  } catch {
    return undefined
  }
}
