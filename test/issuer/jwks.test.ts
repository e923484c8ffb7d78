import Koa from 'koa'
import { createServer, request, type IncomingMessage, type Server } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serveJwks } from '../../src/issuer/jwks.ts'
import { createRing, publicJwks, type Ring } from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

const ringOf = (name: string) => createRing(makeFakeKey(name), makeFakeKey(`${name}-next`), 0)
const first = ringOf('a')

let ring: Ring = first
let server: Server
beforeEach(() => void (ring = first))
beforeAll(async () => {
  const source = { current: () => ring, onChange: () => () => undefined }
  const app = new Koa().use(serveJwks({ ring: source, jwksMaxAgeSeconds: 301 }))
  const callback = app.callback()
  server = createServer((req, res) => void callback(req, res))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

/** Without what a client would do on its own: decoding, headers of its own. */
async function get(headers: Record<string, string> = {}, method = 'GET') {
  const address = server.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ port, path: '/jwks', method, headers, agent: false }, resolve)
      .on('error', reject)
      .end()
  })
  const body = Buffer.concat(await response.toArray())
  return { status: response.statusCode, headers: response.headers, body }
}
const etagNow = async () => String((await get()).headers.etag)

test('a cache may keep it for max-age, and none serves it for longer than two of them', async () => {
  const { 'cache-control': text = '' } = (await get()).headers
  const [, maxAge, whileFetching, onError] =
    /^public, max-age=(\d+), stale-while-revalidate=(\d+), stale-if-error=(\d+)$/.exec(text) ?? []
  expect(Number(maxAge)).toBe(301)
  expect(Number(maxAge) + Number(whileFetching)).toBeLessThanOrEqual(602)
  expect(Number(maxAge) + Number(onError)).toBeLessThanOrEqual(602)
})

test('scripts of any origin may read it', async () => {
  const { headers } = await get({ origin: 'https://app.example' })
  expect(headers['access-control-allow-origin']).toBe('*')
  expect(headers).not.toHaveProperty('access-control-allow-credentials')
})

describe('who has it already', () => {
  test.each([
    ['the same tag', (tag: string) => tag],
    ['the tag made strong on the way', (tag: string) => tag.replace('W/', '')],
    ['one of a list', (tag: string) => `"x", ${tag} , W/"y"`],
    ['whatever there is', () => '*'],
  ])('gets 304 without a body for %s', async (_what, condition) => {
    const answer = await get({ 'if-none-match': condition(await etagNow()) })
    expect([answer.status, answer.body.length]).toEqual([304, 0])
    expect(answer.headers).toMatchObject({
      etag: await etagNow(),
      vary: 'Accept-Encoding',
      'cache-control': expect.stringContaining('max-age'),
    })
    expect(answer.headers).not.toHaveProperty('content-type')
    expect(answer.headers).not.toHaveProperty('content-encoding')
  })

  test.each(['"x"', 'W/"x"', 'x', '', '"*"'])('gets all of it for %j', async (condition) => {
    expect((await get({ 'if-none-match': condition })).status).toBe(200)
  })

  test('gets the new one as soon as the ring changes', async () => {
    const before = await etagNow()
    ring = ringOf('b')
    const answer = await get({ 'if-none-match': before })
    expect(answer.status).toBe(200)
    expect(answer.headers.etag).not.toBe(before)
    expect(JSON.parse(answer.body.toString())).toEqual(publicJwks(ring))
  })
})

describe('compression', () => {
  test.each(['gzip', 'br, gzip;q=0.5', '*', 'GZIP'])('serves gzip for %j', async (accepted) => {
    const { headers, body } = await get({ 'accept-encoding': accepted })
    expect(headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
    expect(headers['content-length']).toBe(String(body.length))
    expect(JSON.parse(gunzipSync(body).toString())).toEqual(publicJwks(first))
  })

  test.each([undefined, 'identity', 'br', 'gzip;q=0', '*;q=0, identity'])(
    'leaves it plain for %j',
    async (accepted) => {
      const { headers, body } = await get(
        accepted === undefined ? {} : { 'accept-encoding': accepted },
      )
      expect(headers).not.toHaveProperty('content-encoding')
      expect(headers.vary).toBe('Accept-Encoding')
      expect(JSON.parse(body.toString())).toEqual(publicJwks(first))
    },
  )
})

test.each(['gzip', 'identity'])('HEAD says what GET would, encoding %s', async (accepted) => {
  const headers = { 'accept-encoding': accepted }
  const [got, head] = [await get(headers), await get(headers, 'HEAD')]
  const { date: _moment, ...same } = got.headers
  expect([head.status, head.body.length]).toEqual([200, 0])
  expect(head.headers).toMatchObject(same)
})
