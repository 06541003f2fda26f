import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FileFormat, openFile, readHeader } from '../../../functions/_shared/upload/file.ts'

const oneMegabyte = 1024 * 1024

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Reads a whole file, as it comes in chunks of the given size. */
async function read(
  content: string | Buffer,
  format: Partial<FileFormat> = {},
  chunk = 7,
  maxCell = oneMegabyte,
) {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const file = await openFile(inChunks(bytes, chunk), { header: true, ...format }, maxCell)
  const batches = file.batches()
  const { columns, rest } = await readHeader(batches, format.header ?? true)
  const rows = [...rest]
  for await (const batch of batches) rows.push(...batch)
  return {
    columns,
    rows: rows.map((row) => row.cells),
    lines: rows.map((row) => row.line),
  }
}

async function refusal(content: string | Buffer, format: Partial<FileFormat> = {}, maxCell?: number) {
  const cause = await read(content, format, 1000, maxCell).catch((error: unknown) => error)
  return cause as { status: number; body: { code: string; message: string; details: string; hint: string } }
}

describe('files', () => {
  it('reads quotes, line breaks in cells and both line ends', async () => {
    const { columns, rows, lines } = await read('a,b\n1,"x ""y"", z"\r\n"2\n2",\'\n\n"3\r\n3",4\n5,6')
    expect(columns).toEqual(['a', 'b'])
    expect(rows).toEqual([
      ['1', 'x "y", z'],
      ['2\n2', "'"],
      ['3\r\n3', '4'],
      ['5', '6'],
    ])
    expect(lines).toEqual([2, 3, 6, 8])
  })

  it('reads CR alone as line end', async () => {
    expect((await read('a,b\r1,2\r3,4\r')).rows).toEqual([
      ['1', '2'],
      ['3', '4'],
    ])
  })

  it('finds the first CR LF wherever it is', async () => {
    const head = 'a,b\n'.repeat(30_000)
    const { rows } = await read(`${head}1,2\r\n3,4\r\n`, {}, 65_536)
    expect(rows.slice(-2)).toEqual([
      ['1', '2'],
      ['3', '4'],
    ])
  })

  it('takes a quote in the middle of a cell as it is', async () => {
    const { rows } = await read('a,b\n5" pipe,1\n"x"y,2\n"he said ""no""",3\n')
    expect(rows).toEqual([
      ['5" pipe', '1'],
      ['"x"y', '2'],
      ['he said "no"', '3'],
    ])
  })

  it('takes a cell that begins with a quote and has several lines', async () => {
    const { rows } = await read('a,b\n"""no"", he said\nand went",1\n')
    expect(rows).toEqual([['"no", he said\nand went', '1']])
  })

  it('names the line in which a quote was opened that nobody closed', async () => {
    expect(await refusal('a,b\n1,2\n\n3,"4\n5,6\n')).toMatchObject({
      status: 400,
      body: {
        code: '22023',
        message: 'quote is not closed',
        details: 'opened in the record that begins in line 4, column 2',
      },
    })
  })

  it('does not let such a quote swallow rows up to the next quote', async () => {
    expect(await refusal('a,b\n1,2\n3,"4\n5,"6"\n7,8\n')).toMatchObject({
      status: 400,
      body: { message: 'quote is not closed', details: expect.stringContaining('line 3') },
    })
  })

  it('refuses a row that grows without end', async () => {
    expect(await refusal(`a,b\n1,2\n3,"${'x\n'.repeat(20_000)}`, {}, 1000)).toMatchObject({
      status: 413,
      body: { message: 'row is too long', details: expect.stringContaining('line 3') },
    })
  })

  it('numbers columns without a header', async () => {
    const { columns, rows, lines } = await read('1,2\n3,4\n', { header: false })
    expect(columns).toEqual(['column_1', 'column_2'])
    expect(rows).toHaveLength(2)
    expect(lines).toEqual([1, 2])
  })

  it.each([
    ['nothing', Buffer.alloc(0), 'file is empty', 400],
    ['blank lines', Buffer.from('\n\r\n  \n'), 'file is empty', 400],
    ['a byte order mark', Buffer.from('\uFEFF'), 'file is empty', 400],
    ['a PDF', Buffer.from('%PDF-1.7\n'), 'a PDF', 415],
    ['a PNG', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), 'a PNG image', 415],
    ['a web page', Buffer.from('<!DOCTYPE html><html></html>'), 'an HTML page', 415],
    ['noise', Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 251)), 'binary data', 415],
  ])('refuses %s', async (_, content, words, status) => {
    const refused = await refusal(content)
    expect(refused.status).toBe(status)
    expect(`${refused.body.message} ${refused.body.details}`).toContain(words)
    expect(refused.body.hint).toBeTruthy()
  })

  it('reads back what was written, with the right lines, in any chunks', async () => {
    const cell = fc.oneof(
      fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r\n', ' ', 'ü', '😀') }),
      fc.constantFrom('plain', '1.50', ''),
    )
    const table = fc.integer({ min: 2, max: 4 }).chain((width) =>
      fc.array(fc.tuple(fc.array(cell, { minLength: width, maxLength: width }), fc.nat({ max: 2 })), {
        minLength: 1,
      }),
    )
    const end = fc.constantFrom('\n', '\r\n')
    await fc.assert(
      fc.asyncProperty(table, end, fc.integer({ min: 1, max: 40 }), async (records, newline, chunk) => {
        const width = records[0]?.[0].length ?? 0
        let content = Array.from({ length: width }, (_, index) => `c${index}`).join(',') + newline
        let line = 2
        const wanted: { cells: string[]; line: number }[] = []
        for (const [cells, blankLines] of records) {
          content += newline.repeat(blankLines)
          line += blankLines
          wanted.push({ cells, line })
          const written = cells.map((value) => `"${value.replaceAll('"', '""')}"`).join(',') + newline
          content += written
          line += written.split('\n').length - 1
        }
        const result = await read(content, { delimiter: ',', quote: '"' }, chunk)
        expect(result.rows).toEqual(wanted.map((row) => row.cells))
        expect(result.lines).toEqual(wanted.map((row) => row.line))
      }),
      { numRuns: 500 },
    )
  })
})
