import { z } from 'zod'

const MIN_MODULUS_BITS = 2048
const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/)

/** The members that only a private or symmetric key has (RFC 7518 §6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const publicKey = z
  .discriminatedUnion('kty', [
    z.looseObject({ kty: z.literal('RSA'), n: base64url, e: base64url }),
    z.looseObject({ kty: z.literal('EC'), crv: z.string(), x: base64url, y: base64url }),
    z.looseObject({ kty: z.literal('OKP'), crv: z.string(), x: base64url }),
  ])
  .refine((key) => PRIVATE_MEMBERS.every((member) => !(member in key)), 'is a private key')
  .refine(
    (key) => key.kty !== 'RSA' || Buffer.from(key.n, 'base64url').length * 8 >= MIN_MODULUS_BITS,
    `has fewer than ${MIN_MODULUS_BITS} bits`,
  )

/** The public keys of a client (RFC 7517 §5): RSA of 2048 bits or more, elliptic curves; never a private member. */
export const publicJwksSchema = z.strictObject({ keys: z.array(publicKey).min(1).max(20) })
