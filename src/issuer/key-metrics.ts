import { Gauge, type Registry } from 'prom-client'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { activeKey, type Ring, type RingKey } from '../keys/ring.ts'

export type KeyWatch = { ring: () => Ring; clock: Clock; rotateEverySeconds: number }

const STATES = ['next', 'active', 'retiring'] as const

/** How many keys there are of each kind, and for how long the active one has signed: as the ring is when asked. */
export function watchKeys(registry: Registry, { ring, clock, rotateEverySeconds }: KeyWatch): void {
  void new Gauge({
    name: 'gatehouse_keys',
    help: 'Signing keys, by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const state of STATES) {
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
  void new Gauge({
    name: 'gatehouse_key_state_seconds',
    help: 'For how long the oldest key of each state has been in it',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      this.reset()
      for (const state of STATES) {
        const since = ring().keys.flatMap((key) => (key.state === state ? sinceWhen(key) : []))
        if (since.length === 0) continue
        this.set({ state }, Math.max(0, epochSeconds(clock) - Math.min(...since)))
      }
    },
  })
  void new Gauge({
    name: 'gatehouse_key_rotation_overdue_seconds',
    help: 'Since when the active key should have been replaced (keys.rotateEveryDays), 0 while it need not be',
    registers: [registry],
    collect() {
      const dueAt = activeKey(ring()).activatedAt + rotateEverySeconds
      this.set(Math.max(0, epochSeconds(clock) - dueAt))
    },
  })
}

function sinceWhen(key: RingKey): number {
  switch (key.state) {
    case 'next':
      return key.publishedAt
    case 'active':
      return key.activatedAt
    case 'retiring':
      return key.retiredAt
  }
}
