import { encode } from 'uqr'
import { expect, test } from 'vitest'
import { drawQrCode } from '../../src/cli/qr-code.ts'

const URL = 'https://gatehouse.example/device?user_code=WDJB-MJHT'
const [ON, OFF] = ['\u001B[30;107m', '\u001B[0m']
const bare = (line: string) => line.replace(ON, '').replace(OFF, '')

test('a QR code is drawn module by module, two rows a line, with a quiet border', () => {
  const lines = drawQrCode(URL)
  const drawn = lines.flatMap((line) => {
    const cells = Array.from(bare(line))
    return [cells.map((cell) => '█▀'.includes(cell)), cells.map((cell) => '█▄'.includes(cell))]
  })
  const { data, size } = encode(URL, { ecc: 'L', border: 2 })
  expect(drawn.slice(0, size)).toEqual(data)
  expect(data[0]?.some(Boolean)).toBe(false)
})

test('it is dark on light, whatever the colours of the terminal are', () => {
  for (const line of drawQrCode(URL)) {
    expect(line).toBe(`${ON}${bare(line)}${OFF}`)
    expect(bare(line)).toMatch(/^[ ▀▄█]+$/)
  }
})
