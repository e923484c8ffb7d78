/**
 * The closed table of everything that Gatehouse refuses over HTTP: code → status and title. A code is stable: it is
 * the last part of a problem's `type` and the `error.code` that an OpenAI SDK shows.
 */
export const ERRORS = {
  malformed_request: { status: 400, title: 'Malformed request' },
  invalid_metadata: { status: 400, title: 'The members do not go together' },
  unreadable_image: { status: 400, title: 'The image cannot be read' },
  authentication_required: { status: 401, title: 'Authentication required' },
  invalid_token: { status: 401, title: 'The access token is not accepted' },
  invalid_dpop_proof: { status: 401, title: 'The DPoP proof is not accepted' },
  use_dpop_nonce: { status: 401, title: 'The DPoP proof needs a nonce of ours' },
  insufficient_scope: { status: 403, title: 'The access token lacks a scope' },
  forbidden: { status: 403, title: 'Not allowed' },
  https_required: { status: 403, title: 'HTTPS is required' },
  not_found: { status: 404, title: 'Not found' },
  model_not_found: { status: 404, title: 'No such model' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  already_exists: { status: 409, title: 'It exists already' },
  in_use: { status: 409, title: 'It is in use' },
  too_early: { status: 409, title: 'It is too early' },
  version_conflict: { status: 412, title: 'It was changed meanwhile' },
  content_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'Unsupported media type' },
  expectation_failed: { status: 417, title: 'The expectation cannot be met' },
  idempotency_key_reused: { status: 422, title: 'The key belongs to another request' },
  rate_limited: { status: 429, title: 'Too many requests' },
  header_fields_too_large: { status: 431, title: 'The request headers are too large' },
  internal_error: { status: 500, title: 'Internal error' },
  upstream_unreachable: { status: 502, title: 'The model server cannot be reached' },
  temporarily_unavailable: { status: 503, title: 'Temporarily unavailable' },
  upstream_timeout: { status: 504, title: 'The model server did not answer in time' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof ERRORS

export type AppErrorOptions = {
  /** What the log says and the caller does not see: names a rule, never a token, secret or document. */
  reason?: string
  cause?: unknown
  /** Extra response headers, such as `Allow` or `Retry-After`. */
  headers?: Readonly<Record<string, string>>
}

/** A refusal that is meant to be: its code is in the table, its message may be shown to the caller. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly reason: string
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, detail: string, options: AppErrorOptions = {}) {
    super(detail, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.reason = options.reason ?? code
    this.headers = options.headers ?? {}
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/**
 * A caller who is not let in, for what the token or the DPoP proof lacks. The proxy adds the challenges of RFC 6750 §3
 * and RFC 9449 §7.1, with `requiredScope` where one is missing.
 */
export class AuthError extends AppError {
  readonly requiredScope: string | undefined

  constructor(
    code:
      | 'authentication_required'
      | 'invalid_token'
      | 'invalid_dpop_proof'
      | 'use_dpop_nonce'
      | 'insufficient_scope',
    detail: string,
    options: AppErrorOptions & { requiredScope?: string } = {},
  ) {
    super(code, detail, options)
    this.name = 'AuthError'
    this.requiredScope = options.requiredScope
  }
}

/** What the operator has to change before anything can start: every problem at once, each naming its setting or file. */
export class ConfigError extends Error {
  readonly problems: readonly string[]
  readonly hint: string | undefined

  constructor(problems: readonly string[], hint?: string) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
    this.hint = hint
  }
}

/** Translates whatever was thrown into a refusal; what is not an AppError is a bug and becomes an opaque 500. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  return new AppError('internal_error', 'Something went wrong on our side.', { cause: error })
}
