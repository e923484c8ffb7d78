import { readFileSync } from 'node:fs'
import { z } from 'zod'

const NODE_MODULES = 'node_modules/'

const lockedPackage = z.object({
  name: z.string().optional(),
  version: z.string(),
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  license: z.string().optional(),
  link: z.boolean().optional(),
  dev: z.boolean().optional(),
  hasInstallScript: z.boolean().optional(),
  deprecated: z.string().optional(),
})

const lockfile = z.object({
  lockfileVersion: z.literal(3),
  packages: z.record(z.string(), z.unknown()),
})

export type LockedPackage = z.infer<typeof lockedPackage> & { path: string; name: string }

/** Every package of package-lock.json but ours. What is not `dev` is installed in production. */
export function readLockfile(text = readOwn('package-lock.json')): LockedPackage[] {
  const { packages } = lockfile.parse(JSON.parse(text))
  return Object.entries(packages).flatMap(([path, entry]) => {
    if (path === '') return []
    const locked = lockedPackage.parse(entry)
    const nameInPath = path.slice(path.lastIndexOf(NODE_MODULES) + NODE_MODULES.length)
    return [{ ...locked, path, name: locked.name ?? nameInPath }]
  })
}

/** Whose install scripts may run: `allowScripts` of package.json, which npm obeys. */
export function readAllowedScripts(): Record<string, boolean> {
  const own = z.object({ allowScripts: z.record(z.string(), z.boolean()) })
  return own.parse(JSON.parse(readOwn('package.json'))).allowScripts
}

function readOwn(name: string): string {
  return readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
}
