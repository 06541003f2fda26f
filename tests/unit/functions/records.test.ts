import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRecordReader } from '../../../functions/_shared/upload/records.ts'

const dialects = [',', ';', '\t', '|'].map((delimiter) => ({ delimiter, quote: '"' }))

/** Reads text that comes in chunks of the given length; undefined if it is refused. */
function read(text: string, dialect: (typeof dialects)[number], newline: '\n' | '\r', length: number) {
  const reader = createRecordReader(dialect, newline, 1_000_000, [])
  try {
    const rows = []
    for (let at = 0; at < text.length; at += length) rows.push(...reader.push(text.slice(at, at + length)))
    return [...rows, ...reader.end()]
  } catch (error) {
    expect((error as Error).message).toBe('quote is not closed')
    return undefined
  }
}

/** What csv-parse reads, which takes the CR of a last line without a line end for a part of the cell. */
function readAll(text: string, dialect: (typeof dialects)[number], newline: '\n' | '\r') {
  try {
    return parse(text + newline, {
      ...dialect,
      record_delimiter: newline === '\n' ? ['\n', '\r\n'] : [newline],
      relax_quotes: true,
      relax_column_count: true,
      skip_empty_lines: true,
    })
  } catch {
    return undefined
  }
}

describe('records', () => {
  it('are those that csv-parse finds, in any text and any chunks', () => {
    const text = fc.string({
      unit: fc.constantFrom(
        'a',
        '"',
        '""',
        ',',
        ';',
        '\n',
        '\r\n',
        '\r',
        '\n"',
        '"\n',
        '",',
        ',"',
        ' ',
        '\t',
        '\u00A0',
        '😀',
      ),
      maxLength: 80,
    })
    const parameters = [text, fc.constantFrom(...dialects), fc.constantFrom('\n', '\r')] as const
    fc.assert(
      fc.property(...parameters, fc.integer({ min: 1, max: 100 }), (text, dialect, newline, length) => {
        const wanted = readAll(text, dialect, newline)
        const rows = read(text, dialect, newline, length)
        if (rows) {
          expect(rows.map((row) => row.cells)).toEqual(wanted)
        } else if (wanted) {
          const isSwallower = (cell: string) => cell.startsWith('"') && cell.includes(newline)
          expect(wanted.flat().some(isSwallower)).toBe(true)
        }
      }),
      { numRuns: 20_000 },
    )
  })
})
