import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { RequestMark } from '../registry/made-once.ts'
import type { AdminScope } from './admin-scopes.ts'

/** What a request brings, each part still as it came: `params` from the path, `query`, and the JSON of the body. */
export type Received = { params: object; query: object; body: unknown }

export type Answer = {
  status: number
  body?: object
  /** What an ETag is made of. */
  version?: string
  /** Members of the body that are shown this once. */
  once?: object
  /** It was done before, by the same Idempotency-Key. */
  isReplay?: true
}

type Caller = {
  caller: AccessToken
  expected: { version?: string }
  /** Of a request that is repeatable and brought an Idempotency-Key. */
  mark?: RequestMark | undefined
}

type EndpointFacts = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With the names of its parameters in braces. */
  path: string
  /** `admin.<resource>.<verb>`: its event in the log, its operation in OpenAPI. */
  operation: string
  summary: string
  scope: AdminScope
  /** How it answers when all is well: with which status, and with what. */
  answers: { status: number; body?: z.ZodType }
  /** Whether an Idempotency-Key makes it happen once. */
  isRepeatable?: true
  /** The member of the answer that names what it made. */
  idMember?: string
}

type Parts = { params?: z.ZodType; query?: z.ZodType; body?: z.ZodType }

/** An endpoint of the admin API, for the router and for the OpenAPI document. */
export type Endpoint = EndpointFacts & {
  takes: Parts
  /** Parses what came and does it: AppError `malformed_request` names every member that is not right. */
  run: (received: Received & Caller) => Promise<Answer>
}

/** Ties what an endpoint takes to the function that gets it, parsed. */
export function defineEndpoint<Takes extends Parts & z.ZodRawShape>(
  facts: EndpointFacts & {
    takes: Takes
    run: (request: z.output<z.ZodObject<Takes>> & Caller) => Promise<Answer>
  },
): Endpoint {
  const schema = z.object(facts.takes)
  return {
    ...facts,
    async run({ caller, expected, mark, ...received }) {
      const parsed = schema.safeParse(received)
      if (!parsed.success) throw refusalOf(parsed.error)
      return facts.run({ ...parsed.data, caller, expected, mark })
    },
  }
}

const MAX_PROBLEMS = 10

function refusalOf({ issues }: z.ZodError): AppError {
  // An id that no object can have is one that none has.
  if (issues.some(({ path }) => path[0] === 'params')) return noSuchThing()
  const problems = issues.slice(0, MAX_PROBLEMS).flatMap(describeIssue)
  return new AppError('malformed_request', problems.join('; ').slice(0, 2000), {
    reason: 'schema',
  })
}

/** Names the member and the rule, never the value: that may be a password. */
function describeIssue(issue: z.core.$ZodIssue): string[] {
  const [part, ...path] = issue.path
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, MAX_PROBLEMS)
      .map((key) => `${[...path, key.slice(0, 50)].join('.')}: unknown member`)
  }
  const where = path.length === 0 ? String(part) : path.join('.')
  return [`${where}: ${issue.message}`]
}

export function noSuchThing(): AppError {
  return new AppError('not_found', 'There is no such object.')
}
