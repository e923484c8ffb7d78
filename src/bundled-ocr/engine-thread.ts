import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { createWorker, OEM, PSM, setLogging, type Line, type Worker } from 'tesseract.js'
import { LANGUAGES, type Box, type RecognisedLine, type ThreadAnswer } from './engine-messages.ts'

/**
 * The thread that holds Tesseract. tesseract.js throws some of its failures where nobody can catch them: here that ends
 * this thread and nothing else (see engine.ts).
 */
async function serve(): Promise<void> {
  const worker = await loadWorker()
  parentPort?.on('message', (image: Uint8Array) => {
    readPage(worker, image).then(
      (lines) => answer({ kind: 'lines', lines }),
      () => answer({ kind: 'unreadable' }),
    )
  })
  answer({ kind: 'loaded' })
}

const answer = (message: ThreadAnswer): void => parentPort?.postMessage(message)

async function loadWorker(): Promise<Worker> {
  setLogging(false)
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-ocr-'))
  try {
    // tesseract.js wants all languages in one folder; npm puts each into a package of its own.
    await Promise.all(
      LANGUAGES.map((code) => symlink(languageFile(code), join(folder, `${code}.traineddata.gz`))),
    )
    return await createWorker([...LANGUAGES], OEM.LSTM_ONLY, {
      langPath: folder,
      cacheMethod: 'none',
      errorHandler: () => undefined,
      logger: ({ status, progress }) => {
        answer({
          kind: 'progress',
          stage: status === 'recognizing text' ? 'reading' : 'loading',
          fraction: progress,
        })
      },
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

function languageFile(code: string): string {
  const description = createRequire(import.meta.url).resolve(
    `@tesseract.js-data/${code}/package.json`,
  )
  return join(dirname(description), '4.0.0_best_int', `${code}.traineddata.gz`)
}

async function readPage(worker: Worker, image: Uint8Array): Promise<RecognisedLine[]> {
  // One block of text is what receipts and forms are, and what is laid out best. A page that failed has changed it.
  await worker.setParameters({ tessedit_pageseg_mode: PSM.SINGLE_BLOCK, tessedit_do_invert: '0' })
  const { data } = await worker.recognize(
    Buffer.from(image),
    { rotateAuto: true },
    { blocks: true },
  )
  const paragraphs = (data.blocks ?? []).flatMap((block) => block.paragraphs)
  return paragraphs.flatMap(({ lines }) => lines.map(toRecognisedLine))
}

function toRecognisedLine({ words, confidence, bbox }: Line): RecognisedLine {
  return {
    words: words.map((word) => ({ text: word.text, box: toBox(word.bbox) })),
    confidence,
    box: toBox(bbox),
  }
}

const toBox = ({ x0, y0, x1, y1 }: Line['bbox']): Box => [x0, y0, x1, y1]

await serve()
