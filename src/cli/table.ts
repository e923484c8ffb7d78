/**
 * Lines up rows under their headings, where there are any; a wide (Han) character takes two columns. What would command the
 * terminal is replaced: an id of another issuer may be anything.
 */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = (headings.length === 0 ? rows : [headings, ...rows]).map((cells) =>
    cells.map((cell) => cell.replace(COMMANDS, '\ufffd')),
  )
  const widths = (lines[0] ?? []).map((_cell, column) =>
    lines.reduce((width, cells) => Math.max(width, displayWidth(cells[column] ?? '')), 0),
  )
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - displayWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Escape sequences, line breaks, and what turns the direction of text. */
const COMMANDS = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu

function displayWidth(text: string): number {
  // Nearly every cell, and ten times as fast.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  return Array.from(text).reduce(
    (width, char) => width + (/\p{Script=Han}|[\uFF00-\uFF60\u3000-\u303F]/u.test(char) ? 2 : 1),
    0,
  )
}
