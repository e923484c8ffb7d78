import * as fc from 'fast-check'
import { exportJWK, SignJWT } from 'jose'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createDpopNonces, type DpopNonces } from '../../src/tokens/dpop-nonces.ts'
import {
  createDpopVerifier,
  DPOP_ALGORITHMS,
  usedBefore,
  type DpopVerifier,
} from '../../src/tokens/dpop-proof.ts'
import { createReplayMemory, type ReplayMemory } from '../../src/store/replay-memory.ts'
import { createDpopClient, type DpopClient } from '../support/dpop-client.ts'

const METHOD = 'POST'
const URI = 'https://ocr.example/v1/chat/completions'
const TOKEN = 'a.b.c'
const REQUEST = { method: METHOD, uri: URI, accessToken: TOKEN }

let now: number
const clock = () => now
let client: DpopClient
let nonces: DpopNonces
let verify: DpopVerifier
let isUnused: ReplayMemory
beforeAll(async () => {
  client = await createDpopClient(clock)
})
beforeEach(() => {
  now = 1_800_000_000_000
  const key = randomBytes(32)
  nonces = createDpopNonces(() => key, clock)
  isUnused = createReplayMemory(clock)
  verify = createDpopVerifier({
    nonces,
    clockSkewSeconds: 30,
    clock,
  })
})

/** As whoever lets a request in; gives the nonce to answer with. */
async function check(proof: string | undefined, over: Partial<typeof REQUEST> = {}) {
  const good = await verify({ ...REQUEST, ...over, proof, boundTo: client.jkt })
  if (!isUnused(good)) throw usedBefore()
  return good.nextNonce
}

/** The code and the reason of the refusal; `accepted` when there is none. */
async function outcomeOf(proof: string | undefined, over: Partial<typeof REQUEST> = {}) {
  try {
    await check(proof, over)
    return 'accepted'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return `${error.code} ${error.reason}`
  }
}

const travel = (seconds: number) => {
  now += seconds * 1000
}

