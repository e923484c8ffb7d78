import { X509Certificate } from 'node:crypto'

/** The certificates in PEM, in their order. Throws when one of them cannot be read or is not whole. */
export function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*(?:-----END CERTIFICATE-----)?/g)
  return (blocks ?? []).map((block) => new X509Certificate(block))
}
