import { writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createRedisLink, type RedisLink } from '../src/store/redis-link.ts'
import { waitUntil } from '../test/support/wait-until.ts'
import type { Machine, Network } from './chaos-network.ts'

export type SentinelSet = {
  url: string
  nodes: readonly Machine[]
  sentinels: readonly Machine[]
  /** Who is master now, as two Sentinels at least see it. */
  master: () => Promise<Machine>
  /** Resolves once there is a master with two replicas in step, and all Sentinels know it. */
  settled: () => Promise<void>
}

const PORT = 6379
const SENTINEL_PORT = 26_379
const NAME = 'gatehouse'
const ASK_AGAIN_MS = 500
const SETTLE_WITHIN_MS = 180_000

/** A master, two replicas, three Sentinels, set up as docs/operations.md says. */
export async function startSentinelSet(
  network: Network,
  { dir, minReplicas }: { dir: string; minReplicas: number },
): Promise<SentinelSet> {
  const place = join(dir, 'redis')
  await mkdir(place, { recursive: true })
  const server = (name: string, lines: string[], args: readonly string[] = []): Machine => {
    const file = join(place, `${name}.conf`)
    return network.add(name, {
      command(address) {
        if (started.has(name)) return ['redis-server', file, ...args]
        started.add(name)
        // Redis and Sentinel write down in it who is master: a restart must find that.
        writeFileSync(file, [`bind ${address}`, 'protected-mode no', ...lines, ''].join('\n'))
        return ['redis-server', file, ...args]
      },
    })
  }
  const started = new Set<string>()
  const nodes: Machine[] = []
  for (const number of [1, 2, 3]) {
    const [first] = nodes
    const node = server(`redis-${number}`, [
      `port ${PORT}`,
      `dir ${place}`,
      'appendonly yes',
      `appenddirname aof-${number}`,
      `dbfilename ${number}.rdb`,
      'maxmemory-policy noeviction',
      'repl-diskless-sync-delay 0',
      `min-replicas-to-write ${minReplicas}`,
      'min-replicas-max-lag 5',
      ...(first === undefined ? [] : [`replicaof ${first.address} ${PORT}`]),
    ])
    await node.start()
    nodes.push(node)
  }
  const [first] = nodes
  if (first === undefined) throw new Error('there is no master')
  await settledAs(first)
  const sentinels = [1, 2, 3].map((number) =>
    server(
      `sentinel-${number}`,
      [
        `port ${SENTINEL_PORT}`,
        `sentinel monitor ${NAME} ${first.address} ${PORT} 2`,
        `sentinel down-after-milliseconds ${NAME} 5000`,
        `sentinel failover-timeout ${NAME} 10000`,
      ],
      ['--sentinel'],
    ),
  )
  for (const sentinel of sentinels) await sentinel.start()

  const master = async (): Promise<Machine> => {
    const seen = await Promise.all(sentinels.map((each) => masterSeenBy(each)))
    const agreed = nodes.find(({ address }) => seen.filter((each) => each === address).length >= 2)
    return agreed ?? delay(ASK_AGAIN_MS).then(master)
  }
  const settled = async () => {
    await waitUntil(
      'all Sentinels',
      async () => {
        const seen = await Promise.all(sentinels.map((each) => factsOf(each)))
        const wanted = (await master()).address
        return seen.every((facts) => facts.startsWith(`${wanted} 2 2 master`))
      },
      SETTLE_WITHIN_MS,
    )
    await settledAs(await master())
  }
  await settled()
  const hosts = sentinels.map(({ address }) => `${address}:${SENTINEL_PORT}`).join(',')
  return { url: `redis+sentinel://${hosts}/${NAME}`, nodes, sentinels, master, settled }
}

const settledAs = (master: Machine) =>
  waitUntil(
    'two replicas in step',
    async () => {
      const info = await asking(master, PORT, (link) => link.send(['info', 'replication']))
      return String(info).match(/state=online/g)?.length === 2
    },
    SETTLE_WITHIN_MS,
  )

async function masterSeenBy(sentinel: Machine): Promise<string> {
  const [address = 'nobody'] = (await factsOf(sentinel).catch(() => '')).split(' ')
  return address
}

/** The master's address, how many replicas and other Sentinels it knows, and how it finds the master. */
async function factsOf(sentinel: Machine): Promise<string> {
  const reply = await asking(sentinel, SENTINEL_PORT, (link) =>
    link.send(['sentinel', 'master', NAME]),
  )
  const flat = String(reply).split(',')
  const of = (name: string) => flat[flat.indexOf(name) + 1]
  return [of('ip'), of('num-slaves'), of('num-other-sentinels'), of('flags')].join(' ')
}

async function asking(
  { address }: Machine,
  port: number,
  ask: (link: RedisLink) => Promise<unknown>,
): Promise<unknown> {
  const target = {
    kind: 'standalone',
    isTls: false,
    username: undefined,
    password: undefined,
    address: { host: address, port },
    database: 0,
  } as const
  const link = createRedisLink({ target, deadlineMs: 2000 })
  try {
    return await ask(link)
  } finally {
    link.close()
  }
}
