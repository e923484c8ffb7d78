import { execFileSync } from 'node:child_process'
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

/** Run by a process of its own, whose whole memory is small. */
const KEEP_A_HEADER = `
  import { getHeapSnapshot } from 'node:v8'
  import { text } from 'node:stream/consumers'
  import { createJwsParser } from '${import.meta.resolve('../../src/tokens/compact-jws.ts')}'
  globalThis.parse = createJwsParser()
  const encode = (...letters) => Buffer.from(JSON.stringify({ text: letters.join('') })).toString('base64url')
  const parseOne = () => void parse([encode('head', 'er'), encode('pay', 'load'), encode('sign', 'ature')].join('.'))
  parseOne()
  const memory = await text(getHeapSnapshot())
  const isInMemory = (...letters) => memory.includes(encode(...letters))
  console.log(JSON.stringify({ header: isInMemory('head', 'er'), signature: isInMemory('sign', 'ature') }))
`

test('of a token whose header is remembered, nothing else stays in memory', () => {
  const flags = ['--input-type=module', '--eval', KEEP_A_HEADER]
  const said = execFileSync(process.execPath, flags, { encoding: 'utf8' })
  expect(JSON.parse(said)).toEqual({ header: true, signature: false })
})
