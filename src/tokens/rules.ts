import { AuthError } from '../kernel/errors.ts'

/** One thing that is asked of a token: gives the refusal where it is not so. */
export type Rule<Subject> = {
  name: string
  refusalOf: (subject: Subject) => AuthError | undefined
}

/** Throws the refusal of the first rule that is not met. */
export function requireAll<Subject>(rules: readonly Rule<Subject>[], subject: Subject): void {
  for (const { refusalOf } of rules) {
    const refusal = refusalOf(subject)
    if (refusal !== undefined) throw refusal
  }
}

export function invalidToken(detail: string, reason: string): AuthError {
  return new AuthError('invalid_token', detail, { reason })
}
