import { parseArgs } from 'node:util'
import { formatTable } from '../src/cli/table.ts'
import { startField } from './contestants.ts'
import { inLab, type Lab } from './lab.ts'
import { median } from './median.ts'
import { residentBytes } from './proc.ts'
import { bearer, measure, type Contestant, type Load } from './wrk.ts'

/** Large uploads through the proxy: how fast, and in how much memory. Usage: bench/README.md. */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    mebibytes: { type: 'string', default: '5' },
    connections: { type: 'string', default: '4,50' },
  },
})

const rounds = Number(flags.rounds)
const uploadBytes = Number(flags.mebibytes) * 1_048_576
const SAMPLE_EVERY_MS = 100
/** Times the peak of the first half of the rounds; the garbage collector alone moves it by a tenth. */
const FLAT_WITHIN = 1.25

type Upload = { megabytesPerSecond: number; cpuMsPerMegabyte: number; peakBytes: number }

await inLab(async (lab) => {
  const field = await startField(lab)
  const tokens = await field.issuer.issueTokens(1, field.audience)
  const contestants = [field.gatehouse, field.undici, field.nginx, field.haproxy]
  const idleBytes = new Map(contestants.map((one) => [one, residentBytes(one.pid)]))

  for (const connections of flags.connections.split(',').map(Number)) {
    const load = {
      path: '/ocr/infer',
      contentType: 'application/octet-stream',
      body: 'x'.repeat(uploadBytes),
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
        median(uploads.map((one) => one.cpuMsPerMegabyte)).toFixed(2),
        inMegabytes(idleBytes.get(contestant) ?? 0),
        above.map(inMegabytes).join(', '),
        isFlat(uploads) ? 'yes' : 'NO',
      ]
    })
    const headings = [
      'server',
      'MB/s',
      '÷ undici',
      '÷ nginx',
      'CPU ms/MB',
      'idle MB',
      'peak above idle',
      'flat',
    ]
    const inFlight = inMegabytes(connections * uploadBytes)
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
    const megabytes = uploadBytes / 1e6
    const { requestsPerSecond, cpuMicrosecondsPerRequest } = await measure(lab, contestant, load)
    return {
      megabytesPerSecond: requestsPerSecond * megabytes,
      cpuMsPerMegabyte: cpuMicrosecondsPerRequest / 1000 / megabytes,
      peakBytes,
    }
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
