import { malformed, tooLarge } from '../refusal.ts'
import { cleanCell } from './clean-cell.ts'
import { columnNames } from './columns.ts'
import {
  type Cleaner,
  type CleanerState,
  createCleaner,
  type Defect,
  detectEncoding,
  resumeCleaner,
} from './encoding.ts'
import { emptyFile, type FileFormat, fileOf, type OpenFile, type Scanner } from './file.ts'
import { createJsonScanner, JsonFault, unexpectedJson } from './json.ts'
import { peek } from './peek.ts'
import { atBeginning, movedBy, type ReaderState, type RecordReader, type Row } from './records.ts'
import { takeDefects } from './row-issues.ts'

/** What JSON may cost. */
export interface JsonLimits {
  max_cell_bytes: number
  max_columns: number
}

/** An object is no longer than so many of the largest cells. */
const maxCellsOfRecord = 16
/** Keys are gathered from so many characters before the header is given: a mapping can name them. */
const headerLength = 1024 * 1024
const hint = 'Send an array of objects, or one object a line; their keys name the columns.'

/** Whether a text is JSON, by how it begins: no header does so. */
export function looksLikeJson(head: string): boolean {
  return /^\uFEFF?\s*(\[\s*[[{\]]|\{\s*["}])/.test(head)
}

/** Opens JSON: an array of objects, or objects one after the other, as in NDJSON. */
export async function openJson(
  source: AsyncIterable<Uint8Array>,
  format: Pick<FileFormat, 'encoding'>,
  limits: JsonLimits,
): Promise<OpenFile> {
  const { head, bytes } = await peek(source, 1024)
  return fileOf(scanJson(head, format, limits), bytes)
}

/** Where a scanner of JSON stands. */
export interface JsonState {
  kind: 'json'
  cleaner: CleanerState
  reader: JsonReaderState
}

/** Begins to scan JSON, whose first bytes these are. */
export function scanJson(
  head: Uint8Array,
  format: Pick<FileFormat, 'encoding'>,
  limits: JsonLimits,
): Scanner<JsonState> {
  const cleaner = createCleaner(format.encoding ?? detectEncoding(head))
  return scannerOf(cleaner, createJsonReader(cleaner.defects, limits))
}

/** Goes on where another scanner stood. */
export function resumeJson({ cleaner, reader }: JsonState, limits: JsonLimits): Scanner<JsonState> {
  const resumed = resumeCleaner(cleaner, reader.pending.length, reader.defects)
  return scannerOf(resumed, createJsonReader(resumed.defects, limits, reader))
}

function scannerOf(cleaner: Cleaner, reader: JsonReader): Scanner<JsonState> {
  return {
    hasHeader: true,
    fits: () => true, // a key that is missing is null, and one that comes late makes a column
    push: (piece) => reader.push(cleaner.push(piece)),
    end: () => [...reader.push(cleaner.end()), ...reader.end()],
    columns: reader.columns,
    format: () => ({ kind: reader.kind(), encoding: cleaner.encoding() }),
    state: () => ({ kind: 'json', cleaner: cleaner.state(), reader: reader.state() }),
  }
}

/** Reads objects from clean text that comes in chunks. The first row is a header: the keys of the first objects. */
interface JsonReader extends RecordReader<JsonReaderState> {
  /** The keys of all objects so far, as names of columns. */
  columns(): string[]
  kind(): 'json' | 'ndjson'
}

/** What may come next. */
type Expected = 'file' | 'first' | 'separator' | 'object' | 'lines' | 'nothing'

/** Where a reader stands that has given the header. */
interface JsonReaderState extends ReaderState {
  expected: Expected
  /** As they are in the file. */
  keys: string[]
}

function createJsonReader(
  defects: Defect[],
  { max_cell_bytes, max_columns }: JsonLimits,
  state?: JsonReaderState,
): JsonReader {
  const maxRowLength = maxCellsOfRecord * max_cell_bytes
  const places = new Map<string, number>() // of each key among the columns
  const keys: string[] = []
  let expected: Expected = 'file'
  let isHeaderGiven = false
  let rows: Row[] = []
  let { pending, line } = state ?? atBeginning // the line of a place in it, which the line breaks are counted up to
  let offset = 0 // of the pending text in the whole
  let nextBreak = pending.indexOf('\n')
  let nextLook = 0 // how long the text must be before it is looked at again
  if (state) {
    expected = state.expected
    isHeaderGiven = true
    for (const key of state.keys) addKey(key)
  }

  /** The line of a place. They are asked for in order. */
  function lineAt(at: number): number {
    while (nextBreak >= 0 && nextBreak < at) {
      line++
      nextBreak = pending.indexOf('\n', nextBreak + 1)
    }
    return line
  }

  /** Takes the complete objects off the pending text. */
  function take(hasEnded: boolean): void {
    const scanner = createJsonScanner(pending, max_cell_bytes)
    let at = 0
    try {
      for (;;) {
        at = scanner.afterSpace(at)
        if (at >= pending.length) break
        at = step(at)
      }
    } catch (cause) {
      if (!(cause instanceof JsonFault)) throw cause
      if (cause.kind === 'invalid') throw invalid(`line ${lineAt(cause.at)}: ${cause.message}`)
      if (cause.kind === 'large') throw largeCell(lineAt(cause.at))
      if (hasEnded) throw invalid(`line ${lineAt(at)}: the file ends in the middle of this object`)
    }
    lineAt(at)
    pending = pending.slice(at)
    offset += at
    nextBreak = pending.indexOf('\n')

    /** Reads what is at a place, and gives the place after it. */
    function step(at: number): number {
      const char = pending[at]
      if (expected === 'file' && char === '[') return moveTo('first', at + 1)
      if ((expected === 'first' || expected === 'separator') && char === ']') return moveTo('nothing', at + 1)
      if (expected === 'separator' && char === ',') return moveTo('object', at + 1)
      if (expected === 'separator' || expected === 'nothing') throw unexpectedJson(pending, at)
      if (char !== '{') throw /[\]},:]/.test(char ?? '') ? unexpectedJson(pending, at) : noObject(at)
      const end = addObject(at)
      return moveTo(expected === 'file' || expected === 'lines' ? 'lines' : 'separator', end)
    }

    function moveTo(next: Expected, at: number): number {
      expected = next
      return at
    }

    function addObject(start: number): number {
      const cells: (string | null)[] = []
      const own: Defect[] = []
      const end = scanner.object(start, (key, value) => {
        const place = places.get(key) ?? addColumn(key, start)
        while (cells.length < place) cells.push(null)
        cells[place] = value === null ? null : cleanCell(value, own)
      })
      if (defects.length > 0) own.push(...takeDefects(defects, offset + end))
      if (cells.length === 0) return end // {} is as a blank line
      const row: Row = { cells, line: lineAt(start) }
      if (own.length > 0) row.defects = own
      rows.push(row)
      return end
    }
  }

  function addColumn(key: string, at: number): number {
    if (keys.length === max_columns) {
      const details = `the object in line ${lineAt(at)} has a key beyond the first ${max_columns}`
      throw tooLarge('file has too many columns', details, `At most ${max_columns} are allowed.`)
    }
    return addKey(key)
  }

  function addKey(key: string): number {
    places.set(key, keys.length)
    return keys.push(cleanCell(key, [])) - 1
  }

  function noObject(at: number): Error {
    const what = pending[at] === '[' ? 'an array' : 'a single value'
    return malformed('JSON has a row that is no object', `line ${lineAt(at)}: ${what}`, hint)
  }

  function largeCell(line: number): Error {
    const details = `nested value in line ${line}, the limit is ${max_cell_bytes} bytes`
    return tooLarge('cell is too large', details, 'Shorten it.')
  }

  function columns(): string[] {
    return columnNames(keys)
  }

  function taken(hasEnded: boolean): Row[] {
    if (!isHeaderGiven && (rows.length === 0 || (offset < headerLength && !hasEnded))) return []
    const taken = rows
    rows = []
    if (isHeaderGiven) return taken
    isHeaderGiven = true
    return [{ cells: columns(), line: 0 }, ...taken]
  }

  return {
    push(text) {
      const found = nextBreak < 0 ? text.indexOf('\n') : -1
      if (found >= 0) nextBreak = pending.length + found
      pending += text
      if (pending.length < nextLook) return []
      take(false)
      if (pending.length > maxRowLength) {
        const details = `the object that begins in line ${line} is longer than ${maxRowLength} bytes`
        throw tooLarge('row is too long', details, hint)
      }
      // An object that goes on and on is not looked at again with every chunk.
      nextLook = Math.min(2 * pending.length, maxRowLength + 1)
      return taken(false)
    },
    end() {
      take(true)
      const isInArray = expected === 'first' || expected === 'separator' || expected === 'object'
      if (isInArray) throw invalid(`line ${line}: the file ends in the middle of its array`)
      if (keys.length === 0) throw emptyFile()
      return taken(true)
    },
    columns,
    kind: () => (expected === 'lines' ? 'ndjson' : 'json'),
    state: () => ({ pending, line, defects: movedBy(-offset, defects), expected, keys: [...places.keys()] }),
  }
}

function invalid(details: string): Error {
  return malformed('JSON is not valid', details, hint)
}
