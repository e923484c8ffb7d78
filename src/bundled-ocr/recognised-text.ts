import type { Box, RecognisedLine } from './engine-messages.ts'

/** A line as it is given out; the box is x1, y1, x2, y2 in pixels. */
export type TextLine = { text: string; confidence: number; box: Box }

/** Below this, Tesseract has read texture: the weave of a table, the edge of a page. */
const MIN_CONFIDENCE = 40

/** A gap of this part of the line's height separates words of a script that writes without spaces. */
const WORD_GAP = 0.8

const WRITES_WITHOUT_SPACES = /[\p{Script=Han}\u3000-\u303F\uFF00-\uFFEF，。：；！？、（）]/u

/** The lines worth keeping, with the spaces that the engine puts between Han characters taken out. */
export function toTextLines(lines: readonly RecognisedLine[]): TextLine[] {
  return lines
    .filter(({ confidence }) => confidence >= MIN_CONFIDENCE)
    .map((line) => ({
      text: joinWords(line),
      confidence: Math.round(line.confidence),
      box: line.box,
    }))
    .filter(({ text }) => text !== '')
}

function joinWords({ words, box }: RecognisedLine): string {
  const height = box[3] - box[1]
  let text = ''
  let previousEnd = 0
  for (const word of words) {
    const isOneRun =
      WRITES_WITHOUT_SPACES.test(text.slice(-1)) &&
      WRITES_WITHOUT_SPACES.test(word.text.slice(0, 1)) &&
      word.box[0] - previousEnd < height * WORD_GAP
    text += text === '' || isOneRun ? word.text : ` ${word.text}`
    previousEnd = word.box[2]
  }
  return text.trim()
}

/** HunyuanOCR's spotting prompts, in both languages, whatever their punctuation. */
const SPOTTING = [/检测并识别图片中的文字/, /detect and recognize text in the image/i]

export const isSpottingPrompt = (prompt: string): boolean =>
  SPOTTING.some((pattern) => pattern.test(prompt))

/** `text(x1,y1),(x2,y2)` with coordinates from 0 to 1000 over the image, as HunyuanOCR gives them. */
export function withCoordinates(
  { text, box }: TextLine,
  size: { width: number; height: number },
): string {
  const x = (pixels: number) => Math.round((pixels / size.width) * 1000)
  const y = (pixels: number) => Math.round((pixels / size.height) * 1000)
  return `${text}(${x(box[0])},${y(box[1])}),(${x(box[2])},${y(box[3])})`
}
