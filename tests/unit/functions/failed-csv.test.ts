import { parse } from 'csv-parse/sync'
import { describe, expect, it } from 'vitest'
import { failedRowsFile, neutralised } from '../../../functions/imports/failed-csv.ts'

describe('formulas', () => {
  it.each([
    ['=1+1', "'=1+1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\tx', "'\tx"],
    ['\rx', "'\rx"],
    ['+49 (30) 123-45/6', '+49 (30) 123-45/6'],
    ['-1,234.50', '-1,234.50'],
    ['+1+cmd', "'+1+cmd"],
    ['-2+3', "'-2+3"],
    ['-', '-'],
    ['a=b', 'a=b'],
    ["'=1", "''=1"],
    ["'-1", "'-1"],
    ["it's", "it's"],
    ['', ''],
  ])('%j becomes %j', (cell, wanted) => {
    expect(neutralised(cell)).toBe(wanted)
  })
})

describe('failed rows', () => {
  const row = (row_number: number, payload: Record<string, string | null>) => ({
    row_number,
    line_number: row_number + 1,
    payload,
    issues: [
      { field: 'email', severity: 'error', code: 'invalid_format', message: 'not an e-mail address' },
      { field: null, severity: 'warning', code: 'missing_cells', message: 'row has fewer cells' },
      { field: null, severity: 'error', code: 'extra_cells', message: 'row has more cells' },
    ],
  })

  it('come in the order of the columns, page by page, with the reasons', async () => {
    const pages = [
      Array.from({ length: 1000 }, (_, index) => row(index + 1, { b: 'x,"y"\n', a: '=1', _row: 'own' })),
      [row(1500, { b: null, a: 'ü' })],
    ]
    const added = ['__row', '__line', '__reason']
    const asked: unknown[] = []
    const db = async (_: string, args: Record<string, unknown>) => {
      asked.push(args)
      return pages.shift()
    }
    const stream = await failedRowsFile(db, 'the-import', ['a', '_row', 'b', '__row'], added)
    const text = await new Response(stream).text()
    const records = parse(text) as string[][]
    const reason = 'email: not an e-mail address (invalid_format); row has more cells (extra_cells)'
    expect(records).toHaveLength(1002)
    expect(records[0]).toEqual(['a', '_row', 'b', ...added])
    expect(records[1]).toEqual(["'=1", 'own', 'x,"y"\n', '1', '2', reason])
    expect(records.at(-1)).toEqual(['ü', '', '', '1500', '1501', reason])
    expect(asked).toMatchObject([
      { import_id: 'the-import', status: 'failed', after_row: 0 },
      { import_id: 'the-import', status: 'failed', after_row: 1000 },
    ])
  })
})
