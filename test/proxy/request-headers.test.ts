import { expect, test } from 'vitest'
import { readRequestHeaders } from '../../src/proxy/request-headers.ts'

const FIRST = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const SECOND = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test.each([
  ['the only one', [FIRST], FIRST],
  ['the first of two', [FIRST, SECOND], FIRST],
  ['the first that is valid', ['00-none', SECOND], SECOND],
  ['none that is not valid', ['00-none'], undefined],
])('of traceparents %s counts, and the list of what may pass has none', (_which, values, found) => {
  const raw = values.flatMap((value) => ['Traceparent', value])
  const headers = readRequestHeaders([...raw, 'tracestate', 'a=1'])
  expect(headers.traceparent).toBe(found)
  expect(headers.forwardable).toBe('tracestate: a=1\r\n')
})
