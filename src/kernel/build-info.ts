import { Gauge, type Registry } from 'prom-client'

/** Which version a metric comes from. */
export function showVersion(registry: Registry, version: string): void {
  void new Gauge({
    name: 'gatehouse_build_info',
    help: 'Always 1; says which version runs',
    labelNames: ['version'],
    registers: [registry],
    collect() {
      this.set({ version }, 1)
    },
  })
}
