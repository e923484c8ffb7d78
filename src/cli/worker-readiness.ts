import type { CheckResult, ReadinessChecks } from '../kernel/ops-server.ts'
import type { WorkerChecks } from './worker-messages.ts'

/** A worker with what it said last; undefined before it serves. */
type Checked = { checks: WorkerChecks | undefined }

/** The readiness of workers that are one proxy, of which `wanted` are to serve; those that serve now say what is looked at. */
export function readinessOf(workers: () => readonly Checked[], wanted: number): ReadinessChecks {
  const names = workers().flatMap(({ checks }) => Object.keys(checks ?? {}))
  return {
    workers: () => checkWorkers(workers(), wanted),
    ...Object.fromEntries(names.map((name) => [name, () => worstOf(name, workers())])),
  }
}

function checkWorkers(workers: readonly Checked[], wanted: number): CheckResult {
  const serving = workers.filter(({ checks }) => checks !== undefined).length
  if (serving === wanted) return { status: 'ok' }
  const detail = `${serving} of ${wanted} serve`
  return { status: serving === 0 ? 'unavailable' : 'ok', detail }
}

/** As long as one of them cannot do its part, a part of the requests fails. */
function worstOf(name: string, workers: readonly Checked[]): CheckResult {
  const results = workers.flatMap(({ checks }) => checks?.[name] ?? [])
  const worst = results.find(({ status }) => status === 'unavailable') ?? results[0]
  if (worst === undefined) return { status: 'unavailable', detail: 'no worker says' }
  return { status: worst.status, ...(worst.detail !== undefined && { detail: worst.detail }) }
}
