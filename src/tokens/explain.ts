import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError, AuthError } from '../kernel/errors.ts'
import { CLAIM_RULES, toAccessToken, type AccessToken, type ClaimsPolicy } from './access-token.ts'
import { authorize } from './authorize.ts'
import { parseClaims } from './claims.ts'
import { parseCompactJws } from './compact-jws.ts'
import type { KeySource } from './remote-jwks.ts'
import type { Rule } from './rules.ts'
import { requireBearerSender } from './sender.ts'
import { HEADER_RULES, kidOf, requireSignature } from './verify.ts'

/** `depends` is on who sends the token; `skipped` is what an earlier check made pointless. */
export type Check = {
  check: string
  outcome: 'passed' | 'refused' | 'unknown' | 'depends' | 'skipped'
  /** What the log of a proxy would say. */
  reason?: string
  detail?: string
}

export type Explanation = { accepted: boolean; checks: Check[] }

export type ExplainerOptions = {
  keys: KeySource
  /** What is known of a key, for people. */
  describeKey: (kid: string) => string | undefined
  policy: ClaimsPolicy
  /** Throws as the guard of a proxy does. */
  requireNotRevoked: (token: AccessToken) => void
  clock: Clock
}

/**
 * Says what a proxy would find, check by check, with the rules that the verifier itself goes by. `accepted` means that it
 * would let the token in, from its right sender where it is bound. Neither the token nor its signature is in the answer.
 */
export function createTokenExplainer(options: ExplainerOptions) {
  const { keys, describeKey, policy, requireNotRevoked, clock } = options

  return async function explain(rawToken: string, scopes: readonly string[]): Promise<Explanation> {
    const checks: Check[] = []
    const skip = (check: string) => void checks.push({ check, outcome: 'skipped' })

    /** Gives what the step gives, unless it refuses or cannot know. */
    async function look<Found>(
      check: string,
      step: () => Found | Promise<Found>,
      detailOf: (found: Found) => string | undefined = () => undefined,
    ): Promise<Found | undefined> {
      try {
        const found = await step()
        checks.push({ check, outcome: 'passed', ...withDetail(detailOf(found)) })
        return found
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        const outcome = error instanceof AuthError ? 'refused' : 'unknown'
        checks.push({ check, outcome, reason: error.reason, detail: error.message })
        return undefined
      }
    }
    const hold = async <Subject>(rules: readonly Rule<Subject>[], subject: Subject) => {
      for (const { name, refusalOf } of rules) {
        await look(name, () => {
          const refusal = refusalOf(subject)
          if (refusal !== undefined) throw refusal
        })
      }
    }

    const jws = await look('form', () => parseCompactJws(rawToken))
    if (jws === undefined) return { accepted: false, checks }
    await hold(HEADER_RULES, jws.header)
    const kid = await look('key named', () => kidOf(jws.header))
    const key =
      kid === undefined
        ? skip('key known')
        : await look(
            'key known',
            () => keys.find(kid) ?? keys.fetch(kid),
            () => describeKey(kid),
          )
    if (key === undefined) skip('signature')
    else await look('signature', () => requireSignature(jws, key))

    const now = epochSeconds(clock)
    const claims = await look('claims', () => parseClaims(jws.payload))
    if (claims !== undefined) {
      await hold(CLAIM_RULES, { claims, policy, now })
      annotate(checks, 'not expired', describeExpiry(claims.exp - now, policy.clockSkewSeconds))
      annotate(checks, 'valid already', describeAge(now - claims.iat, policy.clockSkewSeconds))
      const token = toAccessToken(kid ?? '', claims)
      checks.push(bindingOf(token))
      await look('not revoked', () => requireNotRevoked(token))
      await look(
        'scope',
        () => authorize(token, scopes),
        () => scopes.join(' ') || 'none needed',
      )
    }
    const fine = new Set<Check['outcome']>(['passed', 'depends'])
    return { accepted: checks.every(({ outcome }) => fine.has(outcome)), checks }
  }
}

/** What the sender has to show (RFC 9449 §7.1, RFC 8705 §3). */
function bindingOf({ confirmation }: AccessToken): Check {
  const check = 'sender'
  const { jkt, 'x5t#S256': thumbprint } = confirmation ?? {}
  if (jkt !== undefined) {
    const detail = 'needs the scheme DPoP, and a proof by the key that the token is bound to'
    return { check, outcome: 'depends', detail }
  }
  if (thumbprint !== undefined) {
    const detail = 'needs a TLS session with the client certificate that the token is bound to'
    return { check, outcome: 'depends', detail }
  }
  try {
    requireBearerSender(confirmation, () => undefined)
    return { check, outcome: 'passed', detail: 'not bound: anybody who has it can use it' }
  } catch (error) {
    if (!(error instanceof AuthError)) throw error
    return { check, outcome: 'refused', reason: error.reason, detail: error.message }
  }
}

function annotate(checks: Check[], name: string, detail: string): void {
  const found = checks.find(({ check }) => check === name)
  if (found !== undefined) found.detail = detail
}

function describeExpiry(leftSeconds: number, skewSeconds: number): string {
  const seconds = Math.round(Math.abs(leftSeconds))
  const when = leftSeconds > 0 ? `expires in ${seconds} s` : `expired ${seconds} s ago`
  return `${when}; the clocks may differ by ${skewSeconds} s`
}

function describeAge(ageSeconds: number, skewSeconds: number): string {
  const seconds = Math.round(Math.abs(ageSeconds))
  const when = ageSeconds >= 0 ? `issued ${seconds} s ago` : `issued ${seconds} s ahead of us`
  return `${when}; the clocks may differ by ${skewSeconds} s`
}

const withDetail = (detail: string | undefined) => (detail === undefined ? {} : { detail })
