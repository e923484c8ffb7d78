import { AppError } from '../kernel/errors.ts'

export type Route = {
  method: string
  /**
   * Compared byte by byte with the request target's path: nothing is decoded or normalised. A segment `{name}` stands for any
   * one that nobody can read as more than that.
   */
  path: string
  /** Every one of them is needed; undefined is a public route. */
  scopes: readonly string[] | undefined
  maxBodyBytes: number
  /** How long the model server may take to begin its answer, and either side to go on with an exchange. */
  firstByteMs: number
  idleMs: number
}

export type RouteTable = {
  /** The route of a request. AppError `not_found`, or `method_not_allowed` with `Allow`. */
  match: (method: string, target: string) => Route
  /** What there is at the path of a target. AppError `not_found`. */
  at: (target: string) => { path: string; methods: readonly string[] }
}

type Place = { path: string; routes: Map<string, Route> }

/** Deny by default: only declared pairs of method and path are known. A GET route also answers HEAD. */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  const places = placesOf(routes)
  const exact = new Map(places.map((place) => [place.path, place]))
  const patterns = places
    .filter(({ path }) => path.includes('{'))
    .map((place) => ({ place, segments: place.path.split('/') }))

  function find(target: string): Place {
    const path = pathOf(target)
    const place = exact.get(path) ?? patterns.find(({ segments }) => fits(segments, path))?.place
    if (place === undefined) throw new AppError('not_found', 'There is no such route.')
    return place
  }

  return {
    at(target) {
      const place = find(target)
      return { path: place.path, methods: methodsOf(place) }
    },
    match(method, target) {
      const place = find(target)
      const route = place.routes.get(method === 'HEAD' ? 'GET' : method)
      if (route !== undefined) return route
      const allow = methodsOf(place).join(', ')
      throw new AppError('method_not_allowed', `Only ${allow} here.`, { headers: { allow } })
    },
  }
}

/** The path of a request target, as it is. */
export function pathOf(target: string): string {
  const queryAt = target.indexOf('?')
  return queryAt === -1 ? target : target.slice(0, queryAt)
}

function placesOf(routes: readonly Route[]): Place[] {
  const byPath = new Map<string, Place>()
  for (const route of routes) {
    const place = byPath.get(route.path) ?? { path: route.path, routes: new Map() }
    place.routes.set(route.method, route)
    byPath.set(route.path, place)
  }
  return [...byPath.values()]
}

const methodsOf = ({ routes }: Place): string[] =>
  [...routes.keys()].flatMap((known) => (known === 'GET' ? ['GET', 'HEAD'] : [known]))

function fits(segments: readonly string[], path: string): boolean {
  const given = path.split('/')
  return (
    given.length === segments.length &&
    segments.every((segment, i) => {
      const one = given[i] ?? ''
      return segment.startsWith('{') ? isPlainSegment(one) : segment === one
    })
  )
}

/**
 * What RFC 3986 §3.3 allows without what some server reads as more than one segment, or as none: encoded slashes, backslashes,
 * dots, percent signs and control characters; `;`, which ends a segment for some; dots alone.
 */
const SEGMENT = /^(?:[A-Za-z0-9._~:@!$&'()*+,=-]|%(?!2[EF5]|5C|[01]|7F)[0-9A-F]{2})+$/i
const DOTS = /^\.+$/

const isPlainSegment = (segment: string): boolean => SEGMENT.test(segment) && !DOTS.test(segment)
