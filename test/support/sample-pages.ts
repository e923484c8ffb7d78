import { renderConsentPage } from '../../src/issuer/pages/consent-page.ts'
import {
  renderCodeConfirmationPage,
  renderCodeEntryPage,
  renderDeviceDonePage,
  renderDeviceRefusedPage,
} from '../../src/issuer/pages/device-pages.ts'
import { renderErrorPage } from '../../src/issuer/pages/error-page.ts'
import type { PageText } from '../../src/issuer/pages/page-text.ts'
import { renderRelayPage } from '../../src/issuer/pages/relay-page.ts'
import { renderSignInPage } from '../../src/issuer/pages/sign-in-page.ts'
import {
  renderSignedOutPage,
  renderSignOutPage,
  renderStillSignedInPage,
} from '../../src/issuer/pages/sign-out-pages.ts'

const client = 'Archive Viewer'
const clientId = '9f0c1d7e-52b4-4a53-9a0e-6f3f1c0b7d21'
const form = { action: '/somewhere', formToken: 'token', xsrf: 'token' }
const requestId = '1f6a2c34-8e0b-4c39-a5d5-0d8f6a1b2c3d'

/** Every page as people see it, and once more with names as long as they can be. */
export const SAMPLE_PAGES: Readonly<Record<string, (text: PageText) => string>> = {
  'sign-in': (text) => renderSignInPage(text, { ...form, client, username: '' }),
  'sign-in-failed': (text) =>
    renderSignInPage(text, { ...form, client, username: 'mei', problem: 'wrong_password' }),
  consent: (text) =>
    renderConsentPage(text, {
      ...form,
      client,
      clientId,
      tenant: 'City Archive',
      username: 'mei',
      returnsTo: 'archive.example',
      permissions: [
        { scope: 'openid' },
        { scope: 'ocr_api_access' },
        { scope: 'archive:write', resource: 'https://archive.example/api' },
      ],
    }),
  'consent-with-long-names': (text) =>
    renderConsentPage(text, {
      ...form,
      client: 'Grundstücksverkehrsgenehmigungszuständigkeitsübertragungsverordnung'.repeat(3),
      clientId: 'c'.repeat(128),
      tenant: 't'.repeat(128),
      username: 'u'.repeat(128),
      returnsTo: `${'h'.repeat(60)}.example`,
      permissions: [{ scope: 's'.repeat(100), resource: `https://${'r'.repeat(200)}.example` }],
    }),
  'code-entry': (text) => renderCodeEntryPage(text, { ...form, userCode: '' }),
  'code-entry-failed': (text) =>
    renderCodeEntryPage(text, { ...form, userCode: 'BBBB-CCCC', problem: 'code_unknown' }),
  'code-confirmation': (text) =>
    renderCodeConfirmationPage(text, {
      ...form,
      userCode: 'WDJB-MJHT',
      client,
      clientId,
      address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
    }),
  'device-done': (text) => renderDeviceDonePage(text, { client }),
  'device-refused': (text) => renderDeviceRefusedPage(text, form),
  'sign-out': (text) => renderSignOutPage(text, { ...form, client }),
  'signed-out': renderSignedOutPage,
  'still-signed-in': renderStillSignedInPage,
  relay: (text) => renderRelayPage(text, { ...form, fields: [], switchesAccount: true }),
  error: (text) =>
    renderErrorPage(text, {
      failure: 'bad_request',
      code: 'invalid_redirect_uri',
      description: 'redirect_uri did not match any of the registered ones',
      requestId,
    }),
  'error-of-ours': (text) => renderErrorPage(text, { failure: 'unexpected', requestId }),
}
