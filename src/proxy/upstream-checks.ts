import { openConnection, type UpstreamConnection } from './upstream-connection.ts'
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
  stop: () => void
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
  const connectTimeoutMs = connectTimeoutSeconds * 1000
  let connection: UpstreamConnection | undefined
  let isStopped = false
  let isAsking = false
  let timer = setTimeout(check, 0)

  function check(): void {
    isAsking = true
    // Each on a new connection: an old one says nothing about whether another can be had.
    connection = openConnection({ url: new URL(url), connectTimeoutMs, ...ONCE })
    void askForHealth(connection, path).then((verdict) => {
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
    stop() {
      isStopped = true
      clearTimeout(timer)
      connection?.close()
    },
  }
}

/** It is of no use afterwards. */
const ONCE = { onIdle: (it: UpstreamConnection) => it.close(), onClosed: () => undefined }

function askForHealth(connection: UpstreamConnection, path: string): Promise<CheckVerdict> {
  const question = { method: 'GET', target: path, headers: '', isSized: false, body: null }
  return new Promise((resolve) => {
    connection.send(
      { ...question, firstByteMs: ANSWER_MS, idleMs: ANSWER_MS },
      {
        onTaken: () => undefined,
        onHead(status) {
          if (status < 500) resolve({ kind: 'check_passed' })
          else resolve({ kind: 'check_failed', detail: `status ${status}` })
          // The body need not end.
          connection.close()
        },
        onChunk: () => undefined,
        onEnd: () => undefined,
        onError(error) {
          const code = codeOf(error)
          const isSilent = code === 'UPSTREAM_FIRST_BYTE_TIMEOUT' || !isOfTheWay(code)
          resolve(isSilent ? { kind: 'check_silent' } : { kind: 'check_failed', detail: code })
        },
      },
    )
  })
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
