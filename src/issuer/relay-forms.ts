import type { KoaContextWithOIDC } from 'oidc-provider'
import { sendPage } from './page-responses.ts'
import { textFor } from './pages/language.ts'
import { renderRelayPage } from './pages/relay-page.ts'

const SUBMITS_ITSELF = 'document.forms[0].submit()'
const FORM = /<form method="post" action="([^"]*)">([^]*)<\/form>/
const FIELD = /<input type="hidden" name="([^"]*)" value="([^"]*)"\/>/g
const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
}

/**
 * oidc-provider goes on by forms that a script submits: `response_mode=form_post`, and the change of accounts. Our pages
 * have no scripts, so the form is taken out of its page and put into one that has a button.
 */
export async function relayForms(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (typeof ctx.body !== 'string' || !ctx.body.includes(SUBMITS_ITSELF)) return
  const [, action, content] = FORM.exec(ctx.body) ?? []
  if (action === undefined || content === undefined) throw new Error('a form in an unknown shape')
  const fields = [...content.matchAll(FIELD)].map(
    ([, name = '', value = '']) => [toText(name), toText(value)] as const,
  )
  const text = textFor(ctx)
  const { route, entities } = ctx.oidc
  const isSignOut = toText(action) === ctx.oidc.urlFor('end_session_confirm')
  const switchesAccount = isSignOut && route !== 'end_session'
  const page = renderRelayPage(text, { action: toText(action), fields, switchesAccount })
  const redirects = [
    ctx.oidc.params?.['post_logout_redirect_uri'],
    entities.Interaction?.params['redirect_uri'],
  ].filter((redirect) => typeof redirect === 'string')
  sendPage(ctx, { text, page, leadsTo: [toText(action), ...redirects] })
}

const toText = (escaped: string): string =>
  escaped.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity)
