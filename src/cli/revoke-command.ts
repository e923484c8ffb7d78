import type { Command } from 'commander'
import { z } from 'zod'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { present, usage } from './flag-values.ts'
import { formatTime, writeJson } from './output.ts'

const optionsSchema = z.object({
  jti: z.string().optional(),
  exp: z.string().optional(),
  client: z.string().optional(),
  sub: z.string().optional(),
  tenant: z.string().optional(),
  kid: z.string().optional(),
  json: z.boolean().default(false),
})
type Options = z.output<typeof optionsSchema>

const revocationSchema = z.object({
  kind: z.string(),
  value: z.string(),
  issued_before: z.number().optional(),
})

export function revokeCommand(program: Command): void {
  addAdminCommand(program, {
    name: 'revoke',
    description: 'end one token, or all that was issued so far to a client, user or tenant',
    examples: [
      'revoke --jti 2cVdM0… --exp 1790000900',
      'revoke --client robot',
      'revoke --sub user:3fa85f64-5717-4562-b3fc-2c963f66afa6',
    ],
  })
    .option('--jti <id>', 'one token, by its jti; `tokens inspect` and the log show it')
    .option('--exp <seconds>', "with --jti: the token's exp")
    .option('--client <id>', 'what a client got, for itself or for people')
    .option('--sub <sub>', 'what was issued to a user, or to a client for itself')
    .option('--tenant <id>', 'what clients and users of a tenant got')
    .option('--kid <kid>', 'what a key signed; to take the key away: keys compromise')
    .action(async (_options, command: Command) => {
      const { json, ...options } = optionsSchema.parse(command.opts())
      const body = requestOf(options)
      const api = await adminApiOf(command)
      const answer = await api.create('revocations', body)
      if (json) return writeJson(answer)
      process.stdout.write(describe(revocationSchema.parse(answer)))
    })
}

function requestOf({ exp, ...named }: Omit<Options, 'json'>): object {
  const [chosen, ...more] = Object.entries(present(named))
  if (chosen === undefined || more.length > 0) {
    throw usage('revoke: say one of --jti, --client, --sub, --tenant and --kid')
  }
  const [kind, value] = chosen
  if ((kind === 'jti') !== (exp !== undefined)) throw usage('--jti and --exp belong together')
  if (exp !== undefined && !/^\d{1,12}$/.test(exp)) {
    throw usage(`--exp: ${exp} is not a number of seconds since 1970`)
  }
  return present({ kind, value, exp: exp === undefined ? undefined : Number(exp) })
}

function describe({ kind, value, issued_before: upTo }: z.output<typeof revocationSchema>): string {
  if (upTo === undefined) return `The token ${value} is revoked.\n`
  return `What was issued up to ${formatTime(upTo)} is revoked (${kind} ${value}).\n`
}
