import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { configJsonSchema, listSettings, parseSettingText } from '../../src/config/settings.ts'

/** Every setting of the contract's table, by the name that it has in the environment. */
const SETTINGS: Record<string, string> = {
  sandbox: 'GATEHOUSE_SANDBOX',
  dataDir: 'GATEHOUSE_DATA_DIR',
  'log.level': 'GATEHOUSE_LOG__LEVEL',
  'issuer.url': 'GATEHOUSE_ISSUER__URL',
  'issuer.listen': 'GATEHOUSE_ISSUER__LISTEN',
  'issuer.opsListen': 'GATEHOUSE_ISSUER__OPS_LISTEN',
  'issuer.tls.cert': 'GATEHOUSE_ISSUER__TLS__CERT',
  'issuer.tls.key': 'GATEHOUSE_ISSUER__TLS__KEY',
  'issuer.tls.clientCa': 'GATEHOUSE_ISSUER__TLS__CLIENT_CA',
  'issuer.clientAuth.maxFailuresPerMinute':
    'GATEHOUSE_ISSUER__CLIENT_AUTH__MAX_FAILURES_PER_MINUTE',
  'admin.listen': 'GATEHOUSE_ADMIN__LISTEN',
  'admin.tls.cert': 'GATEHOUSE_ADMIN__TLS__CERT',
  'admin.tls.key': 'GATEHOUSE_ADMIN__TLS__KEY',
  'admin.tls.clientCa': 'GATEHOUSE_ADMIN__TLS__CLIENT_CA',
  'proxy.url': 'GATEHOUSE_PROXY__URL',
  'proxy.listen': 'GATEHOUSE_PROXY__LISTEN',
  'proxy.opsListen': 'GATEHOUSE_PROXY__OPS_LISTEN',
  'proxy.upstreams': 'GATEHOUSE_PROXY__UPSTREAMS',
  'proxy.upstreamApiKey': 'GATEHOUSE_PROXY__UPSTREAM_API_KEY',
  'proxy.maxInFlightPerUpstream': 'GATEHOUSE_PROXY__MAX_IN_FLIGHT_PER_UPSTREAM',
  'proxy.queue.maxWaiting': 'GATEHOUSE_PROXY__QUEUE__MAX_WAITING',
  'proxy.queue.maxWaitSeconds': 'GATEHOUSE_PROXY__QUEUE__MAX_WAIT_SECONDS',
  'proxy.routes': 'GATEHOUSE_PROXY__ROUTES',
  'proxy.maxBodyBytes': 'GATEHOUSE_PROXY__MAX_BODY_BYTES',
  'proxy.connectTimeoutSeconds': 'GATEHOUSE_PROXY__CONNECT_TIMEOUT_SECONDS',
  'proxy.firstByteTimeoutSeconds': 'GATEHOUSE_PROXY__FIRST_BYTE_TIMEOUT_SECONDS',
  'proxy.idleTimeoutSeconds': 'GATEHOUSE_PROXY__IDLE_TIMEOUT_SECONDS',
  'proxy.drainSeconds': 'GATEHOUSE_PROXY__DRAIN_SECONDS',
  'proxy.healthCheck.path': 'GATEHOUSE_PROXY__HEALTH_CHECK__PATH',
  'proxy.healthCheck.intervalSeconds': 'GATEHOUSE_PROXY__HEALTH_CHECK__INTERVAL_SECONDS',
  'proxy.clockSkewSeconds': 'GATEHOUSE_PROXY__CLOCK_SKEW_SECONDS',
  'proxy.jwksUrl': 'GATEHOUSE_PROXY__JWKS_URL',
  'proxy.jwks.cooldownSeconds': 'GATEHOUSE_PROXY__JWKS__COOLDOWN_SECONDS',
  'proxy.jwks.maxStaleSeconds': 'GATEHOUSE_PROXY__JWKS__MAX_STALE_SECONDS',
  'proxy.forwardAuth': 'GATEHOUSE_PROXY__FORWARD_AUTH',
  'proxy.cors.origins': 'GATEHOUSE_PROXY__CORS__ORIGINS',
  'proxy.workers': 'GATEHOUSE_PROXY__WORKERS',
  'proxy.clientId': 'GATEHOUSE_PROXY__CLIENT_ID',
  'proxy.clientKeyFile': 'GATEHOUSE_PROXY__CLIENT_KEY_FILE',
  'proxy.tls.cert': 'GATEHOUSE_PROXY__TLS__CERT',
  'proxy.tls.key': 'GATEHOUSE_PROXY__TLS__KEY',
  'proxy.tls.clientCa': 'GATEHOUSE_PROXY__TLS__CLIENT_CA',
  'redis.url': 'GATEHOUSE_REDIS__URL',
  'revocations.feed': 'GATEHOUSE_REVOCATIONS__FEED',
  'revocations.maxStalenessSeconds': 'GATEHOUSE_REVOCATIONS__MAX_STALENESS_SECONDS',
  'revocations.onStale': 'GATEHOUSE_REVOCATIONS__ON_STALE',
  'keys.dir': 'GATEHOUSE_KEYS__DIR',
  'keys.encryptionKey': 'GATEHOUSE_KEYS__ENCRYPTION_KEY',
  'keys.passphrase': 'GATEHOUSE_KEYS__PASSPHRASE',
  'keys.previousEncryptionKey': 'GATEHOUSE_KEYS__PREVIOUS_ENCRYPTION_KEY',
  'keys.previousPassphrase': 'GATEHOUSE_KEYS__PREVIOUS_PASSPHRASE',
  'keys.rotateEveryDays': 'GATEHOUSE_KEYS__ROTATE_EVERY_DAYS',
  'keys.jwksMaxAgeSeconds': 'GATEHOUSE_KEYS__JWKS_MAX_AGE_SECONDS',
  'keys.modulusLength': 'GATEHOUSE_KEYS__MODULUS_LENGTH',
  'keys.pkcs11.module': 'GATEHOUSE_KEYS__PKCS11__MODULE',
  'keys.pkcs11.tokenLabel': 'GATEHOUSE_KEYS__PKCS11__TOKEN_LABEL',
  'keys.pkcs11.pin': 'GATEHOUSE_KEYS__PKCS11__PIN',
  'tokens.accessTtlSeconds': 'GATEHOUSE_TOKENS__ACCESS_TTL_SECONDS',
  'tokens.refreshTtlSeconds': 'GATEHOUSE_TOKENS__REFRESH_TTL_SECONDS',
  'tracing.otlpEndpoint': 'GATEHOUSE_TRACING__OTLP_ENDPOINT',
  'tracing.otlpAuthorization': 'GATEHOUSE_TRACING__OTLP_AUTHORIZATION',
  'tracing.sampleRatio': 'GATEHOUSE_TRACING__SAMPLE_RATIO',
  'limits.defaults.rpm': 'GATEHOUSE_LIMITS__DEFAULTS__RPM',
  'limits.defaults.concurrency': 'GATEHOUSE_LIMITS__DEFAULTS__CONCURRENCY',
  'limits.defaults.daily_requests': 'GATEHOUSE_LIMITS__DEFAULTS__DAILY_REQUESTS',
  'limits.defaults.daily_tokens': 'GATEHOUSE_LIMITS__DEFAULTS__DAILY_TOKENS',
  'limits.onFailure': 'GATEHOUSE_LIMITS__ON_FAILURE',
  'limits.onFailureOf.rpm': 'GATEHOUSE_LIMITS__ON_FAILURE_OF__RPM',
  'limits.onFailureOf.concurrency': 'GATEHOUSE_LIMITS__ON_FAILURE_OF__CONCURRENCY',
  'limits.onFailureOf.daily_requests': 'GATEHOUSE_LIMITS__ON_FAILURE_OF__DAILY_REQUESTS',
  'limits.onFailureOf.daily_tokens': 'GATEHOUSE_LIMITS__ON_FAILURE_OF__DAILY_TOKENS',
  resources: 'GATEHOUSE_RESOURCES',
  'audit.sink': 'GATEHOUSE_AUDIT__SINK',
  'audit.retentionDays': 'GATEHOUSE_AUDIT__RETENTION_DAYS',
  'audit.onFailure': 'GATEHOUSE_AUDIT__ON_FAILURE',
  trustedCa: 'GATEHOUSE_TRUSTED_CA',
  trustedProxies: 'GATEHOUSE_TRUSTED_PROXIES',
}

