import * as fc from 'fast-check'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig, type LoadOptions } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const SECRET = 's3cr3t-Zx81'

function fileWith(content: string): string {
  const path = join(newFolder(), 'gatehouse.yaml')
  writeFileSync(path, content)
  return path
}

/** Loads from these sources alone, never from the environment of the test. */
const load = (options: LoadOptions) => loadConfig({ env: {}, ...options })

function configOf(options: LoadOptions): Config {
  const result = load(options)
  expect(result.problems).toBeUndefined()
  return result.config as Config
}

function problemsOf(options: LoadOptions): string[] {
  const result = load(options)
  expect(result.config).toBeUndefined()
  return result.problems ?? []
}

const settingOf = (problem: string): string => problem.slice(0, problem.indexOf(': '))

/** Which settings have problems, each once. */
const settingsWithProblems = (options: LoadOptions): string[] => [
  ...new Set(problemsOf(options).map(settingOf)),
]

describe('the defaults', () => {
  test('are those of the contract', () => {
    expect(configOf({})).toEqual({
      dataDir: './data',
      sandbox: true,
      log: { level: 'info' },
      issuer: {
        url: 'http://localhost:9000',
        listen: '127.0.0.1:9000',
        opsListen: '127.0.0.1:9002',
        tls: {},
        clientAuth: { maxFailuresPerMinute: 30 },
      },
      admin: { listen: '127.0.0.1:9001', tls: {} },
      proxy: {
        url: 'http://localhost:8080',
        listen: '127.0.0.1:8080',
        opsListen: '127.0.0.1:8081',
        upstreams: ['http://localhost:8000'],
        maxInFlightPerUpstream: 64,
        queue: { maxWaiting: 1024, maxWaitSeconds: 30 },
        routes: [
          { method: 'GET', path: '/health', public: true },
          { method: 'GET', path: '/docs', public: true },
          { method: 'GET', path: '/openapi.json', public: true },
          { method: 'GET', path: '/v1/models', scopes: ['ocr_api_access'] },
          { method: 'POST', path: '/v1/chat/completions', scopes: ['ocr_api_access'] },
          { method: 'POST', path: '/ocr/infer', scopes: ['ocr_api_access'] },
        ],
        maxBodyBytes: 33_554_432,
        connectTimeoutSeconds: 2,
        firstByteTimeoutSeconds: 300,
        idleTimeoutSeconds: 120,
        drainSeconds: 30,
        healthCheck: { path: '/health', intervalSeconds: 5 },
        clockSkewSeconds: 30,
        jwks: { cooldownSeconds: 10, maxStaleSeconds: 86_400 },
        forwardAuth: false,
        cors: { origins: [] },
        workers: 1,
        tls: {},
      },
      redis: {},
      revocations: { maxStalenessSeconds: 60, onStale: 'fail_closed' },
      keys: { dir: './keys', rotateEveryDays: 30, jwksMaxAgeSeconds: 300, modulusLength: 2048 },
      tokens: { accessTtlSeconds: 900, refreshTtlSeconds: 1_209_600 },
      limits: { onFailure: 'local' },
      audit: { sink: 'file', retentionDays: 365, onFailure: 'refuse' },
      tracing: { sampleRatio: 1 },
      trustedProxies: [],
    })
  })

  test('are the same with an empty file, and nothing counts as given', () => {
    for (const content of ['', '# only a comment\n', '{}']) {
      const result = load({ file: fileWith(content) })
      expect(result.config).toEqual(configOf({}))
      expect(result).toMatchObject({ warnings: [], given: new Set() })
    }
  })
})

