import { enableCompileCache } from 'node:module'

enableCompileCache()
// Imported only now, so that what it imports comes out of the cache from the second start on.
const { run } = await import('./program.ts')
await run()
