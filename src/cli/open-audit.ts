import { join } from 'node:path'
import { CHAIN_START } from '../audit/chain.ts'
import { openFileTrail } from '../audit/open-file-trail.ts'
import { createJournalArchive } from '../audit/journal-archive.ts'
import { auditJournalOf, createJournalSink } from '../audit/journal-sink.ts'
import { newWriterId } from '../audit/record.ts'
import { createFileArchive, type AuditArchive } from '../audit/search.ts'
import { createStdoutSink } from '../audit/stdout-sink.ts'
import { createAuditTrail, type AuditTrail } from '../audit/trail.ts'
import { createFileUsage } from '../audit/usage-of-files.ts'
import { createJournalUsage } from '../audit/usage-of-journal.ts'
import type { UsageSource } from '../audit/usage-report.ts'
import type { Config } from '../config/schema.ts'
import type { Store } from '../store/store.ts'
import type { Surroundings } from './running.ts'
import { openStore } from './open-store.ts'

export const auditFolderOf = ({ dataDir }: Pick<Config, 'dataDir'>): string =>
  join(dataDir, 'audit')

/** The trail of one role of this process, on the configured sink. A ConfigError when it cannot be used. */
export async function openAudit(
  config: Config,
  role: 'issuer' | 'proxy',
  { log, clock }: Surroundings,
): Promise<AuditTrail> {
  const { retentionDays, onFailure } = config.audit
  if (config.audit.sink === 'file') {
    const dir = auditFolderOf(config)
    return openFileTrail({ dir, role, retentionDays, onFailure, clock, log })
  }
  const writer = newWriterId(role)
  const sink =
    config.audit.sink === 'stdout'
      ? createStdoutSink()
      : createJournalSink(await openStore(config, clock), auditJournalOf(retentionDays))
  return createAuditTrail({ writer, head: CHAIN_START, sink, onFailure, clock, log })
}

/** Where the trail can be read; undefined where it goes to standard output. */
export function auditArchiveOf(config: Config, store: Store): AuditArchive | undefined {
  const { sink, retentionDays } = config.audit
  if (sink === 'stdout') return undefined
  if (sink === 'redis') return createJournalArchive(store, auditJournalOf(retentionDays))
  return createFileArchive(auditFolderOf(config))
}

/** What usage reports are made of: the same trail. */
export function usageSourceOf(config: Config, store: Store): UsageSource | undefined {
  const { sink, retentionDays } = config.audit
  if (sink === 'stdout') return undefined
  if (sink === 'redis') return createJournalUsage(store, auditJournalOf(retentionDays))
  return createFileUsage(auditFolderOf(config), { keepsSums: true })
}
