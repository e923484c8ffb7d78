import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { certificatesIn } from '../kernel/pem-certificates.ts'
import { secureContextOf, type CertificatePair } from '../kernel/tls-policy.ts'

/** Who listens where the world can come. */
export type Role = 'issuer' | 'admin' | 'proxy'

/** What is in the files of a role's `tls` settings; no pair without a certificate of its own. */
export type TlsContents = { pair: CertificatePair | undefined; clientCa: string | undefined }

/** Reads the files as they are now. A ConfigError names the setting whose file cannot be read. */
export function readTlsFiles(config: Config, role: Role): TlsContents {
  const { cert, key, clientCa } = config[role].tls
  const read = (name: string, path: string) => readText(`${role}.tls.${name}`, path)
  return {
    pair:
      cert === undefined || key === undefined
        ? undefined
        : { cert: read('cert', cert), key: read('key', key) },
    clientCa: clientCa === undefined ? undefined : read('clientCa', clientCa),
  }
}

/** A ConfigError when nobody could use them: what is half written, does not belong together, or is too weak. */
export function requireUsable(role: Role, { pair, clientCa }: TlsContents): void {
  requireCertificates(`${role}.tls.clientCa`, clientCa)
  if (pair === undefined) return
  requireCertificates(`${role}.tls.cert`, pair.cert)
  try {
    createSecureContext(secureContextOf({ ...pair, clientCa }))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${role}.tls: cert and key are not a PEM pair that can be used${code}`])
  }
}

export function requireCertificates(setting: string, pem: string | undefined): void {
  if (pem === undefined) return
  try {
    if (certificatesIn(pem).length > 0) return
  } catch {
    throw new ConfigError([`${setting}: one of its PEM certificates is not whole`])
  }
  throw new ConfigError([`${setting}: there is no PEM certificate in it`])
}

export function readText(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${setting}: ${path} cannot be read${code}`])
  }
}
