import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRedisLink, type RedisLink } from '../../src/store/redis-link.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { waitUntil } from './wait-until.ts'

export type RedisNode = {
  port: number
  url: string
  link: RedisLink
  /** kill -9, and the end of the process. */
  kill: () => Promise<void>
}

export type RedisServers = {
  url: string
  /** Those that hold data, the first master first. */
  nodes: readonly RedisNode[]
  stop: () => Promise<void>
}

export const LAST_SLOT = 16_383
const MASTER_NAME = 'gatehouse'

/** One server, with settings of redis.conf if need be. */
export async function startRedis(
  settings: Readonly<Record<string, string>> = {},
): Promise<RedisServers> {
  const folder = await createFolder()
  const node = await startNode(folder, async () => settings)
  return { url: node.url, nodes: [node], stop: () => stopAll(folder, [node]) }
}

/** A Cluster of three masters. */
export async function startRedisCluster(): Promise<RedisServers> {
  const folder = await createFolder()
  const nodes = await Promise.all(
    [1, 2, 3].map((number) => startNode(folder, () => clusterSettings(`nodes-${number}.conf`))),
  )
  const [first] = nodes
  for (const [index, node] of nodes.entries()) {
    const share = (LAST_SLOT + 1) / nodes.length
    const slots = [Math.ceil(share * index), Math.ceil(share * (index + 1)) - 1]
    await node.link.send(['cluster', 'addslotsrange', ...slots])
    await node.link.send(['cluster', 'set-config-epoch', index + 1])
  }
  for (const node of nodes.slice(1)) {
    const busPort = await configOf(node, 'cluster-port')
    await first?.link.send(['cluster', 'meet', '127.0.0.1', node.port, busPort])
  }
  for (const { link } of nodes) {
    await waitUntil('a whole cluster', async () =>
      /cluster_state:ok[^]*cluster_known_nodes:3/.test(
        String(await link.send(['cluster', 'info'])),
      ),
    )
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return { url: `redis+cluster://${hosts}`, nodes, stop: () => stopAll(folder, nodes) }
}

/** Gives one master of a Cluster a replica, and stops with the rest. */
export async function addClusterReplica(
  servers: RedisServers,
  master: RedisNode,
): Promise<RedisServers> {
  const folder = await createFolder()
  const replica = await startNode(folder, () => clusterSettings('nodes-replica.conf'))
  await replica.link.send([
    ...(['cluster', 'meet', '127.0.0.1'] as const),
    master.port,
    await configOf(master, 'cluster-port'),
  ])
  const masterId = String(await master.link.send(['cluster', 'myid']))
  await waitUntil('a replica in step', async () => {
    await replica.link.send(['cluster', 'replicate', masterId]).catch(() => undefined)
    return String(await master.link.send(['info', 'replication'])).includes('state=online')
  })
  const stop = async () => {
    await stopAll(folder, [replica])
    await servers.stop()
  }
  return { ...servers, stop }
}

/** A master with two replicas, watched by three Sentinels that give it up after 3 s (with 1 s they do so twice). */
export async function startRedisSentinel(): Promise<RedisServers> {
  const folder = await createFolder()
  const master = await startNode(folder)
  const replicas = await Promise.all(
    [1, 2].map(() => startNode(folder, async () => ({ replicaof: `127.0.0.1 ${master.port}` }))),
  )
  await waitUntil('two replicas in step', async () => {
    const info = String(await master.link.send(['info', 'replication']))
    return info.match(/state=online/g)?.length === 2
  })
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(folder, master)))
  for (const { link } of sentinels) {
    await waitUntil('a Sentinel that knows all', async () => {
      const facts = String(await link.send(['sentinel', 'master', MASTER_NAME]))
      return facts.includes('num-slaves,2') && facts.includes('num-other-sentinels,2')
    })
  }
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
  const nodes = [master, ...replicas]
  return {
    url: `redis+sentinel://${hosts}/${MASTER_NAME}`,
    nodes,
    stop: () => stopAll(folder, [...sentinels, ...nodes]),
  }
}

export const clusterSettings = async (file: string): Promise<Record<string, string>> => ({
  'cluster-enabled': 'yes',
  'cluster-node-timeout': '2000',
  'cluster-port': String(await findFreePort()),
  'cluster-config-file': file,
})

async function startSentinel(folder: string, master: RedisNode): Promise<RedisNode> {
  const file = join(folder, `sentinel-${await findFreePort()}.conf`)
  await writeFile(
    file,
    [
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 3000`,
      `sentinel failover-timeout ${MASTER_NAME} 10000`,
      '',
    ].join('\n'),
  )
  return startNode(folder, undefined, [file, '--sentinel'])
}

type SettingsOf = () => Promise<Readonly<Record<string, string>>>

const noSettings: SettingsOf = async () => ({})

/** A port that was free may be somebody else's by the time that the server asks for it: it ends then, and others are tried. */
async function startNode(
  folder: string,
  settingsOf = noSettings,
  sentinelArgs: readonly string[] = [],
): Promise<RedisNode> {
  for (let tries = 1; ; tries += 1) {
    const node = await tryToStart(folder, await settingsOf(), sentinelArgs)
    if (node !== undefined) return node
    if (tries === 5) throw new Error('redis-server ends as soon as it has started')
  }
}

async function tryToStart(
  folder: string,
  settings: Readonly<Record<string, string>>,
  sentinelArgs: readonly string[],
): Promise<RedisNode | undefined> {
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  const listening = { port: String(port), bind: '127.0.0.1', dir: folder }
  const dataOnly = sentinelArgs.length > 0 ? {} : { save: '', 'repl-diskless-sync-delay': '0' }
  const args = Object.entries({ ...listening, ...dataOnly, ...settings })
  const child = spawn(
    'redis-server',
    [...sentinelArgs, ...args.flatMap(([name, value]) => [`--${name}`, value])],
    { stdio: 'ignore' },
  )
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const exited = once(child, 'exit').then(() => process.off('exit', killAtExit))
  const link = createRedisLink({ target: parseRedisUrl(url), deadlineMs: 2000 })
  const isOurs = async () =>
    String(await link.send(['info', 'server'])).includes(`process_id:${child.pid}\r`)
  await waitUntil(
    `redis-server on port ${port}`,
    async () => child.exitCode !== null || (await isOurs()),
  )
  if (child.exitCode !== null) {
    link.close()
    return undefined
  }
  return {
    port,
    url,
    link,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function stopAll(folder: string, nodes: readonly RedisNode[]): Promise<void> {
  for (const { link } of nodes) link.close()
  await Promise.all(nodes.map((node) => node.kill()))
  await rm(folder, { recursive: true, force: true })
}

async function configOf({ link }: RedisNode, name: string): Promise<string> {
  const [, value] = String(await link.send(['config', 'get', name])).split(',')
  return value ?? ''
}

const createFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'gatehouse-redis-'))

export async function findFreePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
