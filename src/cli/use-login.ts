import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from './cli-error.ts'
import {
  readMetadata,
  refusalOf,
  request,
  sendTokenRequest,
  type TokenResponse,
} from './client-http.ts'
import type { Login, Logins } from './login-file.ts'

/** A refresh whose answer was lost is repeated well within the ten seconds in which the issuer gives the same one again. */
const REFRESH_ATTEMPTS = 3
const REFRESH_PAUSE_MS = 500

/**
 * An access token of whoever is signed in there, or undefined when nobody is. The refresh token that comes with it is kept
 * before this returns. A CliError when the login has ended, which is then forgotten.
 */
export async function refreshLogin(
  logins: Logins,
  issuer: string,
): Promise<TokenResponse | undefined> {
  const { tokens, hasEnded = false } = await logins.change(issuer, async (login) =>
    login === undefined ? nobody : renew(login),
  )
  if (!hasEnded) return tokens
  throw new CliError(`your login at ${issuer} has ended`, { hint: 'login again' })
}

type Renewal = { next: Login | undefined; result: { tokens?: TokenResponse; hasEnded?: true } }

const nobody: Renewal = { next: undefined, result: {} }

async function renew(login: Login): Promise<Renewal> {
  const { token_endpoint: endpoint } = await readMetadata(login.issuer)
  const answer = await refresh(endpoint, login)
  if ('access_token' in answer) {
    const { refresh_token = login.refresh_token } = answer
    return { next: { ...login, refresh_token }, result: { tokens: answer } }
  }
  if (answer.error !== 'invalid_grant') throw refusalOf(answer)
  return { next: undefined, result: { hasEnded: true } }
}

async function refresh(endpoint: string, login: Login) {
  const parameters = {
    grant_type: 'refresh_token',
    refresh_token: login.refresh_token,
    client_id: login.client_id,
  }
  for (let attempt = 1; attempt < REFRESH_ATTEMPTS; attempt += 1) {
    try {
      return await sendTokenRequest(endpoint, { parameters })
    } catch (error) {
      if (!(error instanceof CliError && error.isPassing)) throw error
      await pause(REFRESH_PAUSE_MS)
    }
  }
  return sendTokenRequest(endpoint, { parameters })
}

/** Revokes the login there (RFC 7009), then forgets it. Whether there was one. */
export function endLogin(logins: Logins, issuer: string): Promise<boolean> {
  return logins.change(issuer, async (login) => {
    if (login === undefined) return { next: undefined, result: false }
    await revoke(login)
    return { next: undefined, result: true }
  })
}

/** Also what a new login replaces, so that no refresh token lives on that nobody has any more. */
export async function revoke({ issuer, client_id, refresh_token }: Login): Promise<void> {
  const { revocation_endpoint: endpoint } = await readMetadata(issuer)
  if (endpoint === undefined) throw new CliError(`${issuer} revokes no tokens`)
  const parameters = { token: refresh_token, token_type_hint: 'refresh_token', client_id }
  const response = await request('issuer', endpoint, {
    method: 'POST',
    body: new URLSearchParams(parameters),
  })
  if (!response.ok) throw new CliError(`the issuer did not revoke the login (${response.status})`)
}
