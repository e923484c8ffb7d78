import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { isIP, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { parseCertificateName } from '../../src/cli/certificate-name.ts'
import { ensureDevCertificate } from '../../src/cli/dev-cert-files.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import { secureContextOf } from '../../src/kernel/tls-policy.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const DAY_MS = 86_400_000
const NAMES = ['localhost', '127.0.0.1', '::1']
const NOW = Date.now()

const read = (path: string) => readFileSync(path, 'utf8')
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
type Made = Awaited<ReturnType<typeof ensureDevCertificate>>

/** Whether a client that trusts the CA alone believes that server under that name. */
async function isBelieved({ ca, cert, key }: Made, name: string): Promise<boolean> {
  const server = createServer(secureContextOf({ cert: read(cert), key: read(key) }))
  server.on('tlsClientError', () => undefined)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: read(ca),
    servername: '',
    checkServerIdentity: (_host, peer) => {
      const certificate = new X509Certificate(peer.raw)
      const isFor = isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)
      return isFor === undefined ? new Error('another name') : undefined
    },
  })
  try {
    await once(socket, 'secureConnect')
    return socket.authorized
  } catch {
    return false
  } finally {
    socket.destroy()
    server.close()
  }
}

describe('a development certificate', () => {
  test('is believed for its names by who trusts its CA', async () => {
    const made = await ensureDevCertificate(newFolder(), [...NAMES, 'ocr.lan', '*.ocr.lan'], NOW)
    expect(made.made).toEqual(['ca', 'cert'])
    for (const name of [...NAMES, 'ocr.lan', 'a.ocr.lan']) {
      expect([name, await isBelieved(made, name)]).toEqual([name, true])
    }
    expect(await isBelieved(made, 'example.com')).toBe(false)
  })

  test('is for servers alone, and so is what its CA may sign', async () => {
    const made = await ensureDevCertificate(newFolder(), NAMES, NOW)
    const [ca, cert] = [made.ca, made.cert].map((path) => new X509Certificate(read(path)))
    expect(cert?.ca).toBe(false)
    expect(cert?.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(cert?.validToDate.getTime()).toBeLessThanOrEqual(NOW + 398 * DAY_MS)
    expect(ca?.ca).toBe(true)
    // X.509 keeps whole seconds.
    expect(made.expiresAtMs).toBe(Math.floor((NOW + 397 * DAY_MS) / 1000) * 1000)
  })

  test('has keys that only their owner can read', async () => {
    const dir = newFolder()
    const { cert, ca, key } = await ensureDevCertificate(dir, NAMES, NOW)
    expect([key, join(dir, 'ca-key.pem')].map(modeOf)).toEqual(['600', '600'])
    expect([cert, ca].map(modeOf)).toEqual(['644', '644'])
  })

  test('is found again, until it is about to expire', async () => {
    const dir = newFolder()
    const first = await ensureDevCertificate(dir, NAMES, NOW)
    const [ca, cert] = [read(first.ca), read(first.cert)]
    const again = await ensureDevCertificate(dir, NAMES, NOW + 366 * DAY_MS)
    expect(again).toEqual({ ...first, made: [] })
    expect([read(again.ca), read(again.cert)]).toEqual([ca, cert])
    const later = await ensureDevCertificate(dir, NAMES, NOW + 368 * DAY_MS)
    expect([later.made, read(later.ca)]).toEqual([['cert'], ca])
    expect(read(later.cert)).not.toBe(cert)
  })

  test('gets more names under the same CA, and keeps those that it had', async () => {
    const dir = newFolder()
    const { ca } = await ensureDevCertificate(dir, [...NAMES, 'ocr.lan'], NOW)
    const before = read(ca)
    const more = await ensureDevCertificate(dir, [...NAMES, '10.1.2.3'], NOW)
    expect([more.made, read(ca)]).toEqual([['cert'], before])
    for (const name of ['ocr.lan', '10.1.2.3']) expect(await isBelieved(more, name)).toBe(true)
    expect((await ensureDevCertificate(dir, NAMES, NOW)).made).toEqual([])
  })

  test('gets another CA when that expires or is another, and is then of that one', async () => {
    const dir = newFolder()
    const first = await ensureDevCertificate(dir, NAMES, NOW - 3640 * DAY_MS)
    const old = read(first.ca)
    const second = await ensureDevCertificate(dir, NAMES, NOW)
    expect(second.made).toEqual(['ca', 'cert'])
    expect(read(second.ca)).not.toBe(old)
    expect(await isBelieved(second, 'localhost')).toBe(true)
    rmSync(second.ca)
    rmSync(join(dir, 'ca-key.pem'))
    const third = await ensureDevCertificate(dir, NAMES, NOW)
    expect(third.made).toEqual(['ca', 'cert'])
    expect(await isBelieved(third, 'localhost')).toBe(true)
  })

  test.each<[string, (dir: string) => void]>([
    ['a CA without its key', (dir) => rmSync(join(dir, 'ca-key.pem'))],
    ['a key without its certificate', (dir) => rmSync(join(dir, 'cert.pem'))],
    [
      'a key of something else',
      (dir) => writeFileSync(join(dir, 'key.pem'), read(join(dir, 'ca-key.pem'))),
    ],
    ['what is no certificate', (dir) => writeFileSync(join(dir, 'ca.pem'), 'x')],
  ])('never takes the place of %s', async (_title, spoil) => {
    const dir = newFolder()
    await ensureDevCertificate(dir, NAMES, NOW)
    spoil(dir)
    await expect(ensureDevCertificate(dir, NAMES, NOW)).rejects.toThrow(ConfigError)
  })
})

describe('a name', () => {
  test.each([
    ['OCR.lan', 'ocr.lan'],
    ['*.ocr.lan', '*.ocr.lan'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['10.1.2.3', '10.1.2.3'],
    ['[2001:DB8:0::1]', '2001:db8::1'],
  ])('%s is %s in a certificate', (given, name) => expect(parseCertificateName(given)).toBe(name))

  test.each(['', 'a b', 'a..b', '-a', 'a/b', 'a.*', '*', 'a, DNS:b', 'x'.repeat(64), '1.2.3.4:5'])(
    '"%s" cannot be in one',
    (given) => expect(parseCertificateName(given)).toBeUndefined(),
  )
})
