import { z } from 'zod'
import { configSchema, type Config } from './schema.ts'

/** One leaf of the schema: where it stands, what it is called in the environment, and how its text becomes a value. */
export type Setting = {
  /** `proxy.maxBodyBytes` */
  path: string
  /** `GATEHOUSE_PROXY__MAX_BODY_BYTES` */
  envName: string
  type: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object'
  isSecret: boolean
}

const jsonSchemaNode = z.object({
  type: z.enum(['string', 'integer', 'number', 'boolean', 'array', 'object']),
  get properties() {
    return z.record(z.string(), jsonSchemaNode).optional()
  },
  items: z
    .object({
      type: z.string().optional(),
      anyOf: z.array(z.object({ type: z.string().optional() })).optional(),
    })
    .optional(),
  secret: z.boolean().optional(),
})
type JsonSchemaNode = z.infer<typeof jsonSchemaNode>

/** The JSON Schema (draft 2020-12) of the configuration file. */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: 'input' })
}

/** Every setting of the schema, in its order. */
export function listSettings(): Setting[] {
  return leavesOf(jsonSchemaNode.parse(configJsonSchema()), [])
}

function leavesOf(node: JsonSchemaNode, path: readonly string[]): Setting[] {
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([key, child]) =>
      leavesOf(child, [...path, key]),
    )
  }
  const itemTypes = (node.items?.anyOf ?? [node.items]).map((item) => item?.type)
  // What may be a mapping or a text is a text there.
  const listOfObjects = node.type === 'array' && !itemTypes.includes('string')
  return [
    {
      path: path.join('.'),
      envName: `GATEHOUSE_${path.map(toUpperSnake).join('__')}`,
      type: listOfObjects ? 'object' : node.type,
      isSecret: node.secret === true,
    },
  ]
}

/** What a configuration says for a setting: `valueOf(config, 'proxy.maxBodyBytes')`. */
export function valueOf(config: Config, path: string): unknown {
  return path.split('.').reduce<unknown>((node, key) => {
    return typeof node === 'object' && node !== null
      ? Object.entries(node).find(([name]) => name === key)?.[1]
      : undefined
  }, config)
}

const toUpperSnake = (camel: string): string =>
  camel.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()

/** Turns a setting's text (from the environment or a flag) into what the schema expects; it judges no value. */
export function parseSettingText(setting: Setting, text: string): unknown {
  switch (setting.type) {
    case 'string':
      return text
    case 'integer':
      return /^-?\d+$/.test(text) ? Number(text) : text
    case 'number':
      return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
      return text.split(',').map((part) => part.trim())
    case 'object':
      return parseJson(text)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
