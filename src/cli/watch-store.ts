import { Gauge, type Registry } from 'prom-client'
import { AppError } from '../kernel/errors.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import type { Store, StoreStatus } from '../store/store.ts'

const INTERVAL_MS = 2000

export type StoreWatch = { read: () => CheckResult; stop: () => void }

/** Asks the store every two seconds how it is, so that a readiness probe waits for nothing. */
export function watchStore(store: Pick<Store, 'status'>, registry: Registry): StoreWatch {
  let latest: CheckResult = { status: 'ok' }
  let known: StoreStatus | undefined
  const look = async (): Promise<void> => {
    try {
      known = await store.status()
      latest = { status: 'ok' }
    } catch (error) {
      const reason = error instanceof AppError ? error.reason : 'a bug'
      latest = { status: 'unavailable', detail: `the store does not answer (${reason})` }
    }
  }
  const registers = [registry]
  void new Gauge({
    name: 'gatehouse_store_up',
    help: 'Whether the store answered when it was asked last',
    registers,
    collect() {
      this.set(latest.status === 'ok' ? 1 : 0)
    },
  })
  void new Gauge({
    name: 'gatehouse_store_latency_seconds',
    help: 'How long the store took to answer when it was asked last',
    registers,
    collect() {
      this.set(known === undefined ? Number.NaN : known.latencyMs / 1000)
    },
  })
  void new Gauge({
    name: 'gatehouse_store_size_bytes',
    help: 'What the store takes: of the file, or of the memory of Redis',
    registers,
    collect() {
      this.set(known?.sizeBytes ?? Number.NaN)
    },
  })
  const timer = setInterval(() => void look(), INTERVAL_MS)
  void look()
  return { read: () => latest, stop: () => clearInterval(timer) }
}
