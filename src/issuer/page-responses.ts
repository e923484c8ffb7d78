import { AppError, toAppError } from '../kernel/errors.ts'
import { renderErrorPage, type ErrorView } from './pages/error-page.ts'
import { textFor } from './pages/language.ts'
import type { Failure, PageText } from './pages/page-text.ts'

/** What both our own context and oidc-provider's can do. */
export type PageContext = {
  status: number
  type: string
  body: unknown
  res: { getHeader: (name: string) => unknown }
  set: (fields: Record<string, string>) => void
  acceptsLanguages: (offered: string[]) => string | false
}

const ONE_YEAR_SECONDS = 31_536_000

/** For every answer to a browser, redirects included: nothing is kept, framed, guessed, or told to other sites. */
export function browserHeaders(isHttps: boolean): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'content-security-policy': pagePolicy([]),
    'permissions-policy':
      'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    ...(isHttps ? { 'strict-transport-security': `max-age=${ONE_YEAR_SECONDS}` } : {}),
  }
}

export type SentPage = {
  text: PageText
  page: string
  /** Addresses that the form on it may lead to: browsers hold redirects after it to the policy, too. */
  leadsTo?: readonly (string | undefined)[]
}

export function sendPage(ctx: PageContext, { text, page, leadsTo = [] }: SentPage): void {
  ctx.set({ 'content-language': text.lang, 'content-security-policy': pagePolicy(leadsTo) })
  ctx.type = 'text/html; charset=utf-8'
  ctx.body = page
}

/** The page that says why a request ended here; the status stays as it is. */
export function sendFailurePage(ctx: PageContext, view: Omit<ErrorView, 'requestId'>): void {
  const text = textFor(ctx)
  const requestId = String(ctx.res.getHeader('x-request-id'))
  sendPage(ctx, { text, page: renderErrorPage(text, { ...view, requestId }) })
}

/** Whatever was thrown, as a page with its status and headers. */
export function sendErrorPage(ctx: PageContext, thrown: unknown): void {
  const error = toPageError(thrown)
  ctx.status = error.status
  ctx.set({ ...error.headers })
  sendFailurePage(ctx, { failure: failureOf(error) })
}

/** Our own refusal, or oidc-provider's translated into one: an interaction that is gone, a store that cannot answer. */
export function toPageError(thrown: unknown): AppError {
  if (thrown instanceof AppError || !(thrown instanceof Error)) return toAppError(thrown)
  if (thrown.name === 'SessionNotFound') return expired()
  const isBusy = 'error' in thrown && thrown.error === 'temporarily_unavailable'
  return isBusy
    ? new AppError('temporarily_unavailable', 'Not available right now.', { cause: thrown })
    : toAppError(thrown)
}

/** Finished, too old, or another browser's: to the reader it is all one. */
export function expired(): AppError {
  return new AppError('not_found', 'This page has expired.', { reason: 'interaction_expired' })
}

function failureOf({ code, status }: AppError): Failure {
  switch (code) {
    case 'rate_limited':
      return 'too_many_attempts'
    case 'temporarily_unavailable':
      return 'unavailable'
    case 'not_found':
      return 'expired'
    default:
      return status < 500 ? 'bad_request' : 'unexpected'
  }
}

function pagePolicy(leadsTo: readonly (string | undefined)[]): string {
  const targets = new Set(["'self'", ...leadsTo.flatMap(sourcesOf)])
  return [
    "default-src 'none'",
    "style-src 'self'",
    `form-action ${[...targets].join(' ')}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** CSP 3 §2.3.1: a source names a host by letters, so an IPv6 address is only let in by its scheme. */
function sourcesOf(address: string | undefined): string[] {
  const url = address === undefined ? null : URL.parse(address)
  if (url === null) return []
  return /^https?:\/\/[\w.-]+(:\d+)?$/.test(url.origin) ? [url.origin] : [url.protocol]
}
