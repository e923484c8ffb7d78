import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createRemoteJwks } from '../../src/tokens/remote-jwks.ts'
import { createTokenVerifier } from '../../src/tokens/verify.ts'
import { startLoneProxy } from '../support/lone-proxy.ts'
import { KID, startTestIssuer, type TestIssuer } from '../support/test-issuer.ts'
import { waitUntil } from '../support/wait-until.ts'

const COOLDOWN_SECONDS = 10
const AUDIENCE = 'http://localhost:8080'

let now = 0
const clock = () => now
let issuer: TestIssuer
beforeEach(async () => {
  now = 1_800_000_000_000
  issuer = await startTestIssuer(AUDIENCE, clock)
})
afterEach(() => issuer.close())

/** The same token under a kid that nobody has. */
function withRandomKid(token: string): string {
  const header = { alg: 'RS256', typ: 'at+jwt', kid: randomUUID() }
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  return [encoded, ...token.split('.').slice(1)].join('.')
}

/** Keeps the JWKS back until it is let go. */
function holdBack(from: TestIssuer) {
  const held: ServerResponse[] = []
  from.answerJwks((res) => void held.push(res))
  return {
    arrived: () => held.length,
    letGo() {
      from.answerJwks((res) => res.end(JSON.stringify({ keys: from.published })))
      for (const res of held) res.end(JSON.stringify({ keys: from.published }))
    },
  }
}

const reasonOf = (error: unknown) => (error instanceof AppError ? error.reason : String(error))

test('100,000 random kids over ten cooldowns cause ten fetches, and no good token waits for one', async () => {
  const jwks = createRemoteJwks({
    issuer: issuer.url,
    cooldownSeconds: COOLDOWN_SECONDS,
    maxStaleSeconds: 3600,
    clock,
    log: createLog('silent'),
  })
  const policy = { issuer: issuer.url, audiences: [AUDIENCE], clockSkewSeconds: 30 }
  const verify = createTokenVerifier(jwks, policy, clock)
  await jwks.fetch(KID)
  const good = await issuer.sign()
  const attack = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        verify(withRandomKid(good)).then(() => 'let in', reasonOf),
      ),
    )

  for (let window = 1; window <= 10; window += 1) {
    now += COOLDOWN_SECONDS * 1000
    const keys = holdBack(issuer)
    const during = attack(5000)
    await waitUntil('a fetch', async () => keys.arrived() === 1)
    expect((await verify(good)).jti).toBeDefined()
    keys.letGo()
    expect(new Set(await during)).toEqual(new Set(['unknown_kid']))
    // While the cooldown lasts, they are refused without a fetch.
    now += COOLDOWN_SECONDS * 1000 - 1
    expect(new Set(await attack(5000))).toEqual(new Set(['unknown_kid']))
    now -= COOLDOWN_SECONDS * 1000 - 1
    expect(issuer.fetches()).toBe(1 + window)
  }
}, 60_000)

test('a proxy under such an attack lets the good ones through while its one fetch is under way', async () => {
  const proxy = await startLoneProxy([`proxy.jwks.cooldownSeconds=${COOLDOWN_SECONDS}`])
  const good = `Bearer ${await proxy.issuer.sign()}`
  expect((await proxy.call(good)).status).toBe(200)
  const before = proxy.issuer.fetches()
  for (let window = 1; window <= 3; window += 1) {
    proxy.time.now += COOLDOWN_SECONDS * 1000
    const keys = holdBack(proxy.issuer)
    const attack = Array.from({ length: 300 }, async () => {
      const response = await proxy.call(`Bearer ${withRandomKid(good.slice('Bearer '.length))}`)
      return response.status
    })
    await waitUntil('a fetch', async () => keys.arrived() === 1)
    const another = `Bearer ${await proxy.issuer.sign()}`
    expect([(await proxy.call(good)).status, (await proxy.call(another)).status]).toEqual([
      200, 200,
    ])
    keys.letGo()
    expect(new Set(await Promise.all(attack))).toEqual(new Set([401]))
    expect(proxy.issuer.fetches() - before).toBe(window)
  }
  await proxy.close()
})
