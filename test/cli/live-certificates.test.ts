import { X509Certificate } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { beforeAll, describe, expect, test } from 'vitest'
import { certificateChecks, watchCertificates } from '../../src/cli/certificate-metrics.ts'
import { openCertificates } from '../../src/cli/live-certificates.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import type { HttpServer } from '../../src/kernel/http-server.ts'
import type { TlsMaterial } from '../../src/kernel/tls-policy.ts'
import {
  AUTHORITY,
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  type Certified,
} from '../support/certificates.ts'
import { createTestLog } from '../support/log-lines.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const DAY_MS = 86_400_000

function configOf(dir: string, ...more: string[]): Config {
  const files = { cert: 'tls.crt', key: 'tls.key', clientCa: 'ca.crt' }
  const set = Object.entries(files).map(([name, file]) => `proxy.tls.${name}=${join(dir, file)}`)
  const loaded = loadConfig({ env: {}, set: [...set, ...more] })
  if (loaded.problems !== undefined) throw new Error(loaded.problems.join())
  return loaded.config
}

type Files = { of: Certified; ca?: Certified }

const write = (dir: string, { of, ca = of }: Files) => {
  writeFileSync(join(dir, 'tls.crt'), of.cert)
  writeFileSync(join(dir, 'tls.key'), of.key)
  writeFileSync(join(dir, 'ca.crt'), ca.cert)
}

/** A listener that only remembers, and certificates that look at their files when the test says so. */
function open(config: Config, now = Date.now()) {
  const shown: TlsMaterial[] = []
  const { log, lines } = createTestLog()
  const time = { now }
  let look: () => void = () => undefined
  const certificates = openCertificates({
    config,
    role: 'proxy',
    log,
    clock: () => time.now,
    schedule(task) {
      look = task
      return () => (look = () => undefined)
    },
  })
  const server: HttpServer = {
    name: 'proxy.listen',
    address: { host: '127.0.0.1', port: 1 },
    renewTls: (material) => void shown.push(material),
    drain: async () => undefined,
  }
  certificates.show(server)
  const logged = () =>
    lines.splice(0).map((line) => JSON.parse(line) as { event: string; message: string })
  return { certificates, shown, time, look: () => look(), logged }
}

