import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { LOAD_CORE, type Lab } from './lab.ts'
import { cpuSeconds, residentBytes } from './proc.ts'

export type Contestant = { name: string; url: string; pid: number }

export type Load = {
  path: string
  contentType: string
  body: string
  /** `Authorization` headers, sent in turn, one with each request. */
  authorizations: readonly string[]
  connections: number
  seconds: number
}

export type Measured = {
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU time of the server alone. */
  cpuMicrosecondsPerRequest: number
  residentBytes: number
}

/** Requests are formatted before the first is sent, so that many callers cost wrk no more than one. */
const SCRIPT = `
local requests, turn = {}, 0
function init(arguments)
  wrk.method = 'POST'
  wrk.body = io.open(arguments[2]):read('*a')
  wrk.headers['Content-Type'] = arguments[3]
  for authorization in io.lines(arguments[1]) do
    wrk.headers['Authorization'] = authorization
    requests[#requests + 1] = wrk.format()
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%d,"micros":%d,"failures":%d,"p50":%f,"p99":%f}',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`

const resultSchema = z.object({
  requests: z.number(),
  micros: z.number(),
  failures: z.number(),
  p50: z.number(),
  p99: z.number(),
})

const execute = promisify(execFile)

export const bearer = (token: string): string => `Bearer ${token}`

/** Loads one server with wrk. An Error when a single request failed or was refused: then nothing was measured. */
export async function measure(lab: Lab, { url, pid, name }: Contestant, load: Load) {
  const scriptFile = join(lab.dir, 'post.lua')
  const authorizationFile = join(lab.dir, 'authorizations.txt')
  const bodyFile = join(lab.dir, 'body')
  writeFileSync(scriptFile, SCRIPT)
  writeFileSync(authorizationFile, load.authorizations.join('\n'))
  writeFileSync(bodyFile, load.body)
  const cpuBefore = cpuSeconds(pid)
  const options = `--threads 1 --timeout 30s --connections ${load.connections} --duration ${load.seconds}s`
  const { stdout } = await execute(
    'taskset',
    [`--cpu-list ${LOAD_CORE} wrk ${options}`.split(' '), '--script', scriptFile]
      .flat()
      .concat(`${url}${load.path}`, '--', authorizationFile, bodyFile, load.contentType),
  )
  const cpuUsed = cpuSeconds(pid) - cpuBefore
  const json = /^RESULT (.*)$/m.exec(stdout)?.[1]
  const result = resultSchema.parse(JSON.parse(json ?? 'null'))
  if (result.failures > 0) throw new Error(`${name}: ${result.failures} requests failed\n${stdout}`)
  if (result.requests === 0) throw new Error(`${name}: no answer within ${load.seconds} s`)
  return {
    requestsPerSecond: result.requests / (result.micros / 1e6),
    p50Ms: result.p50 / 1000,
    p99Ms: result.p99 / 1000,
    cpuMicrosecondsPerRequest: (cpuUsed / result.requests) * 1e6,
    residentBytes: residentBytes(pid),
  } satisfies Measured
}
