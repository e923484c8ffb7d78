import { z } from 'zod'
import { DEFAULT_ROUTES, route } from './route.ts'
import {
  cidr,
  fetchUrl,
  filePath,
  headerSecret,
  listen,
  origin,
  scopeToken,
  sealingKey,
  secret,
  tls,
  wholeNumber,
} from './setting-types.ts'

/** One with a key of its own can only be written in the file. */
const upstream = z.union(
  [
    origin,
    z
      .strictObject({
        url: origin.describe('where it is'),
        apiKey: headerSecret().optional().describe('sent to it as the bearer'),
        apiKeyFile: filePath().optional().describe('file with that key'),
      })
      .refine(({ apiKey, apiKeyFile }) => apiKey === undefined || apiKeyFile === undefined, {
        error: 'has both apiKey and apiKeyFile',
      }),
  ],
  { error: 'must be a URL, or a mapping of url and apiKey or apiKeyFile' },
)

const limitSet = z.strictObject({
  rpm: wholeNumber(1).optional().describe('requests in any 60 s'),
  concurrency: wholeNumber(1).optional().describe('requests at once'),
  daily_requests: wholeNumber(1).optional().describe('requests in a day (UTC)'),
  daily_tokens: wholeNumber(1)
    .optional()
    .describe('tokens that the model reads and writes in a day (UTC)'),
})

/** What becomes of a limit that cannot be counted with the other proxies. */
const outageMode = z.enum(['local', 'refuse', 'continue'])
const outageModeOf = () => outageMode.optional().describe('the same for this limit alone')

const resource = z.strictObject({
  scopes: z.array(scopeToken).min(1).describe('what a token for it can have'),
  introspectors: z
    .array(z.string())
    .default([])
    .describe('client ids that may ask about tokens for it'),
})

const healthCheck = z.strictObject({
  path: z
    .string()
    .regex(/^\/[\x21-\x7E]*$/, 'must begin with / and have no blanks, nor what is not ASCII')
    .default('/health')
    .describe('asked of each model server'),
  intervalSeconds: wholeNumber(0).default(5).describe('from one check to the next; 0: no checks'),
})

const queue = z.strictObject({
  maxWaiting: wholeNumber(0, 100_000)
    .default(1024)
    .describe('requests that may wait for a model server at once; 0: none'),
  // A request with its body has 300 s to arrive, and its wait is a part of them.
  maxWaitSeconds: wholeNumber(1, 240).default(30).describe('how long one waits, then 503'),
})

const jwks = z.strictObject({
  cooldownSeconds: wholeNumber(1)
    .default(10)
    .describe('least time between two fetches of the keys, failed ones included'),
  maxStaleSeconds: wholeNumber(1)
    .default(86_400)
    .describe('how long keys serve while the issuer is away, then 503'),
})

const pkcs11 = z
  .strictObject({
    module: filePath().describe("path of the token's PKCS#11 library"),
    tokenLabel: z.string().min(1).describe('which token of that library'),
    pin: secret().describe('its user PIN'),
  })
  .optional()
  .describe('the token in which signing keys are made and used')

/**
 * Every setting with its default and what it means; strict, so that a misspelt key is found. The operator reads these
 * descriptions, in the JSON Schema and in docs/configuration.md.
 */
