import { MODEL } from './model.ts'

/** OpenAPI 3.1 of what the engine serves. */
export const OPENAPI = JSON.stringify({
  openapi: '3.1.0',
  info: {
    title: 'Gatehouse bundled OCR',
    version: '1',
    description: `A CPU engine that stands in for ${MODEL} and speaks its API. It is not the model.`,
  },
  paths: {
    '/health': { get: describe('Whether the engine has loaded: 200 or 503.') },
    '/v1/models': { get: describe('The model name that is served.') },
    '/v1/chat/completions': {
      post: describe(
        'Reads the images of a chat in the shape of the OpenAI API, streaming or not.',
        {
          'application/json': {
            schema: {
              type: 'object',
              required: ['model', 'messages'],
              properties: {
                model: { const: MODEL },
                messages: { type: 'array', items: { type: 'object' } },
                stream: { type: 'boolean' },
                stream_options: {
                  type: 'object',
                  properties: { include_usage: { type: 'boolean' } },
                },
              },
            },
          },
        },
      ),
    },
    '/ocr/infer': {
      post: describe('Reads one image.', {
        'application/json': {
          schema: {
            type: 'object',
            required: ['image'],
            properties: {
              image: { type: 'string', contentEncoding: 'base64' },
              prompt: { type: 'string' },
            },
          },
        },
        'multipart/form-data': {
          schema: { type: 'object', properties: { image: { type: 'string', format: 'binary' } } },
        },
      }),
    },
  },
})

function describe(summary: string, content?: object) {
  return {
    summary,
    ...(content === undefined ? {} : { requestBody: { required: true, content } }),
    responses: { 200: { description: 'Done' } },
  }
}

/** A page for people, with nothing from elsewhere in it. */
export const DOCS_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gatehouse bundled OCR</title>
<h1>Gatehouse bundled OCR</h1>
<p>A CPU engine that stands in for ${MODEL} and speaks its API, in English and simplified Chinese. It is not the model.</p>
<ul>
<li><code>POST /v1/chat/completions</code>: messages with an <code>image_url</code> data URL; <code>stream</code> and
<code>stream_options.include_usage</code> as in the OpenAI API.</li>
<li><code>POST /ocr/infer</code>: JSON with a base64 <code>image</code>, or multipart with a file <code>image</code>.</li>
<li><code>GET /v1/models</code>, <code>GET /health</code>, <a href="/openapi.json"><code>GET /openapi.json</code></a></li>
</ul>
</html>
`
