import { hostname } from 'node:os'
import type { Config } from '../config/schema.ts'
import type { Log } from '../kernel/log.ts'
import type { Tracing } from '../kernel/tracing.ts'
import { ownVersion } from './own-version.ts'

/** Undefined where no collector is configured: then nothing of it is even loaded. */
export async function openTracing(
  { tracing }: Config,
  role: 'issuer' | 'proxy',
  log: Log,
): Promise<Tracing | undefined> {
  const { otlpEndpoint: endpoint, otlpAuthorization: authorization, sampleRatio } = tracing
  if (endpoint === undefined) return undefined
  const { createOtlpTracing } = await import('../kernel/otlp-tracing.ts')
  const resource = {
    'service.name': `gatehouse-${role}`,
    'service.version': ownVersion(),
    'service.instance.id': `${hostname()}-${process.pid}`,
  }
  return createOtlpTracing({ endpoint, authorization, sampleRatio, resource, log })
}
