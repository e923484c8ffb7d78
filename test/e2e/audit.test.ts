import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { dayOf, listAuditFiles } from '../../src/audit/audit-files.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { readAuditTexts, verifyLines } from '../support/audit-lines.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { waitUntil } from '../support/wait-until.ts'

const makeFolder = useTempFolders()

describe('a proxy that is killed', () => {
  test('loses at most what was not flushed, and its chain goes on', async () => {
    const dataDir = makeFolder()
    const dir = join(dataDir, 'audit')
    const [port = 0, ops = 0] = await freePorts(2)
    const set = Object.entries({
      dataDir,
      'issuer.url': 'http://localhost:9',
      'revocations.feed': 'off',
      'proxy.url': `http://localhost:${port}`,
      'proxy.listen': `127.0.0.1:${port}`,
      'proxy.opsListen': `127.0.0.1:${ops}`,
    }).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const callOnce = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/models`)
      return response.headers.get('x-request-id') ?? ''
    }
    const live = `http://127.0.0.1:${ops}/livez`
    const isLive = async () => (await fetch(live)).ok
    const recorded = async () => {
      const texts = [...(await readAuditTexts(dir)).values()].join('')
      const lines = texts.split('\n').slice(0, -1)
      const ids = lines.map((line) => (JSON.parse(line) as AuditRecord).request_id)
      return { lines, ids }
    }

    const first = startCommand([...set, 'proxy'])
    await waitUntil('the proxy', isLive)
    const sent: string[] = []
    for (let i = 0; i < 50; i += 1) sent.push(await callOnce())
    await waitUntil('the first 50 on disk', async () => (await recorded()).ids.length === 50)
    for (let i = 0; i < 50; i += 1) sent.push(await callOnce())
    first.child.kill('SIGKILL')
    await first.finished

    const { ids } = await recorded()
    expect(ids).toEqual(sent.slice(0, ids.length))
    const report = await runCommand(['audit', 'verify', '--dir', dir, '--json'])
    expect(JSON.parse(report.stdout)).toMatchObject({
      problems: [],
      writers: [{ records: ids.length, last_seq: ids.length }],
    })

    const second = startCommand([...set, 'proxy'])
    await waitUntil('the next proxy', isLive)
    const last = await callOnce()
    second.child.kill('SIGTERM')
    await second.finished
    const after = await recorded()
    expect(after.ids).toEqual([...ids, last])
    const { problems, writers } = verifyLines(after.lines)
    expect(problems).toEqual([])
    // The checkpoint at the exit says where the chain ends.
    expect(second.output.stderr).toContain(`"hash":"${writers[0]?.last_hash}"`)

    const log = join(dataDir, 'log')
    await writeFile(log, second.output.stderr)
    const [file] = await listAuditFiles(dir)
    const text = await readFile(file?.path ?? '', 'utf8')
    const verify = () => runCommand(['audit', 'verify', '--dir', dir, '--log', log])
    expect((await verify()).code).toBe(0)
    const cut = text.split('\n').slice(0, -2).join('\n')
    await writeFile(file?.path ?? '', `${cut}\n`)
    const found = await verify()
    expect(found).toMatchObject({ code: 1, stderr: 'error: the trail has 1 problem\n' })
    expect(found.stdout).toContain(`it ends at ${ids.length}`)
  })
})

describe('on a full disk', () => {
  /** A proxy whose file of today is one that is always full. */
  async function onFullDisk(onFailure: string, run: (proxy: LoneProxy) => Promise<void>) {
    const dataDir = makeFolder()
    await mkdir(join(dataDir, 'audit'))
    const file = join(dataDir, 'audit', `${dayOf(Date.now())}.proxy-00000000.jsonl`)
    await symlink('/dev/full', file)
    const proxy = await startLoneProxy([`dataDir=${dataDir}`, `audit.onFailure=${onFailure}`])
    const token = `Bearer ${await proxy.issuer.sign()}`
    expect((await proxy.call(token)).status).toBe(200)
    const metrics = async () =>
      (await fetch(`http://${proxy.config.proxy.opsListen}/metrics`)).text()
    await waitUntil('the alarm', async () =>
      (await metrics()).includes('gatehouse_audit_failing 1'),
    )
    await run(proxy)
    await rm(file)
    await proxy.close()
  }
  const readiness = async ({ config }: LoneProxy) => {
    const response = await fetch(`http://${config.proxy.opsListen}/readyz`)
    return { status: response.status, body: (await response.json()) as object }
  }

  test('with audit.onFailure refuse, calls get 503 before they reach the model', async () => {
    await onFullDisk('refuse', async (proxy) => {
      const token = `Bearer ${await proxy.issuer.sign()}`
      const refused = await proxy.call(token)
      expect(refused.status).toBe(503)
      expect(refused.headers.get('retry-after')).toBe('1')
      expect(await refused.json()).toMatchObject({ error: { code: 'temporarily_unavailable' } })
      expect(proxy.model.received).toHaveLength(1)
      expect(await readiness(proxy)).toMatchObject({
        status: 503,
        body: { checks: { audit: { status: 'unavailable' } } },
      })
    })
  })

  test('with continue they go on, and readiness says what is wrong', async () => {
    await onFullDisk('continue', async (proxy) => {
      const token = `Bearer ${await proxy.issuer.sign()}`
      expect((await proxy.call(token)).status).toBe(200)
      expect(proxy.model.received).toHaveLength(2)
      expect(await readiness(proxy)).toMatchObject({
        status: 200,
        body: { checks: { audit: { status: 'ok', detail: 'the audit trail cannot be written' } } },
      })
    })
  })
})
