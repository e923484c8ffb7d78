import {
  LIMIT_NAMES,
  type Accounts,
  type Balance,
  type LimitName,
  type Standing,
} from '../store/counters.ts'

/** What becomes of a limit that cannot be counted with the other proxies: counted alone, its callers refused, or not held. */
export type OutageMode = 'local' | 'refuse' | 'continue'

/** `onFailureOf` is for single limits, `onFailure` for the others. */
export type OutageModes = {
  onFailure: OutageMode
  onFailureOf?: { [name in LimitName]?: OutageMode | undefined } | undefined
}

/** Which limits are in this mode. */
export function limitsIn(mode: OutageMode, { onFailure, onFailureOf }: OutageModes): LimitName[] {
  return LIMIT_NAMES.filter((name) => (onFailureOf?.[name] ?? onFailure) === mode)
}

export const limitsAny = ({ accounts }: Accounts, names: readonly LimitName[]): boolean =>
  accounts.some(({ quota }) => names.some((name) => quota[name] !== undefined))

/** The same accounts, in which these limits are counted but never reached. */
export function withoutBounds(of: Accounts, names: readonly LimitName[]): Accounts {
  if (!limitsAny(of, names)) return of
  const accounts = of.accounts.map(({ id, quota }) => {
    const unbounded = names.filter((name) => quota[name] !== undefined)
    return { id, quota: { ...quota, ...Object.fromEntries(unbounded.map(toInfinity)) } }
  })
  return { ...of, accounts }
}

const toInfinity = (name: LimitName): [LimitName, number] => [name, Infinity]

const UNUSED: Record<LimitName, Partial<Balance>> = {
  rpm: { minuteRequests: 0 },
  concurrency: { running: 0 },
  daily_requests: { dayRequests: 0 },
  daily_tokens: { dayTokens: 0, reservedTokens: 0 },
}

/** The same standing as if nothing of these limits were used, so that none of them is taken for what refuses. */
export function withoutUse<Known extends Standing>(
  standing: Known,
  names: readonly LimitName[],
): Known {
  const unused = names.reduce((all, name) => ({ ...all, ...UNUSED[name] }), {})
  return { ...standing, balances: standing.balances.map((each) => ({ ...each, ...unused })) }
}

/** `local, daily_tokens refuse` */
export function describeModes({ onFailure, onFailureOf = {} }: OutageModes): string {
  const others = LIMIT_NAMES.filter((name) => (onFailureOf[name] ?? onFailure) !== onFailure)
  return [onFailure, ...others.map((name) => `${name} ${onFailureOf[name]}`)].join(', ')
}
