/** What can go wrong between us and a model server, beside what the operating system and TLS have names for. */
const MESSAGES = {
  UPSTREAM_CONNECT_TIMEOUT: 'The connection was not made in time.',
  UPSTREAM_FIRST_BYTE_TIMEOUT: 'No answer began in time.',
  UPSTREAM_IDLE_TIMEOUT: 'The answer did not go on in time.',
  UPSTREAM_CLOSED: 'The connection was closed before the answer was whole.',
  UPSTREAM_MALFORMED: 'The answer is no HTTP/1.1, or could be read in two ways.',
}

export type ExchangeErrorCode = keyof typeof MESSAGES

/** Says nothing of what either side sent. */
export class ExchangeError extends Error {
  readonly code: ExchangeErrorCode

  constructor(code: ExchangeErrorCode) {
    super(MESSAGES[code])
    this.name = 'ExchangeError'
    this.code = code
  }
}
