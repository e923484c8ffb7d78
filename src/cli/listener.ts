import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import type { HttpServer, HttpServerOptions } from '../kernel/http-server.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'

type Role = 'issuer' | 'admin' | 'proxy'
type Listener = Pick<HttpServerOptions, 'listen' | 'tls' | 'terminators'>

/**
 * How a role listens: natively on TLS, behind named terminators, or in the clear on loopback alone. A ConfigError names
 * the setting whose file cannot be read or used.
 */
export function listenerOf(config: Config, role: Role): Listener {
  const { listen: address, tls } = config[role]
  const listen = parseListenAddress(address)
  if (tls.cert !== undefined && tls.key !== undefined) {
    const cert = readPem(`${role}.tls.cert`, tls.cert)
    const key = readPem(`${role}.tls.key`, tls.key)
    requirePair(role, { cert, key })
    return { listen, tls: { cert, key, clientCa: clientCaOf(config, role) } }
  }
  return isLoopbackHost(listen.host)
    ? { listen }
    : { listen, terminators: blockListOf(config.trustedProxies) }
}

/** Reads the certificate of a role anew, and gives what shows it from then on. A ConfigError as above. */
export function prepareCertificate(config: Config, role: Role, server: HttpServer): () => void {
  const { tls } = listenerOf(config, role)
  return () => {
    if (tls !== undefined) server.renewCertificate({ cert: tls.cert, key: tls.key })
  }
}

/** The authorities of client certificates, in PEM. A ConfigError when there is none in the file. */
export function clientCaOf(config: Config, role: Role): string | undefined {
  const { clientCa: path } = config[role].tls
  if (path === undefined) return undefined
  const pem = readPem(`${role}.tls.clientCa`, path)
  try {
    void new X509Certificate(pem)
    return pem
  } catch {
    throw new ConfigError([`${role}.tls.clientCa: ${path} has no PEM certificate`])
  }
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${setting}: ${path} cannot be read${code}`])
  }
}

function requirePair(role: string, pair: { cert: string; key: string }): void {
  try {
    createSecureContext(pair)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${role}.tls: cert and key are not a PEM pair${code}`])
  }
}

/** Addresses and CIDR blocks as the configuration has them. */
export function blockListOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', prefix] = cidr.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return list
}
