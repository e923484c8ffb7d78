import * as fc from 'fast-check'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { legalRequest } from './legal-request.ts'
import type { LoneProxy } from './lone-proxy.ts'

/** What a model server says that it got. */
export type SeenRequest = { id: string; method: string; target: string }

const pick = (...texts: string[]) => fc.constantFrom(...texts)
/** Mostly as it should be, so that one fault at a time gets far; sometimes one of the others. */
const mostly = (right: string, ...wrong: string[]) =>
  fc.oneof({ weight: 30, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: pick(...wrong) })

const smuggled = (token: string) =>
  `GET /v1/models?smuggled HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`

const requestLine = fc
  .record({
    before: mostly('', '\r\n', '\n', '\r\n\r\n', ' ', '\0'),
    method: mostly(
      'POST',
      'GET',
      'HEAD',
      'post',
      'DELETE',
      'P\0ST',
      'TRACE',
      'OPTIONS',
      'CONNECT',
      'PRI',
    ),
    space: mostly(' ', '  ', '\t', '\x0b', ' \r'),
    target: mostly(
      '/v1/chat/completions',
      '/v1/models',
      '/health',
      '/v1/chat/completions?a=b c',
      'http://x/v1/models',
      'http://x/health',
      '//v1/models',
      '/v1/models#x',
      '/v1/models\t',
      '*',
      'x:80',
      '/v1/models HTTP/1.1\r\nX: y',
      '/health\r\n\r\nGET /v1/models',
    ),
    version: mostly(
      'HTTP/1.1',
      'HTTP/1.0',
      'HTTP/2.0',
      'HTTP/1.2',
      'HTTP/0.9',
      'http/1.1',
      'HTTP/1.1 ',
      'HTTP/1.1\0',
      '',
    ),
  })
  .map(
    ({ before, method, space, target, version }) =>
      `${before}${method}${space}${target} ${version}`,
  )

const lengthField = (length: number) =>
  pick(
    `Content-Length: ${length}`,
    `Content-Length: ${length + 1}`,
    `Content-Length: ${Math.max(0, length - 1)}`,
    'Content-Length: 0',
    `Content-Length: +${length}`,
    `Content-Length: -${length}`,
    `Content-Length: 0${length}`,
    `Content-Length: 0x${length.toString(16)}`,
    `Content-Length: ${length}, ${length}`,
    `Content-Length: ${length}, 0`,
    `Content-Length: ${length} 1`,
    `Content-Length: ${length};a`,
    `Content-Length: ${length}\t`,
    `Content-Length: "${length}"`,
    `Content-Length: ${length}.0`,
    `Content-Length: ${length}e0`,
    'Content-Length: 18446744073709551617',
    'Content-Length:',
    `Content-Length : ${length}`,
    `Content-Length\t: ${length}`,
    `Content-Length:\r\n ${length}`,
    `Content_Length: ${length}`,
    `Content-Length\0: ${length}`,
    ` Content-Length: ${length}`,
    `X: y\nContent-Length: ${length}`,
    `X: y\rContent-Length: ${length}`,
  )

const codingField = pick(
  'Transfer-Encoding: chunked',
  'transfer-encoding: Chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: identity, chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunkedx',
  'Transfer-Encoding:  chunked ',
  'Transfer-Encoding: \x0bchunked',
  'Transfer-Encoding: chunked\x0b',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding: chunked;q=1',
  'Transfer-Encoding: ,chunked',
  'Transfer-Encoding: chunked,',
  'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip',
  'Transfer-Encoding:',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer_Encoding: chunked',
  'Transfer-Encoding\0: chunked',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
)

const otherField = pick(
  'X: y',
  'X: y\r\n z',
  'X: y\r\n\tz',
  'X : y',
  ': y',
  'X',
  'X: \0',
  'X: \xe9',
  'X: a\rb',
  'Connection: keep-alive',
  'Connection: close',
  'Connection: content-length',
  'Connection: transfer-encoding',
  'Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
  'Upgrade: websocket',
  'Expect: 100-continue',
  'Expect: 100-Continue',
  'Expect: 200-ok',
  'Host: y',
  'TE: trailers',
  'Trailer: Content-Length',
  'X-Request-Id: mine\r\nX: y',
)

const chunks = fc
  .record({
    size: mostly(
      'SIZE',
      '0xSIZE',
      ' SIZE',
      'SIZE ',
      '+SIZE',
      '-SIZE',
      '00SIZE',
      '0000000000000000SIZE',
      'FFFFFFFFFFFFFFFF',
      'SIZE0',
      '1',
      'g',
      '',
    ),
    extension: mostly('', ';a', ';a=b', ';a="b\r\nc"', ';\n', ';a\r', '\x0b', ';a="', '\0'),
    lineEnd: mostly('\r\n', '\n', '\r', '\r\r\n', '\n\n'),
    dataEnd: mostly('\r\n', '\n', '', '\r', 'x\r\n'),
    last: mostly('0\r\n', '00\r\n', '0\n', '0;a=b\r\n', '-0\r\n', ''),
    trailers: mostly(
      '',
      'X: y\r\n',
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      'X: y\n',
    ),
    end: mostly('\r\n', '\n', '', '\r'),
  })
  .map(({ size, extension, lineEnd, dataEnd, last, trailers, end }) => (data: string) => {
    const hex = Buffer.byteLength(data, 'latin1').toString(16)
    const line = `${size.replace('SIZE', hex)}${extension}${lineEnd}`
    return `${line}${data}${dataEnd}${last}${trailers}${end}`
  })

const data = (token: string) =>
  pick(
    '',
    '{}',
    'x'.repeat(30),
    smuggled(token),
    `0\r\n\r\n${smuggled(token)}`,
    `\r\n${smuggled(token)}`,
  )

