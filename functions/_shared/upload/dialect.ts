import { scanCsv } from './csv.ts'

/** How a text table separates its cells. */
export interface Dialect {
  delimiter: string
  quote: string
}

/** The delimiters that are looked for, the likelier first. */
export const delimiters = [',', ';', '\t', '|'] as const
export const quotes = ['"', "'"] as const

/** Lines that are looked at. */
const sampleSize = 50

/**
 * Delimiter and quote of a file, from its first lines, where they are not given. The delimiter is the one that cuts the
 * lines into the most cells of the same number; a file of one column has a comma, which then does not matter.
 */
export function detectDialect(head: string, given: Partial<Dialect>): Dialect {
  const quote = given.quote ?? detectQuote(head)
  if (given.delimiter !== undefined) return { delimiter: given.delimiter, quote }
  let best = { delimiter: ',', score: 0 }
  for (const delimiter of delimiters) {
    const score = scoreOf(head, { delimiter, quote })
    if (score > best.score) best = { delimiter, score }
  }
  return { delimiter: best.delimiter, quote }
}

function scoreOf(head: string, { delimiter, quote }: Dialect): number {
  const records = headRecords(head, { delimiter, quote })
  const width = records[0]?.length ?? 0
  if (width < 2) return 0
  const alike = records.filter((record) => record.length === width).length / records.length
  return alike * alike * (width - 1)
}

/** The first records of a file; the last line of its head may be cut off. */
function headRecords(head: string, dialect: Dialect): string[][] {
  const newline = newlineOf(head)
  const whole = head.includes(newline) ? head : head + newline
  return scanCsv(whole, dialect, newline)
    .records.slice(0, sampleSize)
    .map((record) => record.cells)
}

/** What ends the lines of a file: a LF, maybe after a CR, or on old machines a CR alone. */
export function newlineOf(head: string): '\n' | '\r' {
  return head.includes('\r') && !head.includes('\n') ? '\r' : '\n'
}

/** The apostrophe is a quote only where it wraps whole cells and nothing else in the head, and `"` is nowhere. */
function detectQuote(head: string): string {
  if (head.includes('"') || !head.includes("'")) return '"'
  const opened = head.match(/(^|[,;\t|\r\n])'/g)?.length ?? 0
  const closed = head.match(/'(?=[,;\t|\r\n]|$)/g)?.length ?? 0
  const all = head.replaceAll("''", '').match(/'/g)?.length ?? 0
  return opened > 0 && opened === closed && all === opened + closed ? "'" : '"'
}
