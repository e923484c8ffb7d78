import { AppError } from '../kernel/errors.ts'

export type PageQueue = {
  /**
   * Runs the work when its turn comes, unless the signal aborts first: then it fails with the signal's reason.
   * `temporarily_unavailable` at once when too many wait.
   */
  run: <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>
}

/** One page at a time, in the order of arrival; the engine uses a whole core for each. */
export function createPageQueue(maxWaiting: number): PageQueue {
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()

  return {
    async run(work, signal) {
      if (waiting >= maxWaiting) {
        throw new AppError('temporarily_unavailable', 'Too many images are waiting.', {
          reason: 'queue_full',
          headers: { 'retry-after': String(waiting * 2) },
        })
      }
      waiting += 1
      const turn = last.then(async () => {
        waiting -= 1
        signal.throwIfAborted()
        return work()
      })
      last = turn.catch(() => undefined)
      return turn
    },
  }
}
