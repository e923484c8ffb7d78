import type { Log } from '../kernel/log.ts'
import type { VerifierReport } from './verifiers.ts'

export type VerifierReporterOptions = {
  observe: () => VerifierReport
  send: (report: VerifierReport) => Promise<void>
  log: Log
}

const LOOK_INTERVAL_MS = 250
const REPORT_INTERVAL_MS = 10_000
const RETRY_INTERVAL_MS = 2000

/**
 * Reports within a second of a change (other keys, another position in the revocation log), and every 10 s otherwise. A
 * report that does not arrive costs nobody anything: the next one says it all again.
 */
export function startVerifierReports(options: VerifierReporterOptions): { stop: () => void } {
  const { observe, send, log } = options
  let sent = ''
  let nextAtMs = 0
  let isSending = false
  let hasFailed = false

  async function reportIfDue(): Promise<void> {
    const report = observe()
    const state = JSON.stringify([report.kids, report.revocation_id])
    const nowMs = performance.now()
    if (isSending || (nowMs < nextAtMs && (state === sent || hasFailed))) return
    isSending = true
    try {
      await send(report)
      sent = state
      hasFailed = false
      nextAtMs = nowMs + REPORT_INTERVAL_MS
    } catch (error) {
      if (!hasFailed) {
        log.warn({ event: 'verifier.unreported', err: error }, 'the issuer does not know our keys')
      }
      hasFailed = true
      nextAtMs = nowMs + RETRY_INTERVAL_MS
    } finally {
      isSending = false
    }
  }

  const timer = setInterval(() => void reportIfDue(), LOOK_INTERVAL_MS).unref()
  return { stop: () => clearInterval(timer) }
}
