import * as fc from 'fast-check'
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ZodError } from 'zod'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createClientFiles, type ClientRegistry } from '../../src/registry/client-files.ts'
import type { NewClient } from '../../src/registry/client.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const NOW = 1_700_000_000
const clock = () => NOW * 1000 + 999

const newFolder = useTempFolders()
let dir = ''
let clients: ClientRegistry
let secret = ''

// argon2 takes its time: most tests read this one client.
beforeAll(async () => {
  dir = join(newFolder(), 'clients')
  clients = createClientFiles(dir, clock)
  secret = await createIn(clients, {
    client_id: 'robot',
    tenant_id: 'acme',
    name: '机器人',
    limits: { rpm: 60, concurrency: 4 },
  })
})

async function createIn(registry: ClientRegistry, request: NewClient): Promise<string> {
  const created = await registry.create(request)
  if (created === undefined) throw new Error('the id is taken')
  return created.clientSecret
}

const fileOf = (clientId: string) => join(dir, `${clientId}.json`)

/** A registry whose folder holds one file with that content. */
function registryWith(name: string, content: string): ClientRegistry {
  const folder = newFolder()
  writeFileSync(join(folder, name), content, { mode: 0o600 })
  return createClientFiles(folder, clock)
}

const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

describe('a client', () => {
  const ROBOT = {
    client_id: 'robot',
    tenant_id: 'acme',
    name: '机器人',
    scope: 'ocr_api_access',
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'client_secret_basic',
    limits: { rpm: 60, concurrency: 4 },
    created_at: NOW,
  }

  test('is found with all that was asked for, the defaults and the time', async () => {
    const record = await clients.find('robot')
    expect(record).toEqual({
      ...ROBOT,
      secrets: [{ id: expect.any(String), hash: expect.any(String), created_at: NOW }],
    })
  })

  test('is listed without its secrets', async () => {
    const listed = await clients.list()
    expect(listed).toEqual([ROBOT])
    expect(JSON.stringify(listed)).not.toMatch(/argon2|secrets/)
  })

  test('counts for another process at once', async () => {
    const other = createClientFiles(dir, clock)
    expect(await other.find('robot')).toEqual(await clients.find('robot'))
    expect(await other.verifySecret('robot', secret)).toBe(true)
  })

  test('gets a random id when it asks for none', async () => {
    const registry = createClientFiles(newFolder(), clock)
    const created = await registry.create({})
    expect(created?.client.client_id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
    expect(created?.client).not.toHaveProperty('secrets')
    expect(await registry.find(created?.client.client_id ?? '')).toMatchObject({
      tenant_id: 'default',
      scope: 'ocr_api_access',
    })
  })

  test('is on disk as an argon2id hash of OWASP’s strength, for the owner alone', () => {
    const text = readFileSync(fileOf('robot'), 'utf8')
    expect(text).not.toContain(secret)
    const { secrets } = JSON.parse(text) as { secrets: { hash: string }[] }
    expect(secrets).toHaveLength(1)
    const hash = secrets[0]?.hash ?? ''
    expect(hash).toMatch(/^\$argon2id\$v=19\$/)
    expect(Number(/[$,]m=(\d+)/.exec(hash)?.[1])).toBeGreaterThanOrEqual(19_456)
    expect(Number(/[$,]t=(\d+)/.exec(hash)?.[1])).toBeGreaterThanOrEqual(2)
    expect(statSync(fileOf('robot')).mode & 0o777).toBe(0o600)
    expect(statSync(dir).mode & 0o777).toBe(0o700)
    expect(readdirSync(dir)).toEqual(['robot.json'])
  })
})

describe('a secret', () => {
  test('has 256 bits in characters that need no escaping, and verifies', async () => {
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(await clients.verifySecret('robot', secret)).toBe(true)
  })

  test('does not verify when it is wrong, by a character, by its length or altogether', async () => {
    const first = secret.startsWith('A') ? 'B' : 'A'
    for (const wrong of ['', `${secret}A`, first + secret.slice(1)]) {
      expect(await clients.verifySecret('robot', wrong)).toBe(false)
    }
  })

  test('is the client’s own', async () => {
    expect(await clients.verifySecret('nobody', secret)).toBe(false)
    expect(await clients.verifySecret('ROBOT', secret)).toBe(false)
    const { secrets } = (await clients.find('robot')) ?? { secrets: [] }
    expect(await clients.verifySecret('robot', secrets[0]?.hash ?? '')).toBe(false)
  })

  test('may be one of several, and none is nothing', async () => {
    const record = JSON.parse(readFileSync(fileOf('robot'), 'utf8')) as {
      secrets: { hash: string }[]
    }
    const other = JSON.stringify({
      ...record,
      secrets: [unknownSecretLike(record), ...record.secrets],
    })
    expect(await registryWith('robot.json', other).verifySecret('robot', secret)).toBe(true)
    const none = JSON.stringify({ ...record, secrets: [] })
    expect(await registryWith('robot.json', none).verifySecret('robot', secret)).toBe(false)
  })

  /** A secret with a well-formed hash that nobody knows the secret of. */
  function unknownSecretLike({ secrets }: { secrets: { hash: string }[] }) {
    const [own] = secrets
    const start = own?.hash.slice(0, own.hash.lastIndexOf('$') + 1) ?? ''
    return {
      ...own,
      id: 'other',
      hash: start + Buffer.alloc(32, 7).toString('base64').slice(0, 43),
    }
  }
})

describe('an id that is taken', () => {
  test('gives undefined and changes nothing', async () => {
    const before = readFileSync(fileOf('robot'), 'utf8')
    expect(await clients.create({ client_id: 'robot' })).toBeUndefined()
    expect(readFileSync(fileOf('robot'), 'utf8')).toBe(before)
    expect(readdirSync(dir)).toEqual(['robot.json'])
  })

  test('has exactly one winner when eight ask for it at once, and its secret is the one', async () => {
    const folder = newFolder()
    const registries = Array.from({ length: 8 }, () => createClientFiles(folder, clock))
    const results = await Promise.all(
      registries.map((registry) => registry.create({ client_id: 'wanted' })),
    )
    const winners = results.filter((result) => result !== undefined)
    expect(winners).toHaveLength(1)
    const [registry] = registries
    expect(await registry?.verifySecret('wanted', winners[0]?.clientSecret ?? '')).toBe(true)
    expect(readdirSync(folder)).toEqual(['wanted.json'])
  })
})

describe('an id', () => {
  test('may look like a path or a file, and have 128 characters', async () => {
    const registry = createClientFiles(newFolder(), clock)
    const ids = ['..', 'a.json', 'a'.repeat(128)]
    for (const client_id of ids) expect(await registry.create({ client_id })).toBeDefined()
    expect((await registry.list()).map(({ client_id }) => client_id).sort()).toEqual(ids.sort())
    for (const id of ids) expect(await registry.find(id)).toMatchObject({ client_id: id })
  })

  const INVALID = [
    '',
    '../x',
    'a/b',
    '/etc/passwd',
    'a\\b',
    'a\0',
    '\0',
    'a b',
    'a\n',
    'é',
    '机',
    '%2e',
  ]

  test.each([...INVALID, 'a'.repeat(129)])('is refused and never found: %j', async (id) => {
    expect(await rejectionOf(clients.create({ client_id: id }))).toBeInstanceOf(ZodError)
    expect(await clients.find(id)).toBeUndefined()
    expect(await clients.verifySecret(id, secret)).toBe(false)
    expect(readdirSync(dir)).toEqual(['robot.json'])
  })

  test('always stays in the folder: what is not unreserved is never looked up', async () => {
    const outside = join(dir, '..', 'outside.json')
    copyFileSync(fileOf('robot'), outside)
    const piece = fc.constantFrom(
      '..',
      '/',
      '\\',
      '\0',
      'outside',
      'robot',
      '%2f',
      '.json',
      'clients',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
        const id = pieces.join('')
        fc.pre(id !== 'robot')
        expect(await clients.find(id)).toBeUndefined()
      }),
    )
  })
})

