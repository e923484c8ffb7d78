import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { hasTool } from '../support/tool.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FOLDER = join(ROOT, 'deploy/systemd')
const OURS = ['gatehouse-issuer.service', 'gatehouse-proxy.service']
const MODEL = 'hunyuanocr@.service'

const hasAnalyze = hasTool(['systemd-analyze', '--version'], 'THE systemd UNITS ARE NOT TRIED')
const makeFolder = useTempFolders()
const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8')

/** All values of one setting of a unit, in their order. */
const valuesOf = (unit: string, setting: string): string[] =>
  [...read(unit).matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].map(([, value = '']) => value)

const keysFolderOf = (unit: string): string | undefined =>
  valuesOf(unit, 'Environment').flatMap(
    (pair) => /^GATEHOUSE_KEYS__DIR=(.*)/.exec(pair)?.[1] ?? [],
  )[0]

describe.skipIf(!hasAnalyze)('systemd-analyze', () => {
  test.each([...OURS, MODEL])('verify finds nothing in %s', (name) => {
    // What a unit starts is not installed here.
    const unit = join(makeFolder(), name.replace('@.', '@vllm.'))
    writeFileSync(
      unit,
      read(name).replace('/usr/local/bin/gatehouse', join(ROOT, 'deploy/gatehouse')),
    )
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], {
      encoding: 'utf8',
      env: { ...process.env, SYSTEMD_LOG_LEVEL: 'warning' },
    })
    expect([status, `${stdout}${stderr}`.includes(name)]).toEqual([0, false])
  })

  // The scale of systemd goes from 0.0 (safest) to 10.0; CUDA needs more than Node does.
  test.each([...OURS.map((name) => [name, 15] as const), [MODEL, 45] as const])(
    'security rates %s at most %i tenths',
    (name, threshold) => {
      const unit = join(FOLDER, name)
      const args = ['security', '--offline=true', `--threshold=${threshold}`, unit]
      const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
      expect([status, /exposure level.*/.exec(stdout)?.[0]]).toEqual([0, expect.any(String)])
    },
  )
})

describe.each(OURS)('%s', (name) => {
  const role = name.includes('issuer') ? 'issuer' : 'proxy'

  test('gives the program settings that it accepts', () => {
    const folder = makeFolder()
    writeFileSync(join(folder, 'redis-url'), 'redis://:password@localhost:6379\n')
    writeFileSync(join(folder, 'keys-encryption-key'), Buffer.alloc(32).toString('base64'))
    const env = Object.fromEntries(
      valuesOf(name, 'Environment').map((pair) => {
        const [key = '', value = ''] = pair.replace('%d', folder).split('=')
        return [key, key === 'GATEHOUSE_CONFIG' ? join(FOLDER, 'gatehouse.yaml') : value]
      }),
    )
    const loaded = loadConfig({ env })
    expect(loaded).toMatchObject({ warnings: [], config: { admin: { listen: '127.0.0.1:9001' } } })
    expect(loaded.config?.[role].tls.key).toBe(join(folder, `${role}-key.pem`))
  })

  test('gets its secrets as credentials, and none that are not its own', () => {
    const credentials = valuesOf(name, 'LoadCredential').map((value) => value.split(':')[0])
    const used = valuesOf(name, 'Environment').flatMap((pair) => /%d\/(.*)/.exec(pair)?.[1] ?? [])
    expect(new Set(credentials)).toEqual(new Set(used))
    expect(credentials.includes('keys-encryption-key')).toBe(role === 'issuer')
  })

  test('reloads by SIGHUP, starts again when it fails, and drains before it is killed', () => {
    const drainSeconds = loadConfig({ env: {} }).config?.proxy.drainSeconds
    expect(valuesOf(name, 'ExecReload')).toEqual(['/bin/kill -HUP $MAINPID'])
    expect(valuesOf(name, 'Restart')).toEqual(['on-failure'])
    expect(valuesOf(name, 'KillMode')).toEqual(['mixed'])
    expect(Number(valuesOf(name, 'TimeoutStopSec')[0])).toBeGreaterThan(drainSeconds ?? Infinity)
  })
})

test.each(['docs', 'docs/zh-CN'])(
  'the command line takes the exports of the guide in %s',
  (docs) => {
    const guide = readFileSync(join(ROOT, docs, 'guides/deploy-systemd.md'), 'utf8')
    const exported = [...guide.matchAll(/^export (.*)$/gm)].flatMap(([, pairs = '']) =>
      pairs.split(' ').map((pair) => pair.split('=')),
    )
    const secrets = makeFolder()
    writeFileSync(join(secrets, 'redis-url'), 'redis://:password@localhost:6379\n')
    const env = Object.fromEntries(
      exported.map(([name = '', path = '']) => [
        name,
        path
          .replace('/etc/gatehouse/secrets', secrets)
          .replace('/etc/gatehouse/gatehouse.yaml', join(FOLDER, 'gatehouse.yaml')),
      ]),
    )
    expect(loadConfig({ env })).toMatchObject({ config: {}, warnings: [] })
    expect(env['GATEHOUSE_ADMIN_KEY_FILE']).toMatch(
      new RegExp(`^${keysFolderOf('gatehouse-issuer.service')}/`),
    )
  },
)

test('the issuer and the proxy have the same sandbox', () => {
  const sandboxes = OURS.map((name) => read(name).split('# The sandbox.')[1])
  expect(sandboxes[0]).toBe(sandboxes[1])
  expect(sandboxes[0]).toContain('ProtectSystem=strict')
})

test('the model server is reached from this machine alone, whichever of its scripts is started', () => {
  expect(valuesOf(MODEL, 'IPAddressDeny')).toEqual(['any'])
  expect(valuesOf(MODEL, 'IPAddressAllow')).toEqual(['localhost'])
  expect(valuesOf(MODEL, 'ExecStart')).toEqual(['/bin/bash "/opt/hunyuanocr/2-API接口-%i.sh"'])
})
