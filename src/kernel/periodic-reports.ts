export type PeriodicReportsOptions<Report> = {
  observe: () => Report
  /** What is worth a report at once when it changes. */
  stateOf: (report: Report) => unknown
  send: (report: Report) => Promise<void>
  /** Is told of the first failure in a row. */
  onFailure: (error: unknown) => void
}

const LOOK_INTERVAL_MS = 250
const REPORT_INTERVAL_MS = 10_000
const RETRY_INTERVAL_MS = 2000

/**
 * Reports within a second of a change, and every 10 s otherwise. A report that does not arrive costs nobody anything: the next
 * one says it all again.
 */
export function startPeriodicReports<Report>(options: PeriodicReportsOptions<Report>): {
  stop: () => void
} {
  const { observe, stateOf, send, onFailure } = options
  let sent = ''
  let nextAtMs = 0
  let isSending = false
  let hasFailed = false

  async function reportIfDue(): Promise<void> {
    const report = observe()
    const state = JSON.stringify(stateOf(report))
    const nowMs = performance.now()
    if (isSending || (nowMs < nextAtMs && (state === sent || hasFailed))) return
    isSending = true
    try {
      await send(report)
      sent = state
      hasFailed = false
      nextAtMs = nowMs + REPORT_INTERVAL_MS
    } catch (error) {
      if (!hasFailed) onFailure(error)
      hasFailed = true
      nextAtMs = nowMs + RETRY_INTERVAL_MS
    } finally {
      isSending = false
    }
  }

  const timer = setInterval(() => void reportIfDue(), LOOK_INTERVAL_MS).unref()
  return { stop: () => clearInterval(timer) }
}
