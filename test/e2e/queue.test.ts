import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createLiveRevocations,
  type FedRevocations,
} from '../../src/revocations/live-revocations.ts'
import { readAuditTexts } from '../support/audit-lines.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { openRawConnection } from '../support/raw-connection.ts'
import { waitUntil } from '../support/wait-until.ts'

/** One slot, and a model server that answers when the test says so, in the order in which it was asked. */
let proxy: LoneProxy
let revocations: FedRevocations
let close: () => Promise<void>
let atModel: { body: string; finish: () => void }[]
beforeEach(async () => {
  proxy = await startLoneProxy(
    [
      'proxy.maxInFlightPerUpstream=1',
      'proxy.queue.maxWaiting=8',
      'proxy.queue.maxWaitSeconds=20',
      'proxy.maxBodyBytes=67108864',
    ],
    (clock) => {
      revocations = createLiveRevocations(clock)
      revocations.markComplete()
      return revocations
    },
  )
  close = () => proxy.close()
  atModel = []
  proxy.model.answer((req, res) => {
    let length = 0
    let start = ''
    req.on('data', (chunk: Buffer) => {
      length += chunk.length
      start ||= chunk.toString('latin1', 0, 20)
    })
    req.on('end', () => {
      atModel.push({ body: start, finish: () => void res.end(String(length)) })
    })
  })
})
afterEach(() => close())

const bearerOf = async (tenant: string, claims = {}) =>
  `Bearer ${await proxy.issuer.sign({ tenant_id: tenant, ...claims })}`
const ask = async (tenant: string, body = tenant, init: RequestInit = {}) =>
  proxy.call(await bearerOf(tenant), { body, ...init })
const metric = async (name: string) => {
  const text = await (await fetch(`http://${proxy.config.proxy.opsListen}/metrics`)).text()
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}
const until = {
  atModel: (count: number) =>
    waitUntil(`${count} at the model server`, async () => atModel.length === count),
  waiting: (count: number) =>
    waitUntil(`${count} waiting`, async () => (await metric('gatehouse_proxy_waiting')) === count),
}
const recordOf = async (what: object) => {
  let found: Record<string, unknown> | undefined
  await waitUntil('the record', async () => {
    const texts = await readAuditTexts(join(proxy.config.dataDir, 'audit'))
    const records = [...texts.values()]
      .flatMap((text) => text.split('\n').slice(0, -1))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    found = records.find((each) => Object.entries(what).every(([name, is]) => each[name] === is))
    return found !== undefined
  })
  return found
}

const uploadHead = (authorization: string, length: number, more = '') =>
  `POST /ocr/infer HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: ${length}\r\n${more}\r\n`

/** A call that is at the model server and stays there. */
async function occupy(): Promise<{ leave: () => Promise<void> }> {
  const running = ask('busy')
  await until.atModel(1)
  return {
    async leave() {
      atModel[0]?.finish()
      expect((await running).status).toBe(200)
    },
  }
}

