import * as fc from 'fast-check'
import { STATUS_CODES } from 'node:http'
import { describe, expect, test } from 'vitest'
import {
  AppError,
  AuthError,
  ConfigError,
  ERRORS,
  toAppError,
  type ErrorCode,
} from '../../src/kernel/errors.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

/** The contract's refusals. A code is public: a change here breaks clients. */
const PUBLISHED: Record<ErrorCode, number> = {
  malformed_request: 400,
  invalid_metadata: 400,
  unreadable_image: 400,
  authentication_required: 401,
  invalid_token: 401,
  invalid_dpop_proof: 401,
  use_dpop_nonce: 401,
  insufficient_scope: 403,
  forbidden: 403,
  https_required: 403,
  not_found: 404,
  model_not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  already_exists: 409,
  in_use: 409,
  too_early: 409,
  version_conflict: 412,
  content_too_large: 413,
  unsupported_media_type: 415,
  expectation_failed: 417,
  idempotency_key_reused: 422,
  rate_limited: 429,
  header_fields_too_large: 431,
  internal_error: 500,
  upstream_unreachable: 502,
  temporarily_unavailable: 503,
  upstream_timeout: 504,
}

describe('the table of errors', () => {
  test('still holds every published code with its status', () => {
    const statuses = Object.fromEntries(CODES.map((code) => [code, ERRORS[code].status]))
    expect(statuses).toMatchObject(PUBLISHED)
  })

  test('has for each code a snake_case name, an error status that HTTP knows and a title', () => {
    for (const code of CODES) {
      const { status, title } = ERRORS[code]
      expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(STATUS_CODES).toHaveProperty(String(status))
      // It goes into status lines: printable ASCII alone.
      expect(title).toMatch(/^[A-Z][\x20-\x7E]+[^.]$/)
    }
  })
})

describe('an AppError', () => {
  test('always has the status of its code, and that code as the reason when no other is given', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODES), fc.string(), (code, detail) => {
        const error = new AppError(code, detail)
        expect(error).toBeInstanceOf(Error)
        expect(error).toMatchObject({ name: 'AppError', code, message: detail, reason: code })
        expect(error.status).toBe(ERRORS[code].status)
        expect(error.headers).toEqual({})
        expect(error.cause).toBeUndefined()
      }),
    )
  })

  test('keeps the reason, the cause and the headers that it is given', () => {
    const cause = new Error('why')
    const headers = { allow: 'GET' }
    const error = new AppError('method_not_allowed', 'No.', { reason: 'r', cause, headers })
    expect(error).toMatchObject({ reason: 'r', cause, headers, message: 'No.' })
  })

  test('that refuses a caller names the scope that is missing', () => {
    const error = new AuthError('insufficient_scope', 'No.', { requiredScope: 'ocr_api_access' })
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ name: 'AuthError', requiredScope: 'ocr_api_access' })
    expect(error.status).toBe(403)
    expect(new AuthError('invalid_token', 'No.').requiredScope).toBeUndefined()
  })
})

describe('a ConfigError', () => {
  test('lists every problem, each on a line of its message', () => {
    const error = new ConfigError(['a: is wrong', 'b: is too'], 'change both')
    expect(error.problems).toEqual(['a: is wrong', 'b: is too'])
    expect(error.message).toBe('a: is wrong\nb: is too')
    expect(error.hint).toBe('change both')
    expect(new ConfigError([]).hint).toBeUndefined()
  })
})

describe('whatever was thrown', () => {
  test('stays itself when it is a refusal', () => {
    for (const refusal of [
      new AppError('not_found', 'Nothing.'),
      new AuthError('invalid_token', 'No.'),
    ]) {
      expect(toAppError(refusal)).toBe(refusal)
    }
  })

  test('always becomes the same opaque 500 when it is a bug, with the bug as its cause', () => {
    const { message } = toAppError(undefined)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string().map((text) => new Error(text)),
          fc.string().map((text) => new ConfigError([text])),
          fc.anything(),
        ),
        (thrown) => {
          const refusal = toAppError(thrown)
          expect(refusal.code).toBe('internal_error')
          expect(refusal.message).toBe(message)
          expect(refusal.reason).toBe('internal_error')
          expect(refusal.headers).toEqual({})
          expect(Object.is(refusal.cause, thrown)).toBe(true)
        },
      ),
    )
  })
})
