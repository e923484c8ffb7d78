import { startBrowser, type Browser } from './browser.ts'

export type Person = { username: string; password: string }

/** A browser that fills in the pages of an issuer for one person, who agrees to everything. */
export type FormBrowser = Browser & {
  /** Where the authorization led, in the end: the client's address with the answer in it, or a page of the issuer. */
  authorize: (url: string) => Promise<URL>
  /** Enters the code that a device shows, and agrees. */
  connectDevice: (issuer: string, userCode: string) => Promise<void>
}

const MAX_STEPS = 6

export function startFormBrowser({ username, password }: Person): FormBrowser {
  const browser = startBrowser()

  async function takeSteps(from: string): Promise<URL> {
    let at = await browser.open(from)
    for (let step = 0; step < MAX_STEPS && at.pathname.startsWith('/interaction/'); step += 1) {
      const page = await (await browser.fetch(at.href)).text()
      const isSignIn = page.includes('name="password"')
      const answered = await post(at.href, {
        form_token: fieldOf(page, 'form_token'),
        ...(isSignIn ? { decision: 'sign_in', username, password } : { decision: 'allow' }),
      })
      const location = answered.headers.get('location')
      if (location === null) return at
      at = await browser.open(new URL(location, at).href)
    }
    return at
  }

  const post = (url: string, fields: Record<string, string>) =>
    browser.fetch(url, { method: 'POST', body: new URLSearchParams(fields) })

  return {
    ...browser,
    authorize: takeSteps,
    async connectDevice(issuer, userCode) {
      const url = `${issuer}/device`
      const xsrf = fieldOf(await (await browser.fetch(url)).text(), 'xsrf')
      const answered = await post(url, { xsrf, user_code: userCode, confirm: 'yes' })
      const location = answered.headers.get('location')
      if (location !== null) await takeSteps(new URL(location, url).href)
    },
  }
}

const fieldOf = (page: string, name: string): string =>
  new RegExp(`name="${name}" value="([^"]+)"`).exec(page)?.[1] ?? ''
