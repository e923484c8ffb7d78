import type {
  default as Provider,
  errors,
  ExternalSigningKey,
  interactionPolicy,
} from 'oidc-provider'

export type OidcProvider = {
  Provider: typeof Provider
  errors: typeof errors
  ExternalSigningKey: typeof ExternalSigningKey
  interactionPolicy: typeof interactionPolicy
}

/**
 * Loads the package without its notice on stderr: it takes the npm build of Node 26, which does not say that it is an
 * LTS line, for an unsupported runtime.
 */
export async function loadOidcProvider(): Promise<OidcProvider> {
  const { warn } = console
  console.warn = (...message: unknown[]) => {
    if (!String(message[0]).includes('Unsupported runtime')) warn(...message)
  }
  try {
    const oidc = await import('oidc-provider')
    const { default: Provider, errors, ExternalSigningKey, interactionPolicy } = oidc
    return { Provider, errors, ExternalSigningKey, interactionPolicy }
  } finally {
    console.warn = warn
  }
}
