import { describe, expect, test } from 'vitest'
import { findEnginePackages } from '../../src/bundled-ocr/engine-packages.ts'
import { joinWords, toRecognisedLines } from '../../src/bundled-ocr/recognised-text.ts'
import { mergeReadings, needsChineseReading } from '../../src/bundled-ocr/second-reading.ts'
import { formatSpotted, isSpottingPrompt } from '../../src/bundled-ocr/spotting.ts'
import {
  countImageTokens,
  countTextTokens,
  cutToTokens,
} from '../../src/bundled-ocr/token-count.ts'
import type { Word } from '../../src/bundled-ocr/words.ts'
import { ConfigError } from '../../src/kernel/errors.ts'

/** Words of 40 pixels in height, each given as text, left and right edge. */
const words = (...given: [string, number, number][]): Word[] =>
  given.map(([text, left, right]) => ({ text, confidence: 95, box: [left, 0, right, 40] }))

describe('the words of a line', () => {
  test.each<[string, string, Word[]]>([
    ['spaces stay between Latin words', 'Port Ellery', words(['Port', 0, 70], ['Ellery', 80, 180])],
    [
      'spaces go between Han characters and digits',
      '路16号',
      words(['路', 0, 38], ['16', 42, 78], ['号', 82, 120]),
    ],
    ['columns stay apart', '单价 金额', words(['单价', 0, 80], ['金额', 140, 220])],
    [
      'a colon after Han gets full width, and no gap',
      '发票号码：2026',
      words(['发票号码', 0, 160], [':', 168, 172], ['2026', 200, 280]),
    ],
    ['a colon after Latin stays', 'Time: 17:42', words(['Time:', 0, 90], ['17:42', 100, 190])],
  ])('%s', (_rule, expected, line) => {
    expect(joinWords(line)).toBe(expected)
  })

  test('make no line when they are empty, rules of the table or a second reading of the same text', () => {
    const heading = { text: '发票', confidence: 91, box: [0, 0, 400, 100] } satisfies Word
    const lines: Word[][] = [
      [{ text: '如 N 王', confidence: 45, box: [10, 5, 390, 50] }],
      [heading],
      [{ text: '=', confidence: 55, box: [0, 120, 400, 130] }],
      [{ text: ' ', confidence: 95, box: [0, 140, 10, 150] }],
    ]
    expect(toRecognisedLines(lines)).toEqual([{ text: '发票', confidence: 91, box: heading.box }])
  })
})

describe('the second reading', () => {
  const sure: Word = { text: '购买方', confidence: 93, box: [0, 0, 150, 50] }
  const odd: Word = { text: 'BERNE', confidence: 48, box: [200, 0, 400, 50] }
  const right: Word = { text: '青禾小学', confidence: 88, box: [200, 0, 400, 50] }

  test('is wanted for a Chinese page with doubtful Latin, not for an English one', () => {
    expect(needsChineseReading([[sure, odd]])).toBe(true)
    expect(needsChineseReading([[sure]])).toBe(false)
    expect(needsChineseReading([[odd]])).toBe(false)
  })

  test('replaces a doubtful word that it reads surer in the same place', () => {
    expect(mergeReadings([[sure, odd]], [[right]])).toEqual([[sure, right]])
  })

  test('leaves a word alone that is sure, or whose replacement is less sure or reaches over its neighbours', () => {
    const year: Word = { text: '2026', confidence: 92, box: [200, 0, 300, 50] }
    expect(mergeReadings([[year]], [[{ ...right, box: year.box }]])).toEqual([[year]])
    expect(mergeReadings([[odd]], [[{ ...right, confidence: 20 }]])).toEqual([[odd]])
    const wide: Word = { ...right, box: [150, 0, 450, 50] }
    expect(mergeReadings([[odd]], [[wide]])).toEqual([[odd]])
  })
})

describe('HunyuanOCR’s spotting prompt', () => {
  test.each([
    '检测并识别图片中的文字,将文本坐标格式化输出。',
    '检测并识别图片中的文字，将文本坐标格式化输出。',
    'Detect and recognize text in the image, and output the text coordinates in a formatted manner.',
  ])('is known as «%s»', (prompt) => expect(isSpottingPrompt(prompt)).toBe(true))

  test('is not any other', () => {
    expect(isSpottingPrompt('提取图中的文字。')).toBe(false)
  })

  test('gets coordinates from 0 to 1000, whatever the size', () => {
    const line = { text: 'TOTAL', confidence: 95, box: [0, 100, 500, 2500] } as const
    const box: [number, number, number, number] = [...line.box]
    expect(formatSpotted({ ...line, box }, { width: 2000, height: 2000 })).toBe(
      'TOTAL(0,50),(250,1000)',
    )
  })
})

describe('tokens', () => {
  test('count one per Han character, one per four others begun', () => {
    expect(countTextTokens('')).toBe(0)
    expect(countTextTokens('发票')).toBe(2)
    expect(countTextTokens('发票12345')).toBe(4)
  })

  test('of an image count its patches of 28 pixels, up to a cap', () => {
    expect(countImageTokens(28, 29)).toBe(2)
    expect(countImageTokens(3000, 4000)).toBe(4096)
  })

  test('are never more than the limit after a cut, and the cut takes no more than it must', () => {
    expect(cutToTokens('发票号码', 2)).toBe('发票')
    expect(cutToTokens('abcdefgh', 1)).toBe('abcd')
    expect(cutToTokens('abc', 9)).toBe('abc')
  })
})

describe('the optional packages', () => {
  test('are found below node_modules', () => {
    expect(findEnginePackages().map(({ file }) => file)).toEqual([
      expect.stringMatching(/4\.0\.0_best_int\/eng\.traineddata\.gz$/),
      expect.stringMatching(/4\.0\.0_best_int\/chi_sim\.traineddata\.gz$/),
    ])
  })

  test('when absent, are all named, with the command that installs them', () => {
    const absent = (): string => {
      throw new Error('Cannot find module')
    }
    const refusal = expect.objectContaining({
      problems: [expect.any(String), expect.any(String), expect.any(String)],
      hint: expect.stringContaining('npm install tesseract.js'),
    })
    expect(() => findEnginePackages(absent)).toThrow(ConfigError)
    expect(() => findEnginePackages(absent)).toThrow(refusal)
  })
})
