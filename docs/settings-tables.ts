import { z } from 'zod'
import { isReloadable } from '../src/cli/reload.ts'
import { configJsonSchema, listSettings, type Setting } from '../src/config/settings.ts'
import type { SettingsWords } from './settings-words.ts'

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

/** Every setting, section by section, and the members of those that are lists or mappings of something. */
export function settingsTables(words: SettingsWords): string {
  const root = nodeSchema.parse(configJsonSchema())
  const settings = listSettings().map((setting) => ({ setting, node: nodeAt(root, setting.path) }))
  const bySection = Map.groupBy(settings, ({ setting }) => sectionOf(setting.path))
  return [...bySection]
    .map(([section, entries]) =>
      [
        `## ${section === '' ? words.noSection : `\`${section}\``}`,
        ...groupsIn(section, root.properties?.[section], words),
        table(
          words.settingHeads,
          entries.map(({ setting, node }) => rowOf(setting, node, words)),
        ),
        ...entries.flatMap(({ setting, node }) => membersOf(setting.path, node, words)),
      ].join('\n\n'),
    )
    .join('\n\n')
}

/** What stands in no section comes first. */
const sectionOf = (path: string): string => (path.includes('.') ? (path.split('.')[0] ?? '') : '')

/** What is said of settings that belong together. */
function groupsIn(path: string, node: Node | undefined, words: SettingsWords): string[] {
  return Object.entries(node?.properties ?? {}).flatMap(([key, child]) =>
    child.properties === undefined || child.description === undefined
      ? []
      : [words.group(`\`${path}.${key}\``, meaningOf(`${path}.${key}`, child, words))],
  )
}

function rowOf({ path, envName, isSecret }: Setting, node: Node, words: SettingsWords): string[] {
  return [
    `\`${path}\`<br>\`${envName}\`${isSecret ? ', `…_FILE`' : ''}`,
    words.elsewhere[path] ?? describeDefault(node.default, words),
    describeValues(path, node, words),
    isReloadable(path) ? words.yes : '',
    meaningOf(path, node, words),
  ]
}

function membersOf(path: string, node: Node, words: SettingsWords): string[] {
  const entry = [node.items, ...(node.items?.anyOf ?? []), node.additionalProperties]
    .filter((each) => typeof each === 'object')
    .find(({ properties }) => properties !== undefined)
  if (entry?.properties === undefined) return []
  const rows = Object.entries(entry.properties).map(([name, member]) => [
    `\`${name}\`${entry.required.includes(name) ? '' : words.optional}`,
    describeValues(name, member, words),
    meaningOf(`${path}.${name}`, member, words),
  ])
  return [words.entryOf(`\`${path}\``), table(words.memberHeads, rows)]
}

function describeDefault(value: unknown, words: SettingsWords): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return words.none
  const text = Array.isArray(value) ? value.join(',') : value
  return `\`${typeof text === 'string' ? text : JSON.stringify(text)}\``
}

function describeValues(path: string, node: Node, words: SettingsWords): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ')
  if (node.type === 'boolean') return '`true`, `false`'
  if (node.type === 'integer' || node.type === 'number') {
    return describeRange(path, node, words)
  }
  if (node.type === 'array') return describeList(node.items, words)
  if (node.type === 'object') return words.mapping
  return formOf(node, words)
}

function describeRange(
  path: string,
  { minimum = 0, maximum = Infinity }: Node,
  words: SettingsWords,
): string {
  const unit = words.units.find(([ending]) => path.endsWith(ending))?.[1]
  const range =
    maximum < Number.MAX_SAFE_INTEGER ? words.range(minimum, maximum) : words.orMore(minimum)
  return unit === undefined ? range : words.inUnit(unit, range)
}

function describeList(items: Node | undefined, words: SettingsWords): string {
  const forms = [items, ...(items?.anyOf ?? [])].flatMap((item) =>
    item === undefined || item.anyOf !== undefined
      ? []
      : [item.properties === undefined ? formOf(item, words) : words.mapping],
  )
  return words.listOf(forms.join(words.or))
}

function formOf({ form = 'text' }: Node, words: SettingsWords): string {
  return words.forms[form] ?? form
}

function meaningOf(path: string, { description }: Node, words: SettingsWords): string {
  if (description === undefined) throw new Error(`${path} has no description in src/config`)
  const meaning = words.meaning(description)
  if (meaning === undefined) throw new Error(`${path} needs a translation of «${description}»`)
  return meaning.replaceAll('|', '\\|')
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
