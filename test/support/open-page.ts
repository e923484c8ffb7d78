import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export type OpenPage = {
  page: Page
  /** Every breach of the policy, script error and failed request that the browser reported. */
  complaints: string[]
  /** Ends the browser profile with its cookies. */
  close: () => Promise<void>
}

/** A status that the tests ask for themselves, and a test that typed before the page had put the focus anywhere. */
const HARMLESS =
  /^(Failed to load resource: the server responded with|Autofocus processing was blocked)/

/** A page in a profile of its own, which listens to what the browser complains about. Answers of 4xx are no complaint. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<OpenPage> {
  const context = await browser.newContext({ locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  const complaints: string[] = []
  page.on('console', (message) => {
    if (!HARMLESS.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`))
  return { page, complaints, close: () => context.close() }
}