describe('the sources', () => {
  const seconds = fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined })

  test('always rank file < environment < flags', () => {
    const path = fileWith('')
    fc.assert(
      fc.property(seconds, seconds, seconds, (inFile, inEnv, inFlags) => {
        writeFileSync(
          path,
          inFile === undefined ? '' : stringify({ proxy: { drainSeconds: inFile } }),
        )
        const result = load({
          file: path,
          env: { GATEHOUSE_PROXY__DRAIN_SECONDS: inEnv?.toString() },
          set: inFlags === undefined ? [] : [`proxy.drainSeconds=${inFlags}`],
        })
        const wanted = inFlags ?? inEnv ?? inFile
        expect(result.config?.proxy.drainSeconds).toBe(wanted ?? 30)
        expect(result).toMatchObject({
          given: new Set(wanted === undefined ? [] : ['proxy.drainSeconds']),
        })
      }),
      { numRuns: 30 },
    )
  })

  test('are merged setting by setting, not level by level', () => {
    const result = load({
      file: fileWith('proxy: { drainSeconds: 1, healthCheck: { path: /ping } }'),
      env: { GATEHOUSE_PROXY__HEALTH_CHECK__INTERVAL_SECONDS: '9', GATEHOUSE_DATA_DIR: '/d' },
      set: ['proxy.workers=1', 'log.level=warn'],
    })
    expect(result.config?.proxy).toMatchObject({
      drainSeconds: 1,
      healthCheck: { path: '/ping', intervalSeconds: 9 },
    })
    expect(result).toMatchObject({
      given: new Set([
        'dataDir',
        'log.level',
        'proxy.drainSeconds',
        'proxy.healthCheck.path',
        'proxy.healthCheck.intervalSeconds',
        'proxy.workers',
      ]),
    })
  })

  test('replace a list as a whole', () => {
    const config = configOf({
      file: fileWith('proxy: { upstreams: ["http://a", "http://b"] }'),
      env: { GATEHOUSE_PROXY__UPSTREAMS: 'http://c' },
    })
    expect(config.proxy.upstreams).toEqual(['http://c'])
  })

  test('may name the file by GATEHOUSE_CONFIG, over which --config wins', () => {
    const env = { GATEHOUSE_CONFIG: fileWith('dataDir: /from/env') }
    expect(configOf({ env }).dataDir).toBe('/from/env')
    expect(configOf({ env, file: fileWith('dataDir: /from/flag') }).dataDir).toBe('/from/flag')
    expect(configOf({ env: { GATEHOUSE_CONFIG: '' } }).dataDir).toBe('./data')
  })

  test('are left as they were', () => {
    const content = 'proxy: { drainSeconds: 1, routes: [] }\ntrustedProxies: [10.0.0.1]\n'
    const file = fileWith(content)
    const env = Object.freeze({ GATEHOUSE_DATA_DIR: '/d', GATEHOUSE_NO_SUCH: 'x' })
    const set = Object.freeze(['log.level=warn'])
    const environment = { ...process.env }
    const first = load(Object.freeze({ file, env, set }))
    expect(first.config?.dataDir).toBe('/d')
    expect(load({ file, env, set })).toEqual(first)
    expect(load({}).config).toEqual(configOf({}))
    expect(readFileSync(file, 'utf8')).toBe(content)
    expect({ ...process.env }).toEqual(environment)
  })
})

