import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../kernel/errors.ts'
import { readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import type { CertificatePair } from '../kernel/tls-policy.ts'
import { canonicalAddress } from './certificate-name.ts'
import { makeAuthority, makeServerCertificate } from './dev-certificates.ts'

export type DevCertificate = {
  ca: string
  cert: string
  key: string
  names: string[]
  expiresAtMs: number
  /** What was not there yet, or not good any more. */
  made: readonly ('ca' | 'cert')[]
}

const RENEW_BEFORE_MS = 30 * 86_400_000

/**
 * Makes an authority and a server's certificate in that folder, or finds those of before: the authority for as long as it is
 * good, the certificate if it also has all of these names. A new certificate keeps the names that the one before had. Keys are
 * for their owner alone (0600). A ConfigError when what is there is in the way.
 */
export async function ensureDevCertificate(
  dir: string,
  names: readonly string[],
  now: number,
): Promise<DevCertificate> {
  const paths = {
    ca: join(dir, 'ca.pem'),
    caKey: join(dir, 'ca-key.pem'),
    cert: join(dir, 'cert.pem'),
    key: join(dir, 'key.pem'),
  }
  const known = await readPair(paths.ca, paths.caKey)
  const isLasting = known !== undefined && lastsLonger(parse(paths.ca, known), now)
  const authority = isLasting ? known : await makeAuthority(now)
  if (!isLasting) await writePair(paths.ca, paths.caKey, authority)

  const before = await readPair(paths.cert, paths.key)
  const old = before && parse(paths.cert, before)
  const isOurs = old !== undefined && isSignedBy(old, new X509Certificate(authority.cert))
  const wanted = [...new Set([...names, ...(isOurs ? namesIn(old) : [])])]
  const isGood =
    isOurs && lastsLonger(old, now) && wanted.every((name) => namesIn(old).includes(name))
  const server =
    isGood && before !== undefined ? before : await makeServerCertificate(authority, wanted, now)
  if (!isGood) await writePair(paths.cert, paths.key, server)

  const certificate = new X509Certificate(server.cert)
  return {
    ca: paths.ca,
    cert: paths.cert,
    key: paths.key,
    names: namesIn(certificate),
    expiresAtMs: certificate.validToDate.getTime(),
    made: [...(isLasting ? [] : (['ca'] as const)), ...(isGood ? [] : (['cert'] as const))],
  }
}

async function readPair(certFile: string, keyFile: string): Promise<CertificatePair | undefined> {
  const key = await readPrivateFile(keyFile)
  const cert = await readIfThere(certFile)
  if (key !== undefined && cert !== undefined) return { cert, key }
  if (key === undefined && cert === undefined) return undefined
  const [is, isNot] = key === undefined ? [certFile, keyFile] : [keyFile, certFile]
  throw new ConfigError([`${is} is there, but ${isNot} is not`], `move ${is} away, or name a --dir`)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new ConfigError([`${path} cannot be read`])
  }
}

/** The key first: who reads in between finds no pair, and goes on with the one before. */
async function writePair(certFile: string, keyFile: string, pair: CertificatePair): Promise<void> {
  await writePrivateFile(keyFile, pair.key)
  await writeFile(`${certFile}.draft`, pair.cert, { mode: 0o644 })
  await rename(`${certFile}.draft`, certFile)
}

function parse(certFile: string, { cert, key }: CertificatePair): X509Certificate {
  try {
    const certificate = new X509Certificate(cert)
    if (certificate.checkPrivateKey(createPrivateKey(key))) return certificate
  } catch {
    // Said below.
  }
  throw new ConfigError(
    [`${certFile} and the key beside it are not a pair`],
    'move both away, or name a --dir',
  )
}

const isSignedBy = (certificate: X509Certificate, by: X509Certificate): boolean =>
  certificate.checkIssued(by) && certificate.verify(by.publicKey)

const lastsLonger = ({ validToDate }: X509Certificate, now: number): boolean =>
  validToDate.getTime() - now > RENEW_BEFORE_MS

/** `DNS:localhost, IP Address:127.0.0.1`, as we write nothing that would be quoted there. */
function namesIn({ subjectAltName = '' }: X509Certificate): string[] {
  return subjectAltName
    .split(', ')
    .map((each) => canonicalAddress(each.replace(/^(?:DNS|IP Address):/, '')))
}
