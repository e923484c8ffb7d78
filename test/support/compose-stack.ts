import { chownSync, cpSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Compose, ComposeService } from './compose-file.ts'
import {
  createNetwork,
  startContainer,
  type Container,
  type Executed,
  type Mount,
  type Network,
} from './container.ts'
import { createImageBuilder, type Image } from './image.ts'
import { waitUntil } from './wait-until.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
/** Of the user `redis` in the official image. */
const REDIS_USER = '999:999'
/** What an engine on a busy machine may take to load. */
const HEALTHY_WITHIN_MS = 120_000

export type Stack = {
  network: Network
  secret: (name: string) => string
  services: ReadonlyMap<string, Container>
  /** `docker compose up`, but in the order that is given, each once the one before it is healthy. */
  up: (names: readonly string[]) => Promise<void>
  /** `docker compose exec`. */
  exec: (name: string, command: readonly string[]) => Promise<Executed>
  down: () => Promise<void>
}

/** The services of docker-compose.yml as processes on one loopback, where the names of all lead to it. */
export async function createStack(
  compose: Compose,
  { folder, secretsFolder }: { folder: string; secretsFolder: string },
): Promise<Stack> {
  const build = createImageBuilder(join(folder, 'images'))
  mkdirSync(join(folder, 'images'))
  const network = await createNetwork()
  const hosts = join(folder, 'hosts')
  writeFileSync(hosts, `127.0.0.1 localhost ${Object.keys(compose.services).join(' ')}\n`)
  const services = new Map<string, Container>()

  const secret = (name: string) =>
    join(secretsFolder, basename(resolve(REPOSITORY, compose.secrets[name]?.file ?? '')))
  const volume = (name: string, place: string, image: Image): string => {
    const from = join(folder, `volume-${name}`)
    if (existsSync(from)) return from
    // A new volume has what the image has in its place, and its owner.
    const model = join(image.root, place)
    if (existsSync(model)) {
      cpSync(model, from, { recursive: true })
      const { uid, gid } = statSync(model)
      chownSync(from, uid, gid)
    } else {
      mkdirSync(from)
      chownSync(from, 999, 999)
    }
    return from
  }
  const start = async (name: string, service: ComposeService): Promise<Container> => {
    const target = service.build?.target
    const image = target === undefined ? bareImage(folder) : await build(target)
    const mounts: Mount[] = [
      { from: hosts, to: '/etc/hosts' },
      ...service.secrets.map((each) => ({
        from: secret(each),
        to: `/run/secrets/${each}`,
        isReadOnly: true,
      })),
      ...service.volumes.map((each) => {
        const [volumeName = '', place = ''] = each.split(':')
        return { from: volume(volumeName, place, image), to: place }
      }),
    ]
    return startContainer({
      root: image.root,
      workdir: image.workdir,
      user: service.user === 'redis' ? REDIS_USER : (image.user ?? '0'),
      env: { ...image.env, ...service.environment },
      command: [...(service.entrypoint ?? image.entrypoint), ...(service.command ?? image.command)],
      network,
      mounts,
      tmpfs: service.tmpfs,
      isReadOnly: service.read_only,
    })
  }
  return {
    network,
    secret,
    services,
    async up(names) {
      for (const name of names) {
        const service = compose.services[name]
        if (service === undefined) throw new Error(`no service ${name}`)
        const container = await start(name, service)
        services.set(name, container)
        const ended = container.exited.then((code) => {
          throw new Error(`${name} ended with ${code}: ${container.output()}`)
        })
        const [kind, ...words] = service.healthcheck?.test ?? []
        const check = kind === 'CMD-SHELL' ? ['sh', '-c', ...words] : words
        const isHealthy = async () => (await container.exec(check)).code === 0
        await Promise.race([waitUntil(`a healthy ${name}`, isHealthy, HEALTHY_WITHIN_MS), ended])
        ended.catch(() => {})
      }
    },
    exec: (name, command) =>
      services.get(name)?.exec(command) ??
      Promise.resolve({ code: -1, stdout: '', stderr: `${name} does not run` }),
    async down() {
      for (const container of services.values()) {
        container.kill()
        await container.exited
      }
      network.close()
    },
  }
}

/** Redis' own image cannot be had; its program is this machine's. */
function bareImage(folder: string): Image {
  const root = join(folder, 'images', 'bare')
  for (const part of ['usr/local', 'opt', 'var/lib']) {
    mkdirSync(join(root, part), { recursive: true })
  }
  const nothing = { env: {}, workdir: '/', user: undefined, entrypoint: [] }
  return { root, ...nothing, command: [], healthcheck: [] }
}
