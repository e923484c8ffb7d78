import { html } from './html.ts'
import { renderFacts, renderLayout } from './layout.ts'
import type { Failure, PageText } from './page-text.ts'

export type ErrorView = {
  failure: Failure
  /** RFC 6749's words for it, which help whoever wrote the application. */
  code?: string | undefined
  description?: string | undefined
  requestId: string
}

/** Says what happened in plain words first, and in the protocol's for whoever opens them. */
export function renderErrorPage(text: PageText, view: ErrorView): string {
  const { title, advice } = text.failures[view.failure]
  const requestId = [text.requestId, view.requestId] as const
  const facts = [
    [text.failureCode, view.code],
    [text.failureDescription, view.description],
    requestId,
  ] as const
  return renderLayout(text, {
    title,
    content: html`<p class="lead">${advice}</p>
      ${
        view.code === undefined
          ? renderFacts([requestId])
          : html`<details>
              <summary>${text.failureDetails}</summary>
              ${renderFacts(facts)}
            </details>`
      }`,
  })
}
