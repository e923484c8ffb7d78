import { randomBytes } from 'node:crypto'
import { copyFile, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectAdminApi } from '../../src/cli/admin-api.ts'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { makeBackup } from '../../src/cli/make-backup.ts'
import { KEY_DOCUMENTS, openKeyDocuments } from '../../src/cli/open-keys.ts'
import { restoreBackup } from '../../src/cli/restore-backup.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { loadClientKey } from '../../src/keys/client-key-file.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { runCommand, type Finished } from '../support/command.ts'
import { testConfig } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'

const clock = systemClock
const around = { log: createLog('silent'), clock }
const PASSPHRASE = 'correct horse battery staple'
const tokenSchema = z.object({ access_token: z.string() })
const PASSWORD = 'a password of hers'

let dir: string
let config: Config
let client: { clientId: string; clientSecret: string }
let file: string
let made: Finished
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-backup-'))
  config = await testConfig(dir)
  file = join(dir, 'gatehouse.backup')
  const issuer = await startIssuer(config, around)
  client = await createClient(issuer)
  await issuer.registry.users.create(newUserSchema.parse({ username: 'li.na', password: PASSWORD }))
  made = await command(config, ['backup', file, '--passphrase-stdin', '--json'], PASSPHRASE)
  await issuer.close(0)
})
afterAll(() => rm(dir, { recursive: true }))

/** The same installation on other disks: its addresses, with a data folder and keys of its own. */
const elsewhere = (name: string): Config => ({
  ...config,
  dataDir: join(dir, name),
  keys: { ...config.keys, dir: join(dir, `${name}-keys`) },
})

function command({ dataDir, keys, issuer, admin }: Config, args: string[], input = '') {
  const settings = {
    dataDir,
    'keys.dir': keys.dir,
    'issuer.url': issuer.url,
    'admin.listen': admin.listen,
  }
  const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  return runCommand([...set, ...args], {}, `${input}\n`)
}

async function createClient({ registry }: RunningIssuer) {
  const made = await registry.clients.create(newClientSchema.parse({}))
  return { clientId: made.client.client_id, clientSecret: made.clientSecret ?? '' }
}

