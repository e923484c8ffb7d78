export type Sample = { name: string; labels: Record<string, string>; value: number }

export const readMetrics = async (opsListen: string): Promise<string> =>
  (await fetch(`http://${opsListen}/metrics`)).text()

/** The samples of a page in Prometheus' text format. */
export function samplesOf(text: string): Sample[] {
  return Array.from(
    text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm),
    ([, name = '', labels = '', value]) => ({
      name,
      labels: Object.fromEntries(
        Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, label = '', text = '']) => [
          label,
          text,
        ]),
      ),
      value: Number(value),
    }),
  )
}

/** How many calls a proxy has counted, by its metrics. */
export async function countedCalls(opsListen: string): Promise<number> {
  return samplesOf(await readMetrics(opsListen))
    .filter(({ name }) => name === 'gatehouse_proxy_requests_total')
    .reduce((sum, { value }) => sum + value, 0)
}
