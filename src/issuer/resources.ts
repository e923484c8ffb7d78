import type { Client, errors, KoaContextWithOIDC, ResourceServer } from 'oidc-provider'

export type Resources = Readonly<
  Record<
    string,
    {
      scopes: readonly string[]
      /** The clients that may ask about every token for it. */
      introspectors?: readonly string[]
    }
  >
>

/**
 * The resource server that a token is for (RFC 8707 §2), and with it the scopes that the request may have: those that
 * both the resource and the client know. Without a `scope` the client gets all of them. A resource that is unknown or not
 * the client's to ask for is `invalid_target`; a scope beyond is `invalid_scope`, where oidc-provider would leave it out without a word.
 */
export function resourceServerOf(
  resources: Resources,
  accessTokenTtlSeconds: number,
  { InvalidTarget, InvalidScope }: typeof errors,
) {
  return function getResourceServerInfo(
    ctx: KoaContextWithOIDC,
    identifier: string,
    client: Client,
  ): ResourceServer {
    const resource = Object.hasOwn(resources, identifier) ? resources[identifier] : undefined
    if (resource === undefined) throw new InvalidTarget('the resource is not known here')
    if (!mayAskFor(client, identifier)) throw new InvalidTarget('the resource is not allowed')

    const allowed = (client.scope ?? '')
      .split(' ')
      .filter((scope) => resource.scopes.includes(scope))
    const params = ctx.oidc.params ?? {}
    const requested = typeof params['scope'] === 'string' ? params['scope'].split(' ') : undefined
    const beyond = requested?.find((scope) => !allowed.includes(scope))
    if (beyond !== undefined) throw new InvalidScope('the scope is unknown or not allowed', beyond)
    params['scope'] = (requested ?? allowed).join(' ')

    return {
      audience: identifier,
      scope: resource.scopes.join(' '),
      accessTokenFormat: 'jwt',
      accessTokenTTL: accessTokenTtlSeconds,
      jwt: { sign: { alg: 'RS256' } },
    }
  }
}

/** A client that names no resources may ask for all. */
function mayAskFor(client: Client, identifier: string): boolean {
  const named = client['resources']
  return !Array.isArray(named) || named.includes(identifier)
}
