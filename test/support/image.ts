import { cpSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execFileSync, spawnSync } from 'node:child_process'
import { homedir } from 'node:os'
import { z } from 'zod'
import { startContainer } from './container.ts'
import { parseDockerfile, type Instruction, type Stage } from './dockerfile.ts'

const CONTEXT = fileURLToPath(new URL('../../', import.meta.url))

export type Image = {
  root: string
  env: Record<string, string>
  workdir: string
  user: string | undefined
  entrypoint: string[]
  command: string[]
  healthcheck: string[]
}

/** Carries out our Dockerfile without Docker, in that folder: every COPY and RUN, on Debian and Node of this machine. */
export function createImageBuilder(folder: string): (target: string) => Promise<Image> {
  const stages = parseDockerfile(readFileSync(join(CONTEXT, 'deploy/Dockerfile'), 'utf8'))
  const allowed = new Set(
    readFileSync(join(CONTEXT, 'deploy/Dockerfile.dockerignore'), 'utf8')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : [])),
  )
  const built = new Map<string, Promise<Image>>()
  const build = (name: string): Promise<Image> => {
    const known = built.get(name)
    if (known !== undefined) return known
    const stage = stages.find((each) => each.name === name)
    const image =
      stage === undefined
        ? Promise.resolve(nodeImage(join(folder, 'node')))
        : buildStage(stage, { folder, allowed, build })
    built.set(name, image)
    return image
  }
  return build
}

type Surroundings = {
  folder: string
  allowed: ReadonlySet<string>
  build: (name: string) => Promise<Image>
}

async function buildStage(stage: Stage, surroundings: Surroundings): Promise<Image> {
  const from = await surroundings.build(stage.from)
  const root = join(surroundings.folder, stage.name)
  // Links, as a stage replaces files and changes none.
  execFileSync('cp', ['-al', from.root, root])
  let image: Image = { ...from, root, env: { ...from.env } }
  for (const instruction of stage.instructions) {
    image = await carryOut(image, instruction, surroundings)
  }
  return image
}

const words = z.array(z.string())
const wordsOf = (rest: string): string[] => words.parse(JSON.parse(rest))

async function carryOut(
  image: Image,
  { name, rest }: Instruction,
  surroundings: Surroundings,
): Promise<Image> {
  switch (name) {
    case 'WORKDIR':
      mkdirSync(join(image.root, rest), { recursive: true })
      return { ...image, workdir: rest }
    case 'COPY':
      await copy(image, rest, surroundings)
      return image
    case 'RUN':
      await runStep(image, rest)
      return image
    case 'ENV':
      return { ...image, env: { ...image.env, ...pairsOf(rest) } }
    case 'USER':
      return { ...image, user: rest }
    case 'ENTRYPOINT':
      return { ...image, entrypoint: wordsOf(rest) }
    case 'CMD':
      return { ...image, command: wordsOf(rest) }
    case 'HEALTHCHECK':
      return { ...image, healthcheck: wordsOf(rest.slice(rest.indexOf('['))) }
    case 'EXPOSE':
    case 'STOPSIGNAL':
      return image
    default:
      throw new Error(`${name} is not known here`)
  }
}

const pairsOf = (rest: string): Record<string, string> =>
  Object.fromEntries(
    rest
      .trim()
      .split(/\s+/)
      .map((pair) => {
        const [key = '', ...value] = pair.split('=')
        return [key, value.join('=')]
      }),
  )

async function copy(image: Image, rest: string, { allowed, build }: Surroundings): Promise<void> {
  const [first = '', ...others] = rest.split(/\s+/)
  const stage = /^--from=(.+)$/.exec(first)?.[1]
  const paths = stage === undefined ? [first, ...others] : others
  const target = paths.at(-1) ?? ''
  for (const source of paths.slice(0, -1)) {
    if (stage === undefined && !allowed.has(source)) throw new Error(`${source} is ignored`)
    const from = join(stage === undefined ? CONTEXT : (await build(stage)).root, source)
    const to = join(image.root, target.startsWith('/') ? target : join(image.workdir, target))
    const place = target.endsWith('/') ? join(to, source) : to
    mkdirSync(dirname(place), { recursive: true })
    rmSync(place, { recursive: true, force: true })
    // Links to what another stage made, copies of what is ours to change.
    if (stage === undefined) cpSync(from, place, { recursive: true, verbatimSymlinks: true })
    else execFileSync('cp', ['-al', from, place])
  }
}

/** On the network and with the npm settings of this machine, as a build of an image is. */
async function runStep(image: Image, command: string): Promise<void> {
  const home = homedir()
  const step = startContainer({
    ...image,
    user: undefined,
    env: {
      ...(process.env as Record<string, string>),
      ...image.env,
      PATH: '/usr/local/bin:/usr/sbin:/usr/bin',
      npm_config_prefer_offline: 'true',
    },
    mounts: [{ from: home, to: home }],
    tmpfs: ['/tmp:mode=1777'],
    command: ['sh', '-c', command],
  })
  const code = await step.exited
  if (code !== 0) throw new Error(`RUN ${command} ended with ${code}: ${step.output()}`)
}

/** Stands in for the official image of Node: Debian, with Node and npm in /usr/local. */
function nodeImage(root: string): Image {
  for (const part of ['usr/local/bin', 'usr/local/lib/node_modules', 'opt', 'var/lib']) {
    mkdirSync(join(root, part), { recursive: true })
  }
  const node = join(root, 'usr/local/bin/node')
  try {
    linkSync(process.execPath, node)
  } catch {
    cpSync(process.execPath, node)
  }
  const where = spawnSync('sh', ['-c', 'readlink -f "$(command -v npm)"'], { encoding: 'utf8' })
  const npm = where.stdout.trim()
  cpSync(dirname(dirname(npm)), join(root, 'usr/local/lib/node_modules/npm'), { recursive: true })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
  const nothing = { env: {}, workdir: '/', user: undefined, entrypoint: [] }
  return { root, ...nothing, command: [], healthcheck: [] }
}
