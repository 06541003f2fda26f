import { Buffer } from 'node:buffer'
import { type ParsedTokenInfo, Tokenizer, TokenParser, TokenType } from '@streamparser/json'
import { malformed, Refusal, tooLarge } from '../_shared/refusal.ts'
import { cleanCell } from './clean-cell.ts'
import { columnNames } from './columns.ts'
import { createCleaner, type Defect, detectEncoding } from './encoding.ts'
import { emptyFile, type FileFormat, type OpenFile } from './file.ts'
import { peek } from './peek.ts'
import type { Row } from './records.ts'
import { takeDefects } from './row-issues.ts'

/** What JSON may cost. */
export interface JsonLimits {
  max_cell_bytes: number
  max_columns: number
}

/** An object is no longer than so many of the largest cells. */
const maxCellsOfRecord = 16
const maxDepth = 100
/** Keys are gathered from so many bytes before the header is given: a mapping can name them. */
const headerBytes = 1024 * 1024
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
  const cleaner = createCleaner(format.encoding ?? detectEncoding(head))
  const reader = createJsonReader(cleaner.defects, limits)

  async function* batches(): AsyncGenerator<Row[]> {
    for await (const chunk of bytes) yield reader.push(cleaner.push(chunk))
    yield reader.push(cleaner.end())
    yield reader.end()
  }
  return {
    hasHeader: true,
    fits: () => true, // a key that is missing is null, and one that comes late makes a column
    batches,
    columns: reader.columns,
    format: () => ({ kind: reader.kind(), encoding: cleaner.encoding() }),
  }
}

/** Reads objects from clean UTF-8 that comes in chunks. The first row is a header: the keys of the first objects. */
interface JsonReader {
  push(text: string): Row[]
  end(): Row[]
  /** The keys of all objects so far, as names of columns. */
  columns(): string[]
  kind(): 'json' | 'ndjson'
}

/** A number as it is written: 12345678901234567890 and 1.50 are not what JavaScript makes of them. */
class WrittenNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toJSON(): string {
    return this.text
  }
}

class WrittenTokenizer extends Tokenizer {
  protected override parseNumber(text: string): number {
    return new WrittenNumber(text) as unknown as number // a value like any other to the parser behind it
  }
}

/**
 * A reader around @streamparser/json, which reads JSON as a stream, strictly, and lets the text of numbers be kept.
 * `JSON.parse` line by line is faster but does not keep it (on Node 20), and cannot read an array as a stream.
 */