const jsonNode = z.object({
  type: z.string().optional(),
  get properties() {
    return z.record(z.string(), jsonNode).optional()
  },
})
type JsonNode = z.infer<typeof jsonNode>

describe('the settings', () => {
  test('are those of the contract, each under its name in the environment', () => {
    const listed = Object.fromEntries(listSettings().map(({ path, envName }) => [path, envName]))
    expect(listed).toEqual(SETTINGS)
  })

  test('have names of their own in the environment, also beside those of secret files', () => {
    const names = listSettings().flatMap(({ envName, isSecret }) =>
      isSecret ? [envName, `${envName}_FILE`] : [envName],
    )
    expect(new Set(names).size).toBe(names.length)
  })

  test('are secret where they hold one', () => {
    const secrets = listSettings().filter(({ isSecret }) => isSecret)
    expect(secrets.map(({ path }) => path)).toEqual([
      'proxy.upstreamApiKey',
      'redis.url',
      'keys.encryptionKey',
      'keys.passphrase',
      'keys.previousEncryptionKey',
      'keys.previousPassphrase',
      'keys.pkcs11.pin',
      'tracing.otlpAuthorization',
    ])
  })

  test('can each be given by the environment, and then are', () => {
    for (const { path, envName, type } of listSettings()) {
      const texts = { integer: '1', number: '0.5', boolean: 'false', array: 'a,b', object: '{}' }
      const text = { string: '/x', ...texts }[type]
      const { problems, given, warnings } = {
        given: [],
        warnings: [],
        ...loadConfig({ env: { [envName]: text } }),
      }
      // It arrives under its own path: as a value that counts as given, or as a problem of that setting.
      const [section = '', name] = path.split('.')
      const role = name === undefined ? section : `${section}.${name}`
      const unexpected = warnings.filter((warning) => !warning.includes(role))
      const strangers = problems?.filter((problem) => !problem.startsWith(role)) ?? []
      expect({ envName, strangers, unexpected }).toEqual({ envName, strangers: [], unexpected: [] })
      expect([...given]).toEqual(problems === undefined ? [path] : [])
    }
  })
})

