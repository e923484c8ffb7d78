import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { hasOpenssl } from '../support/certificates.ts'
import { readComposeFile } from '../support/compose-file.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { hasTool } from '../support/tool.ts'
import { readVersion } from '../support/version.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const compose = readComposeFile()
const services = Object.entries(compose.services)
const version = readVersion()

const makeFolder = useTempFolders()
/** Root writes over what is for reading alone: whoever reads the guide may be somebody else. */
const isRoot = process.getuid?.() === 0
const READER = 65534
/** Docker Compose is a plugin of the docker command, or stands alone. */
const [docker, ...plugin] =
  [['docker', 'compose'] as const, ['docker-compose'] as const].find(
    ([program, ...args]) => spawnSync(program, [...args, 'version']).status === 0,
  ) ?? []
if (docker === undefined) console.warn('!!! `docker compose config` IS NOT TRIED: no Compose !!!')
const hasParser = hasTool(['compose-go', '-h'], 'docker-compose.yml IS NOT READ BY COMPOSE-GO')

describe('docker-compose.yml', () => {
  test('publishes one port each of the issuer and the proxy, and nothing else', () => {
    const published = services.flatMap(([name, { ports }]) => ports.map((port) => [name, port]))
    expect(published).toEqual([
      ['issuer', '9000:9000'],
      ['proxy', '8080:8080'],
    ])
  })

  test.each(services)('gives %s no privilege', (_name, service) => {
    expect(service.cap_drop).toEqual(['ALL'])
    expect(service.cap_add).toEqual([])
    expect(service.security_opt).toEqual(['no-new-privileges:true'])
    expect(service.privileged).toBe(false)
    expect(service.network_mode).toBeUndefined()
    expect(service.volumes.filter((volume) => /^[./~]/.test(volume))).toEqual([])
  })

  test('lets everything but vLLM write to its volumes and /tmp alone', () => {
    const writable = services.filter(([, service]) => !service.read_only).map(([name]) => name)
    expect(writable).toEqual(['vllm', 'fetch-model'])
  })

  test('puts only the proxy beside the model servers, which have no way out', () => {
    const at = (network: string) =>
      services.filter(([, { networks }]) => networks.includes(network)).map(([name]) => name)
    expect(at('model')).toEqual(['proxy', 'bundled-ocr', 'vllm'])
    expect(at('store')).toEqual(['redis', 'issuer', 'proxy'])
    expect(at('front')).toEqual(['issuer', 'proxy'])
    expect(compose.networks['model']?.internal).toBe(true)
    expect(compose.networks['store']?.internal).toBe(true)
    const modelServers = ['bundled-ocr', 'vllm'].map((name) => compose.services[name]?.networks)
    expect(modelServers).toEqual([['model'], ['model']])
    expect(services.every(([, { networks }]) => networks.length > 0)).toBe(true)
  })

  test('hands out each secret as a file, to those that need it', () => {
    const holders = Object.keys(compose.secrets).map((secret) => [
      secret,
      services.filter(([, service]) => service.secrets.includes(secret)).map(([name]) => name),
    ])
    expect(Object.fromEntries(holders)).toEqual({
      redis_auth: ['redis'],
      redis_url: ['issuer', 'proxy'],
      keys_encryption_key: ['issuer'],
      tls_ca: ['issuer', 'proxy'],
      tls_cert: ['issuer', 'proxy'],
      tls_key: ['issuer', 'proxy'],
    })
    const secretSettings = /PASSWORD|SECRET|API_KEY|ENCRYPTION_KEY|REDIS__URL|TOKEN/
    const named = services.flatMap(([, { environment }]) =>
      Object.keys(environment).filter((name) => secretSettings.test(name)),
    )
    expect(named.filter((name) => !name.endsWith('_FILE'))).toEqual([])
  })

  test('trusts its authority by the setting that is read anew when the file changes', () => {
    for (const name of ['issuer', 'proxy']) {
      const { environment = {} } = compose.services[name] ?? {}
      expect(environment).toHaveProperty('GATEHOUSE_TRUSTED_CA', '/run/secrets/tls_ca')
      expect(environment).not.toHaveProperty('NODE_EXTRA_CA_CERTS')
    }
  })

  test('keeps what is acknowledged: Redis appends to a file on a volume, and evicts nothing', () => {
    const { command = [], volumes } = compose.services['redis'] ?? {}
    expect(command.join(' ')).toMatch(/--dir \/data --appendonly yes --maxmemory-policy noeviction/)
    expect(volumes).toEqual(['redis:/data'])
  })

  test('starts in order, and knows who is well', () => {
    expect(Object.keys(compose.services['issuer']?.depends_on ?? {})).toEqual(['redis'])
    expect(Object.keys(compose.services['proxy']?.depends_on ?? {})).toEqual(
      expect.arrayContaining(['redis', 'issuer', 'bundled-ocr', 'vllm']),
    )
    for (const [name, service] of services) {
      const conditions = Object.values(service.depends_on).map(({ condition }) => condition)
      expect(new Set(conditions).isSubsetOf(new Set(['service_healthy']))).toBe(true)
      expect([name, service.healthcheck !== undefined]).toEqual([name, name !== 'fetch-model'])
    }
  })

  test('gives running calls longer to end than the proxy gives them', () => {
    const drainSeconds = loadConfig({ env: {} }).config?.proxy.drainSeconds ?? Infinity
    const grace = compose.services['proxy']?.stop_grace_period ?? ''
    expect(Number(/^(\d+)s$/.exec(grace)?.[1])).toBeGreaterThan(drainSeconds)
  })

  test('serves the bundled engine by default, and vLLM in its place with gpu.env', () => {
    const variables = parseEnvFile('deploy/compose/gpu.env')
    const gpu = readComposeFile(variables).services
    const upstream = 'GATEHOUSE_PROXY__UPSTREAMS'
    expect(compose.services['bundled-ocr']?.profiles).toEqual([])
    expect(compose.services['bundled-ocr']?.deploy?.replicas).toBe(1)
    expect(compose.services['proxy']?.environment[upstream]).toBe('http://bundled-ocr:8000')
    expect(gpu['vllm']?.profiles).toEqual([variables['COMPOSE_PROFILES']])
    expect(gpu['bundled-ocr']?.deploy?.replicas).toBe(0)
    expect(gpu['proxy']?.environment[upstream]).toBe('http://vllm:8000')
  })

  test('starts vLLM as README does', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8').replaceAll('\\\n', ' ')
    const line = /^vllm serve .*$/m.exec(readme)?.[0] ?? ''
    const flags = (words: string) =>
      words
        .replaceAll('=', ' ')
        .split(/\s+(?=--)/)
        .slice(1)
        .filter((flag) => !flag.startsWith('--host'))
    const { entrypoint = [], command = [] } = compose.services['vllm'] ?? {}
    const ours = [...entrypoint, ...command].join(' ')
    expect(ours).toMatch(/^vllm serve tencent\/HunyuanOCR /)
    expect(flags(ours).map((flag) => flag.trim())).toEqual(flags(line).map((flag) => flag.trim()))
  })

  test('names images by their versions, ours by the version of the package', () => {
    const images = services.map(([name, { image }]) => [name, image.split(':')[1] ?? 'none'])
    for (const [name, tag] of images)
      expect([name, tag]).toEqual([name, expect.stringMatching(/\d/)])
    const own = services
      .filter(([, { build }]) => build !== undefined)
      .map(([, { image }]) => image)
    expect(new Set(own)).toEqual(
      new Set([`gatehouse:${version}`, `gatehouse-bundled-ocr:${version}`]),
    )
  })

  /** As in a fresh clone: without the secrets. */
  async function copyToFolder(): Promise<string> {
    const folder = makeFolder()
    for (const path of ['docker-compose.yml', 'deploy/compose/gpu.env', 'deploy/Dockerfile']) {
      await mkdir(join(folder, path, '..'), { recursive: true })
      await cp(join(ROOT, path), join(folder, path))
    }
    return folder
  }

  test.skipIf(!hasParser)('is read by the parser of Docker Compose', async () => {
    const args = ['-format', 'json', 'docker-compose.yml']
    const json = execFileSync('compose-go', args, { cwd: await copyToFolder(), encoding: 'utf8' })
    const { services: read } = z.object({ services: z.looseObject({}) }).parse(JSON.parse(json))
    expect(Object.keys(read)).toEqual(expect.arrayContaining(['issuer', 'proxy', 'redis']))
  })

  test.skipIf(docker === undefined)(
    'passes `docker compose config`, also with gpu.env',
    async () => {
      const folder = await copyToFolder()
      const config = (...args: string[]) =>
        execFileSync(docker ?? '', [...plugin, ...args, 'config', '--services'], {
          cwd: folder,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'inherit'],
        })
          .trim()
          .split('\n')
          .sort()
      expect(config()).toEqual(['bundled-ocr', 'issuer', 'proxy', 'redis'])
      expect(config('--env-file', 'deploy/compose/gpu.env')).toContain('vllm')
    },
  )
})

