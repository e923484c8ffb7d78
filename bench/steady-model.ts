import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** A model server that answers each request after 20 to 100 ms. Usage: `node steady-model.ts <port>` */
const ANSWER = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(300) } }],
  usage: { prompt_tokens: 800, completion_tokens: 100 },
})

createServer((req, res) => {
  req.resume().once('end', () => {
    if (req.url === '/health') return void res.end()
    void delay(20 + Math.random() * 80).then(() => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(ANSWER)
    })
  })
}).listen(Number(process.argv[2]), '0.0.0.0')
