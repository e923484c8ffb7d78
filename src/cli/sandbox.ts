import { mkdirSync, realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '../config/schema.ts'
import { SANDBOX_CACHE } from './compile-cache.ts'
import type { LoadedConfig } from './settings-of.ts'

/** Who can do with no more than its own files and the network. */
export type SandboxedRole = 'issuer' | 'proxy'

/** What every program of ours does without, as the scripts in package.json say, too. */
const WITHOUT_DYNAMIC_CODE = [
  '--disable-proto=delete',
  '--disallow-code-generation-from-strings',
  '--disable-sigusr1',
]
/** Node says at each start that addons, child processes and what is experimental are to be thought about. */
const SILENCED = ['PERM0001', 'PERM0002', 'ExperimentalWarning'].map(
  (warning) => `--disable-warning=${warning}`,
)
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url))
/** Where prom-client reads what the process uses. Not all of `/proc/self`: its `root` leads to every file that there is. */
const PROCESS_FIGURES = ['status', 'limits', 'fd'].map((name) => `/proc/self/${name}`)
/** Where argon2 looks which C library there is. */
const ALPINE_RELEASE = '/etc/alpine-release'

/**
 * Becomes the same process anew, under Node's permission model, where that is wanted and holds: what serves then reads and
 * writes nothing but its own files, starts no program and loads no inspector. Returns where there is nothing to do.
 */
export function enterSandbox(role: SandboxedRole, { config, files }: LoadedConfig): void {
  if (process.permission !== undefined || !isSandboxable(role, config)) return
  // A folder that is not there yet could not be told from a file.
  for (const folder of foldersOf(role, config)) makeFolder(folder)
  const flags = sandboxFlags(role, config, files)
  const own = process.execArgv.filter((flag) => !flags.includes(flag))
  process.execve?.(process.execPath, [process.execPath, ...own, ...flags, ...process.argv.slice(1)])
}

/**
 * The permission model takes fsync away. Where the keys and the store are files on this disk, that is worth more; and a
 * token's PKCS#11 library does what it likes.
 */
export function isSandboxable(role: SandboxedRole, config: Config): boolean {
  if (!config.sandbox || process.execve === undefined) return false
  return role === 'proxy' || (config.redis.url !== undefined && config.keys.pkcs11 === undefined)
}

/** The flags of Node for a role; `files` are those that the configuration was read from. */
export function sandboxFlags(
  role: SandboxedRole,
  config: Config,
  files: readonly string[],
): string[] {
  const folders = foldersOf(role, config)
  const reads = [
    ...ownCode(),
    ...PROCESS_FIGURES,
    ...folders,
    ...[...files, ...filesNamedIn(config)].map((path) => resolve(path)),
    ...(role === 'issuer' ? [ALPINE_RELEASE] : []),
  ]
  return [
    ...WITHOUT_DYNAMIC_CODE,
    ...SILENCED,
    '--permission',
    '--allow-net',
    ...[...new Set(reads)].map((path) => `--allow-fs-read=${path}`),
    ...folders.map((path) => `--allow-fs-write=${path}`),
    ...(role === 'issuer' ? ['--allow-addons'] : []),
    ...(role === 'proxy' && config.proxy.workers > 1 ? [FOR_WORKERS] : []),
  ]
}

const FOR_WORKERS = '--allow-child-process'

/** The flags of a worker, which starts nobody itself. */
export const workerFlags = (): string[] => process.execArgv.filter((flag) => flag !== FOR_WORKERS)

/** `node_modules` may be a link to where the packages really are. */
function ownCode(): string[] {
  const parts = ['package.json', 'src', 'node_modules'].map((name) => resolve(PACKAGE, name))
  return [...parts, ...parts.map((path) => realpathSync(path))]
}

function foldersOf(role: SandboxedRole, { dataDir, keys }: Config): string[] {
  const folders = [dataDir, ...(role === 'issuer' ? [keys.dir] : []), SANDBOX_CACHE]
  return folders.map((path) => resolve(path))
}

/** One that cannot be made is missed by whoever needs it, who says so better. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch {}
}

/** Whatever setting names a file: certificates, keys, authorities. A folder is no file. */
function filesNamedIn(value: unknown): string[] {
  if (typeof value === 'string') return isFile(value) ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(filesNamedIn)
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}
