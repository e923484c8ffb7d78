import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'

/** In PEM. */
export type CertificatePair = { cert: string; key: string }

/** What a listener speaks TLS with; `clientCa` are the authorities of client certificates, in PEM. */
export type TlsMaterial = CertificatePair & { clientCa?: string | undefined }

/** TLS 1.3 as it is, and of TLS 1.2 only what has forward secrecy and authenticated encryption (RFC 9325 §4.2). */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  // No RSA key below 2048 bits, no SHA-1 in a chain.
  '@SECLEVEL=2',
]

/** First the hybrid that a recording of today withstands a quantum computer with; P-521 for certificates that have it. */
const GROUPS = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521']

/** No SHA-1, no DSA. PKCS #1 v1.5 is for TLS 1.2 alone: TLS 1.3 takes it in chains only (RFC 8446 §4.2.3). */
const SIGNATURES = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pss_pss_sha256',
  'rsa_pss_pss_sha384',
  'rsa_pss_pss_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
]

/** Our choice, but for who prefers ChaCha20 as its processor has no AES; and never a renegotiation, which only TLS 1.2 has. */
const OPTIONS =
  constants.SSL_OP_NO_RENEGOTIATION |
  constants.SSL_OP_NO_COMPRESSION |
  constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
  constants.SSL_OP_PRIORITIZE_CHACHA

/** How every listener of ours speaks TLS. Node throws when the certificate or the key is not fit for it. */
export function secureContextOf({ cert, key, clientCa }: TlsMaterial): SecureContextOptions {
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS.join(':'),
    ecdhCurve: GROUPS.join(':'),
    sigalgs: SIGNATURES.join(':'),
    honorCipherOrder: true,
    secureOptions: OPTIONS,
    ...(clientCa !== undefined && { ca: clientCa }),
  }
}
