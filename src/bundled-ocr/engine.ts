import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { AppError, ConfigError } from '../kernel/errors.ts'
import { LANGUAGES, type RecognisedLine, type ThreadAnswer } from './engine-messages.ts'

export type OcrEngine = {
  /** Settles when the engine has loaded; fails with what kept it from loading. */
  loaded: Promise<void>
  /** Reads one image; call it again only when the last has been read. `unreadable_image` when it cannot be. */
  recognize: (image: Buffer) => Promise<RecognisedLine[]>
  close: () => Promise<void>
}

export type OcrProgress = { stage: 'loading' | 'reading'; fraction: number }

const PAGE_TIMEOUT_MS = 120_000
const THREAD = new URL('./engine-thread.ts', import.meta.url)
const PACKAGES = ['tesseract.js', ...LANGUAGES.map((code) => `@tesseract.js-data/${code}`)]

/** Throws a ConfigError that says what to install when one of the optional packages is not there. */
export function requireInstalled(): void {
  const { resolve } = createRequire(import.meta.url)
  try {
    for (const name of PACKAGES) resolve(`${name}/package.json`)
  } catch {
    throw new ConfigError(
      ['the bundled OCR engine is not installed'],
      `install it with: npm install ${PACKAGES.join(' ')}`,
    )
  }
}

/**
 * Tesseract, compiled to WebAssembly, in a thread of its own, with everything it needs from node_modules. An image that
 * makes it fail, or keeps it for more than two minutes, costs that thread and not the process: a new one takes over.
 */
export function startOcrEngine(
  onProgress: (progress: OcrProgress) => void,
  pageTimeoutMs = PAGE_TIMEOUT_MS,
): OcrEngine {
  let thread = startThread()
  let loaded = loadedBy(thread)

  function startThread(): Worker {
    // Tesseract writes remarks about resolutions to stdout and stderr: they go nowhere.
    const started = new Worker(THREAD, { stdout: true, stderr: true })
    started.on('message', (answer: ThreadAnswer) => {
      if (answer.kind === 'progress') onProgress(answer)
    })
    started.on('error', () => undefined)
    return started
  }

  async function replaceThread(): Promise<void> {
    const old = thread
    thread = startThread()
    loaded = loadedBy(thread)
    await old.terminate()
  }

  return {
    get loaded() {
      return loaded
    },
    async recognize(image) {
      await loaded
      const answered = nextAnswer(thread, pageTimeoutMs)
      thread.postMessage(image)
      try {
        const answer = await answered
        if (answer.kind === 'lines') return answer.lines
      } catch (cause) {
        await replaceThread()
        throw unreadable(cause)
      }
      throw unreadable()
    },
    async close() {
      await thread.terminate()
    },
  }
}

function loadedBy(thread: Worker): Promise<void> {
  const loaded = nextAnswer(thread, PAGE_TIMEOUT_MS).then(() => undefined)
  // Whoever waits for it is told; if nobody does, the process must not hear of it as a bug.
  loaded.catch(() => undefined)
  return loaded
}

/** The thread's next answer that is not about progress; fails when it dies or takes too long. */
function nextAnswer(thread: Worker, timeoutMs: number): Promise<ThreadAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(() => reject(new Error('the engine took too long'))),
      timeoutMs,
    )
    const onMessage = (answer: ThreadAnswer) => {
      if (answer.kind !== 'progress') settle(() => resolve(answer))
    }
    const onError = (error: unknown) => settle(() => reject(error))
    const onExit = () => settle(() => reject(new Error("the engine's thread ended")))
    function settle(finish: () => void): void {
      clearTimeout(timer)
      thread.off('message', onMessage).off('error', onError).off('exit', onExit)
      finish()
    }
    thread.on('message', onMessage).on('error', onError).on('exit', onExit)
  })
}

function unreadable(cause?: unknown): AppError {
  return new AppError('unreadable_image', 'The image cannot be read.', { cause })
}
