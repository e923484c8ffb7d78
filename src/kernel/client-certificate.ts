import { hash, X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP, type BlockList } from 'node:net'
import { TLSSocket } from 'node:tls'

/** What a caller has proven to hold, with the certificates that it sent along. Nobody has vouched for it yet. */
export type ClientCertificate = {
  certificate: X509Certificate
  intermediates: readonly X509Certificate[]
}

/**
 * The certificate of the caller: from the TLS session or, where the peer is a trusted terminator, from its `Client-Cert`
 * header (RFC 9440 §2) and from there alone, as the session is then that of the terminator. Undefined when there is none,
 * or when the header is there twice or not readable.
 */
export function clientCertificateOf(
  req: IncomingMessage,
  trustedProxies: BlockList,
): ClientCertificate | undefined {
  const { remoteAddress = '' } = req.socket
  const family = isIP(remoteAddress) === 6 ? 'ipv6' : 'ipv4'
  if (isIP(remoteAddress) !== 0 && trustedProxies.check(remoteAddress, family)) {
    return fromTerminator(req)
  }
  if (!(req.socket instanceof TLSSocket)) return undefined
  const certificate = req.socket.getPeerX509Certificate()
  return certificate && { certificate, intermediates: issuersOf(certificate) }
}

/** The `x5t#S256` of that certificate (RFC 8705 §3.1). */
export function clientThumbprintOf(
  req: IncomingMessage,
  trustedProxies: BlockList,
): string | undefined {
  const presented = clientCertificateOf(req, trustedProxies)
  return presented && hash('sha256', presented.certificate.raw, 'base64url')
}

function fromTerminator(req: IncomingMessage): ClientCertificate | undefined {
  const [sent, ...more] = req.headersDistinct['client-cert'] ?? []
  const certificate = sent === undefined || more.length > 0 ? undefined : parseByteSequence(sent)
  if (certificate === undefined) return undefined
  const chain = (req.headersDistinct['client-cert-chain'] ?? []).join(',')
  const intermediates = chain.split(',').flatMap((item) => parseByteSequence(item.trim()) ?? [])
  return { certificate, intermediates }
}

/** RFC 8941 §3.3.5, with a certificate in DER in it. */
function parseByteSequence(item: string): X509Certificate | undefined {
  const encoded = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(item)?.[1]
  if (encoded === undefined) return undefined
  try {
    return new X509Certificate(Buffer.from(encoded, 'base64'))
  } catch {
    return undefined
  }
}

/** The longest chain that anybody needs, and a bound for one that leads nowhere. */
const MAX_INTERMEDIATES = 8

function issuersOf(certificate: X509Certificate): X509Certificate[] {
  const issuers: X509Certificate[] = []
  let { issuerCertificate: issuer } = certificate
  while (issuer !== undefined && issuers.length < MAX_INTERMEDIATES) {
    issuers.push(issuer)
    issuer = issuer.issuerCertificate
  }
  return issuers
}
