import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { newUserSchema, type NewUserRequest, type User } from '../../src/registry/user.ts'
import { startGatehouse, type Gatehouse } from './gatehouse.ts'
import { createPkce, startRelyingParty, type RelyingParty } from './relying-party.ts'

export const PASSWORD = 'correct horse battery'

export type People = {
  gatehouse: Gatehouse
  issuer: string
  relyingParty: RelyingParty
  /** A public client that people sign in to; it may use the device flow and log out, too. */
  createApp: (request?: NewClientRequest) => Promise<string>
  createUser: (request: Omit<NewUserRequest, 'password'>) => Promise<User>
  /** Where a client sends the browser, and the verifier that goes with it. */
  authorization: (
    clientId: string,
    parameters?: Record<string, string>,
  ) => { url: string; verifier: string }
  /** What the token endpoint makes of a code. */
  redeem: (clientId: string, code: string, verifier: string) => Promise<TokenResponse>
  startDevice: (clientId: string) => Promise<DeviceResponse>
  pollDevice: (clientId: string, deviceCode: string) => Promise<TokenResponse>
  close: () => Promise<void>
}
export type TokenResponse = { access_token?: string; id_token?: string; error?: string }
export type DeviceResponse = {
  device_code: string
  user_code: string
  verification_uri: string
  verification_uri_complete: string
}

/** An issuer with people around it: a client's web server and ways to make clients and users. */
export async function startPeople(set: readonly string[] = []): Promise<People> {
  const gatehouse = await startGatehouse('http://127.0.0.1:9', set)
  const relyingParty = await startRelyingParty()
  const issuer = gatehouse.config.issuer.url
  const post = async <Body>(path: string, fields: Record<string, string>) => {
    const response = await fetch(issuer + path, {
      method: 'POST',
      body: new URLSearchParams(fields),
    })
    return (await response.json()) as Body
  }
  return {
    gatehouse,
    issuer,
    relyingParty,
    async createApp(request = {}) {
      const { clientId } = await gatehouse.createClient({
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
        redirect_uris: [relyingParty.callbackUrl],
        post_logout_redirect_uris: [relyingParty.postLogoutUrl],
        ...request,
      })
      return clientId
    },
    async createUser(request) {
      const wanted = newUserSchema.parse({ ...request, password: PASSWORD })
      const { tenants, users } = gatehouse.registry
      if ((await tenants.get(wanted.tenant_id)) === undefined) {
        await tenants.create(newTenantSchema.parse({ tenant_id: wanted.tenant_id }))
      }
      return users.create(wanted)
    },
    authorization(clientId, parameters = {}) {
      const { verifier, challenge } = createPkce()
      const query = new URLSearchParams({
        client_id: clientId,
        response_type: 'code',
        redirect_uri: relyingParty.callbackUrl,
        scope: 'openid ocr_api_access',
        state: 'the-state',
        code_challenge: challenge,
        code_challenge_method: 'S256',
        ...parameters,
      })
      return { url: `${issuer}/auth?${query.toString()}`, verifier }
    },
    redeem: (clientId, code, verifier) =>
      post('/token', {
        grant_type: 'authorization_code',
        client_id: clientId,
        code,
        code_verifier: verifier,
        redirect_uri: relyingParty.callbackUrl,
      }),
    startDevice: (clientId) =>
      post('/device/auth', { client_id: clientId, scope: 'openid ocr_api_access' }),
    pollDevice: (clientId, deviceCode) =>
      post('/token', {
        grant_type: DEVICE_CODE_GRANT,
        client_id: clientId,
        device_code: deviceCode,
      }),
    async close() {
      await relyingParty.close()
      await gatehouse.close()
    },
  }
}
