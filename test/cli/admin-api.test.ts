import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { connectAdminApi } from '../../src/cli/admin-api.ts'
import { loadOrCreateClientKey } from '../../src/keys/client-key-file.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const folder = useTempFolders()
let server: Server | undefined
afterEach(() => void server?.close())

/** An admin API whose issuer answers every token request in that way. */
async function startRefusing(status: number, error: string): Promise<string> {
  const started = createServer((req, res) => {
    const said = {
      '/.well-known/oauth-protected-resource': {
        resource: `${url}/admin`,
        authorization_servers: [url],
      },
      '/.well-known/oauth-authorization-server': { token_endpoint: `${url}/token` },
    }[req.url ?? ''] ?? { error }
    res.statusCode = req.url === '/token' ? status : 200
    res.setHeader('content-type', 'application/json').end(JSON.stringify(said))
  })
  server = started
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve))
  const address = started.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}`
  return url
}

test.each([
  [401, 'invalid_client', /own key/],
  [503, 'temporarily_unavailable', /readyz/],
])('an issuer that answers %i %s is told from a wrong key', async (status, error, hint) => {
  const url = await startRefusing(status, error)
  const refused: unknown = await connectAdminApi(
    url,
    await loadOrCreateClientKey(join(folder(), 'admin.jwk')),
  ).catch((reason: unknown) => reason)
  expect(refused).toMatchObject({
    message: `the issuer refuses: ${error}`,
    hint: expect.stringMatching(hint) as string,
  })
})