describe('the text of a setting', () => {
  test('is a list when it has commas, with or without spaces', () => {
    const { proxy, trustedProxies } = configOf({
      env: {
        GATEHOUSE_PROXY__UPSTREAMS: 'http://a:1, http://b:2',
        GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/8,::1,192.168.0.1',
      },
    })
    expect(proxy.upstreams).toEqual(['http://a:1', 'http://b:2'])
    expect(trustedProxies).toEqual(['10.0.0.0/8', '::1', '192.168.0.1'])
  })

  test('is a list of one when it has none', () => {
    expect(configOf({ set: ['proxy.upstreams=http://a'] }).proxy.upstreams).toEqual(['http://a'])
  })

  test('is a boolean when it is true or false to the letter', () => {
    expect(configOf({ env: { GATEHOUSE_PROXY__FORWARD_AUTH: 'false' } }).proxy.forwardAuth).toBe(
      false,
    )
    for (const text of ['1', 'yes', 'TRUE', 'on', '0']) {
      expect(problemsOf({ env: { GATEHOUSE_PROXY__FORWARD_AUTH: text } })).toEqual([
        expect.stringMatching(/^proxy\.forwardAuth: .*boolean/),
      ])
    }
  })

  test('is always the integer that it spells, within the bounds of the setting', () => {
    fc.assert(
      fc.property(fc.integer({ min: -30, max: 90 }), (value) => {
        const result = load({ set: [`proxy.clockSkewSeconds=${value}`] })
        const isFine = value >= 0 && value <= 60
        expect(result.config?.proxy.clockSkewSeconds).toBe(isFine ? value : undefined)
        expect(result.problems?.map(settingOf)).toEqual(
          isFine ? undefined : ['proxy.clockSkewSeconds'],
        )
      }),
      { numRuns: 30 },
    )
  })

  test.each(['1.5', '1e1', '0x10', 'ten', '10s', ' ', '9007199254740993'])(
    'is no integer: %j',
    (text) => {
      expect(settingsWithProblems({ set: [`proxy.drainSeconds=${text}`] })).toEqual([
        'proxy.drainSeconds',
      ])
    },
  )

  test('is JSON for what is neither text nor a list of it', () => {
    const routes = [{ method: 'GET', path: '/x', scopes: ['a'] }]
    const resources = { 'https://a.example': { scopes: ['s'], introspectors: ['robot'] } }
    const config = configOf({
      env: {
        GATEHOUSE_PROXY__ROUTES: JSON.stringify(routes),
        GATEHOUSE_RESOURCES: JSON.stringify(resources),
      },
    })
    expect(config.proxy.routes).toEqual(routes)
    expect(config.resources).toEqual(resources)
    expect(problemsOf({ set: ['proxy.routes=[{'] })).toEqual([
      expect.stringMatching(/^proxy\.routes: /),
    ])
  })

  test('may hold an equals sign', () => {
    expect(configOf({ set: ['dataDir=/a=b'] }).dataDir).toBe('/a=b')
  })

  test('counts as absent when it is empty in the environment', () => {
    const result = load({ env: { GATEHOUSE_DATA_DIR: '', GATEHOUSE_PROXY__UPSTREAM_API_KEY: '' } })
    expect(result.config?.dataDir).toBe('./data')
    expect(result).toMatchObject({ given: new Set() })
  })
})

