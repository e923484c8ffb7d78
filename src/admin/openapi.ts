import { z } from 'zod'
import type { Endpoint } from './endpoint.ts'

const PROBLEM = { $ref: '#/components/schemas/Problem' }
const problemSchema = z.object({
  type: z.string().describe('urn:gatehouse:error:<code>'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().describe('the request id'),
  error: z.object({ message: z.string(), type: z.string(), code: z.string() }),
})

/** The OpenAPI 3.1 document of these endpoints, made from the very schemas that their requests are parsed with. */
export function createOpenApiDocument(endpoints: readonly Endpoint[], issuer: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const endpoint of endpoints) {
    const methods = (paths[endpoint.path] ??= {})
    methods[endpoint.method.toLowerCase()] = describeOperation(endpoint)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gatehouse admin API',
      version: '1',
      description: 'Who may get tokens. Errors are problem+json (RFC 9457).',
    },
    paths,
    components: {
      schemas: { Problem: toSchema(problemSchema) },
      securitySchemes: {
        adminToken: {
          type: 'oauth2',
          description: `An access token for the resource ${issuer}/admin (RFC 8707)`,
          flows: {
            clientCredentials: { tokenUrl: `${issuer}/token`, scopes: scopesOf(endpoints) },
          },
        },
      },
    },
  }
}

function describeOperation(endpoint: Endpoint): object {
  const { takes, answers } = endpoint
  const resource = endpoint.operation.split('.')[1]
  return {
    operationId: endpoint.operation,
    summary: endpoint.summary,
    tags: [resource],
    security: [{ adminToken: [endpoint.scope] }],
    parameters: [
      ...parametersIn('path', takes.params),
      ...parametersIn('query', takes.query),
      ...headersOf(endpoint),
    ],
    ...(takes.body && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: toSchema(takes.body) } },
      },
    }),
    responses: {
      [answers.status]: {
        description: 'Done',
        ...(answers.body && {
          content: { 'application/json': { schema: toSchema(answers.body) } },
        }),
      },
      default: {
        description: 'Refused',
        content: { 'application/problem+json': { schema: PROBLEM } },
      },
    },
  }
}

const objectSchema = z.object({
  properties: z.record(z.string(), z.looseObject({})).default({}),
  required: z.array(z.string()).default([]),
})

function parametersIn(place: 'path' | 'query', schema: z.ZodType | undefined): object[] {
  if (schema === undefined) return []
  const { properties, required } = objectSchema.parse(toSchema(schema))
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }))
}

function headersOf({ method, isRepeatable, takes }: Endpoint): object[] {
  const header = (name: string, description: string) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  })
  return [
    ...(isRepeatable === true
      ? [header('Idempotency-Key', 'a repeat within 24 h answers the same, without the secret')]
      : []),
    ...(method !== 'GET' && takes.params !== undefined
      ? [header('If-Match', 'the ETag of the object as last seen; 412 when it has changed')]
      : []),
  ]
}

/** In the form that a caller writes: what a transform makes of it has no JSON Schema. */
function toSchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  })
  return rest
}

const scopesOf = (endpoints: readonly Endpoint[]): Record<string, string> =>
  Object.fromEntries(endpoints.map(({ scope }) => [scope, '']))
