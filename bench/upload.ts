import { parseArgs } from 'node:util'
import { formatTable } from '../src/cli/table.ts'
import { startField } from './contestants.ts'
import { inLab, type Lab } from './lab.ts'
import { median } from './median.ts'
import { residentBytes } from './proc.ts'
import { bearer, measure, type Contestant, type Load } from './wrk.ts'

/** Uploads of 5 MiB through the proxy: how fast, and in how much memory. Usage: bench/README.md. */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
  },
})

const rounds = Number(flags.rounds)
const UPLOAD_BYTES = 5_242_880
const SAMPLE_EVERY_MS = 100
/** Times the peak of the first half of the rounds; the garbage collector alone moves it by a tenth. */
const FLAT_WITHIN = 1.25

type Upload = { megabytesPerSecond: number; peakBytes: number }

await inLab(async (lab) => {
  const field = await startField(lab)
  const tokens = await field.issuer.issueTokens(1, field.audience)
  const contestants = [field.gatehouse, field.undici, field.nginx, field.haproxy]
  const idleBytes = new Map(contestants.map((one) => [one, residentBytes(one.pid)]))

  for (const connections of [4, 50]) {
    const load = {
      path: '/ocr/infer',
      contentType: 'application/octet-stream',
      body: 'x'.repeat(UPLOAD_BYTES),
      seconds: Number(flags.seconds),
      connections,
      authorizations: tokens.map(bearer),
    }
    const results = new Map(contestants.map((contestant) => [contestant, Array<Upload>()]))
    for (let round = 1; round <= rounds; round += 1) {
      process.stderr.write(`${connections} connections, round ${round} of ${rounds}\n`)
      for (const [contestant, uploads] of results) {
        uploads.push(await upload(lab, contestant, load))
      }
    }
    const speedOf = (one: Contestant) => speeds(results.get(one) ?? [])
    const rows = contestants.map((contestant) => {
      const uploads = results.get(contestant) ?? []
      const above = peaks(uploads).map((peak) => peak - (idleBytes.get(contestant) ?? 0))
      return [
        contestant.name,
        median(speeds(uploads)).toFixed(0),
        ratio(speeds(uploads), speedOf(field.undici)),
        ratio(speeds(uploads), speedOf(field.nginx)),
        inMegabytes(idleBytes.get(contestant) ?? 0),
        above.map(inMegabytes).join(', '),
        isFlat(uploads) ? 'yes' : 'NO',
      ]
    })
    const headings = ['server', 'MB/s', '÷ undici', '÷ nginx', 'idle MB', 'peak above idle', 'flat']
    const inFlight = inMegabytes(connections * UPLOAD_BYTES)
    process.stdout.write(`\n${connections} connections: ${inFlight} MB of bodies under way\n`)
    process.stdout.write(`${formatTable(headings, rows)}\n`)
    if (!isFlat(results.get(field.gatehouse) ?? [])) process.exitCode = 1
  }
  field.issuer.close()
})

/** Loads one server and watches its memory meanwhile. */
async function upload(lab: Lab, contestant: Contestant, load: Load): Promise<Upload> {
  let peakBytes = 0
  const sample = () => {
    peakBytes = Math.max(peakBytes, residentBytes(contestant.pid))
  }
  const sampling = setInterval(sample, SAMPLE_EVERY_MS)
  try {
    const { requestsPerSecond } = await measure(lab, contestant, load)
    return { megabytesPerSecond: (requestsPerSecond * UPLOAD_BYTES) / 1e6, peakBytes }
  } finally {
    clearInterval(sampling)
  }
}

/** Whether memory stays where the first half of the rounds has brought it, however many gigabytes pass. */
function isFlat(uploads: readonly Upload[]): boolean {
  const half = Math.ceil(uploads.length / 2)
  const [early, late] = [peaks(uploads.slice(0, half)), peaks(uploads.slice(half))]
  return Math.max(...late) <= Math.max(...early) * FLAT_WITHIN
}

function speeds(uploads: readonly Upload[]): number[] {
  return uploads.map((one) => one.megabytesPerSecond)
}

function peaks(uploads: readonly Upload[]): number[] {
  return uploads.map((one) => one.peakBytes)
}

function inMegabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

function ratio(values: readonly number[], reference: readonly number[]): string {
  return median(values.map((value, i) => value / (reference[i] ?? NaN))).toFixed(2)
}