describe('the JSON Schema', () => {
  test('lists every setting, and refuses others', () => {
    const schema = jsonNode.parse(configJsonSchema())
    for (const path of Object.keys(SETTINGS)) {
      const leaf = path
        .split('.')
        .reduce<JsonNode | undefined>((node, key) => node?.properties?.[key], schema)
      expect([path, leaf]).toEqual([path, expect.objectContaining({ type: expect.any(String) })])
    }
    expect(configJsonSchema()).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      additionalProperties: false,
    })
  })

  test('asks for nothing, as every setting has a default or may be absent', () => {
    expect(configJsonSchema()).not.toHaveProperty('required')
  })
})

describe('the text of a setting', () => {
  const setting = (type: 'string' | 'integer' | 'boolean' | 'array' | 'object') => ({
    path: 'a',
    envName: 'GATEHOUSE_A',
    type,
    isSecret: false,
  })

  test('is always itself for a text setting', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseSettingText(setting('string'), text)).toBe(text)
      }),
    )
  })

  test('is a boolean when it is true or false to the letter', () => {
    expect(parseSettingText(setting('boolean'), 'true')).toBe(true)
    expect(parseSettingText(setting('boolean'), 'false')).toBe(false)
    expect(parseSettingText(setting('boolean'), 'True')).toBe('True')
  })

  test('is always the integer that was printed', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(parseSettingText(setting('integer'), String(value))).toBe(value)
      }),
    )
  })

  test('is always the list that was joined', () => {
    const part = fc.stringMatching(/^[a-z:/.0-9]+$/)
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), fc.constantFrom(',', ', '), (list, comma) => {
        expect(parseSettingText(setting('array'), list.join(comma))).toEqual(list)
      }),
    )
  })

  test('is always the JSON that was printed', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value)
        expect(parseSettingText(setting('object'), text)).toEqual(JSON.parse(text))
      }),
    )
  })

  test('stays text when it is not what the setting wants, for the schema to judge', () => {
    for (const type of ['integer', 'boolean', 'object'] as const) {
      expect(parseSettingText(setting(type), 'neither')).toBe('neither')
    }
  })
})
