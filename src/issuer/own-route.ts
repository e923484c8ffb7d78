import type { IncomingMessage, ServerResponse } from 'node:http'

/** Which endpoints of the issuer are not oidc-provider's, and by which methods. */
export const OWN_ENDPOINTS = {
  '/me': ['GET', 'HEAD', 'POST'],
  '/revocations': ['GET'],
  '/revocations/verifiers': ['POST'],
  '/revocations/instances': ['POST'],
} as const satisfies Record<string, readonly string[]>

export type OwnRoute = {
  path: keyof typeof OWN_ENDPOINTS
  /** Answers by itself; what it rejects with before that is answered as a problem, an AuthError with its challenge. */
  serve: (req: IncomingMessage, res: ServerResponse, requestId: string) => Promise<void>
}