describe('a secret', () => {
  test('comes from the environment or from a file, whose last line feed does not count', () => {
    const env = { GATEHOUSE_PROXY__UPSTREAM_API_KEY: SECRET }
    expect(configOf({ env }).proxy.upstreamApiKey).toBe(SECRET)
    const fromFile = { GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: fileWith(`${SECRET}\n`) }
    const result = load({ env: fromFile })
    expect(result.config?.proxy.upstreamApiKey).toBe(SECRET)
    expect(result).toMatchObject({ warnings: [], given: new Set(['proxy.upstreamApiKey']) })
  })

  test('given both ways is a problem that names both', () => {
    const problems = problemsOf({
      env: {
        GATEHOUSE_PROXY__UPSTREAM_API_KEY: SECRET,
        GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: fileWith('other-s3cr3t'),
      },
    })
    expect(problems).toEqual([
      'GATEHOUSE_PROXY__UPSTREAM_API_KEY and GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE are both set',
    ])
  })

  test('in a file that is not there is a problem that names the variable', () => {
    const path = join(newFolder(), 'none')
    expect(problemsOf({ env: { GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: path } })).toEqual([
      'GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: cannot be read (ENOENT)',
    ])
  })

  test('in an empty file is a problem', () => {
    expect(problemsOf({ env: { GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: fileWith('\n') } })).toEqual(
      [expect.stringMatching(/^proxy\.upstreamApiKey: /)],
    )
  })

  test('is the only kind of setting with a _FILE variable', () => {
    const result = load({ env: { GATEHOUSE_DATA_DIR_FILE: fileWith('/d') } })
    expect(result.config?.dataDir).toBe('./data')
    expect(result).toMatchObject({
      warnings: ['GATEHOUSE_DATA_DIR_FILE in the environment is not a setting'],
    })
  })

  test.each([
    ['of a wrong type', `proxy: { upstreamApiKey: [${SECRET}] }`],
    ['that is a mapping', `proxy: { upstreamApiKey: { ${SECRET}: ${SECRET} } }`],
    ['in the place of a section', `redis: ${SECRET}`],
    ['that is no key', `keys: { encryptionKey: ${SECRET} }`],
    ['in a list', `proxy: { upstreams: ["http://user:${SECRET}@h"] }`],
    ['as a level', `log: { level: ${SECRET} }`],
    ['as a number', `proxy: { workers: ${SECRET} }`],
    ['in a URL', `issuer: { url: "http://u:${SECRET}@localhost" }`],
    ['in the URL of the keys', `proxy: { jwksUrl: "https://u:${SECRET}@localhost/jwks" }`],
    ['in the URL of a collector', `tracing: { otlpEndpoint: "https://${SECRET}@localhost" }`],
    ['that no header can have', `tracing: { otlpAuthorization: "Basic ${SECRET}\\n2" }`],
    ['as a listen address', `admin: { listen: ${SECRET} }`],
    ['as a route', `proxy: { routes: [{ method: ${SECRET}, path: ${SECRET} }] }`],
    ['as a scope', `proxy: { routes: [{ method: GET, path: /, scopes: ["${SECRET} x"] }] }`],
    ['as an address block', `trustedProxies: [${SECRET}]`],
    ['after a syntax error', `keys:\n  encryptionKey: "${SECRET}\n  dir: x`],
    ['in a broken alias', `proxy: { upstreamApiKey: *${SECRET} }`],
    ['twice', `proxy:\n  upstreamApiKey: ${SECRET}\n  upstreamApiKey: ${SECRET}`],
    ['beside the mapping', SECRET],
  ])('is never quoted in a problem: %s', (_title, content) => {
    const problems = problemsOf({ file: fileWith(content) })
    expect(problems).not.toEqual([])
    expect(problems.join('\n')).not.toContain(SECRET)
  })

  test('is never printed by the YAML parser, not even as a warning', async () => {
    const printed: string[] = []
    const onWarning = (warning: Error) => void printed.push(warning.message)
    process.on('warning', onWarning)
    try {
      load({ file: fileWith(`proxy:\n  upstreamApiKey: !vault ${SECRET}\n`) })
      // A warning is emitted on the next tick, before this.
      await new Promise((resolve) => setImmediate(resolve))
    } finally {
      process.off('warning', onWarning)
    }
    expect(printed.join('\n')).not.toContain(SECRET)
  })

  test('is never quoted from the environment or a flag', () => {
    const bad = `redis://:${SECRET}@h:1`
    const results = [
      load({ env: { GATEHOUSE_REDIS__URL: bad, GATEHOUSE_KEYS__ENCRYPTION_KEY: SECRET } }),
      load({ set: [`redis.url=${bad}`, `keys.encryptionKey=${SECRET}`, 'no.such=1'] }),
      load({ set: [`proxy.no=${SECRET}`] }),
    ]
    for (const { problems } of results) {
      expect((problems ?? []).join('\n')).not.toContain(SECRET)
    }
  })
})

