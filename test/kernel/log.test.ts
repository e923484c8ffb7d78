import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError, AuthError, ConfigError } from '../../src/kernel/errors.ts'
import { createLog, type LogFields } from '../../src/kernel/log.ts'
import { createTestLog } from '../support/log-lines.ts'

type Line = Record<string, unknown> & { err?: ErrorLine }
type ErrorLine = {
  type: string
  code?: string
  message?: string
  stack?: string[]
  cause?: ErrorLine
}

const ALLOWED: Required<Omit<LogFields, 'err'>> = {
  event: 'proxy.call',
  request_id: 'request-1',
  decision: 'allow',
  reason: 'because',
  tenant_id: 'default',
  client_id: 'robot',
  sub: 'robot',
  jti: 'jti-1',
  kid: 'kid-1',
  remote_addr: '127.0.0.1',
  target: 'robot',
  method: 'POST',
  route: '/ocr/infer',
  status: 200,
  grant_type: 'client_credentials',
  upstream: 'http://localhost:8000',
  duration_ms: 1.5,
  listener: 'proxy.listen',
  url: 'http://localhost:8080',
  writer: 'proxy-1',
  seq: 7,
  hash: 'hash-1',
}

const { log, lines } = createTestLog()

/** What one call leaves in the log, raw and parsed. */
function logOnce(fields: object): { raw: string; line: Line } {
  lines.length = 0
  log.error(fields, 'message of the line')
  expect(lines).toHaveLength(1)
  const raw = lines.join('')
  return { raw, line: JSON.parse(raw) as Line }
}

function errorThrownBy(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('a line of the log', () => {
  test('is JSON with the level, an RFC 3339 time in UTC, the message and the fields', () => {
    const { line, raw } = logOnce(ALLOWED)
    const { time, ...rest } = line
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(rest).toEqual({ level: 'error', message: 'message of the line', ...ALLOWED })
    expect(raw.endsWith('}\n')).toBe(true)
  })

  test('never holds a field that is not on the list', () => {
    const foreign = fc
      .string({ minLength: 1 })
      .filter((name) => !Object.hasOwn(ALLOWED, name) && name !== 'err' && name !== '__proto__')
    fc.assert(
      fc.property(fc.dictionary(foreign, fc.constant('SECRET')), (fields) => {
        const { raw, line } = logOnce({ ...fields, status: 200 })
        expect(raw).not.toContain('SECRET')
        expect(Object.keys(line)).toEqual(['level', 'time', 'status', 'message'])
      }),
    )
  })

  test.each(['authorization', 'token', 'access_token', 'client_secret', 'body', 'headers', 'path'])(
    'never holds %s',
    (name) => {
      expect(logOnce({ [name]: 'SECRET' }).raw).not.toContain('SECRET')
    },
  )

  test('leaves out what is undefined and keeps what is zero or empty', () => {
    const { line } = logOnce({ status: undefined, duration_ms: 0, sub: '' })
    expect(line).toMatchObject({ duration_ms: 0, sub: '' })
    expect(line).not.toHaveProperty('status')
    expect(line).not.toHaveProperty('err')
  })

  test('always stays one line, whatever a field holds', () => {
    const lineBreaker = fc.constantFrom('\n', '\r', '\u2028', '\0', '\\', '"', 'a', '文', '\uD800')
    fc.assert(
      fc.property(fc.string({ unit: lineBreaker }), (sub) => {
        const { raw, line } = logOnce({ sub })
        expect(raw.indexOf('\n')).toBe(raw.length - 1)
        expect(line['sub']).toBe(sub)
      }),
    )
  })

  test.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
    ['silent', []],
  ] as const)('is written at level %s only from there on', (level, written) => {
    const { log, lines } = createTestLog(level)
    for (const each of ['debug', 'info', 'warn', 'error'] as const) log[each]({}, 'm')
    expect(lines.map((line) => (JSON.parse(line) as Line)['level'])).toEqual(written)
  })
})

