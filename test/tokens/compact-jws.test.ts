import { expect, test } from 'vitest'
import { createJwsParser, parseCompactJws } from '../../src/tokens/compact-jws.ts'

const encode = (text: string) => Buffer.from(text).toString('base64url')
const tokenOf = (header: string, jti: string) =>
  `${encode(header)}.${encode(JSON.stringify({ jti }))}.${encode('signature')}`

test('tokens with one header after another are read as each is read alone', () => {
  const parse = createJwsParser((header) => header)
  const tokens = ['{"kid":"a"}', '{"kid":"a"}', '{"kid":"b"}', '{"kid":"a"}'].map((header, i) =>
    tokenOf(header, `token ${i}`),
  )
  expect(tokens.map(parse)).toEqual(tokens.map(parseCompactJws))
})

test.each([
  ['is malformed', '{"kid":"b","kid":"a"}', 'malformed'],
  ['is not accepted', '{"kid":"b"}', 'not b'],
])('a header that %s is refused each time, and the one before is still known', (_, bad, why) => {
  const parse = createJwsParser(({ kid }) => {
    if (kid !== 'a') throw new Error(`not ${String(kid)}`)
    return kid
  })
  const good = tokenOf('{"kid":"a"}', 'good')
  parse(good)
  for (let i = 0; i < 2; i += 1) expect(() => parse(tokenOf(bad, 'bad'))).toThrow(why)
  expect(parse(good).header).toBe('a')
})
