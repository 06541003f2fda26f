/** 1234567 as 1,234,567. */
export function whole(number: number): string {
  return Math.round(number).toLocaleString('en')
}

/** Milliseconds as seconds, with as many places as one can tell apart. */
export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`
}

/** Bytes as megabytes. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

/** Rows in a time, as rows a second. */
export function speed(rows: number, milliseconds: number): string {
  return milliseconds > 0 ? `${whole((rows / milliseconds) * 1000)} rows/s` : ''
}

/** Rows of cells as lines with columns in line. A header that begins with > is set to the right, as are its cells. */
export function tableLines(header: string[], rows: string[][]): string[] {
  const titles = header.map((title) => title.replace(/^>/, ''))
  const widths = titles.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? '')].map((cell) => cell.length)),
  )
  const line = (cells: string[]) =>
    widths
      .map((width, column) => {
        const cell = cells[column] ?? ''
        return header[column]?.startsWith('>') ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return [line(titles), widths.map((width) => '─'.repeat(width)).join('──'), ...rows.map(line)]
}

/** A value on one line, shortened. */
export function inline(value: string, length: number): string {
  const text = value.replaceAll(/\s/g, ' ')
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
