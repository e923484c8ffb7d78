import { expect, test } from 'vitest'
import { createVerifiedSecrets } from '../../src/registry/verified-secrets.ts'

const NOW = 1_700_000_000
const time = { now: NOW * 1000 }
const QUESTION = { clientId: 'robot', version: 'v1', secret: 's' }

test('a verified secret is remembered for 60 s and not longer', () => {
  time.now = NOW * 1000
  const verified = createVerifiedSecrets(() => time.now)
  const key = verified.keyOf(QUESTION)
  expect(verified.find(key)).toBeUndefined()
  verified.remember(key, 'id', undefined)
  time.now += 59_999
  expect(verified.find(key)).toBe('id')
  time.now += 1
  expect(verified.find(key)).toBeUndefined()
})

test('not beyond its own expiry', () => {
  time.now = NOW * 1000
  const verified = createVerifiedSecrets(() => time.now)
  const key = verified.keyOf(QUESTION)
  verified.remember(key, 'id', NOW + 10)
  time.now += 9999
  expect(verified.find(key)).toBe('id')
  time.now += 1
  expect(verified.find(key)).toBeUndefined()
})

test('another client, version, secret or process is another key, which does not tell the secret', () => {
  const verified = createVerifiedSecrets(() => time.now)
  const others = [
    { ...QUESTION, clientId: 'other' },
    { ...QUESTION, version: 'v2' },
    { ...QUESTION, secret: 't' },
    { clientId: 'robotv1', version: '', secret: 's' },
  ].map((question) => verified.keyOf(question))
  const elsewhere = createVerifiedSecrets(() => time.now).keyOf(QUESTION)
  expect(new Set([...others, elsewhere, verified.keyOf(QUESTION)]).size).toBe(6)
})
