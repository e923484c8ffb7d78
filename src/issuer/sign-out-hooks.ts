import type { Configuration } from 'oidc-provider'
import { sendPage } from './page-responses.ts'
import { textFor } from './pages/language.ts'
import {
  renderSignedOutPage,
  renderSignOutPage,
  renderStillSignedInPage,
} from './pages/sign-out-pages.ts'

type Logout = NonNullable<NonNullable<Configuration['features']>['rpInitiatedLogout']>

/** The pages of OpenID Connect RP-Initiated Logout 1.0. */
export const signOutPages: Pick<Logout, 'logoutSource' | 'postLogoutSuccessSource'> = {
  logoutSource(ctx) {
    const { client, params, session } = ctx.oidc
    const text = textFor(ctx)
    const page = renderSignOutPage(text, {
      action: '/session/end/confirm',
      xsrf: String(session?.state?.['secret']),
      client: client && (client.clientName ?? client.clientId),
    })
    const returnsTo = params?.['post_logout_redirect_uri']
    sendPage(ctx, { text, page, leadsTo: typeof returnsTo === 'string' ? [returnsTo] : [] })
  },
  async postLogoutSuccessSource(ctx) {
    const text = textFor(ctx)
    const { accountId } = await ctx.oidc.provider.Session.get(ctx)
    const render = accountId === undefined ? renderSignedOutPage : renderStillSignedInPage
    sendPage(ctx, { text, page: render(text) })
  },
}
