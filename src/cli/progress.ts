export type Progress = { update: (text: string) => void; done: () => void }

/** One line of progress on a terminal, overwritten in place; without a terminal nothing is written. */
export function createProgress(stderr: NodeJS.WriteStream): Progress {
  if (!stderr.isTTY) return { update: () => undefined, done: () => undefined }
  return {
    update: (text) => stderr.write(`\r\u001B[K${text}`),
    done: () => stderr.write('\r\u001B[K'),
  }
}
