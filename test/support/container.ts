import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { waitUntil } from './wait-until.ts'

const PROGRAMS = ['unshare', 'nsenter', 'setpriv', 'chroot', 'mount', 'ip', 'curl', 'openssl']

/** Why a container cannot be imitated with Linux namespaces here, if so. */
export function missingForContainers(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux'
  const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0)
  if (missing.length > 0) return `${missing.join(', ')} not on the PATH`
  const tried = spawnSync('unshare', ['--net', '--mount', '--pid', '--fork', 'true'])
  return tried.status === 0 ? undefined : 'namespaces are not allowed'
}

const DIES_WITH_US = ['--pdeathsig', 'KILL']

/** A private network of this machine, with a loopback of its own and nothing else. */
export type Network = { pid: number; close: () => void }

export async function createNetwork(): Promise<Network> {
  const command = [...DIES_WITH_US, 'unshare', '--net', 'sleep', '3600']
  const holder = spawn('setpriv', command, { stdio: 'ignore' })
  const killAtExit = () => holder.kill('SIGKILL')
  process.once('exit', killAtExit)
  const pid = holder.pid ?? 0
  // Only once `unshare` has become `sleep` is it in the new namespace.
  await waitUntil('a network', () =>
    Promise.resolve(readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n'),
  )
  spawnSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'set', 'lo', 'up'])
  return {
    pid,
    close() {
      process.off('exit', killAtExit)
      holder.kill('SIGKILL')
    },
  }
}

export type Mount = { from: string; to: string; isReadOnly?: boolean }

export type ContainerOptions = {
  /** Holds `opt`, `usr/local` and `var/lib` of the image; the rest is this machine's. */
  root: string
  env: Readonly<Record<string, string>>
  command: readonly string[]
  workdir?: string
  /** Without one it is root with all that root may do, as for a RUN of a Dockerfile. */
  user?: string | undefined
  network?: Network
  mounts?: readonly Mount[]
  tmpfs?: readonly string[]
  isReadOnly?: boolean
}

export type Container = {
  output: () => string
  /** Of the first process in it. */
  signal: (name: NodeJS.Signals) => void
  /** Ends all of it at once, if it still runs. */
  kill: () => void
  exited: Promise<number | null>
  /** As `docker exec` does it. */
  exec: (command: readonly string[]) => Promise<Executed>
}

export type Executed = { code: number; stdout: string; stderr: string }

const UNPRIVILEGED = ['--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs']

/** Runs the command as the first process of namespaces of its own, in a root made of the image's parts. */
export function startContainer(options: ContainerOptions): Container {
  const { network, user, env, command, workdir = '/' } = options
  const inside = [
    'env',
    `--chdir=${workdir}`,
    '-i',
    ...Object.entries({ PATH: IMAGE_PATH, ...env }).map(([name, value]) => `${name}=${value}`),
    ...asUser(user),
  ]
  const into = network === undefined ? [] : ['nsenter', `--net=/proc/${network.pid}/ns/net`]
  const args = [
    ...DIES_WITH_US,
    ...into,
    'unshare',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    'sh',
    '-c',
    mountScript(options),
    'sh',
    ...inside,
    ...command,
  ]
  const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const output: string[] = []
  child.stdout.on('data', (chunk) => output.push(String(chunk)))
  child.stderr.on('data', (chunk) => output.push(String(chunk)))
  const exited = once(child, 'close').then(() => {
    process.off('exit', killAtExit)
    return child.exitCode
  })
  return {
    output: () => output.join(''),
    signal: (name) => process.kill(firstProcessOf(child), name),
    kill: killAtExit,
    exited,
    exec: (executed) => {
      const spaces = ['--mount', '--pid', '--net', '--root', '--wd=/']
      return run('nsenter', [
        `--target=${firstProcessOf(child)}`,
        ...spaces,
        ...inside,
        ...executed,
      ])
    },
  }
}

const IMAGE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function asUser(user: string | undefined): string[] {
  if (user === undefined) return []
  const [uid = '', gid = uid] = user.split(':')
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...UNPRIVILEGED]
}

/** `nsenter` becomes `unshare`, whose only child is the first process of the container. */
function firstProcessOf(child: ChildProcess): number {
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  return Number(children.trim().split(' ')[0])
}

function mountScript({ root, mounts = [], tmpfs = [], isReadOnly = false }: ContainerOptions) {
  // Each container has mounts of its own.
  const top = '/mnt'
  const parts = ['usr/local', 'opt', 'var/lib']
  const lines = [
    'set -e',
    'mount --make-rprivate /',
    `mount -t tmpfs none ${top}`,
    `cd ${top}`,
    'mkdir -p usr etc proc dev tmp opt var/lib run',
    'for name in bin sbin lib lib64; do ln -s usr/$name $name; done',
    'mount --bind /usr usr && mount -o remount,bind,ro usr',
    'mount --bind /etc etc && mount -o remount,bind,ro etc',
    'mount --rbind /dev dev && mount -t proc proc proc',
    ...parts.map((part) => `mount --bind ${root}/${part} ${part}`),
    ...tmpfs.map((entry) => {
      const [path = '', flags = ''] = entry.split(':')
      return `mount -t tmpfs -o '${flags}' none .${path}`
    }),
    ...(isReadOnly ? parts.map((part) => `mount -o remount,bind,ro ${part}`) : []),
    ...mounts.flatMap(({ from, to, isReadOnly: fixed = false }) => [
      `[ -e .${to} ] || { [ -d ${from} ] && mkdir -p .${to}; } || { mkdir -p "$(dirname .${to})" && touch .${to}; }`,
      `mount --bind ${from} .${to}`,
      ...(fixed ? [`mount -o remount,bind,ro .${to}`] : []),
    ]),
    ...(isReadOnly ? [`mount -o remount,ro ${top}`] : []),
    `exec chroot ${top} "$@"`,
  ]
  return lines.join('\n')
}

/** Runs a program of this machine in that network. */
export const runInNetwork = (network: Network, command: readonly string[]): Promise<Executed> =>
  run('nsenter', [`--net=/proc/${network.pid}/ns/net`, ...command])

function run(program: string, args: readonly string[]): Promise<Executed> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr })
    })
  })
}
