import { execFileSync } from 'node:child_process'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePorts } from '../src/cli/free-ports.ts'
import { formatTable } from '../src/cli/table.ts'
import { startNginxProxy } from './backend.ts'
import { startGatehouseProxy } from './gatehouse-proxy.ts'
import { inLab, LOAD_CORE, SERVER_CORE, waitFor } from './lab.ts'
import { cpuSeconds, residentBytes } from './proc.ts'
import { quantile } from './token-load.ts'
import { startTestIssuer } from './tokens.ts'
import type { Contestant } from './wrk.ts'

/**
 * Many slow streams of server-sent events at once: what each costs in memory, and how late chunks come. The clients and
 * the model server are in this process, so that one clock tells when a chunk was sent and when it came.
 */
const { values: flags } = parseArgs({
  options: {
    streams: { type: 'string', default: '5000' },
    chunks: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '10' },
  },
})
const streams = Number(flags.streams)
const chunksPerSecond = Number(flags.chunks)
const seconds = Number(flags.seconds)
const OPEN_AT_ONCE = 50
const SETTLE_MS = 3000
const TICK_MS = 5

/** An answer under way: its chunks carry the time at which each was written. */
type Stream = { write: () => void; end: () => void }

const here = (path: string) => join(import.meta.dirname, path)

await inLab(async (lab) => {
  execFileSync('taskset', ['--cpu-list', '--pid', String(LOAD_CORE), String(process.pid)])
  const [issuerPort = 0, modelPort = 0, port = 0, opsPort = 0, ...others] = await freePorts(6)
  const [undiciPort = 0, nginxPort = 0] = others
  const url = `http://127.0.0.1:${port}`
  const issuer = await startTestIssuer(issuerPort)
  const [token = ''] = await issuer.issueTokens(1, url, { limits: {} })
  const model = startModel(modelPort)
  const modelUrl = `http://127.0.0.1:${modelPort}`

  const gatehouse = await startGatehouseProxy(lab, {
    issuerUrl: issuer.url,
    upstreamUrl: modelUrl,
    url,
    opsPort,
    settings: { GATEHOUSE_PROXY__MAX_IN_FLIGHT_PER_UPSTREAM: String(streams) },
  })
  const undici = lab.start(
    'undici',
    [process.execPath, here('bare-undici-proxy.ts'), String(undiciPort), modelUrl, String(streams)],
    { core: SERVER_CORE },
  )
  const nginx = startNginxProxy(lab, nginxPort, modelPort)
  const contestants: Contestant[] = [
    { name: 'gatehouse', url, pid: gatehouse },
    { name: 'undici, no checks', url: `http://127.0.0.1:${undiciPort}`, pid: undici },
    { name: 'nginx, no checks', url: `http://127.0.0.1:${nginxPort}`, pid: nginx },
    { name: 'nothing between', url: modelUrl, pid: process.pid },
  ]
  const rows: string[][] = []
  for (const contestant of contestants) {
    await waitFor(contestant.url)
    rows.push(await measure(contestant, `Bearer ${token}`, model))
  }
  const headings = ['server', 'KiB a stream', 'p50 ms', 'p99 ms', 'CPU %']
  process.stdout.write(`${streams} streams, ${chunksPerSecond} chunks a second\n`)
  process.stdout.write(`${formatTable(headings, rows)}\n`)
  model.close()
  issuer.close()
})

async function measure(
  { name, url, pid }: Contestant,
  authorization: string,
  model: Model,
): Promise<string[]> {
  process.stderr.write(`${name}\n`)
  const delaysMs: number[] = []
  const idleBytes = residentBytes(pid)
  while (model.streams.length < streams) {
    const missing = Math.min(OPEN_AT_ONCE, streams - model.streams.length)
    await Promise.all(
      Array.from({ length: missing }, () => openStream(url, authorization, delaysMs)),
    )
  }
  await pause(SETTLE_MS)
  const kibibytes = (residentBytes(pid) - idleBytes) / 1024 / streams

  delaysMs.length = 0
  const cpuBefore = cpuSeconds(pid)
  await sendChunks(model.streams)
  const cpuShare = (cpuSeconds(pid) - cpuBefore) / seconds
  for (const stream of model.streams.splice(0)) stream.end()
  const sent = chunksPerSecond * seconds
  if (delaysMs.length < sent) throw new Error(`${name}: ${delaysMs.length} of ${sent} chunks came`)
  await pause(SETTLE_MS)
  const isOurs = pid === process.pid
  return [
    name,
    isOurs ? '' : kibibytes.toFixed(0),
    quantile(delaysMs, 0.5).toFixed(2),
    quantile(delaysMs, 0.99).toFixed(2),
    isOurs ? '' : (cpuShare * 100).toFixed(0),
  ]
}

/** Resolves once the first chunk has come. */
function openStream(url: string, authorization: string, delaysMs: number[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization, 'content-type': 'application/json', 'content-length': 2 }
    const req = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false })
    req.on('error', reject)
    req.on('response', (response: IncomingMessage) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.setEncoding('latin1').on('data', (text: string) => {
        for (const [, sentAtMs] of text.matchAll(/^data: (\S+)$/gm)) {
          delaysMs.push(performance.now() - Number(sentAtMs))
        }
        resolve()
      })
    })
    req.end('{}')
  })
}

/** By turns on all streams, at an even pace. */
async function sendChunks(all: readonly Stream[]): Promise<void> {
  const startedAtMs = performance.now()
  for (let sent = 0; sent < chunksPerSecond * seconds;) {
    await pause(TICK_MS)
    const due = ((performance.now() - startedAtMs) / 1000) * chunksPerSecond
    for (; sent < Math.min(due, chunksPerSecond * seconds); sent += 1) {
      all[sent % all.length]?.write()
    }
  }
  await pause(1000)
}

type Model = { streams: Stream[]; close: () => void }

function startModel(port: number): Model {
  const open: Stream[] = []
  const server = createServer((req: IncomingMessage, res: ServerResponse) => {
    if (req.method !== 'POST') {
      res.end()
      return
    }
    req.resume()
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const stream = {
      write: () => void res.write(`data: ${performance.now()}\n\n`),
      end: () => void res.end(),
    }
    stream.write()
    open.push(stream)
  })
  server.listen({ port, host: '127.0.0.1', backlog: 1024 })
  return { streams: open, close: () => server.close() }
}
