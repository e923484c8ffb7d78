import { BlockList, isIP } from 'node:net'
import type { Config } from '../config/schema.ts'
import type { HttpServerOptions } from '../kernel/http-server.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'
import { readTlsFiles, requireUsable, type Role, type TlsContents } from './tls-files.ts'

export type Listener = Pick<HttpServerOptions, 'listen' | 'tls' | 'terminators' | 'servesPlain'>

/**
 * How a role listens: natively on TLS, behind named terminators, or in the clear on loopback alone. A ConfigError names
 * the setting whose file cannot be read or used.
 */
export function listenerOf(
  config: Config,
  role: Role,
  contents: TlsContents = readTlsFiles(config, role),
): Listener {
  requireUsable(role, contents)
  const listen = parseListenAddress(config[role].listen)
  const { pair, clientCa } = contents
  if (pair !== undefined) return { listen, tls: { ...pair, clientCa } }
  return {
    listen,
    terminators: blockListOf(config.trustedProxies),
    servesPlain: isLoopbackHost(listen.host),
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
