import { Counter, type Registry } from 'prom-client'

/** Whatever a label is fed with, its series stay bounded: values beyond these many are counted together. */
const MAX_VALUES = 200
export const OTHER = 'other'

type Cell = { count: number }

/** Counts by a word: a plain number for each, as prom-client would make and hash an object for every one counted. */
export type Tally = {
  count: (word: string) => void
  entries: () => Iterable<readonly [word: string, count: number]>
}

export function createTally(): Tally {
  const cells = new Map<string, Cell>()
  const cellOf = (word: string): Cell => {
    const name = cells.size < MAX_VALUES ? word : OTHER
    const cell = cells.get(name) ?? { count: 0 }
    cells.set(name, cell)
    return cell
  }
  return {
    count(word) {
      const cell = cells.get(word) ?? cellOf(word)
      cell.count += 1
    },
    *entries() {
      for (const [word, { count }] of cells) yield [word, count]
    },
  }
}

type Named = { name: string; help: string; registers: Registry[] }

/** A counter with one label, fed by what it returns. */
export function createLabelledCounter({ label, ...named }: Named & { label: string }): Tally {
  const tally = createTally()
  void new Counter({
    ...named,
    labelNames: [label],
    collect() {
      this.reset()
      for (const [word, count] of tally.entries()) this.inc({ [label]: word }, count)
    },
  })
  return tally
}

/** A counter with two labels, the first of which takes few values. */
export function createPairCounter({
  labels: [first, second],
  ...named
}: Named & { labels: readonly [string, string] }): { count: (a: string, b: string) => void } {
  const tallies = new Map<string, Tally>()
  const tallyOf = (word: string): Tally => {
    const name = tallies.size < MAX_VALUES ? word : OTHER
    const tally = tallies.get(name) ?? createTally()
    tallies.set(name, tally)
    return tally
  }
  void new Counter({
    ...named,
    labelNames: [first, second],
    collect() {
      this.reset()
      for (const [a, tally] of tallies) {
        for (const [b, count] of tally.entries()) this.inc({ [first]: a, [second]: b }, count)
      }
    },
  })
  return {
    count(a, b) {
      const tally = tallies.get(a) ?? tallyOf(a)
      tally.count(b)
    },
  }
}
