import { collectDefaultMetrics, Registry } from 'prom-client'

/** A registry of its own for each role, with the process's figures in it; served by the role's ops listener. */
export function createMetricsRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}
