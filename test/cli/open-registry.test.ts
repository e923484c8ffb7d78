import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openRegistry } from '../../src/cli/open-registry.ts'
import { openStore } from '../../src/cli/open-store.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { REGISTRY } from '../../src/registry/kept-record.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const around = { clock: systemClock, log: createLog('silent') }

function newConfig() {
  const result = loadConfig({ env: {}, set: [`dataDir=${join(newFolder(), 'data')}`] })
  if (result.problems !== undefined) throw new Error(result.problems.join('\n'))
  return result.config
}

test('a registry says in which format it is kept, once', async () => {
  const config = newConfig()
  for (let start = 1; start <= 2; start += 1) {
    const { store, close } = await openRegistry(config, around)
    expect((await store.get(REGISTRY, 'format'))?.value).toEqual({ version: 1 })
    await close()
  }
})

test('one that a newer release writes in its own way is refused, and left as it is', async () => {
  const config = newConfig()
  await (await openRegistry(config, around)).close()
  const newer = await openStore(config, systemClock)
  await newer.commit(REGISTRY, [
    { kind: 'put', id: 'format', value: { version: 2 }, expect: 'any', lifetime: 'permanent' },
  ])
  await newer.close()

  const opening = openRegistry(config, around)
  await expect(opening).rejects.toThrow(ConfigError)
  await expect(opening).rejects.toThrow('format 2')
  const store = await openStore(config, systemClock)
  expect((await store.get(REGISTRY, 'format'))?.value).toEqual({ version: 2 })
  await store.close()
})
