/** Tesseract's names of English and simplified Chinese. */
export const LANGUAGES = ['eng', 'chi_sim'] as const

/** x1, y1, x2, y2 in pixels of the image. */
export type Box = readonly [number, number, number, number]

/** A line of text, its words from left to right. */
export type RecognisedLine = {
  words: readonly { text: string; box: Box }[]
  /** 0 to 100. */
  confidence: number
  box: Box
}

/** What the engine's thread says; what it is sent are the bytes of one image after another. */
export type ThreadAnswer =
  | { kind: 'loaded' }
  | { kind: 'progress'; stage: 'loading' | 'reading'; fraction: number }
  | { kind: 'lines'; lines: RecognisedLine[] }
  | { kind: 'unreadable' }
