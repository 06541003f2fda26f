import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FileFormat, piecesOf, type Scanner } from '../../../functions/_shared/upload/file.ts'
import type { Row } from '../../../functions/_shared/upload/records.ts'
import { beginScan, resumeScan, type ScannerState } from '../../../functions/_shared/upload/scan.ts'
import { limits, type Refused } from '../../support/table.ts'

// Files that are read in parts, each by a scanner that knows of those before it no more than JSON can hold.

/** What a file is read as, or what it is refused with. */
function read(bytes: Uint8Array, cuts: number[], format: Partial<FileFormat> = {}) {
  const rows: Row[] = []
  try {
    const head = bytes.subarray(0, 64 * 1024)
    let scanner: Scanner<ScannerState> = beginScan(head, true, { header: true, ...format }, limits)
    let from = 0
    for (const to of [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]) {
      for (const piece of piecesOf(bytes.subarray(from, to))) rows.push(...scanner.push(piece))
      from = to
      if (rows.length === 0) continue // the header has not been given
      scanner = resumeScan(JSON.parse(JSON.stringify(scanner.state())) as ScannerState, limits)
    }
    rows.push(...scanner.end())
    return { rows: rows.map(plain), columns: scanner.columns?.(), format: scanner.format() }
  } catch (cause) {
    if (typeof (cause as Refused).status !== 'number') throw cause
    return { refused: (cause as Refused).body }
  }
}

/** A row without the places of its defects: they count from where the scanner began. */
function plain({ defects = [], ...row }: Row) {
  return { ...row, defects: defects.map(({ kind }) => kind) }
}

const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 })
const parts = [
  'a',
  'ü',
  '😀',
  '\0',
  '"',
  '""',
  '\n',
  '\r\n',
  '\r',
  ',',
  ';',
  '\t',
  '"\n',
  '",',
  ',"',
  ' ',
  '€',
]
const text = fc
  .array(fc.constantFrom(...parts), { maxLength: 120 })
  .map((more) => `name,"other\nname"\n${more.join('')}`)

const encodings = {
  'utf-8': (text: string) => Buffer.from(text),
  'utf-8 with a mark': (text: string) => Buffer.from(`\ufeff${text}`),
  'utf-16le': (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'utf-16be': (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
  'windows-1252': (text: string) =>
    Buffer.from(text.replaceAll('😀', '\x9d').replaceAll('€', '\x80'), 'latin1'),
}
const encoding = fc.constantFrom(...(Object.keys(encodings) as (keyof typeof encodings)[]))

describe('a file that is cut anywhere', () => {
  it('has the rows, lines and defects of the whole, in any encoding', () => {
    fc.assert(
      fc.property(text, encoding, cuts, (content, as, at) => {
        const bytes = encodings[as](content)
        expect(read(bytes, at)).toEqual(read(bytes, []))
      }),
      { numRuns: 1500 },
    )
  })

  it('has them where its bytes are damaged', () => {
    const bytes = fc.array(fc.oneof(text.map(Buffer.from), fc.uint8Array({ maxLength: 6 })), { maxLength: 5 })
    fc.assert(
      fc.property(bytes, cuts, (some, at) => {
        const content = Buffer.concat([Buffer.from('name,other\n'), ...some])
        expect(read(content, at)).toEqual(read(content, []))
      }),
      { numRuns: 1000 },
    )
  })

  it('has them where it is JSON, in lines or as an array', () => {
    const key = fc.constantFrom('a', 'ü', 'a b', '\0', '\ud800', 'later', '😀')
    const value = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.double(),
      fc.jsonValue({ maxDepth: 2 }),
    )
    const records = fc.array(fc.dictionary(key, value, { maxKeys: 4 }), { minLength: 1, maxLength: 20 })
    // So that the header is given before the end: keys are gathered from a megabyte.
    const first = JSON.stringify({ a: 'x'.repeat(1_000_000), b: '€'.repeat(48_600) })
    fc.assert(
      fc.property(records, fc.boolean(), cuts, (all, isArray, at) => {
        const lines = [first, ...all.map((record) => JSON.stringify(record))]
        const bytes = Buffer.from(isArray ? `[\n${lines.join(',\n')}\n]` : lines.join('\r\n'))
        const start = Buffer.byteLength(first)
        const cutBehind = at.map((cut) => start + cut)
        // The header is what has been seen of the keys when it is given.
        const { rows: [, ...rows] = [], ...rest } = read(bytes, cutBehind)
        const { rows: [, ...wanted] = [], ...others } = read(bytes, [])
        expect({ rows, ...rest }).toEqual({ rows: wanted, ...others })
      }),
      { numRuns: 25 },
    )
  })

  it('has the encoding of the whole, wherever that shows', () => {
    const late = `name,town\n${'x,y\n'.repeat(30_000)}`
    for (const [content, wanted] of [
      [Buffer.from(`${late}Müller,Köln\n`.repeat(2)), 'utf-8'],
      [Buffer.from(`${late}Müller,Köln\n`.repeat(2), 'latin1'), 'windows-1252'],
    ] as const) {
      for (let cut = 120_000; cut < 120_006; cut++) {
        const { rows, format } = read(content, [cut, cut + 1])
        expect(format).toMatchObject({ encoding: wanted })
        expect(rows?.at(-1)?.cells).toEqual(['Müller', 'Köln'])
      }
    }
  })

  it('may have a record that is longer than any part of it', () => {
    const long = `${'"x""y"\n'.repeat(40_000)}`
    const content = Buffer.from(`a,b\n1,"${long.replaceAll('"', '""')}"\n2,z\n`)
    const everywhere = Array.from({ length: 20 }, (_, n) => (n + 1) * 20_000)
    const { rows } = read(content, everywhere)
    expect(rows?.slice(1).map((row) => [row.line, ...row.cells])).toEqual([
      [2, '1', long],
      [40_003, '2', 'z'],
    ])
  })

  it('is refused as the whole is, with the line of the whole', () => {
    const content = Buffer.from(`a,b\n${'1,2\n'.repeat(100)}3,"never closed\n${'1,2\n'.repeat(100)}`)
    expect(read(content, [50, 300, 500]).refused).toMatchObject({
      message: 'quote is not closed',
      details: 'opened in the record that begins in line 102, column 2',
    })
  })
})
