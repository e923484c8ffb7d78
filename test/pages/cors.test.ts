import { createServer } from 'node:http'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../support/chromium.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { openPage } from '../support/open-page.ts'

const APP = 'https://app.example'
const PATH = '/v1/chat/completions'

let proxy: LoneProxy
let app: Awaited<ReturnType<typeof startPage>>
let token: string
beforeAll(async () => {
  app = await startPage()
  proxy = await startLoneProxy([`proxy.cors.origins=${APP},${app.origin}`])
  token = await proxy.issuer.sign()
})
afterAll(() => Promise.all([proxy.close(), app.close()]))
beforeEach(() => {
  proxy.model.received.length = 0
  proxy.model.answer((_req, res) => {
    res.setHeader('access-control-allow-origin', '*')
    res.setHeader('access-control-allow-credentials', 'true')
    res.setHeader('vary', 'Accept')
    res.end('{"read":true}')
  })
})

/** An empty page, for scripts to run in. */
async function startPage() {
  const server = createServer((_req, res) => {
    res.setHeader('content-type', 'text/html').end('<title>app</title>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    origin: `http://localhost:${address.port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const preflight = (origin: string, path = PATH, method = 'POST') =>
  proxy.call(
    undefined,
    {
      method: 'OPTIONS',
      body: null,
      headers: {
        origin,
        'access-control-request-method': method,
        'access-control-request-headers': 'authorization,content-type,x-stainless-lang',
      },
    },
    path,
  )
const corsOf = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => /^access-control|^vary$/.test(name)))

describe('a preflight', () => {
  test('of a named origin is answered without a token, and reaches no model server', async () => {
    const answer = await preflight(APP)
    expect(answer.status).toBe(204)
    expect(corsOf(answer)).toEqual({
      'access-control-allow-origin': APP,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'authorization,content-type,x-stainless-lang',
      'access-control-expose-headers': expect.stringContaining('DPoP-Nonce'),
      'access-control-max-age': '600',
      vary: 'Origin, Access-Control-Request-Headers',
    })
    expect(proxy.model.received).toEqual([])
    expect(proxy.logged.filter((line) => line['route'] === PATH)).toHaveLength(1)
  })

  test.each([
    ['https://evil.example'],
    ['https://app.example.evil.example'],
    ['http://app.example'],
    ['https://APP.example'],
    ['null'],
    [`${APP}, ${APP}`],
  ])('of %s is an unknown method like any other', async (origin) => {
    const answer = await preflight(origin)
    expect(answer.status).toBe(405)
    expect(corsOf(answer)).toEqual({ vary: 'Origin' })
  })

  test('for what is no route is 404', async () => {
    expect((await preflight(APP, '/admin')).status).toBe(404)
  })
})

describe('an answer', () => {
  const call = (origin: string | undefined, authorization?: string) =>
    proxy.call(authorization, origin === undefined ? {} : { headers: { origin } })

  test('may be read by scripts of a named origin, and only as we say, whatever the model server does', async () => {
    expect(corsOf(await call(APP, `Bearer ${token}`))).toEqual({
      'access-control-allow-origin': APP,
      'access-control-expose-headers': expect.stringContaining('X-Request-Id'),
      vary: 'Origin, Accept',
    })
  })

  test.each([['https://evil.example'], [undefined]])('says nothing to %s', async (origin) => {
    const answer = await call(origin, `Bearer ${token}`)
    expect(answer.status).toBe(200)
    expect(corsOf(answer)).toEqual({ vary: 'Origin, Accept' })
  })

  test('may be read when it is a refusal, too, so that a script can see why', async () => {
    const answer = await call(APP)
    expect(answer.status).toBe(401)
    expect(corsOf(answer)).toMatchObject({ 'access-control-allow-origin': APP, vary: 'Origin' })
  })
})

test('without proxy.cors.origins there is no header of CORS, also not from the model server', async () => {
  const plain = await startLoneProxy()
  plain.model.answer((_req, res) => void res.setHeader('access-control-allow-origin', '*').end())
  const init = { headers: { origin: APP } }
  const answers = [
    await plain.call(`Bearer ${await plain.issuer.sign()}`, init),
    await plain.call(undefined, init),
  ]
  await plain.close()
  expect(answers.map(({ status }) => status)).toEqual([200, 401])
  expect(answers.map(corsOf)).toEqual([{}, {}])
})

describe.skipIf(chromiumPath === undefined)('a script in a browser', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())

  test('of a named origin calls the API and reads why it is refused; another reads nothing', async () => {
    const { page, close } = await openPage(browser)
    const ask = (authorization: string) =>
      page.evaluate(
        async ([url = '', value = '']) => {
          const init = { method: 'POST', body: '{}', headers: { authorization: value } }
          try {
            const answer = await fetch(url, init)
            return [answer.status, answer.headers.get('www-authenticate')?.slice(0, 6) ?? null]
          } catch {
            return 'nothing'
          }
        },
        [`${proxy.url}${PATH}`, authorization],
      )
    await page.goto(app.origin)
    expect(await ask(`Bearer ${token}`)).toEqual([200, null])
    expect(await ask('Bearer x')).toEqual([401, 'Bearer'])
    await page.goto(app.origin.replace('localhost', '127.0.0.1'))
    expect(await ask(`Bearer ${token}`)).toBe('nothing')
    await close()
  })
})