async function tokenStatus({ issuer }: Config): Promise<number> {
  const basic = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')
  const response = await fetch(`${issuer.url}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  return response.status
}

/** In the clear. */
async function documentOf(there: Config, name: 'ring.json' | 'secrets.json') {
  const documents = await openKeyDocuments(there, clock)
  const found = await documents.read(name)
  await documents.close()
  return found?.text
}

/** Starts the issuer there: the old secret and the old password still work, the keys are the same. Then stops it. */
async function expectGoesOn(there: Config, work: () => Promise<void> = async () => undefined) {
  const issuer = await startIssuer(there, around)
  try {
    expect(await tokenStatus(there)).toBe(200)
    const user = { tenantId: 'default', username: 'li.na', password: PASSWORD, address: '::1' }
    expect(await issuer.registry.users.verifyPassword(user)).toBeDefined()
    for (const name of KEY_DOCUMENTS) {
      expect(await documentOf(there, name)).toBe(
        await readFile(join(config.keys.dir, name), 'utf8'),
      )
    }
    await work()
  } finally {
    await issuer.close(0)
  }
}

async function backUp(there: Config, path: string) {
  const key = await loadClientKey(adminKeyPathOf(there))
  if (key === undefined) throw new Error('there is no admin key')
  const api = await connectAdminApi(`http://${there.admin.listen}`, key)
  return makeBackup({ api, config: there, clock, path, passphrase: PASSPHRASE })
}

describe('a backup', () => {
  test('says what is in it', () => {
    expect([made.code, made.stderr]).toEqual([0, ''])
    expect(JSON.parse(made.stdout)).toEqual({
      file,
      tenants: 1,
      // Those of the operators and of the command line, and one more.
      clients: 3,
      users: 1,
      revocations: 0,
      key_files: ['secrets.json', 'ring.json', 'admin.jwk'],
    })
  })

  test('is readable by its owner alone and says nothing in the clear', async () => {
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const content = await readFile(file)
    expect(content.includes(client.clientId)).toBe(false)
    expect((await readdir(dir)).filter((name) => name.endsWith('.draft'))).toEqual([])
  })

  test('goes on elsewhere with every secret, password and key', async () => {
    const there = elsewhere('moved')
    const restored = await command(there, ['restore', file, '--passphrase-stdin'], PASSPHRASE)
    expect([restored.code, restored.stderr]).toEqual([0, ''])
    expect(restored.stdout).toMatch(/^clients +3$/m)
    await expectGoesOn(there)
  })

  test('needs a passphrase of 12 characters', async () => {
    const refused = await command(config, ['backup', file, '--passphrase-stdin'], 'too short')
    expect([refused.code, refused.stderr]).toEqual([
      64,
      'error: the passphrase must have at least 12 characters\n',
    ])
  })

  test('without a terminal asks for a flag', async () => {
    const refused = await command(config, ['backup', file])
    expect([refused.code, refused.stderr]).toEqual([
      64,
      'error: give --passphrase-stdin or --passphrase-file\n',
    ])
  })

  test('that fails leaves the one before as it was', async () => {
    const before = await readFile(file)
    const refused = await command(config, ['backup', file, '--passphrase-stdin'], PASSPHRASE)
    expect(refused.code).toBe(69)
    expect(before.equals(await readFile(file))).toBe(true)
  })
})

describe('a restore that is refused changes nothing:', () => {
  const expectUntouched = async (there: Config) => {
    await expect(readdir(there.dataDir)).rejects.toThrow('ENOENT')
    await expect(readdir(there.keys.dir)).rejects.toThrow('ENOENT')
  }

  test.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, -1), 'damaged or cut off'],
    [
      'changed',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -40), Buffer.alloc(40)]),
      'damaged or cut off',
    ],
    [
      'newer',
      (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replace(' 1 ', ' 7 '), 'latin1'),
      'version 7',
    ],
    ['another thing', () => Buffer.from('hello'), 'not a backup'],
  ])('a file that is %s', async (name, change, message) => {
    const there = elsewhere(`refused-${name}`)
    const bad = join(dir, 'bad.backup')
    await writeFile(bad, change(await readFile(file)))
    const { code, stderr } = await command(
      there,
      ['restore', bad, '--passphrase-stdin'],
      PASSPHRASE,
    )
    expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(`^error: .*${message}`))])
    await expectUntouched(there)
  })

  test('a wrong passphrase', async () => {
    const there = elsewhere('wrong')
    const passphrase = join(dir, 'passphrase')
    await writeFile(passphrase, 'another passphrase\n')
    const refused = await command(there, ['restore', file, '--passphrase-file', passphrase])
    expect([refused.code, refused.stderr]).toEqual([
      1,
      'error: the passphrase is wrong\nhint: or the beginning of the file is damaged\n',
    ])
    await expectUntouched(there)
  })

  test('a file that is not there', async () => {
    const there = elsewhere('missing')
    const path = join(dir, 'no.backup')
    const refused = await command(there, ['restore', path, '--passphrase-stdin'], PASSPHRASE)
    expect([refused.code, refused.stderr]).toEqual([1, `error: ${path} cannot be read\n`])
    await expectUntouched(there)
  })

  test('a store that has clients', async () => {
    const refused = await command(config, ['restore', file, '--passphrase-stdin'], PASSPHRASE)
    expect([refused.code, refused.stderr]).toEqual([
      1,
      'error: the store is not empty\nhint: stop the server and set dataDir (or redis.url) to a new place; nothing was changed\n',
    ])
    await expectGoesOn(config)
  })
})

