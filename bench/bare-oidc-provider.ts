import { createServer } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

/**
 * What oidc-provider does by itself: RS256 JWT access tokens by client credentials, one client whose secret is compared in
 * the clear, everything in memory. Usage: `node bare-oidc-provider.ts <port> <client id> <client secret>`
 */
const [port = '', clientId = '', clientSecret = ''] = process.argv.slice(2)
const RESOURCE = 'https://ocr.example'
const { privateKey } = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true })

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'bench', alg: 'RS256', use: 'sig' }] },
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ['ocr_api_access'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => ({
        audience: RESOURCE,
        scope: 'ocr_api_access',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 900,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
})
const callback = provider.callback()
createServer((req, res) => void callback(req, res)).listen(Number(port), '127.0.0.1')
