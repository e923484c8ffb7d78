/**
 * Does the same work for all that came together, one after another, in place of each when it comes. What a processor has just
 * run for one it runs faster for the next, before other code takes its place in the caches (Larus and Parkes, "Using Cohort
 * Scheduling to Enhance Server Performance", 2002). Together is in one turn of the event loop, or only in one callback of it.
 */
export function inCohorts<Item>(
  work: (item: Item) => void,
  together: 'in turn' | 'in callback' = 'in turn',
): (item: Item) => void {
  const later = together === 'in turn' ? setImmediate : (run: () => void) => process.nextTick(run)
  let cohort: Item[] = []
  const workOff = () => {
    const items = cohort
    cohort = []
    for (const item of items) work(item)
  }
  return (item) => {
    if (cohort.length === 0) later(workOff)
    cohort.push(item)
  }
}
