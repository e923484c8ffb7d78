import type { IncomingMessage, ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'
import type { Log } from '../kernel/log.ts'
import type { Ring } from '../keys/ring.ts'
import type { RingSource } from '../keys/ring-source.ts'

/** The provider of the ring as it stands: oidc-provider takes its keys when it is built, so a new ring needs a new one. */
export type LiveProvider = {
  current: () => Provider
  handle: (req: IncomingMessage, res: ServerResponse) => Promise<void>
  close: () => void
}

export type LiveProviderOptions = {
  ring: RingSource
  build: (ring: Ring) => Promise<Provider>
  log: Log
}

/** Requests that have begun end with the provider that they began with. */
export async function createLiveProvider(options: LiveProviderOptions): Promise<LiveProvider> {
  const { ring, build, log } = options
  let wanted = ring.current()
  let serving = servingOf(await build(wanted))

  const swap = async () => {
    const current = ring.current()
    wanted = current
    const built = servingOf(await build(current))
    // A build that took longer than a later one must not undo it.
    if (current === wanted) serving = built
  }
  const stop = ring.onChange(() => {
    swap().catch((error: unknown) =>
      log.error({ event: 'keys.swap_failed', err: error }, 'the new key ring is not in use'),
    )
  })
  return {
    current: () => serving.provider,
    handle: (req, res) => serving.handle(req, res),
    close: stop,
  }
}

function servingOf(provider: Provider) {
  return { provider, handle: provider.callback() }
}
