import type { IncomingHttpHeaders } from 'node:http'
import { z } from 'zod'
import type { AuditFacts } from '../audit/record.ts'
import { createEventReader } from './event-data.ts'
import type { AnswerObserver } from './forward.ts'
import { createImageCounter, type ImageCounter } from './image-counter.ts'
import { createJsonScanner, type Place } from './json-scanner.ts'
import { identityTypeOf } from './media-type.ts'

type Usage = NonNullable<AuditFacts['usage']>

const count = z.int().min(0).optional().catch(undefined)
const statedUsage = z.object({ prompt_tokens: count, completion_tokens: count })

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
      const { scan } = createJsonScanner(placeOfUsage(report))
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
  const stated = placeOfUsage((usage) => {
    isStated = true
    report(usage)
  })
  const piece: Place = {
    onFound() {
      pieces += 1
      if (!isStated) report({ completion_tokens: pieces, estimated: true })
    },
  }
  const { scan, restart } = createJsonScanner({
    members: [...(stated.members ?? []), ['choices', placeOfPieces(piece)]],
  })
  return createEventReader({ onData: scan, onEventEnd: restart })
}

/** OpenAI's `usage`, at the top of an answer or of a part of a stream. */
const placeOfUsage = (onUsage: (usage: Usage) => void): Place => ({
  members: [['usage', { onObject: (text) => parseUsage(text, onUsage) }]],
})

/** What a model writes one token after another: an answer, what it thinks before that (by two names), calls of tools. */
function placeOfPieces(piece: Place): Place {
  const toolCall: Place = { members: [['function', { members: [['arguments', piece]] }]] }
  const delta: Place = {
    members: [
      ['content', piece],
      ['reasoning_content', piece],
      ['reasoning', piece],
      ['tool_calls', { items: toolCall }],
    ],
  }
  return {
    items: {
      members: [
        ['delta', delta],
        ['text', piece],
      ],
    },
  }
}

function parseUsage(text: Buffer, onUsage: (usage: Usage) => void): void {
  const usage = statedUsage.safeParse(parseJson(text)).data
  const isKnown = usage?.prompt_tokens !== undefined || usage?.completion_tokens !== undefined
  if (isKnown) onUsage(usage)
}

function parseJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString())
  } catch {
    return undefined
  }
}
