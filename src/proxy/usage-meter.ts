import type { IncomingHttpHeaders } from 'node:http'
import type { AuditFacts } from '../audit/record.ts'
import { createEventReader } from './event-data.ts'
import type { AnswerObserver } from './answer-passage.ts'
import { createImageCounter, type ImageCounter } from './image-counter.ts'
import {
  countsOf,
  createJsonScanner,
  listOf,
  objectWith,
  SOUGHT,
  type Counts,
} from './json-scanner.ts'
import { identityTypeOf } from './media-type.ts'

type Usage = NonNullable<AuditFacts['usage']>

export type UsageMeter = AnswerObserver & { onRequestChunk: ImageCounter['onChunk'] }

/**
 * Reads from an answer that passes by how many tokens the model server says it took, and reports it each time that it
 * becomes known. A stream that says nothing (yet) counts one token for each piece of text, `estimated`. What is encoded,
 * or neither JSON nor server-sent events, is not looked at. The images of the request count when it was not refused.
 */
export function createUsageMeter(
  requestHeaders: IncomingHttpHeaders,
  report: (usage: Usage) => void,
): UsageMeter {
  const images = createImageCounter(requestHeaders)
  let read: ((chunk: Buffer) => void) | undefined
  return {
    onRequestChunk: images.onChunk,
    onHeaders(status, headers) {
      const known = status < 300 && images.count() > 0 ? images.count() : undefined
      if (known !== undefined) report({ images: known })
      read = readerOf(headers, (tokens) => report({ ...tokens, images: known }))
    },
    onChunk(chunk) {
      read?.(chunk)
    },
  }
}

function readerOf(headers: IncomingHttpHeaders, report: (usage: Usage) => void) {
  switch (identityTypeOf(headers)) {
    case 'application/json': {
      const { scan } = createJsonScanner(ANSWER, {
        onCounts: (counts) => reportUsage(counts, report),
      })
      return (chunk: Buffer) => scan(chunk, 0, chunk.length)
    }
    case 'text/event-stream':
      return createStreamReader(report)
    default:
      return undefined
  }
}

function createStreamReader(report: (usage: Usage) => void): (chunk: Buffer) => void {
  let isStated = false
  let pieces = 0
  const { scan, restart } = createJsonScanner(EVENT, {
    onCounts(counts) {
      isStated = reportUsage(counts, report) || isStated
    },
    onFound() {
      pieces += 1
      if (!isStated) report({ completion_tokens: pieces, estimated: true })
    },
  })
  return createEventReader({ onData: scan, onEventEnd: restart })
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

/** Says whether it was known. */
function reportUsage(
  { prompt_tokens, completion_tokens }: Readonly<Counts>,
  report: (usage: Usage) => void,
): boolean {
  const isKnown = prompt_tokens !== undefined || completion_tokens !== undefined
  if (isKnown) report({ prompt_tokens, completion_tokens })
  return isKnown
}
