import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

/**
 * The model server of a page that starts none: it answers at once, whatever the image, in the shapes of the bundled OCR
 * engine, whose own answers have tests of their own.
 */
const TEXT = 'TOTAL 42.00'
const USAGE = { prompt_tokens: 3000, completion_tokens: 5, total_tokens: 3005 }

const server = createServer(async (req, res) => {
  const body = await text(req)
  const send = (document: object) =>
    res.setHeader('content-type', 'application/json').end(JSON.stringify(document))
  switch (req.url) {
    case '/v1/models':
      return send({ object: 'list', data: [{ id: 'tencent/HunyuanOCR', object: 'model' }] })
    case '/ocr/infer':
      return send({ text: TEXT, usage: USAGE })
    case '/v1/chat/completions': {
      if (!/"stream"\s*:\s*true/.test(body)) {
        const message = { role: 'assistant', content: TEXT }
        return send({ object: 'chat.completion', choices: [{ index: 0, message }], usage: USAGE })
      }
      res.setHeader('content-type', 'text/event-stream')
      const event = (document: object) => res.write(`data: ${JSON.stringify(document)}\n\n`)
      event({ choices: [{ index: 0, delta: { content: TEXT } }] })
      event({ choices: [], usage: USAGE })
      return res.end('data: [DONE]\n\n')
    }
    default:
      return send({ status: 'ok' })
  }
})
server.listen(8000, '127.0.0.1')
