import { startBrowser } from './browser.ts'
import { PASSWORD } from './people.ts'

export type Person = {
  /** Answers every page as a person does who agrees to all; gives the address outside the issuer, or of the last page. */
  visit: (url: string | URL) => Promise<URL>
}

export type PersonOptions = {
  username: string
  /** Where an address is to be asked instead, as a load balancer does. */
  route?: (url: URL) => URL
}

const MAX_STEPS = 20
const FORM = /<form method="post" action="([^"]*)"[^>]*>([^]*?)<\/form>/
const FIELD = /<(?:input|button)\s[^>]*>/g
const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
}

/** Somebody with a browser without scripts, and its cookies. */
export function startPerson({ username, route = (url) => url }: PersonOptions): Person {
  const browser = startBrowser()
  const ask = (url: URL, init: RequestInit = {}) =>
    browser.fetch(route(url).href, { ...init, headers: { accept: 'text/html' } })

  return {
    async visit(start) {
      let at = new URL(start)
      const { origin } = at
      let response = await ask(at)
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const location = response.headers.get('location')
        if (location !== null) {
          at = new URL(location, at)
          if (at.origin !== origin) return at
          response = await ask(at)
          continue
        }
        const page = await response.text()
        if (response.status !== 200) throw new Error(`${at.pathname}: ${response.status} ${page}`)
        const form = fillForm(page, username)
        if (form === undefined) return at
        at = new URL(form.action, at)
        if (at.origin !== origin) return at
        response = await ask(at, { method: 'POST', body: form.fields })
      }
      throw new Error(`no end of pages at ${at.href}`)
    },
  }
}

/** The first form of the page, with its first button pressed. */
function fillForm(page: string, username: string) {
  const [, action, content = ''] = FORM.exec(page) ?? []
  if (action === undefined) return undefined
  const typed = new Map([
    ['username', username],
    ['password', PASSWORD],
  ])
  const fields = new URLSearchParams()
  let isPressed = false
  for (const [tag] of content.matchAll(FIELD)) {
    const name = attributeOf(tag, 'name')
    const isButton = tag.startsWith('<button')
    if (name !== undefined && !(isButton && isPressed)) {
      fields.append(name, typed.get(name) ?? attributeOf(tag, 'value') ?? '')
    }
    isPressed ||= isButton
  }
  return { action: toText(action), fields }
}

function attributeOf(tag: string, name: string): string | undefined {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]
  return value === undefined ? undefined : toText(value)
}

const toText = (escaped: string): string =>
  escaped.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity)
