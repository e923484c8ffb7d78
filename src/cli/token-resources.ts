import { ADMIN_SCOPES, adminResourceOf } from '../admin/admin-scopes.ts'
import type { Config } from '../config/schema.ts'
import type { Resources } from '../issuer/resources.ts'
import { REVOCATIONS_SCOPE } from '../issuer/revocation-feed.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'

/** What tokens can be for, and with which scopes. */
export function resourcesOf({ resources, proxy, issuer }: Config): Resources {
  const served: Resources = resources ?? { [proxy.url]: { scopes: [OCR_SCOPE] } }
  // Behind one terminator the issuer and the proxy may have one address.
  const atIssuer = served[issuer.url]?.scopes ?? []
  return {
    ...served,
    [adminResourceOf(issuer.url)]: { scopes: ADMIN_SCOPES },
    [issuer.url]: { scopes: [...atIssuer, REVOCATIONS_SCOPE] },
  }
}
