import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { readXlsx, type WriteSheet, writeXlsx } from 'hucre/xlsx'
import { describe, expect, it } from 'vitest'
import { zip } from '../../../local/demo/zip.ts'
import { readTable, refusalOf } from '../../support/table.ts'
import { workbook } from '../../support/workbook.ts'

const dates = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/></cellXfs>'
const header =
  '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>name</t></is></c></row>'
const row = '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="inlineStr"><is><t>Jo</t></is></c></row>'

describe('workbooks', () => {
  it('come out as people see them', async () => {
    const cells = [
      '<c r="A2" t="s"><v>0</v></c>',
      '<c r="B2" t="s"><v>1</v></c>',
      '<c r="C2"><v>0.30000000000000004</v></c>',
      '<c r="D2" t="b"><v>1</v></c>',
      '<c r="E2" s="1"><v>44830</v></c>',
      '<c r="F2" s="2"><v>44830.5</v></c>',
      '<c r="G2" t="str"><f>A2&amp;"x"</f><v>C1x</v></c>',
      '<c r="H2"><f>1+1</f><v>2</v></c>',
      '<c r="I2" t="e"><v>#N/A</v></c>',
      '<c r="J2" t="d"><v>2022-09-26T00:00:00</v></c>',
      '<c r="K2" t="inlineStr"><is><r><t>rich</t></r><r><t xml:space="preserve"> text</t></r></is></c>',
      '<c r="L2"><f>NOW()</f></c>',
    ]
    const texts = `<si><t>C1</t></si><si><r><t>Mül</t></r><r><t>ler &amp; &#128512;_x000D_</t></r><rPh><t>spoken</t></rPh></si>`
    const names = 'ABCDEFGHIJKL'
      .split('')
      .map((letter) => `<c r="${letter}1" t="inlineStr"><is><t>${letter}</t></is></c>`)
    const file = workbook({
      sheets: [['One &amp; only', `<row r="1">${names.join('')}</row><row r="2">${cells.join('')}</row>`]],
      texts,
      styles: dates,
    })
    const { columns, rows, lines, format } = await readTable(file)
    expect(columns).toEqual('ABCDEFGHIJKL'.split(''))
    expect(rows).toEqual([
      [
        'C1',
        'Müller & 😀\r',
        '0.3',
        'true',
        '2022-09-26',
        '2022-09-26T12:00:00',
        'C1x',
        '2',
        '#N/A',
        '2022-09-26',
        'rich text',
      ],
    ])
    expect(lines).toEqual([2])
    expect(format).toEqual({ kind: 'xlsx', sheet: 'One & only', sheets: ['One & only'], header: true })
  })

  it('keep cells at their places, whatever is left out or out of order', async () => {
    const sheet = `${header}
      <row r="3"><c r="B3"><v>2</v></c></row>
      <row r="5"/><row r="6"><c r="A6" s="0"/><c r="B6" t="s"/></row>
      <row r="9"><c r="B9"><v>3</v></c><c r="A9"><v>1</v></c></row>
      <row><c><v>4</v></c><c><v>5</v></c></row>
      <row r="12"><c r="A12"><v>6</v></c><c r="XFD12"><v>7</v></c></row>
      <row r="99999999999"><c r="A1"><v>8</v></c></row>`
    const { rows, lines } = await readTable(workbook({ sheets: [['S', sheet]] }))
    expect(rows).toEqual([[null, '2'], ['1', '3'], ['4', '5'], ['6', null, '7'], ['8']])
    expect(lines).toEqual([3, 9, 10, 12, 13])
  })

  it('may begin anywhere, and use a prefix', async () => {
    const sheet =
      '<x:row r="7"><x:c r="B7" t="str"><x:v>id</x:v></x:c></x:row><x:row r="8"><x:c r="B8"><x:v>1</x:v></x:c></x:row>'
    const { columns, rows } = await readTable(workbook({ sheets: [['S', sheet]] }))
    expect(columns).toEqual(['column_1', 'id'])
    expect(rows).toEqual([[null, '1']])
  })

  it('have their value in the first of merged cells', async () => {
    const sheet = `${header}<row r="2"><c r="A2"><v>1</v></c><c r="B2" s="0"/></row></sheetData><mergeCells><mergeCell ref="A2:B2"/></mergeCells><sheetData>`
    expect((await readTable(workbook({ sheets: [['S', sheet]] }))).rows).toEqual([['1']])
  })

  it('count days from 1904 where they say so', async () => {
    const sheet = `${header}<row r="2"><c r="A2" s="1"><v>43368</v></c></row>`
    const { rows } = await readTable(workbook({ sheets: [['S', sheet]], styles: dates, is1904: true }))
    expect(rows).toEqual([['2022-09-26']])
  })

  it('are read without a header', async () => {
    const { columns, rows } = await readTable(workbook({ sheets: [['S', header + row]] }), { header: false })
    expect(columns).toEqual(['column_1', 'column_2'])
    expect(rows).toHaveLength(2)
  })

  it('lose what no text can hold, and say so', async () => {
    const sheet = `${header}<row r="2"><c r="A2" t="inlineStr"><is><t>x_x0000_y</t></is></c></row>`
    const { rows, defects } = await readTable(workbook({ sheets: [['S', sheet]] }))
    expect(rows).toEqual([['xy']])
    expect(defects).toEqual([['nul']])
  })

  describe('with several sheets', () => {
    const file = workbook({
      sheets: [
        ['Secret', header + row],
        ['Empty', '<row r="1"><c r="A1" s="0"/></row>'],
        ['Data', header + row + row],
        ['2', header + row],
      ],
      hidden: ['Secret'],
    })

    it('give the first that can be seen and is not empty', async () => {
      const { format, rows } = await readTable(file)
      expect(format).toMatchObject({ sheet: 'Data', sheets: ['Secret', 'Empty', 'Data', '2'] })
      expect(rows).toHaveLength(2)
    })

    it.each([
      ['data', 'Data'],
      ['1', 'Secret'],
      ['2', '2'],
    ])('give sheet %s when asked', async (sheet, name) => {
      expect((await readTable(file, { sheet })).format).toMatchObject({ sheet: name })
    })

    it('tell which there are', async () => {
      expect(await refusalOf(file, { sheet: '5' })).toMatchObject({
        status: 400,
        body: {
          code: '22023',
          message: 'sheet is unknown',
          details: 'no sheet "5"',
          hint: 'Sheets are: 1 "Secret", 2 "Empty", 3 "Data", 4 "2".',
        },
      })
      expect((await refusalOf(file, { sheet: 'Empty' })).body).toMatchObject({
        message: 'file is empty',
        details: 'sheet "Empty" is empty',
      })
    })
  })

  it.each([
    ['XML that is none', workbook({ sheets: [['S', '<row><c></row>']] }), 'workbook is damaged', ''],
    [
      'entities of its own',
      workbook({ sheets: [['S', '<row><c t="str"><v>&lol;</v></c></row>']] }),
      'workbook is damaged',
      '',
    ],
    ['a sheet that is not there', zip(withoutSheet()), 'workbook is damaged', 'xl/worksheets/sheet1.xml'],
    ['no row at all', workbook({ sheets: [['S', '']] }), 'file is empty', ''],
  ])('are refused with %s', async (_, file, message, details) => {
    const refused = await refusalOf(file)
    expect(refused).toMatchObject({ status: 400, body: { code: '22023', message } })
    expect(refused.body.details).toContain(details)
  })

  function withoutSheet() {
    const relation = (type: string, target: string) =>
      `<Relationships><Relationship Id="rId1" Type="x/${type}" Target="${target}"/></Relationships>`
    return [
      { name: '[Content_Types].xml', content: '<Types/>' },
      { name: '_rels/.rels', content: relation('officeDocument', 'xl/workbook.xml') },
      { name: 'xl/_rels/workbook.xml.rels', content: relation('worksheet', 'worksheets/sheet1.xml') },
      {
        name: 'xl/workbook.xml',
        content: '<workbook><sheets><sheet name="S" r:id="rId1"/></sheets></workbook>',
      },
    ]
  }

  it.each([
    [
      'a document',
      '<Relationship Id="r" Type="x/officeDocument" Target="word/document.xml"/>',
      'no workbook',
    ],
    ['a binary workbook', '<Relationship Id="r" Type="x/officeDocument" Target="xl/workbook.bin"/>', 'xlsb'],
  ])('are not %s', async (_, relation, words) => {
    const refused = await refusalOf(
      zip([
        { name: '[Content_Types].xml', content: '' },
        { name: '_rels/.rels', content: `<Relationships>${relation}</Relationships>` },
      ]),
    )
    expect(refused.status).toBe(415)
    expect(refused.body.details).toContain(words)
  })

  it('are not what has a password, or is older', async () => {
    const container = Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.alloc(4096)])
    expect(await refusalOf(container)).toMatchObject({
      status: 415,
      body: { details: expect.stringContaining('encrypted'), hint: expect.stringContaining('password') },
    })
  })

  it('are bounded in what they unpack', async () => {
    const empty = '<row r="2"><c r="A2" s="1"/><c r="B2" s="1"/><c r="C2" s="1"/></row>'
    const file = workbook({ sheets: [['S', header + empty.repeat(100_000)]] })
    expect(file.length).toBeLessThan(100_000)
    expect(await refusalOf(file, {}, { max_workbook_bytes: 1_000_000, chunk: 1 << 16 })).toMatchObject({
      status: 413,
      body: { message: 'workbook is too large for a request', hint: expect.stringContaining('CSV') },
    })
    expect((await readTable(file, {}, { chunk: 1 << 16 })).rows).toEqual([])
  })

  it('are bounded in what their cells come to, which may all name one text', async () => {
    const row = `<row r="2">${'<c t="s"><v>0</v></c>'.repeat(100)}</row>`
    const file = workbook({ sheets: [['S', header + row]], texts: `<si><t>${'x'.repeat(100_000)}</t></si>` })
    expect((await refusalOf(file, {}, { max_workbook_bytes: 1_000_000 })).body).toMatchObject({
      message: 'workbook is too large for a request',
      details: 'its cells come to more than 1000000 characters',
    })
  })

  it('are bounded together where a request has several', async () => {
    const file = workbook({ sheets: [['S', header.padEnd(600_000)]] })
    const spent = { bytes: 0 }
    const limit = { max_workbook_bytes: 1_000_000, spent }
    await readTable(file, {}, limit)
    expect(spent.bytes).toBeGreaterThan(600_000)
    expect((await refusalOf(file, {}, limit)).status).toBe(413)
  })

  it('are bounded where the directory lies', async () => {
    const part = {
      name: 'xl/worksheets/sheet1.xml',
      content: `<worksheet>${' '.repeat(100_000)}</worksheet>`,
    }
    const file = zip([...withoutSheet(), { ...part, size: 100 }])
    expect((await refusalOf(file)).body).toMatchObject({ message: 'zip archive is damaged or unsafe' })
  })

  it('are bounded in width', async () => {
    const far = workbook({ sheets: [['S', '<row r="1"><c r="XFD1"><v>1</v></c></row>']] })
    // One column more than is allowed: the database says so when the import begins.
    expect((await readTable(far, {}, { max_columns: 10 })).columns).toHaveLength(12)
  })

  it('read the same as with another reader what another program wrote', async () => {
    const cell = fc.oneof(
      fc
        .string({ unit: 'grapheme' })
        .filter((text) => text.isWellFormed() && !/\p{Cc}|\p{Cn}|_x/u.test(text)),
      fc.integer(),
      fc.integer({ min: -1e9, max: 1e9 }).map((number) => number / 100),
      fc.boolean(),
      fc.constant(null),
      fc.integer({ min: 61, max: 60_000 }).map((day) => new Date(Date.UTC(1899, 11, 30) + day * 86_400_000)),
    )
    const table = fc
      .integer({ min: 1, max: 5 })
      .chain((width) =>
        fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 20 }),
      )
    await fc.assert(
      fc.asyncProperty(table, async (cells) => {
        const names = cells[0]?.map((_, i) => `c${i}`) ?? []
        const sheets: WriteSheet[] = [{ name: 'S', rows: [names, ...cells] }]
        const bytes = await writeXlsx({ sheets })
        const read = (await readXlsx(bytes)).sheets[0]?.rows.slice(1) ?? []
        const wanted = read
          .map((row) => trimmed(row.map(asText)))
          .filter((row) => row.some((text) => text?.trim()))
        const { rows } = await readTable(bytes, {}, { chunk: 1000 })
        expect(rows).toEqual(wanted)
      }),
      { numRuns: 150 },
    )
  })

  function asText(value: unknown): string | null {
    if (value === null || value === undefined || value === '') return null
    return value instanceof Date ? value.toISOString().slice(0, 10) : String(value)
  }

  function trimmed(row: (string | null)[]): (string | null)[] {
    return row.slice(0, row.findLastIndex((text) => text !== null) + 1)
  }
})
