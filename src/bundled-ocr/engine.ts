import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { LanguageData } from './engine-packages.ts'
import type { EngineState } from './identity.ts'
import type { PageImage } from './page-image.ts'
import { startPageReader, type PageReader } from './page-reader.ts'
import { createReadingQueue } from './reading-queue.ts'
import { toRecognisedLines, type RecognisedLine } from './recognised-text.ts'

export type Engine = {
  /** Settled when the engine can read; rejected when it could not be loaded. */
  loaded: Promise<void>
  state: () => EngineState
  /** AppError `temporarily_unavailable` when too many pages wait. */
  requireRoom: () => void
  /**
   * Reads a page when its turn comes. AppError `unreadable_image` when the image is broken or takes too long,
   * `temporarily_unavailable` when too many wait or the engine cannot be loaded; the signal's reason when aborted.
   */
  read: (page: PageImage, options: ReadOptions) => Promise<RecognisedLine[]>
  close: () => Promise<void>
}

export type ReadOptions = { signal: AbortSignal; onProgress?: (fraction: number) => void }

export type EngineOptions = {
  languages: readonly LanguageData[]
  log: Log
  onLoading?: (fraction: number) => void
  maxWaiting?: number
  /** How long one page may take. */
  pageTimeoutMs?: number
}

const MAX_WAITING = 16
const PAGE_TIMEOUT_MS = 120_000
const RETRY_AFTER_SECONDS = '5'

/** Loads the engine in the background; a reader that failed, or whose page nobody wants any more, is replaced. */
export function startEngine(options: EngineOptions): Engine {
  const { languages, log, onLoading = () => {}, pageTimeoutMs = PAGE_TIMEOUT_MS } = options
  const queue = createReadingQueue(options.maxWaiting ?? MAX_WAITING)
  let state: EngineState = 'loading'
  let isClosed = false

  const startReader = (): PageReader => {
    const started = startPageReader({ languages, onLoading })
    started.loaded.then(
      () => (state = 'ok'),
      () => (state = 'failed'),
    )
    return started
  }
  let reader = startReader()
  const { loaded } = reader

  /** Within a page's turn, so that nobody else is using the reader. */
  const replaceReader = async (): Promise<void> => {
    await reader.stop()
    if (!isClosed) reader = startReader()
  }

  const readNow = async (page: PageImage, { signal, onProgress }: ReadOptions) => {
    await reader.loaded.catch(async (error: unknown) => {
      log.error({ event: 'bundled_ocr.load_failed', err: error }, 'the OCR engine did not load')
      await replaceReader()
      throw new AppError('temporarily_unavailable', 'The OCR engine could not be loaded.', {
        cause: error,
        headers: { 'retry-after': RETRY_AFTER_SECONDS },
      })
    })
    signal.throwIfAborted()
    const timeout = AbortSignal.timeout(pageTimeoutMs)
    try {
      const words = await orAbort(
        reader.read(page.bytes, onProgress ?? (() => {})),
        AbortSignal.any([signal, timeout]),
      )
      return toRecognisedLines(words)
    } catch (error) {
      if (error instanceof AppError) throw error
      await replaceReader()
      signal.throwIfAborted()
      throw new AppError('unreadable_image', explainFailure(timeout), { cause: error })
    }
  }

  return {
    loaded,
    state: () => state,
    requireRoom: () => queue.requireRoom(),
    read: (page, readOptions) => queue.run(() => readNow(page, readOptions), readOptions.signal),
    close: async () => {
      isClosed = true
      await reader.stop()
    },
  }
}

function explainFailure(timeout: AbortSignal): string {
  return timeout.aborted
    ? 'The image takes too long to read: send a smaller or a clearer one.'
    : 'The engine gave up on this image: send a smaller or a clearer one.'
}

/** The promise, unless the signal is aborted first: then its reason. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
