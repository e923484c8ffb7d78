import { html } from './html.ts'
import { renderLayout } from './layout.ts'
import type { PageText } from './page-text.ts'

export type SignOutView = { action: string; xsrf: string; client?: string | undefined }

/** Asks before signing out, as any page can send a browser here (OpenID Connect RP-Initiated Logout 1.0 §2). */
export function renderSignOutPage(text: PageText, { action, xsrf, client }: SignOutView): string {
  const { signOut } = text
  return renderLayout(text, {
    title: signOut.title,
    content: html`<p class="lead">${signOut.question(client)}</p>
      <form method="post" action="${action}">
        <input type="hidden" name="xsrf" value="${xsrf}" />
        <div class="actions">
          <button name="logout" value="yes">${signOut.confirm}</button>
          <button class="quiet">${signOut.stay}</button>
        </div>
      </form>`,
  })
}

export function renderSignedOutPage(text: PageText): string {
  const { signOut } = text
  return renderLayout(text, {
    title: signOut.doneTitle,
    content: html`<p class="lead">${signOut.done}</p>`,
  })
}

export function renderStillSignedInPage(text: PageText): string {
  const { signOut } = text
  return renderLayout(text, {
    title: signOut.stayedTitle,
    content: html`<p class="lead">${signOut.stayed}</p>`,
  })
}
