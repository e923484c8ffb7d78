import { html } from './html.ts'
import { fieldState, renderLayout } from './layout.ts'
import type { PageText, Problem } from './page-text.ts'

export type SignInView = {
  client: string
  action: string
  formToken: string
  username: string
  problem?: Problem | undefined
}

/** Asks for username and password. A failed attempt says the same whether there is such a user or not. */
export function renderSignInPage(text: PageText, view: SignInView): string {
  const { client, action, formToken, username, problem } = view
  const { signIn } = text
  // The first field to fill in has the focus, unless the problem has it.
  const focus = (isFirst: boolean) =>
    problem === undefined && isFirst ? html` autofocus` : undefined
  return renderLayout(text, {
    title: signIn.title,
    problem,
    content: html`<p class="lead">${signIn.lead(client)}</p>
      <form method="post" action="${action}" novalidate>
        <input type="hidden" name="form_token" value="${formToken}" />
        <div class="field">
          <label for="username">${signIn.username}</label>
          <input
            id="username"
            name="username"
            value="${username}"
            autocomplete="username"
            autocapitalize="none"
            autocorrect="off"
            spellcheck="false"
            maxlength="256"
            required${focus(username === '')}${fieldState(problem)}
          />
        </div>
        <div class="field">
          <label for="password">${signIn.password}</label>
          <input
            id="password"
            name="password"
            type="password"
            autocomplete="current-password"
            maxlength="1024"
            required${focus(username !== '')}${fieldState(problem)}
          />
        </div>
        <div class="actions">
          <button name="decision" value="sign_in">${signIn.submit}</button>
          <button class="quiet" name="decision" value="cancel" formnovalidate>
            ${signIn.cancel}
          </button>
        </div>
      </form>`,
  })
}
