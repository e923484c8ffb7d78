import { expect, test } from 'vitest'
import { readHttpApiPage, withErrorTable } from '../../docs/error-table.ts'

test('the error table in docs/http-api.md is what `npm run docs` makes of the catalogue', () => {
  const page = readHttpApiPage()
  expect(page).toContain('| 401 | `invalid_token` |')
  expect(withErrorTable(page)).toBe(page)
})
