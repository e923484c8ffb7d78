import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import {
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  type Certified,
} from '../support/certificates.ts'
import { startCommand } from '../support/command.ts'
import { waitUntil } from '../support/wait-until.ts'

const certify = (name: string) =>
  makeCertificate({ subject: `/CN=${name}`, extensions: FOR_LOCALHOST })

/** Whose certificate is shown to who connects now. */
async function shownAt(port: number) {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const name = socket.getPeerCertificate().subject.CN
  socket.destroy()
  return name
}

/** Writes a secret as the kubelet does: into a folder of its own, to which the link `..data` is then turned at once. */
async function release(dir: string, name: string, { cert, key }: Certified): Promise<void> {
  await mkdir(join(dir, name))
  await writeFile(join(dir, name, 'tls.crt'), cert)
  await writeFile(join(dir, name, 'tls.key'), key)
  await writeFile(join(dir, name, 'ca.crt'), cert)
  await symlink(name, join(dir, '..data_tmp'))
  await rename(join(dir, '..data_tmp'), join(dir, '..data'))
}

test.skipIf(!hasOpenssl)(
  'a proxy in the sandbox takes over what the kubelet has put behind its link',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-kubelet-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    const secret = join(dir, 'secret')
    await mkdir(secret)
    const [port = 0, opsPort = 0] = await freePorts(2)
    const [first, second] = await Promise.all([certify('first'), certify('second')])
    await release(secret, '..first', first)
    for (const file of ['tls.crt', 'tls.key', 'ca.crt']) {
      await symlink(join('..data', file), join(secret, file))
    }
    const set = [
      `dataDir=${join(dir, 'data')}`,
      'revocations.feed=off',
      `proxy.url=https://localhost:${port}`,
      `proxy.listen=127.0.0.1:${port}`,
      `proxy.opsListen=127.0.0.1:${opsPort}`,
      `proxy.tls.cert=${join(secret, 'tls.crt')}`,
      `proxy.tls.key=${join(secret, 'tls.key')}`,
      `trustedCa=${join(secret, 'ca.crt')}`,
    ]
    const { child, output, finished } = startCommand([
      ...set.flatMap((each) => ['--set', each]),
      'proxy',
    ])
    onTestFinished(() => void child.kill('SIGKILL'))
    const says = (text: string) =>
      waitUntil(text, async () => `${output.stdout}${output.stderr}`.includes(text), 60_000)
    await says('listens on')
    const commandLine = await readFile(`/proc/${child.pid}/cmdline`, 'utf8')
    expect(commandLine.split('\0')).toContain('--permission')
    expect(await shownAt(port)).toBe('first')

    await release(secret, '..second', second)
    await rm(join(secret, '..first'), { recursive: true })
    await says('certificate.renewed')
    await says('trusted_ca.renewed')
    expect(await shownAt(port)).toBe('second')
    child.kill('SIGTERM')
    expect((await finished).code).toBe(0)
  },
)
