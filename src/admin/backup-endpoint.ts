import { z } from 'zod'
import { backupEntrySchema } from '../registry/backup-entry.ts'
import { readBackupPage } from '../registry/backup-pages.ts'
import type { Store } from '../store/store.ts'
import { requireScope, type AdminScope } from './admin-scopes.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'
import { pageOf, pageQuery } from './listing.ts'

/** Beside `admin:keys`: it shows more than anyone but an operator may change. */
const ALSO_REQUIRED: readonly AdminScope[] = ['admin:clients', 'admin:users']

/** Everything that a new store needs to go on as this one, page by page. */
export function backupEndpoint({ store }: { store: Store }): Endpoint {
  return defineEndpoint({
    method: 'GET',
    path: '/admin/v1/backup',
    operation: 'admin.backup.show',
    summary:
      'All that a backup holds, secrets and passwords as hashes; needs admin:clients and admin:users, too',
    scope: 'admin:keys',
    takes: { query: z.strictObject(pageQuery) },
    answers: { status: 200, body: pageOf(backupEntrySchema) },
    run: async ({ query, caller }) => {
      for (const scope of ALSO_REQUIRED) requireScope(caller, scope)
      return { status: 200, body: await readBackupPage(store, query) }
    },
  })
}
