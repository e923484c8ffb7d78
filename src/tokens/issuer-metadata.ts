import { z } from 'zod'
import { fetchJson, unavailable } from './fetch-json.ts'

const issuerSchema = z.object({ issuer: z.string() })

/** What the issuer says of itself. RFC 8414 §3.3: the document must name the very issuer that was asked for. */
export async function fetchIssuerMetadata<T>(issuer: string, schema: z.ZodType<T>): Promise<T> {
  const { body } = await fetchJson(`${issuer}/.well-known/oauth-authorization-server`)
  if (issuerSchema.safeParse(body).data?.issuer !== issuer) {
    throw unavailable('the metadata names another issuer')
  }
  const metadata = schema.safeParse(body)
  if (!metadata.success) throw unavailable('the metadata is incomplete')
  return metadata.data
}
