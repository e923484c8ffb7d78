import { Pool } from 'undici'
import type { Health, Observation } from './upstream-health.ts'
import { codeOf, isOfTheWay } from './upstream-failure.ts'

export type CheckOptions = {
  /** Of the model server's health endpoint. */
  path: string
  intervalSeconds: number
  connectTimeoutSeconds: number
}

export type CheckVerdict =
  | { kind: 'check_passed' }
  | { kind: 'check_failed'; detail: string }
  /** It took the question and did not answer in time: it may be busy. */
  | { kind: 'check_silent' }

export type UpstreamChecks = {
  /** Brings the next check forward to a second from now. */
  hurry: () => void
  stop: () => Promise<void>
}

/** While it is ejected, and as soon as something went wrong. */
const HURRIED_MS = 1000

/** How long an answer may take. */
const ANSWER_MS = 2000

/** How many checks in a row a server may leave unanswered that is idle, or ejected: one that is at work may not come to it. */
const SILENT_CHECKS = 3

/**
 * Asks one model server for its health, on a connection of its own each time: every `intervalSeconds`, and every second
 * while it is not usable. Any answer below 500 is a pass: not every server has that endpoint.
 */
export function startUpstreamChecks(
  url: string,
  { path, intervalSeconds, connectTimeoutSeconds }: CheckOptions,
  onVerdict: (verdict: CheckVerdict) => boolean,
): UpstreamChecks {
  const intervalMs = intervalSeconds * 1000
  const pool = new Pool(url, {
    connections: 1,
    // Each on a new connection: an old one says nothing about whether another can be had.
    pipelining: 0,
    allowH2: false,
    connect: { timeout: connectTimeoutSeconds * 1000 },
    headersTimeout: ANSWER_MS,
  })
  let isStopped = false
  let isAsking = false
  let timer = setTimeout(check, 0)

  function check(): void {
    isAsking = true
    void askForHealth(pool, path).then((verdict) => {
      if (isStopped) return
      const isUsable = onVerdict(verdict)
      isAsking = false
      timer = setTimeout(check, isUsable ? intervalMs : Math.min(intervalMs, HURRIED_MS))
    })
  }

  return {
    hurry() {
      if (isAsking || isStopped) return
      clearTimeout(timer)
      timer = setTimeout(check, Math.min(intervalMs, HURRIED_MS))
    },
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await pool.destroy()
    },
  }
}

async function askForHealth(pool: Pool, path: string): Promise<CheckVerdict> {
  try {
    const { statusCode, body } = await pool.request({ method: 'GET', path })
    // Known from its status; the body need not end.
    body.on('error', () => undefined).destroy()
    if (statusCode < 500) return { kind: 'check_passed' }
    return { kind: 'check_failed', detail: `status ${statusCode}` }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'UND_ERR_HEADERS_TIMEOUT' || !isOfTheWay(code)) return { kind: 'check_silent' }
    return { kind: 'check_failed', detail: code }
  }
}

/** Turns what checks find into what it means; says whether the server is usable then. */
export function createCheckJudge(
  upstream: { readonly inFlight: number; readonly health: Health },
  report: (seen: Observation) => void,
): (verdict: CheckVerdict) => boolean {
  let silences = 0
  return (verdict) => {
    const isSilent = verdict.kind === 'check_silent'
    // A server that works on a request in its only thread answers afterwards; one that was found stuck need not be waited for.
    const mayBeAtWork = upstream.inFlight > 0 && upstream.health.state === 'usable'
    silences = isSilent && !mayBeAtWork ? silences + 1 : 0
    if (verdict.kind !== 'check_silent') report(verdict)
    else if (silences >= SILENT_CHECKS) {
      report({ kind: 'check_failed', detail: 'no answer to its checks' })
    }
    return upstream.health.state === 'usable'
  }
}
