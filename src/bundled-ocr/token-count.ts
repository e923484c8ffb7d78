/** A patch of 28 × 28 pixels is one token, as in HunyuanOCR's family of models, up to a cap for a whole page. */
const PATCH_PIXELS = 28
const MAX_IMAGE_TOKENS = 4096
const CHARACTERS_PER_TOKEN = 4

/**
 * A rough count for quotas and usage, not a tokenizer: one token for each Han character, one for every four other
 * characters begun.
 */
export function countTextTokens(text: string): number {
  const characters = Array.from(text)
  const han = characters.filter(isHan).length
  return han + Math.ceil((characters.length - han) / CHARACTERS_PER_TOKEN)
}

/** Tokens of an image of that many pixels. */
export function countImageTokens(width: number, height: number): number {
  const patches = Math.ceil(width / PATCH_PIXELS) * Math.ceil(height / PATCH_PIXELS)
  return Math.min(patches, MAX_IMAGE_TOKENS)
}

/** The longest start of the text that counts at most `maxTokens`. */
export function cutToTokens(text: string, maxTokens: number): string {
  let han = 0
  let others = 0
  let length = 0
  for (const character of text) {
    if (isHan(character)) han += 1
    else others += 1
    if (han + Math.ceil(others / CHARACTERS_PER_TOKEN) > maxTokens) break
    length += character.length
  }
  return text.slice(0, length)
}

function isHan(character: string): boolean {
  return /\p{Script=Han}/u.test(character)
}
