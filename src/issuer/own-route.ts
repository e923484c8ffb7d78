import type { IncomingMessage, ServerResponse } from 'node:http'

/** An endpoint of the issuer that is not oidc-provider's. */
export type OwnRoute = {
  path: string
  methods: readonly string[]
  /** Answers by itself; what it rejects with before that is answered as a problem, an AuthError with its challenge. */
  serve: (req: IncomingMessage, res: ServerResponse, requestId: string) => Promise<void>
}
