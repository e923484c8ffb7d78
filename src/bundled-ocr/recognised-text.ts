import { enclosingBox, hasHan, meanConfidence, type Box, type Word } from './words.ts'

/** One line of the page in reading order; `confidence` is 0 to 100, `box` in pixels of the upright image. */
export type RecognisedLine = { text: string; confidence: number; box: Box }

/** Below this a «line» is a fold, a rule or the edge of the paper. */
const MIN_CONFIDENCE = 20
/** Rules and borders are read as dashes and equals signs; text of signs alone has to be surer than that. */
const MIN_CONFIDENCE_WITHOUT_LETTERS = 60
/** Of a line's area, inside of a surer one: then both are readings of the same text. */
const SAME_TEXT_OVERLAP = 0.6
/** Wider gaps, in heights of the line, part columns. The white half of a full-width colon is 0.75. */
const COLUMN_GAP = 0.9

const FULL_WIDTH: Readonly<Record<string, string>> = {
  ',': '，',
  ':': '：',
  ';': '；',
  '!': '！',
  '?': '？',
}

/** Turns the engine's words into the lines that a reader expects: tidy text, no empty lines, no noise, none twice. */
export function toRecognisedLines(lines: readonly Word[][]): RecognisedLine[] {
  const recognised = lines
    .map((words) => words.filter(({ text }) => text.trim() !== ''))
    .filter((words) => words.length > 0)
    .map((words) => ({
      text: joinWords(words),
      confidence: Math.round(meanConfidence(words)),
      box: enclosingBox(words),
    }))
    .filter((line) => !isNoise(line))
  return recognised.filter((line) => !recognised.some((other) => isShadowOf(line, other)))
}

/** The text of one line: Latin words parted by spaces, Chinese without the spaces that the engine puts into it. */
export function joinWords(words: readonly Word[]): string {
  const height = Math.max(0, ...words.map(({ box }) => box[3] - box[1]))
  let text = ''
  let previous: Word | undefined
  for (const word of words) {
    const widened = { ...word, text: widenSigns(word.text.trim(), previous?.text) }
    text += previous ? spaceBetween(previous, widened, height) + widened.text : widened.text
    previous = widened
  }
  return text
}

/** Chinese has its punctuation in full width, which the engine takes for ASCII. */
function widenSigns(text: string, textBefore = ''): string {
  const before = textBefore.slice(-1)
  return (before + text)
    .replace(/(?<=\p{Script=Han})[,:;!?]/gu, (sign) => FULL_WIDTH[sign] ?? sign)
    .slice(before.length)
}

function spaceBetween(left: Word, right: Word, height: number): '' | ' ' {
  const isChinese = isChineseSign(left.text.at(-1)) || isChineseSign(right.text.at(0))
  const isColumnGap = right.box[0] - left.box[2] > height * COLUMN_GAP
  return isChinese && !isColumnGap ? '' : ' '
}

/** Han, CJK punctuation and full-width forms. */
function isChineseSign(sign = ''): boolean {
  return hasHan(sign) || /[\u3000-\u303f\uff00-\uffef]/.test(sign)
}

function isNoise({ text, confidence }: RecognisedLine): boolean {
  const hasLetters = /[\p{L}\p{N}]/u.test(text)
  return confidence < (hasLetters ? MIN_CONFIDENCE : MIN_CONFIDENCE_WITHOUT_LETTERS)
}

function isShadowOf(line: RecognisedLine, other: RecognisedLine): boolean {
  if (line === other || line.confidence >= other.confidence) return false
  const [left, top, right, bottom] = line.box
  const width = Math.min(right, other.box[2]) - Math.max(left, other.box[0])
  const height = Math.min(bottom, other.box[3]) - Math.max(top, other.box[1])
  if (width <= 0 || height <= 0) return false
  return width * height >= SAME_TEXT_OVERLAP * (right - left) * (bottom - top)
}