describe('an unknown name', () => {
  test('in the file is a problem with its full path, at every level', () => {
    const file = fileWith(
      stringify({
        prox: {},
        proxy: { upsteams: [], healthCheck: { pth: '/' }, routes: [{ methd: 'GET' }] },
        issuer: { tls: { crt: 'x' } },
        limits: { defaults: { rps: 1 } },
      }),
    )
    expect(problemsOf({ file })).toEqual(
      expect.arrayContaining([
        'prox: unknown setting',
        'proxy.upsteams: unknown setting',
        'proxy.healthCheck.pth: unknown setting',
        'proxy.routes.0.methd: unknown setting',
        'issuer.tls.crt: unknown setting',
        'limits.defaults.rps: unknown setting',
      ]),
    )
  })

  test('in the file is always a problem, also when it is of JavaScript’s own', () => {
    const defaults = configOf({})
    const unknown = fc
      .oneof(fc.stringMatching(/^[a-zA-Z]{1,12}$/), fc.constantFrom('__proto__', 'constructor'))
      .filter((name) => !Object.hasOwn(defaults, name) && name !== 'resources')
    fc.assert(
      fc.property(unknown, (name) => {
        expect(problemsOf({ file: fileWith(`"${name}": { a: 1 }`) })).toEqual([
          `${name}: unknown setting`,
        ])
      }),
      { numRuns: 15 },
    )
  })

  test('in the environment is a warning that names it and not its value', () => {
    const result = load({
      env: {
        GATEHOUSE_SERVICE_HOST: SECRET,
        GATEHOUSE_PROXY_LISTEN: SECRET,
        GATEHOUSE_: SECRET,
        GATEHOUSEX: SECRET,
        gatehouse_data_dir: SECRET,
        PATH: SECRET,
      },
    })
    expect(result.config).toEqual(configOf({}))
    expect(result).toMatchObject({
      warnings: [
        'GATEHOUSE_SERVICE_HOST in the environment is not a setting',
        'GATEHOUSE_PROXY_LISTEN in the environment is not a setting: did you mean GATEHOUSE_PROXY__LISTEN?',
        'GATEHOUSE_ in the environment is not a setting',
      ],
    })
  })

  test('is none that tells the command line where things are', () => {
    const env = {
      GATEHOUSE_CONFIG: fileWith(''),
      GATEHOUSE_ADMIN_URL: 'http://localhost:9001',
      GATEHOUSE_ADMIN_KEY_FILE: 'keys/admin.jwk',
    }
    expect(load({ env })).toMatchObject({ warnings: [], given: new Set() })
  })

  test('in a flag is a problem', () => {
    expect(
      problemsOf({ set: ['proxy.lisen=x', '__proto__.a=1', 'proxy={}', 'proxy.listen'] }),
    ).toEqual([
      '--set proxy.lisen: unknown setting',
      '--set __proto__.a: unknown setting',
      '--set proxy: unknown setting',
      '--set proxy.listen: must be SETTING=VALUE',
    ])
  })
})

