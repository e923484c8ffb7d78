import { expect, test } from 'vitest'
import { createJwsParser, parseCompactJws } from '../../src/tokens/compact-jws.ts'

const encode = (text: string) => Buffer.from(text).toString('base64url')
const tokenOf = (header: string, jti: string) =>
  `${encode(header)}.${encode(JSON.stringify({ jti }))}.${encode('signature')}`

test('tokens with one header after another are read as each is read alone', () => {
  const parse = createJwsParser()
  const tokens = ['{"kid":"a"}', '{"kid":"a"}', '{"kid":"b"}', '{"kid":"a"}'].map((header, i) =>
    tokenOf(header, `token ${i}`),
  )
  expect(tokens.map(parse)).toEqual(tokens.map(parseCompactJws))
})

test('a header that was refused is refused again, and the one before is still known', () => {
  const parse = createJwsParser()
  const good = tokenOf('{"kid":"a"}', 'good')
  const twice = tokenOf('{"kid":"a","kid":"b"}', 'bad')
  parse(good)
  for (let i = 0; i < 2; i += 1) expect(() => parse(twice)).toThrow('malformed')
  expect(parse(good).header).toEqual({ kid: 'a' })
})