describe.skipIf(!hasOpenssl)('deploy/compose/make-secrets.sh', () => {
  const make = async (folder: string, ...names: string[]) => {
    await cp(join(ROOT, 'deploy/compose/make-secrets.sh'), join(folder, 'make-secrets.sh'))
    execFileSync('sh', [join(folder, 'make-secrets.sh'), ...names], { stdio: 'ignore' })
    return (name: string) => join(folder, 'secrets', name)
  }

  test('makes every secret of docker-compose.yml, in a folder for the owner alone', async () => {
    const folder = makeFolder()
    const at = await make(folder)
    const missing = Object.values(compose.secrets).filter(
      ({ file }) => !existsSync(at(file.replace('./deploy/compose/secrets/', ''))),
    )
    expect(missing).toEqual([])
    expect(statSync(at('.')).mode & 0o777).toBe(0o700)
    expect(statSync(at('ca_key')).mode & 0o777).toBe(0o400)
    expect(readFileSync(join(ROOT, '.gitignore'), 'utf8')).toContain('/deploy/compose/secrets/\n')
  })

  test('makes settings that the issuer and the proxy accept', async () => {
    const at = await make(makeFolder())
    for (const name of ['issuer', 'proxy']) {
      const given = Object.entries(compose.services[name]?.environment ?? {})
      const env = Object.fromEntries(
        given.map(([key, value]) => [key, value.replace('/run/secrets', at('.'))]),
      )
      expect(loadConfig({ env })).toMatchObject({ config: {}, warnings: [] })
    }
  })

  test('makes a certificate for localhost, the services and the names that it is given', async () => {
    const at = await make(makeFolder(), 'ocr.example.com')
    const certificate = new X509Certificate(readFileSync(at('tls_cert')))
    const authority = new X509Certificate(readFileSync(at('tls_ca')))
    for (const host of ['localhost', 'issuer', 'proxy', 'ocr.example.com']) {
      expect(certificate.checkHost(host)).toBe(host)
    }
    expect(certificate.checkHost('other.example.com')).toBeUndefined()
    expect(certificate.checkIssued(authority)).toBe(true)
    expect(authority.ca).toBe(true)
    expect(certificate.ca).toBe(false)
  })

  test('leaves what is there, and makes other secrets elsewhere', async () => {
    const folder = makeFolder()
    const at = await make(folder)
    const names = ['redis_auth', 'redis_url', 'keys_encryption_key', 'tls_key', 'tls_cert']
    const before = names.map((name) => readFileSync(at(name), 'utf8'))
    await make(folder)
    expect(names.map((name) => readFileSync(at(name), 'utf8'))).toEqual(before)
    const other = await make(makeFolder())
    const elsewhere = names.map((name) => readFileSync(other(name), 'utf8'))
    expect(elsewhere.filter((text) => before.includes(text))).toEqual([])
  })

  test('lets a certificate take the place of its own by the commands of the guide', async () => {
    const folder = makeFolder()
    const script = join(folder, 'deploy/compose/make-secrets.sh')
    await cp(join(ROOT, 'deploy/compose/make-secrets.sh'), script)
    const guide = readFileSync(join(ROOT, 'docs/guides/deploy-compose.md'), 'utf8')
    const commands = /^```sh.*\n(cp [^]*?)^docker compose restart/m.exec(guide)?.[1] ?? 'false'
    const given = { tls_cert: 'fullchain.pem', tls_key: 'privkey.pem', tls_ca: 'chain.pem' }
    for (const name of Object.values(given)) {
      writeFileSync(join(folder, name), `${name}\n`, { mode: 0o600 })
    }
    const asReader = isRoot ? { uid: READER, gid: READER } : {}
    if (isRoot) {
      execFileSync('chown', ['--recursive', `${READER}:${READER}`, folder])
      chmodSync(dirname(folder), 0o711)
    }
    const run = (text: string) =>
      execFileSync('sh', ['-ec', text], { cwd: folder, stdio: 'pipe', ...asReader })

    run('deploy/compose/make-secrets.sh')
    run(commands)
    for (const [name, source] of Object.entries(given)) {
      const path = join(folder, 'deploy/compose/secrets', name)
      expect(readFileSync(path, 'utf8')).toBe(`${source}\n`)
      expect([name, statSync(path).mode & 0o777]).toEqual([name, 0o444])
    }
  })
})

function parseEnvFile(path: string): Record<string, string> {
  const lines = readFileSync(join(ROOT, path), 'utf8').matchAll(/^([A-Z_]+)=(.*)$/gm)
  return Object.fromEntries([...lines].map(([, name = '', value = '']) => [name, value]))
}
