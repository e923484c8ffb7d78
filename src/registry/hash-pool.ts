import { hash, verify } from 'argon2'
import { availableParallelism } from 'node:os'
import { AppError } from '../kernel/errors.ts'

/** OWASP's minimum for argon2id (the package's default type): 19 MiB, two passes, one lane. About 20 ms of CPU. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** Is nobody's: the work on it takes as long as that on any other. */
const NOBODYS_HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`

export type HashPool = {
  /** An argon2id hash in PHC string format. */
  hash: (text: string) => Promise<string>
  /** Whether the hash is the text's; without a hash the same work for a no. */
  verify: (hash: string | undefined, text: string) => Promise<boolean>
}

export type WatchedHashPool = HashPool & { load: () => HashPoolLoad }

/** What is going on now, how much can at once, and how many verifications found no place in the line. */
export type HashPoolLoad = {
  running: number
  waiting: number
  concurrency: number
  refused: number
}

/**
 * argon2 for at most `concurrency` at once (a quarter of the cores), so that the others stay free for signing. Up to
 * `maxWaiting` verifications wait in line: AppError `temporarily_unavailable` with `Retry-After` for the next one. New
 * hashes, which only operators ask for, wait behind them for as long as it takes.
 */
export function createHashPool({
  concurrency = Math.ceil(availableParallelism() / 4),
  maxWaiting = 64,
} = {}): WatchedHashPool {
  const verifications: (() => void)[] = []
  const hashes: (() => void)[] = []
  let running = 0
  let refused = 0

  const inTurn = async <T>(line: (() => void)[], work: () => Promise<T>): Promise<T> => {
    if (running < concurrency) running += 1
    else await new Promise<void>((resolve) => line.push(resolve))
    try {
      return await work()
    } finally {
      const next = verifications.shift() ?? hashes.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }

  return {
    hash: (text) => inTurn(hashes, () => hash(text, ARGON2ID)),
    verify: async (candidate, text) => {
      if (verifications.length >= maxWaiting) {
        refused += 1
        throw busy()
      }
      return inTurn(verifications, async () => {
        const isMatch = await verify(candidate ?? NOBODYS_HASH, text)
        return isMatch && candidate !== undefined
      })
    },
    load: () => ({
      running,
      waiting: verifications.length + hashes.length,
      concurrency,
      refused,
    }),
  }
}

function busy(): AppError {
  return new AppError('temporarily_unavailable', 'Too many sign in at the same time.', {
    reason: 'hash_pool_full',
    headers: { 'retry-after': '1' },
  })
}
