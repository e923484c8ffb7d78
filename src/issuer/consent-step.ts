import type { Grant } from 'oidc-provider'
import { z } from 'zod'
import type { Registry } from '../registry/registry.ts'
import type { User } from '../registry/user.ts'
import { wordsOf } from '../tokens/scope.ts'
import type { Consents } from './consents.ts'
import { IDENTITY_SCOPES } from './issued-tokens.ts'
import type { Step, StepAnswer } from './interactions.ts'
import { expired } from './page-responses.ts'
import { renderConsentPage } from './pages/consent-page.ts'

const detailsSchema = z.object({
  missingOIDCScope: z.array(z.string()).default([]),
  missingOIDCClaims: z.array(z.string()).default([]),
  missingResourceScopes: z.record(z.string(), z.array(z.string())).default({}),
})
type Asked = z.infer<typeof detailsSchema>

type ConsentOptions = {
  registry: Pick<Registry, 'users' | 'tenants'>
  consents: Consents
  /** Needs no mention on the page. */
  defaultResource: string
}

/** Asks whether the client may have what it wants and the user can give, and writes a yes down. */
export async function answerConsent(step: Step, options: ConsentOptions): Promise<StepAnswer> {
  const { registry, consents } = options
  const { interaction, client, form } = step
  const user = await registry.users.findIssuable(interaction.session?.accountId ?? '')
  if (user === undefined) throw expired()
  const asked = detailsSchema.parse(interaction.prompt.details)
  const grant = await grantOf(step, user)
  const permissions = permissionsOf(step, { asked, grant, user })
  // What the user cannot give is left out without a word; where that is all, there is nothing to ask.
  const isAsked = permissions.length > 0 && form?.decision !== 'allow'
  if (isAsked) return askForConsent(step, { ...options, user, permissions })

  addTo(grant, asked, user)
  const grantId = await grant.save()
  await consents.remember(user.sub, client.clientId, {
    scopes: wordsOf(grant.getOIDCScope()),
    claims: grant.getOIDCClaims(),
    resources: Object.fromEntries(
      Object.keys(grant.resources ?? {}).map((resource) => [
        resource,
        wordsOf(grant.getResourceScope(resource)),
      ]),
    ),
  })
  return { result: { consent: { grantId } }, keepsSignIn: true }
}

async function grantOf({ interaction, provider, client }: Step, { sub }: User): Promise<Grant> {
  const existing = interaction.grantId && (await provider.Grant.find(interaction.grantId))
  return existing || new provider.Grant({ accountId: sub, clientId: client.clientId })
}

function addTo(grant: Grant, asked: Asked, user: User): void {
  const [given = [], withheld = []] = divide(asked.missingOIDCScope, user)
  if (given.length > 0) grant.addOIDCScope(given)
  if (withheld.length > 0) grant.rejectOIDCScope(withheld)
  if (asked.missingOIDCClaims.length > 0) grant.addOIDCClaims(asked.missingOIDCClaims)
  for (const [resource, scopes] of Object.entries(asked.missingResourceScopes)) {
    const [given = [], withheld = []] = divide(scopes, user)
    if (given.length > 0) grant.addResourceScope(resource, given)
    if (withheld.length > 0) grant.rejectResourceScope(resource, withheld)
  }
}

type Permission = { scope: string; resource?: string }

/** What is new; everything that is wanted where the client wants the user to be asked in any case (`prompt=consent`). */
function permissionsOf(
  { interaction }: Step,
  { asked, grant, user }: { asked: Asked; grant: Grant; user: User },
): Permission[] {
  const { scope: wantedScope } = interaction.params
  const wanted = typeof wantedScope === 'string' ? wordsOf(wantedScope) : []
  const isForced = interaction.prompt.reasons.includes('consent_prompt')
  const known = (scope: string) =>
    (isForced ? wordsOf(scope) : []).filter((each) => wanted.includes(each))
  const resources = new Set([
    ...Object.keys(asked.missingResourceScopes),
    ...Object.keys(grant.resources ?? {}),
  ])
  const atResources = [...resources].flatMap((resource) =>
    [
      ...known(grant.getResourceScope(resource)),
      ...(asked.missingResourceScopes[resource] ?? []).filter(canGive(user)),
    ].map((scope) => ({ scope, resource })),
  )
  // oidc-provider knows a scope of a resource as one of its own, too.
  const scopes = [...known(grant.getOIDCScope()), ...asked.missingOIDCScope].filter(
    (scope) =>
      canGive(user)(scope) && !atResources.some((permission) => permission.scope === scope),
  )
  return [...scopes.map((scope) => ({ scope })), ...atResources]
}

async function askForConsent(
  { client, interaction, tenantId, text, action, formToken }: Step,
  {
    registry,
    defaultResource,
    user,
    permissions,
  }: ConsentOptions & { user: User; permissions: readonly Permission[] },
): Promise<StepAnswer> {
  const { redirect_uri: redirectUri } = interaction.params
  const returnsTo = typeof redirectUri === 'string' ? redirectUri : undefined
  const tenant = await registry.tenants.get(tenantId)
  const page = renderConsentPage(text, {
    client: client.clientName ?? client.clientId,
    clientId: client.clientId,
    tenant: tenant?.name || tenantId,
    username: user.username,
    returnsTo: returnsTo && URL.parse(returnsTo)?.host,
    permissions: permissions.map(({ scope, resource }) =>
      resource === defaultResource ? { scope } : { scope, resource },
    ),
    action,
    formToken,
  })
  return { text, page, leadsTo: [returnsTo] }
}

/** What is about the user is the user's to give; of what resources offer, what an operator allowed. */
const canGive = (user: User) => (scope: string) =>
  [...IDENTITY_SCOPES, 'offline_access', ...wordsOf(user.scope)].includes(scope)

const divide = (scopes: readonly string[], user: User) => [
  scopes.filter(canGive(user)),
  scopes.filter((scope) => !canGive(user)(scope)),
]
