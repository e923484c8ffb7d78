import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url))

/** Compiled code of what runs in the sandbox: its own, as whoever writes there decides what runs at the next start. */
export const SANDBOX_CACHE = `${CACHE}gatehouse-sandbox`

/** What is imported from now on comes out of a cache from the second start on. */
export function cacheCompiledCode(): void {
  enableCompileCache(process.permission === undefined ? `${CACHE}gatehouse` : SANDBOX_CACHE)
}
