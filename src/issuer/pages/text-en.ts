import { html } from './html.ts'
import type { PageText } from './page-text.ts'

export const ENGLISH: PageText = {
  lang: 'en',
  motto: 'Nothing passes without a name.',
  errorPrefix: 'Error: ',
  problemHeading: 'That did not work',
  problems: {
    wrong_password: 'Username and password do not match. Check both and try again.',
    field_missing: 'Enter your username and your password.',
    too_many_attempts: 'There were too many attempts. Wait a minute, then try again.',
    code_missing: 'Enter the code that your device shows.',
    code_unknown: 'There is no such code. Compare it with your device, letter by letter.',
    code_expired: 'This code has expired. Let your device show a new one.',
    code_used: 'This code was used already. Let your device show a new one.',
  },
  signIn: {
    title: 'Sign in',
    lead: (client) => html`to continue to <strong><bdi>${client}</bdi></strong>`,
    username: 'Username',
    password: 'Password',
    submit: 'Sign in',
    cancel: 'Cancel',
  },
  consent: {
    title: 'Allow access?',
    lead: (client) => html`<strong><bdi>${client}</bdi></strong> would like to act on your behalf.`,
    signedInAs: 'Signed in as',
    tenant: 'Organisation',
    client: 'Client ID',
    returnsTo: 'Returns to',
    mayHeading: 'It will be able to',
    scopes: {
      openid: 'know your account’s identifier, and recognise you when you return',
      profile: 'see your name and your username',
      offline_access: 'keep its access while you are away, until you or an administrator end it',
      ocr_api_access:
        'read text from images and documents with the OCR service, within your limits',
    },
    otherScope: (scope) => html`use the permission <code>${scope}</code>`,
    atResource: (resource) => html`at <code>${resource}</code>`,
    note: 'It never sees your password.',
    allow: 'Allow',
    deny: 'Do not allow',
  },
  device: {
    enterTitle: 'Connect a device',
    enterLead: 'Enter the code that your device or terminal shows.',
    code: 'Code',
    codeHint: 'Eight letters. Upper or lower case, with or without the hyphen.',
    submit: 'Continue',
    confirmTitle: 'Is this your device?',
    confirmLead: (client) =>
      html`<strong><bdi>${client}</bdi></strong> on another device wants to sign in as you. That
        device must show this very code:`,
    client: 'Client ID',
    askedFrom: 'Asked from',
    warningHeading: 'Did somebody send you this code or a link?',
    warning:
      'Then stop here: whoever sent it would get access as you. Go on only if you started this yourself, just now, on a device in front of you.',
    confirm: 'The code matches, continue',
    refuse: 'Not my device',
    doneTitle: 'Device connected',
    done: (client) =>
      html`<strong><bdi>${client}</bdi></strong> is signed in. You can close this page and go back
        to your device.`,
    refusedTitle: 'Nothing was allowed',
    refused: 'The device gets no access. You can close this page.',
    another: 'Enter another code',
  },
  signOut: {
    title: 'Sign out?',
    question: (client) =>
      client === undefined
        ? html`You will be signed out in this browser.`
        : html`<strong><bdi>${client}</bdi></strong> asks to sign you out in this browser.`,
    confirm: 'Sign out',
    stay: 'Stay signed in',
    doneTitle: 'Signed out',
    done: 'You can close this page.',
    stayedTitle: 'Still signed in',
    stayed: 'Nothing changed in this browser. You can close this page.',
  },
  relay: {
    title: 'One more step',
    lead: 'Continue to go back to the application.',
    switchTitle: 'Switch accounts?',
    switchLead:
      'Somebody else is signed in in this browser. To continue, that account is signed out.',
    submit: 'Continue',
  },
  failures: {
    expired: {
      title: 'This page has expired',
      advice:
        'It was open for too long, was used already, or belongs to another browser. Go back to the application and start again.',
    },
    cancelled: {
      title: 'Nothing was allowed',
      advice: 'The request was cancelled. You can close this page.',
    },
    bad_request: {
      title: 'This request cannot be answered',
      advice:
        'The application sent something that is not right. Nothing happened to your account. Go back and try again; if it stays so, tell whoever runs the application.',
    },
    too_many_attempts: {
      title: 'Too many attempts',
      advice: 'Wait a minute, then try again.',
    },
    unavailable: {
      title: 'Not available right now',
      advice: 'Try again in a moment.',
    },
    unexpected: {
      title: 'Something went wrong',
      advice:
        'The fault is on our side. Try again; if it stays so, give an administrator the request ID below.',
    },
  },
  failureDetails: 'For the application’s developer',
  failureCode: 'Error',
  failureDescription: 'Description',
  requestId: 'Request ID',
}
