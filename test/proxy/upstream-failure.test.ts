import { describe, expect, test } from 'vitest'
import { upstreamFailureOf } from '../../src/proxy/upstream-failure.ts'

const errorOf = (code: string) => Object.assign(new Error('from elsewhere'), { code })

const kindOf = (code: string, wasSent: boolean) => {
  const { kind, error } = upstreamFailureOf(errorOf(code), wasSent)
  return [kind, error.code]
}

describe('a failure before anything was sent', () => {
  test.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EHOSTUNREACH',
    'ENOTFOUND',
    'EAI_AGAIN',
    'UPSTREAM_CONNECT_TIMEOUT',
    'UPSTREAM_CLOSED',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
  ])('is the way there: %s', (code) => {
    expect(kindOf(code, false)).toEqual(['unreachable', 'upstream_unreachable'])
  })

  test.each(['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_CHAR', 'EMFILE', ''])(
    'is not held against the model server where it is ours or the request’s: %j',
    (code) => {
      expect(kindOf(code, false)).toEqual(['broken_off', 'upstream_unreachable'])
    },
  )
})

describe('a failure afterwards', () => {
  test.each(['UPSTREAM_FIRST_BYTE_TIMEOUT', 'UPSTREAM_IDLE_TIMEOUT'])(
    'is no progress: %s',
    (code) => {
      expect(kindOf(code, true)).toEqual(['stalled', 'upstream_timeout'])
    },
  )

  test.each(['ECONNRESET', 'ECONNREFUSED', 'UPSTREAM_CLOSED', 'UPSTREAM_MALFORMED'])(
    'is never a reason to send the request elsewhere: %s',
    (code) => {
      expect(kindOf(code, true)).toEqual(['broken_off', 'upstream_unreachable'])
    },
  )
})
