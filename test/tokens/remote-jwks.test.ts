import fc from 'fast-check'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { openAuthenticatedFile } from '../../src/kernel/authenticated-file.ts'
import { AppError, AuthError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { keepJwks } from '../../src/tokens/kept-jwks.ts'
import { createRemoteJwks, type RemoteJwks } from '../../src/tokens/remote-jwks.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { KID, startTestIssuer, type TestIssuer } from '../support/test-issuer.ts'

const COOLDOWN = 10
const MAX_STALE = 3600

let now = 0
const clock = () => now
const log = createLog('silent')
const open: TestIssuer[] = []
let issuer: TestIssuer
let jwks: RemoteJwks

const createJwks = (
  over: { issuer?: string; jwksUrl?: string; reliableSinceMs?: () => number } = {},
) =>
  createRemoteJwks({
    issuer: issuer.url,
    cooldownSeconds: COOLDOWN,
    maxStaleSeconds: MAX_STALE,
    clock,
    log,
    ...over,
  })

beforeEach(async () => {
  now = 1_000_000_000_000
  issuer = await startTestIssuer('aud', clock)
  open.push(issuer)
  jwks = createJwks()
})
afterAll(() => Promise.all(open.map((each) => each.close())))

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'found',
    (error: unknown) =>
      error instanceof AppError ? `${error.code}/${error.reason}` : String(error),
  )

describe('keys that are at hand', () => {
  test('are not relied on when what was revoked since may have been missed, but fetched again', async () => {
    let reliableSinceMs = -Infinity
    const watched = createJwks({ reliableSinceMs: () => reliableSinceMs })
    await watched.fetch(KID)
    now += 20_000
    reliableSinceMs = now - 10_000
    expect([watched.find(KID), watched.isUsable(), watched.published()]).toEqual([
      undefined,
      false,
      undefined,
    ])
    watched.refreshIfDue()
    await expect.poll(watched.isUsable).toBe(true)
    expect(watched.find(KID)).toBeDefined()
    expect(issuer.fetches()).toBe(2)
  })

  test('are found without a fetch, and fetched again in the background when max-age is over', async () => {
    await jwks.fetch(KID)
    expect(jwks.find(KID)).toBeDefined()
    now += 299_000
    jwks.refreshIfDue()
    expect(issuer.fetches()).toBe(1)
    now += 2000
    jwks.refreshIfDue()
    jwks.refreshIfDue()
    expect(jwks.find(KID)).toBeDefined()
    await expect.poll(jwks.ageSeconds).toBe(0)
    expect(issuer.fetches()).toBe(2)
  })

  test("follow the issuer's own max-age", async () => {
    issuer.answerJwks((res) => {
      res
        .setHeader('cache-control', 'public, max-age=20')
        .end(JSON.stringify({ keys: issuer.published }))
    })
    await jwks.fetch(KID)
    now += 21_000
    jwks.refreshIfDue()
    await expect.poll(jwks.ageSeconds).toBe(0)
  })

  test('are fetched again long before they may no longer be used, whatever max-age the issuer gives', async () => {
    issuer.answerJwks((res) => {
      res
        .setHeader('cache-control', 'max-age=2592000')
        .end(JSON.stringify({ keys: issuer.published }))
    })
    await jwks.fetch(KID)
    now += (MAX_STALE / 2) * 1000
    jwks.refreshIfDue()
    await expect.poll(jwks.ageSeconds).toBe(0)
  })

  test('outlive an outage up to the ceiling, then it is 503 and never 401', async () => {
    await jwks.fetch(KID)
    issuer.answerJwks((res) => res.writeHead(500).end())
    now += MAX_STALE * 1000
    jwks.refreshIfDue()
    expect(jwks.find(KID)).toBeDefined()
    expect(jwks.isUsable()).toBe(true)
    now += 1000
    expect(jwks.find(KID)).toBeUndefined()
    expect(jwks.isUsable()).toBe(false)
    expect(await codeOf(jwks.fetch(KID))).toBe('temporarily_unavailable/keys_unavailable')
  })

  test('leave as soon as the issuer no longer publishes them', async () => {
    await jwks.fetch(KID)
    const { published } = await startTestIssuer('aud').then((other) => (open.push(other), other))
    issuer.published = [{ ...published[0], kid: 'other' }]
    now += 301_000
    jwks.refreshIfDue()
    await expect.poll(() => jwks.find('other')).toBeDefined()
    expect(jwks.find(KID)).toBeUndefined()
  })

  test.each([
    ['an empty set', '{"keys":[]}'],
    ['no JSON', '<html>'],
    [
      'a set of other keys',
      '{"keys":[{"kty":"EC","crv":"P-256","kid":"e"},{"kty":"oct","k":"AA","kid":"o"}]}',
    ],
    [
      'a short key',
      JSON.stringify({ keys: [{ kty: 'RSA', kid: 'test-key-1', n: 'AQAB', e: 'AQAB' }] }),
    ],
    ['two megabytes', ' '.repeat(2_000_000)],
  ])('are kept when the issuer answers with %s', async (_what, body) => {
    await jwks.fetch(KID)
    issuer.answerJwks((res) => res.end(body))
    now += 301_000
    expect(await codeOf(jwks.fetch('unknown'))).toBe('temporarily_unavailable/keys_unavailable')
    expect(jwks.find(KID)).toBeDefined()
  })
})

