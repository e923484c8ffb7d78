import { afterAll, beforeAll, describe } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { describeJournals } from './journal-contract.ts'
import { describeRecords } from './record-contract.ts'
import { describeRecordProperties } from './record-properties.ts'

/** One backend as the contract sees it. */
export type StoreUnderTest = {
  store: Store
  /** What another process would open; the same store where the backend allows one process only. */
  peer: Store
  /** How much longer a record is kept, or `permanent`; asked of the backend, behind the store's back. */
  remainingMs: (collection: string, id: string) => Promise<number | 'permanent'>
  /** What its clock says, in ms, once it has gone on. */
  later: () => Promise<number>
  /** Breaks every connection there is; nothing where there is none. */
  interrupt: () => Promise<void>
  stop: () => Promise<void>
}

export type Subject = () => StoreUnderTest

/** The one suite that every store passes. */
export function describeStoreContract(start: () => Promise<StoreUnderTest>): void {
  let underTest: StoreUnderTest | undefined
  const subject: Subject = () => {
    if (underTest === undefined) throw new Error('the store did not start')
    return underTest
  }
  beforeAll(async () => {
    underTest = await start()
  })
  afterAll(() => underTest?.stop())

  describe('records', () => {
    describeRecords(subject)
  })
  describe('records, whatever happens to them', () => {
    describeRecordProperties(subject)
  })
  describe('journals', () => {
    describeJournals(subject)
  })
}
