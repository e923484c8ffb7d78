import { z } from 'zod'
import { scopeToken, wholeNumber } from './setting-types.ts'

/** `/v1/files/{id}`: whole segments may be parameters; nothing that servers read in more than one way. */
const routePath = z
  .string()
  .regex(/^\/[\x21\x22\x24-\x3E\x40-\x7E]*$/, 'must be an absolute path without a query')
  .refine((path) => !/\/\/|\/\.{1,2}(?:\/|$)|\\/.test(path), 'has dots, // or a backslash')
  .refine(
    (path) => !/[{}]/.test(path.replaceAll(/(?<=\/)\{[a-z_]\w*\}(?=\/|$)/gi, '')),
    'has a { that is no segment of its own: /v1/files/{id}',
  )

export const route = z
  .strictObject({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).describe('`GET` includes HEAD'),
    path: routePath.describe('compared byte by byte; `{id}` stands for one segment'),
    public: z.literal(true).optional().describe('needs no token'),
    scopes: z.array(scopeToken).min(1).optional().describe('all of them are needed'),
    maxBodyBytes: wholeNumber(0)
      .optional()
      .describe('`proxy.maxBodyBytes` without it; 0 for a public route'),
    firstByteTimeoutSeconds: wholeNumber(1)
      .optional()
      .describe('`proxy.firstByteTimeoutSeconds` without it'),
    idleTimeoutSeconds: wholeNumber(1).optional().describe('`proxy.idleTimeoutSeconds` without it'),
  })
  .refine((value) => (value.public === true) !== (value.scopes !== undefined), {
    error: 'needs either scopes or public: true',
  })

/** The default route table: the only requests that reach a model server. */
export const DEFAULT_ROUTES: z.input<typeof route>[] = [
  { method: 'GET', path: '/health', public: true },
  { method: 'GET', path: '/docs', public: true },
  { method: 'GET', path: '/openapi.json', public: true },
  { method: 'GET', path: '/v1/models', scopes: ['ocr_api_access'] },
  { method: 'POST', path: '/v1/chat/completions', scopes: ['ocr_api_access'] },
  { method: 'POST', path: '/ocr/infer', scopes: ['ocr_api_access'] },
]
