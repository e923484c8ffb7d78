import { AppError } from '../kernel/errors.ts'

/** How an exchange with a model server failed, in the words that matter to its health and to the caller. */
export type UpstreamFailure = {
  kind: 'unreachable' | 'stalled' | 'broken_off'
  /** Of the operating system, of TLS or an ExchangeError's. */
  code: string
  error: AppError
}

/**
 * What an exchange fails of, translated once. `wasSent` says whether a connection took anything of the request: what failed before
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
  if (code === 'UPSTREAM_FIRST_BYTE_TIMEOUT' || code === 'UPSTREAM_IDLE_TIMEOUT') {
    const detail = 'The model server did not answer in time.'
    return failure('stalled', code, new AppError('upstream_timeout', detail, because(error)))
  }
  const detail = 'The model server broke off the exchange or refused it.'
  return failure('broken_off', code, new AppError('upstream_unreachable', detail, because(error)))
}

/** What this process lacks: it says nothing about the model server. */
const OURS = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS'])

/** From the network, TLS or the server, that is, and not from Node, which finds something of ours wrong: no caller can bring that about. */
export const isOfTheWay = (code: string): boolean =>
  code !== '' && !OURS.has(code) && !/^ERR_(?!TLS|SSL)/.test(code)

export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : ''

const because = (cause: unknown) => ({ cause })

const failure = (
  kind: UpstreamFailure['kind'],
  code: string,
  error: AppError,
): UpstreamFailure => ({ kind, code, error })
