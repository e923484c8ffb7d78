import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { loadOrCreateSecrets as loadOrCreate } from '../../src/keys/installation-secrets.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openKeyFolder } from '../../src/keys/document-place.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const loadOrCreateSecrets = (dir: string) =>
  loadOrCreate(createKeyDocuments(openKeyFolder(dir), []))

test('the first start makes one private file, which every later start reads', async () => {
  const dir = join(newFolder(), 'keys')
  const [first, competing] = await Promise.all([loadOrCreateSecrets(dir), loadOrCreateSecrets(dir)])
  expect(competing).toEqual(first)
  expect(await loadOrCreateSecrets(dir)).toEqual(first)
  expect(readdirSync(dir)).toEqual(['secrets.json'])
  expect(statSync(join(dir, 'secrets.json')).mode & 0o777).toBe(0o600)
})

test('each purpose and each installation has a secret of its own', async () => {
  const installations = await Promise.all([
    loadOrCreateSecrets(newFolder()),
    loadOrCreateSecrets(newFolder()),
  ])
  const secrets = installations.flatMap((each) => Object.values(each))
  for (const secret of secrets) expect(secret).toHaveLength(32)
  expect(new Set(secrets.map((secret) => secret.toString('hex'))).size).toBe(10)
})

test.each(['', '{}', '{"master":"short"}', 'not json'])(
  'a damaged file is refused, never replaced: %j',
  async (text) => {
    const dir = newFolder()
    writeFileSync(join(dir, 'secrets.json'), text, { mode: 0o600 })
    await expect(loadOrCreateSecrets(dir)).rejects.toThrow(ConfigError)
    expect(readdirSync(dir)).toEqual(['secrets.json'])
  },
)
