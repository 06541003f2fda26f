import { malformed, tooLarge } from '../refusal.ts'
import { scanCsv } from './csv.ts'
import type { Dialect } from './dialect.ts'
import type { Defect } from './encoding.ts'
import { takeDefects } from './row-issues.ts'

/** One record of a file. */
export interface Row {
  cells: (string | null)[]
  /** The line in the file where it begins; the first line is 1. */
  line: number
  /** What was wrong with its bytes. */
  defects?: Defect[]
}

/** Reads records from clean text that comes in chunks. */
export interface RecordReader<State = ReaderState> {
  push(text: string): Row[]
  end(): Row[]
  /** All that another reader needs to go on with the text that follows. */
  state(): State
}

/** Where a reader stands. It can be written as JSON. */
export interface ReaderState {
  /** What it has of the text and has not read yet: it begins with a record. */
  pending: string
  /** The line where that is. */
  line: number
  /** The defects in it. */
  defects: Defect[]
}

export const atBeginning: ReaderState = { pending: '', line: 1, defects: [] }

/**
 * A reader of comma-separated text and its like, which may go on where another stood. It takes the defects of its rows
 * off the list.
 */
export function createRecordReader(
  dialect: Dialect,
  newline: '\n' | '\r',
  maxRowLength: number,
  defects: Defect[],
  state: Pick<ReaderState, 'pending' | 'line'> = atBeginning,
): RecordReader {
  let { pending, line } = state
  let offset = 0 // of the pending text in the whole
  let unfinished = 0 // how many of its cells are complete
  let nextLook = 0 // how long the text must be before it is looked at again

  /** Takes the complete records off the pending text. */
  function take(): Row[] {
    const { records, end, lines, unfinishedCells } = scanCsv(pending, dialect, newline)
    const rows = records.map((record) => {
      const row: Row = { cells: record.cells, line: line + record.line }
      if (record.isDoubtful) refuseSwallowed(row.line)
      if (defects.length > 0) row.defects = takeDefects(defects, offset + record.end)
      return row
    })
    pending = pending.slice(end)
    offset += end
    line += lines
    unfinished = unfinishedCells
    return rows
  }

  return {
    push(text) {
      pending += text
      if (pending.length < nextLook) return []
      const before = offset
      const rows = take()
      if (pending.length > maxRowLength) {
        throw tooLarge(
          'row is too long',
          `the record that begins in line ${line} is longer than ${maxRowLength} bytes`,
          'Look for a quote that is never closed.',
        )
      }
      // A record that goes on and on is not looked at again with every chunk.
      nextLook = offset > before ? 0 : Math.min(2 * pending.length, maxRowLength + 1)
      return rows
    },
    end() {
      if (pending !== '' && !pending.endsWith(newline)) pending += newline
      const rows = take()
      if (pending === '') return rows
      throw unclosed(`opened in the record that begins in line ${line}, column ${unfinished + 1}`)
    },
    state: () => ({ pending, line, defects: movedBy(-offset, defects) }),
  }
}

/** Defects of a text that begins at another place. */
export function movedBy(distance: number, defects: Defect[]): Defect[] {
  return defects.map((defect) => ({ ...defect, at: defect.at + distance }))
}

function refuseSwallowed(line: number): void {
  throw unclosed(`the record that begins in line ${line} has a quoted cell with text after its closing quote`)
}

function unclosed(details: string): Error {
  return malformed(
    'quote is not closed',
    details,
    'Close the quote; a quote within a quoted cell is doubled.',
  )
}
