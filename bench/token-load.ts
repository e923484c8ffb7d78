import { Agent, request } from 'node:http'

export type Credentials = { clientId: string; clientSecret: string }
export type Answer = { status: number; elapsedMs: number }

/** One token request; `from` is the loopback address that it comes from. */
export function requestToken(
  issuer: string,
  { clientId, clientSecret }: Credentials,
  { agent, from }: { agent: Agent; from: string },
): Promise<Answer> {
  const startedAt = performance.now()
  const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
  const body = 'grant_type=client_credentials'
  const headers = {
    authorization: `Basic ${basic}`,
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': body.length,
  }
  return new Promise((resolve, reject) => {
    const sent = request(
      `${issuer}/token`,
      { method: 'POST', agent, localAddress: from, headers },
      (response) => {
        response.resume()
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            elapsedMs: performance.now() - startedAt,
          }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Tokens per second over that many connections that are never idle. Throws when one is refused. */
export async function tokensPerSecond(
  issuer: string,
  client: Credentials,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<number> {
  const agent = new Agent({ keepAlive: true })
  const until = performance.now() + seconds * 1000
  let granted = 0
  const keepAsking = async () => {
    while (performance.now() < until) {
      const { status } = await requestToken(issuer, client, { agent, from: '127.0.0.1' })
      if (status !== 200) throw new Error(`refused with ${status}`)
      granted += 1
    }
  }
  await Promise.all(Array.from({ length: connections }, keepAsking))
  agent.destroy()
  return granted / seconds
}

/** The value below which that share of them lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
