import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { waitUntil } from '../test/support/wait-until.ts'
import { openNetwork, type Machine, type Network } from './chaos-network.ts'
import { startSentinelSet, type SentinelSet } from './chaos-redis.ts'

export type World = {
  dir: string
  network: Network
  issuers: readonly Machine[]
  proxies: readonly Machine[]
  models: readonly Machine[]
  redis: SentinelSet
  /** Resolves once everything is there and says that it is ready. */
  settled: () => Promise<void>
  stop: () => Promise<void>
}

export const ISSUER_URL = 'https://issuer.test:9000'
export const PROXY_URL = 'https://proxy.test:8080'
export const PORTS = { issuer: 9000, admin: 9001, issuerOps: 9002, proxy: 8080, proxyOps: 8081 }
export const MAX_STALENESS_SECONDS = 10
const MODEL_PORT = 8000
const READY_WITHIN_MS = 180_000
const HOSTS = 'hosts'
const [CA, CERT, KEY] = ['ca.pem', 'cert.pem', 'key.pem']

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')
const MODEL = join(import.meta.dirname, 'steady-model.ts')

/** Three issuers and three proxies with TLS, two model servers, and Redis, each on a machine of its own. */
export async function startWorld(dir: string, minReplicas: number): Promise<World> {
  const network = openNetwork(dir)
  const redis = await startSentinelSet(network, { dir, minReplicas })
  const models = [1, 2].map((number) =>
    network.add(`model-${number}`, {
      command: () => [process.execPath, MODEL, String(MODEL_PORT)],
    }),
  )
  const common = {
    NODE_EXTRA_CA_CERTS: join(dir, CA),
    GATEHOUSE_KEYS__ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64'),
    GATEHOUSE_KEYS__JWKS_MAX_AGE_SECONDS: '5',
    GATEHOUSE_REDIS__URL: redis.url,
    GATEHOUSE_REVOCATIONS__MAX_STALENESS_SECONDS: String(MAX_STALENESS_SECONDS),
    GATEHOUSE_ISSUER__URL: ISSUER_URL,
    GATEHOUSE_PROXY__URL: PROXY_URL,
  }
  const role = (name: string, of: Record<string, (address: string) => string>): Machine =>
    network.add(name, {
      command: () => [process.execPath, '--expose-gc', MAIN, name.replace(/-\d$/, '')],
      env: (address) => ({
        ...common,
        GATEHOUSE_DATA_DIR: join(dir, name),
        GATEHOUSE_KEYS__DIR: join(dir, `${name}-keys`),
        ...Object.fromEntries(Object.entries(of).map(([key, value]) => [key, value(address)])),
      }),
    })
  const issuers = [1, 2, 3].map((number) =>
    role(`issuer-${number}`, {
      GATEHOUSE_ISSUER__LISTEN: (address) => `${address}:${PORTS.issuer}`,
      GATEHOUSE_ISSUER__OPS_LISTEN: (address) => `${address}:${PORTS.issuerOps}`,
      GATEHOUSE_ISSUER__TLS__CERT: () => join(dir, CERT),
      GATEHOUSE_ISSUER__TLS__KEY: () => join(dir, KEY),
      GATEHOUSE_ADMIN__LISTEN: (address) => `${address}:${PORTS.admin}`,
      GATEHOUSE_ADMIN__TLS__CERT: () => join(dir, CERT),
      GATEHOUSE_ADMIN__TLS__KEY: () => join(dir, KEY),
    }),
  )
  const proxies = [1, 2, 3].map((number) =>
    role(`proxy-${number}`, {
      GATEHOUSE_PROXY__LISTEN: (address) => `${address}:${PORTS.proxy}`,
      GATEHOUSE_PROXY__OPS_LISTEN: (address) => `${address}:${PORTS.proxyOps}`,
      GATEHOUSE_PROXY__TLS__CERT: () => join(dir, CERT),
      GATEHOUSE_PROXY__TLS__KEY: () => join(dir, KEY),
      GATEHOUSE_PROXY__UPSTREAMS: () =>
        models.map(({ address }) => `http://${address}:${MODEL_PORT}`).join(','),
      GATEHOUSE_PROXY__CONNECT_TIMEOUT_SECONDS: () => '1',
      GATEHOUSE_PROXY__FIRST_BYTE_TIMEOUT_SECONDS: () => '5',
      GATEHOUSE_PROXY__HEALTH_CHECK__INTERVAL_SECONDS: () => '1',
    }),
  )
  nameIssuers(dir, issuers)
  makeCertificate(dir, [...issuers, ...proxies])
  for (const model of models) await model.start()
  const settled = async () => {
    await redis.settled()
    await Promise.all([
      ...issuers.map((each) => isReady(each, PORTS.issuerOps)),
      ...proxies.map((each) => isReady(each, PORTS.proxyOps)),
    ])
  }
  // One after the other: the first makes the keys, and two cores start no six at once.
  for (const issuer of issuers) await startReady(issuer, PORTS.issuerOps)
  for (const proxy of proxies) await startReady(proxy, PORTS.proxyOps)
  return {
    dir,
    network,
    issuers,
    proxies,
    models,
    redis,
    settled,
    async stop() {
      for (const each of [...proxies, ...issuers]) await each.kill('SIGTERM')
    },
  }
}

async function startReady(machine: Machine, port: number): Promise<void> {
  await machine.start()
  await isReady(machine, port)
}

const isReady = ({ name, address }: Machine, port: number) =>
  waitUntil(
    name,
    async () => {
      const asked = AbortSignal.timeout(2000)
      const answer = await fetch(`http://${address}:${port}/readyz`, { signal: asked })
      await answer.body?.cancel()
      return answer.ok
    },
    READY_WITHIN_MS,
  )

/** One name with three addresses, for proxies that fetch keys. Our mount namespace is our own. */
function nameIssuers(dir: string, issuers: readonly Machine[]): void {
  const lines = issuers.map(({ address }) => `${address} issuer.test`)
  writeFileSync(join(dir, HOSTS), ['127.0.0.1 localhost', ...lines, ''].join('\n'))
  execFileSync('mount', ['--bind', join(dir, HOSTS), '/etc/hosts'])
}

/** A private authority, which every Node process of this benchmark trusts from its start. */
export async function makeAuthority(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true })
  openssl(dir, `req -x509 ${NEW_KEY} -keyout ca-key.pem -out ${CA} -days 2 -subj /CN=chaos`)
  return join(dir, CA)
}

const NEW_KEY = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'

function makeCertificate(dir: string, machines: readonly Machine[]): void {
  const names = ['DNS:issuer.test', 'DNS:proxy.test']
  const addresses = machines.map(({ address }) => `IP:${address}`)
  writeFileSync(join(dir, 'ext.cnf'), `subjectAltName=${[...names, ...addresses].join(',')}\n`)
  openssl(dir, `req -new ${NEW_KEY} -keyout ${KEY} -out csr.pem -subj /CN=gatehouse`)
  const signed = `-CA ${CA} -CAkey ca-key.pem -set_serial 1 -days 2 -extfile ext.cnf`
  openssl(dir, `x509 -req -in csr.pem -out ${CERT} ${signed}`)
}

function openssl(cwd: string, args: string): void {
  execFileSync('openssl', args.split(' '), { cwd, stdio: 'ignore' })
}
