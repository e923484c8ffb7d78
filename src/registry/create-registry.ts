import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { createRevokeAround } from '../revocations/revoke-around.ts'
import type { Store } from '../store/store.ts'
import { createClientRecords } from './client-keeping.ts'
import { createSecretCheck } from './client-secret-check.ts'
import { createClientSecrets } from './client-secrets.ts'
import { createClients } from './clients.ts'
import { findExpiringSecrets } from './expiring-secrets.ts'
import { createGuessLimits } from './guess-limits.ts'
import { createHashPool, type HashPool } from './hash-pool.ts'
import { madeBy, markMade } from './made-once.ts'
import type { Clients, Registry } from './registry.ts'
import { createSecretUses } from './secret-uses.ts'
import { createTenantRecords } from './tenant-keeping.ts'
import { createTenants } from './tenants.ts'
import { createUserRecords } from './user-keeping.ts'
import { createUsers } from './users.ts'

export type RegistryOptions = {
  store: Store
  clock: Clock
  /** Where secrets and passwords are hashed. */
  pool?: HashPool
  /** How often somebody may be wrong about one client or user from one address. */
  maxFailuresPerMinute: number
}

/** The registry on a store. It holds nothing that another process on the same store would have to hear of. */
export function createRegistry(options: RegistryOptions): Registry {
  const { store, clock, maxFailuresPerMinute, pool = createHashPool() } = options
  const revokeAround = createRevokeAround(store, clock)
  const limits = createGuessLimits(clock, maxFailuresPerMinute)
  const uses = createSecretUses(store, clock)
  const tenants = createTenantRecords(store)
  const clients = createClientRecords(store)
  const users = createUserRecords(store)

  const findIssuable: Clients['findIssuable'] = async (clientId) => {
    const client = await clients.read(clientId)
    if (client?.record.status !== 'active') return undefined
    const tenant = await tenants.read(client.record.tenant_id)
    if (tenant?.record.status !== 'active') return undefined
    return { client: client.record, version: client.version, tenant: tenant.record }
  }

  return {
    tenants: createTenants({ store, clock, records: tenants, revokeAround }),
    clients: {
      ...createClients({ store, clock, pool, records: clients, tenants, revokeAround }),
      ...createClientSecrets({ store, clock, pool, uses, records: clients }),
      listExpiringSecrets: () => findExpiringSecrets(store, uses, epochSeconds(clock)),
      findIssuable,
      ...createSecretCheck({ clock, pool, limits, uses, findIssuable }),
    },
    users: createUsers({ store, clock, pool, limits, records: users, tenants, revokeAround }),
    madeBy: (mark) => madeBy(store, mark),
    markMade: (mark, made) => markMade(store, mark, made),
    saveUses: uses.save,
  }
}
