import type Provider from 'oidc-provider'
import type { Configuration } from 'oidc-provider'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import type { KeyHome } from '../keys/key-home.ts'
import type { Ring } from '../keys/ring.ts'
import { CLIENT_ASSERTION_ALGORITHMS } from '../registry/client-keys.ts'
import { clientAuthMethodSchema } from '../registry/client-metadata.ts'
import type { GuessLimits } from '../registry/guess-limits.ts'
import type { Clients, Users } from '../registry/registry.ts'
import type { Store } from '../store/store.ts'
import { DPOP_ALGORITHMS } from '../tokens/dpop-proof.ts'
import { createAdapterFactory } from './adapter.ts'
import { rememberAssertions, requireStrictAssertion } from './client-assertion.ts'
import { authenticateByRegistry } from './client-authentication.ts'
import { OWN_CLIENT_MEMBERS } from './client-metadata.ts'
import { limitPolling } from './device-polling.ts'
import { grantConfiguration } from './grant-configuration.ts'
import { createGrants } from './grants.ts'
import { createHiddenValues } from './hidden-values.ts'
import { addRefreshToken, IDENTITY_SCOPES } from './issued-tokens.ts'
import { keepMetadata } from './metadata.ts'
import type { IssuerMetrics } from './metrics.ts'
import { nameMissingProof } from './missing-proof.ts'
import type { MutualTls } from './mutual-tls.ts'
import { loadOidcProvider } from './oidc-provider.ts'
import type { OwnTokens } from './own-tokens.ts'
import { deriveRefreshTokens } from './refresh-tokens.ts'
import { defaultResourceOf, resourceServerOf, type Resources } from './resources.ts'
import { createJwtSigner, signingKeysOf } from './signing-keys.ts'
import { answerForJwts, isAliveFor, isOfClient } from './token-endpoints.ts'
import { pageConfiguration } from './page-configuration.ts'
import { answerWithPages } from './provider-pages.ts'
import { recordTokenRequests } from './token-log.ts'
import type { RequestTraces } from './trace-requests.ts'
import { nameUnauthorizedGrant } from './unauthorized-grant.ts'

export type ProviderOptions = {
  issuer: string
  secrets: InstallationSecrets
  /** Where the ring's keys sign whose private halves are not in the ring. */
  keyHome?: KeyHome | undefined
  clients: Clients
  users: Pick<Users, 'findIssuable'>
  /** How often somebody may be wrong about a code that a device shows. */
  codeGuesses: GuessLimits
  /** Where sessions, codes and refresh tokens are kept, and used client assertions remembered. */
  store: Store
  clock: Clock
  resources: Resources
  /** The resource of a request that names none (RFC 8707 §2). */
  defaultResource: string
  accessTokenTtlSeconds: number
  ownTokens: OwnTokens
  mutualTls: MutualTls
  /** How the `jwks_uri` of clients are read. */
  fetchClientJwks: NonNullable<Configuration['fetch']>
  refreshTokenTtlSeconds: number
  log: Log
  /** Is told what becomes known of a token request, where requests are traced. */
  annotate?: RequestTraces['annotate'] | undefined
  metrics: IssuerMetrics
}

/** The authorization server for one state of the key ring: what it grants, to whom and for how long. */
export async function createProvider(ring: Ring, options: ProviderOptions): Promise<Provider> {
  const oidc = await loadOidcProvider()
  const { Provider, errors } = oidc
  const { issuer, clients, store, clock, resources, defaultResource } = options
  const { secrets, accessTokenTtlSeconds } = options
  const hidden = createHiddenValues(secrets.storedTokenKey)
  const grants = createGrants({ store, clock, hidden })
  const { refreshKey } = secrets
  const granting = grantConfiguration({ ...options, grants, oidc })
  const pages = pageConfiguration(options, oidc)
  const configuration: Configuration = {
    ...granting,
    ...pages,
    ttl: { ...granting.ttl, ...pages.ttl },
    adapter: createAdapterFactory({ ...options, hidden, grants, refreshKey, oidc }),
    jwks: { keys: signingKeysOf(ring, options.keyHome, oidc) },
    cookies: { ...pages.cookies, keys: [secrets.cookieKey.toString('base64url')] },
    clientAuthMethods: [...clientAuthMethodSchema.options],
    enabledJWA: {
      clientAuthSigningAlgValues: [...CLIENT_ASSERTION_ALGORITHMS],
      dPoPSigningAlgValues: [...DPOP_ALGORITHMS],
    },
    fetch: options.fetchClientJwks,
    assertJwtClientAuthClaimsAndHeader: requireStrictAssertion(issuer, oidc),
    responseTypes: ['code'],
    scopes: [...new Set([...IDENTITY_SCOPES, 'offline_access', ...scopesOf(resources)])],
    extraClientMetadata: { properties: OWN_CLIENT_MEMBERS },
    features: {
      ...pages.features,
      clientCredentials: { enabled: true },
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      devInteractions: { enabled: false },
      // A nonce is offered, as every issuer of the installation knows it, and not demanded: see docs/adr.
      dPoP: { enabled: true, nonceSecret: secrets.dpopNonceKey },
      mTLS: options.mutualTls,
      pushedAuthorizationRequests: { enabled: true },
      userinfo: { enabled: false },
      introspection: { enabled: true, allowedPolicy: isAliveFor(granting.findAccount) },
      revocation: { enabled: true, allowedPolicy: isOfClient },
      resourceIndicators: {
        enabled: true,
        defaultResource: defaultResourceOf(defaultResource),
        getResourceServerInfo: resourceServerOf(resources, accessTokenTtlSeconds, errors),
      },
    },
  }
  const provider = new Provider(issuer, configuration)
  // The issuer is pinned into these headers before a request gets here; see app.ts.
  provider.proxy = true
  authenticateByRegistry(provider, { clients, oidc })
  rememberAssertions(provider, store, oidc)
  deriveRefreshTokens(provider, refreshKey, oidc)
  limitPolling(provider, { store, clock, hidden, oidc })
  provider.use(nameMissingProof)
  provider.use(nameUnauthorizedGrant)
  provider.use(addRefreshToken)
  answerWithPages(provider, options.codeGuesses)
  provider.use(keepMetadata)
  answerForJwts(provider, { ...options, signJwt: createJwtSigner(ring, options.keyHome) })
  recordTokenRequests(provider, options)
  return provider
}

function scopesOf(resources: Resources): string[] {
  return Object.values(resources).flatMap(({ scopes }) => scopes)
}
