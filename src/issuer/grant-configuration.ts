import type { Configuration } from 'oidc-provider'
import type { Users } from '../registry/registry.ts'
import type { Store } from '../store/store.ts'
import { ACCOUNT_CLAIMS, findAccountIn } from './accounts.ts'
import { refusing } from './client-authentication.ts'
import type { Grants } from './grants.ts'
import { claimsOfToken, finishTokens } from './issued-tokens.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { issueRefreshToken, rotateForGrantedResource } from './refresh-tokens.ts'

/** How long a client has to redeem what it was sent (RFC 6749 §4.1.2 says ten minutes at most). */
const CODE_SECONDS = 60
/** How long a person has to enter the code that a device shows. */
const DEVICE_CODE_SECONDS = 600

export type GrantOptions = {
  users: Pick<Users, 'findIssuable'>
  store: Store
  grants: Grants
  defaultResource: string
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  oidc: OidcProvider
}

/** What oidc-provider has to be told about what is granted: to whom, with which rules, for how long. */
export function grantConfiguration(options: GrantOptions) {
  const { users, store, grants, defaultResource, oidc } = options
  const { accessTokenTtlSeconds, refreshTokenTtlSeconds } = options
  return {
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: false,
    claims: ACCOUNT_CLAIMS,
    findAccount: refusing(findAccountIn({ users, store }), oidc),
    issueRefreshToken,
    rotateRefreshToken: rotateForGrantedResource(oidc),
    extraTokenClaims: claimsOfToken,
    formats: { customizers: { jwt: refusing(finishTokens({ grants, defaultResource }), oidc) } },
    ttl: {
      AccessToken: accessTokenTtlSeconds,
      AuthorizationCode: CODE_SECONDS,
      ClientCredentials: accessTokenTtlSeconds,
      DeviceCode: DEVICE_CODE_SECONDS,
      Grant: refreshTokenTtlSeconds,
      // Like an access token, so that the key that signed it is published for as long.
      IdToken: accessTokenTtlSeconds,
      RefreshToken: refreshTokenTtlSeconds,
    },
  } satisfies Configuration
}
