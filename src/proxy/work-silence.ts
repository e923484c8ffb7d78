/** How long a model server has had work without giving one byte of an answer: times without work do not count. */
export type WorkSilence = {
  workBegan: () => void
  /** There is none left. */
  workEnded: () => void
  /** A byte has come at that time. */
  end: (nowMs: number) => void
  lastsMs: () => number
}

export function createWorkSilence(now: () => number): WorkSilence {
  let earlierMs = 0
  let sinceMs: number | undefined
  const lastsMs = () => earlierMs + (sinceMs === undefined ? 0 : now() - sinceMs)
  return {
    workBegan() {
      sinceMs ??= now()
    },
    workEnded() {
      earlierMs = lastsMs()
      sinceMs = undefined
    },
    end(nowMs) {
      earlierMs = 0
      if (sinceMs !== undefined) sinceMs = nowMs
    },
    lastsMs,
  }
}
