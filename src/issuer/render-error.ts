import type { Configuration, errors } from 'oidc-provider'
import { sendFailurePage } from './page-responses.ts'
import { isPagePath } from './page-routes.ts'
import type { Failure } from './pages/page-text.ts'

/** How oidc-provider says that a form belongs to no session, or to another one. */
const LOST_FORM = /^(could not find .* details|xsrf token invalid)$/

/** For errors that must not go back to the client: a page for browsers, RFC 6749 JSON for everybody else. */
export const renderError: NonNullable<Configuration['renderError']> = (ctx, out, error) => {
  if (!isPagePath(ctx.path) || ctx.accepts('json', 'html') !== 'html') {
    ctx.body = out
    return
  }
  const failure = failureOf(out.error, ctx.status, error)
  const isForDevelopers = failure === 'bad_request'
  sendFailurePage(ctx, {
    failure,
    ...(isForDevelopers ? { code: out.error, description: out.error_description } : {}),
  })
}

function failureOf(code: string, status: number, error: errors.OIDCProviderError | Error): Failure {
  const description = 'error_description' in error ? (error.error_description ?? '') : ''
  if (error.name === 'SessionNotFound' || LOST_FORM.test(description)) return 'expired'
  switch (code) {
    case 'access_denied':
      return 'cancelled'
    case 'server_error':
      return 'unexpected'
    case 'temporarily_unavailable':
      return status === 429 ? 'too_many_attempts' : 'unavailable'
    default:
      return 'bad_request'
  }
}
