import type { ImageInput } from './image-input.ts'

export type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number }

/** HunyuanOCR's vision encoder makes about one token of 32 × 32 pixels; its own tokenizer is not here. */
const PIXELS_PER_TOKEN = 32 * 32
const LATIN_CHARACTERS_PER_TOKEN = 4

/** A fair estimate, so that whoever counts tokens has something to count. */
export function estimateUsage(
  prompt: string,
  images: readonly ImageInput[],
  answer: string,
): Usage {
  const pixels = images.reduce((sum, { width, height }) => sum + width * height, 0)
  const prompt_tokens = countTokens(prompt) + Math.ceil(pixels / PIXELS_PER_TOKEN)
  const completion_tokens = countTokens(answer)
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

/** One token for a Han character, one for four others. */
export function countTokens(text: string): number {
  const han = text.match(/\p{Script=Han}/gu)?.length ?? 0
  return han + Math.ceil((Array.from(text).length - han) / LATIN_CHARACTERS_PER_TOKEN)
}
