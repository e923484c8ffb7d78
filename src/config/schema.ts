import { isIP } from 'node:net'
import { z } from 'zod'

const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.int('must be a whole number').min(min).max(max)
const secret = () => z.string().min(1).meta({ secret: true })

/** 32 bytes in base64, with either alphabet. */
const sealingKey = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9+/_-]{43}=?$/, 'must be 32 bytes in base64')
    .meta({ secret: true })

const listen = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[^:[\]\s/]+):\d{1,5}$/, 'must be HOST:PORT or [IPV6]:PORT')
  .refine(
    (text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535,
    'the port is above 65535',
  )

const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })

/** An identifier that clients compare letter by letter (RFC 8414 §2, RFC 9728 §1.2). */
const origin = httpUrl.refine((text) => URL.parse(text)?.origin === text, {
  error: 'must be scheme, host and port alone, without a trailing slash',
})

const cidr = z.string().refine(isCidr, 'must be an IP address or a CIDR block')

const tls = z.strictObject({
  cert: z.string().min(1).optional().describe('PEM file'),
  key: z.string().min(1).optional().describe('PEM file'),
  clientCa: z.string().min(1).optional().describe('PEM file'),
})

const scopeToken = z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]+$/, 'is not a scope (RFC 6749 §3.3)')

/** `/v1/files/{id}`: whole segments may be parameters; nothing that servers read in more than one way. */
const routePath = z
  .string()
  .regex(/^\/[\x21\x22\x24-\x3E\x40-\x7E]*$/, 'must be an absolute path without a query')
  .refine((path) => !/\/\/|\/\.{1,2}(?:\/|$)|\\/.test(path), 'has dots, // or a backslash')
  .refine(
    (path) => !/[{}]/.test(path.replaceAll(/(?<=\/)\{[a-z_]\w*\}(?=\/|$)/gi, '')),
    'has a { that is no segment of its own: /v1/files/{id}',
  )

const route = z
  .strictObject({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: routePath,
    public: z.literal(true).optional(),
    scopes: z.array(scopeToken).min(1).optional(),
    maxBodyBytes: wholeNumber(0).optional(),
    firstByteTimeoutSeconds: wholeNumber(1).optional(),
    idleTimeoutSeconds: wholeNumber(1).optional(),
  })
  .refine((value) => (value.public === true) !== (value.scopes !== undefined), {
    error: 'needs either scopes or public: true',
  })

/** One with a key of its own can only be written in the file. */
const upstream = z.union(
  [
    origin,
    z
      .strictObject({
        url: origin,
        apiKey: secret().optional(),
        apiKeyFile: z.string().min(1).optional(),
      })
      .refine(({ apiKey, apiKeyFile }) => apiKey === undefined || apiKeyFile === undefined, {
        error: 'has both apiKey and apiKeyFile',
      }),
  ],
  { error: 'must be a URL, or a mapping of url and apiKey or apiKeyFile' },
)

const limitSet = z.strictObject({
  rpm: wholeNumber(1).optional(),
  concurrency: wholeNumber(1).optional(),
  daily_requests: wholeNumber(1).optional(),
  daily_tokens: wholeNumber(1).optional(),
})

/** The default route table: the only requests that reach a model server. */
const DEFAULT_ROUTES: z.input<typeof route>[] = [
  { method: 'GET', path: '/health', public: true },
  { method: 'GET', path: '/docs', public: true },
  { method: 'GET', path: '/openapi.json', public: true },
  { method: 'GET', path: '/v1/models', scopes: ['ocr_api_access'] },
  { method: 'POST', path: '/v1/chat/completions', scopes: ['ocr_api_access'] },
  { method: 'POST', path: '/ocr/infer', scopes: ['ocr_api_access'] },
]

