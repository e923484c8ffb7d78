import { cpSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readComposeFile } from '../support/compose-file.ts'
import { createStack, type Stack } from '../support/compose-stack.ts'
import { missingForContainers, runInNetwork } from '../support/container.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { waitUntil } from '../support/wait-until.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
const RECEIPT = join(REPOSITORY, 'test/fixtures/receipt-en.jpg')
/** Two installations of packages, an engine that loads, and all of it on a busy machine. */
const UP_MS = 400_000

const missing = hasRedisServer ? missingForContainers() : 'no redis-server'
if (missing !== undefined) {
  console.warn(`!!! THE IMAGES AND docker-compose.yml ARE NOT TRIED: ${missing} !!!`)
}

describe.skipIf(missing !== undefined)('docker-compose.yml, with the images as processes', () => {
  let folder: string
  let stack: Stack
  let token: string

  const curl = (url: string, ...args: string[]) => {
    const always = ['-sS', '--cacert', stack.secret('tls_ca'), '-w', '\n%{http_code}']
    return runInNetwork(stack.network, ['curl', ...always, ...args, url])
  }
  const read = (...headers: string[]) =>
    curl('https://localhost:8080/ocr/infer', '-F', `image=@${RECEIPT}`, ...headers)
  const gatehouse = (...args: string[]) => stack.exec('issuer', ['gatehouse', ...args])

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'gatehouse-compose-'))
    cpSync(join(REPOSITORY, 'deploy/compose/make-secrets.sh'), join(folder, 'make-secrets.sh'))
    execFileSync('sh', [join(folder, 'make-secrets.sh')], { stdio: 'ignore' })
    const secretsFolder = join(folder, 'secrets')
    stack = await createStack(readComposeFile(), { folder, secretsFolder })
    await stack.up(['redis', 'bundled-ocr', 'issuer', 'proxy'])
  }, UP_MS)
  afterAll(async () => {
    await stack.down()
    await rm(folder, { recursive: true, force: true })
  }, UP_MS)

  test('the operator makes a client inside the container of the issuer', async () => {
    const made = await gatehouse('clients', 'create', '--id', 'robot', '--json')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const { client_secret: secret } = JSON.parse(made.stdout) as { client_secret: string }
    const form = ['-u', `robot:${secret}`, '-d', 'grant_type=client_credentials']
    const answer = await curl('https://localhost:9000/token', ...form)
    token = (JSON.parse(answer.stdout.split('\n')[0] ?? '') as { access_token: string })
      .access_token
    expect(answer.stdout).toMatch(/\n200$/)
  })

  test('an image is read through the proxy, and who has no token is refused', async () => {
    const answer = await read('-H', `Authorization: Bearer ${token}`)
    expect(answer.stdout).toMatch(/TOTAL[^]*\n200$/i)
    expect((await read()).stdout).toMatch(/\n401$/)
  }, 60_000)

  test('the trail of the proxy is seen at the issuer', async () => {
    const isThere = async () =>
      (await gatehouse('audit', 'search', '--client', 'robot', '--json')).stdout.includes(
        'proxy.call',
      )
    await waitUntil('a record of the call', isThere)
    expect(await isThere()).toBe(true)
  })

  test.each(['issuer', 'proxy', 'bundled-ocr'])(
    '%s is the first process, nobody on this machine, and changes nothing in its image',
    async (name) => {
      const status = await stack.exec(name, ['cat', '/proc/1/status', '/proc/1/comm'])
      expect(status.stdout).toMatch(/^Uid:\t10001\t10001\t10001\t10001$/m)
      expect(status.stdout).toMatch(/^Cap(Eff|Bnd):\t0{16}$/m)
      expect(status.stdout).toMatch(/^NoNewPrivs:\t1$/m)
      expect(status.stdout).toMatch(/\nnode\S*\n$/)
      for (const path of [
        '/opt/gatehouse/src/x',
        '/opt/gatehouse/node_modules/x',
        '/x',
        '/etc/x',
      ]) {
        const touched = await stack.exec(name, ['touch', path])
        expect(touched.stderr).toMatch(/Read-only file system|Permission denied/)
      }
      expect((await stack.exec(name, ['ls', '/usr/local/bin'])).stdout).toBe('gatehouse\nnode\n')
    },
  )

  test('no process has a secret in its environment or its arguments', async () => {
    const facts = await Promise.all(
      [...stack.services.values()].map(
        async (each) => (await each.exec(['cat', '/proc/1/environ', '/proc/1/cmdline'])).stdout,
      ),
    )
    const [, password = ''] = execFileSync('cat', [stack.secret('redis_auth')], {
      encoding: 'utf8',
    }).split(/\s+/)
    const key = execFileSync('cat', [stack.secret('keys_encryption_key')], { encoding: 'utf8' })
    expect(password).toMatch(/^[0-9a-f]{64}$/)
    for (const text of facts) {
      expect(text).not.toContain(password)
      expect(text).not.toContain(key.trim())
    }
  })

  test('SIGTERM lets what runs finish, and ends each with 0', async () => {
    const running = read('-H', `Authorization: Bearer ${token}`)
    await waitUntil('a call that runs', async () =>
      /^gatehouse_proxy_in_flight\{[^}]*\} 1$/m.test(
        (await runInNetwork(stack.network, ['curl', '-s', 'http://127.0.0.1:8081/metrics'])).stdout,
      ),
    )
    stack.services.get('proxy')?.signal('SIGTERM')
    expect((await running).stdout).toMatch(/\n200$/)
    expect(await stack.services.get('proxy')?.exited).toBe(0)
    for (const name of ['issuer', 'bundled-ocr', 'redis']) {
      stack.services.get(name)?.signal('SIGTERM')
      expect([name, await stack.services.get(name)?.exited]).toEqual([name, 0])
    }
  }, 120_000)
})
