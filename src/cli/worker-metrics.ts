import { Gauge, type Registry } from 'prom-client'

export function showWorkers(registry: Registry, serving: () => number, wanted: number): void {
  const registers = [registry]
  void new Gauge({
    name: 'gatehouse_proxy_workers',
    help: 'Processes that serve',
    registers,
    collect() {
      this.set(serving())
    },
  })
  new Gauge({
    name: 'gatehouse_proxy_workers_wanted',
    help: 'Processes that should serve',
    registers,
  }).set(wanted)
}
