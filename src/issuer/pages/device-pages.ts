import { html } from './html.ts'
import { fieldState, renderFacts, renderLayout } from './layout.ts'
import type { PageText, Problem } from './page-text.ts'

export type CodeEntryView = {
  action: string
  xsrf: string
  /** As it came in the link or was typed before. */
  userCode: string
  problem?: Problem | undefined
}

/** Asks for the code that the device shows (RFC 8628 §3.3). One from a link is filled in, and still to be sent. */
export function renderCodeEntryPage(text: PageText, view: CodeEntryView): string {
  const { device } = text
  const { action, xsrf, userCode, problem } = view
  return renderLayout(text, {
    title: device.enterTitle,
    problem,
    content: html`<p class="lead">${device.enterLead}</p>
      <form method="post" action="${action}" novalidate>
        <input type="hidden" name="xsrf" value="${xsrf}" />
        <div class="field">
          <label for="user_code">${device.code}</label>
          <p class="hint" id="code-hint">${device.codeHint}</p>
          <input
            class="code-field"
            id="user_code"
            name="user_code"
            value="${userCode}"
            autocomplete="off"
            autocapitalize="characters"
            autocorrect="off"
            spellcheck="false"
            maxlength="32"
            required${problem === undefined ? html` autofocus aria-describedby="code-hint"` : fieldState(problem)}
          />
        </div>
        <div class="actions"><button>${device.submit}</button></div>
      </form>`,
  })
}

export type CodeConfirmationView = {
  action: string
  xsrf: string
  userCode: string
  client: string
  clientId: string
  /** The address that the device asked from, when it is known. */
  address?: string | undefined
}

/** Has the code compared and warns of whoever sent it along (RFC 8628 §5.4). */
export function renderCodeConfirmationPage(text: PageText, view: CodeConfirmationView): string {
  const { device } = text
  return renderLayout(text, {
    title: device.confirmTitle,
    content: html`<p class="lead">${device.confirmLead(view.client)}</p>
      <p class="user-code" translate="no">${view.userCode}</p>
      ${renderFacts([
        [device.client, view.clientId],
        [device.askedFrom, view.address],
      ])}
      <div class="warning">
        <h2>${device.warningHeading}</h2>
        <p>${device.warning}</p>
      </div>
      <form method="post" action="${view.action}">
        <input type="hidden" name="xsrf" value="${view.xsrf}" />
        <input type="hidden" name="user_code" value="${view.userCode}" />
        <div class="actions">
          <button name="confirm" value="yes">${device.confirm}</button>
          <button class="quiet" name="abort" value="yes">${device.refuse}</button>
        </div>
      </form>`,
  })
}

export function renderDeviceDonePage(text: PageText, { client }: { client: string }): string {
  const { device } = text
  return renderLayout(text, {
    title: device.doneTitle,
    content: html`<p class="lead">${device.done(client)}</p>`,
  })
}

export function renderDeviceRefusedPage(text: PageText, { action }: { action: string }): string {
  const { device } = text
  return renderLayout(text, {
    title: device.refusedTitle,
    content: html`<p class="lead">${device.refused}</p>
      <div class="actions"><a class="button quiet" href="${action}">${device.another}</a></div>`,
  })
}
