/** The share of the truth's words that were read, in their order. */
export function wordAccuracy(truth: string, read: string): number {
  const expected = truth.split(/\s+/).filter(Boolean)
  const actual = read.split(/\s+/).filter(Boolean)
  let previous = Array.from({ length: actual.length + 1 }, () => 0)
  for (const word of expected) {
    const current = [0]
    for (const [j, candidate] of actual.entries()) {
      const longest = Math.max(previous[j + 1] ?? 0, current[j] ?? 0)
      current.push(word === candidate ? (previous[j] ?? 0) + 1 : longest)
    }
    previous = current
  }
  return (previous.at(-1) ?? 0) / expected.length
}

/** One less the edit distance over the truth's length; spaces do not count. */
export function characterAccuracy(truth: string, read: string): number {
  const expected = Array.from(truth.replace(/\s/g, ''))
  const actual = Array.from(read.replace(/\s/g, ''))
  let previous = [0, ...actual.map((_char, i) => i + 1)]
  for (const [i, char] of expected.entries()) {
    const current = [i + 1]
    for (const [j, candidate] of actual.entries()) {
      const replaced = (previous[j] ?? 0) + (char === candidate ? 0 : 1)
      current.push(Math.min(replaced, (previous[j + 1] ?? 0) + 1, (current[j] ?? 0) + 1))
    }
    previous = current
  }
  return 1 - (previous.at(-1) ?? 0) / expected.length
}
