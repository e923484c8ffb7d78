import { decodeJwt } from 'jose'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectAdminApi } from '../../src/cli/admin-api.ts'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { startIssuer } from '../../src/cli/start-issuer.ts'
import { makeBackup } from '../../src/cli/make-backup.ts'
import { restoreBackup } from '../../src/cli/restore-backup.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { loadClientKey } from '../../src/keys/client-key-file.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { testConfig } from '../support/gatehouse.ts'
import { PASSWORD } from '../support/people.ts'
import { startPerson } from '../support/person.ts'
import { createPkce } from '../support/relying-party.ts'

const CALLBACK = 'https://client.example/callback'
const PASSPHRASE = 'correct horse battery staple'
const around = { log: createLog('silent'), clock: systemClock }
const client = { client_id: 'viewer' }
const person = startPerson({ username: 'mei' })

let dir: string
let config: Config
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-restored-'))
  config = await testConfig(dir)
})
afterAll(() => rm(dir, { recursive: true }))

async function authorize(more: Record<string, string> = {}) {
  const { verifier, challenge } = createPkce()
  const query = new URLSearchParams({
    ...client,
    response_type: 'code',
    redirect_uri: CALLBACK,
    scope: 'openid ocr_api_access',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...more,
  })
  const { searchParams } = await person.visit(`${config.issuer.url}/auth?${String(query)}`)
  return { code: searchParams.get('code') ?? '', verifier, error: searchParams.get('error') }
}

async function requestToken(fields: Record<string, string>) {
  const body = new URLSearchParams({ ...client, ...fields })
  const response = await fetch(`${config.issuer.url}/token`, { method: 'POST', body })
  return (await response.json()) as Record<string, string>
}

async function signIn() {
  const { code, verifier } = await authorize()
  const redirect = { redirect_uri: CALLBACK, code_verifier: verifier }
  return requestToken({ grant_type: 'authorization_code', code, ...redirect })
}
const refresh = ({ refresh_token: token = '' }: Record<string, string>) =>
  requestToken({ grant_type: 'refresh_token', refresh_token: token })

async function statusOfMe({ access_token: token }: Record<string, string>) {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(`${config.issuer.url}/me`, { headers })).status
}

test('a restart keeps sign-ins; after a restore access tokens go on, and people sign in again', async () => {
  const path = join(dir, 'gatehouse.backup')
  const first = await startIssuer(config, around)
  await first.registry.users.create(newUserSchema.parse({ username: 'mei', password: PASSWORD }))
  await first.registry.clients.create(
    newClientSchema.parse({
      ...client,
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [CALLBACK],
    }),
  )
  const signedIn = await signIn()
  await first.close(0)

  const again = await startIssuer(config, around)
  const refreshed = await refresh(signedIn)
  expect(refreshed).toHaveProperty('refresh_token')
  expect((await authorize({ prompt: 'none' })).error).toBeNull()
  const key = await loadClientKey(adminKeyPathOf(config))
  if (key === undefined) throw new Error('there is no admin key')
  const api = await connectAdminApi(`http://${config.admin.listen}`, key)
  await makeBackup({ api, config, clock: systemClock, path, passphrase: PASSPHRASE })
  await again.close(0)

  const restored: Config = {
    ...config,
    dataDir: join(dir, 'restored'),
    keys: { ...config.keys, dir: join(dir, 'restored-keys') },
  }
  await restoreBackup({ config: restored, clock: systemClock, path, passphrase: PASSPHRASE })
  const third = await startIssuer(restored, around)
  try {
    expect(await statusOfMe(refreshed)).toBe(200)
    expect(await refresh(refreshed)).toMatchObject({ error: 'invalid_grant' })
    expect((await authorize({ prompt: 'none' })).error).toBe('login_required')
    const { sub } = decodeJwt((await signIn())['access_token'] ?? '')
    expect(sub).toBe(decodeJwt(signedIn['access_token'] ?? '').sub)
  } finally {
    await third.close(0)
  }
})
