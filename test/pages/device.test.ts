import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../support/chromium.ts'
import { openPage } from '../support/open-page.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'

describe.skipIf(chromiumPath === undefined)('a device is connected in a browser', () => {
  let people: People
  let browser: Browser
  let clientId: string
  beforeAll(async () => {
    people = await startPeople(['issuer.clientAuth.maxFailuresPerMinute=3'])
    browser = await launchChromium()
    clientId = await people.createApp({ name: 'Reading Terminal' })
    await people.createUser({ username: 'mei' })
  })
  afterAll(async () => {
    await browser.close()
    await people.close()
  })

  const enter = async (page: Page, code: string) => {
    await page.getByLabel('Code').fill(code)
    await page.getByRole('button', { name: 'Continue' }).click()
  }
  const shows = (page: Page, heading: string) =>
    page.getByRole('heading', { name: heading }).waitFor()

  test('by its code, typed in any spelling and without scripts, after sign-in and consent', async () => {
    const { page, complaints, close } = await openPage(browser, { javaScriptEnabled: false })
    const device = await people.startDevice(clientId)
    await page.goto(device.verification_uri)
    await enter(page, ` ${device.user_code.toLowerCase().replace('-', ' ')} `)
    await shows(page, 'Is this your device?')
    const shown = await page.locator('main').innerText()
    expect(shown).toContain(device.user_code)
    expect(shown).toContain('Reading Terminal')
    expect(shown).toContain('127.0.0.1')
    expect(await people.pollDevice(clientId, device.device_code)).toMatchObject({
      error: 'authorization_pending',
    })
    await page.getByRole('button', { name: 'The code matches' }).click()
    await page.getByLabel('Username').fill('mei')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Allow', exact: true }).click()
    await shows(page, 'Device connected')
    expect(complaints).toEqual([])
    await page.goto(device.verification_uri)
    await enter(page, device.user_code)
    await page.getByText('This code was used already.').waitFor()
    await close()
  })

  test('by a link that carries the code, which still has to be compared and may be refused', async () => {
    const { page, complaints, close } = await openPage(browser)
    const device = await people.startDevice(clientId)
    await page.goto(device.verification_uri_complete)
    expect(await page.getByLabel('Code').inputValue()).toBe(device.user_code)
    await page.keyboard.press('Enter')
    await shows(page, 'Is this your device?')
    await page.getByRole('button', { name: 'Not my device' }).click()
    await shows(page, 'Nothing was allowed')
    expect(await people.pollDevice(clientId, device.device_code)).toMatchObject({
      error: 'access_denied',
    })
    await page.getByRole('link', { name: 'Enter another code' }).click()
    await shows(page, 'Connect a device')
    expect(complaints).toEqual([])
    await close()
  })

  test('and who cancels at sign-in denies the device', async () => {
    const { page, close } = await openPage(browser)
    const device = await people.startDevice(clientId)
    await page.goto(device.verification_uri)
    await enter(page, device.user_code)
    await page.getByRole('button', { name: 'The code matches' }).click()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await shows(page, 'Nothing was allowed')
    expect(await people.pollDevice(clientId, device.device_code)).toMatchObject({
      error: 'access_denied',
    })
    await close()
  })

  test('but codes cannot be guessed for long', async () => {
    const { page, complaints, close } = await openPage(browser)
    await page.goto(`${people.issuer}/device`)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('Enter the code that your device shows.').waitFor()
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await enter(page, 'BBBB-BBBB')
      await page.getByText('There is no such code.').waitFor()
    }
    const [response] = await Promise.all([
      page.waitForResponse(/\/device$/),
      enter(page, 'BBBB-BBBB'),
    ])
    expect(response.status()).toBe(429)
    expect(Number(response.headers()['retry-after'])).toBeGreaterThan(0)
    await shows(page, 'Too many attempts')
    expect(complaints).toEqual([])
    await close()
  })
})
