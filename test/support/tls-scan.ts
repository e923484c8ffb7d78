import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { runsHere } from './tool.ts'

const run = promisify(execFile)

export const hasSslscan = runsHere(['sslscan', '--version'])
export const hasTestssl = runsHere(['testssl', '--version'])

/** What sslscan finds at a port of this machine that a listener of today should not have, and what it looked at. */
export async function scanWithSslscan(port: number) {
  const { stdout } = await run('sslscan', ['--no-colour', '--xml=-', `localhost:${port}`])
  const all = (element: string) =>
    Array.from(stdout.matchAll(new RegExp(`<${element} ([^>]*?)/?>`, 'g')), ([, text = '']) =>
      Object.fromEntries(
        Array.from(text.matchAll(/(\w+)="([^"]*)"/g), ([, name, value]) => [name, value]),
      ),
    )
  const protocols = all('protocol')
    .filter(({ enabled }) => enabled === '1')
    .map(({ type, version }) => `${type}${version}`)
  const ciphers = all('cipher').map(({ cipher }) => cipher ?? '')
  const weaknesses = [
    ...protocols.filter((name) => !['tls1.2', 'tls1.3'].includes(name)),
    ...all('renegotiation')
      .filter(({ supported }) => supported !== '0')
      .map(() => 'renegotiation'),
    ...all('compression')
      .filter(({ supported }) => supported !== '0')
      .map(() => 'compression'),
    ...all('heartbleed')
      .filter(({ vulnerable }) => vulnerable !== '0')
      .map(() => 'heartbleed'),
    // What it has no word of praise for, as it does not know TLS 1.3, is acceptable.
    ...all('cipher').flatMap(({ cipher, strength = '', bits = 0 }) =>
      /^(?:strong|acceptable)$/.test(strength) && Number(bits) >= 128 ? [] : [`${cipher}`],
    ),
    ...all('group').flatMap(({ name, bits = 0 }) => (Number(bits) >= 128 ? [] : [`${name}`])),
    ...(/<signature-algorithm>[^<]*(?:sha1|md5)/i.test(stdout)
      ? ['a hash in the certificate']
      : []),
    ...(stdout.includes('<expired>true') ? ['an expired certificate'] : []),
    ...(stdout.includes('<self-signed>true') ? ['a self-signed certificate'] : []),
  ]
  return { protocols, ciphers, weaknesses }
}

const findingsSchema = z.array(
  z.object({ id: z.string(), severity: z.string(), finding: z.string() }),
)
export type TestsslFinding = z.output<typeof findingsSchema>[number]

/** A CA of one's own has no lists of what it revoked. */
const OF_THE_TEST = new Set(['cert_revocation'])

/** What testssl.sh finds there above `LOW`, believing that CA; takes some minutes. `dir` is for its report. */
export async function scanWithTestssl(
  port: number,
  { ca, dir }: { ca: string; dir: string },
): Promise<TestsslFinding[]> {
  const report = join(dir, `testssl-${port}.json`)
  const offline = ['--warnings', 'off', '--nodns', 'none', '--ip', '127.0.0.1', '--add-ca', ca]
  const output = ['--quiet', '--color', '0', '--severity', 'MEDIUM', '--jsonfile', report]
  // Its exit code says how much it found.
  await run('testssl', [...offline, ...output, `localhost:${port}`], { maxBuffer: 1e8 }).catch(
    () => undefined,
  )
  const findings = findingsSchema.parse(JSON.parse(await readFile(report, 'utf8')))
  return findings.filter(({ id }) => !OF_THE_TEST.has(id))
}
