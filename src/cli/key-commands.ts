import type { Command } from 'commander'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import type { AdminApi } from './admin-api.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { CliError } from './cli-error.ts'
import { formatTime, writeJson } from './output.ts'
import { createProgress } from './progress.ts'
import { formatTable } from './table.ts'

const optionsSchema = z.object({
  json: z.boolean().default(false),
  wait: z.boolean().default(true),
})
const keySchema = z.object({
  kid: z.string(),
  state: z.string(),
  published_at: z.number(),
  activated_at: z.number().optional(),
  wanted_since: z.number().optional(),
  ready_in_seconds: z.number().optional(),
  rotates_at: z.number().optional(),
  leaves_at: z.number().optional(),
})
type ShownKey = z.infer<typeof keySchema>
const verifierSchema = z.object({ verifier_id: z.string(), kids: z.array(z.string()) })
const ringSchema = z.object({ items: z.array(keySchema), verifiers: z.array(verifierSchema) })
const resealedSchema = z.object({ resealed: z.boolean() })

const POLL_MS = 1000
const DROP_POLL_MS = 100
const DROP_PATIENCE_SECONDS = 15
/** Well before an admin token ends. */
const SIGN_IN_EVERY_POLLS = 120

export function keyCommands(program: Command): void {
  const keys = program.command('keys').description('the keys that sign tokens')

  addAdminCommand(keys, {
    name: 'list',
    description: 'the signing keys, and what becomes of each when',
    examples: ['keys list'],
  }).action(async (_options, command: Command) => {
    const answer = await (await adminApiOf(command)).call({ path: 'keys' })
    writeRing(answer, optionsSchema.parse(command.opts()))
  })

  addAdminCommand(keys, {
    name: 'stage',
    description: 'publish the next key ahead, if none is (the server does so by itself)',
    examples: ['keys stage'],
  }).action(async (_options, command: Command) => {
    const answer = await (await adminApiOf(command)).call({ method: 'POST', path: 'keys/stage' })
    writeRing(answer, optionsSchema.parse(command.opts()))
  })

  addAdminCommand(keys, {
    name: 'rotate',
    description:
      'let the next key sign, once all verifiers can have it; Ctrl-C ends the waiting, not the rotation',
    examples: ['keys rotate', 'keys rotate --no-wait'],
  })
    .option('--no-wait', 'leave it to the server when the next key is too young')
    .action(async (_options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      writeRing(await rotate(command, options), options)
    })

  addAdminCommand(keys, {
    name: 'compromise <kid>',
    description:
      'a key was stolen: take it out at once, void all of its tokens, sign with a new one',
    examples: ['keys compromise NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'],
  })
    // A kid is base64url, and one in 64 begins like an option.
    .allowUnknownOption()
    .action(async (kid: string, _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      const api = await adminApiOf(command)
      const path = `keys/${encodeURIComponent(kid)}/compromise`
      const answer = await api.call({ method: 'POST', path })
      process.stderr.write(`The key ${kid} is out, and every token of it is void.\n`)
      await watchDrop(command, kid)
      writeRing(answer, options)
    })

  addAdminCommand(keys, {
    name: 'reseal',
    description: 'seal the stored keys with keys.encryptionKey as the server has it now',
    examples: ['keys reseal'],
  }).action(async (_options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const answer = await (await adminApiOf(command)).call({ method: 'POST', path: 'keys/reseal' })
    if (json) return writeJson(answer)
    const { resealed } = resealedSchema.parse(answer)
    process.stdout.write(
      resealed
        ? 'The keys are sealed anew: the previous encryption key is not needed any more.\n'
        : 'Nothing to do: the keys are sealed with the current encryption key, or none is set.\n',
    )
  })
}

