import type { Context, Next } from 'koa'
import { readFormFields } from './form-body.ts'

const POSTED = new Set(['/auth', '/session/end'])

/**
 * Clients may also post what they send a browser here with (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2). A form
 * from another site comes without the session's cookie, which is `SameSite=Lax`, so the browser is told to come again by
 * GET.
 */
export async function redirectPostedRequests(ctx: Context, next: Next): Promise<void> {
  if (ctx.method !== 'POST' || !POSTED.has(ctx.path)) return next()
  const fields = await readFormFields(ctx.req)
  ctx.status = 303
  ctx.set('location', `${ctx.path}?${fields.toString()}`)
  ctx.body = ''
}