describe('bad values', () => {
  test('are all told at once, from all sources, each with its setting', () => {
    const problems = problemsOf({
      file: fileWith(
        stringify({
          log: { level: 'loud' },
          proxy: { clockSkewSeconds: 61, nope: 1 },
          trustedProxies: ['10.0.0.0/33'],
        }),
      ),
      env: {
        GATEHOUSE_TOKENS__ACCESS_TTL_SECONDS: '59',
        GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE: '/no/such/file',
      },
      set: ['keys.modulusLength=1024', 'no.such=1'],
    })
    expect(problems).toHaveLength(8)
    expect(problems.map(settingOf).sort()).toEqual([
      '--set no.such',
      'GATEHOUSE_PROXY__UPSTREAM_API_KEY_FILE',
      'keys.modulusLength',
      'log.level',
      'proxy.clockSkewSeconds',
      'proxy.nope',
      'tokens.accessTtlSeconds',
      'trustedProxies.0',
    ])
  })

  test('in the place of a section are problems, also when a setting in it comes from elsewhere', () => {
    const file = fileWith('proxy: 5')
    expect(problemsOf({ file })).toEqual([expect.stringMatching(/^proxy: /)])
    expect(problemsOf({ file, set: ['proxy.drainSeconds=1'] })).toEqual([
      expect.stringMatching(/^proxy: /),
    ])
  })

  test.each([
    ['log.level', ['', 'INFO', 'verbose']],
    ['issuer.url', ['localhost:9000', 'http://localhost:9000/', 'http://localhost:9000/a']],
    ['issuer.url', ['http://localhost:9000?a', 'http://localhost:9000#a', 'ftp://localhost']],
    ['proxy.url', ['http://u:p@localhost', 'HTTP://LOCALHOST', 'http://localhost:80']],
    ['issuer.listen', ['9000', ':9000', '127.0.0.1', '::1:80', '127.0.0.1:65536', 'a b:1']],
    ['proxy.opsListen', ['127.0.0.1:x', 'http://127.0.0.1:1']],
    ['proxy.upstreams', ['http://a/v1', 'http://a,', 'a']],
    ['proxy.maxBodyBytes', ['0', '-1']],
    ['proxy.maxInFlightPerUpstream', ['0']],
    ['proxy.queue.maxWaiting', ['-1']],
    ['proxy.queue.maxWaitSeconds', ['0', '241']],
    ['proxy.connectTimeoutSeconds', ['0']],
    ['proxy.drainSeconds', ['-1']],
    ['proxy.healthCheck.path', ['health']],
    ['proxy.healthCheck.intervalSeconds', ['-1']],
    ['proxy.clockSkewSeconds', ['-1', '61']],
    ['proxy.jwksUrl', ['file:///etc/passwd', 'jwks', 'https://']],
    ['keys.jwksMaxAgeSeconds', ['0']],
    ['keys.modulusLength', ['2047', '1024', '8193']],
    ['tokens.accessTtlSeconds', ['59', '1801']],
    ['revocations.onStale', ['open']],
    ['revocations.feed', ['start']],
    ['audit.onFailure', ['ignore']],
    ['trustedProxies', ['10.0.0.0/33', '10.0.0/8', '::/129', '10.0.0.0/8/8', 'a', '10.0.0.0/']],
    ['proxy.routes', ['[{"method":"GET","path":"/a"}]', '[{"method":"get","path":"/a"}]']],
    ['proxy.routes', ['[{"method":"GET","path":"a","public":true}]']],
    ['proxy.routes', ['[{"method":"GET","path":"/a?b","public":true}]']],
    ['proxy.routes', ['[{"method":"GET","path":"/a","public":true,"scopes":["a"]}]']],
    ['proxy.routes', ['[{"method":"GET","path":"/a","scopes":[]}]']],
    ['proxy.routes', ['[{"method":"GET","path":"/a","public":false,"scopes":["a b"]}]']],
    ['resources', ['{"not a uri":{"scopes":["a"]}}', '{"https://a#b":{"scopes":["a"]}}']],
  ])('of %s are refused: %j', (path, values) => {
    for (const value of values) {
      const settings = settingsWithProblems({ set: [`${path}=${value}`] })
      expect([value, settings]).toEqual([value, expect.arrayContaining([expect.any(String)])])
      expect(settings.filter((setting) => !`${setting}.`.startsWith(`${path}.`))).toEqual([])
    }
  })

  test.each([
    ['issuer.url', 'https://auth.example'],
    ['issuer.url', 'http://[::1]:9000'],
    ['issuer.listen', '[::1]:0'],
    ['proxy.clockSkewSeconds', '0'],
    ['proxy.clockSkewSeconds', '60'],
    ['proxy.healthCheck.intervalSeconds', '0'],
    ['proxy.drainSeconds', '0'],
    ['keys.jwksMaxAgeSeconds', '1'],
    ['tokens.accessTtlSeconds', '60'],
    ['tokens.accessTtlSeconds', '1800'],
    ['revocations.feed', 'off'],
    ['revocations.onStale', 'continue'],
    ['audit.onFailure', 'continue'],
    ['trustedProxies', '10.0.0.0/8,fd00::/8,0.0.0.0/0,::1'],
  ])('are not these: %s = %s', (path, value) => {
    expect(load({ set: [`${path}=${value}`] }).problems).toBeUndefined()
  })
})

describe('a file', () => {
  test('that is not YAML is a problem with the line, and nothing of its content', () => {
    const file = fileWith('dataDir: ./data\nproxy:\n  upstreams: [http://a\nlog: { level: info }\n')
    const [problem, ...others] = problemsOf({ file })
    expect(others).toEqual([])
    expect(problem).toMatch(/not valid YAML \(line 4, column \d+\)$/)
    expect(problem).toContain(file)
  })

  test('that is not there is a problem with its path', () => {
    const path = join(newFolder(), 'none.yaml')
    expect(problemsOf({ file: path })).toEqual([`${path}: cannot be read (ENOENT)`])
    expect(problemsOf({ env: { GATEHOUSE_CONFIG: path } })).toEqual([
      `${path}: cannot be read (ENOENT)`,
    ])
  })

  test.each(['- a', 'text', '7', '[]'])('must hold a mapping and not %j', (content) => {
    const file = fileWith(content)
    expect(problemsOf({ file })).toEqual([`${file}: must be a mapping of settings`])
  })

  test('does not hide the problems of the other sources', () => {
    const problems = problemsOf({ file: fileWith('{'), set: ['log.level=loud', 'no.such=1'] })
    expect(problems).toHaveLength(3)
  })
})
