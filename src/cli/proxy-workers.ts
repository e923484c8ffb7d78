import cluster, { type Worker } from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { AggregatorRegistry } from 'prom-client'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { parseListenAddress } from '../kernel/listen-address.ts'
import { createMetricsRegistry } from '../kernel/metrics.ts'
import { startOpsServer } from '../kernel/ops-server.ts'
import { withRenewable } from './live-certificates.ts'
import { createDraining, OPS_DRAIN_SECONDS } from './draining.ts'
import { listenerOf } from './listener.ts'
import { reloadedConfig } from './reload.ts'
import type { Running, Surroundings } from './running.ts'
import { workerFlags } from './sandbox.ts'
import { showWorkers } from './worker-metrics.ts'
import { countSilence, readinessOf, type Heard } from './worker-readiness.ts'
import { createWorkerRelay } from './worker-relay.ts'
import { noSettings, shareOf } from './worker-share.ts'
import { fromWorkerSchema, type ToWorker, type WorkerMetrics } from './worker-messages.ts'

const MAIN = fileURLToPath(new URL('./worker-main.ts', import.meta.url))
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
/** Who has run for so long has not failed to start. */
const GOOD_RUN_MS = 60_000
const METRICS_TIMEOUT_MS = 2000
/** After its time to drain a worker has so long to end. */
const END_TIMEOUT_MS = 5000

type Place = Heard & {
  number: number
  worker: Worker
  startedAtMs: number
  /** How often in a row it has ended soon. */
  failures: number
}

/**
 * The proxy in several processes that share its port. This one serves nobody: it speaks for all of them on the operators'
 * listener, and replaces the one that ends. A ConfigError as a proxy alone has it.
 */
export async function startProxyWorkers(
  config: Config,
  { log, clock }: Surroundings,
): Promise<Running> {
  // Handed around by the first process, a connection hangs when the worker that is to get it dies.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({
    exec: MAIN,
    args: [],
    execArgv: workerFlags(),
    silent: true,
    serialization: 'advanced',
  })
  const places = new Map<number, Place>()
  const waiting = new Map<number, (metrics: WorkerMetrics) => void>()
  const relay = createWorkerRelay(log)
  let current = config
  let asked = 0
  /** While it starts or ends, nobody is replaced. */
  let isServing = false

  /** Settles when it serves, or fails as its start fails. */
  function startWorker(number: number, failures = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = cluster.fork(noSettings())
      const startedAtMs = clock()
      const place = { number, worker, startedAtMs, failures, checks: undefined, silentSeconds: 0 }
      places.set(number, place)
      tell(worker, { kind: 'start', worker: number, config: shareOf(current) })
      relay.passOn(worker.process)
      worker.on('message', (message) => {
        const parsed = fromWorkerSchema.parse(message)
        if (parsed.kind === 'refused') reject(new ConfigError(parsed.problems, parsed.hint))
        else if (parsed.kind === 'metrics') waiting.get(parsed.id)?.(parsed.metrics)
        else Object.assign(place, { checks: parsed.checks, silentSeconds: 0 })
        if (parsed.kind !== 'ready') return
        const text = `worker ${number} serves as process ${worker.process.pid}`
        log.info({ event: 'worker.ready' }, text)
        resolve()
      })
      worker.on('error', (error) => log.warn({ event: 'worker.unheard', err: error }, 'a worker'))
      worker.once('exit', (code, signal) => {
        places.delete(number)
        const how = signal ?? `exit code ${code}`
        reject(new ConfigError([`proxy.workers: worker ${number} ended (${how})`]))
        if (isServing) replace(place, how)
      })
    })
  }

  function replace({ number, startedAtMs, failures }: Place, how: string): void {
    const failed = clock() - startedAtMs < GOOD_RUN_MS ? failures + 1 : 1
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (failed - 1), LONGEST_PAUSE_MS)
    log.error(
      { event: 'worker.ended', reason: how, duration_ms: clock() - startedAtMs },
      `worker ${number} ended; another takes its place in ${pauseMs} ms`,
    )
    setTimeout(() => startAgain(number, failed), pauseMs)
  }

  function startAgain(number: number, failures: number): void {
    if (!isServing) return
    startWorker(number, failures).catch((error: unknown) =>
      log.error({ event: 'worker.failed', err: error }, `worker ${number} did not start`),
    )
  }

  function askForMetrics({ worker }: Place): Promise<WorkerMetrics> {
    const id = (asked += 1)
    return new Promise<WorkerMetrics>((resolve) => {
      // One that does not answer is missing from the answer of the others.
      const timer = setTimeout(() => resolve([]), METRICS_TIMEOUT_MS)
      waiting.set(id, (metrics) => {
        clearTimeout(timer)
        resolve(metrics)
      })
      tell(worker, { kind: 'metrics', id })
    }).finally(() => waiting.delete(id))
  }

  function endLost({ number, worker }: Place): void {
    log.error({ event: 'worker.lost' }, `worker ${number} hangs and is killed`)
    worker.process.kill('SIGKILL')
  }

  async function end({ worker }: Place, drainSeconds: number): Promise<void> {
    if (worker.isDead()) return
    const gone = new Promise((resolve) => worker.once('exit', resolve))
    tell(worker, { kind: 'stop', drainSeconds })
    const timer = setTimeout(
      () => worker.process.kill('SIGKILL'),
      drainSeconds * 1000 + END_TIMEOUT_MS,
    )
    await gone
    clearTimeout(timer)
  }

  async function endAll(drainSeconds: number): Promise<void> {
    isServing = false
    await Promise.all([...places.values()].map((place) => end(place, drainSeconds)))
    await relay.end(END_TIMEOUT_MS)
  }

  const numbers = Array.from({ length: config.proxy.workers }, (_, i) => i + 1)
  const begun = await Promise.allSettled(numbers.map((number) => startWorker(number)))
  const failure = begun.find((each) => each.status === 'rejected')
  if (failure !== undefined) {
    await endAll(0)
    throw failure.reason
  }
  isServing = true
  // One may have served and ended while others were still starting.
  for (const number of numbers) if (!places.has(number)) startAgain(number, 1)

  const silence = setInterval(() => countSilence([...places.values()], endLost), 1000)

  const own = createMetricsRegistry()
  own.setDefaultLabels({ worker: 'first' })
  showWorkers(own, () => places.size, config.proxy.workers)
  const draining = createDraining()
  const ops = await startOpsServer({
    name: 'proxy.opsListen',
    listen: parseListenAddress(config.proxy.opsListen),
    registry: {
      contentType: own.contentType,
      async metrics() {
        const theirs = await Promise.all([...places.values()].map(askForMetrics))
        return AggregatorRegistry.aggregate([await own.getMetricsAsJSON(), ...theirs]).metrics()
      },
    },
    readiness: {
      serving: draining.readiness,
      ...readinessOf(() => [...places.values()], config.proxy.workers),
    },
    log,
  })

  return {
    prepareReload(next) {
      listenerOf(withRenewable(config, next, 'proxy'), 'proxy')
      return () => {
        current = reloadedConfig(config, next)
        for (const { worker } of places.values()) {
          tell(worker, { kind: 'reload', config: shareOf(current) })
        }
      }
    },
    async close(drainSeconds) {
      clearInterval(silence)
      draining.begin()
      await endAll(drainSeconds)
      await ops.drain(OPS_DRAIN_SECONDS)
    },
  }
}

function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message)
}
