import { malformed } from '../refusal.ts'
import { refuseBinary } from './binary.ts'
import { columnNames, numberedColumns } from './columns.ts'
import { detectDialect, newlineOf } from './dialect.ts'
import { createCleaner, detectEncoding, type Encoding } from './encoding.ts'
import { peek } from './peek.ts'
import { createRecordReader, type Row } from './records.ts'

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

/** A file whose writing is known, ready to be read. */
export interface OpenFile {
  /** Whether its first row gives the columns their names. */
  hasHeader: boolean
  /** Whether a row of so many cells is as it should be. */
  fits(cells: number, columns: number): boolean
  batches(): AsyncGenerator<Row[]>
  /** The names of the columns once all is read, where more come to light after the first rows. */
  columns?: () => string[]
  /** How it is written, as the import tells it; known once all is read. */
  format(): Record<string, unknown>
}

/** Opens a text of cells with separators. How it is written is found out from its first bytes. */
export async function openFile(
  source: AsyncIterable<Uint8Array>,
  format: FileFormat,
  maxCellBytes: number,
): Promise<OpenFile> {
  const { head, bytes, ended } = await peek(source, headBytes)
  const encoding = format.encoding ?? detectEncoding(head)
  refuseBinary(head, encoding === 'utf-16le' || encoding === 'utf-16be')

  const trial = createCleaner(encoding)
  const text = trial.push(head) + (ended ? trial.end() : '')
  if (ended && text.trim() === '') throw emptyFile()
  const dialect = detectDialect(text, format)
  const cleaner = createCleaner(encoding)
  const reader = createRecordReader(dialect, newlineOf(text), maxCellsOfRow * maxCellBytes, cleaner.defects)

  async function* batches(): AsyncGenerator<Row[]> {
    for await (const chunk of bytes) {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        yield reader.push(cleaner.push(chunk.subarray(at, at + pieceBytes)))
      }
    }
    yield reader.push(cleaner.end())
    yield reader.end()
  }
  return {
    hasHeader: format.header,
    fits: (cells, columns) => cells === columns,
    batches,
    format: () => ({ kind: 'csv', ...dialect, encoding: cleaner.encoding(), header: format.header }),
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
