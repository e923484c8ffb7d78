import { MEANINGS_ZH } from './settings-meanings-zh.ts'

/** What the tables of the settings say, in one language. */
export type SettingsWords = {
  /** Above the settings that stand in no section. */
  noSection: string
  settingHeads: readonly string[]
  memberHeads: readonly string[]
  entryOf: (path: string) => string
  /** Defaults that are too long for a table, and where they are written out. */
  elsewhere: Readonly<Record<string, string>>
  none: string
  yes: string
  optional: string
  mapping: string
  or: string
  listOf: (forms: string) => string
  range: (minimum: number, maximum: number) => string
  orMore: (minimum: number) => string
  /** A unit and a range. */
  inUnit: (unit: string, range: string) => string
  /** By how a setting's name ends. */
  units: readonly (readonly [ending: string, unit: string])[]
  /** Of the schema's forms of text, those that are said otherwise. */
  forms: Readonly<Record<string, string>>
  /** What the schema says of a setting, in English; undefined where nobody has said it in this language. */
  meaning: (english: string) => string | undefined
  /** What is said of settings that belong together. */
  group: (path: string, meaning: string) => string
}

export const ENGLISH: SettingsWords = {
  noSection: 'In no section',
  settingHeads: ['setting', 'default', 'values', 'SIGHUP', 'meaning'],
  memberHeads: ['member', 'values', 'meaning'],
  entryOf: (path) => `An entry of ${path}:`,
  elsewhere: { 'proxy.routes': '[this table](http-api.md#call-the-model)' },
  none: 'none',
  yes: 'yes',
  optional: ', optional',
  mapping: 'mapping',
  or: ', or ',
  listOf: (forms) => `list: ${forms}`,
  range: (minimum, maximum) => `${minimum} to ${maximum}`,
  orMore: (minimum) => `${minimum} or more`,
  inUnit: (unit, range) => `${unit}, ${range}`,
  units: [
    ['Seconds', 'seconds'],
    ['Bytes', 'bytes'],
    ['Days', 'days'],
  ],
  forms: {},
  meaning: (english) => english,
  group: (path, meaning) => `${path}: ${meaning}.`,
}

export const CHINESE: SettingsWords = {
  noSection: '不在任何一节里',
  settingHeads: ['设置', '默认值', '取值', 'SIGHUP', '含义'],
  memberHeads: ['成员', '取值', '含义'],
  entryOf: (path) => `${path} 的一项：`,
  elsewhere: { 'proxy.routes': '[这张表](http-api.md#调用模型)' },
  none: '无',
  yes: '是',
  optional: '，可选',
  mapping: '映射',
  or: '，或',
  listOf: (forms) => `列表：${forms}`,
  range: (minimum, maximum) => `${minimum} 到 ${maximum}`,
  orMore: (minimum) => `不小于 ${minimum}`,
  inUnit: (unit, range) => `${unit}，${range}`,
  units: [
    ['Seconds', '秒'],
    ['Bytes', '字节'],
    ['Days', '天'],
  ],
  forms: {
    text: '文本',
    path: '路径',
    '32 bytes in base64': 'base64 的 32 字节',
    'URL without a path': '不带路径的 URL',
    'CIDR block': 'CIDR 网段',
  },
  meaning: (english) => MEANINGS_ZH[english],
  group: (path, meaning) => `${path}：${meaning}。`,
}
