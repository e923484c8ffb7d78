/** Where people's browsers go, and by which methods. */
export const PAGE_ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  '/auth': ['GET', 'POST'],
  '/auth/:uid': ['GET'],
  '/interaction/:uid': ['GET', 'POST'],
  '/device': ['GET', 'POST'],
  '/device/:uid': ['GET'],
  '/session/end': ['GET', 'POST'],
  '/session/end/confirm': ['POST'],
  '/session/end/success': ['GET'],
}

/** oidc-provider's identifiers; `/device/auth` is too short for one. */
const WITH_UID = /^\/(auth|interaction|device)\/([A-Za-z0-9_-]{20,64})$/

/** The endpoint of a path: itself, or the pattern that it is an instance of. */
export function endpointOf(path: string): string {
  return path.replace(WITH_UID, '/$1/:uid')
}

export const isPagePath = (path: string): boolean => Object.hasOwn(PAGE_ENDPOINTS, endpointOf(path))

export const interactionPath = (uid: string): string => `/interaction/${uid}`

/** The interaction that a path is about. */
export function interactionOf(path: string): string | undefined {
  const [, kind, uid] = WITH_UID.exec(path) ?? []
  return kind === 'interaction' ? uid : undefined
}
