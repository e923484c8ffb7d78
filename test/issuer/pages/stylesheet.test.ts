import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { textFor } from '../../../src/issuer/pages/language.ts'
import { serveStylesheet, STYLESHEET_URL } from '../../../src/issuer/pages/stylesheet.ts'

let server: Server
let origin: string

beforeAll(async () => {
  const app = new Koa()
  app.use(serveStylesheet)
  app.use((ctx) => {
    ctx.body = textFor(ctx).lang
  })
  server = createServer(app.callback())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

describe('the stylesheet', () => {
  test('may be kept for good under the address that the pages name', async () => {
    const response = await fetch(`${origin}${STYLESHEET_URL}`)
    expect(response.headers.get('content-type')).toContain('text/css')
    expect(response.headers.get('cache-control')).toContain('immutable')
    expect(await response.text()).not.toMatch(/url\(|@import|https?:/)
  })

  test('is asked for anew under any other version, at the price of a 304', async () => {
    const response = await fetch(`${origin}/pages.css?v=older`)
    expect(response.headers.get('cache-control')).toBe('no-cache')
    const etag = response.headers.get('etag') ?? ''
    const again = await fetch(`${origin}/pages.css?v=older`, { headers: { 'if-none-match': etag } })
    expect(again.status).toBe(304)
  })
})

describe('the language', () => {
  test.each([
    ['zh-CN', 'zh-CN'],
    ['zh', 'zh-CN'],
    ['zh-TW,zh;q=0.9', 'zh-CN'],
    ['en;q=0.5, zh-CN', 'zh-CN'],
    ['zh;q=0.1, en-GB', 'en'],
    ['fr', 'en'],
    ['*', 'en'],
    [';;;q=', 'en'],
  ])('of a reader who accepts «%s» is %s', async (accepted, lang) => {
    const response = await fetch(origin, { headers: { 'accept-language': accepted } })
    expect(await response.text()).toBe(lang)
  })
})
