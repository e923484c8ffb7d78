import type { IncomingMessage } from 'node:http'

/** How much all that wait may have in memory together, beyond the first 64 KiB of each that Node takes by itself. */
const TOTAL_BYTES = 32 * 1024 * 1024
/** Each may take so much of what is left, so that large bodies leave room to smaller ones. */
const SHARE = 1 / 8

export type ReadAhead = {
  /**
   * Reads the body during the wait, where its declared length is at most an eighth of what is left: its end comes behind
   * its last byte, and so does the news that the client has gone. Others stay unread. The result is the wait's own.
   */
  during: <T>(
    req: IncomingMessage,
    contentLength: number | undefined,
    wait: Promise<T>,
  ) => Promise<T>
}

export function createReadAhead(totalBytes = TOTAL_BYTES): ReadAhead {
  let leftBytes = totalBytes
  return {
    async during(req, contentLength = 0, wait) {
      const isTaken = contentLength <= req.readableHighWaterMark || req.complete
      if (isTaken || contentLength > leftBytes * SHARE) return wait
      leftBytes -= contentLength
      try {
        // More than there will be: it gives nothing, but lets the request's own buffer fill up to that.
        req.read(contentLength + 1)
        return await wait
      } catch (error) {
        // Node throws away only a body of which nothing was ever read.
        req.resume()
        throw error
      } finally {
        leftBytes += contentLength
      }
    },
  }
}
