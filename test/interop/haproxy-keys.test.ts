import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { useTempFolders } from '../support/temp-folders.ts'
import { hasTool } from '../support/tool.ts'

const example = fileURLToPath(new URL('../../examples/haproxy/', import.meta.url))
const run = promisify(execFile)
const isHere = hasTool(['haproxy', '-v'], 'THE KEYS OF examples/haproxy ARE NOT READ BY HAPROXY')

const makeFolder = useTempFolders()
const { n, e } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
  format: 'jwk',
})
let kid: string
const jwks = createServer((_request, response) =>
  response.end(JSON.stringify({ keys: [{ kty: 'RSA', kid, n, e }] })),
)

beforeAll(async () => {
  await once(jwks.listen(0, '127.0.0.1'), 'listening')
})
afterAll(() => jwks.close())

// One thumbprint in 64 begins with a dash, which HAProxy takes for a flag.
test.skipIf(!isHere).each(['a-kid', '-a-kid'])(
  'HAProxy takes the configuration for the kid %s',
  async (name) => {
    kid = name
    const folder = makeFolder()
    cpSync(example, folder, { recursive: true })
    const address = jwks.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await run(process.execPath, ['fetch-keys.ts'], {
      cwd: folder,
      env: { ISSUER: `http://127.0.0.1:${port}` },
    })
    const check = ['-c', '-f', 'keys/keys.cfg', '-f', 'haproxy.cfg']
    const { stdout } = await run('haproxy', check, { cwd: folder })
    expect(stdout).toContain('Configuration file is valid')
  },
)
