import { html, toHtml, type Markup } from './html.ts'
import type { PageText, Problem } from './page-text.ts'
import { STYLESHEET_URL } from './stylesheet.ts'

export type Page = {
  title: string
  /** What went wrong with the form before: the summary above it has the focus. */
  problem?: Problem | undefined
  content: Markup
}

/** A whole document: one landmark each for the name of the place and for what is asked. */
export function renderLayout(text: PageText, { title, problem, content }: Page): string {
  return toHtml(
    html`<!doctype html>
      <html lang="${text.lang}">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <meta name="robots" content="noindex" />
          <title>${problem === undefined ? '' : text.errorPrefix}${title} · Gatehouse</title>
          <link rel="stylesheet" href="${STYLESHEET_URL}" />
        </head>
        <body>
          <header class="gate">
            ${ARCHES}
            <p class="name">Gatehouse</p>
            <p class="motto">${text.motto}</p>
          </header>
          <main>
            <h1>${title}</h1>
            ${problem === undefined ? undefined : renderProblem(text, problem)}${content}
          </main>
        </body>
      </html> `,
  )
}

const PROBLEM_ID = 'problem'

function renderProblem(text: PageText, problem: Problem): Markup {
  return html`<div class="problem" role="alert" tabindex="-1" autofocus>
    <h2>${text.problemHeading}</h2>
    <p id="${PROBLEM_ID}">${text.problems[problem]}</p>
  </div> `
}

/** The attributes of a field that the problem is about. */
export function fieldState(problem: Problem | undefined, isConcerned = true): Markup {
  if (problem === undefined) return html``
  return isConcerned
    ? html` aria-invalid="true" aria-describedby="${PROBLEM_ID}"`
    : html` aria-describedby="${PROBLEM_ID}"`
}

/** Facts in pairs; a pair without a value is left out. */
export function renderFacts(facts: readonly (readonly [string, string | undefined])[]): Markup {
  const rows = facts.flatMap(([term, value]) =>
    value === undefined || value === ''
      ? []
      : [
          html`<div>
            <dt>${term}</dt>
            <dd><bdi>${value}</bdi></dd>
          </div>`,
        ],
  )
  return rows.length === 0 ? html`` : html`<dl>${rows}</dl>`
}

/** The mark of the house: a gate within a gate. */
const ARCHES = html`<svg class="arches" viewBox="0 0 120 120" aria-hidden="true" focusable="false">
  <path d="M4 120V60a56 56 0 0 1 112 0v60" />
  <path d="M22 120V62a38 38 0 0 1 76 0v58" />
  <path d="M40 120V64a20 20 0 0 1 40 0v56" />
</svg>`
