import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterEach, expect } from 'vitest'
import type { FieldList } from '../../src/proxy/answer-parser.ts'
import type { SentRequest } from '../../src/proxy/send-request.ts'
import type { ExchangeControl, ExchangeListener } from '../../src/proxy/upstream-connection.ts'
import { createUpstreamPool, type UpstreamPool } from '../../src/proxy/upstream-pool.ts'

/** What came of an exchange so far. */
export type Told = {
  takenCount: number
  status: number | undefined
  headers: FieldList
  chunks: Buffer[]
  trailers: FieldList | undefined
  error: Error | undefined
  /** How often it was said that it is over. */
  endCount: number
  over: Promise<void>
  control: ExchangeControl
}

/** Called beside what is told, with the control once there is one. */
type Reactions = Partial<{
  [Name in 'onTaken' | 'onHead' | 'onChunk' | 'onEnd']: (told: Told) => void
}>

/** Headers in a flat list of names and values. */
type Asked = Partial<Omit<SentRequest, 'headers' | 'isSized'>> & { headers?: readonly string[] }

type Dispatch = Pick<UpstreamPool, 'dispatch'>['dispatch']

/** What a pool and a server of a test need; afterwards all is closed, and each exchange has to have ended once. */
export function useExchanges() {
  const exchanges: Told[] = []
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) close()
    await Promise.all(exchanges.map(({ over }) => over))
    await turns(3)
    expect(exchanges.splice(0).filter(({ endCount }) => endCount !== 1)).toEqual([])
  })

  /** A server of one's own, which is given each connection. */
  async function startServer(onConnection: (socket: Socket, index: number) => void) {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      onConnection(socket, sockets.push(socket) - 1)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    closing.push(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    const { port } = server.address() as AddressInfo
    return { port, sockets }
  }

  function openPool(at: number | string, options: { readBuffer?: Buffer } = {}): UpstreamPool {
    const url = new URL(typeof at === 'string' ? at : `http://127.0.0.1:${at}`)
    const pool = createUpstreamPool({ url, connectTimeoutMs: 5000, ...options })
    closing.push(() => pool.close())
    return pool
  }

  function ask(
    { dispatch }: { dispatch: Dispatch },
    { headers = [], ...request }: Asked = {},
    reactions: Reactions = {},
  ): Told {
    const { promise, resolve } = Promise.withResolvers<void>()
    const told: Told = {
      takenCount: 0,
      status: undefined,
      headers: [],
      chunks: [],
      trailers: undefined,
      error: undefined,
      endCount: 0,
      over: promise,
      control: NO_CONTROL,
    }
    const end = (what: Partial<Told>) => {
      Object.assign(told, what).endCount += 1
      resolve()
    }
    const listener: ExchangeListener = {
      onTaken() {
        told.takenCount += 1
        reactions.onTaken?.(told)
      },
      onHead(status, headers) {
        Object.assign(told, { status, headers })
        reactions.onHead?.(told)
      },
      onChunk(chunk) {
        told.chunks.push(Buffer.from(chunk))
        reactions.onChunk?.(told)
      },
      onEnd(trailers) {
        end({ trailers })
        reactions.onEnd?.(told)
      },
      onError: (error) => end({ error }),
    }
    exchanges.push(told)
    const question = { method: 'GET', target: '/', body: null, firstByteMs: 20_000, idleMs: 20_000 }
    told.control = dispatch({ ...question, ...request, ...linesOf(headers) }, listener)
    return told
  }

  return { startServer, openPool, ask, onClose: (close: () => unknown) => closing.push(close) }
}

function linesOf(headers: readonly string[]): Pick<SentRequest, 'headers' | 'isSized'> {
  const lines = headers.map((each, i) => (i % 2 === 0 ? `${each}: ` : `${each}\r\n`))
  return {
    headers: lines.join(''),
    isSized: headers.some((each, i) => i % 2 === 0 && each.toLowerCase() === 'content-length'),
  }
}

const NO_CONTROL: ExchangeControl = {
  pause: () => undefined,
  resume: () => undefined,
  abort: () => undefined,
}

export const bodyOf = ({ chunks }: Told): string => Buffer.concat(chunks).toString('latin1')

export const codeOf = ({ error }: Told): unknown =>
  error !== undefined && 'code' in error ? error.code : error

/** What is on its way within this process gets where it goes. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await setImmediate()
}

/** Waits in turns of the loop, also while time is faked. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate()
}

export const sized = (body: string, ...fields: string[]): string =>
  ['HTTP/1.1 200 OK', ...fields, `Content-Length: ${body.length}`, '', body].join('\r\n')

/** Answers each request, which has come whole and has no body. */
export function answerEach(answer: (request: string, socket: Socket, index: number) => void) {
  return (socket: Socket, index: number) => {
    socket.setNoDelay(true).on('data', (data) => answer(data.toString('latin1'), socket, index))
  }
}
