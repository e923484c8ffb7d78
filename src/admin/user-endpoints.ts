import { z } from 'zod'
import type { Page, Registry } from '../registry/registry.ts'
import { DEFAULT_TENANT_ID } from '../registry/tenant.ts'
import {
  newPasswordSchema,
  newUserSchema,
  usernameSchema,
  userSchema,
  userSubjectSchema,
  userUpdateSchema,
  type User,
} from '../registry/user.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { requireAtMostOwnPower } from './admin-scopes.ts'
import { defineEndpoint, noSuchThing, type Answer, type Endpoint } from './endpoint.ts'
import { requireKnownScopes } from './known-scopes.ts'
import { pageOf, tenantPageQuery } from './listing.ts'
import { makeOnce } from './repeated-requests.ts'

const USERS = '/admin/v1/users'
const USER = `${USERS}/{sub}`
const params = z.object({ sub: userSubjectSchema })
const ok = { status: 200, body: userSchema }
const listQuery = z.strictObject({
  ...tenantPageQuery,
  username: usernameSchema.optional().describe('the one of that name in the tenant'),
})

export type UserEndpointsOptions = { registry: Registry; scopes: readonly string[] }

export function userEndpoints({ registry, scopes }: UserEndpointsOptions): Endpoint[] {
  const { users } = registry
  const requireMine = async (caller: AccessToken, sub: string) => {
    const user = await users.get(sub)
    if (user === undefined) throw noSuchThing()
    requireAtMostOwnPower(caller, user.scope)
  }

  const list = async (query: z.output<typeof listQuery>): Promise<Page<User>> => {
    const { tenant_id: tenantId, username, ...page } = query
    if (username === undefined) return users.list({ ...page, tenantId })
    const user = await users.find(tenantId ?? DEFAULT_TENANT_ID, username)
    return { items: user === undefined ? [] : [user] }
  }

  return [
    defineEndpoint({
      method: 'POST',
      path: USERS,
      operation: 'admin.users.create',
      idMember: 'sub',
      summary: 'Make a user',
      scope: 'admin:users',
      takes: { body: newUserSchema },
      answers: { status: 201, body: userSchema },
      isRepeatable: true,
      run: async ({ body, caller, mark }) => {
        requireKnownScopes(body.scope, scopes)
        requireAtMostOwnPower(caller, body.scope)
        return makeOnce(registry, mark, {
          make: async () => ({ ...shown(await users.create(body, mark)), status: 201 }),
          show: async (sub) => shown(await users.get(sub)),
        })
      },
    }),
    defineEndpoint({
      method: 'GET',
      path: USERS,
      operation: 'admin.users.list',
      summary: 'List the users, those of one tenant by name',
      scope: 'admin:read',
      takes: { query: listQuery },
      answers: { status: 200, body: pageOf(userSchema) },
      run: async ({ query }) => ({ status: 200, body: await list(query) }),
    }),
    defineEndpoint({
      method: 'GET',
      path: USER,
      operation: 'admin.users.show',
      summary: 'Show a user',
      scope: 'admin:read',
      takes: { params },
      answers: ok,
      run: async ({ params }) => shown(await users.get(params.sub)),
    }),
    defineEndpoint({
      method: 'PATCH',
      path: USER,
      operation: 'admin.users.update',
      summary: 'Change what is named; null takes limits away',
      scope: 'admin:users',
      takes: { params, body: userUpdateSchema },
      answers: ok,
      run: async ({ params, body, caller, expected }) => {
        requireKnownScopes(body.scope ?? '', scopes)
        requireAtMostOwnPower(caller, body.scope ?? '')
        await requireMine(caller, params.sub)
        return shown(await users.update(params.sub, body, expected))
      },
    }),
    defineEndpoint({
      method: 'PUT',
      path: `${USER}/password`,
      operation: 'admin.users.set-password',
      summary: 'Set a password and revoke the tokens of the user',
      scope: 'admin:users',
      takes: { params, body: newPasswordSchema },
      answers: ok,
      run: async ({ params, body, caller, expected }) => {
        await requireMine(caller, params.sub)
        return shown(await users.setPassword(params.sub, body.password, expected))
      },
    }),
    defineEndpoint({
      method: 'POST',
      path: `${USER}/disable`,
      operation: 'admin.users.disable',
      summary: 'No tokens for the user from now on; those that it has are revoked',
      scope: 'admin:users',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        await requireMine(caller, params.sub)
        return shown(await users.disable(params.sub, expected))
      },
    }),
    defineEndpoint({
      method: 'POST',
      path: `${USER}/enable`,
      operation: 'admin.users.enable',
      summary: 'Tokens again; those from before stay revoked',
      scope: 'admin:users',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        await requireMine(caller, params.sub)
        return shown(await users.enable(params.sub, expected))
      },
    }),
    defineEndpoint({
      method: 'DELETE',
      path: USER,
      operation: 'admin.users.delete',
      summary: 'Delete a user',
      scope: 'admin:users',
      takes: { params },
      answers: { status: 204 },
      run: async ({ params, caller, expected }) => {
        await requireMine(caller, params.sub)
        await users.delete(params.sub, expected)
        return { status: 204 }
      },
    }),
  ]
}

const shown = (user: User | undefined): Answer => {
  if (user === undefined) throw noSuchThing()
  return { status: 200, body: user, version: user.version }
}
