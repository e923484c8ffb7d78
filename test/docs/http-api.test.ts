import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { ENDPOINTS } from '../../src/issuer/app.ts'
import { OWN_ENDPOINTS } from '../../src/issuer/own-route.ts'
import { FORWARD_AUTH_PATH } from '../../src/proxy/forward-auth.ts'
import { OWN_ROUTES } from '../../src/proxy/proxy.ts'
import { startAdminServer, type AdminServer } from '../support/admin-server.ts'
import { readPage } from '../support/markdown.ts'

const page = readPage('docs/http-api.md')

/** The rows of the table with that head: the routes that each names, and its other cells. */
function tableBelow(head: string): { routes: string[]; cells: string[] }[] {
  const [, after = ''] = page.split(`\n${head}\n`)
  const rows = after.split('\n').slice(1)
  const end = rows.findIndex((row) => !row.startsWith('|'))
  return rows.slice(0, end).map((row) => {
    const [first = '', ...cells] = row.slice(1, -1).split(' | ')
    return { routes: routesIn(first), cells }
  })
}

/** `GET`, `POST /a/b`, `…/c` is GET /a/b, POST /a/b, and POST /a/c; a query is left out. */
function routesIn(cell: string): string[] {
  let methods: string[] = []
  let path = ''
  return [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, code = '']) => {
    const [, method, target] = /^([A-Z]+)? ?([/…].*)?$/.exec(code) ?? []
    if (method !== undefined) methods = path === '' ? [...methods, method] : [method]
    if (target === undefined) {
      path = ''
      return []
    }
    path = target.replace('…', path.slice(0, path.lastIndexOf('/'))).replace(/\?.*/, '')
    return (methods.length === 0 ? ['any'] : methods).map((each) => `${each} ${path}`)
  })
}

const allRoutes = (head: string): string[] =>
  tableBelow(head)
    .flatMap(({ routes }) => routes)
    .sort()

test('docs/http-api.md names every endpoint of the issuer by its methods, and no other', () => {
  const served = Object.entries({ ...ENDPOINTS, ...OWN_ENDPOINTS }).flatMap(([path, methods]) =>
    methods
      .filter((method) => method !== 'HEAD')
      .map((method) => `${method} ${path.replace(':uid', '{uid}')}`),
  )
  expect(allRoutes('| issuer endpoint | |')).toEqual(served.sort())
})

test('it names every route of the proxy, and no other', () => {
  const { config } = loadConfig({ env: {} })
  const routes = [...(config?.proxy.routes ?? []), ...OWN_ROUTES]
  expect(allRoutes('| proxy route | needs |')).toEqual(
    [...routes.map(({ method, path }) => `${method} ${path}`), `any ${FORWARD_AUTH_PATH}`].sort(),
  )
})

test.each(['/livez', '/readyz', '/metrics'])('it names %s of the operators’ listeners', (path) => {
  expect(page).toContain(`\`${path}\``)
})

type Operation = { security: { adminToken: string[] }[] }

let admin: AdminServer
beforeAll(async () => {
  admin = await startAdminServer()
})
afterAll(() => admin.close())

test('it names every route of the admin API with the scope that it needs, and no other', async () => {
  const { body } = await admin.send('GET', 'openapi.json')
  const paths = body['paths'] as Record<string, Record<string, Operation>>
  const served = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(
      ([method, { security }]) =>
        `${method.toUpperCase()} ${path.replace('/admin/v1', '')}: ${security[0]?.adminToken.join()}`,
    ),
  )
  const named = tableBelow('| route | scope | |').flatMap(({ routes, cells: [scope = ''] }) =>
    routes.map((route) => `${route}: ${scope.match(/admin:\w+/g)?.[0]}`),
  )
  expect(named.sort()).toEqual(served.sort())
})
