import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { RemoteJwks } from '../tokens/remote-jwks.ts'
import type { Upstreams } from './upstreams.ts'

export type ProxyMetrics = {
  /** `outcome` is `allowed` or the code of the refusal. */
  observeCall: (route: string, outcome: string, seconds: number) => void
  observeVerification: (seconds: number) => void
  /** Of a caller whom the queue has let through or not. */
  observeWait: (seconds: number) => void
}

type MetricSources = {
  jwks: RemoteJwks
  upstreams: Upstreams
  /** How many callers wait for a slot. */
  waiting: () => number
  revocations: Pick<RevocationGuard, 'lagSeconds'>
}

export function createProxyMetrics(
  registry: Registry,
  { jwks, upstreams, waiting, revocations }: MetricSources,
): ProxyMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'gatehouse_proxy_requests_total',
    help: 'Requests by route and outcome',
    labelNames: ['route', 'outcome'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'gatehouse_proxy_request_seconds',
    help: 'From the request headers to the end of the response',
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  })
  const verifySeconds = new Histogram({
    name: 'gatehouse_proxy_verify_seconds',
    help: 'Authentication of one request',
    buckets: [0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1, 5],
    registers,
  })
  const queueSeconds = new Histogram({
    name: 'gatehouse_proxy_queue_seconds',
    help: 'From asking for a slot at a model server to having it, or being refused',
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240],
    registers,
  })
  void new Gauge({
    name: 'gatehouse_proxy_waiting',
    help: 'Callers that wait for a slot at a model server',
    registers,
    collect() {
      this.set(waiting())
    },
  })
  void new Gauge({
    name: 'gatehouse_proxy_in_flight',
    help: 'Requests at the model server',
    labelNames: ['upstream'],
    registers,
    collect() {
      for (const { url, inFlight, publicInFlight } of upstreams.all) {
        this.set({ upstream: url }, inFlight + publicInFlight)
      }
    },
  })
  void new Gauge({
    name: 'gatehouse_upstream_healthy',
    help: 'Whether requests go to the model server',
    labelNames: ['upstream'],
    registers,
    collect() {
      for (const { url, health } of upstreams.all) {
        this.set({ upstream: url }, health.state === 'usable' ? 1 : 0)
      }
    },
  })
  void new Gauge({
    name: 'gatehouse_jwks_age_seconds',
    help: 'Since the signing keys were last fetched',
    registers,
    collect() {
      this.set(jwks.ageSeconds() ?? Number.NaN)
    },
  })
  void new Gauge({
    name: 'gatehouse_clock_skew_seconds',
    help: "By how much the issuer's clock is ahead of ours, to about a second",
    registers,
    collect() {
      this.set(jwks.issuerAheadSeconds() ?? Number.NaN)
    },
  })
  void new Gauge({
    name: 'gatehouse_revocation_lag_seconds',
    help: 'Since when revocations may have been missed',
    registers,
    collect() {
      this.set(revocations.lagSeconds())
    },
  })
  return {
    observeCall(route, outcome, seconds) {
      requests.inc({ route, outcome })
      requestSeconds.observe(seconds)
    },
    observeVerification: (seconds) => verifySeconds.observe(seconds),
    observeWait: (seconds) => queueSeconds.observe(seconds),
  }
}
