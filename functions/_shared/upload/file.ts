import { malformed } from '../refusal.ts'
import { refuseBinary } from './binary.ts'
import { columnNames, numberedColumns } from './columns.ts'
import { type Dialect, detectDialect, newlineOf } from './dialect.ts'
import {
  type Cleaner,
  type CleanerState,
  createCleaner,
  detectEncoding,
  type Encoding,
  resumeCleaner,
} from './encoding.ts'
import { peek } from './peek.ts'
import { atBeginning, createRecordReader, type ReaderState, type Row } from './records.ts'

const headBytes = 64 * 1024
/** What is read at once: with more rows alive at a time V8 takes them for long-lived, for twice the time and memory. */
const pieceBytes = 16 * 1024
/** A row is no longer than so many of the largest cells: what grows beyond is a quote that nobody closed. */
const maxCellsOfRow = 16

/** What the caller says of the file; what is missing is found out. */
export interface FileFormat {
  delimiter?: string | undefined
  quote?: string | undefined
  encoding?: Encoding | undefined
  header: boolean
  /** It is JSON; else its beginning tells. */
  json?: boolean | undefined
  /** The sheet of a workbook, by its name or number. */
  sheet?: string | undefined
}

/** What is known of a file whose writing was found out. */
export interface Written {
  /** Whether its first row gives the columns their names. */
  hasHeader: boolean
  /** Whether a row of so many cells is as it should be. */
  fits(cells: number, columns: number): boolean
  /** The names of the columns once all is read, where more come to light after the first rows. */
  columns?: () => string[]
  /** How it is written, as the import tells it; known once all is read. */
  format(): Record<string, unknown>
}

/** A file, ready to be read. */
export interface OpenFile extends Written {
  batches(): AsyncGenerator<Row[]>
}

/** Reads the rows of a text from its bytes. It can be put away after any of them, to be gone on with elsewhere. */
export interface Scanner<State> extends Written {
  push(piece: Uint8Array): Row[]
  /** Where the file ends. */
  end(): Row[]
  /** Where it stands, as JSON; once the header has been given. */
  state(): State
}

/** Cuts a chunk into what is read at once. */
export function* piecesOf(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += pieceBytes) yield chunk.subarray(at, at + pieceBytes)
}

/** A file that is read from its first byte to its last. */
export function fileOf(scanner: Scanner<unknown>, bytes: AsyncIterable<Uint8Array>): OpenFile {
  async function* batches(): AsyncGenerator<Row[]> {
    for await (const chunk of bytes) {
      for (const piece of piecesOf(chunk)) yield scanner.push(piece)
    }
    yield scanner.end()
  }
  return { ...scanner, batches }
}

/** Opens a text of cells with separators. */
export async function openFile(
  source: AsyncIterable<Uint8Array>,
  format: FileFormat,
  maxCellBytes: number,
): Promise<OpenFile> {
  const { head, bytes, ended } = await peek(source, headBytes)
  return fileOf(scanText(head, ended, format, maxCellBytes), bytes)
}

/** Where a scanner of a text of cells stands. */
export interface TextState {
  kind: 'csv'
  dialect: Dialect
  newline: '\n' | '\r'
  header: boolean
  cleaner: CleanerState
  reader: ReaderState
}

/** Begins to scan a text of cells with separators. How it is written is found out from its first bytes. */
export function scanText(
  start: Uint8Array,
  ended: boolean,
  format: FileFormat,
  maxCellBytes: number,
): Scanner<TextState> {
  const head = start.subarray(0, headBytes)
  const encoding = format.encoding ?? detectEncoding(head)
  refuseBinary(head, encoding === 'utf-16le' || encoding === 'utf-16be')

  const trial = createCleaner(encoding)
  const isAll = ended && head.length === start.length
  const text = trial.push(head) + (isAll ? trial.end() : '')
  if (isAll && text.trim() === '') throw emptyFile()
  const written = { dialect: detectDialect(text, format), newline: newlineOf(text), header: format.header }
  return textScanner(written, createCleaner(encoding), atBeginning, maxCellBytes)
}

/** Goes on where another scanner stood. */
export function resumeText(
  { cleaner, reader, ...written }: TextState,
  maxCellBytes: number,
): Scanner<TextState> {
  const resumed = resumeCleaner(cleaner, reader.pending.length, reader.defects)
  return textScanner(written, resumed, reader, maxCellBytes)
}

function textScanner(
  { dialect, newline, header }: Pick<TextState, 'dialect' | 'newline' | 'header'>,
  cleaner: Cleaner,
  state: ReaderState,
  maxCellBytes: number,
): Scanner<TextState> {
  const reader = createRecordReader(dialect, newline, maxCellsOfRow * maxCellBytes, cleaner.defects, state)
  return {
    hasHeader: header,
    fits: (cells, columns) => cells === columns,
    push: (piece) => reader.push(cleaner.push(piece)),
    end: () => [...reader.push(cleaner.end()), ...reader.end()],
    format: () => ({ kind: 'csv', ...dialect, encoding: cleaner.encoding(), header }),
    state: () => ({
      kind: 'csv',
      dialect,
      newline,
      header,
      cleaner: cleaner.state(),
      reader: reader.state(),
    }),
  }
}

/** Reads up to the header, which gives the columns their names, and what of the rows came with it. */
export async function readHeader(
  rows: AsyncGenerator<Row[]>,
  hasHeader: boolean,
): Promise<{ columns: string[]; rest: Row[] }> {
  for (let next = await rows.next(); !next.done; next = await rows.next()) {
    const batch = next.value
    const first = batch.find((row) => row.cells.some((cell) => cell?.trim()))
    if (!first) continue
    const at = batch.indexOf(first)
    if (!hasHeader) return { columns: numberedColumns(first.cells.length), rest: batch.slice(at) }
    return { columns: columnNames(first.cells.map((cell) => cell ?? '')), rest: batch.slice(at + 1) }
  }
  throw emptyFile()
}

/** A file without a row. */
export function emptyFile(): Error {
  return malformed('file is empty', undefined, 'Send a header line and at least one row.')
}
