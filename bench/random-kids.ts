import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Agent, request } from 'node:http'
import { startField } from './contestants.ts'
import { inLab, LOAD_CORE } from './lab.ts'
import { residentBytes } from './proc.ts'
import { firstLineOf } from './served-issuer.ts'
import { quantile } from './token-load.ts'

/**
 * What random kids cost those whose tokens are good: how long one waits that asks every 10 ms, when it is quiet, while
 * as many requests come without any token, and while they come with tokens under kids that nobody has. Rounds are
 * interleaved, as these machines are noisy.
 */
const LOAD = join(import.meta.dirname, 'bad-token-load.ts')
const PER_SECOND = 2500
const SECONDS = 5
const ROUNDS = 8
const STATES = ['quiet', 'no token', 'random kids'] as const

await inLab(async (lab) => {
  const { gatehouse, issuer, audience } = await startField(lab)
  const [token = ''] = await issuer.issueTokens(1, audience)
  await timesOf(gatehouse.url, token, 1)
  const [memoryBefore, fetchesBefore] = [residentBytes(gatehouse.pid), issuer.jwksFetches()]
  const startedAt = performance.now()
  const times: Record<string, number[]> = {}
  const answers: Record<string, Record<string, number>> = {}
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const state of STATES) {
      const attacker = state === 'quiet' ? undefined : attack(gatehouse.url, state, token)
      ;(times[state] ??= []).push(...(await timesOf(gatehouse.url, token, SECONDS)))
      attacker?.kill()
      if (attacker !== undefined)
        add((answers[state] ??= {}), JSON.parse(await firstLineOf(attacker)))
    }
  }
  for (const state of STATES) {
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantile(times[state] ?? [], share))
    print(
      `${state}: p50 ${p50?.toFixed(2)} ms, p95 ${p95?.toFixed(2)} ms, p99 ${p99?.toFixed(2)} ms; answers ${JSON.stringify(answers[state] ?? {})}`,
    )
  }
  issuer.close()
  const megabytes = (residentBytes(gatehouse.pid) - memoryBefore) / 2 ** 20
  const seconds = (performance.now() - startedAt) / 1000
  print(
    `JWKS fetches: ${issuer.jwksFetches() - fetchesBefore} in ${seconds.toFixed(0)} s; memory ${megabytes.toFixed(0)} MB more`,
  )
})

function attack(url: string, state: 'no token' | 'random kids', token: string) {
  const args = [LOAD, url, String(PER_SECOND), state === 'no token' ? 'none' : token]
  const pinned = ['--cpu-list', String(LOAD_CORE), process.execPath, ...args]
  return spawn('taskset', pinned, { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Times in milliseconds of a caller whose token is good. Throws when it is refused. */
async function timesOf(url: string, token: string, seconds: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true })
  const until = performance.now() + seconds * 1000
  const times: number[] = []
  while (performance.now() < until) {
    const startedAt = performance.now()
    const status = await ask(`${url}/v1/models`, token, agent)
    if (status !== 200) throw new Error(`refused with ${status}`)
    times.push(performance.now() - startedAt)
    await pause(10)
  }
  agent.destroy()
  return times
}

function ask(url: string, token: string, agent: Agent): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    sending.on('error', reject).end()
  })
}

function add(to: Record<string, number>, more: Record<string, number>): void {
  for (const [status, count] of Object.entries(more)) to[status] = (to[status] ?? 0) + count
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
