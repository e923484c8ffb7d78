import { Counter, type Registry } from 'prom-client'

export type IssuerMetrics = {
  countIssued: (grant: string) => void
  countRefused: (reason: string) => void
}

export function createIssuerMetrics(registry: Registry): IssuerMetrics {
  const issued = new Counter({
    name: 'gatehouse_tokens_issued_total',
    help: 'Access tokens issued, by grant type',
    labelNames: ['grant'],
    registers: [registry],
  })
  const refused = new Counter({
    name: 'gatehouse_token_requests_refused_total',
    help: 'Token requests refused, by RFC 6749 error code',
    labelNames: ['reason'],
    registers: [registry],
  })
  return {
    countIssued: (grant) => issued.inc({ grant }),
    countRefused: (reason) => refused.inc({ reason }),
  }
}
