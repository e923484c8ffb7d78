import { isLoopback } from './conflicts.ts'
import type { Config } from './schema.ts'

/** What may start and is probably not what somebody meant. */
export function findOddities(config: Config): string[] {
  return [
    ...uncheckedRevocations(config),
    ...plainUrls(config),
    ...plainSecrets(config),
    ...otherPorts(config),
  ]
}

function uncheckedRevocations({ revocations: { feed, onStale } }: Config): string[] {
  if (feed === 'off') {
    return ['revocations.feed is off: the proxy accepts revoked tokens until they expire']
  }
  if (onStale === 'fail_closed') return []
  return ['revocations.onStale is continue: while the log is away, revoked tokens are accepted']
}

function plainUrls({ issuer, proxy }: Config): string[] {
  return Object.entries({ issuer, proxy })
    .filter(([, { tls, url }]) => tls.cert !== undefined && url.startsWith('http:'))
    .map(([name]) => `${name}.url is http, but ${name}.tls is set: clients will not get through`)
}

function plainSecrets({ tracing: { otlpEndpoint, otlpAuthorization } }: Config): string[] {
  if (otlpEndpoint === undefined || otlpAuthorization === undefined) return []
  const { protocol, hostname } = new URL(otlpEndpoint)
  if (protocol === 'https:' || isLoopback(hostname)) return []
  return ['tracing.otlpEndpoint is http: whoever is on the way can read tracing.otlpAuthorization']
}

/** A loopback URL has no proxy in front that could map its port. */
function otherPorts({ issuer, proxy }: Config): string[] {
  return Object.entries({ issuer, proxy }).flatMap(([name, { url, listen }]) => {
    const { hostname, port, protocol } = new URL(url)
    const named = port || (protocol === 'https:' ? '443' : '80')
    const listened = listen.slice(listen.lastIndexOf(':') + 1)
    if (!isLoopback(hostname) || named === listened || listened === '0') return []
    return [`${name}.url names port ${named}, but ${name}.listen is on ${listened}: set both`]
  })
}
