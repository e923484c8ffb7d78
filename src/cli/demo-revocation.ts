import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { loadClientKey } from '../keys/client-key-file.ts'
import { inspectToken } from '../tokens/inspect.ts'
import { connectAdminApi } from './admin-api.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { CliError } from './cli-error.ts'
import { request } from './client-http.ts'

const PATIENCE_MS = 5000
const claimsSchema = z.object({ jti: z.string(), exp: z.number() })

/** Revokes a token that works as `gatehouse revoke` does. Gives the milliseconds until the proxy refused it. */
export async function revokeAsOperator(config: Config, accessToken: string): Promise<number> {
  if (await isRefused(config, accessToken)) {
    throw new CliError('the token was refused before it was revoked')
  }
  const key = await loadClientKey(adminKeyPathOf(config))
  if (key === undefined) throw new CliError('the first start made no admin key')
  const api = await connectAdminApi(`http://${config.admin.listen}`, key)
  const { jti, exp } = claimsSchema.parse(inspectToken(accessToken).payload)
  await api.create('revocations', { kind: 'jti', value: jti, exp })
  const revokedAtMs = performance.now()
  while (!(await isRefused(config, accessToken))) {
    if (performance.now() - revokedAtMs > PATIENCE_MS) {
      throw new CliError('the revoked token is still accepted')
    }
    await pause(5)
  }
  return performance.now() - revokedAtMs
}

async function isRefused({ proxy }: Config, accessToken: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${accessToken}` }
  const { status, body } = await request('proxy', `${proxy.url}/v1/models`, { headers })
  await body?.cancel()
  return status === 401
}
