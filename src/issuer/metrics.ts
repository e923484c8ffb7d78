import { Histogram, type Registry } from 'prom-client'
import { createLabelledCounter, createPairCounter } from '../kernel/tally.ts'

export type IssuerMetrics = {
  countIssued: (grant: string) => void
  countRefused: (reason: string) => void
  observeRequest: (route: string, outcome: RequestOutcome, seconds: number) => void
}

export type RequestOutcome = 'allowed' | 'refused' | 'failed' | 'client_gone'

export function createIssuerMetrics(registry: Registry): IssuerMetrics {
  const registers = [registry]
  const issued = createLabelledCounter({
    name: 'gatehouse_tokens_issued_total',
    help: 'Access tokens issued, by grant type',
    label: 'grant',
    registers,
  })
  const refused = createLabelledCounter({
    name: 'gatehouse_token_requests_refused_total',
    help: 'Token requests refused, by RFC 6749 error code',
    label: 'reason',
    registers,
  })
  const requests = createPairCounter({
    name: 'gatehouse_issuer_requests_total',
    help: 'Requests by endpoint and outcome',
    labels: ['route', 'outcome'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'gatehouse_issuer_request_seconds',
    help: 'From the request headers to the end of the response, by endpoint',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  return {
    countIssued: issued.count,
    countRefused: refused.count,
    observeRequest(route, outcome, seconds) {
      requests.count(route, outcome)
      requestSeconds.observe({ route }, seconds)
    },
  }
}
