import { ENGINE, ENGINE_NOTE, MODEL } from './identity.ts'

const errorResponse = {
  description:
    'An RFC 9457 problem with the `error` member of OpenAI’s API: `unreadable_image`, `model_not_found`, `content_too_large`, …',
  content: {
    'application/problem+json': {
      schema: {
        type: 'object',
        required: ['type', 'title', 'status', 'detail', 'instance', 'error'],
        properties: {
          type: { type: 'string', examples: ['urn:gatehouse:error:unreadable_image'] },
          title: { type: 'string' },
          status: { type: 'integer' },
          detail: { type: 'string' },
          instance: { type: 'string', description: 'The request id' },
          error: {
            type: 'object',
            properties: {
              message: { type: 'string' },
              type: { type: 'string' },
              code: { type: 'string' },
            },
          },
        },
      },
    },
  },
}

const usage = {
  type: 'object',
  description: 'Rough counts: a token per Han character, per four others, per 28 × 28 pixels.',
  properties: {
    prompt_tokens: { type: 'integer' },
    completion_tokens: { type: 'integer' },
    total_tokens: { type: 'integer' },
  },
}

const chatRequest = {
  type: 'object',
  required: ['model', 'messages'],
  description: 'Other parameters of OpenAI’s API are accepted and ignored.',
  properties: {
    model: { const: MODEL },
    messages: {
      type: 'array',
      description: 'Exactly one `image_url` part in all, as a data URL in base64.',
      items: {
        type: 'object',
        properties: {
          role: { type: 'string' },
          content: {
            oneOf: [
              { type: 'string' },
              {
                type: 'array',
                items: {
                  oneOf: [
                    {
                      type: 'object',
                      required: ['type', 'text'],
                      properties: { type: { const: 'text' }, text: { type: 'string' } },
                    },
                    {
                      type: 'object',
                      required: ['type', 'image_url'],
                      properties: {
                        type: { const: 'image_url' },
                        image_url: { type: 'object', properties: { url: { type: 'string' } } },
                      },
                    },
                  ],
                },
              },
            ],
          },
        },
      },
    },
    stream: { type: 'boolean', default: false },
    stream_options: { type: 'object', properties: { include_usage: { type: 'boolean' } } },
    max_tokens: { type: 'integer', minimum: 1 },
  },
}

const inferResult = {
  type: 'object',
  properties: {
    text: { type: 'string', description: 'One line per line of the page' },
    lines: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          text: { type: 'string' },
          confidence: { type: 'number', minimum: 0, maximum: 100 },
          box: {
            type: 'array',
            description: 'Left, top, right, bottom in pixels of the upright image',
            items: { type: 'number' },
            minItems: 4,
            maxItems: 4,
          },
        },
      },
    },
    engine: { const: ENGINE },
    model: { const: MODEL },
    duration_ms: { type: 'number' },
    usage,
  },
}

const plainGet = (summary: string, type: string): object => ({
  get: { summary, responses: { 200: { description: summary, content: { [type]: {} } } } },
})

/** The OpenAPI 3.1 document of this server. */
export const API_DESCRIPTION = {
  openapi: '3.1.0',
  info: { title: 'Gatehouse bundled OCR', version: '1', description: ENGINE_NOTE },
  paths: {
    '/health': {
      get: {
        summary: 'Who answers, and whether the engine has loaded',
        responses: {
          200: { description: 'The engine can read' },
          503: { description: 'The engine is loading or could not be loaded' },
        },
      },
    },
    '/docs': plainGet('A page for people', 'text/html'),
    '/openapi.json': plainGet('This document', 'application/json'),
    '/v1/models': plainGet('The one model', 'application/json'),
    '/v1/chat/completions': {
      post: {
        summary: 'Read a page, in the shape of OpenAI’s chat completions',
        description:
          'Any prompt gets the recognised text. HunyuanOCR’s spotting prompt gets `text(x1,y1),(x2,y2)` per line, in coordinates from 0 to 1000.',
        requestBody: {
          required: true,
          content: { 'application/json': { schema: chatRequest } },
        },
        responses: {
          200: {
            description: 'A chat completion, or its chunks as server-sent events',
            content: { 'application/json': {}, 'text/event-stream': {} },
          },
          default: errorResponse,
        },
      },
    },
    '/ocr/infer': {
      post: {
        summary: 'Read a page, in the plain shape',
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['image'],
                properties: {
                  image: { type: 'string', description: 'Base64 or a data URL' },
                  prompt: { type: 'string' },
                },
              },
            },
            'multipart/form-data': {
              schema: {
                type: 'object',
                required: ['image'],
                properties: {
                  image: { type: 'string', format: 'binary', description: 'Or named `file`' },
                  prompt: { type: 'string' },
                },
              },
            },
          },
        },
        responses: {
          200: {
            description: 'The recognised text',
            content: { 'application/json': { schema: inferResult } },
          },
          default: errorResponse,
        },
      },
    },
  },
}
