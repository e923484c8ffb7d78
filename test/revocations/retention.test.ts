import { afterAll, expect, test } from 'vitest'
import { appendRevocation } from '../../src/revocations/append-revocation.ts'
import { REVOCATIONS, revokeIssuedUpTo } from '../../src/revocations/revocation.ts'
import { openTestSqlite, type OpenedStore } from '../support/stores.ts'

const time = { now: 1_700_000_000_000 }
const opened: OpenedStore = await openTestSqlite(() => time.now)
afterAll(() => opened.stop())

test('an entry is in the log for 1860 s: as long as the longest token, and the skew of who verifies it', async () => {
  const { store } = opened
  const entry = revokeIssuedUpTo(1_700_000_000, 'client', 'robot')
  await appendRevocation(store, entry)
  const valuesAfter = async (seconds: number) => {
    time.now = 1_700_000_000_000 + seconds * 1000
    return (await store.read(REVOCATIONS, { limit: 10 })).map(({ value }) => value)
  }
  expect(await valuesAfter(1859)).toEqual([entry])
  expect(await valuesAfter(1861)).toEqual([])
})
