import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'undici'
import { sendTo } from './balancer.ts'
import {
  activeKidsOf,
  outcomeOf,
  readTokens,
  tokenRequest,
  type Admin,
  type Client,
  type Front,
  type Outcome,
} from './chaos-clients.ts'

export type Kind = 'call' | 'token' | 'refresh' | 'create' | 'rotate'
/** One request, when it was sent and answered, in ms. */
export type Event = Pick<Outcome, 'isGood' | 'what' | 'member'> & {
  kind: Kind
  client: string
  id: string
  sentAtMs: number
  endedAtMs: number
}
/** How long after a revocation was acknowledged the last call with that token was sent that a proxy let in. */
export type Spread = {
  proxy: string
  acknowledgedAfterMs: number
  acceptedForMs: number
  /** Whether the proxy has said in the end that the token is void. */
  isRefused: boolean
}

export type Load = {
  events: Event[]
  spreads: Spread[]
  /** What was acknowledged: clients that were made, keys that sign since a rotation, tokens that were revoked. */
  made: string[]
  signing: string[]
  revoked: string[]
  /** Refresh tokens that were given, and are not known any more. */
  endedRefreshes: string[]
  stop: () => Promise<void>
}

export type LoadOptions = {
  run: string
  front: Front
  admin: Admin
  clients: readonly Client[]
  refreshing: readonly Client[]
  proxies: readonly { name: string; pool: Pool }[]
}

