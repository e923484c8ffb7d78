import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { freePorts } from '../src/cli/free-ports.ts'
import { startBackend } from './backend.ts'
import { startGatehouseProxy } from './gatehouse-proxy.ts'
import { inLab, SERVER_CORE, waitFor, type Lab } from './lab.ts'
import { startTestIssuer } from './tokens.ts'
import { bearer, measure, type Contestant, type Load } from './wrk.ts'

/**
 * How many bytes of memory a request of 1 kB allocates, and where: a figure that does not depend on what else runs on the
 * machine. Sampled by V8; the permission model, which allows no inspector, is off.
 */
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    functions: { type: 'string', default: '15' },
  },
})
const WARM_UP_SECONDS = 6
/** What the permission model would add itself. */
const AS_IN_SANDBOX = ['--disable-proto=delete', '--disallow-code-generation-from-strings']

type Node = { callFrame: CallFrame; selfSize: number; children: Node[] }
type CallFrame = z.output<typeof callFrameSchema>
const callFrameSchema = z.object({
  functionName: z.string(),
  url: z.string(),
  lineNumber: z.number(),
})
const nodeSchema: z.ZodType<Node> = z.object({
  callFrame: callFrameSchema,
  selfSize: z.number(),
  get children() {
    return z.array(nodeSchema)
  },
})
const profileSchema = z.object({ head: nodeSchema })

const here = (path: string) => join(import.meta.dirname, path)

await inLab(async (lab) => {
  const ports = await freePorts(5)
  const [issuerPort = 0, backendPort = 0, port = 0, opsPort = 0, undiciPort = 0] = ports
  const url = `http://127.0.0.1:${port}`
  const issuer = await startTestIssuer(issuerPort)
  await startBackend(lab, backendPort)
  const upstreamUrl = `http://127.0.0.1:${backendPort}`
  const sampler = ['--import', here('heap-sampler.ts')]
  const samplesOf = (name: string) => join(lab.dir, `${name}.heapprofile`)
  const gatehouse = await startGatehouseProxy(lab, {
    issuerUrl: issuer.url,
    upstreamUrl,
    url,
    opsPort,
    flagsOfNode: [...AS_IN_SANDBOX, ...sampler],
    settings: { GATEHOUSE_SANDBOX: 'false', SAMPLES_TO: samplesOf('gatehouse') },
  })
  const undiciUrl = `http://127.0.0.1:${undiciPort}`
  const undici = lab.start(
    'undici',
    [process.execPath, ...sampler, here('bare-undici-proxy.ts'), String(undiciPort), upstreamUrl],
    { core: SERVER_CORE, env: { SAMPLES_TO: samplesOf('undici') } },
  )
  await waitFor(undiciUrl)

  const load = {
    path: '/v1/chat/completions',
    contentType: 'application/json',
    body: JSON.stringify({ model: 'tencent/HunyuanOCR', messages: [{ content: 'A'.repeat(900) }] }),
    authorizations: (await issuer.issueTokens(1, url)).map(bearer),
    connections: 32,
  }
  for (const contestant of [
    { name: 'gatehouse', url, pid: gatehouse },
    { name: 'undici', url: undiciUrl, pid: undici },
  ]) {
    const allocated = await sample(lab, contestant, load, samplesOf(contestant.name))
    const total = [...allocated.values()].reduce((sum, bytes) => sum + bytes, 0)
    process.stdout.write(`\n${contestant.name}: ${(total / 1000).toFixed(1)} kB a request\n`)
    const most = [...allocated].sort(([, one], [, other]) => other - one)
    for (const [where, bytes] of most.slice(0, Number(flags.functions))) {
      process.stdout.write(`${bytes.toFixed(0).padStart(8)} B  ${where}\n`)
    }
  }
  issuer.close()
})

/** The bytes that each function allocated for one request. */
async function sample(
  lab: Lab,
  contestant: Contestant,
  load: Omit<Load, 'seconds'>,
  file: string,
): Promise<Map<string, number>> {
  const seconds = Number(flags.seconds)
  await measure(lab, contestant, { ...load, seconds: WARM_UP_SECONDS })
  process.kill(contestant.pid, 'SIGUSR2')
  const { requestsPerSecond } = await measure(lab, contestant, { ...load, seconds })
  process.kill(contestant.pid, 'SIGUSR2')
  const allocated = new Map<string, number>()
  const add = ({ callFrame, selfSize, children }: Node): void => {
    const where = nameOf(callFrame)
    const bytes = selfSize / (requestsPerSecond * seconds)
    allocated.set(where, (allocated.get(where) ?? 0) + bytes)
    children.forEach(add)
  }
  add(await readProfile(file))
  return allocated
}

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const file = url.replace(/^.*\/(?=(?:src|bench|node_modules)\/)/, '')
  return `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`
}

/** Once it has been written. */
async function readProfile(file: string): Promise<Node> {
  for (let tries = 0; tries < 100; tries += 1) {
    await pause(100)
    const profile = readJson(file)
    if (profile !== undefined) return profileSchema.parse(profile).head
  }
  throw new Error(`${file} was not written`)
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // Not yet, or not all of it.
    return undefined
  }
}
