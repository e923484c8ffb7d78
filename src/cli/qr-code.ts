import { encode } from 'uqr'

const BORDER_MODULES = 2
const BLACK_ON_WHITE = '\u001B[30;107m'
const RESET = '\u001B[0m'
/** Two modules, one above the other, in one character. */
const HALVES = { '00': ' ', '01': '▄', '10': '▀', '11': '█' } as const

/** A QR code as lines for a terminal: dark on light whatever its colours are, which every camera reads. */
export function drawQrCode(text: string): string[] {
  const { data } = encode(text, { ecc: 'L', border: BORDER_MODULES })
  const rows = data.length % 2 === 0 ? data : [...data, []]
  return Array.from({ length: rows.length / 2 }, (_unused, line) => {
    const [upper = [], lower = []] = [rows[2 * line], rows[2 * line + 1]]
    const cells = upper.map((isDark, column) => {
      const half = `${isDark ? 1 : 0}${lower[column] === true ? 1 : 0}` as const
      return HALVES[half]
    })
    return `${BLACK_ON_WHITE}${cells.join('')}${RESET}`
  })
}
