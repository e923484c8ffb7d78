import { Gauge, type Registry } from 'prom-client'
import type { Clock } from '../kernel/clock.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import type { LiveCertificates } from './live-certificates.ts'

/** `gatehouse_tls_certificate_expires_seconds{listener}`, below 0 once it has expired; none for a listener without TLS. */
export function watchCertificates(
  registry: Registry,
  watched: readonly LiveCertificates[],
  clock: Clock,
): void {
  void new Gauge({
    name: 'gatehouse_tls_certificate_expires_seconds',
    help: 'Until the certificate that a listener shows, or one of its chain, expires',
    labelNames: ['listener'],
    registers: [registry],
    collect() {
      for (const { role, expiresAtMs } of watched) {
        const atMs = expiresAtMs()
        if (atMs !== undefined) this.set({ listener: role }, (atMs - clock()) / 1000)
      }
    },
  })
}

/** A check of those listeners that have a certificate, if any does. */
export function certificateChecks(
  watched: readonly LiveCertificates[],
): Readonly<Record<string, () => CheckResult>> {
  const shown = watched.filter(({ listener }) => listener.tls !== undefined)
  if (shown.length === 0) return {}
  return {
    certificates() {
      const details = shown.flatMap(({ role, readiness }) => {
        const { detail } = readiness()
        return detail === undefined ? [] : [`${role}: ${detail}`]
      })
      return details.length === 0 ? { status: 'ok' } : { status: 'ok', detail: details.join('; ') }
    },
  }
}
