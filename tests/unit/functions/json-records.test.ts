import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { columnNames } from '../../../functions/_shared/upload/columns.ts'
import { readTable, refusalOf } from '../../support/table.ts'

describe('JSON', () => {
  it('is an array of objects', async () => {
    const text = '[\n  {"id": "C1", "name": "Müller 😀"},\n\n  {"name": "Jo", "id": "C2"}\n]\n'
    expect(await readTable(text)).toEqual({
      columns: ['id', 'name'],
      rows: [
        ['C1', 'Müller 😀'],
        ['C2', 'Jo'],
      ],
      lines: [2, 4],
      defects: [undefined, undefined],
      format: { kind: 'json', encoding: 'utf-8' },
    })
  })

  it.each(['\n', '\r\n', '', ' \n\n'])(
    'is one object after the other, with %j between them',
    async (between) => {
      const { columns, rows, format } = await readTable(`{"a":1}${between}{"a":2,"b":"x"}${between}`)
      expect(columns).toEqual(['a', 'b'])
      expect(rows).toEqual([['1'], ['2', 'x']])
      expect(format).toMatchObject({ kind: 'ndjson' })
    },
  )

  it('appends the columns of keys that come late', async () => {
    const first = '{"a":1}\n'.repeat(500)
    const { columns, rows, lines } = await readTable(
      `${first}{"b":2,"c":3}\n{"a":4,"c":5}`,
      {},
      { chunk: 64 },
    )
    expect(columns).toEqual(['a', 'b', 'c'])
    expect(rows.slice(-2)).toEqual([
      [null, '2', '3'],
      ['4', null, '5'],
    ])
    expect(lines.slice(-2)).toEqual([501, 502])
  })

  it('keeps numbers as they are written, and nested values as compact JSON', async () => {
    const numbers = [
      '12345678901234567890',
      '1.50',
      '1e21',
      '-0',
      '0.1000000000000000055511151231257827',
      '1E-7',
    ]
    const { rows } = await readTable(`[{${numbers.map((number, i) => `"n${i}": ${number}`).join(', ')}}]`)
    expect(rows).toEqual([numbers])
    const nested = await readTable('{"a": {"x" : [ 1.50, true, null , "a b" ], "y": { } }, "b": [ ]}')
    expect(nested.rows).toEqual([['{"x":[1.50,true,null,"a b"],"y":{}}', '[]']])
  })

  it('tells null from text, and knows true and false', async () => {
    const { rows } = await readTable('[{"a": null, "b": "null", "c": true, "d": false, "e": ""}]')
    expect(rows).toEqual([[null, 'null', 'true', 'false', '']])
  })

  it('takes any key for a name, none twice', async () => {
    const { columns } = await readTable(
      '[{"": 1, " a": 2, "a": 3, "__proto__": 4, "constructor": 5, "n\\u0000ul": 6}]',
    )
    expect(columns).toEqual(['column_1', 'a', 'a_2', '__proto__', 'constructor', 'nul'])
  })

  it('passes over empty objects, and takes the last of two values', async () => {
    const { rows, lines } = await readTable('{}\n{"a": 1, "a": 2}\n{}\n{"a": null}\n')
    expect(rows).toEqual([['2'], [null]])
    expect(lines).toEqual([2, 4])
  })

  it('says what escapes stood for that no text holds', async () => {
    const { rows, defects } = await readTable('[{"a":"x\\u0000y"},{"a":"\\ud800"},{"a":"\\ud83d\\ude00"}]')
    expect(rows).toEqual([['xy'], ['\uFFFD'], ['😀']])
    expect(defects).toEqual([['nul'], ['undecodable'], undefined])
  })

  it('says where bytes could not be decoded', async () => {
    const text = Buffer.concat([
      Buffer.from('[{"a":"ü"},\n{"a":"'),
      Buffer.of(0xff),
      Buffer.from('"},{"a":"ü"}]'),
    ])
    const { rows, defects } = await readTable(text, { encoding: 'utf-8' })
    expect(rows).toEqual([['ü'], ['\uFFFD'], ['ü']])
    expect(defects).toEqual([undefined, ['undecodable'], undefined])
  })

  it('is UTF-16, too', async () => {
    const { rows, format } = await readTable(Buffer.from('\uFEFF[{"a":"Müller"}]', 'utf16le'))
    expect(rows).toEqual([['Müller']])
    expect(format).toMatchObject({ encoding: 'utf-16le' })
  })

  it.each([
    ['a comma too many', '[{"a":1},\n]', 'JSON is not valid', 'line 2: unexpected "]"'],
    ['a missing comma', '[{"a":1}\n\n{"a":2}]', 'JSON is not valid', 'line 3: unexpected "{"'],
    ['a word', '{"a":1}\n{"a":undefined}', 'JSON is not valid', 'line 2: unexpected "undefined"'],
    ['single quotes', '{"a":1}\n{\'a\':2}', 'JSON is not valid', 'line 2: unexpected "\'"'],
    ['a number that is none', '{"a":01}', 'JSON is not valid', 'line 1: unexpected "01"'],
    ['a cut-off array', '[{"a":1},\n{"a":2}', 'JSON is not valid', 'line 2: the file ends in the middle'],
    ['a cut-off object', '{"a":1}\n{"a":', 'JSON is not valid', 'line 2: the file ends in the middle'],
    ['a cut-off text', '{"a":1}\n{"a":"x', 'JSON is not valid', 'line 2: the file ends in the middle'],
    ['something after the array', '[{"a":1}]\n{"a":2}', 'JSON is not valid', 'line 2: unexpected "{"'],
    ['arrays of arrays', '[["a","b"],\n[1,2]]', 'JSON has a row that is no object', 'line 1: an array'],
    ['a number among objects', '[{"a":1},\n2]', 'JSON has a row that is no object', 'line 2: a single value'],
    ['null among objects', '{"a":1}\nnull', 'JSON has a row that is no object', 'line 2: a single value'],
    ['an array among objects', '{"a":1}\n["x"]', 'JSON has a row that is no object', 'line 2: an array'],
    ['an empty array', '[]', 'file is empty', ''],
    ['empty objects', '[{}, {}]', 'file is empty', ''],
    [
      'nesting without end',
      `[{"a":${'['.repeat(200)}`,
      'JSON is not valid',
      'line 1: it is nested too deeply',
    ],
  ])('is refused with %s', async (_, text, message, details) => {
    const refused = await refusalOf(text)
    expect(refused).toMatchObject({ status: 400, body: { code: '22023', message } })
    if (details) expect(refused.body.details).toContain(details)
  })

  it('is bounded in columns, cells and rows', async () => {
    const wide = `[{${Array.from({ length: 11 }, (_, i) => `"k${i}":${i}`).join(',')}}]`
    expect(await refusalOf(wide, {}, { max_columns: 10 })).toMatchObject({
      status: 413,
      body: { message: 'file has too many columns' },
    })
    const late = Array.from({ length: 11 }, (_, i) => `{"k${i}":1}`).join('\n')
    expect((await refusalOf(late, {}, { max_columns: 10 })).status).toBe(413)
    const nested = `{"a":1}\n{"a":[${'[],'.repeat(1000)}[]]}`
    expect(await refusalOf(nested, {}, { max_cell_bytes: 1000 })).toMatchObject({
      status: 413,
      body: { message: 'cell is too large', details: expect.stringContaining('line 2') },
    })
    const long = `{"a":1}\n{"a":"${'x'.repeat(50_000)}`
    expect(await refusalOf(long, {}, { max_cell_bytes: 1000 })).toMatchObject({
      status: 413,
      body: { message: 'row is too long', details: expect.stringContaining('line 2') },
    })
  })

  it('reads what JSON.stringify writes, in any chunks and with any white space', async () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
      fc.integer(),
      fc.double({ noDefaultInfinity: true, noNaN: true }).map((number) => number + 0),
      fc.boolean(),
      fc.constant(null),
      fc.jsonValue({ maxDepth: 3, noUnicodeString: true }).filter((json) => typeof json === 'object'),
    )
    const key = fc
      .string({ minLength: 1, unit: 'grapheme-ascii' })
      .filter((text) => text.trim() === text && text !== '')
    const records = fc.array(fc.dictionary(key, value, { minKeys: 1, noNullPrototype: true }), {
      minLength: 1,
    })
    const space = fc.constantFrom(0, 2)
    await fc.assert(
      fc.asyncProperty(
        records,
        space,
        fc.boolean(),
        fc.integer({ min: 1, max: 50 }),
        async (objects, indent, lines, chunk) => {
          const written = lines
            ? objects.map((object) => JSON.stringify(object, null, indent)).join('\n')
            : JSON.stringify(objects, null, indent)
          const { columns, rows } = await readTable(written, {}, { chunk })
          expect(rows).toHaveLength(objects.length)
          for (const [index, object] of objects.entries()) {
            for (const [name, wanted] of Object.entries(object)) {
              const cell = rows[index]?.[columns.indexOf(name)] ?? null
              const text = typeof wanted === 'string' ? wanted.toWellFormed() : JSON.stringify(wanted)
              expect(cell).toBe(wanted === null ? null : text)
            }
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('takes and refuses what JSON.parse takes and refuses, wherever a character is lost or added', async () => {
    const value = fc.oneof(
      fc.constantFrom('x', 'a "b"', '\\', 'ü', '', '{', ']', 'true', '\n'),
      fc.constantFrom(0, -1.5, 1e21, 12, true, false, null),
      fc.constantFrom([], {}, [1.5, 'x', null], { a: [{ b: ' ' }] }),
    )
    const objects = fc.array(
      fc.dictionary(fc.constantFrom('a', 'b', 'c"'), value, { noNullPrototype: true }),
      { maxLength: 4 },
    )
    const change = fc.record({
      at: fc.nat(),
      length: fc.constantFrom(0, 1, 1, 2),
      text: fc.constantFrom('', '', ...'",:{}[]\\0-.en \n'),
    })
    await fc.assert(
      fc.asyncProperty(
        objects,
        change,
        fc.integer({ min: 1, max: 30 }),
        async (rows, { at, length, text }, chunk) => {
          const whole = JSON.stringify(rows)
          const place = at % (whole.length + 1)
          const written = whole.slice(0, place) + text + whole.slice(place + length)
          const wanted = parsed(written)
          if (wanted === 'something else') return // JSON, but not rows: or one row of NDJSON
          if (wanted === undefined) {
            expect((await refusalOf(written, { json: true }, { chunk })).status).toBe(400)
            return
          }
          const read = await readTable(written, { json: true }, { chunk })
          const nonEmpty = wanted.filter((row) => Object.keys(row).length > 0)
          const keys = [...new Set(nonEmpty.flatMap(Object.keys))]
          if (keys.some((key) => /^\d+$/.test(key))) return // JavaScript moves these to the front
          expect(read.columns).toEqual(columnNames(keys))
          expect(read.rows).toHaveLength(nonEmpty.length)
          for (const [index, row] of nonEmpty.entries()) {
            for (const [key, cell] of Object.entries(row)) {
              const found = read.rows[index]?.[keys.indexOf(key)] ?? null
              expect(typeof cell === 'string' || found === null ? found : JSON.parse(found)).toEqual(cell)
            }
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  function parsed(text: string): Record<string, unknown>[] | 'something else' | undefined {
    try {
      const value: unknown = JSON.parse(text)
      const isRow = (row: unknown) => typeof row === 'object' && row !== null && !Array.isArray(row)
      const areRows = Array.isArray(value) && value.every(isRow)
      return areRows && value.some((row) => Object.keys(row).length > 0) ? value : 'something else'
    } catch {
      return undefined
    }
  }
})
