import { join } from 'node:path'
import { CHAIN_START } from '../audit/chain.ts'
import { openFileTrail } from '../audit/open-file-trail.ts'
import { newWriterId } from '../audit/record.ts'
import { createFileArchive, type AuditArchive } from '../audit/search.ts'
import { createStdoutSink } from '../audit/stdout-sink.ts'
import { createAuditTrail, type AuditTrail } from '../audit/trail.ts'
import type { Config } from '../config/schema.ts'
import type { Surroundings } from './compose.ts'

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
  const sink = createStdoutSink()
  return createAuditTrail({ writer, head: CHAIN_START, sink, onFailure, clock, log })
}

/** Where the trail can be read; undefined where it goes to standard output. */
export const auditArchiveOf = (config: Config): AuditArchive | undefined =>
  config.audit.sink === 'file' ? createFileArchive(auditFolderOf(config)) : undefined
