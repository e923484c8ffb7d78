import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startIssuer } from '../../src/cli/start-issuer.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { runCommand } from '../support/command.ts'
import { testConfig } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'

const around = { log: createLog('silent'), clock: systemClock }
const newKey = () => randomBytes(32).toString('base64')

let dir: string
let plain: Config
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-sealed-'))
  plain = await testConfig(dir)
})
afterEach(() => rm(dir, { recursive: true }))

const withKeys = (config: Config, keys: Partial<Config['keys']>): Config => ({
  ...config,
  keys: { ...config.keys, ...keys },
})
const fileOf = (name: string) => readFile(join(plain.keys.dir, name), 'utf8')

/** What an issuer of that configuration publishes. */
async function kidsOf(config: Config): Promise<string[]> {
  const issuer = await startIssuer(config, around)
  try {
    const response = await fetch(`${config.issuer.url}/jwks`)
    const { keys } = (await response.json()) as { keys: { kid: string }[] }
    return keys.map(({ kid }) => kid)
  } finally {
    await issuer.close(0)
  }
}

const init = (...set: string[]) =>
  runCommand(
    [`dataDir=${plain.dataDir}`, `keys.dir=${plain.keys.dir}`, ...set]
      .flatMap((each) => ['--set', each])
      .concat('init'),
  )

describe('an installation that is given an encryption key', () => {
  test('keeps its keys, sealed from then on, and needs that key', async () => {
    const kids = await kidsOf(plain)
    const encryptionKey = newKey()
    expect(await kidsOf(withKeys(plain, { encryptionKey }))).toEqual(kids)
    const [ring, secrets] = [await fileOf('ring.json'), await fileOf('secrets.json')]
    for (const text of [ring, secrets]) expect(text).toMatch(/^\{"sealed":"[\w.-]+"\}$/)

    for (const set of [
      [],
      [`keys.encryptionKey=${newKey()}`],
      ['keys.passphrase=some other one'],
    ]) {
      const refused = await init(...set)
      expect([set, refused.code]).toEqual([set, 78])
      expect(refused.stderr).toMatch(/^error: .*(ring|secrets)\.json is sealed/)
    }
    expect([await fileOf('ring.json'), await fileOf('secrets.json')]).toEqual([ring, secrets])
    expect((await init(`keys.encryptionKey=${encryptionKey}`)).code).toBe(0)
  })

  test('is not started with keys that others may read, sealed or not', async () => {
    await kidsOf(withKeys(plain, { encryptionKey: newKey() }))
    await chmod(join(plain.keys.dir, 'secrets.json'), 0o640)
    const refused = await init()
    expect([refused.code, refused.stderr]).toEqual([
      78,
      expect.stringContaining('may be read by others'),
    ])
  })
})

describe.skipIf(!hasRedisServer)('an installation that moves to Redis', () => {
  test('takes its keys along, from files in the clear or sealed', async () => {
    const servers = await startRedis()
    try {
      const encryptionKey = newKey()
      const kids = await kidsOf(withKeys(plain, { encryptionKey }))
      const onRedis = withKeys({ ...plain, redis: { url: servers.url } }, { encryptionKey })
      expect(await kidsOf(onRedis)).toEqual(kids)
      const elsewhere = withKeys(onRedis, { dir: join(dir, 'elsewhere') })
      expect(await kidsOf(elsewhere)).toEqual(kids)
    } finally {
      await servers.stop()
    }
  })
})
