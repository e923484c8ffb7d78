import type { Command } from 'commander'
import { text as readAll } from 'node:stream/consumers'
import { z } from 'zod'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { EXIT } from './cli-error.ts'
import { present } from './flag-values.ts'
import { writeJson } from './output.ts'
import { formatTable } from './table.ts'

const optionsSchema = z.object({
  resource: z.string().optional(),
  scope: z.string().optional(),
  json: z.boolean().default(false),
})
const explanationSchema = z.object({
  accepted: z.boolean(),
  checks: z.array(
    z.object({ check: z.string(), outcome: z.string(), detail: z.string().default('') }),
  ),
})

/** Exits with 0 when the proxy, or the resource that is named, would let the token in, from its right sender where it is bound, and with 1 when not. */
export function explainCommand(tokens: Command): void {
  addAdminCommand(tokens, {
    name: 'explain',
    description: 'say why the proxy, or another resource, would refuse a token, check by check',
    examples: ['tokens explain "$TOKEN"', 'tokens explain - < token.txt'],
  })
    .argument('<token>', 'the token, or - to read it from standard input')
    .option('--resource <uri>', 'whom the token is shown to; default: the proxy')
    .option(
      '--scope <scopes>',
      'what is needed there; default: what the OCR routes need, elsewhere none',
    )
    .action(async (argument: string, _options, command: Command) => {
      const { json, resource, scope } = optionsSchema.parse(command.opts())
      const token = await readToken(argument)
      const api = await adminApiOf(command)
      const body = present({ token, resource, scope })
      const answer = await api.call({ method: 'POST', path: 'tokens/explain', body })
      const { accepted, checks } = explanationSchema.parse(answer)
      if (json) writeJson(answer)
      else {
        const rows = checks.map(({ check, outcome, detail }) => [check, outcome, detail])
        process.stdout.write(`${formatTable(['CHECK', 'OUTCOME', ''], rows)}\n`)
        const whom = resource ?? 'The proxy'
        process.stdout.write(`${whom} would ${accepted ? 'let it in' : 'refuse it'}.\n`)
      }
      if (!accepted) process.exitCode = EXIT.failed
    })
}

/** `-` is standard input, so that a token need not be on a command line that others can see. */
export async function readToken(argument: string): Promise<string> {
  return argument === '-' ? (await readAll(process.stdin)).trim() : argument
}
