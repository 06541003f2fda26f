import { Buffer } from 'node:buffer'
import { Parser } from 'csv-parse'
import { parse } from 'csv-parse/sync'
import { malformed, tooLarge } from '../_shared/refusal.ts'
import type { Dialect } from './dialect.ts'

/** One record of a file. */
export interface Row {
  cells: string[]
  /** The line in the file where it begins; the first line is 1. */
  line: number
  /** Byte offset in the clean text where it ends. */
  end: number
}

/** Reads records from clean text that comes in chunks. */
export interface RecordReader {
  push(text: Buffer): Row[]
  end(): Row[]
}

/**
 * A reader around csv-parse. The parser is driven by hand instead of as a stream, so that records come in batches and
 * its count of lines and bytes can be read at each of them (its own option for that costs half as much again).
 */
export function createRecordReader(
  { delimiter, quote }: Dialect,
  newline: '\n' | '\r',
  maxRowBytes: number,
): RecordReader {
  const options = {
    delimiter,
    quote,
    escape: quote,
    record_delimiter: [newline],
    relax_quotes: true, // 5" pipe
    relax_column_count: true,
    skip_empty_lines: true,
  }
  const parser = new Parser(options)
  let takesCrLf = false
  let rows: Row[] = []
  let lastLine = 0 // by the parser's count
  let overcount = 0 // it counts a CR LF within quotes twice
  let recordStart = 0
  let received = 0
  let chunks: { start: number; text: Buffer }[] = [] // from the beginning of the unfinished record

  parser.push = (cells: string[] | null) => {
    if (cells === null) return true
    const { lines, bytes } = parser.info
    let line = lines - overcount
    if (lines !== lastLine + 1) {
      for (const cell of cells) {
        const breaks = cell.match(/[\r\n]/g)
        if (!breaks) continue
        line -= breaks.length
        overcount += cell.match(/\r\n/g)?.length ?? 0
      }
      if (cells.some((cell) => cell.startsWith(quote) && /[\r\n]/.test(cell))) refuseSwallowed(bytes, line)
    }
    lastLine = lines
    recordStart = bytes
    rows.push({ cells, line, end: bytes })
    return true
  }

  /**
   * A quote that is never closed ends at the next quote of the file and swallows the rows between; the cell then begins
   * with a quote and holds line breaks. A cell may rightly look so: its raw text, read strictly, tells.
   */
  function refuseSwallowed(end: number, line: number): void {
    const first = chunks[0]?.start ?? 0
    const raw = Buffer.concat(chunks.map((chunk) => chunk.text)).subarray(recordStart - first, end - first)
    try {
      parse(raw, { ...options, record_delimiter: parser.options.record_delimiter, relax_quotes: false })
    } catch {
      throw unclosed(
        `the record that begins in line ${line} has a quoted cell with text after its closing quote`,
      )
    }
  }

  function take(error: Error | null | undefined, ended: boolean): Row[] {
    if (error) throw ended ? quoteNotClosed(error) : error
    const taken = rows
    rows = []
    chunks = chunks.filter((chunk) => chunk.start + chunk.text.length > recordStart)
    return taken
  }

  function quoteNotClosed(error: Error & { code?: string; column?: number }): Error {
    if (error.code !== 'CSV_QUOTE_NOT_CLOSED') return error
    return unclosed(
      `opened in the record that begins in line ${nextLine()}, column ${(error.column ?? 0) + 1}`,
    )
  }

  /** The line in which the unfinished record begins: after the last one, blank lines passed over. */
  function nextLine(): number {
    const raw = Buffer.concat(chunks.map((chunk) => chunk.text)).subarray(
      recordStart - (chunks[0]?.start ?? 0),
    )
    let line = lastLine - overcount + 1
    for (const byte of raw) {
      if (byte === newline.charCodeAt(0)) line++
      else if (byte !== 13) break
    }
    return line
  }

  return {
    push(text) {
      if (text.length === 0) return []
      // Looked for from the first carriage return on: a second delimiter slows every byte down.
      if (newline === '\n' && !takesCrLf && text.includes('\r')) {
        takesCrLf = true
        parser.options.record_delimiter.push(Buffer.from('\r\n'))
      }
      chunks.push({ start: received, text })
      received += text.length
      let failed: Error | null | undefined
      parser._transform(text, 'utf8', (error) => {
        failed = error
      })
      const taken = take(failed, false)
      if (received - recordStart > maxRowBytes) {
        throw tooLarge(
          'row is too long',
          `the record that begins in line ${nextLine()} is longer than ${maxRowBytes} bytes`,
          'Look for a quote that is never closed.',
        )
      }
      return taken
    },
    end() {
      let failed: Error | null | undefined
      parser._flush((error) => {
        failed = error
      })
      return take(failed, true)
    },
  }
}

function unclosed(details: string): Error {
  return malformed(
    'quote is not closed',
    details,
    'Close the quote; a quote within a quoted cell is doubled.',
  )
}
