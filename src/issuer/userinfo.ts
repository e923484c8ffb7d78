import { AuthError } from '../kernel/errors.ts'
import type { Users } from '../registry/registry.ts'
import type { OwnRoute } from './own-route.ts'
import type { TokenAuthenticator } from './token-authentication.ts'

export type UserinfoOptions = {
  authenticate: TokenAuthenticator
  users: Pick<Users, 'findIssuable'>
}

/** `GET` and `POST /me` (OpenID Connect Core §5.3): who signed in, for any live access token with the scope `openid`. */
export function createUserinfoRoute({ authenticate, users }: UserinfoOptions): OwnRoute {
  return {
    path: '/me',
    async serve(req, res, requestId) {
      const token = await authenticate(req, 'openid')
      const user = await users.findIssuable(token.subject)
      if (user === undefined) {
        throw new AuthError('invalid_token', 'The user of the token is not active.', {
          reason: 'user_not_active',
        })
      }
      const claims = {
        sub: user.sub,
        ...(token.scopes.includes('profile') && {
          preferred_username: user.username,
          ...(user.name !== '' && { name: user.name }),
        }),
      }
      res.writeHead(200, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'x-request-id': requestId,
      })
      res.end(JSON.stringify(claims))
    },
  }
}
