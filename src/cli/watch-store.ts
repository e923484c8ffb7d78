import { Gauge, type Registry } from 'prom-client'
import { startPeriodicCheck, type PeriodicCheck } from '../kernel/periodic-check.ts'
import type { Store, StoreStatus } from '../store/store.ts'

const INTERVAL_MS = 2000

/** Asks the store every two seconds how it is, and shows what it says. */
export function watchStore(store: Pick<Store, 'status'>, registry: Registry): PeriodicCheck {
  let known: StoreStatus | undefined
  const check = startPeriodicCheck({
    name: 'the store',
    ask: async () => {
      known = await store.status()
    },
    intervalMs: INTERVAL_MS,
  })
  const registers = [registry]
  void new Gauge({
    name: 'gatehouse_store_up',
    help: 'Whether the store answered when it was asked last',
    registers,
    collect() {
      this.set(check.read().status === 'ok' ? 1 : 0)
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
  return check
}
