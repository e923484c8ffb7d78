import type { Context, Middleware, Next } from 'koa'
import type Provider from 'oidc-provider'
import type { Client, InteractionResults } from 'oidc-provider'
import { z } from 'zod'
import type { Log } from '../kernel/log.ts'
import type { Registry } from '../registry/registry.ts'
import { answerConsent } from './consent-step.ts'
import type { Consents } from './consents.ts'
import { readForm } from './form-body.ts'
import type { FormTokens } from './form-tokens.ts'
import type { LiveProvider } from './live-provider.ts'
import { expired, sendPage, type SentPage } from './page-responses.ts'
import { interactionOf, interactionPath } from './page-routes.ts'
import { textFor } from './pages/language.ts'
import type { PageText } from './pages/page-text.ts'
import { answerSignIn } from './sign-in-step.ts'

export type InteractionOptions = {
  provider: LiveProvider
  registry: Pick<Registry, 'users' | 'tenants'>
  consents: Consents
  formTokens: FormTokens
  /** Of a request that names none: needs no mention on a page. */
  defaultResource: string
  log: Log
}

const formSchema = z.object({
  form_token: z.string(),
  decision: z.enum(['sign_in', 'cancel', 'allow', 'deny']).catch('sign_in'),
  username: z.string().max(256).catch(''),
  password: z.string().max(1024).catch(''),
})
export type Form = z.infer<typeof formSchema>

export type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>

/** One step of an authorization, with all that a page about it needs. `form` is what was submitted, if anything. */
export type Step = {
  interaction: Interaction
  provider: Provider
  client: Client
  tenantId: string
  form: Form | undefined
  text: PageText
  action: string
  formToken: string
  address: string
  requestId: string
}

/** Another page, or how the step ended; then the authorization goes on. */
export type StepAnswer =
  | (SentPage & { status?: number; headers?: Readonly<Record<string, string>> })
  | { result: InteractionResults; keepsSignIn: boolean }

/** The pages between an authorization request and its response: sign-in and consent. */
export function serveInteractions(options: InteractionOptions): Middleware {
  return async function serveInteraction(ctx: Context, next: Next) {
    const uid = interactionOf(ctx.path)
    if (uid === undefined) return next()
    const step = await readStep(ctx, uid, options)
    const answer = await answerStep(step, options)
    if ('page' in answer) {
      ctx.status = answer.status ?? 200
      ctx.set({ ...answer.headers })
      sendPage(ctx, answer)
      return
    }
    const returnTo = await step.provider.interactionResult(ctx.req, ctx.res, answer.result, {
      mergeWithLastSubmission: answer.keepsSignIn,
    })
    // 303: the password stays behind, whatever the method was (RFC 9700 §4.12).
    ctx.status = 303
    ctx.redirect(returnTo)
  }
}

async function readStep(ctx: Context, uid: string, options: InteractionOptions): Promise<Step> {
  const provider = options.provider.current()
  const interaction = await provider.interactionDetails(ctx.req, ctx.res)
  if (interaction.uid !== uid) throw expired()
  const client = await provider.Client.find(String(interaction.params['client_id']))
  if (client === undefined) throw expired()
  const form = ctx.method === 'POST' ? formSchema.safeParse(await readForm(ctx.req)) : undefined
  if (form !== undefined && !options.formTokens.isValid(uid, form.data?.form_token ?? '')) {
    throw expired()
  }
  return {
    interaction,
    provider,
    client,
    tenantId: String(client['tenant_id']),
    form: form?.data,
    text: textFor(ctx),
    action: interactionPath(uid),
    formToken: options.formTokens.issue(uid),
    address: String(ctx.state['address']),
    requestId: String(ctx.state['requestId']),
  }
}

function answerStep(step: Step, options: InteractionOptions): StepAnswer | Promise<StepAnswer> {
  const decision = step.form?.decision
  if (decision === 'cancel' || decision === 'deny') {
    return { result: { error: 'access_denied' }, keepsSignIn: false }
  }
  switch (step.interaction.prompt.name) {
    case 'login':
      return answerSignIn(step, options)
    case 'consent':
      return answerConsent(step, options)
    default:
      throw new Error('a prompt that no policy asks for')
  }
}
