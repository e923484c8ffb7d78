import { epochSeconds } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { toProblem } from '../kernel/problem.ts'
import { countUsage, toAnswerLines, type Usage } from './answer.ts'
import { sendJson, type Call, type Tools } from './call.ts'
import { parseChatRequest, type ChatRequest } from './chat-request.ts'
import { ENGINE, MODEL } from './identity.ts'
import { readBody, requirePlainBody } from './request-body.ts'
import { cutToTokens } from './token-count.ts'

type Completion = { pieces: string[]; finishReason: 'stop' | 'length'; usage: Usage }

/** `POST /v1/chat/completions`: OpenAI's shape, whole or as server-sent events, one event per recognised line. */
export async function completeChat(call: Call, tools: Tools): Promise<void> {
  requirePlainBody(call.req)
  const chat = parseChatRequest(await readBody(call.req, call.res, tools.maxBodyBytes))
  const head = {
    id: `chatcmpl-${call.requestId}`,
    created: epochSeconds(tools.clock),
    model: MODEL,
    system_fingerprint: ENGINE,
  }
  if (chat.isStreamed) return streamCompletion(call, tools, { chat, head })

  const { pieces, finishReason, usage } = await complete(call, tools, chat)
  sendJson(call, {
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: pieces.join(''), refusal: null },
        logprobs: null,
        finish_reason: finishReason,
      },
    ],
    usage,
  })
}

async function complete(
  { requestId, signal }: Call,
  { engine, onReading }: Tools,
  chat: ChatRequest,
): Promise<Completion> {
  const lines = await engine.read(chat.image, {
    signal,
    onProgress: (fraction) => onReading(fraction, requestId),
  })
  const whole = toAnswerLines(lines, chat.image, chat.prompt).join('\n')
  const answer = cutToTokens(whole, chat.maxTokens)
  return {
    pieces: answer.split(/(?<=\n)/),
    finishReason: answer === whole ? 'stop' : 'length',
    usage: countUsage(chat.image, chat.prompt, answer),
  }
}

/**
 * Answers at once with the role, so that the client sees that its page is taken. What fails after that can only be an
 * error event.
 */
async function streamCompletion(
  call: Call,
  tools: Tools,
  { chat, head }: { chat: ChatRequest; head: object },
): Promise<void> {
  const { res, requestId } = call
  tools.engine.requireRoom()
  res.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    'x-request-id': requestId,
  })
  const sendEvent = (data: object): boolean => res.write(`data: ${JSON.stringify(data)}\n\n`)
  const sendChunk = (delta: object, finishReason: string | null = null): boolean =>
    sendEvent({
      ...head,
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    })
  sendChunk({ role: 'assistant', content: '' })
  try {
    const { pieces, finishReason, usage } = await complete(call, tools, chat)
    for (const piece of pieces) sendChunk({ content: piece })
    sendChunk({}, finishReason)
    if (chat.includesUsage) {
      sendEvent({ ...head, object: 'chat.completion.chunk', choices: [], usage })
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    sendEvent({ error: toProblem(error, requestId).error })
  }
  res.end('data: [DONE]\n\n')
}
