import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { FOR_LOCALHOST, hasOpenssl, makeCertificate } from '../support/certificates.ts'
import { startCommand } from '../support/command.ts'
import { waitUntil } from '../support/wait-until.ts'

const certify = (name: string) =>
  makeCertificate({ subject: `/CN=${name}`, extensions: FOR_LOCALHOST })

/** Whose certificate is shown to who connects now, and how a path without a token is answered. */
async function ask(port: number, path: string) {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const name = socket.getPeerCertificate().subject.CN
  socket.end(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
  const chunks: string[] = []
  for await (const chunk of socket) chunks.push(String(chunk))
  return { name, status: Number(chunks.join('').slice(9, 12)) }
}

test.skipIf(!hasOpenssl)(
  'a SIGHUP reloads certificate, routes and log level, says what has to wait, and changes nothing when the settings are wrong',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-reload-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    const [port = 0, opsPort = 0] = await freePorts(2)
    const [first, second] = await Promise.all([certify('first'), certify('second')])
    const [file, cert, key] = ['gatehouse.yaml', 'cert.pem', 'key.pem'].map((n) => join(dir, n))
    if (file === undefined || cert === undefined || key === undefined) throw new Error('no names')
    const settings = (route: string, more = {}) =>
      JSON.stringify({
        dataDir: join(dir, 'data'),
        revocations: { feed: 'off' },
        proxy: {
          url: `https://localhost:${port}`,
          listen: `127.0.0.1:${port}`,
          opsListen: `127.0.0.1:${opsPort}`,
          tls: { cert, key },
          routes: [{ method: 'GET', path: route, scopes: ['ocr_api_access'] }],
          ...more,
        },
      })
    await Promise.all([
      writeFile(cert, first.cert),
      writeFile(key, first.key),
      writeFile(file, settings('/before')),
    ])
    const { child, output, finished } = startCommand(['--config', file, 'proxy'])
    onTestFinished(() => void child.kill('SIGKILL'))
    const says = (text: string) =>
      waitUntil(text, async () => `${output.stdout}${output.stderr}`.includes(text))
    await says('listens on')
    expect(await ask(port, '/before')).toEqual({ name: 'first', status: 401 })

    await Promise.all([
      writeFile(cert, second.cert),
      writeFile(key, second.key),
      writeFile(file, settings('/after', { drainSeconds: 1, maxBodyBytes: 5 })),
    ])
    child.kill('SIGHUP')
    await says('config.reloaded')
    expect(output.stderr).toContain(
      'certificates, proxy.routes, proxy.maxBodyBytes reloaded; only a restart changes proxy.drainSeconds',
    )
    expect(await ask(port, '/after')).toEqual({ name: 'second', status: 401 })
    expect((await ask(port, '/before')).status).toBe(404)

    await writeFile(key, first.key)
    await writeFile(file, settings('/before'))
    child.kill('SIGHUP')
    await says('nothing was reloaded: proxy.tls: cert and key are not a PEM pair')
    await writeFile(file, settings('/before', { routes: 'none' }))
    child.kill('SIGHUP')
    await says('nothing was reloaded: proxy.routes')
    expect(await ask(port, '/after')).toEqual({ name: 'second', status: 401 })

    // Nobody needs to say that a certificate was renewed.
    await Promise.all([writeFile(cert, first.cert), writeFile(key, first.key)])
    await waitUntil('first', async () => (await ask(port, '/after')).name === 'first')

    await writeFile(file, settings('/after').replace('{', '{"log":{"level":"silent"},'))
    child.kill('SIGHUP')
    await says('log.level, proxy.maxBodyBytes reloaded')
    expect((await ask(port, '/after')).status).toBe(401)
    child.kill('SIGTERM')
    expect((await finished).code).toBe(0)
    expect(output.stderr.trimEnd().split('\n').at(-1)).toContain(
      'log.level, proxy.maxBodyBytes reloaded',
    )
  },
)
