import type { Client, errors, KoaContextWithOIDC, ResourceServer } from 'oidc-provider'
import { IDENTITY_SCOPES } from './issued-tokens.ts'

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

/** Where somebody asks for what a person is then to grant. */
const SIGN_IN_ROUTES = new Set([
  'authorization',
  'pushed_authorization_request',
  'device_authorization',
])

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
  const resourceAt = (identifier: string) =>
    Object.hasOwn(resources, identifier) ? resources[identifier] : undefined

  const scopesAt = (identifier: string, client: Client): string[] =>
    wordsOf(client.scope).filter((scope) => resourceAt(identifier)?.scopes.includes(scope) === true)

  /** Settles the scope of a request once for all its resources. */
  const settleScope = ({ oidc }: KoaContextWithOIDC, client: Client): void => {
    const params = oidc.params ?? {}
    const isSignIn = SIGN_IN_ROUTES.has(oidc.route)
    if (!isSignIn && params['grant_type'] !== 'client_credentials') return
    const asked = [params['resource']].flat().filter((each) => typeof each === 'string')
    const atResources = [...new Set(asked.flatMap((each) => scopesAt(each, client)))]
    const allowed = isSignIn ? [...atResources, ...identityOf(client)] : atResources
    const requested = typeof params['scope'] === 'string' ? wordsOf(params['scope']) : undefined
    const beyond = requested?.find((scope) => !allowed.includes(scope))
    if (beyond !== undefined) throw new InvalidScope('the scope is unknown or not allowed', beyond)
    params['scope'] = (requested ?? atResources).join(' ')
  }

  return function getResourceServerInfo(
    ctx: KoaContextWithOIDC,
    identifier: string,
    client: Client,
  ): ResourceServer {
    if (resourceAt(identifier) === undefined) {
      throw new InvalidTarget('the resource is not known here')
    }
    if (!mayAskFor(client, identifier)) throw new InvalidTarget('the resource is not allowed')
    settleScope(ctx, client)
    return {
      audience: identifier,
      scope: scopesAt(identifier, client).join(' '),
      accessTokenFormat: 'jwt',
      accessTokenTTL: accessTokenTtlSeconds,
      jwt: { sign: { alg: 'RS256' } },
    }
  }
}

/**
 * The one of a request that names none; of several that a sign-in was for, the default (RFC 8707 §2.2). Several that a
 * token request names stay several, which oidc-provider refuses: one of them would otherwise do, whatever the others are.
 */
export function defaultResourceOf(identifier: string) {
  return function defaultResource(
    { oidc }: KoaContextWithOIDC,
    _client: unknown,
    several?: readonly string[],
  ) {
    if (several === undefined) return identifier
    const isAskedFor = oidc.route === 'token' && oidc.params?.['resource'] === several
    return !isAskedFor && several.includes(identifier) ? identifier : several
  }
}

/** A client that names no resources may ask for all. */
function mayAskFor(client: Client, identifier: string): boolean {
  const named = client['resources']
  return !Array.isArray(named) || named.includes(identifier)
}

const identityOf = (client: Client): string[] =>
  wordsOf(client.scope).filter((scope) => [...IDENTITY_SCOPES, 'offline_access'].includes(scope))

const wordsOf = (scope = ''): string[] => scope.split(' ')
