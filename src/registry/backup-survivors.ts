import type { BackupEntry } from './backup-entry.ts'

/** Learns from every entry of a backup who was deleted while it was made; then it says what is to be restored. */
export type Survivors = {
  learn: (entry: BackupEntry) => void
  has: (entry: BackupEntry) => boolean
}

/** Whoever has a tombstone is gone, and whoever is in a tenant that is gone or not in the backup. */
export function createSurvivors(): Survivors {
  const tenants = new Set<string>()
  const gone = new Set<string>()
  const hasTenant = (tenantId: string) => tenants.has(tenantId) && !gone.has(`tenant/${tenantId}`)

  return {
    learn: (entry) => {
      if (entry.kind === 'tenant') tenants.add(entry.record.tenant_id)
      if (entry.kind === 'gone') gone.add(`${entry.of}/${entry.id}`)
    },
    has: (entry) => {
      switch (entry.kind) {
        case 'tenant':
          return hasTenant(entry.record.tenant_id)
        case 'client':
          return hasTenant(entry.record.tenant_id) && !gone.has(`client/${entry.record.client_id}`)
        case 'user':
          return hasTenant(entry.record.tenant_id)
        case 'used':
          return !gone.has(`client/${entry.client_id}`)
        case 'gone':
        case 'revocation':
          return true
      }
    },
  }
}
