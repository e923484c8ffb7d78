import { AppError } from '../kernel/errors.ts'

export type ReadingQueue = {
  /** AppError `temporarily_unavailable` when the next one would have no place to wait. */
  requireRoom: () => void
  /**
   * Runs the task when all earlier ones are done, one at a time, first come, first served. Rejects as the task does;
   * with the signal's reason when it is aborted while waiting, which frees the place; and when there is no room.
   */
  run: <T>(task: () => Promise<T>, signal: AbortSignal) => Promise<T>
}

const RETRY_AFTER_SECONDS = '5'

export function createReadingQueue(maxWaiting: number): ReadingQueue {
  const waiting: (() => void)[] = []
  let isBusy = false

  const requireRoom = (): void => {
    if (waiting.length < maxWaiting) return
    throw new AppError(
      'temporarily_unavailable',
      `The engine reads one page at a time and ${maxWaiting} are waiting already. Try again later.`,
      { reason: 'queue_full', headers: { 'retry-after': RETRY_AFTER_SECONDS } },
    )
  }
  const waitForTurn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        waiting.splice(waiting.indexOf(start), 1)
        reject(signal.reason)
      }
      waiting.push(start)
      signal.addEventListener('abort', leave, { once: true })
    })
  const startNext = (): void => {
    const start = waiting.shift()
    if (start) start()
    else isBusy = false
  }

  return {
    requireRoom,
    run: async (task, signal) => {
      requireRoom()
      signal.throwIfAborted()
      if (isBusy) await waitForTurn(signal)
      isBusy = true
      try {
        return await task()
      } finally {
        startNext()
      }
    },
  }
}
