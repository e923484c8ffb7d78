import { z } from 'zod'
import { identifierSchema } from '../registry/identifier.ts'

const MAX_LIMIT = 1000

/** How a list is asked for, page by page. */
export const pageQuery = {
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(1).max(MAX_LIMIT))
    .default(100)
    // It comes as text, and is a number to whoever reads the OpenAPI document.
    .meta({ type: 'integer', minimum: 1, maximum: MAX_LIMIT, pattern: undefined }),
  cursor: z.string().min(1).max(400).optional().describe('next_cursor of the page before'),
}

export const tenantPageQuery = { ...pageQuery, tenant_id: identifierSchema.optional() }

/** A page; without `next_cursor` it is the last. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next_cursor: z.string().optional() })
