import type { RecognisedLine } from './recognised-text.ts'

/** HunyuanOCR's prompts for text with coordinates, as `normalize` leaves them. */
const SPOTTING_PROMPTS = [
  '检测并识别图片中的文字,将文本坐标格式化输出',
  'detectandrecognizetextintheimage,andoutputthetextcoordinatesinaformattedmanner',
]

/** HunyuanOCR's coordinates go from 0 to 1000 in both directions, whatever the size of the image. */
const COORDINATE_RANGE = 1000

/** Whether the prompt asks for coordinates, in either language, with either width of comma and any spacing. */
export function isSpottingPrompt(prompt: string): boolean {
  const normalized = normalize(prompt)
  return SPOTTING_PROMPTS.some((spotting) => normalized.includes(spotting))
}

/** A line as `text(x1,y1),(x2,y2)`: its top left and bottom right corner, each 0 to 1000. */
export function formatSpotted(
  { text, box }: RecognisedLine,
  image: { width: number; height: number },
): string {
  const [left, top, right, bottom] = box
  const x = (pixels: number): number => normalizeCoordinate(pixels, image.width)
  const y = (pixels: number): number => normalizeCoordinate(pixels, image.height)
  return `${text}(${x(left)},${y(top)}),(${x(right)},${y(bottom)})`
}

function normalize(prompt: string): string {
  return prompt.replaceAll('，', ',').replace(/\s+/g, '').toLowerCase()
}

function normalizeCoordinate(pixels: number, size: number): number {
  const scaled = Math.round((pixels / size) * COORDINATE_RANGE)
  return Math.min(Math.max(scaled, 0), COORDINATE_RANGE)
}
