import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { WatchedHashPool } from './hash-pool.ts'

/** How busy argon2 is, which every unknown secret and every password has to wait for. */
export function watchHashPool(
  registry: MetricsRegistry,
  { load }: Pick<WatchedHashPool, 'load'>,
): void {
  const registers = [registry]
  void new Gauge({
    name: 'gatehouse_argon2_running',
    help: 'Secrets and passwords that are being hashed',
    registers,
    collect() {
      this.set(load().running)
    },
  })
  void new Gauge({
    name: 'gatehouse_argon2_waiting',
    help: 'Secrets and passwords that wait to be hashed',
    registers,
    collect() {
      this.set(load().waiting)
    },
  })
  void new Gauge({
    name: 'gatehouse_argon2_concurrency',
    help: 'How many are hashed at once, at most',
    registers,
    collect() {
      this.set(load().concurrency)
    },
  })
  void new Counter({
    name: 'gatehouse_argon2_refused_total',
    help: 'Secrets and passwords that were not looked at because too many waited',
    registers,
    collect() {
      this.reset()
      this.inc(load().refused)
    },
  })
}
