import * as fc from 'fast-check'
import { createServer, type RequestListener } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError, ERRORS, type ErrorCode } from '../../src/kernel/errors.ts'
import { sendProblem, toProblem } from '../../src/kernel/problem.ts'
import { openRawConnection } from '../support/raw-connection.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

describe('a problem', () => {
  test('is an RFC 9457 document with the error member of an OpenAI server', () => {
    const refusal = new AppError('invalid_token', 'The token has expired.', { reason: 'exp' })
    expect(toProblem(refusal, 'request-1')).toEqual({
      type: 'urn:gatehouse:error:invalid_token',
      title: 'The access token is not accepted',
      status: 401,
      detail: 'The token has expired.',
      instance: 'request-1',
      error: {
        message: 'The token has expired.',
        type: 'invalid_request_error',
        code: 'invalid_token',
      },
    })
  })

  test('always has the same code, status and message in both of its halves', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODES), fc.string(), fc.string(), (code, detail, id) => {
        const refusal = new AppError(code, detail, { reason: 'for the log', cause: new Error('c') })
        const problem = toProblem(refusal, id)
        expect(problem.type).toBe(`urn:gatehouse:error:${code}`)
        expect(problem.error.code).toBe(code)
        expect(problem.status).toBe(ERRORS[code].status)
        expect(problem.title).toBe(ERRORS[code].title)
        expect(problem.detail).toBe(detail)
        expect(problem.error.message).toBe(detail)
        expect(problem.instance).toBe(id)
        expect(problem.error.type).toBe(
          problem.status < 500 ? 'invalid_request_error' : 'server_error',
        )
        expect(Object.keys(problem)).toHaveLength(6)
        expect(Object.keys(problem.error)).toHaveLength(3)
      }),
    )
  })
})

describe('sending a problem', () => {
  const server = createServer((req, res) => answer(req, res))
  let answer: RequestListener = () => {}
  let port = 0

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    port = typeof address === 'object' && address !== null ? address.port : 0
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })

  test('answers with its status, body and headers, and forbids to keep it', async () => {
    const refusal = new AppError('method_not_allowed', 'Nur GET – 只有 GET.', {
      headers: { allow: 'GET, HEAD' },
    })
    answer = (_req, res) => sendProblem(res, refusal, 'request-1')
    const response = await fetch(`http://127.0.0.1:${port}`, { method: 'POST' })
    expect(response.status).toBe(405)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-request-id')).toBe('request-1')
    expect(response.headers.get('allow')).toBe('GET, HEAD')
    const body = await response.text()
    expect(JSON.parse(body)).toEqual(toProblem(refusal, 'request-1'))
    expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(body)))
  })

  test('answers HEAD with the headers alone', async () => {
    answer = (_req, res) => sendProblem(res, new AppError('not_found', 'Nothing.'), 'request-1')
    const response = await fetch(`http://127.0.0.1:${port}`, { method: 'HEAD' })
    expect(response.status).toBe(404)
    expect(await response.text()).toBe('')
  })

  test('cuts the connection when an answer is already under way', async () => {
    answer = (_req, res) => {
      res.writeHead(200, { 'content-length': 100 })
      res.write('the beginning', () =>
        sendProblem(res, new AppError('upstream_timeout', 'Too late.'), 'request-1'),
      )
    }
    const connection = await openRawConnection(port)
    connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const received = await connection.ends()
    expect(received).toMatch(/^HTTP\/1\.1 200 /)
    expect(received.endsWith('\r\n\r\nthe beginning')).toBe(true)
  })
})
