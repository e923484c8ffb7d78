import { html, type Markup } from './html.ts'
import { renderFacts, renderLayout } from './layout.ts'
import type { PageText } from './page-text.ts'

export type ConsentView = {
  client: string
  clientId: string
  tenant: string
  username: string
  /** Where the answer goes: host, or scheme of a native app; nothing with the device flow. */
  returnsTo?: string | undefined
  /** `resource` only where it is not the default one. */
  permissions: readonly { scope: string; resource?: string | undefined }[]
  action: string
  formToken: string
}

/** Asks whether the client may have these permissions, in plain words. */
export function renderConsentPage(text: PageText, view: ConsentView): string {
  const { consent } = text
  return renderLayout(text, {
    title: consent.title,
    content: html`<p class="lead">${consent.lead(view.client)}</p>
      <h2>${consent.mayHeading}</h2>
      <ul>
        ${view.permissions.map((permission) => html`<li>${describe(text, permission)}</li>`)}
      </ul>
      ${renderFacts([
        [consent.signedInAs, view.username],
        [consent.tenant, view.tenant],
        [consent.client, view.clientId],
        [consent.returnsTo, view.returnsTo],
      ])}
      <form method="post" action="${view.action}">
        <input type="hidden" name="form_token" value="${view.formToken}" />
        <div class="actions">
          <button name="decision" value="allow">${consent.allow}</button>
          <button class="quiet" name="decision" value="deny">${consent.deny}</button>
        </div>
      </form>
      <p class="note">${consent.note}</p>`,
  })
}

function describe(
  { consent }: PageText,
  { scope, resource }: ConsentView['permissions'][number],
): Markup {
  const words = Object.hasOwn(consent.scopes, scope) ? consent.scopes[scope] : undefined
  const what = words === undefined ? consent.otherScope(scope) : html`${words}`
  return resource === undefined ? what : html`${what} ${consent.atResource(resource)}`
}
