import { Gauge, type Registry } from 'prom-client'
import type { RevocationGuard } from './revocation-guard.ts'

/** Of the proxies, and of the issuer, which looks at its own tokens. */
export function watchRevocations(
  registry: Registry,
  { lagSeconds }: Pick<RevocationGuard, 'lagSeconds'>,
): void {
  void new Gauge({
    name: 'gatehouse_revocation_lag_seconds',
    help: 'Since when revocations may have been missed',
    registers: [registry],
    collect() {
      this.set(lagSeconds())
    },
  })
}
