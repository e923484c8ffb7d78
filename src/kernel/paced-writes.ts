export type PacedWrites = {
  /** Something has changed. */
  request: () => void
  /** Writes what was asked for and not written yet; nothing is written after it. */
  close: () => Promise<void>
}

export type PacedWritesOptions = {
  /** Between the end of one write and the next. A slow write earns a longer pause: at most a tenth of the time is spent. */
  pauseMs: number
  /** Told of each failure; the next request tries again. */
  onFailure: (error: unknown) => void
}

/** Calls `write` at once for a first change, never twice at a time, and once for all that change meanwhile. */
export function createPacedWrites(
  write: () => Promise<void>,
  { pauseMs, onFailure }: PacedWritesOptions,
): PacedWrites {
  let isAsked = false
  let isClosed = false
  let running: Promise<void> | undefined
  let resting: NodeJS.Timeout | undefined

  async function run(): Promise<void> {
    isAsked = false
    const startedAtMs = performance.now()
    await write().catch(onFailure)
    running = undefined
    const tookMs = performance.now() - startedAtMs
    if (isClosed) return
    resting = setTimeout(wake, Math.max(pauseMs, 9 * tookMs)).unref()
  }

  function wake(): void {
    resting = undefined
    if (isAsked) running = run()
  }

  return {
    request() {
      if (isClosed) return
      isAsked = true
      if (running === undefined && resting === undefined) running = run()
    },
    async close() {
      isClosed = true
      clearTimeout(resting)
      await running
      if (isAsked) await run()
    },
  }
}