describe('a request', () => {
  test.each<[string, object]>([
    ['a member that nobody knows', { client_secret: 'mine' }],
    ['a tenant that is no id', { tenant_id: '../x' }],
    ['an empty scope', { scope: '' }],
    ['a scope with two spaces', { scope: 'a  b' }],
    ['a scope with a quote', { scope: 'a"b' }],
    ['no grant type', { grant_types: [] }],
    ['a grant type that is not available', { grant_types: ['password'] }],
    ['an authentication method that is not available', { token_endpoint_auth_method: 'none' }],
    ['a limit of zero', { limits: { rpm: 0 } }],
    ['a limit that is no number', { limits: { rpm: '60' } }],
    ['a limit that nobody knows', { limits: { rps: 1 } }],
    ['a name of 201 characters', { name: 'n'.repeat(201) }],
  ])('is refused as a whole when it has %s', async (_title, request) => {
    expect(await rejectionOf(clients.create(request))).toBeInstanceOf(ZodError)
    expect(readdirSync(dir)).toEqual(['robot.json'])
  })
})

describe('the list', () => {
  test('is empty before there is a folder', async () => {
    expect(await createClientFiles(join(newFolder(), 'none'), clock).list()).toEqual([])
  })

  test('is by id, and knows only what is a client’s file', async () => {
    const folder = newFolder()
    const record = JSON.parse(readFileSync(fileOf('robot'), 'utf8')) as object
    for (const client_id of ['b', 'a', 'B', 'c.json']) {
      const content = JSON.stringify({ ...record, client_id })
      writeFileSync(join(folder, `${client_id}.json`), content, { mode: 0o600 })
    }
    for (const name of ['notes.txt', 'a.json.1b4e28ba.draft', 'not an id.json', '.json']) {
      writeFileSync(join(folder, name), 'whatever', { mode: 0o600 })
    }
    const listed = await createClientFiles(folder, clock).list()
    expect(listed.map(({ client_id }) => client_id)).toEqual(['B', 'a', 'b', 'c.json'])
  })

  test('is an error, and not empty, when the folder cannot be read', async () => {
    const blocker = join(newFolder(), 'clients')
    writeFileSync(blocker, 'a file in the place of the folder')
    expect(await rejectionOf(createClientFiles(blocker, clock).list())).toBeInstanceOf(Error)
  })
})

