import type { X509Certificate } from 'node:crypto'
import { isIP, type BlockList } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { clientCertificateOf, type ClientCertificate } from '../kernel/client-certificate.ts'
import type { Clock } from '../kernel/clock.ts'
import { certificatesIn } from '../kernel/pem-certificates.ts'
import { canonicalDn, canonicalSubject } from './distinguished-name.ts'

export type MutualTlsOptions = {
  /** The TLS terminators, which say in `Client-Cert` whose certificate they have seen. */
  trustedProxies: BlockList
  /** PEM: the authorities whose certificates count for tls_client_auth, as they are now. */
  clientCa: () => string | undefined
  clock: Clock
}

export type MutualTls = NonNullable<NonNullable<Configuration['features']>['mTLS']>

/**
 * Mutual TLS as oidc-provider asks for it (RFC 8705): client authentication by a certificate of an authority or by a
 * registered one, and certificate-bound tokens.
 */
export function mutualTls(options: MutualTlsOptions): MutualTls {
  let anchors: readonly X509Certificate[] = []
  let anchorsOf: string | undefined
  function currentAnchors(): readonly X509Certificate[] {
    const pem = options.clientCa()
    if (pem !== anchorsOf) anchors = certificatesIn(pem ?? '')
    anchorsOf = pem
    return anchors
  }
  const certificateOf = ({ req }: KoaContextWithOIDC) =>
    clientCertificateOf(req, options.trustedProxies)
  return {
    enabled: true,
    certificateBoundAccessTokens: true,
    selfSignedTlsClientAuth: true,
    tlsClientAuth: true,
    getCertificate: (ctx) => certificateOf(ctx)?.certificate,
    certificateAuthorized(ctx) {
      const { socket } = ctx.req
      const presented = certificateOf(ctx)
      if (presented === undefined) return false
      // In a session of our own OpenSSL has verified it, and more of it than can be seen from here.
      if (socket instanceof TLSSocket && isOfSession(socket, presented)) return socket.authorized
      return isForClients(presented) && leadsTo(currentAnchors(), presented, options.clock())
    },
    certificateSubjectMatches(ctx, property, expected) {
      const presented = certificateOf(ctx)
      return presented !== undefined && hasSubject(presented.certificate, property, expected)
    },
  }
}

const isOfSession = (socket: TLSSocket, { certificate }: ClientCertificate): boolean =>
  socket.getPeerX509Certificate()?.fingerprint256 === certificate.fingerprint256

const MAX_DEPTH = 5
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_PURPOSE = '2.5.29.37.0'

/**
 * Whether a chain of current certificates leads from this one to one of the anchors. The terminator has verified it
 * already; this holds when it is told to let any certificate through, for clients that sign their own.
 */
function leadsTo(
  anchors: readonly X509Certificate[],
  { certificate, intermediates }: ClientCertificate,
  now: number,
  depth = 0,
): boolean {
  if (depth > MAX_DEPTH || !isCurrent(certificate, now)) return false
  const isIssuer = (issuer: X509Certificate) =>
    issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  return (
    anchors.some((anchor) => isCurrent(anchor, now) && isIssuer(anchor)) ||
    intermediates.some(
      (issuer) =>
        isIssuer(issuer) &&
        leadsTo(anchors, { certificate: issuer, intermediates }, now, depth + 1),
    )
  )
}

/** The purposes that a certificate names, if it names any (RFC 5280 §4.2.1.12). */
function isForClients({ certificate }: ClientCertificate): boolean {
  const purposes: readonly string[] | undefined = certificate.keyUsage
  return purposes === undefined || purposes.includes(CLIENT_AUTH) || purposes.includes(ANY_PURPOSE)
}

const isCurrent = ({ validFromDate, validToDate }: X509Certificate, now: number): boolean =>
  validFromDate.getTime() <= now && now <= validToDate.getTime()

/** RFC 8705 §2.1.2: one name of the certificate, registered in one of five forms. */
function hasSubject(certificate: X509Certificate, property: string, expected: string): boolean {
  switch (property) {
    case 'tls_client_auth_subject_dn': {
      const dn = canonicalDn(expected)
      return dn !== undefined && dn === canonicalSubject(certificate.subject)
    }
    case 'tls_client_auth_san_dns':
      return alternativeNames(certificate, 'DNS').some(
        (name) => name.toLowerCase() === expected.toLowerCase(),
      )
    case 'tls_client_auth_san_uri':
      return alternativeNames(certificate, 'URI').includes(expected)
    case 'tls_client_auth_san_ip':
      return isIP(expected) !== 0 && certificate.checkIP(expected) !== undefined
    case 'tls_client_auth_san_email':
      return alternativeNames(certificate, 'email').includes(expected)
    default:
      return false
  }
}

/** Node writes them in one line, those that could be mistaken for several as JSON strings. */
function alternativeNames({ subjectAltName = '' }: X509Certificate, kind: string): string[] {
  const names = subjectAltName.matchAll(/([^:,"]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/gy)
  return [...names].flatMap(([, found, name = '']) => {
    if (found !== kind) return []
    return [name.startsWith('"') ? String(JSON.parse(name)) : name]
  })
}
