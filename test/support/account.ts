import { createTrailVerifier } from '../../src/audit/verify.ts'
import { auditRecordSchema, type AuditRecord } from '../../src/audit/record.ts'
import { createFileUsage } from '../../src/audit/usage-of-files.ts'
import { reportUsage } from '../../src/audit/usage-report.ts'
import { readAuditTexts } from './audit-lines.ts'
import type { Said } from './counting-model.ts'
import type { Fate } from './unruly-clients.ts'

export type AccountOptions = {
  /** How many calls the proxy itself has counted. */
  counted: number
  /** Of the audit trail. */
  dir: string
  fates: ReadonlyMap<string, Fate>
  said: ReadonlyMap<string, readonly Said[]>
}

/** Everything that does not add up, and what was compared. */
export type Account = {
  problems: string[]
  records: number
  /** Answers that came to their end, whose tokens must be on record to the last. */
  whole: number
  /** Requests that ended in another way after the model server had begun to answer. */
  cut: number
  /** Requests whose client left before the proxy had read them. */
  unread: number
  /** Completion tokens: of whole answers as said and as recorded, and as recorded of the others. */
  tokens: { said: number; recorded: number; recordedOfCut: number }
}

/** Compares the trail with what clients saw and what the model server says that it sent, request by request. */
export async function settleAccounts(options: AccountOptions): Promise<Account> {
  const { dir, fates, said, counted } = options
  const problems: string[] = []
  const records = await readRecords(dir, problems)
  const account: Account = {
    problems,
    records: records.size,
    whole: 0,
    cut: 0,
    unread: 0,
    tokens: { said: 0, recorded: 0, recordedOfCut: 0 },
  }
  if (records.size !== counted) problems.push(`${counted} calls were counted`)
  for (const id of records.keys()) if (!fates.has(id)) problems.push(`${id} was never sent`)
  for (const [id, fate] of fates) {
    const record = records.get(id)
    const answer = said.get(id)?.at(-1)
    if (record === undefined) {
      if (fate.end === 'left' && answer === undefined) account.unread += 1
      else problems.push(`${id} (${fate.end}, ${fate.status}) is not on record`)
      continue
    }
    if (fate.end === 'whole' && record.status !== fate.status) {
      problems.push(`${id}: ${fate.status} is on record as ${record.status}`)
    }
    if (answer !== undefined) compare(id, { fate, record, answer }, account)
  }
  await compareReport(dir, records, problems)
  return account
}

type Compared = { fate: Fate; record: AuditRecord; answer: Said }

function compare(id: string, { fate, record, answer }: Compared, account: Account): void {
  const { usage = {} } = record
  const recorded = usage.completion_tokens ?? 0
  const isWhole = fate.end === 'whole' && fate.status === 200
  const said = isWhole ? toUsage(answer) : undefined
  if (said !== undefined) {
    account.whole += 1
    account.tokens.said += said.completion_tokens
    account.tokens.recorded += recorded
    const { prompt_tokens = 0, estimated = false } = usage
    const isRight =
      recorded === said.completion_tokens &&
      prompt_tokens === said.prompt_tokens &&
      estimated === said.estimated
    if (!isRight) account.problems.push(`${id}: ${JSON.stringify(usage)} is not what was said`)
    return
  }
  account.cut += 1
  account.tokens.recordedOfCut += recorded
  // What was on its way may be missing; what was never said must not be there.
  const most = usage.estimated === true ? answer.pieces : (answer.usage?.completion_tokens ?? 0)
  if (recorded > most) account.problems.push(`${id}: more is on record than was said`)
}

const toUsage = ({ usage, pieces }: Said) =>
  usage === undefined
    ? { prompt_tokens: 0, completion_tokens: pieces, estimated: pieces > 0 }
    : { ...usage, estimated: false }

async function readRecords(dir: string, problems: string[]): Promise<Map<string, AuditRecord>> {
  const records = new Map<string, AuditRecord>()
  for (const [name, text] of await readAuditTexts(dir)) {
    const verifier = createTrailVerifier([])
    for (const [i, line] of text.split('\n').slice(0, -1).entries()) {
      verifier.read(line, `${name}:${i + 1}`, true)
      const record = auditRecordSchema.parse(JSON.parse(line))
      const id = record.request_id ?? ''
      if (record.event !== 'proxy.call') continue
      if (records.has(id)) problems.push(`${id} is on record twice`)
      records.set(id, record)
    }
    for (const problem of verifier.report().problems) problems.push(JSON.stringify(problem))
  }
  return records
}

/** The report must add up to what is on record for those who had a token. */
async function compareReport(
  dir: string,
  records: ReadonlyMap<string, AuditRecord>,
  problems: string[],
): Promise<void> {
  const query = { by: 'tenant', from: '2000-01-01', to: '9999-01-01' } as const
  const rows = await reportUsage(createFileUsage(dir, { keepsSums: false }), query)
  const ofCallers = [...records.values()].filter((record) => record.client_id !== undefined)
  const add = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0)
  const reported = {
    requests: add(rows.map((row) => row.requests)),
    tokens: add(rows.map((row) => row.completion_tokens)),
  }
  const recorded = {
    requests: ofCallers.length,
    tokens: add(ofCallers.map(({ usage }) => usage?.completion_tokens ?? 0)),
  }
  if (JSON.stringify(reported) !== JSON.stringify(recorded)) {
    problems.push(
      `the report says ${JSON.stringify(reported)}, records ${JSON.stringify(recorded)}`,
    )
  }
}
