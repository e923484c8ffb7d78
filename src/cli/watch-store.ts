import type { CheckResult } from '../kernel/ops-server.ts'
import type { Store } from '../store/store.ts'

const INTERVAL_MS = 2000

/** Asks the store every two seconds how it is, so that a readiness probe waits for nothing. */
export function watchStore(store: Store): { read: () => CheckResult; stop: () => void } {
  let latest: CheckResult = { status: 'ok' }
  const look = async (): Promise<void> => {
    try {
      await store.status()
      latest = { status: 'ok' }
    } catch {
      latest = { status: 'unavailable', detail: 'the store does not answer' }
    }
  }
  const timer = setInterval(() => void look(), INTERVAL_MS)
  return { read: () => latest, stop: () => clearInterval(timer) }
}
