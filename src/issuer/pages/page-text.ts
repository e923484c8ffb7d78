import type { Markup } from './html.ts'

/** A form field that was filled in wrongly, or an attempt that failed: said above the form and read out at once. */
export type Problem =
  | 'wrong_password'
  | 'field_missing'
  | 'too_many_attempts'
  | 'code_missing'
  | 'code_unknown'
  | 'code_expired'
  | 'code_used'

/** Why a request ended on a page of ours instead of going back to the client. */
export type Failure =
  | 'expired'
  | 'cancelled'
  | 'bad_request'
  | 'too_many_attempts'
  | 'unavailable'
  | 'unexpected'

/** Every word that the pages say, in one language. */
export type PageText = {
  /** A BCP 47 tag for the `lang` attribute. */
  lang: string
  motto: string
  errorPrefix: string
  problemHeading: string
  problems: Readonly<Record<Problem, string>>
  signIn: {
    title: string
    lead: (client: string) => Markup
    username: string
    password: string
    submit: string
    cancel: string
  }
  consent: {
    title: string
    lead: (client: string) => Markup
    signedInAs: string
    tenant: string
    client: string
    returnsTo: string
    mayHeading: string
    scopes: Readonly<Record<string, string>>
    otherScope: (scope: string) => Markup
    atResource: (resource: string) => Markup
    note: string
    allow: string
    deny: string
  }
  device: {
    enterTitle: string
    enterLead: string
    code: string
    codeHint: string
    submit: string
    confirmTitle: string
    confirmLead: (client: string) => Markup
    client: string
    askedFrom: string
    warningHeading: string
    warning: string
    confirm: string
    refuse: string
    doneTitle: string
    done: (client: string) => Markup
    refusedTitle: string
    refused: string
    another: string
  }
  signOut: {
    title: string
    question: (client: string | undefined) => Markup
    confirm: string
    stay: string
    doneTitle: string
    done: string
    stayedTitle: string
    stayed: string
  }
  relay: { title: string; lead: string; switchTitle: string; switchLead: string; submit: string }
  failures: Readonly<Record<Failure, { title: string; advice: string }>>
  failureDetails: string
  failureCode: string
  failureDescription: string
  requestId: string
}
