import { readFile } from 'node:fs/promises'
import type { z } from 'zod'
import { CliError, EXIT } from './cli-error.ts'

/** What was given on the command line; what was not is left out, so that the server decides. */
export function present(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))
}

/** Finds before the server is asked what is not valid: a usage error that names the member. */
export function requireValid(schema: z.ZodType, body: object): object {
  const issue = schema.safeParse(body).error?.issues[0]
  if (issue === undefined) return body
  throw usage(`${issue.path.join('.') || 'request'}: ${issue.message}`)
}

/** The same for what changes an object: to change nothing is a mistake of whoever types. */
export function requireChange(schema: z.ZodType, body: object): object {
  if (Object.keys(body).length === 0) throw usage('nothing to change (--help has the flags)')
  return requireValid(schema, body)
}

/** `none` takes an optional member away: null, as the admin API wants it. */
export const orNone = (value: string | undefined): string | null | undefined =>
  value === 'none' ? null : value

/** `rpm=60,concurrency=4`, with a dot for a member of a member; `none` takes limits away. */
export function parseLimits(text: string): object | null {
  if (text === 'none') return null
  const limits: Record<string, unknown> = {}
  for (const part of text.split(',')) {
    const [name = '', value = ''] = part.split('=')
    const [set = '', member] = name.split('.')
    limits[set] =
      member === undefined
        ? toNumber(value)
        : { ...branchOf(limits[set]), [member]: toNumber(value) }
  }
  return limits
}

const branchOf = (value: unknown): object =>
  typeof value === 'object' && value !== null ? value : {}
const toNumber = (text: string): number => (text.trim() === '' ? Number.NaN : Number(text))

const GRANT_URNS: Readonly<Record<string, string>> = {
  device_code: 'urn:ietf:params:oauth:grant-type:device_code',
}

/** Grants by their short names, as the URNs of the RFCs where they have one. */
export const parseGrants = (text: string): string[] =>
  text.split(',').map((grant) => GRANT_URNS[grant] ?? grant)

/** The JSON of a file that a flag names. */
export async function readJsonFile(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CliError(`${path} cannot be read`, { cause })
  })
  try {
    return JSON.parse(text)
  } catch {
    throw usage(`${path} is not JSON`)
  }
}

export const usage = (message: string): CliError => new CliError(message, { exitCode: EXIT.usage })
