import { parseArgs } from 'node:util'
import { formatTable } from '../src/cli/table.ts'
import { startField, type Field } from './contestants.ts'
import { inLab, type Lab } from './lab.ts'
import { median } from './median.ts'
import { bearer, measure, type Contestant, type Load, type Measured } from './wrk.ts'

/** Requests of 1 kB through the proxy, beside a bare undici proxy and HAProxy, by turns. Usage: bench/README.md. */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
  },
})

const rounds = Number(flags.rounds)
const seconds = Number(flags.seconds)

/** More than the cache of verified tokens holds (10,000): read in turn, every one has been evicted when it is next. */
const TOKENS_BEYOND_CACHE = 12_000
const MANY_TOKENS = 2000

await inLab(async (lab) => {
  const field = await startField(lab)
  const issued = await field.issuer.issueTokens(TOKENS_BEYOND_CACHE, field.audience)
  const authorizations = issued.map(bearer)
  const one = authorizations.slice(0, 1)
  const many = authorizations.slice(0, MANY_TOKENS)
  const request = { contentType: 'application/json', body: chatOf(1024) }
  const shared = { path: '/v1/chat/completions', ...request, seconds }
  const busy = { ...shared, connections: Number(flags.connections) }

  const contestants = [field.gatehouse, field.undici, field.haproxy]
  for (const contestant of contestants) {
    await measure(lab, contestant, { ...busy, authorizations: one, seconds: 2 })
  }
  const runs: [string, Load][] = [
    ['one token', { ...busy, authorizations: one }],
    [`${MANY_TOKENS} tokens by turns`, { ...busy, authorizations: many }],
    [`${TOKENS_BEYOND_CACHE} tokens: none is in the cache`, { ...busy, authorizations }],
  ]
  for (const [title, load] of runs) {
    const results = await byTurns(lab, contestants, load)
    print(`${title}, ${load.connections} connections`, throughputTable(field, results))
  }
  const single = { ...shared, connections: 1, authorizations: many }
  const latencies = await byTurns(lab, [...contestants, field.backend], single)
  print(`${MANY_TOKENS} tokens by turns, 1 connection`, latencyTable(field, latencies))
  field.issuer.close()
})

/** A question about a picture, in as many bytes. */
function chatOf(bytes: number): string {
  const chat = (picture: string) =>
    JSON.stringify({
      model: 'tencent/HunyuanOCR',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
            { type: 'text', text: 'Extract all text.' },
          ],
        },
      ],
    })
  return chat('A'.repeat(bytes - chat('').length))
}

type Results = ReadonlyMap<Contestant, readonly Measured[]>

/** One run each, then again: what the machine does meanwhile hits everybody alike. */
async function byTurns(lab: Lab, contestants: readonly Contestant[], load: Load): Promise<Results> {
  const results = new Map(contestants.map((contestant) => [contestant, Array<Measured>()]))
  for (let round = 1; round <= rounds; round += 1) {
    process.stderr.write(`${load.authorizations.length} tokens, round ${round} of ${rounds}\n`)
    for (const [contestant, measured] of results) {
      measured.push(await measure(lab, contestant, load))
    }
  }
  return results
}

function throughputTable(field: Field, results: Results): string {
  const rows = [...results].map(([{ name }, runs]) => [
    name,
    medianOf(runs, 'requestsPerSecond').toFixed(0),
    ratio(results, runs, field.haproxy, 'requestsPerSecond'),
    ratio(results, runs, field.undici, 'requestsPerSecond'),
    medianOf(runs, 'cpuMicrosecondsPerRequest').toFixed(0),
    ratio(results, runs, field.haproxy, 'cpuMicrosecondsPerRequest'),
    medianOf(runs, 'p50Ms').toFixed(2),
    medianOf(runs, 'p99Ms').toFixed(2),
    (medianOf(runs, 'residentBytes') / 1e6).toFixed(0),
  ])
  return formatTable(
    [
      'server',
      'req/s',
      '÷ haproxy',
      '÷ undici',
      'CPU µs each',
      'CPU ÷ haproxy',
      'p50 ms',
      'p99 ms',
      'RSS MB',
    ],
    rows,
  )
}

function latencyTable(field: Field, results: Results): string {
  const rows = [...results].map(([{ name }, runs]) => [
    name,
    medianOf(runs, 'p50Ms').toFixed(3),
    medianOf(runs, 'p99Ms').toFixed(3),
    ratio(results, runs, field.haproxy, 'p50Ms'),
    ratio(results, runs, field.haproxy, 'p99Ms'),
  ])
  return formatTable(['server', 'p50 ms', 'p99 ms', 'p50 ÷ haproxy', 'p99 ÷ haproxy'], rows)
}

function medianOf(runs: readonly Measured[], figure: keyof Measured): number {
  return median(runs.map((run) => run[figure]))
}

/** The median of the rounds' ratios, with the lowest and the highest: neighbours in time are what compares best. */
function ratio(
  results: Results,
  runs: readonly Measured[],
  reference: Contestant,
  figure: keyof Measured,
): string {
  const ratios = runs.map((run, i) => run[figure] / (results.get(reference)?.[i]?.[figure] ?? NaN))
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`
  return runs === results.get(reference) ? '1' : `${median(ratios).toFixed(2)} (${spread})`
}

function print(title: string, table: string): void {
  process.stdout.write(`\n${title}\n${table}\n`)
}
