import { html } from './html.ts'
import { renderLayout } from './layout.ts'
import type { PageText } from './page-text.ts'

export type RelayView = {
  action: string
  fields: readonly (readonly [name: string, value: string])[]
  /** Whether going on signs another account out. */
  switchesAccount: boolean
}

/** A form that other servers send off by script; here the reader does it. */
export function renderRelayPage(text: PageText, view: RelayView): string {
  const { relay } = text
  const { action, fields, switchesAccount } = view
  return renderLayout(text, {
    title: switchesAccount ? relay.switchTitle : relay.title,
    content: html`<p class="lead">${switchesAccount ? relay.switchLead : relay.lead}</p>
      <form method="post" action="${action}">
        ${fields.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
        <div class="actions"><button autofocus>${relay.submit}</button></div>
      </form>`,
  })
}
