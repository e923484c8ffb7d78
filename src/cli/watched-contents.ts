import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../kernel/errors.ts'
import type { Schedule } from '../kernel/schedule.ts'

/** Nobody has to say that a file was replaced; and who looks at contents sees every way to do it. */
const LOOK_EVERY_MS = 5000

export type WatchedContentsOptions<T> = {
  /** The contents at first. */
  initial: T
  /** Reads them as they are now; a ConfigError when they cannot be read. */
  read: () => T
  /** Asked of others than before: a ConfigError when they cannot be used. */
  check: (contents: T) => void
  /** They are others now. */
  take: (contents: T) => void
  /** They cannot be used, and those before stay: said once for each reason. */
  onRefused: (why: string) => void
  /** Whenever it has looked. */
  onLooked?: () => void
  schedule: Schedule
}

export type WatchedContents<T> = {
  current: () => T
  /** Why what is there now is not used. */
  refused: () => string | undefined
  /** From now on they are looked at, until `stop`. */
  watch: () => void
  /** Takes what somebody else has read. */
  set: (contents: T) => void
  stop: () => void
}

/** What is in some files, kept as they are. */
export function watchContents<T>(options: WatchedContentsOptions<T>): WatchedContents<T> {
  let current = options.initial
  let refused: string | undefined
  let stop = (): void => undefined

  function set(next: T): void {
    refused = undefined
    if (isDeepStrictEqual(next, current)) return
    current = next
    options.take(next)
  }

  function look(): void {
    try {
      const next = options.read()
      if (!isDeepStrictEqual(next, current)) options.check(next)
      set(next)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      const why = error.problems.join('; ')
      if (why !== refused) options.onRefused(why)
      refused = why
    }
  }

  function watch(): void {
    look()
    options.onLooked?.()
    stop = options.schedule(watch, LOOK_EVERY_MS)
  }

  return { current: () => current, refused: () => refused, watch, set, stop: () => stop() }
}
