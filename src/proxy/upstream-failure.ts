import { AppError } from '../kernel/errors.ts'

/** How an exchange with a model server failed, in the words that matter to its health and to the caller. */
export type UpstreamFailure = {
  kind: 'unreachable' | 'stalled' | 'broken_off'
  /** Of the operating system or of undici. */
  code: string
  error: AppError
}

/**
 * Undici's errors, translated once. `wasSent` says whether a connection took anything of the request: what failed before
 * that was the way there.
 */
export function upstreamFailureOf(error: unknown, wasSent: boolean): UpstreamFailure {
  const code = codeOf(error)
  if (!wasSent && isOfTheWay(code)) {
    const detail = 'The model server cannot be reached.'
    return failure(
      'unreachable',
      code,
      new AppError('upstream_unreachable', detail, because(error)),
    )
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    const detail = 'The model server did not answer in time.'
    return failure('stalled', code, new AppError('upstream_timeout', detail, because(error)))
  }
  const detail = 'The model server broke off the exchange or refused it.'
  return failure('broken_off', code, new AppError('upstream_unreachable', detail, because(error)))
}

/** What this process lacks: it says nothing about the model server. */
const OURS = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS'])

/** From the network or TLS, that is, and not from undici, which finds a request wrong: no caller can bring that about. */
export function isOfTheWay(code: string): boolean {
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_SOCKET') return true
  return code !== '' && !OURS.has(code) && !/^(?:UND_ERR|ERR_(?!TLS|SSL))/.test(code)
}

export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : ''

const because = (cause: unknown) => ({ cause })

const failure = (
  kind: UpstreamFailure['kind'],
  code: string,
  error: AppError,
): UpstreamFailure => ({ kind, code, error })
