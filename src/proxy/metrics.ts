import { Counter, Gauge, type Registry } from 'prom-client'
import { createPlainHistogram } from '../kernel/plain-histogram.ts'
import { createLabelledCounter, createPairCounter } from '../kernel/tally.ts'
import { watchRevocations } from '../revocations/metrics.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { RemoteJwks } from '../tokens/remote-jwks.ts'
import type { VerifiedTokenCache } from '../tokens/verified-token-cache.ts'
import type { Caller } from './authenticate.ts'
import type { Upstreams } from './upstreams.ts'

export type ProxyMetrics = {
  /** `outcome` is `allowed` or the code of the refusal. */
  observeCall: (route: string, outcome: string, seconds: number) => void
  /** `reason` is the one in the log: the name of a rule, of which there are few. */
  countRefusal: (reason: string) => void
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
  verified: Pick<VerifiedTokenCache<Caller>, 'statistics'>
}

/** How `limits.ts` calls a refusal. */
const LIMIT_REASON = /^(subject|client|tenant)_(rpm|concurrency|daily_requests|daily_tokens)$/

/** What each request costs here is a few additions: all else is done when the metrics are read. */
export function createProxyMetrics(
  registry: Registry,
  { jwks, upstreams, waiting, revocations, verified }: MetricSources,
): ProxyMetrics {
  const registers = [registry]
  const requests = createPairCounter({
    name: 'gatehouse_proxy_requests_total',
    help: 'Requests by route and outcome',
    labels: ['route', 'outcome'],
    registers,
  })
  const refusals = createLabelledCounter({
    name: 'gatehouse_proxy_refused_total',
    help: 'Requests that were refused or failed, by the reason in the log',
    label: 'reason',
    registers,
  })
  const observeRequest = createPlainHistogram({
    name: 'gatehouse_proxy_request_seconds',
    help: 'From the request headers to the end of the response',
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  })
  const observeVerification = createPlainHistogram({
    name: 'gatehouse_proxy_verify_seconds',
    help: 'Authentication of one request',
    buckets: [0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1, 5],
    registers,
  })
  const observeWait = createPlainHistogram({
    name: 'gatehouse_proxy_queue_seconds',
    help: 'From asking for a slot at a model server to having it, or being refused',
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240],
    registers,
  })
  void new Counter({
    name: 'gatehouse_limits_refused_total',
    help: 'Requests refused by a limit, by whose limit it was and which',
    labelNames: ['level', 'limit'],
    registers,
    collect() {
      this.reset()
      for (const [reason, count] of refusals.entries()) {
        const [, level, limit] = LIMIT_REASON.exec(reason) ?? []
        if (level !== undefined && limit !== undefined) this.inc({ level, limit }, count)
      }
    },
  })
  void new Counter({
    name: 'gatehouse_token_cache_lookups_total',
    help: 'Requests with a token, by whether it had been verified before',
    labelNames: ['result'],
    registers,
    collect() {
      const { hits, misses } = verified.statistics()
      this.reset()
      this.inc({ result: 'hit' }, hits)
      this.inc({ result: 'miss' }, misses)
    },
  })
  void new Gauge({
    name: 'gatehouse_token_cache_entries',
    help: 'Verified tokens that are remembered',
    registers,
    collect() {
      this.set(verified.statistics().entries)
    },
  })
  void new Gauge({
    name: 'gatehouse_proxy_slots',
    help: 'Requests that the model servers which may be used take at once',
    registers,
    collect() {
      this.set(upstreams.capacity())
    },
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
  watchRevocations(registry, revocations)
  return {
    observeCall(route, outcome, seconds) {
      requests.count(route, outcome)
      observeRequest(seconds)
    },
    countRefusal: refusals.count,
    observeVerification,
    observeWait,
  }
}
