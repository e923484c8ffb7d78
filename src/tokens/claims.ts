import { isObject } from '../kernel/is-object.ts'
import { invalidToken } from './rules.ts'

/** Requests per minute, concurrent requests, requests and model tokens per UTC day. */
const LIMITS = ['rpm', 'concurrency', 'daily_requests', 'daily_tokens'] as const
const LIMITED = ['subject', 'client', 'tenant'] as const

type LimitSet = { [limit in (typeof LIMITS)[number]]?: number | undefined }

/** The `limits` claim: what the subject, its client and its tenant may use, and the tenant's share of the queue. */
export type LimitsClaim = { [whom in (typeof LIMITED)[number]]?: LimitSet | undefined } & {
  weight?: number | undefined
}

/** What a sender-constrained token is bound to (RFC 7800 §3.1, RFC 8705 §3.1, RFC 9449 §6.1). */
export type Confirmation = { jkt?: string | undefined; 'x5t#S256'?: string | undefined }

/** RFC 9068 §2.2 with our own `tenant_id` and `limits`. Times are in seconds since the epoch. */
export type Claims = {
  iss: string
  aud: readonly string[]
  sub: string
  client_id: string
  jti: string
  iat: number
  nbf: number | undefined
  exp: number
  /** A missing one grants nothing rather than being an error. */
  scope: string
  tenant_id: string
  limits: LimitsClaim
  cnf: Confirmation | undefined
}

/** The tenant of whoever's token names none. */
const DEFAULT_TENANT = 'default'

/** In the year 9999: what is beyond is a mistake or an attack. */
const LAST_DATE = 253_402_300_799

type Members = Readonly<Record<string, unknown>>

/**
 * Claims as they must be at least, with whatever else `limits` and `cnf` hold; an AuthError `invalid_token` names the first that
 * is not. Spelt out: where no code may be generated, a schema took a third as long as the RSA signature, and looking each claim up by a
 * name that is passed on took a twelfth (bench/verification.ts).
 */
export function parseClaims(payload: Members): Claims {
  return {
    iss: required('iss', payload['iss'], isText),
    aud: listOf(required('aud', payload['aud'], isAudience)),
    sub: required('sub', payload['sub'], isName),
    client_id: required('client_id', payload['client_id'], isName),
    jti: required('jti', payload['jti'], isName),
    iat: required('iat', payload['iat'], isDate),
    nbf: optional('nbf', payload['nbf'], isDate),
    exp: required('exp', payload['exp'], isDate),
    scope: optional('scope', payload['scope'], isText) ?? '',
    tenant_id: optional('tenant_id', payload['tenant_id'], isName) ?? DEFAULT_TENANT,
    limits: optional('limits', payload['limits'], isLimits) ?? {},
    cnf: optional('cnf', payload['cnf'], isConfirmation),
  }
}

const listOf = (audience: string | string[]): string[] => (isText(audience) ? [audience] : audience)

type Is<Value> = (value: unknown) => value is Value

function required<Value>(name: string, value: unknown, is: Is<Value>): Value {
  if (is(value)) return value
  throw invalidToken(`The claim ${name} is missing or not valid.`, `claim_${name}`)
}

const optional = <Value>(name: string, value: unknown, is: Is<Value>): Value | undefined =>
  value === undefined ? undefined : required(name, value, is)

const isText: Is<string> = (value) => typeof value === 'string'
const isName: Is<string> = (value): value is string => isText(value) && value !== ''
const isDate: Is<number> = (value): value is number =>
  typeof value === 'number' && value >= 0 && value <= LAST_DATE
const isAudience: Is<string | string[]> = (value) =>
  isText(value) || (Array.isArray(value) && value.every(isText))

/** Whether a member is as it must be, or is not there. */
const may = (value: unknown, is: (value: unknown) => boolean): boolean =>
  value === undefined || is(value)
const isCount = (value: unknown): boolean => isPositive(value) && Number.isSafeInteger(value)
const isPositive = (value: unknown): boolean =>
  typeof value === 'number' && value > 0 && value < Infinity

const isLimits: Is<LimitsClaim> = (value): value is LimitsClaim =>
  isObject(value) &&
  LIMITED.every((whom) => may(value[whom], isLimitSet)) &&
  may(value['weight'], isPositive)
const isLimitSet = (value: unknown): boolean =>
  isObject(value) && LIMITS.every((name) => may(value[name], isCount))

const isConfirmation: Is<Confirmation> = (value): value is Confirmation =>
  isObject(value) && may(value['jkt'], isText) && may(value['x5t#S256'], isText)