/** A request that may be malformed in any of these ways, with more of them behind it. */
const malformed = (token: string) =>
  fc
    .record({ line: requestLine, content: data(token), chunked: chunks, isChunked: fc.boolean() })
    .chain(({ line, content, chunked, isChunked }) => {
      const body = isChunked ? chunked(content) : content
      const length = Buffer.byteLength(body, 'latin1')
      const right = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
      const framing = fc.oneof(
        { weight: 3, arbitrary: fc.constant([right]) },
        { weight: 2, arbitrary: lengthField(length).map((field) => [field]) },
        { weight: 2, arbitrary: codingField.map((field) => [field]) },
        {
          weight: 2,
          arbitrary: fc.tuple(lengthField(length), codingField).map(([a, b]) => [a, b]),
        },
        {
          weight: 2,
          arbitrary: fc.tuple(codingField, lengthField(length)).map(([a, b]) => [a, b]),
        },
        {
          weight: 1,
          arbitrary: fc.tuple(lengthField(length), lengthField(length)).map(([a, b]) => [a, b]),
        },
        { weight: 1, arbitrary: fc.constant<string[]>([]) },
      )
      return fc.record({
        line: fc.constant(line),
        framing,
        body: fc.constant(body),
        others: fc.array(otherField, { maxLength: 1 }),
        lineEnd: mostly('\r\n', '\n', '\r', '\r\r\n'),
        after: pick('', smuggled(token), 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'),
      })
    })
    .map(({ line, framing, body, others, lineEnd, after }) => {
      const fields = ['Host: x', `Authorization: Bearer ${token}`, ...others, ...framing]
      return `${[line, ...fields].join(lineEnd)}${lineEnd}${lineEnd}${body}${after}`
    })

/** Cut at up to three places. */
const inPackets = (text: string) =>
  fc.array(fc.nat({ max: text.length }), { maxLength: 3 }).map((cuts) => {
    const ends = [...cuts.toSorted((a, b) => a - b), text.length]
    return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end))
  })

/** What one client sends: packets at once, and the rest, if any, when they have been answered. */
type Connection = { packets: string[]; rest?: string }

const connection = (token: string) => {
  const legal = legalRequest(token, data(token))
  return fc.oneof<fc.MaybeWeightedArbitrary<Connection>[]>(
    { weight: 4, arbitrary: malformed(token).map((text) => ({ packets: [text] })) },
    {
      weight: 1,
      arbitrary: fc.record({
        packets: legal.chain(inPackets),
        rest: fc.oneof(fc.constant(''), malformed(token), legal),
      }),
    },
  )
}

const AT_ONCE = 20

/**
 * Makes that many such connections to the proxy, four of five malformed, and gives where the model server and the proxy's log
 * disagree about what was asked.
 */
export async function findDisagreements(
  proxy: LoneProxy,
  seen: () => readonly SeenRequest[] | Promise<readonly SeenRequest[]>,
  { count, seed }: { count: number; seed: number },
): Promise<{ problems: string[]; forwarded: number; refused: number }> {
  const token = await proxy.issuer.sign()
  const connections = fc.sample(connection(token), { seed, numRuns: count })
  for (let at = 0; at < count; at += AT_ONCE) {
    await sendAll(proxy, connections.slice(at, at + AT_ONCE))
  }
  return compare(proxy, await seen())
}

async function sendAll(proxy: LoneProxy, connections: readonly Connection[]): Promise<void> {
  const sockets = await Promise.all(
    connections.map(async ({ packets, rest }) => {
      const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true })
      socket.on('error', () => undefined).resume()
      await once(socket, 'connect')
      const answered = new Promise((resolve) => socket.once('data', resolve).once('close', resolve))
      for (const packet of packets) {
        socket.write(packet, 'latin1')
        // The proxy, in this process, reads it before there is more.
        await setImmediate()
      }
      if (rest === undefined) return socket
      await answered
      if (socket.writable) socket.write(rest, 'latin1')
      return socket
    }),
  )
  // By the time that these are answered, so is what was sent before them and is whole.
  for (let i = 0; i < 2; i += 1)
    await proxy.call(undefined, { method: 'GET', body: null }, '/health')
  await Promise.all(sockets.map(endOf))
}

async function endOf(socket: Socket): Promise<void> {
  if (socket.closed) return
  const closed = once(socket, 'close')
  socket.end()
  await closed
}

function compare(proxy: LoneProxy, seen: readonly SeenRequest[]) {
  const logged = proxy.logged.filter(({ event }) => event === 'proxy.call')
  const byId = new Map(logged.map((line) => [String(line['request_id']), line]))
  const times = new Map<string, number>()
  const problems: string[] = []
  for (const request of seen) {
    const { id, method, target } = request
    const line = byId.get(id)
    times.set(id, (times.get(id) ?? 0) + 1)
    const isMeant =
      line !== undefined && line['method'] === method && line['route'] === target.split('?')[0]
    if (!isMeant) problems.push(`not in the log as such: ${JSON.stringify({ request, line })}`)
  }
  for (const [id, count] of times) if (count > 1) problems.push(`${count} times: ${id}`)
  for (const [id, line] of byId) {
    const isAnswered =
      line['decision'] === 'allow' && line['reason'] === 'allowed' && line['upstream'] !== undefined
    if (isAnswered && !times.has(id)) problems.push(`never arrived: ${JSON.stringify(line)}`)
  }
  const refused = proxy.logged.filter(({ decision }) => decision === 'deny').length
  const forwarded = seen.filter(({ target }) => target !== '/health').length
  return { problems, forwarded, refused }
}
