import { Gauge, type Registry } from 'prom-client'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { activeKey, type Ring } from '../keys/ring.ts'

/** How many keys there are of each kind, and for how long the active one has signed: as the ring is when asked. */
export function watchKeys(
  registry: Registry,
  { ring, clock }: { ring: () => Ring; clock: Clock },
): void {
  void new Gauge({
    name: 'gatehouse_keys',
    help: 'Signing keys, by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const state of ['next', 'active', 'retiring']) {
        this.set({ state }, ring().keys.filter((key) => key.state === state).length)
      }
    },
  })
  void new Gauge({
    name: 'gatehouse_key_age_seconds',
    help: 'For how long the active key has signed',
    registers: [registry],
    collect() {
      this.set(Math.max(0, epochSeconds(clock) - activeKey(ring()).activatedAt))
    },
  })
}
