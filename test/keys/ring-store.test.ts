import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Clock } from '../../src/kernel/clock.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openKeyFolder } from '../../src/keys/document-place.ts'
import { promoteNext, wantNext } from '../../src/keys/lifecycle.ts'
import { generateSigningKey } from '../../src/keys/ring-file.ts'
import { openRingStore } from '../../src/keys/ring-store.ts'
import type { FreshKey, MakeKey, Ring, RingKey, RsaPrivateJwk } from '../../src/keys/ring.ts'
import { makeRsaKey } from '../support/ring-keys.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const NOW = 1_700_000_000
const options = { makeKey: () => generateSigningKey(2048), clock: () => NOW * 1000 + 999 }

const newFolder = useTempFolders()

async function loadOrCreateRing(
  folder: string,
  { makeKey, clock }: { makeKey: MakeKey; clock: Clock },
): Promise<Ring> {
  const documents = createKeyDocuments(openKeyFolder(folder), [])
  return (await openRingStore(documents, { makeKey, clock })).load()
}

let dir = ''
let ring: Ring
let text = ''
let spare: FreshKey
let short: FreshKey

beforeAll(async () => {
  dir = join(newFolder(), 'keys')
  ;[ring, spare, short] = await Promise.all([
    loadOrCreateRing(dir, options),
    makeRsaKey(2048),
    makeRsaKey(1024),
  ])
  text = readFileSync(join(dir, 'ring.json'), 'utf8')
})

describe('the first start', () => {
  test('makes an active and a next key, as of now', () => {
    expect(ring.keys).toMatchObject([
      { state: 'active', publishedAt: NOW, activatedAt: NOW },
      { state: 'next', publishedAt: NOW + 1 },
    ])
    const kids = ring.keys.map(({ kid }) => kid)
    expect(new Set(kids).size).toBe(2)
    for (const { publicJwk } of ring.keys) {
      expect(Buffer.from(publicJwk.n, 'base64url')).toHaveLength(2048 / 8)
      expect(Object.keys(publicJwk).sort()).toEqual(['e', 'kty', 'n'])
    }
  })

  test('leaves one file, which only its owner may read, in a folder of the same kind', () => {
    expect(readdirSync(dir)).toEqual(['ring.json'])
    expect(statSync(join(dir, 'ring.json')).mode & 0o777).toBe(0o600)
    expect(statSync(dir).mode & 0o777).toBe(0o700)
    expect(JSON.parse(text)).toEqual(ring)
  })

  test('agrees with another one at the same time', async () => {
    const shared = join(newFolder(), 'keys')
    const [first, second] = await Promise.all([
      loadOrCreateRing(shared, options),
      loadOrCreateRing(shared, options),
    ])
    expect(first).toEqual(second)
    expect(readdirSync(shared)).toEqual(['ring.json'])
    expect(JSON.parse(readFileSync(join(shared, 'ring.json'), 'utf8'))).toEqual(first)
  })
})

/** A folder whose ring file holds that text. */
function folderWith(content: string): string {
  const folder = newFolder()
  writeFileSync(join(folder, 'ring.json'), content, { mode: 0o600 })
  return folder
}

describe('every later start', () => {
  test('finds the same ring and writes nothing', async () => {
    const before = statSync(join(dir, 'ring.json'))
    const later = {
      makeKey: () => Promise.reject(new Error('no')),
      clock: () => (NOW + 1_000_000) * 1000,
    }
    expect(await loadOrCreateRing(dir, later)).toEqual(ring)
    const { mtimeMs, ino } = statSync(join(dir, 'ring.json'))
    expect({ mtimeMs, ino }).toEqual({ mtimeMs: before.mtimeMs, ino: before.ino })
  })

  test('finds a ring that was rotated, its retiring key included', async () => {
    const now = NOW + 601
    const rotated = promoteNext(ring, spare, { now, jwksMaxAgeSeconds: 300 })
    expect(rotated?.keys).toHaveLength(3)
    expect(await loadOrCreateRing(folderWith(JSON.stringify(rotated)), options)).toEqual(rotated)
  })

  test('finds keys whose private halves are elsewhere', async () => {
    const keys = ring.keys.map(
      ({ privateJwk: _none, ...key }: RingKey & { privateJwk?: unknown }) => ({
        ...key,
        home: { name: 'vault', keyId: '7' },
      }),
    )
    expect(await loadOrCreateRing(folderWith(JSON.stringify({ keys })), options)).toEqual({ keys })
  })

  test('finds that somebody waits for the next key', async () => {
    const wanted = wantNext(ring, NOW + 5)
    expect(await loadOrCreateRing(folderWith(JSON.stringify(wanted)), options)).toEqual(wanted)
  })

  test('does not bring a private half of a retiring key back', async () => {
    const rotated = promoteNext(ring, spare, { now: NOW + 601, jwksMaxAgeSeconds: 300 })
    const withPrivate = rotated?.keys.map((key) =>
      key.state === 'retiring' ? { ...key, privateJwk: spare.privateJwk } : key,
    )
    const loaded = await loadOrCreateRing(
      folderWith(JSON.stringify({ keys: withPrivate })),
      options,
    )
    expect(loaded).toEqual(rotated)
  })
})

