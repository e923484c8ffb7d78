import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createRequire } from 'node:module'
import type * as Yaml from 'yaml'
import { z } from 'zod'
import { findConflicts } from './conflicts.ts'
import { findOddities } from './oddities.ts'
import { configSchema, type Config } from './schema.ts'
import { listSettings, parseSettingText, type Setting } from './settings.ts'

export type LoadOptions = {
  /** The YAML file, else `GATEHOUSE_CONFIG`, else none. */
  file?: string | undefined
  /** `SETTING=VALUE`, as given to `--set`. */
  set?: readonly string[] | undefined
  env?: Readonly<Record<string, string | undefined>>
}

export type LoadResult =
  | {
      config: Config
      warnings: string[]
      given: ReadonlySet<string>
      /** Those that it was read from, secrets in files included. */
      files: string[]
      problems?: never
    }
  | { problems: string[]; config?: never }

/** Names that start with GATEHOUSE_ and are no settings: they tell the command line where things are. */
const ADMIN_URL = 'GATEHOUSE_ADMIN_URL'
const ADMIN_KEY_FILE = 'GATEHOUSE_ADMIN_KEY_FILE'
const NOT_SETTINGS = new Set(['GATEHOUSE_CONFIG', ADMIN_URL, ADMIN_KEY_FILE])

/** Where the environment says that the admin API and the operators' key are. */
export function readAdminPlaces(env: Readonly<Record<string, string | undefined>> = process.env) {
  return { url: nonEmpty(env[ADMIN_URL]), keyFile: nonEmpty(env[ADMIN_KEY_FILE]) }
}

/** Where the programs of this user keep what they know (XDG Base Directory; a relative path does not count there). */
export function readConfigHome(env: Readonly<Record<string, string | undefined>> = process.env) {
  const configured = env['XDG_CONFIG_HOME']
  return configured?.startsWith('/') === true ? configured : join(homedir(), '.config')
}

/**
 * Merges file < environment < flags and checks the whole: either a configuration or every problem found.
 * `given` names the settings that somebody gave. Changes nothing and never quotes a secret.
 */
export function loadConfig(options: LoadOptions = {}): LoadResult {
  const env = options.env ?? process.env
  const problems: string[] = []
  const settings = listSettings()
  const path = options.file ?? nonEmpty(env['GATEHOUSE_CONFIG'])
  const file = readConfigFile(path, problems)
  const { values: fromEnv, warnings, secretFiles } = readEnvironment(settings, env, problems)
  const fromFlags = readFlags(settings, options.set ?? [], problems)

  const merged = structuredClone(file)
  for (const [path, value] of [...fromEnv, ...fromFlags]) assign(merged, path, value)

  const parsed = configSchema.safeParse(merged)
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap(describeIssue))
  const whole = parsed.data ?? parseWithout(merged, parsed.error?.issues ?? [])
  if (whole !== undefined) problems.push(...findConflicts(whole))
  if (problems.length > 0 || parsed.data === undefined) return { problems }

  const given = new Set(settings.map(({ path }) => path).filter((path) => isGiven(merged, path)))
  return {
    config: parsed.data,
    warnings: [...warnings, ...findOddities(parsed.data)],
    given,
    files: [...(path === undefined ? [] : [path]), ...secretFiles],
  }
}

/** The configuration with defaults in the place of what is wrong, so that conflicts among the rest show as well. */
function parseWithout(merged: Tree, issues: readonly z.core.$ZodIssue[]): Config | undefined {
  const rest = structuredClone(merged)
  for (const issue of issues) {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : ['']
    for (const key of keys) remove(rest, [...issue.path.map(String), ...(key === '' ? [] : [key])])
  }
  return configSchema.safeParse(rest).data
}

function remove(tree: Tree, [head = '', ...rest]: readonly string[]): void {
  const child = tree[head]
  if (rest.length > 0 && isTree(child)) remove(child, rest)
  else delete tree[head]
}

