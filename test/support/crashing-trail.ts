import { openFileTrail } from '../../src/audit/open-file-trail.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { callFacts } from './audit-lines.ts'

/** Run as a process: records so many calls in that folder, and ends of a bug. */
const [, , dir = '', count = ''] = process.argv
const trail = await openFileTrail({
  dir,
  role: 'proxy',
  retentionDays: 1,
  onFailure: 'refuse',
  clock: systemClock,
  log: createLog('silent'),
})
for (let i = 0; i < Number(count); i += 1) trail.record(callFacts(`of ${process.pid}: ${i}`))
setImmediate(() => {
  throw new Error('a bug')
})
