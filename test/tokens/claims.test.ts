import { expect, test } from 'vitest'
import { z } from 'zod'
import { AuthError } from '../../src/kernel/errors.ts'
import { toAccessToken } from '../../src/tokens/access-token.ts'
import { parseClaims } from '../../src/tokens/claims.ts'

/** The same said by a schema: RFC 9068 §2.2, RFC 7519 §2 for dates, and what the claims of our own are made of. */
const count = z.int().positive().optional()
const limitSet = z
  .looseObject({ rpm: count, concurrency: count, daily_requests: count, daily_tokens: count })
  .optional()
const date = z.number().min(0).max(253_402_300_799)
const name = z.string().min(1)
const schema = z.object({
  iss: z.string(),
  aud: z.union([z.string().transform((one) => [one]), z.array(z.string())]),
  sub: name,
  client_id: name,
  jti: name,
  iat: date,
  nbf: date.optional(),
  exp: date,
  scope: z.string().default(''),
  tenant_id: name.default('default'),
  limits: z
    .looseObject({
      subject: limitSet,
      client: limitSet,
      tenant: limitSet,
      weight: z.number().positive().optional(),
    })
    .default({}),
  cnf: z.looseObject({ jkt: z.string().optional(), 'x5t#S256': z.string().optional() }).optional(),
})

const GOOD = {
  iss: 'https://issuer.example',
  aud: ['https://proxy.example', 'other'],
  sub: 'someone',
  client_id: 'reader',
  jti: 'j',
  iat: 0,
  nbf: 1.5,
  exp: 253_402_300_799,
  scope: 'ocr_api_access',
  tenant_id: 'acme',
  limits: { subject: { rpm: 1, daily_tokens: 2 ** 53 - 1 }, tenant: {}, weight: 0.5 },
  cnf: { jkt: 'k', 'x5t#S256': 'c' },
}

const ODD: readonly unknown[] = [
  undefined,
  null,
  '',
  'text',
  0,
  -0,
  1,
  -1,
  0.5,
  2 ** 53,
  1e300,
  253_402_300_800,
  Infinity,
  true,
  {},
  [],
  [[]],
  [1],
  ['a', 'b'],
  ['a', null],
  { rpm: 1 },
  { rpm: 0 },
  { rpm: 2 ** 53 },
  { concurrency: 1.5 },
  { daily_requests: '1' },
  { daily_tokens: null },
  { jkt: 1 },
  { 'x5t#S256': '' },
  { subject: null },
  { client: { rpm: -1 } },
  { tenant: { rpm: 1 } },
  { weight: 0 },
  { weight: Infinity },
  { weight: 2 },
]

type Outcome = { taken: object } | { refused: string }

function outcomeOf(payload: Record<string, unknown>): Outcome {
  try {
    return { taken: parseClaims(payload) }
  } catch (error) {
    return { refused: error instanceof AuthError ? error.reason : String(error) }
  }
}

function outcomeOfSchema(payload: Record<string, unknown>): Outcome {
  const { data, error } = schema.safeParse(payload)
  return data === undefined
    ? { refused: `claim_${String(error?.issues[0]?.path[0])}` }
    : { taken: data }
}

test('claims are taken and refused as a schema says it, whatever one of them is', () => {
  const changes = Object.keys(GOOD).flatMap((name) => ODD.map((value) => ({ [name]: value })))
  for (const changed of changes) {
    const payload = { ...GOOD, ...changed, unknown: 1 }
    expect(outcomeOf(payload)).toEqual(outcomeOfSchema(payload))
  }
})

test('of several that are not good the first is named', () => {
  expect(outcomeOf({ ...GOOD, cnf: 'x', sub: '', exp: -1 })).toEqual({ refused: 'claim_sub' })
  expect(outcomeOf({ ...GOOD, aud: 1, iss: 1 })).toEqual({ refused: 'claim_iss' })
})

test('a token has each word of its scope once', () => {
  const claims = parseClaims({ ...GOOD, scope: ' b  a b a ' })
  expect(toAccessToken('kid', claims).scopes).toEqual(['b', 'a'])
})
