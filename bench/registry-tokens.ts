import { spawn } from 'node:child_process'
import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { firstLineOf, startIssuerOf, type ServedIssuer } from './served-issuer.ts'
import { quantile, requestToken, tokensPerSecond, type Credentials } from './token-load.ts'

/**
 * What the registry costs: tokens per second with hashed secrets against secrets in the clear, and with 100,000 clients
 * against ten; a token request of somebody else while one address guesses 1,000 secrets a second. Rounds are
 * interleaved, as these machines are noisy: only ratios count.
 */
const GUESSER = fileURLToPath(new URL('./guess-secrets.ts', import.meta.url))
const LOAD = { connections: 8, seconds: 4 }
const ROUNDS = 5
const GUESSES_PER_SECOND = 1000

const clientOf = ({ clients }: ServedIssuer, index: number): Credentials => {
  const client = clients[index]
  if (client === undefined) throw new Error('the issuer has no such client')
  return client
}

async function compareThroughput(few: ServedIssuer, many: ServedIssuer): Promise<void> {
  const contestants = {
    'secrets in the clear, 10 clients': [few.plain, few],
    'hashed secrets, 10 clients': [few.hashing, few],
    'hashed secrets, 100,000 clients': [many.hashing, many],
  } as const
  const rates: Record<string, number[]> = {}
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, [url, issuer]] of Object.entries(contestants)) {
      const rate = await tokensPerSecond(url, clientOf(issuer, 0), LOAD)
      // The first round warms up.
      if (round > 0) (rates[name] ??= []).push(rate)
    }
  }
  const plain = quantile(rates['secrets in the clear, 10 clients'] ?? [], 0.5)
  for (const [name, of] of Object.entries(rates)) {
    const rate = quantile(of, 0.5)
    print(`${name}: ${rate.toFixed(0)} tokens/s, ${(rate / plain).toFixed(2)} of the first`)
  }
}

/** Times of a client that asks for a token every 20 ms. */
async function timesOf(issuer: ServedIssuer): Promise<number[]> {
  const agent = new Agent({ keepAlive: true })
  const times: number[] = []
  for (let count = 0; count < 150; count += 1) {
    const options = { agent, from: '127.0.0.1' }
    const { status, elapsedMs } = await requestToken(issuer.hashing, clientOf(issuer, 0), options)
    if (status !== 200) throw new Error(`refused with ${status}`)
    times.push(elapsedMs)
    await pause(20)
  }
  agent.destroy()
  return times
}

async function measureGuessing(issuer: ServedIssuer): Promise<void> {
  const attacks = { 'one client': [clientOf(issuer, 1).clientId], 'ever other clients': [] }
  for (const [what, target] of Object.entries(attacks)) {
    const times: { quiet: number[]; attacked: number[] } = { quiet: [], attacked: [] }
    const answers: string[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      times.quiet.push(...(await timesOf(issuer)))
      const args = [GUESSER, issuer.hashing, String(GUESSES_PER_SECOND), ...target]
      const guesser = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      times.attacked.push(...(await timesOf(issuer)))
      guesser.kill()
      answers.push(await firstLineOf(guesser))
    }
    const [before, during] = [quantile(times.quiet, 0.5), quantile(times.attacked, 0.5)]
    print(
      `guessing at ${what}: ${before.toFixed(1)} → ${during.toFixed(1)} ms median` +
        ` (${(during / before).toFixed(2)}), ${quantile(times.quiet, 0.95).toFixed(1)} →` +
        ` ${quantile(times.attacked, 0.95).toFixed(1)} ms p95; answers ${answers.join(' ')}`,
    )
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** `guessing` as an argument measures that alone: a minute. */
const isGuessingAlone = process.argv[2] === 'guessing'
const few = await startIssuerOf(10)
const many = isGuessingAlone ? undefined : await startIssuerOf(100_000)
try {
  if (many !== undefined) {
    for (const { paging } of [few, many]) {
      const { clients, seconds, slowestPageMs, peakHeapGrowthBytes } = paging
      print(
        `paging through ${clients} clients: ${seconds.toFixed(2)} s, slowest page of 500` +
          ` ${slowestPageMs.toFixed(0)} ms, heap at most ${(peakHeapGrowthBytes / 2 ** 20).toFixed(0)} MiB more`,
      )
    }
    await compareThroughput(few, many)
  }
  await measureGuessing(few)
} finally {
  await Promise.all([few.stop(), many?.stop()])
}
