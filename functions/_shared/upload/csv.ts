import type { Dialect } from './dialect.ts'

/** One record of a text. */
export interface CsvRecord {
  cells: string[]
  /** How many lines of the text are before it. */
  line: number
  /** The place after its line end. */
  end: number
  /** A quoted cell of several lines has text after its closing quote: maybe a quote never closed swallowed the rows. */
  isDoubtful: boolean
}

/** What a text holds. */
export interface Scanned {
  /** The complete records; blank lines are none. */
  records: CsvRecord[]
  /** Where the record that is not complete begins. */
  end: number
  /** How many lines are before it. */
  lines: number
  /** How many of its cells are complete. */
  unfinishedCells: number
}

/**
 * Finds the records of a text. Quotes where none should be are taken as they are. It reads as csv-parse does, and the
 * tests hold the two against each other; but csv-parse takes eight times as long, which is half of a function's time.
 */
export function scanCsv(text: string, { delimiter, quote }: Dialect, newline: '\n' | '\r'): Scanned {
  const records: CsvRecord[] = []
  const limit = text.lastIndexOf(newline) + 1
  let end = 0
  let line = 0 // of the record
  let lines = 0
  let cells: string[] = []
  let isDoubtful = false
  let nextDelimiter = text.indexOf(delimiter)
  let nextNewline = text.indexOf(newline)

  for (let at = 0; at < limit; ) {
    let quoted: string | undefined
    let rest = at // of the cell, after what is in quotes
    if (text[at] === quote) {
      rest = afterQuoted(text, at, quote)
      if (rest >= limit) break
      quoted = text.slice(at + 1, rest - 1)
    }
    const hasBreaks = nextNewline < rest
    for (; nextNewline < rest; lines++) nextNewline = text.indexOf(newline, nextNewline + 1)
    if (nextDelimiter >= 0 && nextDelimiter < rest) nextDelimiter = text.indexOf(delimiter, rest)

    const isLast = nextDelimiter < 0 || nextNewline < nextDelimiter
    const stop = isLast ? nextNewline : nextDelimiter
    const hasCr = isLast && newline === '\n' && stop > rest && text[stop - 1] === '\r'
    let cell = text.slice(rest, hasCr ? stop - 1 : stop)
    const isBlank = isLast && cell === '' && cells.length === 0 && quoted === undefined
    if (quoted !== undefined) {
      const inner = quoted.includes(quote) ? quoted.replaceAll(quote + quote, quote) : quoted
      if (hasBreaks && cell !== '') isDoubtful = true
      cell = cell === '' ? inner : quote + inner + quote + cell
    }
    at = stop + 1
    if (!isBlank) cells.push(cell)
    if (!isLast) continue

    if (!isBlank) {
      records.push({ cells, line, end: at, isDoubtful })
      cells = []
    }
    end = at
    line = ++lines
    isDoubtful = false
    nextNewline = text.indexOf(newline, at)
  }
  return { records, end, lines: line, unfinishedCells: cells.length }
}

/** The place after the quote that closes a cell; infinite if there is none. */
function afterQuoted(text: string, start: number, quote: string): number {
  for (let at = start + 1; ; at += 2) {
    at = text.indexOf(quote, at)
    if (at < 0) return Number.POSITIVE_INFINITY
    if (text[at + 1] !== quote) return at + 1
  }
}