describe.skipIf(!hasOpenssl)('the certificates of a listener', () => {
  let first: Certified
  let second: Certified
  let ca: Certified
  beforeAll(async () => {
    first = await makeCertificate({ subject: '/CN=first', extensions: FOR_LOCALHOST })
    second = await makeCertificate({ subject: '/CN=second', extensions: FOR_LOCALHOST })
    ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
  })

  const begin = (files: Files = { of: first }) => {
    const dir = newFolder()
    write(dir, files)
    return { dir, ...open(configOf(dir)) }
  }

  test('are shown anew when their files have changed, and only then', () => {
    const { dir, shown, look, logged } = begin()
    look()
    expect([shown, logged()]).toEqual([[], []])
    write(dir, { of: second })
    look()
    look()
    expect(shown).toEqual([{ cert: second.cert, key: second.key, clientCa: second.cert }])
    const { validToDate } = new X509Certificate(second.cert)
    expect(logged()).toEqual([
      expect.objectContaining({
        event: 'certificate.renewed',
        listener: 'proxy.listen',
        message: `the certificate is good until ${validToDate.toISOString()}`,
      }),
    ])
  })

  test('are shown anew when only the authorities of callers have changed', () => {
    const { dir, shown, look, certificates } = begin()
    writeFileSync(join(dir, 'ca.crt'), ca.cert)
    look()
    expect(shown).toEqual([{ cert: first.cert, key: first.key, clientCa: ca.cert }])
    expect(certificates.clientCa()).toBe(ca.cert)
  })

  test('are those of a Kubernetes secret, whose folder is changed as a whole behind a link', () => {
    const dir = newFolder()
    const release = (name: string, of: Certified) => {
      mkdirSync(join(dir, name))
      write(join(dir, name), { of })
      symlinkSync(name, join(dir, '..data_tmp'))
      renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
    }
    release('..1', first)
    for (const file of ['tls.crt', 'tls.key', 'ca.crt']) {
      symlinkSync(join('..data', file), join(dir, file))
    }
    const { shown, look } = open(configOf(dir))
    release('..2', second)
    rmSync(join(dir, '..1'), { recursive: true })
    look()
    expect(shown).toEqual([{ cert: second.cert, key: second.key, clientCa: second.cert }])
  })

  test.each<[string, (dir: string) => void]>([
    ['half a certificate', (dir) => writeFileSync(join(dir, 'tls.crt'), second.cert.slice(0, 300))],
    [
      'a chain whose second certificate is cut off',
      (dir) => writeFileSync(join(dir, 'tls.crt'), first.cert + ca.cert.slice(0, 300)),
    ],
    ['an empty certificate', (dir) => writeFileSync(join(dir, 'tls.crt'), '')],
    ['the key of another', (dir) => writeFileSync(join(dir, 'tls.key'), second.key)],
    ['half a key', (dir) => writeFileSync(join(dir, 'tls.key'), first.key.slice(0, 100))],
    ['no key', (dir) => rmSync(join(dir, 'tls.key'))],
    [
      'an authority that is cut off',
      (dir) => writeFileSync(join(dir, 'ca.crt'), ca.cert + second.cert.slice(0, 300)),
    ],
    ['no authority', (dir) => writeFileSync(join(dir, 'ca.crt'), '\n')],
  ])('stay in use while there is %s, which is said once', (_title, spoil) => {
    const { dir, shown, look, logged, certificates } = begin()
    spoil(dir)
    look()
    look()
    expect(shown).toEqual([])
    expect(certificates.clientCa()).toBe(first.cert)
    expect(logged()).toEqual([
      expect.objectContaining({
        level: 'warn',
        event: 'certificate.refused',
        listener: 'proxy.listen',
        message: expect.stringMatching(/^what was there before stays in use: proxy\.tls/) as string,
      }),
    ])
    expect(certificates.readiness()).toEqual({
      status: 'ok',
      detail: expect.stringContaining('proxy.tls') as string,
    })
    write(dir, { of: second })
    look()
    expect(shown).toHaveLength(1)
    expect(certificates.readiness()).toEqual({ status: 'ok' })
  })

  test('come from other files after a reload, but not from files that are no good', () => {
    const { shown, look, certificates } = begin()
    const dir = newFolder()
    write(dir, { of: { ...second, key: first.key } })
    expect(() => certificates.prepare(configOf(dir))).toThrow(ConfigError)
    write(dir, { of: second, ca })
    const take = certificates.prepare(configOf(dir))
    expect(shown).toEqual([])
    take()
    const taken = { cert: second.cert, key: second.key, clientCa: ca.cert }
    expect(shown).toEqual([taken])
    look()
    expect(shown).toEqual([taken])
    write(dir, { of: first })
    look()
    expect(shown).toHaveLength(2)
  })

  test('of a weak key are refused', async () => {
    const weak = await makeCertificate({ subject: '/CN=a', keySpec: ['rsa:1024'] })
    const dir = newFolder()
    write(dir, { of: weak, ca })
    expect(() => open(configOf(dir))).toThrow('proxy.tls')
  })

  test('say when they expire: in a metric, and as a warning once a day towards the end', async () => {
    const { time, look, logged, certificates } = begin({ of: first, ca })
    const registry = new Registry()
    watchCertificates(registry, [certificates], () => time.now)
    const metric = async () =>
      /^gatehouse_tls_certificate_expires_seconds\{listener="proxy"\} (.*)$/m.exec(
        await registry.metrics(),
      )?.[1]
    const checks = certificateChecks([certificates])
    const endMs = new X509Certificate(first.cert).validToDate.getTime()
    // It lives for two days.
    time.now = endMs - DAY_MS
    look()
    expect(await metric()).toBe('86400')
    expect(logged()).toEqual([])
    expect(checks['certificates']?.()).toEqual({ status: 'ok' })
    time.now = endMs - DAY_MS / 4
    look()
    look()
    time.now += DAY_MS - 1
    look()
    const line = expect.objectContaining({ level: 'warn', event: 'certificate.expiring' }) as object
    expect(logged()).toEqual([line])
    time.now += 1
    look()
    expect(logged()).toEqual([line])
    expect(await metric()).toBe('-64800')
    expect(checks['certificates']?.()).toEqual({
      status: 'ok',
      detail: `proxy: the certificate is good until ${new Date(endMs).toISOString()}`,
    })
  })

  test('of a listener without TLS are none', async () => {
    const registry = new Registry()
    const loaded = loadConfig({ env: {} })
    if (loaded.problems !== undefined) throw new Error(loaded.problems.join())
    const { certificates, look, logged } = open(loaded.config)
    watchCertificates(registry, [certificates], Date.now)
    look()
    expect(logged()).toEqual([])
    expect(certificateChecks([certificates])).toEqual({})
    expect(await registry.metrics()).not.toContain('gatehouse_tls_certificate_expires_seconds{')
  })
})
