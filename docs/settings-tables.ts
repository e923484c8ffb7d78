import { z } from 'zod'
import { isReloadable } from '../src/cli/reload.ts'
import { configJsonSchema, listSettings, type Setting } from '../src/config/settings.ts'

/** What the JSON Schema says about a setting, or a member of one. */
const nodeSchema = z.object({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  form: z.string().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  required: z.array(z.string()).default([]),
  get properties() {
    return z.record(z.string(), nodeSchema).optional()
  },
  get items() {
    return nodeSchema.optional()
  },
  get anyOf() {
    return z.array(nodeSchema).optional()
  },
  get additionalProperties() {
    return z.union([z.boolean(), nodeSchema]).optional()
  },
})
type Node = z.infer<typeof nodeSchema>

/** Defaults that are too long for a table, and where they are written out. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'proxy.routes': '[this table](http-api.md#call-the-model)',
}
const UNITS: readonly (readonly [ending: string, unit: string])[] = [
  ['Seconds', 'seconds'],
  ['Bytes', 'bytes'],
  ['Days', 'days'],
]

/** Every setting, section by section, and the members of those that are lists or mappings of something. */
export function settingsTables(): string {
  const root = nodeSchema.parse(configJsonSchema())
  const settings = listSettings().map((setting) => ({ setting, node: nodeAt(root, setting.path) }))
  const bySection = Map.groupBy(settings, ({ setting }) => sectionOf(setting.path))
  return [...bySection]
    .map(([section, entries]) =>
      [
        `## ${section === '' ? 'In no section' : `\`${section}\``}`,
        ...groupsIn(section, root.properties?.[section]),
        table(
          ['setting', 'default', 'values', 'SIGHUP', 'meaning'],
          entries.map(({ setting, node }) => rowOf(setting, node)),
        ),
        ...entries.flatMap(({ setting, node }) => membersOf(setting.path, node)),
      ].join('\n\n'),
    )
    .join('\n\n')
}

/** What stands in no section comes first. */
const sectionOf = (path: string): string => (path.includes('.') ? (path.split('.')[0] ?? '') : '')

/** What is said of settings that belong together. */
function groupsIn(path: string, node: Node | undefined): string[] {
  return Object.entries(node?.properties ?? {}).flatMap(([key, child]) =>
    child.properties === undefined || child.description === undefined
      ? []
      : [`\`${path}.${key}\`: ${child.description}.`],
  )
}

function rowOf({ path, envName, isSecret }: Setting, node: Node): string[] {
  return [
    `\`${path}\`<br>\`${envName}\`${isSecret ? ', `…_FILE`' : ''}`,
    ELSEWHERE[path] ?? describeDefault(node.default),
    describeValues(path, node),
    isReloadable(path) ? 'yes' : '',
    meaningOf(path, node),
  ]
}

function membersOf(path: string, node: Node): string[] {
  const entry = [node.items, ...(node.items?.anyOf ?? []), node.additionalProperties]
    .filter((each) => typeof each === 'object')
    .find(({ properties }) => properties !== undefined)
  if (entry?.properties === undefined) return []
  const rows = Object.entries(entry.properties).map(([name, member]) => [
    `\`${name}\`${entry.required.includes(name) ? '' : ', optional'}`,
    describeValues(name, member),
    meaningOf(`${path}.${name}`, member),
  ])
  return [`An entry of \`${path}\`:`, table(['member', 'values', 'meaning'], rows)]
}

function describeDefault(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none'
  const text = Array.isArray(value) ? value.join(',') : value
  return `\`${typeof text === 'string' ? text : JSON.stringify(text)}\``
}

function describeValues(path: string, node: Node): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ')
  if (node.type === 'boolean') return '`true`, `false`'
  if (node.type === 'integer' || node.type === 'number') return describeRange(path, node)
  if (node.type === 'array') return describeList(node.items)
  if (node.type === 'object') return 'mapping'
  return node.form ?? 'text'
}

function describeRange(path: string, { minimum = 0, maximum = Infinity }: Node): string {
  const unit = UNITS.find(([ending]) => path.endsWith(ending))?.[1]
  const range =
    maximum < Number.MAX_SAFE_INTEGER ? `${minimum} to ${maximum}` : `${minimum} or more`
  return unit === undefined ? range : `${unit}, ${range}`
}

function describeList(items: Node | undefined): string {
  const forms = [items, ...(items?.anyOf ?? [])].flatMap((item) =>
    item === undefined || item.anyOf !== undefined
      ? []
      : [item.properties === undefined ? (item.form ?? 'text') : 'mapping'],
  )
  return `list: ${forms.join(', or ')}`
}

function meaningOf(path: string, { description }: Node): string {
  if (description === undefined) throw new Error(`${path} has no description in src/config`)
  return description.replaceAll('|', '\\|')
}

function nodeAt(root: Node, path: string): Node {
  const found = path
    .split('.')
    .reduce<Node | undefined>((node, key) => node?.properties?.[key], root)
  if (found === undefined) throw new Error(`${path} is not in the JSON Schema`)
  return found
}

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${heads.join(' | ')} |`,
    `|${'---|'.repeat(heads.length)}`,
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n')
