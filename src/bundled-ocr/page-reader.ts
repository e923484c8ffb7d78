import { Worker } from 'node:worker_threads'
import { AppError } from '../kernel/errors.ts'
import type { LanguageData } from './engine-packages.ts'
import { readerMessageSchema, type ReaderMessage } from './page-reader-messages.ts'
import type { Word } from './words.ts'

/** One life of the OCR engine, in a thread of its own: it can be ended in the middle of a page. */
export type PageReader = {
  /** Settled when the engine has loaded; rejected when the thread ends before. */
  loaded: Promise<void>
  /**
   * Reads one page at a time; gives the words line by line. AppError `unreadable_image` when the engine cannot decode
   * it, any other error when the thread has ended.
   */
  read: (bytes: Uint8Array, onProgress: (fraction: number) => void) => Promise<Word[][]>
  stop: () => Promise<void>
}

type Reading = PromiseWithResolvers<Word[][]> & { onProgress: (fraction: number) => void }

export function startPageReader(options: {
  languages: readonly LanguageData[]
  onLoading: (fraction: number) => void
}): PageReader {
  const { languages, onLoading } = options
  const thread = startThread(languages)
  const loaded = Promise.withResolvers<void>()
  let reading: Reading | undefined
  let death: Error | undefined

  const settle = (message: ReaderMessage): void => {
    switch (message.kind) {
      case 'loading':
        return onLoading(message.fraction)
      case 'loaded':
        return loaded.resolve()
      case 'reading':
        return reading?.onProgress(message.fraction)
      case 'page':
        return reading?.resolve(message.lines)
      case 'unreadable':
        return reading?.reject(
          new AppError('unreadable_image', 'The image is broken or cut off: it cannot be decoded.'),
        )
    }
  }
  const die = (error: Error): void => {
    death ??= error
    loaded.reject(death)
    reading?.reject(death)
  }
  thread.on('message', (message) => settle(readerMessageSchema.parse(message)))
  thread.on('error', (error) => die(new Error('the OCR thread failed', { cause: error })))
  thread.on('exit', () => die(new Error('the OCR thread has ended')))
  // Whoever reads a page hears of it; nobody else has to listen.
  loaded.promise.catch(() => {})

  return {
    loaded: loaded.promise,
    read: (bytes, onProgress) => {
      if (death) return Promise.reject(death)
      reading = { ...Promise.withResolvers<Word[][]>(), onProgress }
      thread.postMessage(bytes)
      return reading.promise
    },
    stop: async () => {
      await thread.terminate()
    },
  }
}

function startThread(languages: readonly LanguageData[]): Worker {
  const thread = new Worker(new URL('page-reader-thread.ts', import.meta.url), {
    workerData: { languages },
    // The engine's decoders write about every broken image; the caller is told instead.
    stdout: true,
    stderr: true,
  })
  thread.stdout.resume()
  thread.stderr.resume()
  return thread
}
