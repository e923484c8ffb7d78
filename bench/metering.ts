import { createUsageMeter } from '../src/proxy/usage-meter.ts'

/** What it costs to read the usage from an answer that passes: CPU time, alone in this process. */
const line = 'Line of recognised text 12.50 €\n'
const usage = { prompt_tokens: 812, total_tokens: 900, completion_tokens: 88 }

const answerOf = (lines: number): Buffer => {
  const message = { role: 'assistant', reasoning_content: null, content: line.repeat(lines) }
  const choice = { index: 0, message, logprobs: null, finish_reason: 'stop', stop_reason: null }
  return toBytes({ id: 'chatcmpl-1', model: 'HunyuanOCR', choices: [choice], usage })
}
const event = Buffer.from(
  `data: ${JSON.stringify({
    id: 'chatcmpl-1234567890abcdef',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'HunyuanOCR',
    choices: [{ index: 0, delta: { content: ' total' }, logprobs: null, finish_reason: null }],
  })}\n\n`,
)
const request = toBytes({
  messages: [{ content: [{ type: 'image_url', image_url: { url: 'A'.repeat(1_000_000) } }] }],
})

for (const lines of [1, 40, 2000]) {
  const answer = answerOf(lines)
  measure(`a JSON answer of ${answer.length} bytes`, 100_000, () => {
    const meter = createUsageMeter({}, () => undefined)
    meter.onHeaders(200, { 'content-type': 'application/json' })
    meter.onChunk(answer)
  })
}
const meter = createUsageMeter({}, () => undefined)
meter.onHeaders(200, { 'content-type': 'text/event-stream' })
measure(`an event of ${event.length} bytes`, 500_000, () => meter.onChunk(event))
measure(`an upload of ${request.length} bytes`, 2000, () => {
  const upload = createUsageMeter({ 'content-type': 'application/json' }, () => undefined)
  for (let at = 0; at < request.length; at += 65_536) {
    upload.onRequestChunk(request.subarray(at, at + 65_536))
  }
})

/** The median of five rounds, after one that only warms up. */
function measure(what: string, times: number, run: () => void): void {
  const rounds = Array.from({ length: 6 }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < times; i += 1) run()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / times
  })
  const median = rounds.slice(1).toSorted((one, other) => one - other)[2] ?? Number.NaN
  process.stdout.write(`${what}: ${median.toFixed(2)} µs\n`)
}

function toBytes(document: object): Buffer {
  return Buffer.from(JSON.stringify(document))
}
