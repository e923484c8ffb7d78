import type { CheckResult, ReadinessChecks } from '../kernel/ops-server.ts'
import type { WorkerChecks } from './worker-messages.ts'

/** A worker with what it said last, undefined before it serves, and for how long it has said nothing. */
export type Heard = { checks: WorkerChecks | undefined; silentSeconds: number }

/** They speak each second. */
const HANGS_AFTER_SECONDS = 5
const LOST_AFTER_SECONDS = 30

/** To be called each second: counted, not measured, so that a pause of this process is not held against them. */
export function countSilence<T extends Heard>(workers: readonly T[], onLost: (worker: T) => void) {
  for (const worker of workers) {
    if (worker.checks === undefined) continue
    worker.silentSeconds += 1
    if (worker.silentSeconds === LOST_AFTER_SECONDS) onLost(worker)
  }
}

/** The readiness of workers that are one proxy, of which `wanted` are to serve; those that serve now say what is looked at. */
export function readinessOf(workers: () => readonly Heard[], wanted: number): ReadinessChecks {
  const names = workers().flatMap(({ checks }) => Object.keys(checks ?? {}))
  const serving = () =>
    workers().filter(
      ({ checks, silentSeconds }) => checks !== undefined && silentSeconds < HANGS_AFTER_SECONDS,
    )
  return {
    workers: () => checkWorkers(serving().length, wanted),
    ...Object.fromEntries(names.map((name) => [name, () => worstOf(name, serving())])),
  }
}

function checkWorkers(serving: number, wanted: number): CheckResult {
  if (serving === wanted) return { status: 'ok' }
  const detail = `${serving} of ${wanted} serve`
  return { status: serving === 0 ? 'unavailable' : 'ok', detail }
}

/** As long as one of them cannot do its part, a part of the requests fails. */
function worstOf(name: string, workers: readonly Heard[]): CheckResult {
  const results = workers.flatMap(({ checks }) => checks?.[name] ?? [])
  const worst = results.find(({ status }) => status === 'unavailable') ?? results[0]
  if (worst === undefined) return { status: 'unavailable', detail: 'no worker says' }
  return { status: worst.status, ...(worst.detail !== undefined && { detail: worst.detail }) }
}
