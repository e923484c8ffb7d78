import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasTool } from './tool.ts'

const run = promisify(execFile)
const openssl = (args: readonly string[][]) => run('openssl', args.flat())

/** Without it nothing here can be made, and the tests that need it are skipped. */
export const hasOpenssl = hasTool(['openssl', 'version'], 'NOTHING ABOUT CERTIFICATES IS TRIED')

/** A certificate with its key, as PEM and as the files in which it is. */
export type Certified = { cert: string; key: string; certFile: string; keyFile: string }

export type CertificateRequest = {
  /** As openssl takes it: `/C=DE/CN=robot`. */
  subject: string
  /** Lines of an extension section, such as `subjectAltName=DNS:localhost`. */
  extensions?: readonly string[]
  /** Who signs it; without one it signs itself. */
  by?: Certified
  /** As openssl's `-newkey` takes it. */
  keySpec?: readonly string[]
}

export const AUTHORITY = ['basicConstraints=critical,CA:true', 'keyUsage=keyCertSign,cRLSign']
export const FOR_CLIENTS = ['basicConstraints=CA:false', 'extendedKeyUsage=clientAuth']
export const FOR_LOCALHOST = ['subjectAltName=DNS:localhost,IP:127.0.0.1']

const EC_KEY = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']

let serial = 1

const root = mkdtempSync(join(tmpdir(), 'gatehouse-cert-'))
// Several files of tests may share it.
process.once('exit', () => rmSync(root, { recursive: true, force: true }))

/** Makes a certificate with openssl; its files are gone with the process. */
export async function makeCertificate(request: CertificateRequest): Promise<Certified> {
  const { subject, extensions = [], by, keySpec = EC_KEY } = request
  const dir = await mkdtemp(join(root, 'made-'))
  const at = (name: string) => join(dir, name)
  await writeFile(at('ext.cnf'), `[ext]\n${extensions.join('\n')}\n`)
  const newKey = ['-newkey', ...keySpec, '-nodes']
  await openssl([
    ['req', '-new', ...newKey, '-keyout', at('key.pem'), '-out', at('csr.pem')],
    ['-utf8', '-multivalue-rdn', '-subj', subject],
  ])
  const signer =
    by === undefined
      ? ['-key', at('key.pem')]
      : ['-CA', by.certFile, '-CAkey', by.keyFile, '-set_serial', String((serial += 1))]
  await openssl([
    ['x509', '-req', '-in', at('csr.pem'), '-out', at('cert.pem'), '-days', '2'],
    ['-extfile', at('ext.cnf'), '-extensions', 'ext'],
    signer,
  ])
  const [cert, key] = await Promise.all([
    readFile(at('cert.pem'), 'utf8'),
    readFile(at('key.pem'), 'utf8'),
  ])
  return { cert, key, certFile: at('cert.pem'), keyFile: at('key.pem') }
}

/** As a terminator puts it into `Client-Cert` (RFC 9440 §2.1). */
export const toByteSequence = ({ cert }: Pick<Certified, 'cert'>): string =>
  `:${new X509Certificate(cert).raw.toString('base64')}:`

/** The public key as a JWK that has the certificate with it (RFC 8705 §2.2.2). */
export function toJwkWithCertificate({ cert }: Pick<Certified, 'cert'>) {
  const { publicKey, raw } = new X509Certificate(cert)
  return { ...publicKey.export({ format: 'jwk' }), x5c: [raw.toString('base64')] }
}