describe('a kid that is not at hand', () => {
  test('10,000 unknown kids at once cause one fetch', async () => {
    await jwks.fetch(KID)
    now += COOLDOWN * 1000
    const codes = await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => codeOf(jwks.fetch(`kid-${i}`))),
    )
    expect(new Set(codes)).toEqual(new Set(['invalid_token/unknown_kid']))
    expect(issuer.fetches()).toBe(2)
  })

  test('is found when the issuer has just published it', async () => {
    await jwks.fetch(KID)
    issuer.published.push({ ...issuer.published[0], kid: 'new' })
    expect(await codeOf(jwks.fetch('new'))).toBe('invalid_token/unknown_kid')
    now += COOLDOWN * 1000
    expect(await codeOf(jwks.fetch('new'))).toBe('found')
  })

  test('is 503 with Retry-After, not 401, while the last fetch failed', async () => {
    issuer.answerJwks((res) => res.writeHead(500).end())
    const error = await jwks.fetch(KID).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).not.toBeInstanceOf(AuthError)
    expect(error).toMatchObject({
      code: 'temporarily_unavailable',
      headers: { 'retry-after': '10' },
    })
  })

  test('never causes more than one fetch per cooldown, whether fetches succeed or fail', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ waitMs: fc.nat(15_000), fails: fc.boolean() }), { maxLength: 30 }),
        async (steps) => {
          const fresh = createJwks({ jwksUrl: `${issuer.url}/jwks` })
          const startedAt = issuer.fetches()
          const begin = now
          for (const { waitMs, fails } of steps) {
            now += waitMs
            issuer.answerJwks((res) =>
              fails
                ? res.writeHead(503).end()
                : res.end(JSON.stringify({ keys: issuer.published })),
            )
            await codeOf(fresh.fetch('unknown'))
            fresh.refreshIfDue()
          }
          const atMost = Math.floor((now - begin) / (COOLDOWN * 1000)) + 1
          expect(issuer.fetches() - startedAt).toBeLessThanOrEqual(atMost)
        },
      ),
      { numRuns: 20 },
    )
  })
})

describe('where the keys come from', () => {
  test('metadata that names another issuer is not believed', async () => {
    const other = createJwks({ issuer: issuer.url.replace('127.0.0.1', 'localhost') })
    expect(await codeOf(other.fetch(KID))).toBe('temporarily_unavailable/keys_unavailable')
    expect(issuer.fetches()).toBe(0)
  })

  test('plain http off loopback is never fetched', async () => {
    const other = createJwks({ jwksUrl: 'http://192.0.2.1/jwks' })
    expect(await codeOf(other.fetch(KID))).toBe('temporarily_unavailable/keys_unavailable')
  })

  test('a redirect is not followed', async () => {
    issuer.answerJwks((res) => res.writeHead(302, { location: `${issuer.url}/elsewhere` }).end())
    expect(await codeOf(jwks.fetch(KID))).toBe('temporarily_unavailable/keys_unavailable')
  })
})

