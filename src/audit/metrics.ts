import { Gauge, type Registry } from 'prom-client'
import type { AuditTrail } from './trail.ts'

/** What tells an operator that the trail is falling behind, and what it has cost so far. */
export function watchAudit(registry: Registry, trail: AuditTrail): void {
  const registers = [registry]
  void new Gauge({
    name: 'gatehouse_audit_lag_seconds',
    help: 'For how long the oldest audit record that is not written has been waiting',
    registers,
    collect() {
      this.set(trail.lagSeconds())
    },
  })
  void new Gauge({
    name: 'gatehouse_audit_failing',
    help: 'Whether the audit trail cannot be written',
    registers,
    collect() {
      this.set(trail.isFailing() ? 1 : 0)
    },
  })
  void new Gauge({
    name: 'gatehouse_audit_lost_records',
    help: 'Audit records that found no more room while the trail could not be written',
    registers,
    collect() {
      this.set(trail.lostRecords())
    },
  })
}
