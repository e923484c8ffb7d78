/** By when something has to happen. It is moved for next to nothing: a timer that rings too early looks again later. */
export type Deadline = {
  /** From now. */
  set: (inMs: number) => void
  clear: () => void
}

export function createDeadline(onMissed: () => void): Deadline {
  let atMs = Infinity
  let timer: NodeJS.Timeout | undefined
  let ringsAtMs = Infinity

  function arm(inMs: number): void {
    clearTimeout(timer)
    ringsAtMs = atMs
    timer = setTimeout(ring, inMs)
  }

  function ring(): void {
    timer = undefined
    ringsAtMs = Infinity
    const leftMs = atMs - performance.now()
    if (leftMs <= 0) onMissed()
    else arm(Math.ceil(leftMs))
  }

  return {
    set(inMs) {
      atMs = performance.now() + inMs
      if (atMs < ringsAtMs) arm(inMs)
    },
    clear() {
      atMs = Infinity
      clearTimeout(timer)
      timer = undefined
      ringsAtMs = Infinity
    },
  }
}
