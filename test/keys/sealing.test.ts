import { randomBytes } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { loadOrCreateSecrets } from '../../src/keys/installation-secrets.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openKeyFolder, openKeyRecords, type DocumentPlace } from '../../src/keys/document-place.ts'
import { sealingKeysOf, type SealingSecrets } from '../../src/keys/sealing.ts'
import { openTestSqlite, type OpenedStore } from '../support/stores.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const newKey = () => randomBytes(32).toString('base64')
const [key, otherKey] = [newKey(), newKey()]
const passphrase = 'correct horse battery staple'
const documentsIn = (home: DocumentPlace, secrets: SealingSecrets) =>
  createKeyDocuments(home, sealingKeysOf(secrets))

let opened: OpenedStore
beforeAll(async () => {
  opened = await openTestSqlite(Date.now)
})
afterAll(() => opened.stop())

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => new Error('it was opened'),
    (error: unknown) => error as Error,
  )

describe.each([
  ['an encryption key', { encryptionKey: key }, { encryptionKey: otherKey }],
  ['a passphrase', { passphrase }, { passphrase: `${passphrase}!` }],
])('a document that is sealed with %s', (_title, secrets, others) => {
  test('shows nothing of its text, and opens with the same alone', async () => {
    const home = openKeyFolder(newFolder())
    await documentsIn(home, secrets).create('secrets.json', 'the secret')
    const kept = (await home.read('secrets.json')) ?? ''
    expect(kept).not.toContain('the secret')
    expect(Buffer.from(kept.split('.')[3] ?? '', 'base64url').toString()).not.toContain('secret')
    expect(await documentsIn(home, secrets).read('secrets.json')).toMatchObject({
      text: 'the secret',
    })
    for (const wrong of [others, {}]) {
      const error = await errorOf(documentsIn(home, wrong).read('secrets.json'))
      expect(error).toBeInstanceOf(ConfigError)
      expect(error.message).toContain(home.placeOf('secrets.json'))
      expect(await errorOf(loadOrCreateSecrets(documentsIn(home, wrong)))).toEqual(error)
    }
    expect(await home.read('secrets.json')).toBe(kept)
  })

  test('cannot be put in the place of another one', async () => {
    const dir = newFolder()
    const home = openKeyFolder(dir)
    await documentsIn(home, secrets).create('secrets.json', 'the secret')
    writeFileSync(join(dir, 'ring.json'), readFileSync(join(dir, 'secrets.json')), { mode: 0o600 })
    expect(await errorOf(documentsIn(home, secrets).read('ring.json'))).toBeInstanceOf(ConfigError)
  })

  test('is not opened when a bit of it was changed', async () => {
    const dir = newFolder()
    const home = openKeyFolder(dir)
    await documentsIn(home, secrets).create('secrets.json', 'the secret')
    const kept = (await home.read('secrets.json')) ?? ''
    const parts = kept.split('.')
    for (const part of [0, 2, 3, 4]) {
      const changed = parts.map((text, i) => (i === part ? flipped(text) : text)).join('.')
      expect(changed).not.toBe(kept)
      writeFileSync(join(dir, 'secrets.json'), changed, { mode: 0o600 })
      const error = await errorOf(documentsIn(home, secrets).read('secrets.json'))
      expect(error).toBeInstanceOf(ConfigError)
    }
  })

  test('is sealed anew with another key on command, while those who know both read on', async () => {
    const home = openKeyFolder(newFolder())
    const before = documentsIn(home, secrets)
    const both = documentsIn(home, { encryptionKey: otherKey, ...previousOf(secrets) })
    await before.create('secrets.json', 'first')
    const first = await both.read('secrets.json')
    expect(first?.text).toBe('first')
    // Until the command, what changes stays readable to an issuer that has not got the new key.
    expect(first && (await both.replace(first, 'second'))).toBe(true)
    expect((await before.read('secrets.json'))?.text).toBe('second')
    expect(await both.reseal('secrets.json')).toBe('resealed')
    expect(await both.reseal('secrets.json')).toBe('current')
    expect((await both.read('secrets.json'))?.text).toBe('second')
    const after = documentsIn(home, { encryptionKey: otherKey })
    expect((await after.read('secrets.json'))?.text).toBe('second')
    expect(await errorOf(documentsIn(home, secrets).read('secrets.json'))).toBeInstanceOf(
      ConfigError,
    )
  })
})

test('a store that others reach takes no document in the clear, and believes none', async () => {
  const home = openKeyRecords(opened.store)
  for (const secrets of [{}, { passphrase }]) {
    expect(() => documentsIn(home, secrets)).toThrow('keys.encryptionKey: required with redis.url')
  }
  await home.create('ring.json', '{"keys":[]}')
  const error = await errorOf(documentsIn(home, { encryptionKey: key }).read('ring.json'))
  expect(error.message).toContain('not sealed')
})

test('in a store the first one counts, and who decided on an older one changes nothing', async () => {
  const home = openKeyRecords(opened.store)
  const documents = documentsIn(home, { encryptionKey: key })
  expect(await documents.create('secrets.json', 'first')).toBe(true)
  expect(await documents.create('secrets.json', 'late')).toBe(false)
  const first = await documents.read('secrets.json')
  expect(first && (await documents.replace(first, 'second'))).toBe(true)
  expect(first && (await documents.replace(first, 'third'))).toBe(false)
  expect((await documents.read('secrets.json'))?.text).toBe('second')
})

test('a sealed file is for its owner alone, and refused when others may read it', async () => {
  const dir = newFolder()
  const documents = documentsIn(openKeyFolder(dir), { encryptionKey: key })
  await documents.create('secrets.json', 'x')
  expect(readdirSync(dir)).toEqual(['secrets.json'])
  const path = join(dir, 'secrets.json')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  chmodSync(path, 0o644)
  expect(await errorOf(documents.read('secrets.json'))).toMatchObject({ hint: `chmod 600 ${path}` })
})

const previousOf = ({ encryptionKey, passphrase }: SealingSecrets): SealingSecrets => ({
  previousEncryptionKey: encryptionKey,
  previousPassphrase: passphrase,
})

const flipped = (text: string) => {
  const at = Math.floor(text.length / 2)
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
}
