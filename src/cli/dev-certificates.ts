import 'reflect-metadata'
import { createPrivateKey, KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as Issuer,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { CertificatePair } from '../kernel/tls-policy.ts'

const DAY_MS = 86_400_000
const CA_DAYS = 3650
/** No client takes a certificate for longer that was made by a public CA, and some measure all by that. */
const SERVER_DAYS = 397
/** Of clocks that are behind ours. */
const SKEW_MS = 300_000
const EC = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const

/** An authority for this machine alone, which signs nothing but servers' certificates (P-256, ten years). */
export async function makeAuthority(now: number): Promise<CertificatePair> {
  const keys = await makeKeys()
  const made = await X509CertificateGenerator.createSelfSigned({
    // A name of its own: a trust store that has an older one must not take it for this.
    name: [{ CN: [`Gatehouse development CA ${randomBytes(4).toString('hex')}`] }],
    ...validity(now, CA_DAYS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: toPem(made), key: pemOf(keys.privateKey) }
}

/** A server's certificate for these DNS names and IP addresses (P-256, 397 days). */
export async function makeServerCertificate(
  by: CertificatePair,
  names: readonly string[],
  now: number,
): Promise<CertificatePair> {
  const authority = new Issuer(by.cert)
  const keys = await makeKeys()
  const made = await X509CertificateGenerator.create({
    subject: [{ CN: [(names[0] ?? 'localhost').slice(0, 64)] }],
    issuer: authority.subjectName,
    ...validity(now, SERVER_DAYS, authority.notAfter),
    publicKey: keys.publicKey,
    signingKey: createPrivateKey(by.key).toCryptoKey(EC, false, ['sign']),
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }) as const),
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  })
  return { cert: toPem(made), key: pemOf(keys.privateKey) }
}

const makeKeys = () => webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])

function validity(now: number, days: number, end?: Date) {
  const untilMs = Math.min(now + days * DAY_MS, end?.getTime() ?? Infinity)
  return { notBefore: new Date(now - SKEW_MS), notAfter: new Date(untilMs) }
}

const toPem = (made: Issuer): string => new X509Certificate(Buffer.from(made.rawData)).toString()

const pemOf = (key: webcrypto.CryptoKey): string =>
  KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' })
