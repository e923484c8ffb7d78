import { expect, test } from 'vitest'
import { forwardableTrailers } from '../../src/proxy/trailers.ts'

const passing = (names: readonly string[], connection?: string) =>
  forwardableTrailers(
    names.flatMap((name) => [name, 'value']),
    connection,
  ).map(([name]) => name)

test('trailers pass that say something about the content', () => {
  expect(passing(['X-Checksum', 'Digest', 'Server-Timing', 'ETag'])).toEqual([
    'x-checksum',
    'digest',
    'server-timing',
    'etag',
  ])
})

test('none passes that Connection names (RFC 9110 §7.6.1)', () => {
  expect(passing(['x-hop', 'x-kept'], 'keep-alive, X-Hop')).toEqual(['x-kept'])
})

test.each([
  ['frame or describe the content', ['Content-Length', 'Transfer-Encoding', 'Content-Type']],
  ['modify or route the request', ['Range', 'If-Match', 'Max-Forwards', 'Host', 'Expect', 'TE']],
  ['authenticate', ['Authorization', 'Cookie', 'Set-Cookie', 'DPoP', 'WWW-Authenticate']],
  ['say how to treat the answer', ['Date', 'Age', 'Expires', 'Cache-Control', 'Vary', 'Location']],
  ['say who calls', ['X-Gatehouse-Subject', 'X-Forwarded-For', 'Client-Cert', 'X-Request-Id']],
  [
    'are other spellings of those',
    ['content_type', 'set_cookie', 'X.Gatehouse.Tenant', 'cache_control'],
  ],
])('none passes that would %s (RFC 9110 §6.5.1)', (_what, names) => {
  expect(passing(names)).toEqual([])
})