type Tree = Record<string, unknown>
const treeSchema = z.record(z.string(), z.unknown())
const isTree = (value: unknown): value is Tree => treeSchema.safeParse(value).success

/** Only where there is a file: a command without one starts a fifth sooner. */
const yaml = (): typeof Yaml => createRequire(import.meta.url)('yaml')

function readConfigFile(path: string | undefined, problems: string[]): Tree {
  if (path === undefined) return {}
  try {
    const content: unknown = yaml().parse(readFileSync(path, 'utf8'), { logLevel: 'error' }) ?? {}
    if (isTree(content)) return content
    problems.push(`${path}: must be a mapping of settings`)
  } catch (error) {
    problems.push(`${path}: ${describeFileError(error)}`)
  }
  return {}
}

function describeFileError(error: unknown): string {
  if (error instanceof yaml().YAMLParseError) {
    const at = error.linePos?.[0]
    return `not valid YAML${at === undefined ? '' : ` (line ${at.line}, column ${at.col})`}`
  }
  return error instanceof Error && 'code' in error
    ? `cannot be read (${String(error.code)})`
    : 'cannot be read'
}

function readEnvironment(
  settings: readonly Setting[],
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): { values: Map<string, unknown>; warnings: string[]; secretFiles: string[] } {
  const values = new Map<string, unknown>()
  const known = new Set(NOT_SETTINGS)
  const secretFiles: string[] = []
  for (const setting of settings) {
    known.add(setting.envName)
    const text = nonEmpty(env[setting.envName])
    if (text !== undefined) values.set(setting.path, parseSettingText(setting, text))
    if (!setting.isSecret) continue
    const fileName = `${setting.envName}_FILE`
    known.add(fileName)
    const secretFile = nonEmpty(env[fileName])
    if (secretFile === undefined) continue
    secretFiles.push(secretFile)
    if (text !== undefined) problems.push(`${setting.envName} and ${fileName} are both set`)
    try {
      values.set(setting.path, readFileSync(secretFile, 'utf8').trim())
    } catch (error) {
      problems.push(`${fileName}: ${describeFileError(error)}`)
    }
  }
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith('GATEHOUSE_') && !known.has(name))
    .map((name) => `${name} in the environment is not a setting${suggestion(name, known)}`)
  return { values, warnings, secretFiles }
}

/** The usual slip is one underscore for two, or two for one. */
function suggestion(name: string, known: ReadonlySet<string>): string {
  const flat = name.replaceAll('__', '_')
  const meant = [...known].find((candidate) => candidate.replaceAll('__', '_') === flat)
  return meant === undefined ? '' : `: did you mean ${meant}?`
}

function readFlags(
  settings: readonly Setting[],
  assignments: readonly string[],
  problems: string[],
): Map<string, unknown> {
  const values = new Map<string, unknown>()
  for (const assignment of assignments) {
    const [path = '', ...rest] = assignment.split('=')
    const setting = settings.find((candidate) => candidate.path === path)
    if (setting === undefined) problems.push(`--set ${path}: unknown setting`)
    else if (rest.length === 0) problems.push(`--set ${path}: must be SETTING=VALUE`)
    else values.set(path, parseSettingText(setting, rest.join('=')))
  }
  return values
}

function assign(tree: Tree, path: string, value: unknown): void {
  const [section = '', ...rest] = path.split('.')
  if (rest.length === 0) {
    tree[section] = value
    return
  }
  const branch = (tree[section] ??= {})
  // What stands in the place of a section is left there, for the schema to find.
  if (isTree(branch)) assign(branch, rest.join('.'), value)
}

function isGiven(tree: unknown, path: string): boolean {
  let node = tree
  for (const key of path.split('.')) {
    if (!isTree(node) || !(key in node)) return false
    node = node[key]
  }
  return node !== undefined
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${[...issue.path, key].join('.')}: unknown setting`)
  }
  return [`${path === '' ? 'configuration' : path}: ${issue.message}`]
}

const nonEmpty = (text: string | undefined): string | undefined => (text === '' ? undefined : text)
