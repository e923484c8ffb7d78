import { Histogram, type Registry } from 'prom-client'

export type PlainHistogramOptions = {
  name: string
  help: string
  /** Upper bounds, in rising order. */
  buckets: readonly number[]
  registers: Registry[]
}

/**
 * A histogram without labels that is fed for next to nothing: prom-client's own observation makes and hashes objects, which
 * every request would pay for. Gives what observes a value.
 */
export function createPlainHistogram(options: PlainHistogramOptions): (value: number) => void {
  const bounds = options.buckets
  /** How many fell into each bucket, the last one being for what is above all bounds. */
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0
  void new CollectedHistogram(options, () => ({ counts, sum }))
  return function observe(value) {
    let i = 0
    while (value > (bounds[i] ?? Infinity)) i += 1
    counts[i] = (counts[i] ?? 0) + 1
    sum += value
  }
}

type Observed = { counts: Float64Array; sum: number }

class CollectedHistogram extends Histogram {
  readonly #options: PlainHistogramOptions
  readonly #read: () => Observed

  constructor(options: PlainHistogramOptions, read: () => Observed) {
    super({ ...options, buckets: [...options.buckets] })
    this.#options = options
    this.#read = read
  }

  /** What the registry writes, and what prom-client makes of it as JSON. */
  async getForPromString() {
    const { name, help, buckets } = this.#options
    const { counts, sum } = this.#read()
    let total = 0
    const sample = (suffix: string, value: number, labels: { le?: number | string } = {}) => ({
      metricName: `${name}_${suffix}`,
      labels,
      sharedLabels: {},
      value,
    })
    const values = [...counts].map((count, i) => {
      total += count
      return sample('bucket', total, { le: buckets[i] ?? '+Inf' })
    })
    values.push(sample('sum', sum), sample('count', total))
    return { name, help, type: 'histogram', aggregator: 'sum', values }
  }
}
