/** How many calls a proxy has counted, by its metrics. */
export async function countedCalls(opsListen: string): Promise<number> {
  const text = await (await fetch(`http://${opsListen}/metrics`)).text()
  const samples = text.matchAll(/^gatehouse_proxy_requests_total\{[^}]*\} (\d+)$/gm)
  return Array.from(samples, ([, count]) => Number(count)).reduce((sum, one) => sum + one, 0)
}
