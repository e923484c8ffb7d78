import { z } from 'zod'
import { knownInstanceSchema } from '../store/instances.ts'
import { formatTime } from './output.ts'

/** As the admin API shows it. */
export const instanceSchema = knownInstanceSchema.extend({ ready: z.boolean() })
type Instance = z.infer<typeof instanceSchema>

export const INSTANCE_HEADINGS = ['ROLE', 'INSTANCE', 'VERSION', 'SINCE', 'MODEL SERVERS', 'STATE']

export function instanceRow({
  role,
  instance_id: id,
  version,
  started_at: since,
  ...rest
}: Instance): string[] {
  const usable = rest.upstreams.filter((upstream) => upstream.usable).length
  const servers = role === 'proxy' ? `${usable} of ${rest.upstreams.length}` : ''
  return [role, id, version, formatTime(since), servers, stateOf(rest)]
}

/** What is wrong, also where it goes on all the same. */
function stateOf({ ready, checks }: Pick<Instance, 'ready' | 'checks'>): string {
  const said = checks.flatMap(({ name, status, detail }) =>
    status === 'ok' && detail === undefined ? [] : [`${name}: ${detail ?? status}`],
  )
  return [ready ? 'ready' : 'not ready', ...said].join('; ')
}
