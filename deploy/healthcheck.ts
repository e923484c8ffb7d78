import process from 'node:process'

/**
 * Ends with 0 when at least one of the URLs that are its arguments is answered, and each that is answered is answered
 * well. One image serves the issuer, the proxy or both: who listens nowhere is not asked.
 */
const TIMEOUT_MS = 3000

const statuses = await Promise.all(process.argv.slice(2).map(statusOf))
const answered = statuses.filter((status) => status !== undefined)
process.exit(answered.length > 0 && answered.every((status) => status === 200) ? 0 : 1)

async function statusOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    return response.status
  } catch (error) {
    // Whoever listens and says nothing is not well.
    return error instanceof DOMException && error.name === 'TimeoutError' ? 0 : undefined
  }
}
