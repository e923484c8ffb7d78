import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { normaliseTargetUri } from '../../src/tokens/target-uri.ts'
import { anyCharacter } from '../support/any-character.ts'

const segment = fc.stringMatching(/^[A-Za-z0-9._~:@!$&'()*+,;=-]{1,8}$/)
const path = fc
  .array(segment, { maxLength: 5 })
  .map((segments) => segments.filter((each) => !/^\.{1,2}$/.test(each)))
  .map((segments) => `/${segments.join('/')}`)

const authority = fc.webAuthority({ withPort: true, withIPv4: true, withIPv6: true })
const rest = fc
  .tuple(fc.constantFrom('', '/', '/%7e', '?', '#'), fc.string({ unit: anyCharacter }))
  .map(([start, text]) => start + encodeURIComponent(text))

test('a target that is normal already stays as it is', () => {
  fc.assert(
    fc.property(path, (path) => {
      const uri = `https://ocr.example${path}`
      expect(normaliseTargetUri(uri)).toBe(uri)
    }),
  )
})

test('normalising twice is normalising once', () => {
  fc.assert(
    fc.property(authority, path, rest, (host, path, tail) => {
      const uri = `https://${host}${path}${tail}`
      const once = normaliseTargetUri(uri)
      expect(once === undefined ? undefined : normaliseTargetUri(once)).toBe(once)
    }),
  )
})

test('query, fragment, case of scheme and host, the default port and needless encoding make no difference', () => {
  const encoded = (path: string) =>
    path.replaceAll(
      /[A-Za-z0-9]/g,
      (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
  fc.assert(
    fc.property(path, fc.stringMatching(/^[a-z0-9=&/?]*$/), (path, query) => {
      const normal = normaliseTargetUri(`https://ocr.example${path}`)
      expect(normaliseTargetUri(`HTTPS://OCR.example:443${encoded(path)}?${query}#x`)).toBe(normal)
    }),
  )
})

test('other paths stay other paths', () => {
  fc.assert(
    fc.property(path, path, (one, other) => {
      fc.pre(one !== other)
      expect(normaliseTargetUri(`https://ocr.example${one}`)).not.toBe(
        normaliseTargetUri(`https://ocr.example${other}`),
      )
    }),
  )
})

test.each(['%2F', '%2f', '%5C', '%00', '%3F'])('an encoded %s is never decoded', (octet) => {
  expect(normaliseTargetUri(`https://ocr.example/a${octet}b`)).toBe(
    `https://ocr.example/a${octet.toUpperCase()}b`,
  )
})

test('what is no http URI is none, whatever it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (text) => {
      const normal = normaliseTargetUri(text)
      expect(normal === undefined || /^https?:\/\//.test(normal)).toBe(true)
    }),
  )
  for (const text of ['ftp://x/', 'https:/x', 'https://a b/', 'https://', 'javascript:1', '//x/']) {
    expect(normaliseTargetUri(text)).toBeUndefined()
  }
})