describe('an error in the log', () => {
  test('has the message when it is ours', () => {
    for (const [err, type] of [
      [new AppError('not_found', 'SHOWN'), 'AppError'],
      [new AuthError('invalid_token', 'SHOWN'), 'AuthError'],
      [new ConfigError(['SHOWN']), 'ConfigError'],
    ] as const) {
      expect(logOnce({ err }).line.err).toMatchObject({ type, message: 'SHOWN' })
    }
    expect(logOnce({ err: new AppError('not_found', 'x') }).line.err?.code).toBe('not_found')
  })

  test('has the message and the code when the system made it', async () => {
    const err: unknown = await import('node:fs/promises')
      .then(({ readFile }) => readFile('/no/such/file'))
      .catch((error: unknown) => error)
    expect(logOnce({ err }).line.err).toMatchObject({
      type: 'Error',
      code: 'ENOENT',
      message: expect.stringContaining('/no/such/file') as string,
    })
  })

  test('has no message when it is foreign, but says where it was thrown', () => {
    const err = errorThrownBy(() => {
      throw new TypeError('SECRET')
    })
    const { raw, line } = logOnce({ err })
    expect(raw).not.toContain('SECRET')
    expect(line.err?.type).toBe('TypeError')
    expect(line.err).not.toHaveProperty('message')
    expect(line.err?.stack?.[0]).toContain('log.test.ts')
  })

  test.each([
    '{"document": SECRET}',
    'SECRET',
    '{"a":"SECRET"',
    '[1, 2,\nSECRET\n]',
    'not JSON\n    SECRET',
  ])('never quotes the document %j that could not be parsed', (document) => {
    const err = errorThrownBy(() => JSON.parse(document) as unknown)
    const { raw, line } = logOnce({ err })
    expect(raw).not.toContain('SECRET')
    expect(line.err?.type).toBe('SyntaxError')
  })

  test('never quotes a line of a document that looks like one of a stack', () => {
    const err = errorThrownBy(() => JSON.parse('x\n    at SECRET') as unknown)
    expect(logOnce({ err }).raw).not.toContain('SECRET')
  })

  test('always keeps the message of a foreign error out, whatever is in it', () => {
    const piece = fc.constantFrom('SECRET', '\n    at ', '\n', '    ', 'Error: ', ':1:1)')
    fc.assert(
      fc.property(fc.array(piece, { minLength: 2, maxLength: 6 }), (pieces) => {
        expect(logOnce({ err: new Error(pieces.join('')) }).raw).not.toContain('SECRET')
      }),
    )
  })

  test('is told with its causes, each by the same rule', () => {
    const root = new SyntaxError('SECRET')
    const system = Object.assign(new Error('refused', { cause: root }), { code: 'ECONNREFUSED' })
    const foreign = new TypeError('SECRET', { cause: system })
    const err = new AppError('upstream_unreachable', 'Not reached.', { cause: foreign })
    const { raw, line } = logOnce({ err })
    expect(raw).not.toContain('SECRET')
    expect(line.err).toMatchObject({
      type: 'AppError',
      message: 'Not reached.',
      cause: {
        type: 'TypeError',
        cause: { code: 'ECONNREFUSED', message: 'refused', cause: { type: 'SyntaxError' } },
      },
    })
    expect(line.err?.cause).not.toHaveProperty('message')
    expect(line.err).not.toHaveProperty('stack')
    expect(line.err?.cause?.stack?.[0]).toContain('log.test.ts')
    expect(line.err?.cause?.cause?.cause).not.toHaveProperty('message')
  })

  test('is told as it was when it was logged, however late the line is asked for', () => {
    const asked: (() => string)[] = []
    const log = createLog('info', { write: (line) => void asked.push(line) })
    const error = new AppError('temporarily_unavailable', 'as it was')
    log.error({ err: error }, 'failed')
    error.message = 'as it is'
    const [line] = asked.map((ask) => JSON.parse(ask()) as Line)
    expect(line?.err?.message).toBe('as it was')
  })

  test('fails who logs it when it cannot be told, and no other line', () => {
    const asked: (() => string)[] = []
    const log = createLog('info', { write: (line) => void asked.push(line) })
    log.info({}, 'another')
    const error = Object.assign(new Error('odd'), { stack: 0 })
    expect(() => log.error({ err: error }, 'failed')).toThrow(TypeError)
    expect(asked.map((ask) => (JSON.parse(ask()) as Line)['message'])).toEqual(['another'])
  })

  test('may be its own cause', () => {
    const err = new Error('a')
    err.cause = new Error('b', { cause: err })
    expect(logOnce({ err }).line.err?.type).toBe('Error')
  })

  test.each([
    ['a string', 'SECRET', 'string'],
    ['an object', { message: 'SECRET', code: 'SECRET' }, 'object'],
    ['null', null, 'object'],
    ['a number', 7, 'number'],
  ])('is told by its type alone when it is %s', (_title, err, type) => {
    const { raw, line } = logOnce({ err })
    expect(line.err).toEqual({ type })
    expect(raw).not.toContain('SECRET')
  })

  test('keeps no code that is not text', () => {
    const err = Object.assign(new Error('SECRET'), { code: 42 })
    const { raw, line } = logOnce({ err })
    expect(raw).not.toContain('SECRET')
    expect(line.err).not.toHaveProperty('code')
  })
})
