import type { IncomingHttpHeaders } from 'node:http'
import type { AuditFacts } from '../audit/record.ts'
import { createEventReader } from './event-data.ts'
import type { AnswerObserver, BodyHeaders } from './answer-passage.ts'
import { createImageCounter, type ImageCounter } from './image-counter.ts'
import {
  countsOf,
  createJsonScanner,
  listOf,
  objectWith,
  SOUGHT,
  type Counts,
  type Finder,
  type JsonScanner,
} from './json-scanner.ts'
import { identityTypeOf } from './media-type.ts'

type Usage = NonNullable<AuditFacts['usage']>

export type UsageMeter = AnswerObserver & {
  /** Of a request whose body is not known as a whole. */
  onRequestChunk: (chunk: Buffer) => void
  /** A whole body. It is looked at together with the answer: what one reader has just been through, the next is the faster for. */
  onRequestBody: (body: Buffer) => void
}

/**
 * Reads from an answer that passes by how many tokens the model server says it took, and reports it each time that it
 * becomes known. A stream that says nothing (yet) counts one token for each piece of text, `estimated`. What is encoded,
 * or neither JSON nor server-sent events, is not looked at. The images of the request count when it was not refused.
 */
export const createUsageMeter = (
  requestHeaders: IncomingHttpHeaders,
  report: (usage: Usage) => void,
): UsageMeter => new Meter(requestHeaders, report)

/** A class, because it is made for every request: closures take twice the memory. */
class Meter implements UsageMeter, Finder {
  readonly #requestHeaders: IncomingHttpHeaders
  readonly #report: (usage: Usage) => void
  #images: ImageCounter | undefined
  #requestBody: Buffer | undefined
  #imagesRead: number | undefined
  #answer: JsonScanner | undefined
  #stream: ((chunk: Buffer) => void) | undefined

  constructor(requestHeaders: IncomingHttpHeaders, report: (usage: Usage) => void) {
    this.#requestHeaders = requestHeaders
    this.#report = report
  }

  onRequestChunk(chunk: Buffer): void {
    this.#images ??= createImageCounter(this.#requestHeaders)
    this.#images.onChunk(chunk)
  }

  onRequestBody(body: Buffer): void {
    this.#requestBody = body
  }

  onHeaders(status: number, headers: BodyHeaders): void {
    if (status < 300) this.#readImages()
    const type = identityTypeOf(headers)
    if (type === 'application/json') this.#answer = createJsonScanner(ANSWER, this)
    if (type === 'text/event-stream') {
      this.#stream = createStreamReader((tokens) =>
        this.#report({ ...tokens, images: this.#imagesRead }),
      )
    }
  }

  onChunk(chunk: Buffer): void {
    this.#answer?.scan(chunk, 0, chunk.length)
    this.#stream?.(chunk)
  }

  onCounts(counts: Readonly<Counts>): void {
    const tokens = statedTokens(counts)
    if (tokens !== undefined) this.#report({ ...tokens, images: this.#imagesRead })
  }

  #readImages(): void {
    if (this.#requestBody !== undefined) this.onRequestChunk(this.#requestBody)
    this.#requestBody = undefined
    const images = this.#images?.count() ?? 0
    if (images === 0) return
    this.#imagesRead = images
    this.#report({ images })
  }
}

function createStreamReader(report: (usage: Usage) => void): (chunk: Buffer) => void {
  let isStated = false
  let pieces = 0
  const finder: Finder = {
    onCounts(counts) {
      const tokens = statedTokens(counts)
      if (tokens === undefined) return
      isStated = true
      report(tokens)
    },
    onFound() {
      pieces += 1
      if (!isStated) report({ completion_tokens: pieces, estimated: true })
    },
  }
  let event = createJsonScanner(EVENT, finder)
  return createEventReader({
    onData: (bytes, from, to) => event.scan(bytes, from, to),
    onEventEnd() {
      event = createJsonScanner(EVENT, finder)
    },
  })
}

/** OpenAI's `usage`, at the top of an answer or of a part of a stream. */
const USAGE = countsOf('prompt_tokens', 'completion_tokens')
const ANSWER = objectWith({ usage: USAGE })

/** What a model writes one token after another: an answer, what it thinks before that (by two names), calls of tools. */
const TOOL_CALL = objectWith({ function: objectWith({ arguments: SOUGHT }) })
const DELTA = objectWith({
  content: SOUGHT,
  reasoning_content: SOUGHT,
  reasoning: SOUGHT,
  tool_calls: listOf(TOOL_CALL),
})
const CHOICE = objectWith({ delta: DELTA, text: SOUGHT })
const EVENT = objectWith({ usage: USAGE, choices: listOf(CHOICE) })

function statedTokens({ prompt_tokens, completion_tokens }: Readonly<Counts>): Usage | undefined {
  const isKnown = prompt_tokens !== undefined || completion_tokens !== undefined
  return isKnown ? { prompt_tokens, completion_tokens } : undefined
}
