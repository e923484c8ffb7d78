import * as oauth4webapi from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

let model: ModelServer
let gatehouse: Gatehouse
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

test.each(['oidc', 'oauth2'] as const)(
  'openid-client discovers the issuer (%s) and gets a token that opens the proxy',
  async (algorithm) => {
    const { clientId, clientSecret } = await gatehouse.createClient()
    const server = new URL(gatehouse.config.issuer.url)
    const configuration = await openid.discovery(server, clientId, clientSecret, undefined, {
      algorithm,
      execute: [openid.allowInsecureRequests],
    })
    const tokens = await openid.clientCredentialsGrant(configuration, { scope: 'ocr_api_access' })
    const resource = new URL('/v1/models', gatehouse.config.proxy.url)
    const response = await openid.fetchProtectedResource(
      configuration,
      tokens.access_token,
      resource,
      'GET',
    )
    expect(response.status).toBe(200)
  },
)

test('oauth4webapi finds the issuer from a refusal of the proxy, and its validation accepts the token', async () => {
  const insecure = { [oauth4webapi.allowInsecureRequests]: true }
  const resource = new URL(gatehouse.config.proxy.url)
  const found = await oauth4webapi.resourceDiscoveryRequest(resource, insecure)
  const { authorization_servers } = await oauth4webapi.processResourceDiscoveryResponse(
    resource,
    found,
  )
  const issuer = new URL(authorization_servers?.[0] ?? '')
  const discovered = await oauth4webapi.discoveryRequest(issuer, {
    algorithm: 'oauth2',
    ...insecure,
  })
  const as = await oauth4webapi.processDiscoveryResponse(issuer, discovered)

  const { clientId, clientSecret } = await gatehouse.createClient()
  const client = { client_id: clientId }
  const response = await oauth4webapi.clientCredentialsGrantRequest(
    as,
    client,
    oauth4webapi.ClientSecretPost(clientSecret),
    {},
    insecure,
  )
  const tokens = await oauth4webapi.processClientCredentialsResponse(as, client, response)
  const request = new Request(resource, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  })
  const claims = await oauth4webapi.validateJwtAccessToken(as, request, resource.origin, insecure)
  expect(claims).toMatchObject({ client_id: clientId, scope: 'ocr_api_access' })
})
