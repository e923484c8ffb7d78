import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Registry } from '../registry/registry.ts'
import type { Step, StepAnswer } from './interactions.ts'
import type { Problem } from './pages/page-text.ts'
import { renderSignInPage } from './pages/sign-in-page.ts'

const STATUS: Readonly<Partial<Record<Problem, number>>> = { too_many_attempts: 429 }

/**
 * Asks for username and password until they match. Who does not exist, is disabled or belongs to another tenant than the
 * client gets the same answer after the same work as a wrong password.
 */
export async function answerSignIn(
  step: Step,
  { registry: { users }, log }: { registry: Pick<Registry, 'users'>; log: Log },
): Promise<StepAnswer> {
  const { form, tenantId, address, client, requestId } = step
  if (form === undefined) return askAgain(step, undefined)
  const { username, password } = form
  if (username === '' || password === '') return askAgain(step, 'field_missing')
  const fields = {
    request_id: requestId,
    client_id: client.clientId,
    tenant_id: tenantId,
    remote_addr: address,
  }
  const refuse = (reason: string) =>
    log.info({ ...fields, event: 'sign_in.refused', decision: 'deny', reason }, 'sign-in refused')
  try {
    const user = await users.verifyPassword({ tenantId, username, password, address })
    if (user === undefined) {
      refuse('wrong_password')
      return askAgain(step, 'wrong_password')
    }
    log.info({ ...fields, event: 'sign_in.granted', decision: 'allow', sub: user.sub }, 'signed in')
    return { result: { login: { accountId: user.sub, amr: ['pwd'] } }, keepsSignIn: false }
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'rate_limited') throw error
    refuse(error.reason)
    return { ...askAgain(step, 'too_many_attempts'), headers: error.headers }
  }
}

function askAgain(
  { client, action, formToken, form, text, interaction }: Step,
  problem: Problem | undefined,
) {
  const { login_hint: hint, redirect_uri: redirectUri } = interaction.params
  const page = renderSignInPage(text, {
    client: client.clientName ?? client.clientId,
    action,
    formToken,
    username: form?.username ?? (typeof hint === 'string' ? hint.slice(0, 256) : ''),
    problem,
  })
  const status = problem === undefined ? 200 : (STATUS[problem] ?? 400)
  return { text, page, status, leadsTo: typeof redirectUri === 'string' ? [redirectUri] : [] }
}
