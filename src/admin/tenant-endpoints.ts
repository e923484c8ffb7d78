import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { identifierSchema } from '../registry/identifier.ts'
import type { Registry } from '../registry/registry.ts'
import {
  newTenantSchema,
  tenantSchema,
  tenantUpdateSchema,
  type Tenant,
} from '../registry/tenant.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { ADMIN_SCOPES, requireAtMostOwnPower } from './admin-scopes.ts'
import { defineEndpoint, noSuchThing, type Answer, type Endpoint } from './endpoint.ts'
import { pageOf, pageQuery } from './listing.ts'
import { makeOnce } from './repeated-requests.ts'

const TENANTS = '/admin/v1/tenants'
const TENANT = `${TENANTS}/{tenant_id}`
const params = z.object({ tenant_id: identifierSchema })
const ok = { status: 200, body: tenantSchema }

export function tenantEndpoints(registry: Registry): Endpoint[] {
  const { tenants } = registry
  return [
    defineEndpoint({
      method: 'POST',
      path: TENANTS,
      operation: 'admin.tenants.create',
      idMember: 'tenant_id',
      summary: 'Make a tenant',
      scope: 'admin:clients',
      takes: { body: newTenantSchema },
      answers: { status: 201, body: tenantSchema },
      isRepeatable: true,
      run: async ({ body, mark }) =>
        makeOnce(registry, mark, {
          make: async () => ({ ...shown(await tenants.create(body, mark)), status: 201 }),
          show: async (tenantId) => shown(await tenants.get(tenantId)),
        }),
    }),
    defineEndpoint({
      method: 'GET',
      path: TENANTS,
      operation: 'admin.tenants.list',
      summary: 'List the tenants, by id',
      scope: 'admin:read',
      takes: { query: z.strictObject(pageQuery) },
      answers: { status: 200, body: pageOf(tenantSchema) },
      run: async ({ query }) => ({ status: 200, body: await tenants.list(query) }),
    }),
    defineEndpoint({
      method: 'GET',
      path: TENANT,
      operation: 'admin.tenants.show',
      summary: 'Show a tenant',
      scope: 'admin:read',
      takes: { params },
      answers: ok,
      run: async ({ params }) => shown(await tenants.get(params.tenant_id)),
    }),
    defineEndpoint({
      method: 'PATCH',
      path: TENANT,
      operation: 'admin.tenants.update',
      summary: 'Change what is named; null takes limits away',
      scope: 'admin:clients',
      takes: { params, body: tenantUpdateSchema },
      answers: ok,
      run: async ({ params, body, expected }) =>
        shown(await tenants.update(params.tenant_id, body, expected)),
    }),
    defineEndpoint({
      method: 'POST',
      path: `${TENANT}/suspend`,
      operation: 'admin.tenants.suspend',
      summary: 'No tokens for the tenant from now on; those that it has are revoked',
      scope: 'admin:clients',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        requireOtherTenant(caller, params.tenant_id)
        requireAtMostOwnPower(caller, WHOEVER_IS_IN_IT)
        return shown(await tenants.suspend(params.tenant_id, expected))
      },
    }),
    defineEndpoint({
      method: 'POST',
      path: `${TENANT}/resume`,
      operation: 'admin.tenants.resume',
      summary: 'Tokens again; those from before stay revoked',
      scope: 'admin:clients',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        requireAtMostOwnPower(caller, WHOEVER_IS_IN_IT)
        return shown(await tenants.resume(params.tenant_id, expected))
      },
    }),
    defineEndpoint({
      method: 'DELETE',
      path: TENANT,
      operation: 'admin.tenants.delete',
      summary: 'Delete a tenant with its clients and users',
      scope: 'admin:clients',
      takes: { params },
      answers: { status: 204 },
      run: async ({ params, caller, expected }) => {
        requireOtherTenant(caller, params.tenant_id)
        requireAtMostOwnPower(caller, WHOEVER_IS_IN_IT)
        await tenants.delete(params.tenant_id, expected)
        return { status: 204 }
      },
    }),
  ]
}

/** A tenant goes with its clients and users, operators among them: only who has every admin scope may send it. */
const WHOEVER_IS_IN_IT = ADMIN_SCOPES.join(' ')

const shown = (tenant: Tenant | undefined): Answer => {
  if (tenant === undefined) throw noSuchThing()
  return { status: 200, body: tenant, version: tenant.version }
}

/** Whoever could lock themselves out would have nobody left to let them in again. */
function requireOtherTenant(caller: AccessToken, tenantId: string): void {
  if (caller.tenantId !== tenantId) return
  throw new AppError('in_use', 'It is your own tenant: you would lock yourself out.')
}