describe('while the model server is full', () => {
  test('who has waited is refused when the tokens of the day were spent meanwhile', async () => {
    proxy.model.answer((req, res) => {
      req.resume().on('end', () => {
        const finish = () => {
          res.setHeader('content-type', 'application/json')
          res.end('{"usage":{"prompt_tokens":6000,"completion_tokens":3000}}')
        }
        atModel.push({ body: '', finish })
      })
    })
    const limited = await bearerOf('limited', { limits: { tenant: { daily_tokens: 9000 } } })
    const first = proxy.call(limited)
    await until.atModel(1)
    const waiting = [proxy.call(limited), proxy.call(limited)]
    await until.waiting(2)
    const other = ask('other')
    await until.waiting(3)
    atModel[0]?.finish()
    expect((await first).status).toBe(200)
    await until.atModel(2)
    atModel[1]?.finish()
    expect((await other).status).toBe(200)
    for (const refused of await Promise.all(waiting)) {
      expect([refused.status, refused.headers.get('ratelimit')]).toEqual([
        429,
        expect.stringContaining('"daily_tokens";r=0'),
      ])
      expect(await refused.json()).toMatchObject({ error: { code: 'rate_limited' } })
    }
    await recordOf({ tenant_id: 'limited', decision: 'deny', reason: 'tenant_daily_tokens' })
  })

  test('tenants take turns, however many of one wait, and the record says for how long', async () => {
    const slot = await occupy()
    const flood = [1, 2, 3].map((n) => ask('flood', `flood ${n}`))
    await until.waiting(3)
    const other = ask('other')
    await until.waiting(4)
    await slot.leave()
    for (let n = 1; n <= 4; n += 1) {
      await until.atModel(n + 1)
      atModel[n]?.finish()
    }
    expect((await Promise.all([...flood, other])).map(({ status }) => status)).toEqual([
      200, 200, 200, 200,
    ])
    expect(atModel.map(({ body }) => body).indexOf('other')).toBeLessThanOrEqual(2)
    const record = await recordOf({ tenant_id: 'other', decision: 'allow' })
    expect(record?.['queued_ms']).toBeGreaterThan(0)
    expect(await metric('gatehouse_proxy_queue_seconds_count')).toBe(5)
  })

  test('who finds no place is 503 with a Retry-After and a reason', async () => {
    const slot = await occupy()
    const waiting = [1, 2, 3, 4].map(() => ask('flood'))
    await until.waiting(4)
    const refused = await ask('flood')
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    expect(await refused.json()).toMatchObject({ error: { code: 'temporarily_unavailable' } })
    expect(await recordOf({ reason: 'queue_full' })).toMatchObject({
      status: 503,
      decision: 'deny',
    })
    await slot.leave()
    for (let n = 1; n <= 4; n += 1) {
      await until.atModel(n + 1)
      atModel[n]?.finish()
    }
    await Promise.all(waiting)
  })

  test('who goes away or is revoked leaves the queue at once, and never reaches the model server', async () => {
    const slot = await occupy()
    const abort = new AbortController()
    const gone = ask('gone', 'gone', { signal: abort.signal }).catch(() => 'gone')
    await until.waiting(1)
    const jti = 'to be revoked'
    const revoked = proxy.call(await bearerOf('revoked', { jti }), { body: 'revoked' })
    await until.waiting(2)
    abort.abort()
    expect(await gone).toBe('gone')
    await until.waiting(1)
    const exp = Math.floor(proxy.time.now / 1000) + 900
    revocations.receive([{ id: '1', entry: { kind: 'jti', value: jti, exp } }])
    expect((await revoked).status).toBe(401)
    await until.waiting(0)
    await slot.leave()
    expect(atModel.map(({ body }) => body)).toEqual(['busy'])
    expect(await recordOf({ tenant_id: 'gone' })).toMatchObject({ reason: 'client_gone' })
    const record = await recordOf({ tenant_id: 'revoked' })
    expect(record).toMatchObject({ reason: 'revoked', bytes_in: 0 })
    expect(record?.['queued_ms']).toBeGreaterThan(0)
  })

  test('an upload stays with its client until its turn', async () => {
    const sockets: Socket[] = []
    const remember = (message: unknown) => {
      if (isRequestStart(message)) sockets.push(message.socket)
    }
    const slot = await occupy()
    subscribe('http.server.request.start', remember)
    const length = 32 * 1024 * 1024
    const connection = await openRawConnection(proxy.port)
    connection.send(uploadHead(await bearerOf('upload'), length))
    connection.socket.write(Buffer.alloc(length, 'x'))
    await until.waiting(1)
    unsubscribe('http.server.request.start', remember)
    // Long enough for all of it to have come, if anybody took it.
    for (let n = 0; n < 20; n += 1) await metric('gatehouse_proxy_waiting')
    const [server] = sockets
    expect(server?.bytesRead).toBeLessThan(256 * 1024)
    expect(connection.socket.writableLength).toBe(length)
    await slot.leave()
    await until.atModel(2)
    atModel[1]?.finish()
    expect(await connection.receives((text) => text.endsWith(String(length)))).toMatch(
      /^HTTP\/1.1 200/,
    )
    connection.socket.destroy()
  })

  test('a client that goes away in the middle of an image leaves the queue, and holds nothing any more', async () => {
    const slot = await occupy()
    const limits = { client: { concurrency: 2 } }
    const authorization = await bearerOf('gone', { limits })
    for (let n = 1; n <= 2; n += 1) {
      const connection = await openRawConnection(proxy.port)
      connection.send(uploadHead(authorization, 1_500_000))
      connection.socket.write(Buffer.alloc(1_000_000, 'x'))
      await until.waiting(1)
      connection.socket.end()
      await until.waiting(0)
    }
    const next = proxy.call(authorization, { body: 'next' })
    await until.waiting(1)
    await slot.leave()
    await until.atModel(2)
    atModel[1]?.finish()
    expect((await next).status).toBe(200)
  })

  test('an image that comes during the wait is passed on whole, or leaves its connection to the next', async () => {
    const slot = await occupy()
    const connection = await openRawConnection(proxy.port)
    const image = Buffer.alloc(1_000_000, 'image ')
    const jti = 'to be revoked'
    connection.send(uploadHead(await bearerOf('upload', { jti }), image.length))
    connection.socket.write(image)
    await until.waiting(1)
    await waitUntil('all is sent', async () => connection.socket.writableLength === 0)
    const exp = Math.floor(proxy.time.now / 1000) + 900
    revocations.receive([{ id: '1', entry: { kind: 'jti', value: jti, exp } }])
    await connection.receives((text) => text.startsWith('HTTP/1.1 401'))
    connection.send(uploadHead(await bearerOf('upload'), image.length))
    connection.socket.write(image)
    await until.waiting(1)
    await slot.leave()
    await until.atModel(2)
    atModel[1]?.finish()
    await connection.receives((text) => text.endsWith(String(image.length)))
    expect(atModel[1]?.body).toBe('image image image im')
    connection.socket.destroy()
  })

  test('a client that goes away with its upload unread gives its turn to the next', async () => {
    const slot = await occupy()
    const connection = await openRawConnection(proxy.port)
    const length = 32 * 1024 * 1024
    connection.send(uploadHead(await bearerOf('gone'), length))
    connection.socket.write(Buffer.alloc(length, 'x'))
    await until.waiting(1)
    const next = ask('next')
    await until.waiting(2)
    connection.socket.destroy()
    await slot.leave()
    await until.atModel(2)
    atModel[1]?.finish()
    expect((await next).status).toBe(200)
    expect(atModel.map(({ body }) => body)).toEqual(['busy', 'next'])
    expect(await recordOf({ tenant_id: 'gone' })).toMatchObject({ reason: 'client_gone' })
  })

  test('100 Continue is sent when its turn has come', async () => {
    const slot = await occupy()
    const connection = await openRawConnection(proxy.port)
    connection.send(uploadHead(await bearerOf('patient'), 7, 'Expect: 100-continue\r\n'))
    await until.waiting(1)
    expect(connection.received()).toBe('')
    await slot.leave()
    await connection.receives((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
    const impatient = await openRawConnection(proxy.port)
    impatient.send(uploadHead(await bearerOf('impatient'), 7, 'Expect: 100-continue\r\n'))
    await until.waiting(1)
    impatient.socket.destroy()
    await until.waiting(0)
    connection.send('patient')
    await until.atModel(2)
    atModel[1]?.finish()
    await connection.receives((text) => text.includes('HTTP/1.1 200'))
    connection.socket.destroy()
  })

  test('what needs no token passes beside the queue, and only so much of it', async () => {
    const slot = await occupy()
    const waiting = ask('waiting')
    await until.waiting(1)
    const monitors = Array.from({ length: 8 }, () => fetch(`${proxy.url}/health`))
    await until.atModel(9)
    const refused = await fetch(`${proxy.url}/health`)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await recordOf({ reason: 'public_full' })).toMatchObject({ route: '/health' })
    atModel.slice(1).forEach(({ finish }) => finish())
    expect((await Promise.all(monitors)).map(({ status }) => status)).toEqual(Array(8).fill(200))
    await slot.leave()
    await until.atModel(10)
    atModel[9]?.finish()
    expect((await waiting).status).toBe(200)
  })
})

test('who waits when the proxy shuts down is still served', async () => {
  const slot = await occupy()
  const waiting = ask('waiting')
  await until.waiting(1)
  const closed = proxy.close(20)
  await slot.leave()
  await until.atModel(2)
  atModel[1]?.finish()
  expect((await waiting).status).toBe(200)
  close = () => closed
})

function isRequestStart(message: unknown): message is { socket: Socket } {
  return typeof message === 'object' && message !== null && 'socket' in message
}
