import { cacheCompiledCode } from './compile-cache.ts'
import { replaceDepd } from './replace-depd.ts'

cacheCompiledCode()
replaceDepd()
const { run } = await import('./program.ts')
await run()
