import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { runCommand } from '../support/command.ts'
import { startFormBrowser } from '../support/form-sign-in.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'

let people: People
beforeAll(async () => {
  people = await startPeople(['keys.jwksMaxAgeSeconds=1'])
})
afterAll(() => people.close())

const keys = (...args: string[]) => {
  const { config } = people.gatehouse
  const places = ['--admin-url', `http://${config.admin.listen}`]
  return runCommand(['keys', ...args, ...places, '--admin-key', adminKeyPathOf(config)])
}

test('an ID token of a retiring key is a good hint; one of a compromised key says nothing any more', async () => {
  const clientId = await people.createApp()
  await people.createUser({ username: 'mei' })
  const browser = startFormBrowser({ username: 'mei', password: PASSWORD })
  const { url, verifier } = people.authorization(clientId)
  const code = (await browser.authorize(url)).searchParams.get('code') ?? ''
  const { id_token: hint = '' } = await people.redeem(clientId, code, verifier)

  const askAgain = async () => {
    const parameters = { prompt: 'none', id_token_hint: hint }
    const reached = await browser.open(people.authorization(clientId, parameters).url)
    return reached.searchParams.get('error') ?? reached.searchParams.has('code')
  }
  const signOut = async () => {
    const query = new URLSearchParams({ id_token_hint: hint })
    return (await browser.fetch(`${people.issuer}/session/end?${query.toString()}`)).status
  }
  expect(await askAgain()).toBe(true)
  expect((await keys('rotate')).code).toBe(0)
  expect(await askAgain()).toBe(true)
  expect(await signOut()).toBe(200)

  const { kid = '' } = decodeProtectedHeader(hint)
  expect((await keys('compromise', kid)).code).toBe(0)
  expect(await askAgain()).toBe('invalid_request')
  expect(await signOut()).toBe(400)
})
