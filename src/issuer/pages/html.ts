const MARKUP = Symbol('markup')

/** Text that may go into a page as it is. Only `html` makes it: no parsed JSON or form can look like one. */
export type Markup = { readonly [MARKUP]: string }

type Value = string | number | undefined | Markup | readonly Markup[]

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** A template whose values are escaped, for text and for quoted attributes alike. Nothing comes of `undefined`. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Markup {
  const parts = strings.map((text, i) => text + toText(values[i]))
  return { [MARKUP]: parts.join('') }
}

/** The page as it is sent. */
export function toHtml(markup: Markup): string {
  return markup[MARKUP]
}

function toText(value: Value): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value.replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? '')
  if (typeof value === 'number') return String(value)
  return isList(value) ? value.map((each) => each[MARKUP]).join('') : value[MARKUP]
}

function isList(value: Markup | readonly Markup[]): value is readonly Markup[] {
  return Array.isArray(value)
}
