import type { Context, Middleware, Next } from 'koa'
import type { Log } from '../kernel/log.ts'
import { browserHeaders, sendErrorPage, toPageError } from './page-responses.ts'
import { isPagePath } from './page-routes.ts'

/** Where people's browsers go, every answer is made safe for them and every failure is a page. */
export function answerBrowsers({ protocol }: URL, log: Log): Middleware {
  const headers = browserHeaders(protocol === 'https:')
  return async function answerBrowser(ctx: Context, next: Next) {
    if (!isPagePath(ctx.path)) return next()
    ctx.set(headers)
    try {
      await next()
    } catch (thrown) {
      const error = toPageError(thrown)
      if (ctx.accepts('json', 'html') !== 'html') throw error
      const requestId = String(ctx.state['requestId'])
      if (error.status >= 500) log.error({ request_id: requestId, err: error }, 'a page failed')
      sendErrorPage(ctx, error)
    }
  }
}
