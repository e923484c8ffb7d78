import { describe, expect, test } from 'vitest'
import { renderConsentPage } from '../../../src/issuer/pages/consent-page.ts'
import {
  renderCodeConfirmationPage,
  renderCodeEntryPage,
  renderDeviceDonePage,
  renderDeviceRefusedPage,
} from '../../../src/issuer/pages/device-pages.ts'
import { renderErrorPage } from '../../../src/issuer/pages/error-page.ts'
import { html, toHtml } from '../../../src/issuer/pages/html.ts'
import { TEXTS } from '../../../src/issuer/pages/language.ts'
import type { PageText } from '../../../src/issuer/pages/page-text.ts'
import { renderRelayPage } from '../../../src/issuer/pages/relay-page.ts'
import { renderSignInPage } from '../../../src/issuer/pages/sign-in-page.ts'
import { renderSignedOutPage, renderSignOutPage } from '../../../src/issuer/pages/sign-out-pages.ts'

const HOSTILE = `"><script>alert(1)</script>'onfocus='x' autofocus & \u202e`

/** Every page, with a hostile value wherever a value comes from outside. */
const PAGES: Record<string, (text: PageText, value: string) => string> = {
  'sign-in': (text, value) =>
    renderSignInPage(text, { client: value, action: value, formToken: value, username: value }),
  'failed sign-in': (text, value) =>
    renderSignInPage(text, {
      client: value,
      action: value,
      formToken: value,
      username: value,
      problem: 'wrong_password',
    }),
  consent: (text, value) =>
    renderConsentPage(text, {
      client: value,
      clientId: value,
      tenant: value,
      username: value,
      returnsTo: value,
      permissions: [
        { scope: 'ocr_api_access' },
        { scope: value, resource: value },
        { scope: 'constructor' },
      ],
      action: value,
      formToken: value,
    }),
  'code entry': (text, value) =>
    renderCodeEntryPage(text, { action: value, xsrf: value, userCode: value }),
  'failed code entry': (text, value) =>
    renderCodeEntryPage(text, {
      action: value,
      xsrf: value,
      userCode: value,
      problem: 'code_unknown',
    }),
  'code confirmation': (text, value) =>
    renderCodeConfirmationPage(text, {
      action: value,
      xsrf: value,
      userCode: value,
      client: value,
      clientId: value,
      address: value,
    }),
  'device done': (text, value) => renderDeviceDonePage(text, { client: value }),
  'device refused': (text, value) => renderDeviceRefusedPage(text, { action: value }),
  'sign-out': (text, value) =>
    renderSignOutPage(text, { action: value, xsrf: value, client: value }),
  'signed out': (text) => renderSignedOutPage(text),
  relay: (text, value) =>
    renderRelayPage(text, { action: value, fields: [[value, value]], switchesAccount: false }),
  error: (text, value) =>
    renderErrorPage(text, {
      failure: 'bad_request',
      code: value,
      description: value,
      requestId: value,
    }),
}

describe.each(Object.entries(PAGES))('the page «%s»', (_name, render) => {
  test.each(TEXTS)('says its language $lang, one heading and one main landmark', (text) => {
    const page = render(text, 'plain')
    expect(page).toMatch(new RegExp(`^<!doctype html>\\s*<html lang="${text.lang}">`))
    expect(page.match(/<h1>/g)).toHaveLength(1)
    expect(page.match(/<main>/g)).toHaveLength(1)
  })

  test.each(TEXTS)('lets no value become markup in $lang', (text) => {
    const tagsOf = (page: string) => page.replaceAll(/"[^"]*"/g, '""').match(/<[^>]*>/g)
    expect(tagsOf(render(text, HOSTILE))).toEqual(tagsOf(render(text, 'plain')))
  })

  test('has no script, no style of its own, no handler and nothing from elsewhere', () => {
    for (const text of TEXTS) {
      expect(render(text, '/plain')).not.toMatch(
        /<script|<style|\sstyle=|\son\w+=|javascript:|https?:|<img|<iframe/i,
      )
    }
  })
})

describe('a failed attempt', () => {
  test('is in the title, has the focus alone, and is tied to the fields', () => {
    for (const text of TEXTS) {
      const page = PAGES['failed sign-in']?.(text, 'mei') ?? ''
      expect(page).toContain(`<title>${text.errorPrefix}`)
      expect(page.match(/\sautofocus/g)).toHaveLength(1)
      expect(page).toMatch(/role="alert"\s+tabindex="-1"\s+autofocus/)
      expect(page.match(/aria-describedby="problem"/g)).toHaveLength(2)
    }
  })
})

describe('the consent page', () => {
  test('names scopes that it knows in plain words, and others as they are', () => {
    for (const text of TEXTS) {
      const page = PAGES['consent']?.(text, 'archive:write') ?? ''
      expect(page).toContain(text.consent.scopes['ocr_api_access'])
      expect(page).toContain('<code>archive:write</code>')
      expect(page).toContain('<code>constructor</code>')
    }
  })
})

describe('markup', () => {
  test('comes from the template alone, not from an object that looks like it', () => {
    const forged: unknown = JSON.parse('{"markup":"<b>","Symbol(markup)":"<b>"}')
    expect(toHtml(html`${forged as string}`)).not.toContain('<b>')
  })

  test('nests without being escaped twice', () => {
    expect(toHtml(html`<p>${[html`<b>${'<'}</b>`, html`&amp;`]}</p>`)).toBe(
      '<p><b>&lt;</b>&amp;</p>',
    )
  })
})