function createJsonReader(defects: Defect[], { max_cell_bytes, max_columns }: JsonLimits): JsonReader {
  const tokenizer = new WrittenTokenizer()
  const places = new Map<string, number>() // of each key among the columns
  const keys: string[] = []
  let parser: TokenParser | undefined
  let isArray = false
  let isHeaderGiven = false
  let rows: Row[] = []
  let depth = 0
  let at = 0 // where the last token began, in bytes
  let recordStart = 0
  let recordLine = 1
  let nestedStart = 0
  let chunk: Buffer = Buffer.alloc(0)
  let chunkStart = 0
  let textStart = 0 // of the chunk, in characters
  let own: Defect[] = [] // of the object that is read
  let line = 1
  let nextBreak = -1 // of the lines in the chunk; negative where there is none left

  /** The line of a place in the chunk. They are asked for in order. */
  function lineAt(offset: number): number {
    while (nextBreak >= 0 && chunkStart + nextBreak < offset) {
      line++
      nextBreak = chunk.indexOf(10, nextBreak + 1)
    }
    return line
  }

  function startParser(first: TokenType): TokenParser {
    isArray = first === TokenType.LEFT_BRACKET
    const parser = new TokenParser(
      isArray ? { paths: ['$.*'], keepStack: false } : { paths: ['$'], separator: '' },
    )
    parser.onValue = ({ value }) => addRecord(value)
    return parser
  }

  tokenizer.onToken = (token: ParsedTokenInfo) => {
    at = token.offset
    parser ??= startParser(token.token)
    const base = isArray ? 1 : 0
    if (depth === base) {
      recordStart = at
      recordLine = lineAt(at)
      if (token.token === TokenType.LEFT_BRACKET && isArray) throw noObject('an array')
    }
    if (token.token === TokenType.LEFT_BRACE || token.token === TokenType.LEFT_BRACKET) {
      depth++
      if (depth === base + 2) nestedStart = at
      if (depth > maxDepth) throw malformed('JSON is nested too deeply', `line ${lineAt(at)}`)
    } else if (token.token === TokenType.RIGHT_BRACE || token.token === TokenType.RIGHT_BRACKET) depth--
    if (depth >= base + 2 && at - nestedStart > max_cell_bytes) throw largeCell()
    parser.write(token)
  }
  tokenizer.onError = (cause) => {
    throw cause
  }

  function addRecord(value: unknown): void {
    if (typeof value !== 'object' || value === null || value instanceof WrittenNumber) {
      throw noObject(
        value === null ? 'null' : value instanceof WrittenNumber ? 'a number' : `a ${typeof value}`,
      )
    }
    if (Array.isArray(value)) throw noObject('an array')
    const cells: (string | null)[] = []
    own = defects.length > 0 ? takeDefects(defects, charactersUpTo(at + 1)) : []
    for (const [key, cell] of Object.entries(value)) {
      const place = places.get(key) ?? addColumn(key)
      while (cells.length < place) cells.push(null)
      cells[place] = cellText(cell)
    }
    if (cells.length === 0) return // {} is as a blank line
    rows.push(own.length > 0 ? { cells, line: recordLine, defects: own } : { cells, line: recordLine })
  }

  function charactersUpTo(offset: number): number {
    return textStart + chunk.toString('utf8', 0, offset - chunkStart).length
  }

  function addColumn(key: string): number {
    if (keys.length === max_columns) {
      const details = `the object in line ${recordLine} has a key beyond the first ${max_columns}`
      throw tooLarge('file has too many columns', details, `At most ${max_columns} are allowed.`)
    }
    places.set(key, keys.length)
    return keys.push(cleanCell(key, [])) - 1
  }

  function cellText(value: unknown): string | null {
    if (value === null) return null
    if (typeof value === 'boolean') return String(value)
    if (value instanceof WrittenNumber) return value.text
    return cleanCell(typeof value === 'string' ? value : compact(value), own)
  }

  function noObject(what: string): Error {
    return malformed('JSON has a row that is no object', `line ${lineAt(at)}: ${what}`, hint)
  }

  function largeCell(): Error {
    return tooLarge(
      'cell is too large',
      `nested value in the object that begins in line ${recordLine}, the limit is ${max_cell_bytes} bytes`,
      'Shorten it.',
    )
  }

  function taken(hasEnded: boolean): Row[] {
    if (!isHeaderGiven && (rows.length === 0 || (chunkStart < headerBytes && !hasEnded))) return []
    const taken = rows
    rows = []
    if (isHeaderGiven) return taken
    isHeaderGiven = true
    return [{ cells: columns(), line: 0 }, ...taken]
  }

  function columns(): string[] {
    return columnNames(keys)
  }

  function asRefusal(cause: unknown): unknown {
    if (cause instanceof Refusal || !(cause instanceof Error)) return cause
    const position = /absolute position "(\d+)"/.exec(cause.message)?.[1]
    const found = /^Unexpected (?:[A-Z_]+ \()?("(?:[^"\\]|\\.)*"|"[^"]*")/.exec(cause.message)?.[1]
    const where = `line ${lineAt(position === undefined ? at : Number(position))}`
    const details = found
      ? `${where}: unexpected ${found}`
      : `${where}: the file ends in the middle of a value`
    return malformed('JSON is not valid', details, hint)
  }

  return {
    push(text) {
      chunk = Buffer.from(text)
      nextBreak = chunk.indexOf(10)
      try {
        tokenizer.write(chunk)
      } catch (cause) {
        throw asRefusal(cause)
      }
      chunkStart += chunk.length
      textStart += text.length
      lineAt(Number.POSITIVE_INFINITY)
      const limit = maxCellsOfRecord * max_cell_bytes
      if (depth > (isArray ? 1 : 0) && chunkStart - recordStart > limit) {
        throw tooLarge(
          'row is too long',
          `the object in line ${recordLine} is longer than ${limit} bytes`,
          hint,
        )
      }
      return taken(false)
    },
    end() {
      try {
        if (!parser) throw emptyFile()
        if (!tokenizer.isEnded) tokenizer.end()
        if (!parser.isEnded) parser.end()
      } catch (cause) {
        throw asRefusal(cause)
      }
      if (keys.length === 0) throw emptyFile()
      return taken(true)
    },
    columns,
    kind: () => (isArray ? 'json' : 'ndjson'),
  }
}

/** A nested value as JSON without white space, its numbers as they were written. */
function compact(value: unknown): string {
  if (value instanceof WrittenNumber) return value.text
  if (Array.isArray(value)) return `[${value.map(compact).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${compact(member)}`)
  return `{${members.join(',')}}`
}
