import { writeSync } from 'node:fs'
import { systemClock } from '../../src/kernel/clock.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'

/**
 * A process to kill: `node sqlite-writer.ts FILE ROUND` opens the store, says `open`, and makes 1,000 commits of two
 * records each, saying the number of each on stdout once it is acknowledged. It then holds the file until it is killed.
 */
const [path = '', round = ''] = process.argv.slice(2)
const store = await openSqliteStore({ path, clock: systemClock })
writeSync(1, 'open\n')
for (let number = 0; number < 1000; number += 1) {
  const id = `${round}/${number}`
  await store.commit({ name: 'registry', layout: 'together' }, [
    { kind: 'put', id: `client/${id}`, value: { id }, expect: 'absent', lifetime: 'permanent' },
    { kind: 'put', id: `name/${id}`, value: { id }, expect: 'absent', lifetime: 'permanent' },
  ])
  writeSync(1, `${number}\n`)
}
setInterval(() => undefined, 60_000)