describe('a ring file that is not right', () => {
  /** The ring's text after a change to its parsed form. */
  function changed(change: (keys: Record<string, unknown>[]) => unknown): string {
    const { keys } = JSON.parse(text) as { keys: Record<string, unknown>[] }
    return JSON.stringify({ keys: change(keys) ?? keys })
  }
  const assignTo = (index: number, values: object) => () =>
    changed((keys) => void Object.assign(keys[index] ?? {}, values))

  test.each<[string, () => string]>([
    ['is empty', () => ''],
    ['is cut in the middle', () => text.slice(0, text.length / 2)],
    ['is no JSON', () => 'not JSON'],
    ['is another document', () => '{"a":1}'],
    ['is a list', () => '[]'],
    ['has no keys', () => '{"keys":[]}'],
    ['has no active key', () => changed((keys) => keys.slice(1))],
    ['has an active key without a private half', assignTo(0, { privateJwk: undefined })],
    ['has two active keys', assignTo(1, { state: 'active', activatedAt: NOW })],
    ['has the same key twice', () => changed(([active]) => [active, { ...active, state: 'next' }])],
    ['has a key in a state that is none', assignTo(1, { state: 'compromised' })],
    ['has an active key without a private half', assignTo(0, { privateJwk: undefined })],
    ['has a time that is none', assignTo(0, { publishedAt: 'yesterday' })],
    ['has a kid that is not the thumbprint', assignTo(0, { kid: 'a-kid' })],
    ['has the kid of the other key', () => changed(([a, b]) => [{ ...a, kid: b?.['kid'] }, b])],
    ['has the private half of another key', () => assignTo(0, { privateJwk: spare.privateJwk })()],
    ['has the public half of another key', () => assignTo(0, { publicJwk: spare.publicJwk })()],
    [
      'has a key of 1024 bits',
      () => changed(([active]) => [active, { ...short, state: 'next', publishedAt: NOW + 1 }]),
    ],
    ['has a key of another kind', assignTo(1, { publicJwk: { kty: 'EC', n: 'AA', e: 'AQAB' } })],
  ])('is a ConfigError that names it, and stays as it is: it %s', async (_title, contentOf) => {
    const content = contentOf()
    expect(content).not.toBe(text)
    const folder = folderWith(content)
    const path = join(folder, 'ring.json')
    const error: unknown = await loadOrCreateRing(folder, options).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ConfigError)
    const { problems, hint } = error as ConfigError
    expect(problems).toEqual([expect.stringContaining(path)])
    expect(hint).toContain('backup')
    expect(readFileSync(path, 'utf8')).toBe(content)
    expect(readdirSync(folder)).toEqual(['ring.json'])
  })

  test('is never quoted where it holds a private key', async () => {
    const { privateJwk } = JSON.parse(text).keys[0] as { privateJwk: RsaPrivateJwk }
    for (const content of [text.slice(0, -1), assignTo(0, { kid: 'a-kid' })()]) {
      const error: unknown = await loadOrCreateRing(folderWith(content), options).catch(
        (error: unknown) => error,
      )
      expect(String(error)).not.toContain(privateJwk.d)
      expect(String(error)).not.toContain(privateJwk.p)
    }
  })

  test('is refused when others may read it, and stays as it is', async () => {
    const folder = folderWith(text)
    const path = join(folder, 'ring.json')
    chmodSync(path, 0o640)
    const error: unknown = await loadOrCreateRing(folder, options).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).hint).toBe(`chmod 600 ${path}`)
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(statSync(path).mode & 0o777).toBe(0o640)
  })
})