describe('a DPoP proof (RFC 9449 §4.3)', () => {
  test.each(DPOP_ALGORITHMS)('signed with %s is accepted', async (alg) => {
    const signer = await createDpopClient(clock, alg)
    const proof = await signer.prove(REQUEST)
    const { nextNonce } = await verify({ ...REQUEST, proof, boundTo: signer.jkt })
    expect(nextNonce).toBe(nonces.current())
  })

  test('1: two of them, or none, are refused', async () => {
    const [one, other] = [await client.prove(REQUEST), await client.prove(REQUEST)]
    expect(await outcomeOf(`${one}, ${other}`)).toBe('invalid_dpop_proof dpop_malformed')
    expect(await outcomeOf(undefined)).toBe('invalid_dpop_proof dpop_missing')
  })

  test('2: what is no JWS, or too long, is refused', async () => {
    const good = await client.prove(REQUEST)
    for (const bad of ['', 'x', 'a.b', 'a.b.c', `${good}.x`, `${good}=`, 'x'.repeat(5000)]) {
      expect(await outcomeOf(bad)).toBe('invalid_dpop_proof dpop_malformed')
    }
  })

  test.each(['jti', 'htm', 'htu', 'iat', 'ath'])('3: without %s it is refused', async (claim) => {
    const proof = await client.prove(REQUEST, { [claim]: undefined })
    expect(await outcomeOf(proof)).toBe(`invalid_dpop_proof dpop_claim_${claim}`)
  })

  test.each([
    ['jti', 7],
    ['jti', ''],
    ['jti', 'x'.repeat(257)],
    ['htm', ['POST']],
    ['htu', { href: URI }],
    ['iat', '1800000000'],
    ['ath', null],
    ['nonce', 5],
  ])('3: with the %s %j it is refused', async (claim, value) => {
    const proof = await client.prove(REQUEST, { [claim]: value })
    expect(await outcomeOf(proof)).toBe(`invalid_dpop_proof dpop_claim_${claim}`)
  })

  test.each(['at+jwt', 'JWT', 'dpop', undefined])(
    '4: of the type %s it is refused',
    async (typ) => {
      const proof = await client.prove(REQUEST, {}, { typ })
      expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_typ')
    },
  )

  test('5: unsigned, or signed with a shared secret, it is refused', async () => {
    const [, payload] = (await client.prove(REQUEST)).split('.')
    for (const alg of ['none', 'None', 'HS256']) {
      const header = { typ: 'dpop+jwt', alg, jwk: client.jwk }
      const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
      expect(await outcomeOf(`${encoded}.${payload}.AAAA`)).toBe('invalid_dpop_proof dpop_alg')
    }
  })

  test('6: with a signature of another key, or of other claims, it is refused', async () => {
    const other = await createDpopClient(clock)
    const forged = await client.prove(REQUEST, {}, { jwk: other.jwk })
    expect(await outcomeOf(forged)).toBe('invalid_dpop_proof dpop_signature')
    const [header, , signature] = (await client.prove(REQUEST)).split('.')
    const [, payload] = (await client.prove(REQUEST)).split('.')
    expect(await outcomeOf(`${header}.${payload}.${signature}`)).toBe(
      'invalid_dpop_proof dpop_signature',
    )
  })

  test('6: with a small RSA key, or a key for another algorithm, it is refused', async () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const jwk = small.publicKey.export({ format: 'jwk' })
    const asRsa = await client.prove(REQUEST, {}, { alg: 'ES256', jwk })
    expect(await outcomeOf(asRsa)).toBe('invalid_dpop_proof dpop_signature')
  })

  test('7: with a private key, a symmetric one or none in the header it is refused', async () => {
    const keys = [
      await exportJWK(client.privateKey),
      { kty: 'oct', k: 'c2VjcmV0' },
      undefined,
      'key',
      [client.jwk],
    ]
    for (const jwk of keys) {
      const proof = await client.prove(REQUEST, {}, { jwk })
      expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_jwk')
    }
  })

  test.each(['GET', 'post', 'POST '])('8: for the method %j it is refused', async (method) => {
    const proof = await client.prove({ ...REQUEST, method })
    expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_htm')
  })

  test.each([
    'https://ocr.example/v1/models',
    'http://ocr.example/v1/chat/completions',
    'https://evil.example/v1/chat/completions',
    'https://ocr.example:8443/v1/chat/completions',
    'https://user@ocr.example/v1/chat/completions',
    'https://ocr.example/v1/chat%2Fcompletions',
    'https://ocr.example/v1/chat/completions/',
    'https://ocr.example\\v1\\chat\\completions',
    ' https://ocr.example/v1/chat/completions',
    'https://ocr.example/v1/chat/completi\tons',
    '/v1/chat/completions',
    '',
  ])('9: for %j it is refused', async (uri) => {
    const proof = await client.prove({ ...REQUEST, uri })
    expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_htu')
  })

  test.each([
    'https://ocr.example/v1/chat/completions?page=2#top',
    'HTTPS://OCR.Example:443/v1/chat/completions',
    'https://ocr.example/v1/./x/../chat/completions',
    'https://ocr.example/%76%31/chat/completi%6fns',
  ])('9: for the same address spelt %j it is accepted', async (uri) => {
    expect(await outcomeOf(await client.prove({ ...REQUEST, uri }))).toBe('accepted')
  })

  test('10: with a nonce of ours it is accepted, however wrong the clock of its sender is', async () => {
    const nonce = nonces.current()
    expect(await outcomeOf(await client.prove(REQUEST, { nonce, iat: 5 }))).toBe('accepted')
    travel(60)
    expect(await outcomeOf(await client.prove(REQUEST, { nonce }))).toBe('accepted')
    travel(120)
    expect(await outcomeOf(await client.prove(REQUEST, { nonce }))).toBe(
      'use_dpop_nonce dpop_nonce',
    )
  })

  test('10: whoever is asked for a nonce is told one that is accepted, and is told no new one then', async () => {
    const refusal = await check(await client.prove(REQUEST, { nonce: 'old' })).catch(
      (error: unknown) => error,
    )
    const nonce = refusal instanceof AppError ? refusal.headers['dpop-nonce'] : undefined
    expect(nonce).toBe(nonces.current())
    expect(await check(await client.prove(REQUEST, { nonce }))).toBeUndefined()
  })

  test('11: made more than 90 s ago, or more than 30 s ahead, it is refused', async () => {
    const at = async (seconds: number) =>
      outcomeOf(await client.prove(REQUEST, { iat: now / 1000 + seconds }))
    expect(await at(-90)).toBe('accepted')
    expect(await at(30)).toBe('accepted')
    expect(await at(-91)).toBe('use_dpop_nonce dpop_iat')
    expect(await at(31)).toBe('use_dpop_nonce dpop_iat')
  })

  test('12: for another token, or by another key than that of the token, it is refused', async () => {
    const proof = await client.prove({ ...REQUEST, accessToken: 'another' })
    expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_ath')
    const thief = await createDpopClient(clock)
    expect(await outcomeOf(await thief.prove(REQUEST))).toBe('invalid_dpop_proof dpop_jkt')
  })

  test('§11.1: it counts once, for as long as it could be accepted', async () => {
    const proof = await client.prove(REQUEST, { iat: now / 1000 + 30 })
    expect(await outcomeOf(proof)).toBe('accepted')
    for (const seconds of [0, 60, 60]) {
      travel(seconds)
      expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_replay')
    }
    travel(1)
    expect(await outcomeOf(proof)).toBe('use_dpop_nonce dpop_iat')
  })

  test('§11.1: one of ten at the same time is accepted', async () => {
    const proof = await client.prove(REQUEST)
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => outcomeOf(proof)))
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(1)
  })

  test('a refused one is not remembered, so that nobody can use up the proofs of others', async () => {
    const proof = await client.prove(REQUEST)
    await outcomeOf(proof, { method: 'GET' })
    const thief = await createDpopClient(clock)
    await outcomeOf(await thief.prove(REQUEST, { jti: 'shared' }))
    expect(await outcomeOf(proof)).toBe('accepted')
    expect(await outcomeOf(await client.prove(REQUEST, { jti: 'shared' }))).toBe('accepted')
  })

  test('with an extension that must be understood it is refused', async () => {
    const [, payload, signature] = (await client.prove(REQUEST)).split('.')
    for (const extension of [{ crit: ['exp'] }, { b64: false }]) {
      const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: client.jwk, ...extension }
      const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
      expect(await outcomeOf(`${encoded}.${payload}.${signature}`)).toBe(
        'invalid_dpop_proof dpop_crit',
      )
    }
  })

  const members = fc.dictionary(
    fc.constantFrom('crit', 'b64', 'kid', 'jti', 'htm', 'htu', 'iat', 'ath', 'nonce'),
    fc.jsonValue(),
  )

  test('is refused by an AuthError whatever its header and claims are, never by a crash', async () => {
    await fc.assert(
      fc.asyncProperty(members, members, async (header, claims) => {
        const proof = await new SignJWT({ ...claims })
          .setProtectedHeader({ ...header, alg: 'ES256', typ: 'dpop+jwt', jwk: client.jwk })
          .sign(client.privateKey)
          .catch(() => 'a.b.c')
        expect(await outcomeOf(proof)).toMatch(/^invalid_dpop_proof /)
      }),
      { numRuns: 100 },
    )
  })

  test('with any one character changed is refused', async () => {
    const good = await client.prove(REQUEST)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.constantFrom('A', 'a', '0', '_', '-', '.', '=', '~'),
        async (index, character) => {
          fc.pre(good[index] !== character)
          const changed = good.slice(0, index) + character + good.slice(index + 1)
          expect(await outcomeOf(changed)).toMatch(/^invalid_dpop_proof /)
        },
      ),
      { numRuns: 200 },
    )
  })
})

test('a key on a curve that no algorithm here uses is refused', async () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const jwk = publicKey.export({ format: 'jwk' })
  const proof = await client.prove(REQUEST, {}, { jwk })
  expect(await outcomeOf(proof)).toBe('invalid_dpop_proof dpop_signature')
})
