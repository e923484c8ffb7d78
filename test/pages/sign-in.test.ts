import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../support/chromium.ts'
import { openPage } from '../support/open-page.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'

describe.skipIf(chromiumPath === undefined)('in a browser', () => {
  let people: People
  let browser: Browser
  let clientId: string
  beforeAll(async () => {
    people = await startPeople(['issuer.clientAuth.maxFailuresPerMinute=3'])
    browser = await launchChromium()
    clientId = await people.createApp({ name: 'Archive Viewer' })
    for (const username of ['mei', 'lin', 'ana', 'eva', 'sam'])
      await people.createUser({ username })
  })
  afterAll(async () => {
    await browser.close()
    await people.close()
  })

  const signIn = async (page: Page, username: string, password = PASSWORD) => {
    await page.getByLabel('Username').fill(username)
    await page.getByLabel('Password').fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }
  const allow = (page: Page) => page.getByRole('button', { name: 'Allow', exact: true }).click()
  const answerOf = async (page: Page) => {
    await page.getByRole('heading', { name: 'Welcome back' }).waitFor()
    return new URL(page.url()).searchParams
  }

  test.each([true, false])(
    'a person signs in, consents and comes back with a code that is good for a token (scripts: %s)',
    async (javaScriptEnabled) => {
      const { page, complaints, close } = await openPage(browser, { javaScriptEnabled })
      const username = javaScriptEnabled ? 'mei' : 'lin'
      const { url, verifier } = people.authorization(clientId)
      await page.goto(url)
      await expectText(page, 'to continue to Archive Viewer')
      await signIn(page, username.toUpperCase())
      await page.getByRole('heading', { name: 'Allow access?' }).waitFor()
      await expectText(page, 'read text from images and documents', username, 'Default', clientId)
      await allow(page)
      const answer = await answerOf(page)
      expect(answer.get('state')).toBe('the-state')
      expect(answer.get('iss')).toBe(people.issuer)
      const tokens = await people.redeem(clientId, answer.get('code') ?? '', verifier)
      expect(tokens).toMatchObject({
        access_token: expect.any(String),
        id_token: expect.any(String),
      })

      await page.goto(people.authorization(clientId).url)
      expect((await answerOf(page)).get('code'), 'a second sign-in asks nothing').not.toBeNull()
      expect(complaints).toEqual([])
      await close()

      const elsewhere = await openPage(browser)
      await elsewhere.page.goto(people.authorization(clientId).url)
      await signIn(elsewhere.page, username)
      expect(
        (await answerOf(elsewhere.page)).get('code'),
        'nor is consent asked again',
      ).not.toBeNull()
      await elsewhere.close()
    },
  )

  test('consent is asked when the client asks for it, and refused consent goes back to the client', async () => {
    const { page, close } = await openPage(browser)
    await page.goto(people.authorization(clientId, { prompt: 'consent' }).url)
    await signIn(page, 'ana')
    await allow(page)
    await answerOf(page)
    await page.goto(people.authorization(clientId, { prompt: 'consent' }).url)
    await expectText(page, 'read text from images', 'recognise you')
    await page.getByRole('button', { name: 'Do not allow' }).click()
    const answer = await answerOf(page)
    expect(Object.fromEntries(answer)).toMatchObject({ error: 'access_denied', state: 'the-state' })
    await close()
  })

  test('who cancels goes back to the client', async () => {
    const { page, close } = await openPage(browser)
    await page.goto(people.authorization(clientId).url)
    await page.getByRole('button', { name: 'Cancel' }).click()
    expect((await answerOf(page)).get('error')).toBe('access_denied')
    await close()
  })

  test('a wrong password is said above the form, where the focus is, and too many are stopped', async () => {
    const { page, complaints, close } = await openPage(browser)
    await page.goto(people.authorization(clientId).url)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await expectText(page, 'Enter your username and your password.')
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await signIn(page, 'eva', 'not the password')
      await expectText(page, 'Username and password do not match.')
      expect(await page.title()).toMatch(/^Error: /)
      expect(await page.locator(':focus').getAttribute('role')).toBe('alert')
      expect(await page.getByLabel('Username').inputValue()).toBe('eva')
      expect(await page.getByLabel('Password').inputValue()).toBe('')
    }
    const [response] = await Promise.all([page.waitForResponse(/interaction/), signIn(page, 'eva')])
    expect(response.status()).toBe(429)
    expect(Number(response.headers()['retry-after'])).toBeGreaterThan(0)
    await expectText(page, 'There were too many attempts.')
    expect(complaints).toEqual([])
    await close()
  })

  test('the keyboard alone is enough', async () => {
    const { page, close } = await openPage(browser)
    await page.goto(people.authorization(clientId, { prompt: 'consent' }).url)
    await page.locator('#username:focus').waitFor()
    await page.keyboard.type('sam')
    await page.keyboard.press('Tab')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Tab')
    expect(await focused(page)).toBe('Sign in')
    await page.keyboard.press('Tab')
    expect(await focused(page)).toBe('Cancel')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Allow access?' }).waitFor()
    await page.keyboard.press('Tab')
    expect(await focused(page)).toBe('Allow')
    await page.keyboard.press('Space')
    expect((await answerOf(page)).get('code')).not.toBeNull()
    await close()
  })

  test('a client that takes its answer by POST gets it from a button instead of a script', async () => {
    const { page, complaints, close } = await openPage(browser)
    await page.goto(people.authorization(clientId, { response_mode: 'form_post' }).url)
    await signIn(page, 'mei')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Welcome back' }).waitFor()
    const answer = people.relyingParty.received.at(-1)
    expect(answer?.get('code')).not.toBeNull()
    expect(answer?.get('state')).toBe('the-state')
    expect(complaints).toEqual([])
    await close()
  })

  test('a new password ends the sign-in of every browser', async () => {
    const user = await people.createUser({ username: 'kim' })
    const { page, close } = await openPage(browser)
    await page.goto(people.authorization(clientId).url)
    await signIn(page, 'kim')
    await allow(page)
    await answerOf(page)
    await people.gatehouse.registry.users.setPassword(user.sub, 'another pass phrase')
    await page.goto(people.authorization(clientId).url)
    await expectText(page, 'to continue to Archive Viewer')
    await close()
  })

  test('a user signs in through the clients of the same tenant only, and switches accounts knowingly', async () => {
    const otherApp = await people.createApp({ name: 'Other App', tenant_id: 'other' })
    await people.createUser({ username: 'zoe', tenant_id: 'other' })
    const { page, complaints, close } = await openPage(browser)
    await page.goto(people.authorization(clientId).url)
    await signIn(page, 'zoe')
    await expectText(page, 'Username and password do not match.')
    await signIn(page, 'mei')
    await answerOf(page)
    await page.goto(people.authorization(otherApp).url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await signIn(page, 'zoe')
    await page.getByRole('heading', { name: 'Switch accounts?' }).waitFor()
    await page.getByRole('button', { name: 'Continue' }).click()
    await allow(page)
    expect((await answerOf(page)).get('code')).not.toBeNull()
    expect(complaints).toEqual([])
    await close()
  })

  describe('signing out', () => {
    test('ends the sign-in and goes back to the client, when the client asks and the person agrees', async () => {
      const { page, complaints, close } = await openPage(browser)
      const { url, verifier } = people.authorization(clientId)
      await page.goto(url)
      await signIn(page, 'mei')
      const code = (await answerOf(page)).get('code') ?? ''
      const { id_token = '' } = await people.redeem(clientId, code, verifier)
      const logout = new URLSearchParams({
        id_token_hint: id_token,
        post_logout_redirect_uri: people.relyingParty.postLogoutUrl,
        state: 'bye',
      })
      await page.goto(`${people.issuer}/session/end?${logout.toString()}`)
      await expectText(page, 'Archive Viewer asks to sign you out')
      await page.getByRole('button', { name: 'Sign out' }).click()
      expect((await answerOf(page)).get('state')).toBe('bye')
      await page.goto(people.authorization(clientId).url)
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      expect(complaints).toEqual([])
      await close()
    })

    test('is also asked for by a form of another site, as signing in is', async () => {
      const { page, close } = await openPage(browser)
      const { url, verifier } = people.authorization(clientId)
      await postFromElsewhere(page, url)
      await signIn(page, 'mei')
      const code = (await answerOf(page)).get('code') ?? ''
      const { id_token = '' } = await people.redeem(clientId, code, verifier)
      await postFromElsewhere(page, people.authorization(clientId).url)
      expect((await answerOf(page)).get('code'), 'the session is seen').not.toBeNull()
      const query = new URLSearchParams({ id_token_hint: id_token })
      await postFromElsewhere(page, `${people.issuer}/session/end?${query.toString()}`)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('heading', { name: 'Signed out' }).waitFor()
      await close()
    })

    test('is a question that can be answered with no', async () => {
      const { page, close } = await openPage(browser)
      await page.goto(people.authorization(clientId).url)
      await signIn(page, 'mei')
      await answerOf(page)
      await page.goto(`${people.issuer}/session/end`)
      await page.getByRole('button', { name: 'Stay signed in' }).click()
      await expectText(page, 'Still signed in')
      await page.goto(`${people.issuer}/session/end`)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('heading', { name: 'Signed out' }).waitFor()
      await close()
    })
  })

  test('a request that cannot go back to a client ends on a page that leads nowhere else', async () => {
    const { page, complaints, close } = await openPage(browser, { locale: 'zh-CN' })
    await page.goto(people.authorization(clientId, { redirect_uri: 'https://evil.example/' }).url)
    expect(page.url()).toContain(people.issuer)
    await page.getByRole('heading', { name: '无法处理此请求' }).waitFor()
    await page.locator('summary').click()
    await expectText(page, 'invalid_redirect_uri')
    await page.goto(`${people.issuer}/interaction/nobodyknowsthisinteraction`)
    await page.getByRole('heading', { name: '页面已失效' }).waitFor()
    expect(complaints).toEqual([])
    await close()
  })
})

async function expectText(page: Page, ...texts: string[]): Promise<void> {
  await page
    .getByText(texts[0] ?? '')
    .first()
    .waitFor()
  const shown = (await page.locator('main').innerText()).replaceAll(/\s+/g, ' ')
  for (const text of texts) expect(shown).toContain(text)
}

const focused = (page: Page) => page.locator(':focus').innerText()

/** As a client's page does it that posts what others put into the address. */
async function postFromElsewhere(page: Page, address: string): Promise<void> {
  const { origin, pathname, searchParams } = new URL(address)
  const fields = [...searchParams].map(([name, value]) => `<input name="${name}" value="${value}">`)
  await page.goto('about:blank')
  await page.setContent(
    `<form method="post" action="${origin}${pathname}">${fields.join('')}<button>Go</button></form>`,
  )
  await page.getByRole('button', { name: 'Go' }).click()
}
