import { ERRORS } from '../src/kernel/errors.ts'

/** Every error that Gatehouse answers with, by status. */
export function errorTable(): string {
  const rows = Object.entries(ERRORS)
    .sort(([, a], [, b]) => a.status - b.status)
    .map(([code, { status, title }]) => `| ${status} | \`${code}\` | ${title} |`)
  return ['| status | code | title |', '|---|---|---|', ...rows].join('\n')
}
