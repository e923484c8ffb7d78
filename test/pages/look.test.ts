import axe from 'axe-core'
import Koa, { type Context } from 'koa'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { browserHeaders, sendPage } from '../../src/issuer/page-responses.ts'
import { textFor } from '../../src/issuer/pages/language.ts'
import type { PageText } from '../../src/issuer/pages/page-text.ts'
import { serveStylesheet } from '../../src/issuer/pages/stylesheet.ts'
import { chromiumPath, launchChromium } from '../support/chromium.ts'
import { openPage } from '../support/open-page.ts'
import { SAMPLE_PAGES } from '../support/sample-pages.ts'

const LANGUAGES = ['en-GB', 'zh-CN']
/** Colours do not depend on the size, nor sizes on the colours: so each of them once. */
const LOOKS = [
  { colorScheme: 'light', width: 1280, height: 800 },
  { colorScheme: 'dark', width: 360, height: 740 },
] as const
/** Where to leave pictures of all pages to look at, if anywhere. */
const pictures = process.env['PAGE_PICTURES']

describe.skipIf(chromiumPath === undefined)('every page', () => {
  let server: Server
  let browser: Browser
  let origin: string
  beforeAll(async () => {
    server = serveSamples()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    browser = await launchChromium()
    if (pictures !== undefined) mkdirSync(pictures, { recursive: true })
  })
  afterAll(async () => {
    await browser.close()
    server.closeAllConnections()
    server.close()
  })

  test.each(LANGUAGES)(
    'in %s has nothing that axe finds, by day and night, on a desk and on a phone',
    async (locale) => {
      // The policy keeps axe out as it keeps any other script out.
      const { page, close } = await openPage(browser, { locale, bypassCSP: true })
      for (const name of Object.keys(SAMPLE_PAGES)) {
        await page.goto(`${origin}/${name}`)
        await page.evaluate(axe.source)
        for (const { colorScheme, ...viewport } of LOOKS) {
          await page.setViewportSize(viewport)
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
          const where = `${name}-${locale}-${viewport.width}-${colorScheme}`
          expect(await findViolations(page), `${where} and axe`).toEqual([])
          expect(await overflow(page), `${where} is too wide`).toBe(0)
          if (pictures !== undefined) await page.screenshot({ path: `${pictures}/${where}.png` })
        }
      }
      await close()
    },
  )

  test('loads nothing but its stylesheet, and breaks no rule of its policy', async () => {
    const { page, complaints, close } = await openPage(browser)
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    for (const name of Object.keys(SAMPLE_PAGES)) await page.goto(`${origin}/${name}`)
    expect(new Set(asked.filter((path) => !(path.slice(1) in SAMPLE_PAGES)))).toEqual(
      new Set(['/pages.css']),
    )
    expect(complaints).toEqual([])
    await close()
  })
})

function serveSamples(): Server {
  const app = new Koa()
  app.use(serveStylesheet)
  app.use((ctx: Context) => {
    const render: ((text: PageText) => string) | undefined = SAMPLE_PAGES[ctx.path.slice(1)]
    if (render === undefined) return
    const text = textFor(ctx)
    ctx.set(browserHeaders(false))
    sendPage(ctx, { text, page: render(text) })
  })
  const callback = app.callback()
  return createServer((req, res) => void callback(req, res))
}

async function findViolations(page: Page): Promise<unknown> {
  return page.evaluate(
    `axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]))`,
  )
}

/** How much of the page one would have to scroll sideways for, in pixels. */
async function overflow(page: Page): Promise<unknown> {
  return page.evaluate(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
}
