import { hostname } from 'node:os'
import { epochSeconds } from '../kernel/clock.ts'
import { runChecks, type ReadinessChecks } from '../kernel/ops-server.ts'
import { startPeriodicReports } from '../kernel/periodic-reports.ts'
import type { InstanceReport } from '../store/instances.ts'
import { ownVersion } from './own-version.ts'
import type { Surroundings } from './running.ts'

export type InstanceSources = {
  role: InstanceReport['role']
  /** HOST:PORT, as in the settings. */
  listen: string
  /** Its number, where several processes are one proxy. */
  worker?: number | undefined
  readiness: ReadinessChecks
  upstreams?: () => InstanceReport['upstreams']
  send: (report: InstanceReport) => Promise<void>
}

/** Tells the operators that this program is there, and how it is. */
export function reportAsInstance(
  { role, listen, worker, readiness, upstreams = () => [], send }: InstanceSources,
  { log, clock }: Surroundings,
): { stop: () => void } {
  const known = {
    instance_id: instanceIdOf(listen, worker),
    role,
    version: ownVersion(),
    started_at: epochSeconds(clock),
  }
  return startPeriodicReports({
    observe: (): InstanceReport => ({
      ...known,
      checks: Object.entries(runChecks(readiness)).map(([name, { status, detail }]) => ({
        name,
        status,
        ...(detail !== undefined && { detail: detail.slice(0, 1000) }),
      })),
      upstreams: upstreams(),
    }),
    stateOf: ({ checks, upstreams: servers }) => [checks.map(({ status }) => status), servers],
    send,
    onFailure: (error) =>
      log.warn({ event: 'instance.unreported', err: error }, 'operators do not see this instance'),
  })
}

/** The same after a restart; two programs on one machine differ in the port. */
export function instanceIdOf(listen: string, worker: number | undefined): string {
  const port = listen.slice(listen.lastIndexOf(':') + 1)
  const name = [hostname(), port, ...(worker === undefined ? [] : [worker])].join('-')
  return name.replace(/[^A-Za-z0-9._~-]/g, '-').slice(-150)
}
