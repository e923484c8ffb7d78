import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'

/**
 * To be imported before a program: on SIGUSR2 it begins to sample what is allocated, also what is soon garbage, and on the
 * next it writes V8's profile of that to the file that `SAMPLES_TO` names.
 */
const session = new Session()
session.connect()
let isSampling = false

process.on('SIGUSR2', () => {
  if (isSampling) {
    session.post('HeapProfiler.stopSampling', (error, result) => {
      if (error === null)
        writeFileSync(process.env['SAMPLES_TO'] ?? '', JSON.stringify(result.profile))
    })
  } else {
    const everything = {
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    }
    session.post('HeapProfiler.startSampling', { samplingInterval: 512, ...everything })
  }
  isSampling = !isSampling
})
