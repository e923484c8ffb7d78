import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

let dir: string
let env: Record<string, string>
let model: ModelServer
let issuerPort: number

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-cli-'))
  model = await startModelServer()
  const [issuer = 0, issuerOps, proxy, proxyOps, admin] = await freePorts(5)
  issuerPort = issuer
  env = {
    GATEHOUSE_DATA_DIR: join(dir, 'data'),
    GATEHOUSE_KEYS__DIR: join(dir, 'keys'),
    GATEHOUSE_ISSUER__URL: `http://localhost:${issuer}`,
    GATEHOUSE_ISSUER__LISTEN: `127.0.0.1:${issuer}`,
    GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${issuerOps}`,
    GATEHOUSE_ADMIN__LISTEN: `127.0.0.1:${admin}`,
    GATEHOUSE_PROXY__URL: `http://localhost:${proxy}`,
    GATEHOUSE_PROXY__LISTEN: `127.0.0.1:${proxy}`,
    GATEHOUSE_PROXY__OPS_LISTEN: `127.0.0.1:${proxyOps}`,
    GATEHOUSE_PROXY__UPSTREAMS: model.url,
  }
})
afterAll(async () => {
  await model.close()
  await rm(dir, { recursive: true })
})

describe('config', () => {
  test('check lists every problem at once and exits 78', async () => {
    const file = join(dir, 'bad.yaml')
    await writeFile(file, 'proxy:\n  maxBodyByte: 1\nissuer:\n  url: ftp://x\n')
    const { code, stderr, stdout } = await runCommand(['config', 'check', '--config', file], {
      GATEHOUSE_TOKENS__ACCESS_TTL_SECONDS: '5',
    })
    expect([code, stdout]).toEqual([78, ''])
    expect(stderr).toMatch(/^error: proxy\.maxBodyByte: unknown setting$/m)
    expect(stderr).toMatch(/^error: issuer\.url: /m)
    expect(stderr).toMatch(/^error: tokens\.accessTtlSeconds: /m)
    expect(stderr).toMatch(/^hint: /m)
  })

  test('check is content with the defaults and warns of a name that is no setting', async () => {
    const { code, stderr } = await runCommand(['config', 'check'], {
      GATEHOUSE_PROXY_PORT: 'tcp://10.0.0.1',
    })
    expect([code, stderr]).toEqual([
      0,
      'warning: GATEHOUSE_PROXY_PORT in the environment is not a setting\n',
    ])
  })

  test('print shows what takes effect, without secrets', async () => {
    const { stdout } = await runCommand(
      ['--set', 'proxy.maxBodyBytes=5', 'config', 'print', '--json'],
      { GATEHOUSE_PROXY__UPSTREAM_API_KEY: 'sk-very-secret', GATEHOUSE_PROXY__MAX_BODY_BYTES: '4' },
    )
    expect(stdout).not.toContain('sk-very-secret')
    expect(JSON.parse(stdout)).toMatchObject({
      'proxy.maxBodyBytes': 5,
      'proxy.upstreamApiKey': '(secret)',
    })
  })

  test('print leaves out the keys of model servers, too', async () => {
    const file = join(dir, 'servers.yaml')
    await writeFile(file, 'proxy: { upstreams: [{ url: http://gpu:1, apiKey: sk-very-secret }] }')
    for (const json of [[], ['--json']]) {
      const { stdout } = await runCommand(['--config', file, 'config', 'print', ...json])
      expect(stdout).toContain('http://gpu:1')
      expect(stdout).not.toContain('sk-very-secret')
    }
  })

  test('check reads the TLS files, and names the setting whose file is wrong', async () => {
    const pem = join(dir, 'no.pem')
    await writeFile(pem, 'no certificate')
    const tls = (cert: string) => [
      '--set',
      `issuer.tls.cert=${cert}`,
      '--set',
      `issuer.tls.key=${pem}`,
    ]
    const missing = await runCommand([...tls('/nowhere.pem'), 'config', 'check'])
    expect(missing.code).toBe(78)
    expect(missing.stderr).toContain('error: issuer.tls.cert: /nowhere.pem cannot be read (ENOENT)')
    const wrong = await runCommand([...tls(pem), 'config', 'check'])
    expect(wrong.code).toBe(78)
    expect(wrong.stderr).toContain('error: issuer.tls.cert: there is no PEM certificate in it')
  })

  test('schema is a JSON Schema', async () => {
    const { stdout } = await runCommand(['config', 'schema'])
    expect(JSON.parse(stdout)).toMatchObject({ type: 'object', additionalProperties: false })
  })
})

describe('tokens', () => {
  const token = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"exp":1700000000}').toString('base64url')}.AAAA`

  test('inspect needs no server, and says that nothing was verified', async () => {
    const { code, stdout, stderr } = await runCommand(['tokens', 'inspect', token])
    expect(code).toBe(0)
    expect(stdout).toContain('exp: 1700000000  (2023-11-14T22:13:20.000Z)')
    expect(stderr).toContain('Nothing was verified')
    const piped = await runCommand(['tokens', 'inspect', '-', '--json'], {}, `${token}\n`)
    expect(JSON.parse(piped.stdout)).toMatchObject({ header: { alg: 'RS256' } })
    expect(await runCommand(['tokens', 'inspect', 'x.y'])).toMatchObject({ code: 1, stdout: '' })
  })

  test('issue and ocr say where nobody answers, and exit 69', async () => {
    const credentials = ['--client-id', 'a', '--client-secret', 'b']
    for (const args of [
      ['tokens', 'issue'],
      ['ocr', 'package.json'],
    ]) {
      const { code, stderr } = await runCommand([...args, ...credentials], env)
      expect(code).toBe(69)
      expect(stderr).toContain(
        `error: the issuer at http://localhost:${issuerPort} cannot be reached`,
      )
      expect(stderr).toMatch(/^hint: /m)
    }
  })

  test('issue without a client says what to do', async () => {
    expect(await runCommand(['tokens', 'issue'], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('name a client with --client-id'),
    })
  })
})