/** Asks for it, and waits until it is so. */
async function rotate(command: Command, { wait }: { wait: boolean }): Promise<unknown> {
  let api = await adminApiOf(command)
  const before = ringSchema.parse(await api.call({ path: 'keys' }))
  const wanted = before.items.find(({ state }) => state === 'next')?.kid
  let answer = await askForRotation(api)
  if (!wait || wanted === undefined) return answer
  const progress = createProgress(process.stderr)
  for (let polls = 1; ; polls += 1) {
    const key = ringSchema.parse(answer).items.find(({ kid }) => kid === wanted)
    if (key === undefined) throw new CliError(`the key ${wanted} has left the ring meanwhile`)
    if (key.state !== 'next') {
      progress.done()
      return answer
    }
    const left = key.ready_in_seconds ?? 0
    if (polls === 1 && !process.stderr.isTTY) {
      process.stderr.write(`waiting ${left} s until all verifiers can have the next key\n`)
    }
    progress.update(`the next key signs in ${left} s, when all verifiers can have it …`)
    await pause(POLL_MS)
    if (polls % SIGN_IN_EVERY_POLLS === 0) api = await adminApiOf(command)
    answer = await api.call({ path: 'keys' })
  }
}

const askForRotation = (api: AdminApi) =>
  api.call({ method: 'POST', path: 'keys/rotate', query: { when: 'ready' } })

/** Says when each verifier had dropped the key, and who has not. */
async function watchDrop(command: Command, kid: string): Promise<void> {
  const startedAtMs = performance.now()
  const seconds = () => (performance.now() - startedAtMs) / 1000
  // The token of before may have been signed with that very key.
  const api = await adminApiOf(command)
  const waiting = new Set<string>()
  const dropped = new Set<string>()
  do {
    const { verifiers } = ringSchema.parse(await api.call({ path: 'keys' }))
    waiting.clear()
    for (const { verifier_id: name, kids } of verifiers) {
      if (kids.includes(kid)) waiting.add(name)
      else if (!dropped.has(name)) {
        dropped.add(name)
        process.stderr.write(`${name} has dropped it, ${seconds().toFixed(1)} s later.\n`)
      }
    }
    if (waiting.size > 0) await pause(DROP_POLL_MS)
  } while (waiting.size > 0 && seconds() < DROP_PATIENCE_SECONDS)
  if (waiting.size === 0) return
  process.stderr.write(`warning: not heard of yet from ${[...waiting].join(', ')}\n`)
}

function writeRing(answer: unknown, { json }: { json: boolean }): void {
  if (json) return writeJson(answer)
  const now = Date.now() / 1000
  const { items, verifiers } = ringSchema.parse(answer)
  const rows = items.map((key) => [
    key.kid,
    key.state,
    formatAge(now - key.published_at),
    whatNext(key),
  ])
  process.stdout.write(`${formatTable(['KID', 'STATE', 'PUBLISHED', 'WHAT IS NEXT'], rows)}\n`)
  const next = items.find(({ state }) => state === 'next')?.kid
  if (next === undefined || verifiers.length === 0) return
  const without = verifiers.filter(({ kids }) => !kids.includes(next))
  const have = `${verifiers.length - without.length} of ${verifiers.length} verifiers have the next key`
  const names = without.map(({ verifier_id: name }) => name).join(', ')
  process.stdout.write(names === '' ? `${have}.\n` : `${have}; without it: ${names}.\n`)
}

function whatNext(key: ShownKey): string {
  if (key.leaves_at !== undefined) return `leaves ${formatTime(key.leaves_at)}`
  if (key.rotates_at !== undefined) return `signs until ${formatTime(key.rotates_at)}`
  const left = key.ready_in_seconds ?? 0
  const when = left === 0 ? 'at any time' : `in ${left} s`
  return key.wanted_since === undefined ? `may sign ${when}` : `signs ${when}`
}

function formatAge(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 120) return `${whole} s ago`
  if (whole < 7200) return `${Math.floor(whole / 60)} min ago`
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ago`
  return `${Math.floor(whole / 86_400)} days ago`
}
