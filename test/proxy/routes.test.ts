import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findConflicts } from '../../src/config/conflicts.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createRouteTable, type Route } from '../../src/proxy/routes.ts'
import { anyCharacter } from '../support/any-character.ts'

const routeAt = (path: string, method = 'GET'): Route => ({
  method,
  path,
  scopes: undefined,
  maxBodyBytes: 0,
  firstByteMs: 1,
  idleMs: 1,
})
const isKnown = (paths: readonly string[], target: string): boolean => {
  try {
    createRouteTable(paths.map((path) => routeAt(path))).match('GET', target)
    return true
  } catch {
    return false
  }
}

/** What servers have been seen to read as something else. */
const PIECES = [
  'a',
  '.',
  '/',
  '%2f',
  '%2F',
  '%5c',
  '\\',
  '%2e',
  '%252f',
  ';',
  '%00',
  '%zz',
  '%',
  '?',
  '#',
  ' ',
  'é',
  '~',
  '%C3%A9',
]
const hostile = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 6 })
  .map((parts) => parts.join(''))

describe('a parameter of a route', () => {
  /** As a server does that takes bytes for text also where they are none. */
  const decode = (text: string) => {
    const bytes = text.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
    return Buffer.from(bytes, 'latin1').toString()
  }

  test.each(['x', 'file-1_2.png', '...x', 'a:b@c', '%E6%96%87', "x!$&'()*+,="])(
    'takes %s',
    (id) => {
      expect(isKnown(['/v1/files/{id}/content'], `/v1/files/${id}/content?q=/..`)).toBe(true)
    },
  )

  test('is never anything that some server reads as more or less than one segment', () => {
    let taken = 0
    const either = fc.oneof(hostile, fc.string({ unit: anyCharacter, maxLength: 4 }))
    fc.assert(
      fc.property(either, (segment) => {
        if (segment.includes('?') || !isKnown(['/v1/files/{id}'], `/v1/files/${segment}`)) return
        taken += 1
        const read = decode(decode(segment)).split(';')[0] ?? ''
        expect(read).not.toMatch(/[/\\\p{Cc}#]/u)
        expect(read).not.toMatch(/^\.*$/)
      }),
      { numRuns: 1000 },
    )
    expect(taken, 'so that refusing everything does not pass').toBeGreaterThan(20)
  })

  test('makes no table that a configuration allows ambiguous', () => {
    const segment = fc.constantFrom('a', 'b', '{x}', '{y}', '')
    const path = fc
      .array(segment, { minLength: 1, maxLength: 3 })
      .map((segments) => `/s/${segments.join('/')}`)
      .filter((text) => !text.includes('//'))
    const target = path.map((text) => text.replaceAll(/\{.\}/g, 'c'))
    fc.assert(
      fc.property(fc.uniqueArray(path, { maxLength: 5 }), target, (paths, asked) => {
        const routes = paths.map((each) => ({ method: 'GET', path: each, public: true }) as const)
        if (findConflicts(configSchema.parse({ proxy: { routes } })).length > 0) return
        expect(paths.filter((each) => isKnown([each], asked)).length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 500 },
    )
  })
})
