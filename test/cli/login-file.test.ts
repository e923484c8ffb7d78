import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLogins, type Login, type Logins } from '../../src/cli/login-file.ts'
import { readConfigHome } from '../../src/config/load.ts'

let dir: string
let logins: Logins
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-logins-'))
  logins = openLogins(dir)
})
afterEach(() => rm(dir, { recursive: true }))

const at = (issuer: string, refresh_token = 'first'): Login => ({
  issuer,
  client_id: 'cli',
  refresh_token,
})
const put = (login: Login) =>
  logins.change(login.issuer, async () => ({ next: login, result: undefined }))
const get = (issuer: string) =>
  logins.change(issuer, async (login) => ({ next: login, result: login }))

describe('the logins of a user', () => {
  test('are in a file and a folder that nobody else can read', async () => {
    await put(at('https://a.example'))
    expect((await stat(logins.path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(dir, 'gatehouse'))).mode & 0o777).toBe(0o700)
  })

  test('are kept for each issuer, replaced and removed', async () => {
    await put(at('https://a.example'))
    await put(at('https://b.example'))
    await put(at('https://a.example', 'second'))
    expect(await get('https://a.example')).toEqual(at('https://a.example', 'second'))
    await logins.change('https://a.example', async () => ({ next: undefined, result: undefined }))
    expect(await get('https://a.example')).toBeUndefined()
    expect(await get('https://b.example')).toEqual(at('https://b.example'))
  })

  test('change one after the other, however many commands run', async () => {
    await put(at('https://a.example', '0'))
    await Promise.all(
      Array.from({ length: 20 }, () =>
        openLogins(dir).change('https://a.example', async (login) => {
          await new Promise((resolve) => setImmediate(resolve))
          const next = at('https://a.example', String(Number(login?.refresh_token) + 1))
          return { next, result: undefined }
        }),
      ),
    )
    expect(await get('https://a.example')).toEqual(at('https://a.example', '20'))
  })

  test('stay as they were when a change fails', async () => {
    await put(at('https://a.example'))
    const before = await readFile(logins.path, 'utf8')
    const failing = logins.change('https://a.example', () => Promise.reject(new Error('away')))
    await expect(failing).rejects.toThrow('away')
    expect(await readFile(logins.path, 'utf8')).toBe(before)
  })

  test('are not used when the file is damaged or open to others', async () => {
    await put(at('https://a.example'))
    await chmod(logins.path, 0o644)
    await expect(get('https://a.example')).rejects.toThrow('may be read by others')
    await chmod(logins.path, 0o600)
    await writeFile(logins.path, '{')
    await expect(get('https://a.example')).rejects.toThrow('is damaged')
  })
})

test('the configuration folder is XDG_CONFIG_HOME where that is an absolute path', () => {
  expect(readConfigHome({ XDG_CONFIG_HOME: '/x/config' })).toBe('/x/config')
  expect(readConfigHome({ XDG_CONFIG_HOME: 'config' })).toMatch(/^\/.*\/\.config$/)
  expect(readConfigHome({})).toMatch(/^\/.*\/\.config$/)
})
