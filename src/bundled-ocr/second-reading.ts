import { enclosingBox, hasHan, meanConfidence, type Box, type Word } from './words.ts'

/**
 * Reading with both languages at once, Tesseract takes some Chinese for odd Latin («青禾小学» for «BERNE»), and says
 * so by a low confidence. A second reading in Chinese alone settles these words; what is sure already stays.
 */
const DOUBTFUL_BELOW = 86
const SURE_FROM = 80
/** Below this share of Chinese words a page is not worth the second reading. */
const MIN_HAN_SHARE = 0.1

/** Whether a page, read with both languages, is Chinese enough and has words that Chinese alone may read better. */
export function needsChineseReading(lines: readonly Word[][]): boolean {
  const words = lines.flat()
  const sureHan = words.filter(({ text, confidence }) => hasHan(text) && confidence >= SURE_FROM)
  return sureHan.length >= words.length * MIN_HAN_SHARE && words.some(isDoubtful)
}

/** The first reading, its doubtful words replaced by surer Chinese ones of the second where these fill the same place. */
export function mergeReadings(first: readonly Word[][], chinese: readonly Word[][]): Word[][] {
  const candidates = chinese.flat()
  return first.map((line) =>
    line.flatMap((word) => (isDoubtful(word) ? (betterWords(word, candidates) ?? [word]) : [word])),
  )
}

function isDoubtful({ text, confidence }: Word): boolean {
  return !hasHan(text) && confidence < DOUBTFUL_BELOW
}

function betterWords(word: Word, candidates: readonly Word[]): Word[] | undefined {
  const replacement = candidates.filter(({ box }) => hasCentreIn(box, word.box))
  if (!replacement.some(({ text }) => hasHan(text))) return undefined
  const isSurer = meanConfidence(replacement) > word.confidence
  return isSurer && isWithin(enclosingBox(replacement), word.box) ? replacement : undefined
}

function hasCentreIn([left, top, right, bottom]: Box, outer: Box): boolean {
  const x = (left + right) / 2
  const y = (top + bottom) / 2
  return x >= outer[0] && x <= outer[2] && y >= outer[1] && y <= outer[3]
}

/** Sideways, with a tolerance of half a character: a wider replacement would repeat what its neighbours say. */
function isWithin([left, , right]: Box, outer: Box): boolean {
  const tolerance = (outer[3] - outer[1]) / 2
  return left >= outer[0] - tolerance && right <= outer[2] + tolerance
}