describe('a client’s file', () => {
  const changed = (change: (record: Record<string, unknown>) => object) =>
    JSON.stringify(change(JSON.parse(readFileSync(fileOf('robot'), 'utf8'))))

  test.each<[string, () => string]>([
    ['is empty', () => ''],
    ['is cut', () => readFileSync(fileOf('robot'), 'utf8').slice(0, -3)],
    ['is another document', () => '{"a":1}'],
    ['is a list', () => '[]'],
    ['has no secrets', () => changed(({ secrets: _secrets, ...rest }) => rest)],
    ['has a member that nobody knows', () => changed((record) => ({ ...record, disabled: true }))],
    ['has no time', () => changed((record) => ({ ...record, created_at: 'now' }))],
  ])('is a ConfigError that names it and quotes nothing when it %s', async (_title, contentOf) => {
    const registry = registryWith('robot.json', contentOf())
    for (const attempt of [
      () => registry.find('robot'),
      () => registry.verifySecret('robot', secret),
      () => registry.list(),
    ]) {
      const error = await rejectionOf(attempt())
      expect(error).toBeInstanceOf(ConfigError)
      expect((error as ConfigError).problems).toEqual([
        expect.stringMatching(/robot\.json is damaged: it does not have the shape of a client$/),
      ])
    }
  })

  test('with a hash that is none is a ConfigError too', async () => {
    const damaged = changed((record) => ({
      ...record,
      secrets: [{ id: 'a', hash: 'not a hash', created_at: NOW }],
    }))
    const registry = registryWith('robot.json', damaged)
    expect(await rejectionOf(registry.verifySecret('robot', secret))).toBeInstanceOf(ConfigError)
  })

  test('is refused when others may read it', async () => {
    const folder = newFolder()
    copyFileSync(fileOf('robot'), join(folder, 'robot.json'))
    chmodSync(join(folder, 'robot.json'), 0o644)
    const registry = createClientFiles(folder, clock)
    const error = await rejectionOf(registry.verifySecret('robot', secret))
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).hint).toBe(`chmod 600 ${join(folder, 'robot.json')}`)
  })

  test('does not make another client of itself under another name', async () => {
    const registry = registryWith('admin.json', readFileSync(fileOf('robot'), 'utf8'))
    expect(await registry.find('admin')).toBeUndefined()
    expect(await registry.verifySecret('admin', secret)).toBe(false)
    expect(await registry.list()).toEqual([])
  })
})
