import type { Config } from '../config/schema.ts'
import { systemClock } from '../kernel/clock.ts'
import { ConfigError } from '../kernel/errors.ts'
import { createLog } from '../kernel/log.ts'
import { runChecks } from '../kernel/ops-server.ts'
import { EXIT } from './cli-error.ts'
import { reportBugs } from './report-bugs.ts'
import { openProxy, type OpenProxy } from './start-proxy.ts'
import { keepTrustedCa, type PrepareTrust } from './trusted-ca.ts'
import { toWorkerSchema, type FromWorker, type ToWorker } from './worker-messages.ts'

const CHECKS_INTERVAL_MS = 1000

type Started = { proxy: OpenProxy; prepareTrust: PrepareTrust; config: Config }

/**
 * One of the processes that share the proxy's port (node:cluster). All it does it is told by the first process, with which it
 * ends: its settings come in a message, and a signal to the whole group is the first process's to understand.
 */
export function runWorker(): void {
  const log = createLog('info')
  reportBugs(log)
  let started: Promise<Started> | undefined
  let isStopping = false

  async function start({ config, worker }: Extract<ToWorker, { kind: 'start' }>): Promise<Started> {
    log.setLevel(config.log.level)
    const prepareTrust = keepTrustedCa(config, { log })
    const proxy = await openProxy(config, { log, clock: systemClock }, { worker })
    proxy.registry.setDefaultLabels({ worker: String(worker) })
    send({ kind: 'ready', checks: runChecks(proxy.readiness) })
    setInterval(
      () => send({ kind: 'checks', checks: runChecks(proxy.readiness) }),
      CHECKS_INTERVAL_MS,
    ).unref()
    return { proxy, prepareTrust, config }
  }

  async function stop(drainSeconds?: number): Promise<void> {
    if (isStopping) return
    isStopping = true
    const running = await started
    await running?.proxy.close(drainSeconds ?? running.config.proxy.drainSeconds)
    await log.flush()
    process.exit(0)
  }

  async function obey(message: ToWorker): Promise<void> {
    if (message.kind === 'start') started = start(message)
    if (message.kind === 'stop') return stop(message.drainSeconds)
    const { proxy, prepareTrust } = (await started) ?? {}
    if (message.kind === 'reload') {
      prepareTrust?.(message.config)()
      proxy?.prepareReload?.(message.config)()
      log.setLevel(message.config.log.level)
    }
    if (message.kind === 'metrics' && proxy !== undefined) {
      const metrics = await proxy.registry.getMetricsAsJSON()
      send({ kind: 'metrics', id: message.id, metrics: metrics.map((each) => ({ ...each })) })
    }
  }

  async function fail(kind: ToWorker['kind'], error: unknown): Promise<void> {
    if (kind === 'start' && error instanceof ConfigError) {
      send({ kind: 'refused', problems: [...error.problems], hint: error.hint })
      process.exit(EXIT.configuration)
    }
    log.error({ event: 'worker.failed', err: error }, `a worker cannot do what it is told: ${kind}`)
    if (kind !== 'start') return
    await log.flush()
    process.exit(EXIT.bug)
  }

  process.on('message', (received) => {
    const message = toWorkerSchema.parse(received)
    obey(message).catch((error: unknown) => void fail(message.kind, error))
  })
  process.on('SIGTERM', () => void stop())
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
}

function send(message: FromWorker): void {
  // Where the first process is gone, so are we in a moment.
  if (process.connected) process.send?.(message)
}
