import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { parseCsv } from 'hucre/csv'
import { describe, expect, it } from 'vitest'
import { readTable } from '../../support/table.ts'

// Nasty files, read here and by a parser that has nothing in common with ours.

const delimiters = [',', ';', '\t', '|']
const nasty = [
  '"',
  '""',
  "'",
  ',',
  ';',
  '\t',
  '|',
  '\n',
  '\r\n',
  ' ',
  '\u00a0',
  '\ufeff',
  'ü',
  '😀',
  '=1+1',
  '\\',
  '\\"',
  'x',
  '0',
]
const cell = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(fc.constantFrom(...nasty), { maxLength: 6 }).map((parts) => parts.join('')),
  },
  {
    weight: 1,
    arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll(/[\0\r]/g, '')),
  },
  { weight: 1, arbitrary: fc.constantFrom('', 'plain', '1.250,50', 'NULL', 'a'.repeat(3000)) },
)

interface NastyFile {
  delimiter: string
  text: string
}

const file: fc.Arbitrary<NastyFile> = fc
  .record({
    delimiter: fc.constantFrom(...delimiters),
    newline: fc.constantFrom('\n', '\r\n'),
    width: fc.integer({ min: 2, max: 6 }),
    rows: fc.array(fc.array(fc.tuple(cell, fc.boolean()), { minLength: 1, maxLength: 7 }), {
      minLength: 1,
      maxLength: 30,
    }),
    endsWithNewline: fc.boolean(),
    blankLines: fc.boolean(),
  })
  .map(({ delimiter, newline, width, rows, endsWithNewline, blankLines }) => {
    const header = Array.from({ length: width }, (_, i) => `h${i}`).join(delimiter)
    const written = rows.map((cells) =>
      cells.map(([text, quoted]) => write(text, quoted, delimiter)).join(delimiter),
    )
    const lines = [header, ...written].join(blankLines ? newline + newline : newline)
    return { delimiter, text: endsWithNewline ? lines + newline : lines }
  })

/** A cell, in quotes where it must be or where chance says so. */
function write(text: string, quoted: boolean, delimiter: string): string {
  const mustQuote = text.includes(delimiter) || /["\r\n]/.test(text) || text !== text.trim()
  return quoted || mustQuote ? `"${text.replaceAll('"', '""')}"` : text
}

/** A line that is blank, or that has an empty cell in quotes: the two differ in which they pass over. */
function isNotBlank(row: (string | null)[]): boolean {
  return row.length > 1 || row[0] !== ''
}

const encodings = {
  'utf-8': (text: string) => Buffer.from(text),
  'utf-8 with a mark': (text: string) => Buffer.from(`\ufeff${text}`),
  'utf-16le': (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'utf-16be': (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
}

describe('delimited text', () => {
  it('is read as an independent parser reads it, in any encoding and any chunks', async () => {
    const encoding = fc.constantFrom(...(Object.keys(encodings) as (keyof typeof encodings)[]))
    await fc.assert(
      fc.asyncProperty(
        file,
        encoding,
        fc.integer({ min: 1, max: 200 }),
        async ({ delimiter, text }, as, chunk) => {
          const wanted = parseCsv(text, { delimiter, skipBom: true })
            .map((row) => row.map((value) => String(value ?? '')))
            .filter(isNotBlank)
          const { columns, rows } = await readTable(encodings[as](text), { delimiter, quote: '"' }, { chunk })
          expect([columns, ...rows].filter(isNotBlank)).toEqual(wanted)
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('is told apart by its delimiter, decimal commas or not', async () => {
    const word = fc.constantFrom('Müller', 'a b', '2024-01-31', 'x', '')
    const number = fc
      .tuple(fc.nat({ max: 999 }), fc.nat({ max: 99 }))
      .map(([whole, part]) => `${whole},${part}`)
    const rows = fc.array(fc.tuple(word, number, number, word), { minLength: 1, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(rows, fc.constantFrom(';', '\t', '|'), async (cells, delimiter) => {
        const text = [['Nr', 'Preis', 'Menge', 'Name'], ...cells]
          .map((row) => row.join(delimiter))
          .join('\r\n')
        const read = await readTable(text, {}, { chunk: 1000 })
        expect(read.format).toMatchObject({ kind: 'csv', delimiter })
        expect(read.columns).toEqual(['Nr', 'Preis', 'Menge', 'Name'])
        expect(read.rows).toEqual(cells)
      }),
      { numRuns: 300 },
    )
  })
})
