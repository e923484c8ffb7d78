import { setTimeout as delay } from 'node:timers/promises'
import type { Host, Machine } from './chaos-network.ts'
import type { World } from './chaos-world.ts'

/** One thing that goes wrong with one machine for a while; `inject` resolves when it is over. */
export type Fault = {
  name: string
  inject: (ms: number) => Promise<void>
}

type Target = {
  name: string
  machine: () => Promise<Machine>
  behind?: readonly Machine[]
  behindName?: string
}

/** Each kind of machine, killed, paused and cut off from all others; some also from what is behind them alone. */
export function faultsOf(world: World): Fault[] {
  const { issuers, proxies, models, redis } = world
  const first = (machines: readonly Machine[]) => async () => {
    const [machine] = machines
    if (machine === undefined) throw new Error('there is none')
    return machine
  }
  const store = [...redis.nodes, ...redis.sentinels]
  const targets: Target[] = [
    {
      name: "Redis's master",
      machine: redis.master,
      behind: store,
      behindName: 'from its replicas and Sentinels alone',
    },
    {
      name: 'a replica of Redis',
      async machine() {
        const master = await redis.master()
        return first(redis.nodes.filter((each) => each !== master))()
      },
    },
    { name: 'a Sentinel', machine: first(redis.sentinels) },
    { name: 'an issuer', machine: first(issuers), behind: store, behindName: 'from Redis alone' },
    { name: 'a proxy', machine: first(proxies), behind: store, behindName: 'from Redis alone' },
    { name: 'a model server', machine: first(models) },
  ]
  return [
    // What this machine does to the figures by itself.
    { name: 'nothing', inject: (ms) => delay(ms) },
    ...targets.flatMap((target) => faultsOn(world, target)),
  ]
}

function faultsOn(world: World, { name, machine, behind, behindName }: Target): Fault[] {
  const { network, issuers, proxies, models, redis } = world
  const everyone = [...issuers, ...proxies, ...models, ...redis.nodes, ...redis.sentinels]
  const cutFrom = async (hosts: readonly Host[], ms: number) => {
    const cut = await machine()
    const others = hosts.filter((host) => host !== cut)
    for (const other of others) network.cut(cut, other)
    await delay(ms)
    for (const other of others) network.mend(cut, other)
  }
  return [
    {
      name: `${name} is killed`,
      async inject(ms) {
        const killed = await machine()
        await killed.kill()
        await delay(ms)
        await killed.start()
      },
    },
    {
      name: `${name} stands still`,
      async inject(ms) {
        const still = await machine()
        still.pause()
        await delay(ms)
        still.resume()
      },
    },
    {
      name: `${name} is cut off`,
      inject: (ms) => cutFrom([...everyone, network.clients], ms),
    },
    ...(behind === undefined
      ? []
      : [
          {
            name: `${name} is cut off ${behindName}`,
            inject: (ms: number) => cutFrom(behind, ms),
          },
        ]),
  ]
}