describe('a key that was revoked', () => {
  test('is gone at once, is asked about until the issuer takes it away, and never comes back', async () => {
    await jwks.fetch(KID)
    issuer.published.push({ ...issuer.published[0], kid: 'other' })
    jwks.drop(KID)
    expect(jwks.find(KID)).toBeUndefined()
    // The issuer publishes it still: it is asked again, within the cooldown.
    await expect.poll(() => jwks.find('other')).toBeDefined()
    expect(issuer.fetches()).toBe(2)
    expect(jwks.find(KID)).toBeUndefined()
    expect(await codeOf(jwks.fetch(KID))).toBe('invalid_token/unknown_kid')
    expect(await codeOf(jwks.fetch('fresh'))).toBe('temporarily_unavailable/keys_unavailable')

    issuer.published.shift()
    issuer.published.push({ ...issuer.published[0], kid: 'fresh' })
    jwks.refreshIfDue()
    await expect.poll(() => jwks.find('fresh')).toBeDefined()
    jwks.refreshIfDue()
    jwks.drop(KID)
    expect(issuer.fetches()).toBe(3)
    expect(await codeOf(jwks.fetch('no such'))).toBe('invalid_token/unknown_kid')
  })

  test('that the issuer goes on publishing is asked about a bounded number of times', async () => {
    await jwks.fetch(KID)
    issuer.published.push({ ...issuer.published[0], kid: 'other' })
    jwks.drop(KID)
    for (let second = 0; second < 100; second += 1) {
      jwks.refreshIfDue()
      await jwks.fetch('unknown').catch(() => undefined)
    }
    expect(issuer.fetches()).toBeLessThanOrEqual(32)
    expect(issuer.fetches()).toBeGreaterThan(10)
  })
})

test('tells by how much the issuer’s clock is ahead, also through a cache', async () => {
  issuer.answerJwks((res) => {
    res
      .setHeader('date', new Date(now - 10_000).toUTCString())
      .setHeader('age', '40')
      .end(JSON.stringify({ keys: issuer.published }))
  })
  expect(jwks.issuerAheadSeconds()).toBeUndefined()
  await jwks.fetch(KID)
  expect(jwks.issuerAheadSeconds()).toBe(30.5)
})

describe('keys that are kept on disk', () => {
  const newFolder = useTempFolders()
  const fileAt = (path: string) =>
    openAuthenticatedFile({ path, key: Buffer.alloc(32, 1), purpose: ['jwks', issuer.url] })

  async function keepFetched(): Promise<string> {
    const path = join(newFolder(), 'jwks.json')
    const { close } = await keepJwks(fileAt(path), jwks, { clock, log })
    await jwks.fetch(KID)
    await close()
    return path
  }

  test('serve the next process while the issuer is away, as old as they are', async () => {
    const path = await keepFetched()
    issuer.answerJwks((res) => res.writeHead(500).end())
    now += 1_000_000
    const next = createJwks()
    const { close } = await keepJwks(fileAt(path), next, { clock, log })
    expect(next.find(KID)).toBeDefined()
    expect(next.ageSeconds()).toBe(1000)
    now += (MAX_STALE - 1000) * 1000 + 1
    expect(next.find(KID)).toBeUndefined()
    expect(await codeOf(next.fetch(KID))).toBe('temporarily_unavailable/keys_unavailable')
    await close()
  })

  test('are fetched again at once, and a dropped key is not kept', async () => {
    const path = await keepFetched()
    const next = createJwks()
    const { close } = await keepJwks(fileAt(path), next, { clock, log })
    issuer.published.push({ ...issuer.published[0], kid: 'other' })
    next.refreshIfDue()
    await expect.poll(() => next.find('other')).toBeDefined()
    next.drop(KID)
    await close()
    const third = createJwks()
    await keepJwks(fileAt(path), third, { clock, log })
    expect([third.find(KID), third.find('other') !== undefined]).toEqual([undefined, true])
  })

  test('are left aside when they are not what was kept, or from the future', async () => {
    const path = await keepFetched()
    now -= 1
    const early = createJwks()
    await keepJwks(fileAt(path), early, { clock, log })
    now += 1
    writeFileSync(path, readFileSync(path, 'utf8').replace(KID, 'other-key-1'))
    const forged = createJwks()
    await keepJwks(fileAt(path), forged, { clock, log })
    expect([early.isUsable(), forged.isUsable()]).toEqual([false, false])
  })
})
