import { readFile } from 'node:fs/promises'
import type { AuditFacts } from '../../src/audit/record.ts'
import { listAuditFiles } from '../../src/audit/audit-files.ts'
import { CHAIN_START } from '../../src/audit/chain.ts'
import { createWaitingLines } from '../../src/audit/waiting-lines.ts'
import { createTrailVerifier, type Checkpoint, type TrailReport } from '../../src/audit/verify.ts'

/** A call as the proxy records it. */
export const callFacts = (requestId: string): AuditFacts => ({
  event: 'proxy.call',
  decision: 'allow',
  request_id: requestId,
  client_id: 'robot',
  status: 200,
})

/** The lines of a chain that has come to `prev`, each without its newline. */
export function linkDrafts(drafts: readonly string[], prev = CHAIN_START.hash): string[] {
  const waiting = createWaitingLines({ seq: 0, hash: prev }, () => 0)
  const lines: string[] = []
  for (const draft of drafts) waiting.push(() => draft)
  for (let batch = waiting.oldest(); batch !== undefined; batch = waiting.oldest()) {
    lines.push(...batch.text.toString().trimEnd().split('\n'))
    waiting.dropOldest()
  }
  return lines
}

/** The text of every audit file in a folder, by name. */
export async function readAuditTexts(dir: string): Promise<Map<string, string>> {
  const files = await listAuditFiles(dir)
  return new Map(
    await Promise.all(
      files.map(async ({ name, path }) => [name, await readFile(path, 'utf8')] as const),
    ),
  )
}

/** What the verifier says of these lines, each without its newline. */
export function verifyLines(
  lines: readonly string[],
  checkpoints: readonly Checkpoint[] = [],
): TrailReport {
  const verifier = createTrailVerifier(checkpoints)
  for (const [i, line] of lines.entries()) verifier.read(line, `line ${i + 1}`, true)
  return verifier.report()
}
