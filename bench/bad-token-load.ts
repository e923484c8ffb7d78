import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * A process that sends what is refused: `node bad-token-load.ts PROXY PER_SECOND TOKEN|none` asks so often a second, with
 * that token under ever other kids or with none, whether or not answers come. On SIGTERM it prints how many answers had
 * which status.
 */
const [proxy = '', perSecond = '0', token = 'none'] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const statuses: Record<number, number> = {}
process.once('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(statuses)}\n`)
  process.exit(0)
})

const [, payload = '', signature = ''] = token.split('.')
const startedAt = performance.now()
for (let sent = 0; ; await pause(5)) {
  const due = Math.floor(((performance.now() - startedAt) / 1000) * Number(perSecond))
  for (; sent < due; sent += 1) ask()
}

function ask(): void {
  const header = { alg: 'RS256', typ: 'at+jwt', kid: randomUUID() }
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  const headers: Record<string, string> =
    token === 'none' ? {} : { authorization: `Bearer ${encoded}.${payload}.${signature}` }
  const sending = request(`${proxy}/v1/models`, { agent, headers }, (response) => {
    const status = response.statusCode ?? 0
    statuses[status] = (statuses[status] ?? 0) + 1
    response.resume()
  })
  sending.on('error', () => undefined)
  sending.end()
}
