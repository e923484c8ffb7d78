import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAnswerParser, type FieldList } from '../../src/proxy/answer-parser.ts'
import { mutatedAnswers, wellFormedAnswers, type ModelAnswer } from '../support/model-answers.ts'

/** An answer that is whole. */
type Read = { status: number; headers: FieldList; body: string; trailers: FieldList }

/** Writes what it is to answer to whoever asks, and closes. */
let server: Server
let toAnswer = Buffer.alloc(0)
beforeAll(async () => {
  server = createServer((socket) => {
    socket.on('error', () => undefined).once('data', () => socket.end(toAnswer))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
afterAll(() => void server.close())

/**
 * What llhttp is stricter about: blanks behind a chunk's size, before an extension even where RFC 9112 §7.1.1 has them read, and
 * what an extension is made of. Extensions say nothing to us and go no further.
 */
const isAboutExtensions = (error: object): boolean =>
  'reason' in error &&
  (String(error.reason).includes('chunk extension') ||
    (error.reason === 'Invalid character in chunk size' &&
      BLANKS_BEHIND_SIZE.test(toAnswer.toString('latin1'))))
const BLANKS_BEHIND_SIZE = /\r\n[0-9A-Fa-f]{1,12}[ \t]+(?:;.*)?\r\n/

/** As the parser that Node's own client has (llhttp) reads it. */
function readByNode({ method, text }: ModelAnswer): Promise<Read | 'stricter' | undefined> {
  toAnswer = Buffer.from(text, 'latin1')
  const { port } = server.address() as AddressInfo
  const { promise, resolve } = Promise.withResolvers<Read | 'stricter' | undefined>()
  const asked = request({ host: '127.0.0.1', port, method, agent: false })
  let answer: IncomingMessage | undefined
  asked.on('response', (res) => {
    answer = res
    let body = ''
    res.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1')
    })
    res
      .on('error', () => undefined)
      .once('close', () => {
        const { statusCode: status = 0, rawHeaders, rawTrailers } = res
        const [headers, trailers] = [lowerCased(rawHeaders), lowerCased(rawTrailers)]
        resolve(res.complete ? { status, headers, body, trailers } : undefined)
      })
  })
  // What breaks off an answer that has begun also closes that.
  asked.on('error', (error) => {
    if (isAboutExtensions(error)) resolve('stricter')
    else if (answer === undefined) resolve(undefined)
  })
  asked.on('close', () => answer === undefined && resolve(undefined))
  asked.end()
  return promise
}

const lowerCased = (fields: readonly string[]): string[] =>
  fields.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))

function readByUs({ method, text }: ModelAnswer): Read | undefined {
  const read: Read = { status: 0, headers: [], body: '', trailers: [] }
  let isWhole = false
  const parser = createAnswerParser({
    onHead: (status, headers) => Object.assign(read, { status, headers }),
    onChunk(chunk) {
      read.body += chunk.toString('latin1')
    },
    onEnd(trailers) {
      read.trailers = trailers
      isWhole = true
    },
  })
  parser.begin(method)
  try {
    parser.read(Buffer.from(text, 'latin1'))
    parser.close()
  } catch {
    // Of what came behind an answer that was whole, there is none.
  }
  return isWhole ? read : undefined
}

test('what we take for a whole answer, Node takes for the same one', async () => {
  await fc.assert(
    fc.asyncProperty(mutatedAnswers, async (answer) => {
      const read = readByUs(answer)
      fc.pre(read !== undefined)
      const byNode = await readByNode(answer)
      fc.pre(byNode !== 'stricter')
      expect(byNode).toEqual(read)
    }),
    { numRuns: 400 },
  )
})

test('what is as RFC 9112 says, both read', async () => {
  await fc.assert(
    fc.asyncProperty(wellFormedAnswers, async (answer) => {
      const read = readByUs(answer)
      expect(read).toBeDefined()
      expect(await readByNode(answer)).toEqual(read)
    }),
    { numRuns: 150 },
  )
})
