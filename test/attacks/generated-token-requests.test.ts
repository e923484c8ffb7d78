import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTokenRequests } from '../support/token-requests.ts'
import { expectationOf, type Expectation } from '../support/token-model.ts'
import { tokenPlan, type TokenPlan } from '../support/token-plans.ts'
import type { RawAnswer } from '../support/raw-request.ts'
import { startTokenWorld, type Fields, type Lane, type TokenWorld } from '../support/token-world.ts'

const REQUESTS = 10_000
const LANES = 5

/** RFC 6749 §5.2, RFC 8628 §3.5, RFC 8707 §2, RFC 9449 §5 and §8. */
const ERRORS = [
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
  'authorization_pending',
  'slow_down',
  'access_denied',
  'expired_token',
  'invalid_target',
  'invalid_dpop_proof',
  'use_dpop_nonce',
]

const PROOF_REASONS = new Set(['the client needs a proof', 'it is bound to another key'])

let world: TokenWorld
let createRequest: ReturnType<typeof createTokenRequests>
beforeAll(async () => {
  world = await startTokenWorld(LANES)
  createRequest = createTokenRequests(world, await useUp())
}, 60_000)
afterAll(() => world.close())

/** Assertions and proofs that the issuer has taken once. */
async function useUp() {
  const grant: Fields = [['grant_type', 'client_credentials']]
  const proofs: Record<string, string> = {}
  const [assertion, ofNarrow] = [await world.assert('robot'), await world.assert('narrow')]
  const { id, secret } = world.clients.secretive
  const secretive: Fields = [
    ['client_id', id],
    ['client_secret', secret],
  ]
  for (const [name, fields] of Object.entries({ robot: assertion, narrow: ofNarrow, secretive })) {
    proofs[name] = await world.prove(world.keys.own)
    const answer = await world.post('/token', [...fields, ...grant], { dpop: proofs[name] })
    expect(answer.status).toBe(200)
  }
  const [lane] = world.lanes
  for (const client of ['app', 'bound'] as const) {
    const signIn = { client: 'same', person: 'mei', asks: 'default', isBound: false } as const
    const { code, verifier } = (await lane?.mintCode(client, signIn)) ?? { code: '', verifier: '' }
    proofs[client] = await world.prove(world.keys.own)
    const fields: Fields = [
      ['client_id', world.clients[client].id],
      ['grant_type', 'authorization_code'],
      ['code', code],
      ['code_verifier', verifier],
      ['redirect_uri', 'https://client.example/callback'],
    ]
    expect((await world.post('/token', fields, { dpop: proofs[client] })).status).toBe(200)
  }
  return { assertion, ofNarrow, proofs }
}

/** So that refusing everything does not pass. */
const granted = new Set<string>()

test(`RFC 6749 §5: ${REQUESTS} generated token requests get a token exactly when the rules say so, or an error of the RFCs`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(tokenPlan, { minLength: LANES, maxLength: LANES }), async (plans) => {
      await Promise.all(plans.map((plan, i) => tryPlan(plan, laneAt(i))))
    }),
    { numRuns: REQUESTS / LANES, endOnFailure: false },
  )
  expect(granted.size).toBe(4)
  // A minute on a quiet machine; none is too slow for it.
}, 600_000)

function laneAt(i: number): Lane {
  const lane = world.lanes[i]
  if (lane === undefined) throw new Error('no such lane')
  return lane
}

async function tryPlan(plan: TokenPlan, lane: Lane): Promise<void> {
  const expectation = expectationOf(plan, world, lane)
  const request = await createRequest(plan, expectation.reasons, lane)
  const answer = await world.http.send(request)
  const body = parseJson(answer.text)
  try {
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': expect.stringMatching(/^application\/json/),
    })
    if (answer.status === 200) expectToken(body, expectation)
    else expectRefusal(answer, body, { plan, expectation })
  } catch (cause) {
    const sent = { ...request, body: String(request.body).slice(0, 1000) }
    const story = JSON.stringify({ plan, reasons: expectation.reasons, sent, answer }, null, 1)
    throw new Error(`${(cause as Error).message}\n${story}`, { cause })
  }
  if (answer.status === 200) granted.add(plan.grant)
}

function expectRefusal(
  { status, headers }: RawAnswer,
  body: Record<string, unknown>,
  { plan, expectation: { reasons, isOpen } }: { plan: TokenPlan; expectation: Expectation },
): void {
  if (!isOpen) expect(reasons).not.toEqual([])
  const { error, error_description: description = '' } = body
  expect(ERRORS).toContain(error)
  expect(status).toBe(error === 'invalid_client' ? 401 : 400)
  expect(Object.keys(body)).not.toContain('access_token')
  expect(description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/)
  if (status === 401 && plan.client === 'secretive' && plan.authentication === 'proper') {
    expect(headers['www-authenticate']).toMatch(/^Basic/)
  }
  const lacksProof = plan.client === 'bound' && plan.proof === 'absent'
  if (lacksProof && reasons.every((reason) => PROOF_REASONS.has(reason))) {
    expect(error).toBe('invalid_dpop_proof')
  }
}

function expectToken(body: Record<string, unknown>, { reasons, token }: Expectation): void {
  expect(reasons).toEqual([])
  const accessToken = String(body['access_token'])
  const claims = decodeJwt<{ cnf?: object; scope?: string; client_id: string }>(accessToken)
  const { sub, client_id, aud, scope = '', cnf, iat, exp, iss } = claims
  const { jkt } = token
  expect(decodeProtectedHeader(accessToken)).toMatchObject({ alg: 'RS256', typ: 'at+jwt' })
  expect({
    claims: { iss, sub, client_id, aud, scope, cnf, seconds: Number(exp) - Number(iat) },
    tokenType: body['token_type'],
    saidScope: body['scope'] ?? '',
    refreshes: 'refresh_token' in body,
    identifies: 'id_token' in body,
  }).toEqual({
    claims: {
      iss: world.issuer,
      sub: token.sub,
      client_id: token.client_id,
      aud: token.aud,
      scope: token.scope,
      cnf: jkt === undefined ? undefined : { jkt },
      seconds: 900,
    },
    saidScope: token.scope,
    tokenType: jkt === undefined ? 'Bearer' : 'DPoP',
    refreshes: token.refreshes,
    identifies: token.identifies,
  })
}

function parseJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}
