import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { loadClientKey } from '../keys/client-key-file.ts'
import { inspectToken } from '../tokens/inspect.ts'
import { connectAdminApi } from './admin-api.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { CliError } from './cli-error.ts'
import { request } from './client-http.ts'

const POLL_MS = 100
const FEWEST_CALLS = 50
const ringSchema = z.object({ items: z.array(z.object({ kid: z.string(), state: z.string() })) })
const headerSchema = z.object({ kid: z.string() })

/**
 * Asks for the next key to sign, and calls through the proxy meanwhile. Gives how many calls that were; a CliError if
 * one was not answered.
 */
export async function rotateUnderCalls(config: Config, accessToken: string): Promise<number> {
  const key = await loadClientKey(adminKeyPathOf(config))
  if (key === undefined) throw new CliError('the first start made no admin key')
  const api = await connectAdminApi(`http://${config.admin.listen}`, key)
  const ring = async () => ringSchema.parse(await api.call({ path: 'keys' })).items
  const over = new AbortController()
  const rotate = async () => {
    const next = (await ring()).find(({ state }) => state === 'next')?.kid
    await api.call({ method: 'POST', path: 'keys/rotate', query: { when: 'ready' } })
    const isRotated = async () =>
      (await ring()).some(({ kid, state }) => kid === next && state === 'active')
    while (!(await isRotated())) await pause(POLL_MS)
  }
  const keepCalling = async () => {
    let calls = 0
    while (!over.signal.aborted || calls < FEWEST_CALLS) {
      await expectAccepted(config, accessToken)
      calls += 1
    }
    return calls
  }
  const rotating = rotate().finally(() => over.abort())
  const [calls] = await Promise.all([keepCalling(), rotating])
  return calls
}

/** A CliError unless the proxy lets the token through. */
export async function expectAccepted({ proxy }: Config, accessToken: string): Promise<void> {
  const headers = { authorization: `Bearer ${accessToken}` }
  const { status, body } = await request('proxy', `${proxy.url}/v1/models`, { headers })
  await body?.cancel()
  if (status !== 200) throw new CliError(`a call was answered with ${status}, not 200`)
}

/** By which key the token is signed. */
export const kidOf = (token: string): string => headerSchema.parse(inspectToken(token).header).kid