const CALL_EVERY_MS = 200
const TOKEN_EVERY_MS = 1500
const REFRESH_EVERY_MS = 1000
const CREATE_EVERY_MS = 2000
const REVOKE_EVERY_MS = 6000
/** Each makes a key pair and builds three providers anew: it is to happen, not to be the load. */
const ROTATE_EVERY_MS = 40_000
const RETRY_MS = 500
const PROBE_EVERY_MS = 100
const PROBE_WITHIN_MS = 1000
/** Longer than any fault; a proxy that has not said so by then does not know, and refuses every token. */
const PROBE_FOR_MS = 60_000
/** About a page of a scan. */
const PAGE = JSON.stringify({
  model: 'tencent/HunyuanOCR',
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(20_000)}` } },
      ],
    },
  ],
})

/** Until it is stopped: calls, tokens, refreshes, new clients, revocations and rotations. */
export function startLoad(options: LoadOptions): Load {
  const { run, front, admin, clients, refreshing, proxies } = options
  const load: Omit<Load, 'stop'> = {
    events: [],
    spreads: [],
    made: [],
    signing: [],
    revoked: [],
    endedRefreshes: [],
  }
  const abort = new AbortController()
  const tokens = new Map<string, string>()
  let number = 0

  const note = async (kind: Kind, client: string, asked: Promise<Outcome>, id = '') => {
    const sentAtMs = performance.now()
    const outcome = await asked
    const { isGood, what, member } = outcome
    const endedAtMs = performance.now()
    load.events.push({ kind, client, id, isGood, what, member, sentAtMs, endedAtMs })
    return outcome
  }
  const pause = (ms: number) =>
    delay(ms, undefined, { signal: abort.signal }).catch(() => undefined)
  /** At that rate, whether the ones before are answered or not. */
  const steadily = async (everyMs: number, task: () => Promise<unknown>) => {
    const running = new Set<Promise<unknown>>()
    while (!abort.signal.aborted) {
      const one = task().finally(() => running.delete(one))
      running.add(one)
      await pause(everyMs)
    }
    await Promise.all(running)
  }

  const call = async (client: Client) => {
    const token = tokens.get(client.id)
    if (token === undefined) return
    number += 1
    const id = `${run}-${number}`
    const headers = {
      'content-type': 'application/json',
      'x-request-id': id,
      authorization: `Bearer ${token}`,
    }
    const asked = { method: 'POST', path: '/v1/chat/completions', headers, body: PAGE } as const
    await note('call', client.id, outcomeOf(front.proxies.send(asked)), id)
  }
  const getToken = async (client: Client): Promise<string | undefined> => {
    const asked = tokenRequest(client, { grant_type: 'client_credentials' })
    const outcome = await note('token', client.id, outcomeOf(front.issuers.send(asked)))
    return outcome.isGood ? readTokens(outcome.text).access_token : undefined
  }
  const renew = async (client: Client) => {
    const token = await getToken(client)
    if (token !== undefined) tokens.set(client.id, token)
  }
  const create = async () => {
    number += 1
    const id = `${run}-made-${number}`
    const outcome = await note('create', 'admin', admin.create({ client_id: id }))
    if (outcome.isGood) load.made.push(id)
  }

  const rotate = async () => {
    const outcome = await note('rotate', 'admin', admin.rotate())
    if (outcome.isGood) load.signing.push(...activeKidsOf(outcome.text))
  }

  /** A token for a token, for as long as they are given. */
  const refresh = async (client: Client) => {
    let token: string | undefined
    while (!abort.signal.aborted) {
      const fields: Record<string, string> =
        token === undefined
          ? { grant_type: 'client_credentials' }
          : { grant_type: 'refresh_token', refresh_token: token }
      const asked = outcomeOf(front.issuers.send(tokenRequest(client, fields)))
      const outcome = await note('refresh', client.id, asked)
      if (outcome.isGood) token = readTokens(outcome.text).refresh_token
      else if (token !== undefined && outcome.what === '400 invalid_grant') {
        load.endedRefreshes.push(`${client.id} at ${outcome.member}`)
        token = undefined
      }
      await pause(outcome.isGood ? REFRESH_EVERY_MS : RETRY_MS)
    }
  }

  const revoke = async (client: Client) => {
    const token = await getToken(client)
    if (token === undefined) return
    const sentAtMs = performance.now()
    const asked = { ...tokenRequest(client, { token }), path: '/token/revocation' }
    while (!(await outcomeOf(front.issuers.send(asked))).isGood) {
      if (performance.now() - sentAtMs > PROBE_FOR_MS) return
      await delay(RETRY_MS)
    }
    const acknowledgedAtMs = performance.now()
    load.revoked.push(token)
    const acknowledgedAfterMs = acknowledgedAtMs - sentAtMs
    await Promise.all(
      proxies.map(async (proxy) => {
        const seen = await probe(proxy, { token, sinceMs: acknowledgedAtMs })
        load.spreads.push({ proxy: proxy.name, acknowledgedAfterMs, ...seen })
      }),
    )
  }

  const all = [
    ...clients.map((client) => steadily(CALL_EVERY_MS, () => call(client))),
    ...clients.map((client) => steadily(TOKEN_EVERY_MS, () => renew(client))),
    ...refreshing.map((client) => refresh(client)),
    steadily(CREATE_EVERY_MS, create),
    steadily(REVOKE_EVERY_MS, async () => {
      const [client] = clients
      if (client !== undefined) await revoke(client)
    }),
    steadily(ROTATE_EVERY_MS, rotate),
  ]
  return {
    ...load,
    async stop() {
      abort.abort()
      await Promise.all(all)
    },
  }
}

/** Asks the proxy until it says that the token is void. The route is answered by itself, so that no model server matters. */
async function probe(
  proxy: { name: string; pool: Pool },
  { token, sinceMs }: { token: string; sinceMs: number },
): Promise<Pick<Spread, 'acceptedForMs' | 'isRefused'>> {
  const headers = { authorization: `Bearer ${token}` }
  let acceptedForMs = 0
  while (performance.now() - sinceMs < PROBE_FOR_MS) {
    const sentAtMs = performance.now()
    const asked = { method: 'GET', path: '/_gatehouse/usage', headers } as const
    const { what } = await outcomeOf(sendTo(proxy, asked, PROBE_WITHIN_MS))
    if (what.startsWith('401')) return { acceptedForMs, isRefused: true }
    if (what === '200') acceptedForMs = sentAtMs - sinceMs
    await delay(PROBE_EVERY_MS)
  }
  return { acceptedForMs, isRefused: false }
}

/** Of these tokens, those that a proxy lets in. */
export async function acceptedOf(
  tokens: readonly string[],
  proxies: readonly { name: string; pool: Pool }[],
): Promise<string[]> {
  const accepted: string[] = []
  for (const token of tokens) {
    const headers = { authorization: `Bearer ${token}` }
    const asked = { method: 'GET', path: '/_gatehouse/usage', headers } as const
    for (const proxy of proxies) {
      const { what } = await outcomeOf(sendTo(proxy, asked, PROBE_WITHIN_MS))
      if (!what.startsWith('401')) accepted.push(`a revoked token at ${proxy.name}: ${what}`)
    }
  }
  return accepted
}
