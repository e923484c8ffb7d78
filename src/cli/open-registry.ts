import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import { AppError, ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { createRegistry } from '../registry/create-registry.ts'
import { createHashPool, type WatchedHashPool } from '../registry/hash-pool.ts'
import { markFormat, requireKnownFormat } from '../registry/format.ts'
import type { Registry } from '../registry/registry.ts'
import { isHalfRestored } from '../registry/restore-entries.ts'
import { DEFAULT_TENANT_ID, newTenantSchema } from '../registry/tenant.ts'
import type { Store } from '../store/store.ts'
import { openStore } from './open-store.ts'

export type OpenRegistry = {
  registry: Registry
  store: Store
  pool: WatchedHashPool
  close: () => Promise<void>
}

const SAVE_USES_INTERVAL_MS = 10_000

/** The registry on the configured store, with its default tenant. A ConfigError when the store cannot be opened. */
export async function openRegistry(
  config: Config,
  { clock, log }: { clock: Clock; log: Log },
): Promise<OpenRegistry> {
  const store = await openStore(config, clock)
  const { maxFailuresPerMinute } = config.issuer.clientAuth
  const pool = createHashPool()
  const registry = createRegistry({ store, clock, pool, maxFailuresPerMinute })
  const saveUses = () =>
    registry.saveUses().catch((error: unknown) => {
      log.warn({ event: 'registry.uses_unsaved', err: error }, 'last uses were not written down')
    })
  try {
    await requireWhole(store)
    await requireKnownFormat(store)
    await ensureDefaultTenant(registry)
    await markFormat(store)
  } catch (error) {
    await store.close()
    if (!(error instanceof AppError)) throw error
    throw new ConfigError([`the store cannot be used: ${error.message}`], 'is Redis running?')
  }
  const saving = setInterval(() => void saveUses(), SAVE_USES_INTERVAL_MS).unref()
  return {
    registry,
    store,
    pool,
    close: async () => {
      clearInterval(saving)
      await saveUses()
      await store.close()
    },
  }
}

async function requireWhole(store: Store): Promise<void> {
  if (!(await isHalfRestored(store))) return
  throw new ConfigError(
    ['the store holds half of a backup: a restore was interrupted'],
    'repeat the restore with the same file',
  )
}

async function ensureDefaultTenant({ tenants }: Registry): Promise<void> {
  if ((await tenants.get(DEFAULT_TENANT_ID)) !== undefined) return
  try {
    await tenants.create(newTenantSchema.parse({ tenant_id: DEFAULT_TENANT_ID, name: 'Default' }))
  } catch (error) {
    // Another process that starts now was first.
    if (!(error instanceof AppError && error.code === 'already_exists')) throw error
  }
}
