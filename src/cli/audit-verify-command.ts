import { basename, dirname } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { listAuditFiles } from '../audit/audit-files.ts'
import { parseCheckpoint, readCheckpoints } from '../audit/checkpoints.ts'
import { readAuditFile } from '../audit/read-files.ts'
import {
  createTrailVerifier,
  type Checkpoint,
  type TrailReport,
  type TrailVerifier,
} from '../audit/verify.ts'
import { addAdminCommand } from './admin-command.ts'
import { auditSourceOf, requireFolder } from './audit-source.ts'
import { CliError } from './cli-error.ts'
import { usage } from './flag-values.ts'
import { writeJson } from './output.ts'
import { formatTable } from './table.ts'

const PAGE_SIZE = 1000
const optionsSchema = z.object({
  json: z.boolean().default(false),
  dir: z.string().optional(),
  checkpoint: z.array(z.string()).default([]),
  log: z.array(z.string()).default([]),
})
const collect = (value: string, earlier: string[] = []) => [...earlier, value]

export function addVerifyCommand(audit: Command): void {
  addAdminCommand(audit, {
    name: 'verify [files...]',
    description: 'follow every chain, and say where one breaks or ends; exits 1 when one breaks',
    examples: [
      'audit verify --log gatehouse.log',
      'audit verify --dir data/audit --checkpoint proxy-1f0c2a9b:1200:47DEQpj8…',
    ],
  })
    .option('--dir <folder>', 'check these files, without a server: <dataDir>/audit')
    .option('--checkpoint <writer:seq:hash>', 'what the trail must hold; repeatable', collect)
    .option('--log <file>', "our log, with the writers' checkpoints; repeatable", collect)
    .action(async (files: string[], _options, command: Command) => {
      const { json, dir, ...named } = optionsSchema.parse(command.opts())
      const isLocal = files.length > 0 || dir !== undefined
      const verifier = createTrailVerifier(await checkpointsOf(named), { allowsRepeats: !isLocal })
      if (files.length > 0) await verifyFiles(files, verifier)
      else if (dir !== undefined) await verifyFolder(dir, verifier)
      else await verifyRemote(command, verifier)
      const report = verifier.report()
      if (json) writeJson(report)
      else writeReport(report)
      const { problems } = report
      if (problems.length === 0) return
      throw new CliError(
        `the trail has ${problems.length} problem${problems.length === 1 ? '' : 's'}`,
      )
    })
}

async function checkpointsOf(named: { checkpoint: string[]; log: string[] }) {
  const checkpoints: Checkpoint[] = named.checkpoint.map((text) => {
    const checkpoint = parseCheckpoint(text)
    if (checkpoint === undefined) throw usage(`--checkpoint: ${text} is not writer:seq:hash`)
    return checkpoint
  })
  for (const file of named.log) {
    const logged = await readCheckpoints(file).catch((cause: unknown) => {
      throw new CliError(`--log: ${file} cannot be read`, { cause })
    })
    checkpoints.push(...logged)
  }
  return checkpoints
}

async function verifyFolder(dir: string, verifier: TrailVerifier): Promise<void> {
  await requireFolder(dir)
  const files = await listAuditFiles(dir)
  await verifyFiles(
    files.map(({ path }) => path),
    verifier,
  )
}

async function verifyFiles(paths: readonly string[], { read }: TrailVerifier): Promise<void> {
  for (const path of paths) {
    const file = { name: basename(path), path, day: '', writer: dirname(path) }
    try {
      for await (const { text, number, endsAtByte } of readAuditFile(file)) {
        read(text, `${file.name}:${number}`, endsAtByte !== undefined)
      }
    } catch (cause) {
      throw new CliError(`${path} cannot be read`, { cause })
    }
  }
}

/** A record from the server, written as it was: JSON of ours has one form. */
async function verifyRemote(command: Command, { read }: TrailVerifier): Promise<void> {
  const source = await auditSourceOf(command)
  let cursor: string | undefined
  do {
    const { records, next } = await source.search({}, { limit: PAGE_SIZE, cursor })
    for (const record of records) read(JSON.stringify(record), 'the server', true)
    cursor = next
  } while (cursor !== undefined)
}

function writeReport({ writers, problems }: TrailReport): void {
  const rows = writers.map((chain) => [
    chain.writer,
    `${chain.first_seq} to ${chain.last_seq}`,
    chain.last_time,
    chain.last_hash,
    chain.torn_bytes === 0 ? '' : `then ${chain.torn_bytes} bytes of an unfinished record`,
  ])
  const headings = ['WRITER', 'RECORDS', 'ENDS', 'HASH', '']
  process.stdout.write(`${formatTable(headings, rows)}\n`)
  for (const { kind, writer = '?', seq = '?', source, detail } of problems) {
    process.stdout.write(`${kind}: ${writer} record ${seq}, ${source}: ${detail}\n`)
  }
}
