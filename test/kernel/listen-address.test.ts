import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import {
  formatListenAddress,
  isLoopbackHost,
  parseListenAddress,
} from '../../src/kernel/listen-address.ts'

const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.constant('localhost'))
const port = fc.integer({ min: 0, max: 65_535 })

describe('a listen address', () => {
  test('is always the same after it was formatted and parsed', () => {
    fc.assert(
      fc.property(host, port, (host, port) => {
        expect(parseListenAddress(formatListenAddress({ host, port }))).toEqual({ host, port })
      }),
    )
  })

  test('is always the same text after it was parsed and formatted', () => {
    const text = fc.oneof(
      fc.tuple(fc.oneof(fc.ipV4(), fc.domain()), port).map(([host, port]) => `${host}:${port}`),
      fc.tuple(fc.ipV6(), port).map(([host, port]) => `[${host}]:${port}`),
    )
    fc.assert(
      fc.property(text, (text) => {
        expect(formatListenAddress(parseListenAddress(text))).toBe(text)
      }),
    )
  })

  test.each([
    ['127.0.0.1:9000', { host: '127.0.0.1', port: 9000 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
  ])('%s is understood', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address)
  })

  test.each([
    '',
    '9000',
    ':9000',
    'localhost',
    'localhost:',
    'localhost:http',
    'localhost:65536',
    'localhost:-1',
    'localhost:1e3',
    'localhost: 80',
    'localhost:80\n',
    '::1:9000',
    '[]:80',
    '[localhost]:80',
    'http://localhost:80',
    'localhost:80/',
    'a:b:80',
  ])('%j is refused as a whole', (text) => {
    expect(() => parseListenAddress(text)).toThrow(ConfigError)
  })
})

describe('loopback', () => {
  test('is always every address of 127.0.0.0/8', () => {
    const rest = fc.nat({ max: 255 })
    fc.assert(
      fc.property(rest, rest, rest, (b, c, d) => {
        expect(isLoopbackHost(`127.${b}.${c}.${d}`)).toBe(true)
      }),
    )
  })

  test('is never another IPv4 address', () => {
    fc.assert(
      fc.property(
        fc.ipV4().filter((address) => !address.startsWith('127.')),
        (address) => {
          expect(isLoopbackHost(address)).toBe(false)
        },
      ),
    )
  })

  test.each(['localhost', '::1', '[::1]'])('is %s', (host) => {
    expect(isLoopbackHost(host)).toBe(true)
  })

  test.each(['0.0.0.0', '::', '[::]', '127.evil.com', '127.0.0.1.evil.com', 'localhost.evil.com'])(
    'is not %s',
    (host) => {
      expect(isLoopbackHost(host)).toBe(false)
    },
  )

  test.each(['', '127.0.0', '127.0.0.1:80', 'LOCALHOST.', '::2', '1::1'])('is not %j', (host) => {
    expect(isLoopbackHost(host)).toBe(false)
  })
})
