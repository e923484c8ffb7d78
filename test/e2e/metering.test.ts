import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFileArchive } from '../../src/audit/search.ts'
import { auditFolderOf } from '../../src/cli/open-audit.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'

let proxy: LoneProxy
let authorization: string
beforeAll(async () => {
  proxy = await startLoneProxy()
  authorization = `Bearer ${await proxy.issuer.sign()}`
})
afterAll(() => proxy.close())

/** The record of that call, once it is in the trail. */
async function recordOf(response: Response) {
  const archive = createFileArchive(auditFolderOf(proxy.config))
  const requestId = response.headers.get('x-request-id')
  const find = async () => {
    const { records } = await archive.search({ event: 'proxy.call' }, { limit: 1000 })
    return records.find(({ request_id }) => request_id === requestId)
  }
  await waitUntil('the call is on record', async () => (await find()) !== undefined)
  return find()
}

const STREAM = { 'content-type': 'text/event-stream' }
const eventOf = (content: string) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`

test('what a JSON answer says it took is on record, and the answer is untouched', async () => {
  const text = 'TOTAL 12.50 "usage":{"completion_tokens":0}'
  const answer = JSON.stringify({
    choices: [{ message: { content: text } }],
    usage: { prompt_tokens: 812, completion_tokens: 40, total_tokens: 852 },
  })
  proxy.model.answer((req, res) => {
    req.resume()
    res.setHeader('content-type', 'application/json').end(answer)
  })
  const response = await proxy.call(authorization)
  expect(await response.text()).toBe(answer)
  const record = await recordOf(response)
  expect(record?.usage).toEqual({ prompt_tokens: 812, completion_tokens: 40 })
  expect(JSON.stringify(record)).not.toContain('12.50')
})

test('no caller can keep an answer from being metered by what encodings it accepts', async () => {
  let accepted: unknown
  proxy.model.answer((req, res) => {
    req.resume()
    accepted = req.headers['accept-encoding']
    res.setHeader('content-type', 'application/json').end('{"usage":{"completion_tokens":40}}')
  })
  for (const name of ['Accept-Encoding', 'accept_encoding']) {
    const response = await proxy.call(authorization, { headers: { [name]: 'gzip, br' } })
    expect(await response.text()).toContain('40')
    expect(accepted).toBe('identity')
    expect((await recordOf(response))?.usage).toEqual({ completion_tokens: 40 })
  }
})

test('what a stream says at its end is on record', async () => {
  const last = 'data: {"choices":[],"usage":{"prompt_tokens":812,"completion_tokens":2}}\n\n'
  proxy.model.answer((req, res) => {
    req.resume()
    res.writeHead(200, STREAM).write(eventOf('TOTAL'))
    res.write(last.slice(0, 30))
    res.end(`${last.slice(30)}data: [DONE]\n\n`)
  })
  const response = await proxy.call(authorization)
  expect(await response.text()).toBe(`${eventOf('TOTAL')}${last}data: [DONE]\n\n`)
  expect((await recordOf(response))?.usage).toEqual({ prompt_tokens: 812, completion_tokens: 2 })
})

test('a stream that the client leaves is on record with what had come by then', async () => {
  proxy.model.answer((req, res) => {
    req.resume()
    res.writeHead(200, STREAM).write(eventOf('TOTAL') + eventOf(' 12.50'))
  })
  const leaving = new AbortController()
  const response = await proxy.call(authorization, { signal: leaving.signal })
  await response.body?.getReader().read()
  leaving.abort()
  expect(await recordOf(response)).toMatchObject({
    reason: 'client_gone',
    usage: { completion_tokens: 2, estimated: true },
  })
})

test('a stream that the model server breaks off is on record with what had come by then', async () => {
  proxy.model.answer((req, res) => {
    req.resume()
    res.writeHead(200, STREAM).write(eventOf('TOTAL'), () => res.destroy())
  })
  const response = await proxy.call(authorization)
  await expect(response.text()).rejects.toThrow()
  expect(await recordOf(response)).toMatchObject({
    reason: 'upstream_broke_off',
    usage: { completion_tokens: 1, estimated: true },
  })
})
