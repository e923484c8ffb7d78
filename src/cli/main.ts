import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/gatehouse', import.meta.url)))
// Imported only now, so that what it imports comes out of the cache from the second start on.
const { run } = await import('./program.ts')
await run()
