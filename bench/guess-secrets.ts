import { randomUUID } from 'node:crypto'
import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { requestToken } from './token-load.ts'

/**
 * A process that guesses: `node guess-secrets.ts ISSUER PER_SECOND [CLIENT]` sends so many wrong secrets a second from
 * 127.0.0.2, of that client or each of another one, whether or not answers come. On SIGTERM it prints how many answers
 * had which status.
 */
const [issuer = '', perSecond = '0', clientId] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 100 })
const statuses: Record<number, number> = {}
process.once('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(statuses)}\n`)
  process.exit(0)
})

const startedAt = performance.now()
for (let sent = 0; ; await pause(5)) {
  const due = Math.floor(((performance.now() - startedAt) / 1000) * Number(perSecond))
  for (; sent < due; sent += 1) guess()
}

function guess(): void {
  const credentials = { clientId: clientId ?? randomUUID(), clientSecret: randomUUID() }
  void requestToken(issuer, credentials, { agent, from: '127.0.0.2' }).then(
    ({ status }) => (statuses[status] = (statuses[status] ?? 0) + 1),
    () => undefined,
  )
}
