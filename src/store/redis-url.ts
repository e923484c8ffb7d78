import { ConfigError } from '../kernel/errors.ts'
import { parseListenAddress, type ListenAddress } from '../kernel/listen-address.ts'

/** Where Redis is and how to sign in. Holds the password: never print it. */
export type RedisTarget = {
  isTls: boolean
  username: string | undefined
  password: string | undefined
} & (
  | { kind: 'standalone'; address: ListenAddress; database: number }
  | { kind: 'sentinel'; sentinels: readonly ListenAddress[]; masterName: string }
  | { kind: 'cluster'; nodes: readonly ListenAddress[] }
)

const GRAMMAR =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^@/?#]*)@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?$/
const DEFAULT_PORT = 6379

/**
 * Parses `redis://H[:P][/DB]`, `redis+sentinel://H:P,H:P/NAME` and `redis+cluster://H:P,H:P`, each also with `rediss`
 * for TLS and with percent-encoded `user:password@`. `new URL` refuses such lists of hosts. The credentials are for the
 * data nodes. Throws a ConfigError that does not quote the URL.
 */
export function parseRedisUrl(text: string): RedisTarget {
  const parts = GRAMMAR.exec(text)?.groups
  if (parts === undefined) throw invalid('it is none of the known forms')
  const signIn = { isTls: parts['tls'] === 's', ...parseUser(parts['user']) }
  const hosts = (parts['hosts'] ?? '').split(',')
  const path = parts['path'] ?? ''
  switch (parts['kind']) {
    case 'sentinel':
      if (!/^[A-Za-z0-9._-]+$/.test(path)) throw invalid('the name of the master is missing')
      return { ...signIn, kind: 'sentinel', sentinels: hosts.map(parseAddress), masterName: path }
    case 'cluster':
      if (path !== '') throw invalid('a cluster has no databases')
      return { ...signIn, kind: 'cluster', nodes: hosts.map(parseAddress) }
    default:
      return { ...signIn, kind: 'standalone', ...parseStandalone(hosts, path) }
  }
}

function parseStandalone(hosts: readonly string[], path: string) {
  const [host = '', ...others] = hosts
  if (others.length > 0) throw invalid('several hosts need redis+sentinel:// or redis+cluster://')
  if (!/^\d{0,4}$/.test(path)) throw invalid('the database is not a number')
  const address = parseAddress(/:\d+$/.test(host) ? host : `${host}:${DEFAULT_PORT}`)
  return { address, database: Number(path) }
}

function parseUser(text: string | undefined): Pick<RedisTarget, 'username' | 'password'> {
  if (text === undefined) return { username: undefined, password: undefined }
  const [username = '', ...rest] = text.split(':')
  return { username: decode(username) || undefined, password: decode(rest.join(':')) || undefined }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('the user or the password is not percent-encoded')
  }
}

function parseAddress(text: string): ListenAddress {
  const address = parseListenAddress(text)
  if (address === undefined || address.port === 0) throw invalid('a host is not HOST:PORT')
  return address
}

function invalid(why: string): ConfigError {
  return new ConfigError(
    [`redis.url cannot be used: ${why}`],
    'redis://H:P, redis+sentinel://H:P,H:P/NAME or redis+cluster://H:P,H:P, or rediss for TLS',
  )
}