test.each([['fly'], ['clients'], ['tokens', 'inspect']])('%s is a usage error', async (...args) => {
  expect((await runCommand(args)).code).toBe(64)
})

test('a usage error says in the form of every other where to look', async () => {
  const { stderr } = await runCommand(['clients', 'frobnicate'])
  expect(stderr).toMatch(/^error: unknown command 'frobnicate'[^]*\nhint: --help /)
})

describe('start', () => {
  test('serves, makes a demo client that the command line uses, logs no notice of a package, and drains', async () => {
    const started = startCommand(['start'], env)
    await expect
      .poll(() => started.output.stdout, { timeout: 20_000 })
      .toContain('Gatehouse is ready.')
    expect((await stat(join(dir, 'data', 'demo-client.json'))).mode & 0o777).toBe(0o600)
    const { client_secret: secret } = JSON.parse(
      await readFile(join(dir, 'data', 'demo-client.json'), 'utf8'),
    ) as { client_secret: string }

    const issued = await runCommand(['tokens', 'issue'], env)
    expect(issued).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/),
    })
    const called = await fetch(`${env['GATEHOUSE_PROXY__URL']}/v1/models`, {
      headers: { authorization: `Bearer ${issued.stdout.trim()}` },
    })
    expect(called.status).toBe(200)
    const notAnImage = await runCommand(['ocr', 'package.json'], env)
    expect(notAnImage).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not an image'),
    })
    const refused = await runCommand(['tokens', 'issue', '--scope', 'root'], env)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('invalid_scope') })

    const second = await runCommand(['start'], env)
    expect(second.code).toBe(78)
    expect(second.stderr).toMatch(/^error: .*gatehouse\.db is in use by another process$/m)
    expect(second.stderr).toMatch(/^hint: /m)

    const key = join(dir, 'keys', 'admin.jwk')
    expect((await stat(key)).mode & 0o777).toBe(0o600)
    expect(started.output.stdout).toContain(key)
    const { d } = JSON.parse(await readFile(key, 'utf8')) as { d: string }
    const listed = await runCommand(['clients', 'list', '--json'], env)
    expect(JSON.parse(listed.stdout)).toMatchObject({
      items: expect.arrayContaining([
        expect.objectContaining({ client_id: 'admin' }),
        expect.objectContaining({ name: 'Demo client of this machine' }),
      ]),
    })

    started.child.kill('SIGTERM')
    const { code, stdout, stderr } = await started.finished
    expect(code).toBe(0)
    for (const line of stderr.trim().split('\n')) JSON.parse(line)
    expect(stdout + stderr).not.toMatch(/oidc-provider|Unsupported|Experimental|deprecat/i)
    expect(stdout + stderr).not.toContain(secret)
    expect(stdout + stderr).not.toContain(d)
    expect(stdout + stderr).not.toContain(issued.stdout.trim())
  })

  test('finds its keys and its demo client again', async () => {
    const ring = await readFile(join(dir, 'keys', 'ring.json'), 'utf8')
    const client = await readFile(join(dir, 'data', 'demo-client.json'), 'utf8')
    const started = startCommand(['start'], env)
    await expect
      .poll(() => started.output.stdout, { timeout: 20_000 })
      .toContain('Gatehouse is ready.')
    started.child.kill('SIGTERM')
    expect((await started.finished).code).toBe(0)
    expect(await readFile(join(dir, 'keys', 'ring.json'), 'utf8')).toBe(ring)
    expect(await readFile(join(dir, 'data', 'demo-client.json'), 'utf8')).toBe(client)
  })

  test('refuses a damaged key file and leaves it as it is', async () => {
    const damaged = await mkdtemp(join(dir, 'damaged-'))
    await writeFile(join(damaged, 'ring.json'), '{"keys":[', { mode: 0o600 })
    const { code, stderr } = await runCommand(['issuer'], { ...env, GATEHOUSE_KEYS__DIR: damaged })
    expect(code).toBe(78)
    expect(stderr).toMatch(/^error: .*ring\.json is damaged/m)
    expect(await readFile(join(damaged, 'ring.json'), 'utf8')).toBe('{"keys":[')
  })

  test('of the demo leaves no private key behind when it is interrupted', async () => {
    const started = startCommand(['demo'], { TMPDIR: dir })
    await expect.poll(() => started.output.stdout, { timeout: 20_000 }).toContain('issuer on')
    started.child.kill('SIGINT')
    expect((await started.finished).code).toBe(130)
    expect((await readdir(dir)).filter((name) => name.startsWith('gatehouse-demo-'))).toEqual([])
  })

  test('of the bundled engine off loopback is refused: it asks nobody for a token', async () => {
    const { code, stderr } = await runCommand(['bundled-ocr', '--listen', '0.0.0.0:8101'])
    expect([code, stderr]).toEqual([64, expect.stringContaining('stays on loopback')])
  })

  test('refuses to listen off loopback in the clear', async () => {
    const { code, stderr } = await runCommand(['proxy'], {
      ...env,
      GATEHOUSE_PROXY__LISTEN: '0.0.0.0:0',
    })
    expect(code).toBe(78)
    expect(stderr).toContain('error: proxy.listen: off loopback it needs')
  })

  test('of the ops listener on a port in use names that setting', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const address = other.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const { code, stderr } = await runCommand(['issuer'], {
      ...env,
      GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${port}`,
    })
    expect(code).toBe(78)
    expect(stderr).toContain('error: issuer.opsListen: cannot use')
    other.close()
  })
})
