import { AppError } from '../kernel/errors.ts'

export type Route = {
  method: string
  /** Compared byte by byte with the request target's path: nothing is decoded or normalised. */
  path: string
  /** Every one of them is needed; undefined is a public route. */
  scopes: readonly string[] | undefined
}

export type RouteTable = {
  /** The route of a request. AppError `not_found`, or `method_not_allowed` with `Allow`. */
  match: (method: string, target: string) => Route
  /** What there is at the path of a target. AppError `not_found`. */
  at: (target: string) => { path: string; methods: readonly string[] }
}

/** Deny by default: only exact pairs of method and path are known. A GET route also answers HEAD. */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  const byPath = new Map<string, Map<string, Route>>()
  for (const route of routes) {
    const methods = byPath.get(route.path) ?? new Map<string, Route>()
    methods.set(route.method, route)
    byPath.set(route.path, methods)
  }
  const find = (target: string) => {
    const path = pathOf(target)
    const methods = byPath.get(path)
    if (methods === undefined) throw new AppError('not_found', 'There is no such route.')
    return { path, methods }
  }
  return {
    at(target) {
      const { path, methods } = find(target)
      return { path, methods: namesOf(methods) }
    },
    match(method, target) {
      const { methods } = find(target)
      const route = methods.get(method === 'HEAD' ? 'GET' : method)
      if (route !== undefined) return route
      const allow = namesOf(methods).join(', ')
      throw new AppError('method_not_allowed', `Only ${allow} here.`, { headers: { allow } })
    },
  }
}

function pathOf(target: string): string {
  const queryAt = target.indexOf('?')
  return queryAt === -1 ? target : target.slice(0, queryAt)
}

const namesOf = (methods: ReadonlyMap<string, Route>): string[] =>
  [...methods.keys()].flatMap((known) => (known === 'GET' ? ['GET', 'HEAD'] : [known]))
