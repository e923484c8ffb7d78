import { isSpent, type Revocation } from './revocation.ts'

/** What of a token an entry of the log can speak of; `issuedAt` in seconds since the epoch. */
export type RevocableToken = {
  readonly jti: string
  readonly clientId: string
  readonly subject: string
  readonly tenantId: string
  readonly kid: string
  readonly issuedAt: number
}

/** The log as it is asked about: at times that the caller gives, in seconds since the epoch. */
export type RevocationView = {
  add: (entry: Revocation, now: number) => void
  isRevoked: (token: RevocableToken, now: number) => boolean
  /** Gives the memory of spent entries back; a check never sees them, forgotten or not. */
  forgetSpent: (now: number) => void
  size: () => number
}

type Verdict = { issuedBefore: number; exp: number }
type Verdicts = Map<string, Verdict>

/**
 * Answers in constant time whether a token is revoked, however many entries there are: a look at each kind. Of several
 * entries about the same value the widest counts, and lasts as long as the longest.
 */
export function createRevocationView(): RevocationView {
  const byKind: Readonly<Record<Revocation['kind'], Verdicts>> = {
    jti: new Map(),
    client: new Map(),
    sub: new Map(),
    tenant: new Map(),
    kid: new Map(),
  }
  /** Which values end in which minute, so that forgetting looks at what has ended and at nothing else. */
  const endings = new Map<number, { verdicts: Verdicts; value: string }[]>()

  const isVoid = (verdict: Verdict | undefined, issuedAt: number, now: number): boolean =>
    verdict !== undefined && issuedAt <= verdict.issuedBefore && !isSpent(verdict, now)

  return {
    add(entry, now) {
      if (isSpent(entry, now)) return
      const { kind, value, issued_before: issuedBefore = Infinity, exp } = entry
      const verdicts = byKind[kind]
      const before = verdicts.get(value)
      const known = before !== undefined && !isSpent(before, now) ? before : undefined
      const verdict = {
        issuedBefore: Math.max(issuedBefore, known?.issuedBefore ?? -Infinity),
        exp: Math.max(exp, known?.exp ?? -Infinity),
      }
      verdicts.set(value, verdict)
      const minute = minuteOf(verdict.exp)
      if (before !== undefined && minuteOf(before.exp) === minute) return
      const ending = endings.get(minute)
      if (ending === undefined) endings.set(minute, [{ verdicts, value }])
      else ending.push({ verdicts, value })
    },

    isRevoked(token, now) {
      // NumericDate may have a fraction (RFC 7519 §2); entries speak of whole seconds.
      const issuedAt = Math.floor(token.issuedAt)
      return (
        isVoid(byKind.jti.get(token.jti), issuedAt, now) ||
        isVoid(byKind.client.get(token.clientId), issuedAt, now) ||
        isVoid(byKind.sub.get(token.subject), issuedAt, now) ||
        isVoid(byKind.tenant.get(token.tenantId), issuedAt, now) ||
        isVoid(byKind.kid.get(token.kid), issuedAt, now)
      )
    },

    forgetSpent(now) {
      for (const [minute, ended] of endings) {
        if (!isSpent({ exp: (minute + 1) * 60 }, now)) continue
        endings.delete(minute)
        for (const { verdicts, value } of ended) {
          const verdict = verdicts.get(value)
          // A later entry may have prolonged it: then it stands under another minute as well.
          if (verdict !== undefined && isSpent(verdict, now)) verdicts.delete(value)
        }
      }
    },

    size: () => Object.values(byKind).reduce((sum, verdicts) => sum + verdicts.size, 0),
  }
}

const minuteOf = (exp: number): number => Math.floor(exp / 60)
