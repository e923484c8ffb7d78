/** Lines up rows under their headings, where there are any; a wide (Han) character takes two columns. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = headings.length === 0 ? rows : [headings, ...rows]
  const widths = (lines[0] ?? []).map((_cell, column) =>
    Math.max(...lines.map((cells) => displayWidth(cells[column] ?? ''))),
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

function displayWidth(text: string): number {
  return Array.from(text).reduce(
    (width, char) => width + (/\p{Script=Han}|[\uFF00-\uFF60\u3000-\u303F]/u.test(char) ? 2 : 1),
    0,
  )
}
