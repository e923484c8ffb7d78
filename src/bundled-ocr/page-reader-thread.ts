import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { createWorker, OEM, type LoggerMessage, type Page, type Worker } from 'tesseract.js'
import type { LanguageData } from './engine-packages.ts'
import { pageBytesSchema, readerDataSchema, type ReaderMessage } from './page-reader-messages.ts'
import { mergeReadings, needsChineseReading } from './second-reading.ts'
import type { Word } from './words.ts'

/**
 * The thread that owns tesseract.js. That package throws where nobody can catch (an error event of its worker, a second
 * message for a settled job), so whatever goes wrong in here ends this thread and nothing else.
 */

const BOTH_LANGUAGES = 'eng+chi_sim'
const CHINESE = 'chi_sim'

/**
 * Mode 6 takes the page for one block of lines: receipts and forms keep their rows, at the price of magazines' columns.
 * A larger first guess of the line height keeps big headings in one piece.
 */
const ENGINE_CONFIG = 'tessedit_pageseg_mode 6\ntextord_min_linesize 2.0'

/** The engine's words for the steps of its loading, in order. */
const LOADING_STEPS = [
  'loading tesseract core',
  'initializing tesseract',
  'loading language traineddata',
  'initializing api',
]
/** The names of our jobs, by which progress is told apart. */
const SWITCH_JOB = 'switch-language'
const SECOND_JOB = 'second-reading'
/** What of a page's progress is the first reading; there may be no second. */
const FIRST_READING_SHARE = 0.6

/** Of the text that tesseract.js rejects with when its decoders give up. */
const UNDECODABLE = 'Error attempting to read image'

const { languages } = readerDataSchema.parse(workerData)
const tell = (message: ReaderMessage): void => parentPort?.postMessage(message)
const engine = await loadEngine(languages)
parentPort?.on('message', (message) => void readPage(pageBytesSchema.parse(message)))
tell({ kind: 'loaded' })

/** tesseract.js wants all languages in one folder, npm gives each its own. */
async function loadEngine(languages: readonly LanguageData[]): Promise<Worker> {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-ocr-'))
  try {
    await Promise.all(
      languages.map(({ code, file }) => copyFile(file, join(folder, `${code}.traineddata.gz`))),
    )
    return await createWorker(
      BOTH_LANGUAGES,
      OEM.LSTM_ONLY,
      {
        langPath: folder,
        cacheMethod: 'none',
        gzip: true,
        logger: tellProgress,
        errorHandler() {},
      },
      ENGINE_CONFIG,
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What is not a broken image may have broken the engine itself: it is left uncaught and ends the thread. */
async function readPage(bytes: Uint8Array): Promise<void> {
  try {
    const first = await recognize(bytes)
    const lines = needsChineseReading(first)
      ? mergeReadings(first, await recognizeInChinese(bytes))
      : first
    tell({ kind: 'page', lines })
  } catch (error) {
    if (!String(error).includes(UNDECODABLE)) throw error
    tell({ kind: 'unreadable' })
  }
}

async function recognizeInChinese(bytes: Uint8Array): Promise<Word[][]> {
  await engine.reinitialize(CHINESE, undefined, undefined, SWITCH_JOB)
  const lines = await recognize(bytes, SECOND_JOB)
  await engine.reinitialize(BOTH_LANGUAGES, undefined, undefined, SWITCH_JOB)
  return lines
}

async function recognize(bytes: Uint8Array, job?: string): Promise<Word[][]> {
  const output = { blocks: true, text: false }
  const { data } = await engine.recognize(Buffer.from(bytes), {}, output, job)
  return toWords(data)
}

function toWords({ blocks }: Page): Word[][] {
  return (blocks ?? [])
    .flatMap(({ paragraphs }) => paragraphs.flatMap(({ lines }) => lines))
    .map(({ words }) =>
      words.map(({ text, confidence, bbox }) => ({
        text,
        confidence,
        box: [bbox.x0, bbox.y0, bbox.x1, bbox.y1],
      })),
    )
}

function tellProgress({ status, progress, userJobId }: LoggerMessage): void {
  if (status === 'recognizing text') {
    const fraction =
      userJobId === SECOND_JOB
        ? FIRST_READING_SHARE + progress * (1 - FIRST_READING_SHARE)
        : progress * FIRST_READING_SHARE
    tell({ kind: 'reading', fraction })
  } else if (userJobId !== SWITCH_JOB) {
    const step = Math.max(LOADING_STEPS.indexOf(status), 0)
    tell({ kind: 'loading', fraction: (step + progress) / LOADING_STEPS.length })
  }
}