/** Every setting with its default; strict, so that a misspelt key is found. The operator reads these comments. */
export const configSchema = z.strictObject({
  dataDir: z.string().min(1).default('./data'),
  sandbox: z
    .boolean()
    .default(true)
    .describe("whether an issuer on Redis and a proxy run under Node's permission model"),
  log: z
    .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info') })
    .prefault({}),
  issuer: z
    .strictObject({
      url: origin.default('http://localhost:9000'),
      listen: listen.default('127.0.0.1:9000'),
      opsListen: listen.default('127.0.0.1:9002'),
      tls: tls.prefault({}),
      clientAuth: z.strictObject({ maxFailuresPerMinute: wholeNumber(1).default(30) }).prefault({}),
    })
    .prefault({}),
  admin: z
    .strictObject({ listen: listen.default('127.0.0.1:9001'), tls: tls.prefault({}) })
    .prefault({}),
  proxy: z
    .strictObject({
      url: origin.default('http://localhost:8080'),
      listen: listen.default('127.0.0.1:8080'),
      opsListen: listen.default('127.0.0.1:8081'),
      upstreams: z.array(upstream).min(1).default(['http://localhost:8000']),
      upstreamApiKey: secret().optional(),
      maxInFlightPerUpstream: wholeNumber(1).default(64),
      queue: z
        .strictObject({
          maxWaiting: wholeNumber(0, 100_000).default(1024),
          // A request with its body has 300 s to arrive, and its wait is a part of them.
          maxWaitSeconds: wholeNumber(1, 240).default(30),
        })
        .prefault({}),
      routes: z.array(route).default(DEFAULT_ROUTES),
      maxBodyBytes: wholeNumber(1).default(33_554_432),
      connectTimeoutSeconds: wholeNumber(1).default(2),
      firstByteTimeoutSeconds: wholeNumber(1).default(300),
      idleTimeoutSeconds: wholeNumber(1).default(120),
      drainSeconds: wholeNumber(0).default(30),
      healthCheck: z
        .strictObject({
          path: z.string().startsWith('/').default('/health'),
          intervalSeconds: wholeNumber(0).default(5),
        })
        .prefault({}),
      clockSkewSeconds: wholeNumber(0, 60).default(30),
      jwksUrl: httpUrl.optional(),
      jwks: z
        .strictObject({
          cooldownSeconds: wholeNumber(1).default(10),
          maxStaleSeconds: wholeNumber(1).default(86_400),
        })
        .prefault({}),
      forwardAuth: z.boolean().default(false),
      cors: z.strictObject({ origins: z.array(origin).default([]) }).prefault({}),
      workers: wholeNumber(1).default(1),
      clientId: z.string().min(1).optional(),
      clientKeyFile: z.string().min(1).optional(),
      tls: tls.prefault({}),
    })
    .prefault({}),
  redis: z.strictObject({ url: secret().optional() }).prefault({}),
  revocations: z
    .strictObject({
      feed: z.enum(['in_process', 'redis', 'issuer', 'off']).optional(),
      maxStalenessSeconds: wholeNumber(1).default(60),
      onStale: z.enum(['fail_closed', 'continue']).default('fail_closed'),
    })
    .prefault({}),
  keys: z
    .strictObject({
      dir: z.string().min(1).default('./keys'),
      encryptionKey: sealingKey().optional(),
      passphrase: secret().min(12).optional(),
      previousEncryptionKey: sealingKey().optional(),
      previousPassphrase: secret().optional(),
      rotateEveryDays: wholeNumber(1).default(30),
      jwksMaxAgeSeconds: wholeNumber(1).default(300),
      modulusLength: wholeNumber(2048, 8192).default(2048),
      pkcs11: z
        .strictObject({
          module: z.string().min(1).describe("path of the token's PKCS#11 library"),
          tokenLabel: z.string().min(1),
          pin: secret(),
        })
        .optional()
        .describe('the token in which signing keys are made and used'),
    })
    .prefault({}),
  tokens: z
    .strictObject({
      accessTtlSeconds: wholeNumber(60, 1800).default(900),
      // A year at most: for so long it is remembered who was revoked.
      refreshTtlSeconds: wholeNumber(60, 31_536_000).default(1_209_600),
    })
    .prefault({}),
  limits: z
    .strictObject({
      defaults: limitSet.optional(),
      onFailure: z.enum(['local', 'refuse', 'continue']).default('local'),
    })
    .prefault({}),
  resources: z
    .record(
      z
        .url({ error: 'must be an absolute URI' })
        .refine((uri) => !uri.includes('#'), 'has a fragment'),
      z.strictObject({
        scopes: z.array(scopeToken).min(1),
        introspectors: z.array(z.string()).default([]),
      }),
    )
    .optional()
    .describe('identifier → scopes, introspectors; by default the proxy with ocr_api_access'),
  audit: z
    .strictObject({
      sink: z.enum(['file', 'stdout', 'redis']).default('file'),
      retentionDays: wholeNumber(1).default(365),
      onFailure: z.enum(['refuse', 'continue']).default('refuse'),
    })
    .prefault({}),
  trustedProxies: z.array(cidr).default([]),
})

export type Config = z.infer<typeof configSchema>

function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return (
    prefix === undefined ||
    (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))
  )
}
