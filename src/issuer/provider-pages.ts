import type Provider from 'oidc-provider'
import type { KoaContextWithOIDC } from 'oidc-provider'
import type { GuessLimits } from '../registry/guess-limits.ts'
import { limitCodeGuesses, prefillUserCode, refuseLostForms } from './device-hooks.ts'
import { sendErrorPage } from './page-responses.ts'
import { isPagePath } from './page-routes.ts'
import { relayForms } from './relay-forms.ts'

/** Lets pages of ours stand wherever oidc-provider would answer a browser with one of its own. */
export function answerWithPages(provider: Provider, codeGuesses: GuessLimits): void {
  provider.use(answerUncaught)
  provider.use(refuseLostForms(provider.cookieName('session')))
  provider.use(limitCodeGuesses(codeGuesses))
  provider.use(prefillUserCode)
  provider.use(relayForms)
}

/** What its own error handling does not see, such as a store that fails while a session is saved. */
async function answerUncaught(ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  if (!isPagePath(ctx.path)) return next()
  try {
    await next()
  } catch (error) {
    sendErrorPage(ctx, error)
    ctx.oidc.provider.emit('server_error', ctx, error)
  }
}
