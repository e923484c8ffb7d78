import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { isSandboxable, sandboxFlags } from '../../src/cli/sandbox.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()

function configOf(set: readonly string[]): Config {
  const result = loadConfig({ env: {}, set })
  if (result.problems !== undefined) throw new Error(result.problems.join('\n'))
  return result.config
}

const REDIS = ['redis.url=redis://localhost', `keys.encryptionKey=${'A'.repeat(43)}=`]

/** What a program with those flags may do, one line each. */
const ATTEMPTS = `
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Session } from 'node:inspector'
import { Worker } from 'node:worker_threads'
const [inside, outside, secret] = process.argv.slice(2)
const attempts = {
  'write inside': () => writeFileSync(inside, ''),
  'write outside': () => writeFileSync(outside, ''),
  'read a key': () => readFileSync(secret),
  'read /etc/passwd': () => readFileSync('/etc/passwd'),
  'read it by way of /proc': () => readFileSync('/proc/self/root/etc/passwd'),
  'read its environment': () => readFileSync('/proc/self/environ'),
  eval: () => (0, eval)('1'),
  'new Function': () => new Function('return 1'),
  'start a program': () => spawnSync('true'),
  'start a thread': () => new Worker('1', { eval: true }),
  'load an addon': () => createRequire(import.meta.url)(${JSON.stringify(addon())}),
  inspect: () => new Session().connect(),
  'reach __proto__': () => {
    if (!('__proto__' in {})) throw new Error('there is none')
  },
}
const can = Object.entries(attempts).filter(([, attempt]) => {
  try {
    attempt()
    return true
  } catch {
    return false
  }
})
console.log(JSON.stringify(can.map(([what]) => what)))
process.exit(0)
`

function addon(): string {
  return new URL(
    `../../node_modules/argon2/prebuilds/linux-${process.arch}/argon2.glibc.node`,
    import.meta.url,
  ).pathname
}

/** Runs the attempts with those flags; gives those that succeeded. */
async function abilitiesWith(flags: readonly string[], folder: string): Promise<string[]> {
  const script = join(folder, 'data', 'attempts.mjs')
  writeFileSync(script, ATTEMPTS)
  const paths = [
    join(folder, 'data', 'inside'),
    join(folder, 'outside'),
    join(folder, 'keys', 'ring.json'),
  ]
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, ...paths])
  return z.array(z.string()).parse(JSON.parse(stdout))
}

function folderWithKeys(): { folder: string; places: string[] } {
  const folder = newFolder()
  for (const name of ['data', 'keys']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'keys', 'ring.json'), '{}')
  return {
    folder,
    places: [`dataDir=${join(folder, 'data')}`, `keys.dir=${join(folder, 'keys')}`],
  }
}

describe('with the flags of the sandbox', () => {
  test('a proxy can only write into its data folder', async () => {
    const { folder, places } = folderWithKeys()
    const flags = sandboxFlags('proxy', configOf([...places, ...REDIS]), [])
    expect(await abilitiesWith(flags, folder)).toEqual(['write inside'])
  })

  test('an issuer can read its keys, too, and load the addon of argon2', async () => {
    const { folder, places } = folderWithKeys()
    const flags = sandboxFlags('issuer', configOf([...places, ...REDIS]), [])
    const can = await abilitiesWith(flags, folder)
    expect(can.filter((each) => each !== 'load an addon')).toEqual(['write inside', 'read a key'])
  })

  test('without them all of it succeeds', async () => {
    const { folder } = folderWithKeys()
    const can = await abilitiesWith([], folder)
    expect(can).toEqual(expect.arrayContaining(['eval', 'write outside', 'start a program']))
    expect(can).toEqual(expect.arrayContaining(['start a thread', 'inspect', 'reach __proto__']))
    expect(can).toEqual(expect.arrayContaining(['read it by way of /proc', 'read its environment']))
  })

  test('a file that a setting names can be read, a folder cannot', () => {
    const { folder, places } = folderWithKeys()
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    for (const path of [cert, key]) writeFileSync(path, '')
    const tls = [`proxy.tls.cert=${cert}`, `proxy.tls.key=${key}`]
    const flags = sandboxFlags('proxy', configOf([...places, ...tls]), ['/etc/gatehouse.yaml'])
    expect(flags).toEqual(
      expect.arrayContaining([
        `--allow-fs-read=${cert}`,
        `--allow-fs-read=${key}`,
        '--allow-fs-read=/etc/gatehouse.yaml',
      ]),
    )
    expect(flags).not.toContain(`--allow-fs-read=${join(folder, 'keys')}`)
  })
})

describe('the sandbox is for', () => {
  test.each([
    ['a proxy', 'proxy', [], true],
    ['an issuer whose keys and records are in Redis', 'issuer', REDIS, true],
    ['no issuer whose keys are files, which have to be synced', 'issuer', [], false],
    ['nobody where it is not wanted', 'proxy', ['sandbox=false'], false],
    [
      'no issuer with keys in a PKCS#11 token',
      'issuer',
      [
        ...REDIS,
        'keys.pkcs11.module=/lib/token.so',
        'keys.pkcs11.tokenLabel=t',
        'keys.pkcs11.pin=1234',
      ],
      false,
    ],
  ] as const)('%s', (_title, role, set, expected) => {
    expect(isSandboxable(role, configOf(set))).toBe(expected)
  })
})

test('every script that serves is started without eval, __proto__ and an inspector to be woken', () => {
  const { scripts } = z
    .object({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')))
  for (const name of ['start', 'demo', 'gatehouse']) {
    expect(scripts[name]).toContain('--disable-proto=delete')
    expect(scripts[name]).toContain('--disallow-code-generation-from-strings')
    expect(scripts[name]).toContain('--disable-sigusr1')
  }
})
