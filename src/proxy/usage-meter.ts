import type { IncomingHttpHeaders } from 'node:http'
import type { AuditFacts } from '../audit/record.ts'
import { isObject } from '../kernel/is-object.ts'
import { createEventReader } from './event-data.ts'
import type { AnswerObserver } from './answer-passage.ts'
import { createImageCounter, type ImageCounter } from './image-counter.ts'
import { createJsonScanner, KEPT, listOf, objectWith, SOUGHT } from './json-scanner.ts'
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
      const known = status < 300 && images.count() > 0 ? { images: images.count() } : undefined
      if (known !== undefined) report(known)
      read = readerOf(headers, (tokens) => report({ ...tokens, ...known }))
    },
    onChunk(chunk) {
      read?.(chunk)
    },
  }
}

function readerOf(headers: IncomingHttpHeaders, report: (usage: Usage) => void) {
  switch (identityTypeOf(headers)) {
    case 'application/json': {
      const { scan } = createJsonScanner(ANSWER, { onObject: (text) => reportUsage(text, report) })
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
    onObject(text) {
      isStated = reportUsage(text, report) || isStated
    },
    onFound() {
      pieces += 1
      if (!isStated) report({ completion_tokens: pieces, estimated: true })
    },
  })
  return createEventReader({ onData: scan, onEventEnd: restart })
}

/** OpenAI's `usage`, at the top of an answer or of a part of a stream. */
const ANSWER = objectWith({ usage: KEPT })

/** What a model writes one token after another: an answer, what it thinks before that (by two names), calls of tools. */
const TOOL_CALL = objectWith({ function: objectWith({ arguments: SOUGHT }) })
const DELTA = objectWith({
  content: SOUGHT,
  reasoning_content: SOUGHT,
  reasoning: SOUGHT,
  tool_calls: listOf(TOOL_CALL),
})
const CHOICE = objectWith({ delta: DELTA, text: SOUGHT })
const EVENT = objectWith({ usage: KEPT, choices: listOf(CHOICE) })

/** Says whether it was known. */
function reportUsage(text: string, report: (usage: Usage) => void): boolean {
  const usage = parseUsage(text)
  const isKnown = usage?.prompt_tokens !== undefined || usage?.completion_tokens !== undefined
  if (isKnown) report(usage)
  return isKnown
}

function parseUsage(text: string): Usage | undefined {
  try {
    const stated: unknown = JSON.parse(text)
    if (!isObject(stated)) return undefined
    const { prompt_tokens, completion_tokens } = stated
    return {
      prompt_tokens: countOf(prompt_tokens),
      completion_tokens: countOf(completion_tokens),
    }
  } catch {
    return undefined
  }
}

const countOf = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined
