import type Provider from 'oidc-provider'
import type { Client, Configuration } from 'oidc-provider'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import type { KeyHome } from '../keys/key-home.ts'
import type { Ring } from '../keys/ring.ts'
import { CLIENT_ASSERTION_ALGORITHMS } from '../registry/client-keys.ts'
import { clientAuthMethodSchema } from '../registry/client-metadata.ts'
import type { Clients } from '../registry/registry.ts'
import type { Store } from '../store/store.ts'
import { DPOP_ALGORITHMS } from '../tokens/dpop-proof.ts'
import { createAdapterFactory } from './adapter.ts'
import { rememberAssertions, requireStrictAssertion } from './client-assertion.ts'
import { authenticateByRegistry } from './client-authentication.ts'
import { OWN_CLIENT_MEMBERS } from './client-metadata.ts'
import { createGrants } from './grants.ts'
import { createHiddenValues } from './hidden-values.ts'
import { publishOnlyWhatIsServed } from './metadata.ts'
import type { IssuerMetrics } from './metrics.ts'
import type { MutualTls } from './mutual-tls.ts'
import { loadOidcProvider } from './oidc-provider.ts'
import type { OwnTokens } from './own-tokens.ts'
import { resourceServerOf, type Resources } from './resources.ts'
import { createJwtSigner, signingKeysOf } from './signing-keys.ts'
import { answerForJwts, isOfClient } from './token-endpoints.ts'
import { recordTokenRequests } from './token-log.ts'

export type ProviderOptions = {
  issuer: string
  secrets: InstallationSecrets
  /** Where the ring's keys sign whose private halves are not in the ring. */
  keyHome?: KeyHome | undefined
  clients: Clients
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
  log: Log
  metrics: IssuerMetrics
}

/** The authorization server for one state of the key ring: client credentials, RS256, RFC 9068 access tokens. */
export async function createProvider(ring: Ring, options: ProviderOptions): Promise<Provider> {
  const oidc = await loadOidcProvider()
  const { Provider, errors } = oidc
  const { issuer, clients, store, clock, resources, defaultResource } = options
  const { secrets, accessTokenTtlSeconds } = options
  const hidden = createHiddenValues(secrets.storedTokenKey)
  const grants = createGrants({ store, clock, hidden })
  const { refreshKey } = secrets
  const configuration: Configuration = {
    adapter: createAdapterFactory({ clients, store, clock, hidden, grants, refreshKey, oidc }),
    jwks: { keys: signingKeysOf(ring, options.keyHome, oidc) },
    cookies: { keys: [secrets.cookieKey.toString('base64url')] },
    clientAuthMethods: [...clientAuthMethodSchema.options],
    enabledJWA: {
      clientAuthSigningAlgValues: [...CLIENT_ASSERTION_ALGORITHMS],
      dPoPSigningAlgValues: [...DPOP_ALGORITHMS],
    },
    fetch: options.fetchClientJwks,
    assertJwtClientAuthClaimsAndHeader: requireStrictAssertion(issuer, oidc),
    responseTypes: ['code'],
    scopes: [...new Set(Object.values(resources).flatMap(({ scopes }) => scopes))],
    ttl: { ClientCredentials: accessTokenTtlSeconds },
    extraClientMetadata: { properties: OWN_CLIENT_MEMBERS },
    extraTokenClaims: (_ctx, token) => claimsOfClient(token.client),
    features: {
      clientCredentials: { enabled: true },
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      devInteractions: { enabled: false },
      // A nonce is offered, as every issuer of the installation knows it, and not demanded: see docs/adr.
      dPoP: { enabled: true, nonceSecret: secrets.dpopNonceKey },
      mTLS: options.mutualTls,
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
      introspection: { enabled: true, allowedPolicy: isOfClient },
      revocation: { enabled: true, allowedPolicy: isOfClient },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => defaultResource,
        getResourceServerInfo: resourceServerOf(resources, accessTokenTtlSeconds, errors),
      },
    },
  }
  const provider = new Provider(issuer, configuration)
  // The issuer is pinned into these headers before a request gets here; see app.ts.
  provider.proxy = true
  authenticateByRegistry(provider, { clients, oidc })
  rememberAssertions(provider, store, oidc)
  provider.use(publishOnlyWhatIsServed)
  answerForJwts(provider, { ...options, signJwt: createJwtSigner(ring, options.keyHome) })
  recordTokenRequests(provider, options.log, options.metrics)
  return provider
}

/** Our own claims: the tenant, and the limits of everybody whom the token speaks for. */
function claimsOfClient(client: Client | undefined) {
  return { tenant_id: client?.['tenant_id'], limits: client?.['limits'] ?? {} }
}
