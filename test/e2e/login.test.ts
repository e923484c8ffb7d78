import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { newUserSchema } from '../../src/registry/user.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { fillForms } from '../support/form-filler.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const IMAGE = 'test/fixtures/receipt-en.jpg'
const mei = { username: 'mei', password: 'correct horse battery' }

let model: ModelServer
let gatehouse: Gatehouse
let issuer: string
let sub: string
let home: string
let env: Record<string, string>
beforeAll(async () => {
  model = await startModelServer()
  model.answer((_req, res) => {
    const chunk = { choices: [{ delta: { content: 'TOTAL 12.00' } }] }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`)
  })
  gatehouse = await startGatehouse(model.url)
  issuer = gatehouse.config.issuer.url
  sub = (await gatehouse.registry.users.create(newUserSchema.parse(mei))).sub
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gatehouse-login-'))
  env = {
    XDG_CONFIG_HOME: home,
    GATEHOUSE_ISSUER__URL: issuer,
    GATEHOUSE_PROXY__URL: gatehouse.config.proxy.url,
    GATEHOUSE_DATA_DIR: gatehouse.config.dataDir,
  }
  return () => rm(home, { recursive: true })
})

const LOGINS = () => join(home, 'gatehouse', 'logins.json')
const keptToken = async () =>
  /"refresh_token": "([^"]+)"/.exec(await readFile(LOGINS(), 'utf8'))?.[1] ?? ''

/** Runs `login` and, on the pages of the issuer, what somebody chooses there. */
async function login(choices: Parameters<typeof fillForms>[1] = mei, ...args: string[]) {
  const { output, finished, child } = startCommand(['login', ...args], env)
  child.stdin?.end()
  await waitUntil('the instructions', async () => output.stderr.includes('compare it'))
  const address = /or open (\S+)/.exec(output.stderr)?.[1] ?? ''
  const page = await fillForms(address, choices)
  return { ...(await finished), page }
}

const refresh = async (token: string) => {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: token,
      client_id: 'gatehouse-cli',
    }),
  })
  return response.status
}

describe('login', () => {
  test('shows code and address, waits, and keeps the refresh token to its user alone', async () => {
    const { code, stdout, stderr } = await login()
    expect([code, stdout]).toEqual([
      0,
      `Signed in at ${issuer}. The login is kept in ${LOGINS()}.\n`,
    ])
    expect(stderr).toMatch(
      /^Open http:\S+\/device in a browser and enter the code\n\n {4}[A-Z]{4}-[A-Z]{4}\n/,
    )
    expect((await stat(LOGINS())).mode & 0o777).toBe(0o600)
    expect(stdout + stderr).not.toContain(await keptToken())
  })

  test('prints one JSON document, without a token', async () => {
    const { code, stdout } = await login(mei, '--json')
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      { issuer, client_id: 'gatehouse-cli', scope: 'openid ocr_api_access' },
    ])
  })

  test('fails when it is refused, and keeps nothing', async () => {
    const { code, stdout, stderr } = await login({ ...mei, refuse: true })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('error: the sign-in was refused\n')
    await expect(stat(LOGINS())).rejects.toThrow('ENOENT')
  })

  test('again ends the login before it', async () => {
    await login()
    const first = await keptToken()
    await login()
    expect(await keptToken()).not.toBe(first)
    expect(await refresh(first)).toBe(400)
    expect(await refresh(await keptToken())).toBe(200)
  })

  test('of a client that is none is refused before anybody waits', async () => {
    expect(await runCommand(['login', '--client-id', 'nobody'], env)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^error: the issuer refuses: invalid_client/),
    })
  })

  test('of an issuer that is away is exit 69', async () => {
    const away = { ...env, GATEHOUSE_ISSUER__URL: 'http://localhost:1' }
    expect(await runCommand(['login'], away)).toMatchObject({ code: 69 })
  })
})

describe('ocr', () => {
  test('reads in the name of whoever is signed in, and keeps the refresh token that comes next', async () => {
    await login()
    const first = await keptToken()
    expect(await runCommand(['ocr', IMAGE], env)).toEqual({
      code: 0,
      stdout: 'TOTAL 12.00\n',
      stderr: '',
    })
    expect(await keptToken()).not.toBe(first)
    expect(gatehouse.logged).toContainEqual(
      expect.objectContaining({ event: 'proxy.call', sub, decision: 'allow' }),
    )
  })

  test('runs four times at once on one login', async () => {
    await login()
    const runs = await Promise.all(Array.from({ length: 4 }, () => runCommand(['ocr', IMAGE], env)))
    for (const run of runs) expect(run).toMatchObject({ code: 0, stderr: '' })
    expect(await refresh(await keptToken())).toBe(200)
  })

  test('prefers the client that is named', async () => {
    await login()
    const { clientId, clientSecret } = await gatehouse.createClient()
    const named = ['--client-id', clientId, '--client-secret', clientSecret]
    expect(await runCommand(['ocr', IMAGE, ...named], env)).toMatchObject({ code: 0 })
    expect(gatehouse.logged).toContainEqual(
      expect.objectContaining({ event: 'proxy.call', sub: clientId }),
    )
  })

  test('says that the login has ended, forgets it, and does not go on as somebody else', async () => {
    await login()
    await gatehouse.registry.users.disable(sub)
    const { code, stderr } = await runCommand(['ocr', IMAGE], env)
    await gatehouse.registry.users.enable(sub)
    expect([code, stderr]).toEqual([
      1,
      `error: your login at ${issuer} has ended\nhint: login again\n`,
    ])
    expect(await readFile(LOGINS(), 'utf8')).not.toContain('refresh_token')
  })

  test('without a login, a client or the demo client says what there is', async () => {
    const { code, stderr } = await runCommand(['ocr', IMAGE], env)
    expect([code, stderr]).toEqual([1, expect.stringContaining('hint: login, or name a client')])
  })
})

describe('logout', () => {
  test('revokes the login and forgets it', async () => {
    await login()
    const token = await keptToken()
    expect(await runCommand(['logout'], env)).toEqual({
      code: 0,
      stdout: `Signed out at ${issuer}.\n`,
      stderr: '',
    })
    expect(await refresh(token)).toBe(400)
    expect(await readFile(LOGINS(), 'utf8')).not.toContain(token)
    const again = await runCommand(['logout', '--json'], env)
    expect(JSON.parse(again.stdout)).toEqual({ issuer, signed_out: false })
  })

  test('keeps it while the issuer is away, unless it shall only be forgotten here', async () => {
    await login()
    const token = await keptToken()
    const logins = (await readFile(LOGINS(), 'utf8')).replace(issuer, 'http://localhost:1')
    await writePrivate(LOGINS(), logins)
    const away = { ...env, GATEHOUSE_ISSUER__URL: 'http://localhost:1' }
    expect(await runCommand(['logout'], away)).toMatchObject({ code: 69 })
    expect(await readFile(LOGINS(), 'utf8')).toContain(token)
    expect(await runCommand(['logout', '--local'], away)).toMatchObject({ code: 0 })
    expect(await readFile(LOGINS(), 'utf8')).not.toContain(token)
    expect(await refresh(token)).toBe(200)
  })
})

const writePrivate = (path: string, text: string) => writeFile(path, text, { mode: 0o600 })
