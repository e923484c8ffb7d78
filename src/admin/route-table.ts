import { AppError } from '../kernel/errors.ts'

/** Where a request goes, and what its path says. */
export type Route<Target> = { target: Target; params: Record<string, string> }
type Routed = { method: string; path: string }

/**
 * Finds the target for a method and a path without its query. AppError `not_found` for an unknown path,
 * `method_not_allowed` for a known one. GET includes HEAD.
 */
export function createRouteTable<Target extends Routed>(targets: readonly Target[]) {
  const templates = targets.map((target) => ({ target, segments: target.path.split('/') }))

  return function findRoute(method: string, path: string): Route<Target> {
    const segments = path.split('/')
    const matches = templates.flatMap(({ target, segments: template }) => {
      const params = matchSegments(template, segments)
      return params === undefined ? [] : [{ target, params }]
    })
    if (matches.length === 0) throw new AppError('not_found', 'There is no such endpoint.')
    const wanted = method === 'HEAD' ? 'GET' : method
    const match = matches.find(({ target }) => target.method === wanted)
    if (match !== undefined) return match
    const methods = new Set(matches.map(({ target }) => target.method))
    if (methods.has('GET')) methods.add('HEAD')
    const allow = [...methods].join(', ')
    throw new AppError('method_not_allowed', `Only ${allow} here.`, { headers: { allow } })
  }
}

function matchSegments(
  template: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (template.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, part] of template.entries()) {
    const segment = segments[index] ?? ''
    const name = /^\{(\w+)\}$/.exec(part)?.[1]
    if (name === undefined) {
      if (part !== segment) return undefined
      continue
    }
    const value = decode(segment)
    if (value === undefined || value === '') return undefined
    params[name] = value
  }
  return params
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
