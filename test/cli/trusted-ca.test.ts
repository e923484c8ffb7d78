import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeAuthority, makeServerCertificate } from '../../src/cli/dev-certificates.ts'
import { keepTrustedCa } from '../../src/cli/trusted-ca.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import type { CertificatePair } from '../../src/kernel/tls-policy.ts'
import { createUpstreamPool } from '../../src/proxy/upstream-pool.ts'
import { fetchJson } from '../../src/tokens/fetch-json.ts'
import { createTestLog } from '../support/log-lines.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()

function configOf(trustedCa?: string) {
  const set = trustedCa === undefined ? [] : [`trustedCa=${trustedCa}`]
  const loaded = loadConfig({ env: {}, set })
  if (loaded.problems !== undefined) throw new Error(loaded.problems.join())
  return loaded.config
}

const closing: (() => void)[] = []
afterAll(() => closing.forEach((close) => close()))

async function startServer(by: CertificatePair): Promise<number> {
  const pair = await makeServerCertificate(by, ['localhost'], Date.now())
  // A connection that is kept would not be asked again whom it trusts.
  const server = createServer(pair, (_req, res) => {
    res.writeHead(200, { connection: 'close' }).end('{}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.push(() => void server.close())
  return (server.address() as AddressInfo).port
}

const codeOf = (error: unknown): unknown => {
  const { cause = error } = error as { cause?: unknown }
  return (cause as { code?: unknown }).code
}
const ignore = () => undefined
const UNKNOWN = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

/** With which everything of ours connects: to the issuer, to a model server, to Redis. */
const WAYS: Record<string, (port: number) => Promise<unknown>> = {
  fetch: (port) => fetchJson(`https://localhost:${port}/jwks`),
  async pool(port) {
    const url = new URL(`https://localhost:${port}`)
    const pool = createUpstreamPool({ url, connectTimeoutMs: 2000 })
    const question = { method: 'GET', target: '/', headers: '', isSized: false, body: null }
    await new Promise((onEnd, onError) => {
      const listener = { onTaken: ignore, onHead: ignore, onChunk: ignore, onEnd, onError }
      pool.dispatch({ ...question, firstByteMs: 2000, idleMs: 2000 }, listener)
    })
    pool.close()
  },
  async socket(port) {
    const socket = connect({ host: 'localhost', port })
    await once(socket, 'secureConnect')
    socket.destroy()
  },
}
const ask = (port: number) =>
  Promise.all(Object.values(WAYS).map((way) => way(port).then(() => 'believed', codeOf)))
const ALL = Object.keys(WAYS).map(() => 'believed')
const NONE = Object.keys(WAYS).map(() => UNKNOWN)

describe('trustedCa', () => {
  let first: CertificatePair
  let second: CertificatePair
  let ofFirst: number
  let ofSecond: number
  beforeAll(async () => {
    first = await makeAuthority(Date.now())
    second = await makeAuthority(Date.now())
    ofFirst = await startServer(first)
    ofSecond = await startServer(second)
  })

  test('is trusted wherever we connect, as its file is now, beside those that Node knows', async () => {
    const { log, lines } = createTestLog()
    const file = join(newFolder(), 'ca.pem')
    writeFileSync(file, first.cert)
    let look: () => void = () => undefined
    const schedule = (task: () => void) => {
      look = task
      return () => undefined
    }
    expect(await ask(ofFirst)).toEqual(NONE)
    const prepare = keepTrustedCa(configOf(file), { log, schedule })
    expect([await ask(ofFirst), await ask(ofSecond)]).toEqual([ALL, NONE])

    writeFileSync(file, second.cert.slice(0, 300))
    look()
    look()
    expect(lines.splice(0).map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
      'trusted_ca.refused',
    ])
    expect(await ask(ofFirst)).toEqual(ALL)

    writeFileSync(file, second.cert)
    look()
    expect([await ask(ofFirst), await ask(ofSecond)]).toEqual([NONE, ALL])

    expect(() => prepare(configOf('/nowhere.pem'))).toThrow(ConfigError)
    const both = join(newFolder(), 'both.pem')
    writeFileSync(both, first.cert + second.cert)
    prepare(configOf(both))()
    expect([await ask(ofFirst), await ask(ofSecond)]).toEqual([ALL, ALL])
    prepare(configOf())()
    expect([await ask(ofFirst), await ask(ofSecond)]).toEqual([NONE, NONE])
  })

  test('that is no certificate is a ConfigError', () => {
    const file = join(newFolder(), 'ca.pem')
    writeFileSync(file, 'no certificate')
    expect(() => keepTrustedCa(configOf(file), { log: createTestLog().log })).toThrow('trustedCa')
  })
})
