/** What may be limited, by its name in a token: requests in a minute, at once and in a UTC day, model tokens in a UTC day. */
export const LIMIT_NAMES = ['rpm', 'concurrency', 'daily_requests', 'daily_tokens'] as const
export type LimitName = (typeof LIMIT_NAMES)[number]

/** What one party may use; what is not there is neither limited nor counted. */
export type Quota = { readonly [name in LimitName]?: number | undefined }

/** A party whose use is counted under `id`, which is any text. */
export type Account = { readonly id: string; readonly quota: Quota }

/** Accounts that one request uses. They are of one tenant, whose accounts live together. */
export type Accounts = { readonly tenant: string; readonly accounts: readonly Account[] }

/** What an account has used. */
export type Balance = {
  /** Requests of the last 60 s, and in how many ms the oldest of them no longer counts; 0 when there is none. */
  minuteRequests: number
  minuteFreesInMs: number
  running: number
  dayRequests: number
  dayTokens: number
  /** Of how many requests these tokens are. */
  daySettled: number
  /** What one request took in the mean of the day before; 0 where that is not known. */
  meanBefore: number
  /** What the running requests are expected to take beyond `dayTokens`, where tokens are limited. */
  reservedTokens: number
}

/** The balances stand in the order of the accounts, with the request in them if it was let in. */
export type Standing = { atMs: number; balances: readonly Balance[] }
/** `wasUsed`: what may be used once was used before, so that nothing was counted, and no balance is known. */
export type Entered = Standing & { isLetIn: boolean; wasUsed?: boolean }

/** What may be used once, such as a DPoP proof: an id of its own, and for how long that must be remembered. */
export type SingleUse = { readonly id: string; readonly ttlSeconds: number }

/** How a request ended. `tokens` is undefined where nobody knows what it took. */
export type Leaving = {
  readonly tokens: number | undefined
  /** Whether a model server had it; if not, it does not count against a day. */
  readonly wasServed: boolean
  /** Whether it broke off before `tokens` was all: it is charged no less than was set aside for it. */
  readonly isCut?: boolean
  readonly enteredAtMs: number
  /** Whether it was let in without these counters, so that it counts against its day only now. */
  readonly wasEnteredElsewhere?: boolean
}

/** By how much that changes the requests of the day on which it was let in. */
export function requestsChange({ wasServed, wasEnteredElsewhere = false }: Leaving): number {
  if (wasEnteredElsewhere) return wasServed ? 1 : 0
  return wasServed ? 0 : -1
}

/**
 * Counts requests. Each call takes place as a whole: however many come at once, from however many processes, no account
 * is ever entered beyond its quota. In 60 s, wherever they begin, no more than `rpm` enter: a request counts for 60 s, and
 * up to a second longer when others follow at once.
 * One that may be away fails with AppError `temporarily_unavailable`.
 */
export type Counters<Name = string> = {
  /**
   * Counts a request, which `lease` names, in every account, or in none when one of them has no room. What may be used once
   * is used by it, also where there is no room, and decides first.
   */
  enter: (of: Accounts, lease: Name, use?: SingleUse) => Entered | Promise<Entered>
  /** The same where nothing is to be counted: whether it was unused. */
  useUp: (use: SingleUse, tenant: string) => boolean | Promise<boolean>
  /** To be called for each request that was let in, when it is over. */
  leave: (of: Accounts, lease: Name, how: Leaving) => void | Promise<void>
  read: (of: Accounts) => Standing | Promise<Standing>
}

/** Names a request of this process alone. A number is neither spelt out nor hashed for it. */
export type Lease = string | number

/** Counters that also tell, without asking anybody, what this process knows: where others count as well, there may be more. */
export type RecallingCounters = Counters<Lease> & { recall: (of: Accounts) => Standing }

/** Counters that outlive those who count: a request that is not renewed for a minute has ended with its process. */
export type LeasedCounters = Counters & {
  renew: (of: Accounts, lease: string) => Promise<void>
  /** Fails where nothing can be counted for these accounts just now; counts nothing. */
  probe: (of: Accounts) => Promise<void>
}

/** What a request is expected to take where nothing is known: a scan of A4 at 150 dpi, two thousand to read, and its text. */
export const FIRST_GUESS_TOKENS = 3000

/** The mean of so many requests, rounded up; 0 of none. */
export const meanOf = (tokens: number, settled: number): number =>
  settled === 0 ? 0 : Math.max(1, Math.ceil(tokens / settled))

/** What one request is expected to take. */
export const expectedOf = ({
  tokens,
  settled,
  meanBefore,
}: Record<'tokens' | 'settled' | 'meanBefore', number>): number =>
  meanOf(tokens, settled) || meanBefore || FIRST_GUESS_TOKENS

export const DAY_MS = 86_400_000
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS)

/** How much of one limit is used, without what is only set aside. */
export function usedOf(name: LimitName, balance: Balance): number {
  switch (name) {
    case 'rpm':
      return balance.minuteRequests
    case 'concurrency':
      return balance.running
    case 'daily_requests':
      return balance.dayRequests
    case 'daily_tokens':
      return balance.dayTokens
  }
}

/** Whether a limit leaves no room for one more request: of tokens, what running ones are expected to take counts. */
export function isExhausted(name: LimitName, quota: number, balance: Balance): boolean {
  const reserved = name === 'daily_tokens' ? balance.reservedTokens : 0
  return usedOf(name, balance) + reserved >= quota
}

/** Spelt out: every request asks it of all its accounts. */
export const hasRoom = ({ quota }: Account, balance: Balance): boolean =>
  !isExhausted('rpm', quota.rpm ?? Infinity, balance) &&
  !isExhausted('concurrency', quota.concurrency ?? Infinity, balance) &&
  !isExhausted('daily_requests', quota.daily_requests ?? Infinity, balance) &&
  !isExhausted('daily_tokens', quota.daily_tokens ?? Infinity, balance)

/** Whether a request must be known by name while it runs. */
export const isLeased = ({ quota }: Account): boolean =>
  quota.concurrency !== undefined || quota.daily_tokens !== undefined

/** Whether anything of the account is counted by day. */
export const isDaily = ({ quota }: Account): boolean =>
  quota.daily_requests !== undefined || quota.daily_tokens !== undefined
