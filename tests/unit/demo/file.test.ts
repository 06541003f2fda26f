import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exampleFiles } from '../../../local/demo/examples.ts'
import { faults } from '../../../local/demo/faults.ts'
import { type Expectation, issueKey, writeFiles } from '../../../local/demo/file.ts'
import { nuisances } from '../../../local/demo/nuisances.ts'
import { demoPeople } from '../../../local/demo/people-file.ts'
import { fileRow, header } from '../../../local/demo/rows.ts'

const rows = 5000
let folder: string
let text: string
let rightRows: string[][]
let records: { record: string[]; line: number }[]
let expected: Expectation

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-demo-test-'))
  expected = await writeFiles(rows, join(folder, 'all.csv'), join(folder, 'right.csv'))
  text = readFileSync(join(folder, 'all.csv'), 'utf8')
  rightRows = parse(readFileSync(join(folder, 'right.csv')))
  const options = { relax_column_count: true, skip_empty_lines: true, info: true } as const
  const parsed = parse(text, options) as unknown as { record: string[]; info: { lines: number } }[]
  records = parsed.map(({ record, info }) => {
    // csv-parse says where a record ends.
    const within = record.join('').split('\n').length - 1
    return { record, line: info.lines - within }
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the file of the demo', () => {
  it('is the same in every run', async () => {
    await writeFiles(rows, join(folder, 'again.csv'), join(folder, 'again-right.csv'))
    expect(readFileSync(join(folder, 'again.csv'), 'utf8')).toBe(text)
  })

  it('has a header and the rows that were asked for', () => {
    expect(records[0]?.record).toEqual(header)
    expect(records).toHaveLength(rows + 1)
  })

  it('has one wrong row in every hundred', () => {
    const blocks = expected.failures.map(({ row }) => Math.floor((row - 1) / 100))
    expect(blocks).toEqual(Array.from({ length: rows / 100 }, (_, block) => block))
    expect(expected.inserted).toBe(rows - rows / 100)
  })

  it('knows the line on which a wrong row begins', () => {
    const lines = text.split('\n')
    for (const { row, line } of expected.failures) {
      expect(lines[line - 1]).toBe(fileRow(row).text)
      expect(records[row]?.line).toBe(line)
    }
  })

  it('is wrong in every way that there is', () => {
    const keys = faults.flatMap(({ issues }) => issues.map((issue) => issueKey('error', issue)))
    expect([...expected.issues.keys()].filter((key) => key.startsWith('error')).sort()).toEqual(
      [...new Set(keys)].sort(),
    )
  })

  it('repeats keys of earlier rows that are right', () => {
    const duplicates = expected.failures.filter(({ errors }) => errors[0]?.code === 'duplicate_in_file')
    expect(duplicates.length).toBeGreaterThan(0)
    for (const { row } of duplicates) {
      const key = records[row]?.record[0]
      const first = records.findIndex(({ record }) => record[0] === key)
      expect(first).toBeLessThan(row)
      expect(fileRow(first).customer?.external_id).toBe(key)
    }
  })

  it('has a key of its own in every right row', () => {
    const keys = rightRows.slice(1).map(([key]) => key)
    expect(keys).toHaveLength(expected.inserted)
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('has every nuisance in rows that are right', () => {
    const found = new Set(Array.from({ length: rows }, (_, index) => fileRow(index + 1).nuisance))
    for (const { name } of nuisances) expect(found).toContain(name)
    expect(expected.samples.length).toBeGreaterThan(nuisances.length)
  })

  it('expects a warning where cells are missing at the end', () => {
    const short = records.filter(({ record }) => record.length < header.length)
    expect(short.length).toBe(expected.issues.get('warning missing_cells -'))
  })
})

describe('the file of people', () => {
  const people = demoPeople(1000, 'acme.example', 'taken@example.com')
  const [titles, ...records] = parse(people.text) as string[][]

  it('has one wrong row in every fifty, and the others once', () => {
    expect(records).toHaveLength(1000)
    expect(people.failures.map(({ row }) => row % 50)).toEqual(Array.from({ length: 20 }, () => 17))
    const wrong = new Set(people.failures.map(({ row }) => row))
    const right = records.filter((_, index) => !wrong.has(index + 1))
    expect(right).toHaveLength(people.created)
    for (const [column, title] of (titles ?? []).entries()) {
      if (title !== 'E-Mail' && title !== 'Telephone') continue
      const cells = right.map((cells) => cells[column]).filter(Boolean)
      expect(new Set(cells).size).toBe(cells.length)
    }
  })
})

describe('the sample files', () => {
  it.each(Object.entries(exampleFiles()))('%s is what the generator makes', (name, made) => {
    const file = join(import.meta.dirname, '../../../examples', name)
    expect(readFileSync(file, 'utf8'), 'run: node --import tsx examples/generate.ts').toBe(made)
    expect(parse(made, { delimiter: [',', ';'] }).length).toBeGreaterThan(5)
  })
})
