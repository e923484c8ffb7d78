import { cacheCompiledCode } from './compile-cache.ts'

cacheCompiledCode()
const { runWorker } = await import('./worker.ts')
runWorker()
