import type { BackupLine } from './backup-lines.ts'

/** How much of each kind people ask about was written or restored. */
export type BackupCounts = { tenants: number; clients: number; users: number; revocations: number }

export type BackupCounter = { counts: BackupCounts; add: (line: BackupLine) => void }

export function createBackupCounter(): BackupCounter {
  const counts = { tenants: 0, clients: 0, users: 0, revocations: 0 }
  return {
    counts,
    add: ({ kind }) => {
      if (kind === 'tenant') counts.tenants += 1
      if (kind === 'client') counts.clients += 1
      if (kind === 'user') counts.users += 1
      if (kind === 'revocation') counts.revocations += 1
    },
  }
}
