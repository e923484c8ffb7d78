import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { systemClock } from '../../src/kernel/clock.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { describeStoreContract } from './store-contract.ts'

describe('the store on SQLite', () => {
  describeStoreContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gatehouse-sqlite-'))
    const path = join(folder, 'gatehouse.db')
    let now = systemClock()
    const store = await openSqliteStore({ path, clock: () => now })

    /** When the clock must reach so that the record is gone: halving, as nobody else may open the file. */
    const remainingMs = async (name: string, id: string): Promise<number | 'permanent'> => {
      const start = now
      const isGoneAfter = async (ms: number) => {
        now = start + ms
        const record = await store.get({ name, layout: 'together' }, id)
        now = start
        return record === undefined
      }
      let [low, high] = [0, 2 ** 40]
      if (!(await isGoneAfter(high))) return 'permanent'
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2)
        if (await isGoneAfter(middle)) high = middle
        else low = middle
      }
      return high
    }

    return {
      store,
      peer: store,
      remainingMs,
      later: async () => (now += 1),
      interrupt: async () => undefined,
      stop: async () => {
        await store.close()
        await rm(folder, { recursive: true })
      },
    }
  })
})
