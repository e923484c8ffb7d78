import { ERRORS } from '../src/kernel/errors.ts'

const HEADS = { en: '| status | code | title |', 'zh-CN': '| 状态 | 代码 | 标题 |' } as const

/** Every error that Gatehouse answers with, by status. Titles are what callers get, so they stay English. */
export function errorTable(language: keyof typeof HEADS): string {
  const rows = Object.entries(ERRORS)
    .sort(([, a], [, b]) => a.status - b.status)
    .map(([code, { status, title }]) => `| ${status} | \`${code}\` | ${title} |`)
  return [HEADS[language], '|---|---|---|', ...rows].join('\n')
}
