import { Gauge, type Registry } from 'prom-client'

export function showWorkers(registry: Registry, serving: () => number): void {
  void new Gauge({
    name: 'gatehouse_proxy_workers',
    help: 'Processes that serve',
    registers: [registry],
    collect() {
      this.set(serving())
    },
  })
}
