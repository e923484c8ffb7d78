import { startBrowser } from './browser.ts'

/** What somebody would choose on the pages of the issuer: who they are, and the buttons to refuse instead of agreeing. */
export type Choices = { username: string; password: string; refuse?: boolean }

const AGREE = ['confirm=yes', 'decision=sign_in', 'decision=allow']
const REFUSE = ['abort=yes']

/** Goes through the forms that begin at that address, without a browser, until there is none. Gives the last page. */
export async function fillForms(
  url: string,
  { refuse = false, ...fields }: Choices,
): Promise<string> {
  const browser = startBrowser()
  let at = new URL(url)
  let response = await browser.fetch(at.href)
  for (let step = 0; step < 20; step += 1) {
    const location = response.headers.get('location')
    if (location !== null) {
      at = new URL(location, at)
      response = await browser.fetch(at.href)
      continue
    }
    const page = await response.text()
    const form = /<form method="post" action="([^"]*)"[^]*?<\/form>/.exec(page)
    if (form === null) return page
    at = new URL(unescape(form[1] ?? ''), at)
    response = await browser.fetch(at.href, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: at.origin },
      body: new URLSearchParams({
        ...inputsOf(form[0], fields),
        ...buttonOf(form[0], refuse),
      }).toString(),
    })
  }
  throw new Error('the forms do not end')
}

function inputsOf(form: string, fields: Record<string, string>): Record<string, string> {
  const inputs = [...form.matchAll(/<input[^>]*>/g)].map(([input]) => {
    const name = attributeOf(input, 'name')
    return [name, fields[name] ?? attributeOf(input, 'value')]
  })
  return Object.fromEntries(inputs)
}

function buttonOf(form: string, refuse: boolean): Record<string, string> {
  const buttons = [...form.matchAll(/<button[^>]*>/g)].map(([button]) => [
    attributeOf(button, 'name'),
    attributeOf(button, 'value'),
  ])
  const wanted = refuse ? [...REFUSE, ...AGREE] : AGREE
  const chosen = wanted.find((choice) => buttons.some((button) => button.join('=') === choice))
  return chosen === undefined ? {} : Object.fromEntries([chosen.split('=')])
}

const attributeOf = (tag: string, name: string): string =>
  unescape(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? '')

const unescape = (text: string): string =>
  text
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
