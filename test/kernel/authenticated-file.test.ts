import fc from 'fast-check'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openAuthenticatedFile } from '../../src/kernel/authenticated-file.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const key = Buffer.alloc(32, 1)
const openAt = (path: string, over: { key?: Buffer; purpose?: string[] } = {}) =>
  openAuthenticatedFile({ path, key, purpose: ['jwks', 'https://auth.example'], ...over })

test('gives back what was saved, for its owner alone, and nothing where nothing is', async () => {
  const path = join(newFolder(), 'deep', 'file.json')
  expect(await openAt(path).load()).toBeUndefined()
  await openAt(path).save({ a: [1, 'zwei', null] })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await openAt(path).load()).toEqual({ value: { a: [1, 'zwei', null] } })
})

test('another key or purpose, or another issuer, counts as damage', async () => {
  const path = join(newFolder(), 'file.json')
  await openAt(path).save({ a: 1 })
  expect(await openAt(path, { key: Buffer.alloc(32, 2) }).load()).toBe('damaged')
  for (const purpose of [
    ['revocations', 'https://auth.example'],
    ['jwks', 'https://evil.example'],
  ]) {
    expect(await openAt(path, { purpose }).load()).toBe('damaged')
  }
})

test('whatever is changed, cut off or added is always found', async () => {
  const path = join(newFolder(), 'file.json')
  await openAt(path).save({ keys: ['a', 'b'], at: 1 })
  const good = readFileSync(path, 'utf8')
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length),
      fc.nat(5),
      fc.string({ maxLength: 5 }),
      async (at, cut, added) => {
        const changed = good.slice(0, at) + added + good.slice(at + cut)
        fc.pre(changed !== good)
        writeFileSync(path, changed)
        expect(await openAt(path).load()).toBe('damaged')
      },
    ),
  )
})
