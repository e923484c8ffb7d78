import { z } from 'zod'

/** A rectangle in pixels of the upright image, origin at the top left: left, top, right, bottom. */
export const boxSchema = z.tuple([z.number(), z.number(), z.number(), z.number()])
export type Box = z.infer<typeof boxSchema>

/** What the engine takes for one word; `confidence` is 0 to 100. A Chinese «word» is one to three characters. */
export const wordSchema = z.object({ text: z.string(), confidence: z.number(), box: boxSchema })
export type Word = z.infer<typeof wordSchema>

/** The smallest box around all of them; at least one word. */
export function enclosingBox(words: readonly Word[]): Box {
  const boxes = words.map(({ box }) => box)
  return [
    Math.min(...boxes.map(([left]) => left)),
    Math.min(...boxes.map(([, top]) => top)),
    Math.max(...boxes.map(([, , right]) => right)),
    Math.max(...boxes.map(([, , , bottom]) => bottom)),
  ]
}

export function meanConfidence(words: readonly Word[]): number {
  return words.reduce((sum, word) => sum + word.confidence, 0) / words.length
}

export function hasHan(text: string): boolean {
  return /\p{Script=Han}/u.test(text)
}
