import * as fc from 'fast-check'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { AppError, AuthError, toAppError } from '../../src/kernel/errors.ts'
import { revoked } from '../../src/revocations/revocation-guard.ts'
import type { AccessToken } from '../../src/tokens/access-token.ts'
import { authorize } from '../../src/tokens/authorize.ts'
import { createTokenExplainer } from '../../src/tokens/explain.ts'
import { requireBearerSender } from '../../src/tokens/sender.ts'
import { createTokenVerifier } from '../../src/tokens/verify.ts'
import { goodClaims } from '../support/test-issuer.ts'

const NOW_SECONDS = 1_790_000_000
const clock = () => NOW_SECONDS * 1000
const [ISSUER, PROXY] = ['https://issuer.example', 'https://ocr.example']
const own = generateKeyPairSync('rsa', { modulusLength: 2048 })
const other = generateKeyPairSync('rsa', { modulusLength: 2048 })

const policy = {
  issuer: ISSUER,
  audiences: [PROXY],
  clockSkewSeconds: 30,
  senderConstrained: 'checked_by_caller',
} as const
const keys = {
  find: (kid: string): KeyObject | undefined =>
    kid === 'known' ? createPublicKey(own.privateKey) : undefined,
  async fetch(kid: string): Promise<never> {
    if (kid !== 'away') throw new AuthError('invalid_token', 'No.', { reason: 'unknown_kid' })
    throw new AppError('temporarily_unavailable', 'Not now.', { reason: 'keys_unavailable' })
  },
}
const requireNotRevoked = ({ jti }: Pick<AccessToken, 'jti'>) => {
  if (jti === 'revoked') throw revoked()
  if (jti === 'unclear') {
    throw new AppError('temporarily_unavailable', 'Stale.', { reason: 'revocations_stale' })
  }
}
const scopes = ['ocr_api_access']
const explain = createTokenExplainer({
  keys,
  describeKey: (kid) => (kid === 'known' ? 'active' : undefined),
  policy,
  requireNotRevoked,
  clock,
})
const verify = createTokenVerifier(keys, policy, clock)

/** Why the proxy refuses it as a bearer token, in its order. */
async function reasonAtProxy(raw: string): Promise<string | undefined> {
  try {
    const token = await verify(raw)
    requireBearerSender(token.confirmation, () => undefined)
    requireNotRevoked(token)
    authorize(token, scopes)
    return undefined
  } catch (error) {
    return toAppError(error).reason
  }
}

/** What is not right about a token: nothing of it mostly, or some of this. */
const FAULTS = {
  iss: [ISSUER, 'https://evil.example'],
  aud: [PROXY, 'https://archive.example', [PROXY, 'https://archive.example'], 5],
  exp: [NOW_SECONDS + 900, NOW_SECONDS - 29, NOW_SECONDS - 30, NOW_SECONDS - 9999, 'soon'],
  iat: [NOW_SECONDS, NOW_SECONDS + 30, NOW_SECONDS + 31],
  jti: ['one', 'revoked', 'unclear', undefined],
  scope: ['ocr_api_access', 'openid', ''],
  cnf: [undefined, {}],
}
const HEADERS = {
  typ: ['at+jwt', 'application/AT+JWT', 'JWT', undefined],
  kid: ['known', 'unknown', 'away', ''],
}
const anyOf = <T>([right, ...wrong]: readonly T[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(right) },
    { weight: 1, arbitrary: fc.constantFrom(...wrong) },
  )
const tokenParts = fc.record({
  claims: fc.record(Object.fromEntries(Object.entries(FAULTS).map(([n, of]) => [n, anyOf(of)]))),
  header: fc.record(Object.fromEntries(Object.entries(HEADERS).map(([n, of]) => [n, anyOf(of)]))),
  isOurs: anyOf([true, false]),
  damage: anyOf(['', '.x', '=']),
})

test('an explanation always begins its refusals with the reason that the proxy would log', async () => {
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(tokenParts, async ({ claims, header, isOurs, damage }) => {
      const { privateKey } = isOurs === true ? own : other
      const token = await new SignJWT({ ...goodClaims(ISSUER, PROXY, clock), ...claims })
        .setProtectedHeader({ alg: 'RS256', ...header })
        .sign(privateKey)
      const raw = `${token}${damage}`
      const explanation = await explain(raw, scopes)
      const first = explanation.checks.find(
        ({ outcome }) => outcome === 'refused' || outcome === 'unknown',
      )
      expect(first?.reason).toBe(await reasonAtProxy(raw))
      expect(explanation.accepted).toBe(first === undefined)
      accepted += explanation.accepted ? 1 : 0
    }),
    { numRuns: 300 },
  )
  expect(accepted, 'so that refusing everything does not pass').toBeGreaterThan(10)
})

const explained = async (claims: object) => {
  const token = await new SignJWT({ ...goodClaims(ISSUER, PROXY, clock), ...claims })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'known' })
    .sign(own.privateKey)
  return { token, ...(await explain(token, scopes)) }
}

test.each([
  [{ jkt: 'x' }, 'DPoP'],
  [{ 'x5t#S256': 'x' }, 'client certificate'],
])(
  'a bound token is accepted from its sender, and what that needs is said: %j',
  async (cnf, word) => {
    const { accepted, checks } = await explained({ cnf })
    expect(accepted).toBe(true)
    const sender = checks.find(({ check }) => check === 'sender')
    expect(sender).toMatchObject({ outcome: 'depends', detail: expect.stringContaining(word) })
  },
)

test('several faults are all told, and how far the clock is off', async () => {
  const { checks } = await explained({
    exp: NOW_SECONDS - 100,
    aud: 'x',
    jti: 'revoked',
    scope: '',
  })
  const refused = checks.filter(({ outcome }) => outcome === 'refused')
  expect(refused.map(({ reason }) => reason)).toEqual([
    'wrong_audience',
    'expired',
    'revoked',
    'insufficient_scope',
  ])
  expect(refused[1]?.detail).toBe('expired 100 s ago; the clocks may differ by 30 s')
})

test('neither the token nor its signature is in the answer', async () => {
  const { token, checks } = await explained({})
  const told = JSON.stringify(checks)
  for (const part of token.split('.')) expect(told).not.toContain(part)
})
