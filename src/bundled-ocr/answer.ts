import type { PageImage } from './page-image.ts'
import type { RecognisedLine } from './recognised-text.ts'
import { formatSpotted, isSpottingPrompt } from './spotting.ts'
import { countImageTokens, countTextTokens } from './token-count.ts'

/** OpenAI's usage object; the counts are rough (see token-count.ts). */
export type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number }

/** One text per line of the page: with coordinates for the spotting prompt, plain for any other. */
export function toAnswerLines(
  lines: readonly RecognisedLine[],
  image: PageImage,
  prompt: string,
): string[] {
  return isSpottingPrompt(prompt)
    ? lines.map((line) => formatSpotted(line, image))
    : lines.map(({ text }) => text)
}

export function countUsage(image: PageImage, prompt: string, answer: string): Usage {
  const promptTokens = countTextTokens(prompt) + countImageTokens(image.width, image.height)
  const completionTokens = countTextTokens(answer)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
}