test('a key that is there is never overwritten', async () => {
  const there = elsewhere('own-keys')
  await command(there, ['init'])
  const own = await readFile(join(there.keys.dir, 'ring.json'), 'utf8')
  const empty = { ...there, dataDir: join(dir, 'own-keys-empty') }
  const restored = await command(empty, ['restore', file, '--passphrase-stdin'], PASSPHRASE)
  expect(restored.code).toBe(0)
  expect(restored.stderr).toContain('there is another ring.json already, which stays')
  expect(await readFile(join(there.keys.dir, 'ring.json'), 'utf8')).toBe(own)
})

test("a backup without the server's keys says so", async () => {
  const there = elsewhere('no-keys')
  const issuer = await startIssuer(config, around)
  try {
    const key = join(dir, 'operator.jwk')
    await copyFile(adminKeyPathOf(config), key)
    const path = join(dir, 'without-keys.backup')
    const args = ['backup', path, '--passphrase-stdin', '--admin-key', key]
    const made = await command(there, args, PASSPHRASE)
    expect(made.code).toBe(0)
    expect(made.stderr).toMatch(/^warning: the signing keys are not in the backup/)
  } finally {
    await issuer.close(0)
  }
})

test('only who may do everything may read it', async () => {
  const issuer = await startIssuer(config, around)
  try {
    const { clientId, clientSecret } = await issuer.registry.clients
      .create(newClientSchema.parse({ scope: 'admin:read admin:keys admin:clients' }))
      .then((made) => ({ clientId: made.client.client_id, clientSecret: made.clientSecret }))
    const granted = await fetch(`${config.issuer.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: clientSecret ?? '',
        resource: `${config.issuer.url}/admin`,
      }),
    })
    const { access_token: bearer } = tokenSchema.parse(await granted.json())
    const response = await fetch(`http://${config.admin.listen}/admin/v1/backup`, {
      headers: { authorization: `Bearer ${bearer}` },
    })
    expect(response.status).toBe(403)
    expect(response.headers.get('www-authenticate')).toContain('scope="admin:users"')
  } finally {
    await issuer.close(0)
  }
})

describe.skipIf(!hasRedisServer)('an installation that grows', () => {
  test('moves to Redis and back, and every secret and password goes on working', async () => {
    const servers = await startRedis()
    try {
      const there = elsewhere('redis')
      const onRedis = {
        ...there,
        redis: { url: servers.url },
        keys: { ...there.keys, encryptionKey: randomBytes(32).toString('base64') },
      }
      await restoreBackup({ config: onRedis, clock, path: file, passphrase: PASSPHRASE })
      const second = join(dir, 'from-redis.backup')
      await expectGoesOn(onRedis, async () => {
        expect(await backUp(onRedis, second)).toMatchObject({ clients: 3, users: 1 })
      })
      const back = elsewhere('back')
      const restoreTo = (config: Config) =>
        restoreBackup({ config, clock, path: second, passphrase: PASSPHRASE })
      await expect(restoreTo(back)).rejects.toThrow(/ring.json is sealed|secrets.json is sealed/)
      await expect(readdir(back.keys.dir)).rejects.toThrow('ENOENT')
      const sealed = { ...back, keys: { ...back.keys, encryptionKey: onRedis.keys.encryptionKey } }
      await restoreTo(sealed)
      await expectGoesOn(sealed)
      const kept = await readFile(join(back.keys.dir, 'ring.json'), 'utf8')
      expect(Object.keys(JSON.parse(kept) as object)).toEqual(['sealed'])
    } finally {
      await servers.stop()
    }
  })

  test('hears that Redis is away, and that it can be repeated', async () => {
    const there = elsewhere('away')
    const away = {
      ...there,
      redis: { url: 'redis://127.0.0.1:1' },
      keys: { ...there.keys, encryptionKey: randomBytes(32).toString('base64') },
    }
    const restoring = restoreBackup({ config: away, clock, path: file, passphrase: PASSPHRASE })
    await expect(restoring).rejects.toMatchObject({
      exitCode: 1,
      hint: 'run the same restore again: it goes on where it stopped',
    })
  })
})
