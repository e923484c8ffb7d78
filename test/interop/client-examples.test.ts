import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { runsHere } from '../support/tool.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const IMAGE = 'test/fixtures/receipt-en.jpg'
const READ = 'TOTAL $55.05'

/** What each needs beside this checkout: OpenAI's package for Python is there where somebody installed it. */
const EXAMPLES = [
  { file: 'read-image.mjs', program: process.execPath },
  { file: 'openai-sdk.mjs', program: process.execPath },
  { file: 'read_image.py', program: 'python3' },
  { file: 'openai_sdk.py', program: 'python3', module: 'openai' },
].map((example) => ({ ...example, missing: missing(example.program, example.module) }))
for (const { file, missing } of EXAMPLES) {
  if (missing !== undefined)
    console.warn(`!!! examples/client/${file} IS NOT TRIED: ${missing} !!!`)
}

function missing(program: string, module: string | undefined): string | undefined {
  if (!runsHere([program, '--version'])) return `there is no ${program}`
  if (module === undefined || spawnSync(program, ['-c', `import ${module}`]).status === 0) return
  return `there is no ${module}`
}

let model: ModelServer
let gatehouse: Gatehouse

beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

/** Statuses that stand in for the model server's answers, in their order; then it reads the text. */
function answerWith(statuses: readonly number[]): { bodies: string[]; authorizations: number } {
  const seen = { bodies: new Array<string>(), authorizations: 0 }
  model.answer(async (req, res) => {
    seen.bodies.push(await text(req))
    if (req.headers.authorization !== undefined) seen.authorizations += 1
    const status = statuses[seen.bodies.length - 1] ?? 200
    res.statusCode = status
    if (status === 429 || status === 503) res.setHeader('retry-after', '0')
    const message = { role: 'assistant', content: READ }
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ object: 'chat.completion', choices: [{ index: 0, message }] }))
  })
  return seen
}

async function run(program: string, file: string, client: { id: string; secret: string }) {
  const child = spawn(program, [`examples/client/${file}`, IMAGE], {
    cwd: root,
    env: {
      ...process.env,
      ISSUER: gatehouse.config.issuer.url,
      PROXY: gatehouse.config.proxy.url,
      CLIENT_ID: client.id,
      CLIENT_SECRET: client.secret,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await closed, stdout, stderr }
}

describe.each(EXAMPLES)('examples/client/$file', ({ file, program, missing }) => {
  test.skipIf(missing !== undefined)(
    'has the model read the image, and repeats what may be repeated',
    async () => {
      const { clientId: id, clientSecret: secret } = await gatehouse.createClient()
      const seen = answerWith([503, 429])

      const { code, stdout, stderr } = await run(program, file, { id, secret })

      expect(stderr).toBe('')
      expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: READ })
      const image = readFileSync(`${root}${IMAGE}`, 'base64')
      expect(seen.bodies.map((body) => body.includes(image))).toEqual([true, true, true])
      expect(seen.authorizations).toBe(0)
    },
  )

  test.skipIf(missing !== undefined)('says why it was refused', async () => {
    const { clientId: id } = await gatehouse.createClient()
    const { code, stderr } = await run(program, file, { id, secret: 'wrong' })
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/invalid_client|401/)
  })
})

test.each(EXAMPLES.filter(({ file }) => file.startsWith('read')))(
  'examples/client/$file gets another token once when one is not accepted',
  async ({ file, program, missing }) => {
    if (missing !== undefined) return
    const { clientId: id, clientSecret: secret } = await gatehouse.createClient()
    const seen = answerWith([401])
    const { code, stdout } = await run(program, file, { id, secret })
    expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: READ })
    expect(seen.bodies).toHaveLength(2)
  },
)

test('examples/client/dpop.mjs calls with a token that is bound to its key', async () => {
  const { clientId: id, clientSecret: secret } = await gatehouse.createClient({
    dpop_bound_access_tokens: true,
  })
  model.answer((_req, res) => void res.end('{"data":[{"id":"tencent/HunyuanOCR"}]}'))
  const { code, stdout } = await run(process.execPath, 'dpop.mjs', { id, secret })
  expect({ code, stdout: stdout.trim() }).toEqual({
    code: 0,
    stdout: 'DPoP token accepted; models: tencent/HunyuanOCR',
  })
})