export const configSchema = z.strictObject({
  dataDir: filePath()
    .default('./data')
    .describe('folder of the store, the audit trail and what else is kept'),
  sandbox: z
    .boolean()
    .default(true)
    .describe("whether an issuer on Redis and a proxy run under Node's permission model"),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .describe('the least important lines that are written to standard error'),
    })
    .prefault({}),
  issuer: z
    .strictObject({
      url: origin.default('http://localhost:9000').describe('the `iss` of tokens'),
      listen: listen.default('127.0.0.1:9000').describe('where clients and browsers come in'),
      opsListen: listen.default('127.0.0.1:9002').describe('`/livez`, `/readyz`, `/metrics`'),
      tls: tls.prefault({}),
      clientAuth: z
        .strictObject({
          maxFailuresPerMinute: wholeNumber(1)
            .default(30)
            .describe('wrong secrets for one client, or passwords for one user, from one address'),
        })
        .prefault({}),
    })
    .prefault({}),
  admin: z
    .strictObject({
      listen: listen
        .default('127.0.0.1:9001')
        .describe("the operators' API, in the process of the issuer"),
      tls: tls.prefault({}),
    })
    .prefault({}),
  proxy: z
    .strictObject({
      url: origin
        .default('http://localhost:8080')
        .describe('the identifier of the resource: the `aud` of tokens'),
      listen: listen.default('127.0.0.1:8080').describe('where callers come in'),
      opsListen: listen.default('127.0.0.1:8081').describe('`/livez`, `/readyz`, `/metrics`'),
      upstreams: z
        .array(upstream)
        .min(1)
        .default(['http://localhost:8000'])
        .describe('model servers; each request goes to the least busy one'),
      upstreamApiKey: headerSecret()
        .optional()
        .describe('sent as the bearer to each model server that has no key of its own'),
      maxInFlightPerUpstream: wholeNumber(1)
        .default(64)
        .describe('requests that a model server has at once; more of them wait'),
      queue: queue.prefault({}),
      routes: z
        .array(route)
        .default(DEFAULT_ROUTES)
        .describe('the only requests that reach a model server'),
      maxBodyBytes: wholeNumber(1)
        .default(33_554_432)
        .describe('the largest request body of a route that does not say another'),
      connectTimeoutSeconds: wholeNumber(1)
        .default(2)
        .describe('for a connection to a model server'),
      firstByteTimeoutSeconds: wholeNumber(1)
        .default(300)
        .describe('for a model server to begin its answer'),
      idleTimeoutSeconds: wholeNumber(1)
        .default(120)
        .describe('for either side to go on with a body'),
      drainSeconds: wholeNumber(0)
        .default(30)
        .describe('how long running requests may take to end after SIGTERM; of the issuer, too'),
      healthCheck: healthCheck.prefault({}),
      clockSkewSeconds: wholeNumber(0, 60)
        .default(30)
        .describe("by how much the clocks of issuer and proxy may differ in a token's times"),
      jwksUrl: fetchUrl
        .optional()
        .describe("where the keys are, if not where the issuer's metadata says"),
      jwks: jwks.prefault({}),
      forwardAuth: z
        .boolean()
        .default(false)
        .describe('whether `/_gatehouse/verify` answers other proxies'),
      cors: z
        .strictObject({
          origins: z
            .array(origin)
            .default([])
            .describe('whose scripts may call from a browser; without any, no CORS headers'),
        })
        .prefault({}),
      workers: wholeNumber(1)
        .default(1)
        .describe('processes that share the port; more than 1 need `redis.url`'),
      clientId: z
        .string()
        .min(1)
        .optional()
        .describe("the proxy's own client, with which it follows the issuer's revocations"),
      clientKeyFile: filePath().optional().describe('private JWK of that client'),
      tls: tls.prefault({}),
    })
    .prefault({}),
  redis: z
    .strictObject({
      url: secret()
        .optional()
        .describe(
          '`redis://`, `rediss://`, `redis+sentinel://H:P,H:P/NAME` or `redis+cluster://H:P,H:P`, the last two ' +
            'also with `rediss`; without it everything is in a file in `dataDir`',
        ),
    })
    .prefault({}),
  revocations: z
    .strictObject({
      feed: z
        .enum(['in_process', 'redis', 'issuer', 'off'])
        .optional()
        .describe(
          'where the proxy hears what is revoked: by default Redis where there is one, else the issuer, in ' +
            'the same process or over HTTP; `off`: revoked tokens pass',
        ),
      maxStalenessSeconds: wholeNumber(1)
        .default(60)
        .describe('how long the proxy goes on without having heard of revocations'),
      onStale: z
        .enum(['fail_closed', 'continue'])
        .default('fail_closed')
        .describe('what happens then: 503 for every token, or nothing'),
    })
    .prefault({}),
  keys: z
    .strictObject({
      dir: filePath().default('./keys').describe('folder of the private keys (0600)'),
      encryptionKey: sealingKey()
        .optional()
        .describe('seals the private keys; required with `redis.url`'),
      passphrase: secret()
        .min(12)
        .optional()
        .describe('seals them instead, for one issuer on files'),
      previousEncryptionKey: sealingKey()
        .optional()
        .describe('what sealed them before, while the key is changed'),
      previousPassphrase: secret().optional().describe('the same for a passphrase'),
      rotateEveryDays: wholeNumber(1).default(30).describe('the age at which another key signs'),
      jwksMaxAgeSeconds: wholeNumber(1)
        .default(300)
        .describe('`max-age` of the JWKS; a key signs once it was published for two of them'),
      modulusLength: wholeNumber(2048, 8192)
        .default(2048)
        .describe('bits of a new signing key (RSA)'),
      pkcs11,
    })
    .prefault({}),
  tokens: z
    .strictObject({
      accessTtlSeconds: wholeNumber(60, 1800).default(900).describe('life of an access token'),
      // A year at most: for so long it is remembered who was revoked.
      refreshTtlSeconds: wholeNumber(60, 31_536_000)
        .default(1_209_600)
        .describe('life of a refresh token, each one anew'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      defaults: limitSet
        .optional()
        .describe('of each subject whose token limits nobody; what is not given is unlimited'),
      onFailure: outageMode
        .default('local')
        .describe(
          'while Redis cannot count: each proxy counts alone, callers with limits get 503, or all are let in',
        ),
      onFailureOf: z
        .strictObject({
          rpm: outageModeOf(),
          concurrency: outageModeOf(),
          daily_requests: outageModeOf(),
          daily_tokens: outageModeOf(),
        })
        .optional(),
    })
    .prefault({}),
  resources: z
    .record(
      z
        .url({ error: 'must be an absolute URI' })
        .refine((uri) => !uri.includes('#'), 'has a fragment'),
      resource,
    )
    .optional()
    .describe(
      'what tokens can be for: identifier → scopes, introspectors; by default `proxy.url` with `ocr_api_access`',
    ),
  audit: z
    .strictObject({
      sink: z
        .enum(['file', 'stdout', 'redis'])
        .default('file')
        .describe('where the trail goes: `<dataDir>/audit`, standard output, Redis'),
      retentionDays: wholeNumber(1).default(365).describe('how long it is kept'),
      onFailure: z
        .enum(['refuse', 'continue'])
        .default('refuse')
        .describe('while it cannot be written: nothing is let in, or everything'),
    })
    .prefault({}),
  tracing: z
    .strictObject({
      otlpEndpoint: fetchUrl
        .optional()
        .describe('OpenTelemetry collector, without /v1/traces; without it nothing is traced'),
      otlpAuthorization: headerSecret().optional().describe('value of the Authorization header'),
      sampleRatio: z
        .number()
        .min(0)
        .max(1)
        .default(1)
        .describe('of the traces that begin here; others are as their caller decided'),
    })
    .prefault({}),
  trustedProxies: z
    .array(cidr)
    .default([])
    .describe('addresses of the TLS terminators in front, as CIDR blocks'),
  trustedCa: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file: authorities that are trusted beside those that Node knows'),
})

export type Config = z.infer<typeof configSchema>
