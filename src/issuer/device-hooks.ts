import type { Client, Configuration, errors, KoaContextWithOIDC } from 'oidc-provider'
import { AppError } from '../kernel/errors.ts'
import type { GuessLimits } from '../registry/guess-limits.ts'
import { expired, sendErrorPage, sendPage } from './page-responses.ts'
import {
  renderCodeConfirmationPage,
  renderCodeEntryPage,
  renderDeviceDonePage,
  renderDeviceRefusedPage,
} from './pages/device-pages.ts'
import { textFor } from './pages/language.ts'
import type { Problem } from './pages/page-text.ts'
import { renderError } from './render-error.ts'

const PATH = '/device'
/** The names of oidc-provider's errors, which it does not export, about a code that was typed. */
const PROBLEMS: Readonly<Record<string, Problem>> = {
  NoCodeError: 'code_missing',
  NotFoundError: 'code_unknown',
  ExpiredError: 'code_expired',
  AlreadyUsedError: 'code_used',
}

type DeviceFlow = NonNullable<NonNullable<Configuration['features']>['deviceFlow']>

/** The pages on which a person connects a device (RFC 8628 §3.3). */
export const devicePages: Pick<
  DeviceFlow,
  'deviceInfo' | 'userCodeInputSource' | 'userCodeConfirmSource' | 'successSource'
> = {
  deviceInfo: (ctx) => ({ address: ctx.ip }),
  userCodeInputSource: (ctx, _form, out, error) => answerCodeEntry(ctx, out, error),
  userCodeConfirmSource(ctx, ...[, client, deviceInfo, userCode]) {
    const text = textFor(ctx)
    const { address } = deviceInfo
    const page = renderCodeConfirmationPage(text, {
      action: PATH,
      xsrf: secretOf(ctx),
      userCode,
      client: nameOf(client),
      clientId: client.clientId,
      address: typeof address === 'string' ? address : undefined,
    })
    sendPage(ctx, { text, page })
  },
  successSource(ctx) {
    const text = textFor(ctx)
    sendPage(ctx, { text, page: renderDeviceDonePage(text, { client: nameOf(ctx.oidc.client) }) })
  },
}

async function answerCodeEntry(
  ctx: KoaContextWithOIDC,
  out: Parameters<typeof renderError>[1] | undefined,
  error: errors.OIDCProviderError | Error | undefined,
): Promise<void> {
  const text = textFor(ctx)
  if (error?.name === 'AbortedError') {
    sendPage(ctx, { text, page: renderDeviceRefusedPage(text, { action: PATH }) })
    return
  }
  const problem = PROBLEMS[error?.name ?? '']
  if (out !== undefined && error !== undefined && problem === undefined) {
    await renderError(ctx, out, error)
    return
  }
  if (problem !== undefined) ctx.status = 400
  if (problem === 'code_unknown') ctx.state['isWrongCode'] = true
  const typed: unknown = ctx.oidc.params?.['user_code'] ?? ctx.state['userCode']
  const page = renderCodeEntryPage(text, {
    action: PATH,
    xsrf: secretOf(ctx),
    userCode: typeof typed === 'string' ? typed.slice(0, 32) : '',
    problem,
  })
  sendPage(ctx, { text, page })
}

/** A link that carries the code (RFC 8628 §3.3.1) fills it in; sending it is left to the person, who then compares. */
export async function prefillUserCode(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  const { user_code: userCode } = ctx.query
  if (ctx.path === PATH && userCode !== undefined) {
    ctx.state['userCode'] = userCode
    ctx.querystring = ''
  }
  await next()
}

/** A code without the session that its form was shown in, on which oidc-provider fails instead of refusing it. */
export function refuseLostForms(sessionCookie: string) {
  return async function refuseLostForm(ctx: KoaContextWithOIDC, next: () => Promise<void>) {
    const isForm = ctx.path === PATH && ctx.method === 'POST'
    if (isForm && ctx.cookies.get(sessionCookie) === undefined) sendErrorPage(ctx, expired())
    else await next()
  }
}

/** RFC 8628 §5.1: user codes are short, so only so many may be wrong from one address. */
export function limitCodeGuesses(limits: GuessLimits) {
  return async function limitGuesses(ctx: KoaContextWithOIDC, next: () => Promise<void>) {
    if (ctx.path !== PATH || ctx.method !== 'POST') return next()
    const end = beginGuess(ctx, limits)
    if (end === undefined) return
    try {
      await next()
    } finally {
      end(ctx.state['isWrongCode'] === true ? 'wrong' : 'unknown')
    }
  }
}

function beginGuess(ctx: KoaContextWithOIDC, limits: GuessLimits) {
  try {
    return limits.begin('user codes', ctx.ip)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    sendErrorPage(ctx, error)
    return undefined
  }
}

const secretOf = ({ oidc }: KoaContextWithOIDC): string => String(oidc.session?.state?.['secret'])

const nameOf = (client: Client | undefined): string => client?.clientName ?? client?.clientId ?? ''
