import type { AuditArchive } from '../audit/search.ts'
import type { UsageSource } from '../audit/usage-report.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Ring } from '../keys/ring.ts'
import type { SigningKeys } from '../keys/signing-keys.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { Registry } from '../registry/registry.ts'
import type { SecretWatch } from '../registry/watch-secrets.ts'
import type { Store } from '../store/store.ts'
import { auditEndpoint } from './audit-endpoint.ts'
import { backupEndpoint } from './backup-endpoint.ts'
import { clientEndpoints } from './client-endpoints.ts'
import type { Endpoint } from './endpoint.ts'
import { revocationEndpoints } from './revocation-endpoints.ts'
import { keyEndpoints } from './key-endpoints.ts'
import { secretEndpoints } from './secret-endpoints.ts'
import { statusEndpoint } from './status-endpoint.ts'
import { tenantEndpoints } from './tenant-endpoints.ts'
import { tokenEndpoint, type TokenEndpointOptions } from './token-endpoint.ts'
import { usageEndpoint } from './usage-endpoint.ts'
import { userEndpoints } from './user-endpoints.ts'

export type AdminEndpointsOptions = {
  issuer: string
  proxy: TokenEndpointOptions['proxy']
  revocations: Pick<RevocationGuard, 'requireNotRevoked'>
  registry: Registry
  store: Store
  /** As it is now. */
  ring: () => Ring
  signingKeys: SigningKeys
  /** The secrets that are about to expire, as of a while ago. */
  expiring: SecretWatch['expiring']
  /** Where the audit trail can be read, if that is here. */
  archive: AuditArchive | undefined
  usageSource: UsageSource | undefined
  clock: Clock
  resources: TokenEndpointOptions['resources']
  /** Every scope of every resource: what clients and users can be given. */
  scopes: readonly string[]
}

export function createAdminEndpoints(options: AdminEndpointsOptions): Endpoint[] {
  const { registry, scopes } = options
  return [
    ...tenantEndpoints(registry),
    ...clientEndpoints({ registry, scopes }),
    ...secretEndpoints(registry),
    ...userEndpoints({ registry, scopes }),
    ...revocationEndpoints(options),
    ...keyEndpoints(options),
    tokenEndpoint(options),
    statusEndpoint(options),
    backupEndpoint(options),
    auditEndpoint(options),
    usageEndpoint(options),
  ]
}
