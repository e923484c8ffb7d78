import { isIP } from 'node:net'
import type { Config } from './schema.ts'

/** What no single setting can know: every combination of them that must not start. */
export function findConflicts(config: Config): string[] {
  return [
    ...unsafeUrls(config),
    ...unsafeListeners(config),
    ...incomplete(config),
    ...ambiguousRoutes(config),
    ...withoutRedis(config),
    ...unclearSealing(config),
    ...unfitWorkers(config),
  ]
}

/** RFC 8414 §2 and RFC 9728 §1.2 want https; on loopback there is no wire to listen on. */
function unsafeUrls({ issuer, proxy }: Config): string[] {
  const urls = { 'issuer.url': issuer.url, 'proxy.url': proxy.url, 'proxy.jwksUrl': proxy.jwksUrl }
  return Object.entries(urls)
    .filter(([, url]) => url?.startsWith('http:') === true && !isLoopback(new URL(url).hostname))
    .map(([name]) => `${name}: must be https, as it is not on loopback`)
}

function unsafeListeners({ issuer, admin, proxy, trustedProxies }: Config): string[] {
  return Object.entries({ issuer, admin, proxy })
    .filter(([, role]) => {
      const isPlain = role.tls.cert === undefined && trustedProxies.length === 0
      return isPlain && !isLoopback(role.listen.slice(0, role.listen.lastIndexOf(':')))
    })
    .map(([name]) => `${name}.listen: off loopback it needs ${name}.tls or trustedProxies`)
}

/** What the proxy answers itself, today or some day. */
const OWN_PATHS = ['/.well-known/oauth-protected-resource', '/_gatehouse']

/** One request, one rule; and what the proxy answers itself is no route of anybody else. */
function ambiguousRoutes({ proxy }: Config): string[] {
  const names = proxy.routes.map(({ method, path }) => `${method} ${path}`)
  const paths = [...new Set(proxy.routes.map(({ path }) => path))]
  const isOwn = (path: string) =>
    path.startsWith('/_gatehouse/') ||
    path.startsWith('/{') ||
    OWN_PATHS.some((own) => isMeantByBoth(path, own))
  return [
    ...names
      .filter((name, i) => names.indexOf(name) !== i)
      .map((name) => `proxy.routes: ${name} is there twice`),
    ...names
      .filter((_name, i) => isOwn(proxy.routes[i]?.path ?? ''))
      .map((name) => `proxy.routes: ${name} takes what the proxy answers itself`),
    ...paths.flatMap((path, i) =>
      paths
        .slice(i + 1)
        .filter((other) => isMeantByBoth(path, other))
        .map((other) => `proxy.routes: one path can be both ${path} and ${other}`),
    ),
  ]
}

/** Whether there is a path that fits both patterns. */
function isMeantByBoth(one: string, other: string): boolean {
  const [ours, theirs] = [one.split('/'), other.split('/')]
  const isParameter = (segment: string | undefined) => segment?.startsWith('{') === true
  return (
    ours.length === theirs.length &&
    ours.every((segment, i) => {
      const opposite = theirs[i]
      if (segment === opposite) return true
      // A parameter is never empty.
      const isEmpty = segment === '' || opposite === ''
      return !isEmpty && (isParameter(segment) || isParameter(opposite))
    })
  )
}

function withoutRedis({ revocations, audit, redis }: Config): string[] {
  if (redis.url !== undefined) return []
  return Object.entries({ 'revocations.feed': revocations.feed, 'audit.sink': audit.sink })
    .filter(([, value]) => value === 'redis')
    .map(([name]) => `${name}: redis needs redis.url`)
}

/** Several processes are one proxy: what they count they count together, and each has its share of slots. */
function unfitWorkers({ proxy: { workers, maxInFlightPerUpstream }, redis }: Config): string[] {
  if (workers === 1) return []
  return [
    ...(redis.url === undefined ? ['proxy.workers: more than 1 needs redis.url'] : []),
    ...(workers > maxInFlightPerUpstream
      ? ['proxy.workers: more than proxy.maxInFlightPerUpstream']
      : []),
  ]
}

/** What seals the keys must be one thing, and what sealed them before is something else. */
function unclearSealing({ keys }: Config): string[] {
  const { encryptionKey, passphrase, previousEncryptionKey, previousPassphrase } = keys
  const isSealed = encryptionKey !== undefined || passphrase !== undefined
  const previous = {
    'keys.previousEncryptionKey': previousEncryptionKey,
    'keys.previousPassphrase': previousPassphrase,
  }
  return [
    ...(encryptionKey !== undefined && passphrase !== undefined
      ? ['keys.passphrase: keys.encryptionKey is set already']
      : []),
    ...Object.entries(previous)
      .filter(([, value]) => value !== undefined && !isSealed)
      .map(([name]) => `${name}: needs keys.encryptionKey or keys.passphrase for what comes next`),
  ]
}

function incomplete({ issuer, admin, proxy }: Config): string[] {
  const halves = Object.entries({ issuer, admin, proxy })
    .filter(([, { tls }]) => (tls.cert === undefined) !== (tls.key === undefined))
    .map(([name]) => `${name}.tls: needs both cert and key`)
  const { clientId, clientKeyFile } = proxy
  if (clientId !== undefined && clientKeyFile === undefined) {
    return [...halves, 'proxy.clientId: needs proxy.clientKeyFile']
  }
  if (clientId === undefined && clientKeyFile !== undefined) {
    return [...halves, 'proxy.clientKeyFile: needs proxy.clientId']
  }
  return halves
}

export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'))
}
