/** So many bytes of bodies may pass before what is left of them in memory is collected. */
const COLLECT_EVERY_BYTES = 4_000_000

/**
 * Counts what passes of streamed bodies, and collects the young garbage every few megabytes. Left alone, V8 lets 30 MB
 * of spent buffers gather and then marks the whole heap: half of an upload's CPU time (bench/README.md, uploads).
 */
export function createSpentChunks(collectYoungGarbage: () => void): (bytes: number) => void {
  let spentBytes = 0
  return (bytes) => {
    spentBytes += bytes
    if (spentBytes < COLLECT_EVERY_BYTES) return
    spentBytes = 0
    collectYoungGarbage()
  }
}
