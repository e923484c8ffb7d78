import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { findDisagreements, type SeenRequest } from '../support/smuggling.ts'
import { runsHere } from '../support/tool.ts'
import { waitUntil } from '../support/wait-until.ts'

/** What vLLM is served by, with either of its parsers. Kept from run to run. */
const VENV = join(tmpdir(), 'gatehouse-interop/uvicorn')
const COUNT = Number(process.env['SMUGGLING_RUNS'] ?? 1650)
const SEED = Number(process.env['SMUGGLING_SEED'] ?? 9112)

const APP = `import json, sys
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    ids = [value.decode("latin1") for name, value in scope["headers"] if name == b"x-request-id"]
    query = scope["query_string"].decode("latin1")
    target = scope["raw_path"].decode("latin1").split("?")[0] + ("?" + query if query else "")
    print(json.dumps({"id": ids[0] if len(ids) == 1 else "", "method": scope["method"], "target": target}), flush=True)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
`

function isMissing(): string | undefined {
  if (process.env['INTEROP'] !== '1') return 'its packages are downloaded only with INTEROP=1'
  if (!runsHere(['python3', '-c', 'import venv, ensurepip'])) return 'no python3 here'
  return undefined
}
const missing = isMissing()
if (missing !== undefined) console.warn(`!!! SMUGGLING IS NOT TRIED WITH uvicorn: ${missing} !!!`)

describe.skipIf(missing !== undefined).each(['h11', 'httptools'])('uvicorn with %s', (parser) => {
  let folder: string
  let server: ChildProcess
  let proxy: LoneProxy
  let url: string
  let complaints = ''
  const seen: SeenRequest[] = []
  /** What it has got up to now, which it says line by line. */
  async function takeSeen(): Promise<SeenRequest[]> {
    await fetch(`${url}/end?last`)
    await waitUntil('its last line', async () => seen.some(({ target }) => target === '/end?last'))
    return seen.splice(0).filter(({ target }) => !target.startsWith('/end'))
  }
  beforeAll(async () => {
    execFileSync('python3', ['-m', 'venv', VENV])
    execFileSync(join(VENV, 'bin/pip'), ['install', '--quiet', 'uvicorn', 'h11', 'httptools'])
    folder = mkdtempSync(join(tmpdir(), 'gatehouse-uvicorn-'))
    writeFileSync(join(folder, 'app.py'), APP)
    const [port = 0] = await freePorts(1)
    const options = ['--port', String(port), '--http', parser, '--no-access-log']
    server = spawn(join(VENV, 'bin/uvicorn'), ['app:app', ...options], { cwd: folder })
    let text = ''
    server.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = `${text}${chunk}`.split('\n')
      text = lines.pop() ?? ''
      seen.push(...lines.map((line) => JSON.parse(line) as SeenRequest))
    })
    server.stderr?.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk))
    url = `http://127.0.0.1:${port}`
    await waitUntil('uvicorn', async () => (await fetch(`${url}/end`)).ok)
    await takeSeen()
    const set = [`proxy.upstreams=${url}`, 'proxy.healthCheck.intervalSeconds=0']
    proxy = await startLoneProxy(set)
  }, 300_000)
  afterAll(async () => {
    await proxy.close()
    const gone = once(server, 'exit')
    server.kill('SIGKILL')
    await gone
    rmSync(folder, { recursive: true })
  })

  test(`gets of ${COUNT} connections, most of them malformed, just what the proxy has logged`, async () => {
    const found = await findDisagreements(proxy, takeSeen, { count: COUNT, seed: SEED })
    expect(found.problems).toEqual([])
    expect(complaints).not.toContain('Invalid HTTP request')
    // A fifth of them are legal, and a third of these bring a second such request.
    expect(found.forwarded, 'more than the legal ones alone').toBeGreaterThan(COUNT * 0.3)
  }, 300_000)
})
