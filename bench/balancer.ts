import { Pool } from 'undici'

/** A server behind the balancer, and where it says whether it is ready. */
export type Member = { name: string; url: string; readyUrl: string }

export type Asked = {
  method: 'GET' | 'POST'
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string
}
export type Answer = { status: number; text: string; member: string }

export type Balancer = {
  /** The members by turns. One that cannot be connected to is passed over, once. */
  send: (asked: Asked) => Promise<Answer>
  close: () => Promise<void>
}

const CHECK_EVERY_MS = 2000
const CHECK_WITHIN_MS = 1000
/** So many checks in a row that fail take a member out. */
const FAILURES = 2
const CONNECT_WITHIN_MS = 1000
/** Who has no answer by then gives up; a refresh that is repeated then is still in its 10 s. */
const ANSWER_WITHIN_MS = 5000
/** Nothing of the request has left: it may be sent to another one. */
const NOT_CONNECTED = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])

/**
 * What stands in front in production, in its simplest form: turns, a check of `/readyz` every two seconds, one more try where
 * there is no connection. With no member ready all are used, as Envoy does.
 */
export function createBalancer(members: readonly Member[]): Balancer {
  const all = members.map((member) => ({ ...member, pool: openPool(member.url), failures: 0 }))
  let turn = 0

  const next = (but?: (typeof all)[number]) => {
    const ready = all.filter(({ failures }) => failures < FAILURES)
    const choice = (ready.length > 0 ? ready : all).filter((each) => each !== but)
    turn += 1
    return choice[turn % choice.length] ?? all[0]
  }
  const check = async (member: (typeof all)[number]) => {
    const isReady = await fetch(member.readyUrl, { signal: AbortSignal.timeout(CHECK_WITHIN_MS) })
      .then(async (answer) => {
        await answer.body?.cancel()
        return answer.ok
      })
      .catch(() => false)
    member.failures = isReady ? 0 : member.failures + 1
  }
  const checking = setInterval(() => {
    for (const member of all) void check(member)
  }, CHECK_EVERY_MS)

  return {
    async send(asked) {
      const first = next()
      if (first === undefined) throw new Error('there is no member')
      try {
        return await sendTo(first, asked)
      } catch (error) {
        const other = next(first)
        if (other === undefined || !NOT_CONNECTED.has(codeOf(error))) throw error
        return sendTo(other, asked)
      }
    },
    async close() {
      clearInterval(checking)
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
  }
}

export const openPool = (url: string): Pool =>
  new Pool(url, { connections: 32, connect: { timeout: CONNECT_WITHIN_MS } })

/** Failures are undici's and Node's own. */
export async function sendTo(
  { name, pool }: { name: string; pool: Pool },
  { headers = {}, body, ...asked }: Asked,
  withinMs = ANSWER_WITHIN_MS,
): Promise<Answer> {
  const { statusCode: status, body: answer } = await pool.request({
    ...asked,
    headers,
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(withinMs),
  })
  return { status, text: await answer.text(), member: name }
}

export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
