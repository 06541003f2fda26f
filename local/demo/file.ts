import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Customer, cellsOf, customer, fields } from './customers.ts'
import { type Cells, type ExpectedIssue, faults } from './faults.ts'
import { type Nuisance, nuisances } from './nuisances.ts'
import { type Random, seeded } from './random.ts'

/** A line of the file, and what must become of it. */
export type FileRow = {
  /** How it stands in the file. More than one line of text where a cell has newlines. */
  text: string
  /** The empty lines before it. */
  linesBefore: number
  /** What must be in the table; nothing when the row is wrong. */
  customer: Customer | undefined
  errors: ExpectedIssue[]
  warnings: ExpectedIssue[]
  nuisance: string | undefined
}

/** A row that must fail. */
export type ExpectedFailure = { row: number; line: number; errors: ExpectedIssue[] }

/** What must become of a file. */
export type Expectation = {
  rows: number
  inserted: number
  failures: ExpectedFailure[]
  /** How often each code must be reported, warnings included; the keys are made by `issueKey`. */
  issues: Map<string, number>
  /** Customers to look for in the table: some of each nuisance, and some from all over the file. */
  samples: Customer[]
}

/** In every so many rows one is wrong. */
const block = 100

/** The header: names as people give them, so that the mapping has something to find out. */
export const header = [
  'Customer No.',
  'Company',
  'E-Mail',
  'Telephone',
  'Street',
  'Zip',
  'Town',
  'Country code',
  'Credit limit',
  'Customer since',
  'Active',
  'Comments',
]

/** The row of a number, from 1. It depends on the number alone. */
export function fileRow(number: number): FileRow {
  // Another sequence than the customer's own, else the choice would go with the name.
  const random = seeded(number ^ 0x5eed_0000)
  return isWrong(number) ? wrongRow(number, random) : rightRow(number, random)
}

/** Where a group of issues is counted. */
export function issueKey(severity: string, issue: { code: string; field: string | null }): string {
  return `${severity} ${issue.code} ${issue.field ?? '-'}`
}

/** Writes the file, and beside it the right rows alone as plain CSV, for COPY. */
export async function writeFiles(rows: number, file: string, rightRowsFile: string): Promise<Expectation> {
  const expected: Expectation = { rows, inserted: 0, failures: [], issues: new Map(), samples: [] }
  const right = createWriteStream(rightRowsFile)
  await pipeline(Readable.from(blocksOf(rows, expected, right)), createWriteStream(file))
  await new Promise<void>((settle, reject) => right.on('error', reject).end(settle))
  return expected
}

async function* blocksOf(
  rows: number,
  expected: Expectation,
  right: NodeJS.WritableStream,
): AsyncGenerator<string> {
  const seen = new Map<string, number>()
  let text = `${csvLine(header)}\n`
  let rightText = `${fields.join(',')}\n`
  let line = 2

  for (let number = 1; number <= rows; number++) {
    const row = fileRow(number)
    line += row.linesBefore
    note(expected, row, number, line, seen)
    line += row.text.split('\n').length
    text += `${'\n'.repeat(row.linesBefore)}${row.text}\n`
    if (row.customer) rightText += `${csvLine(cellsOf(row.customer))}\n`

    if (number % 1000 === 0 || number === rows) {
      yield text
      if (!right.write(rightText)) await new Promise((settle) => right.once('drain', settle))
      text = rightText = ''
    }
  }
}

function note(
  expected: Expectation,
  row: FileRow,
  number: number,
  line: number,
  seen: Map<string, number>,
): void {
  if (row.errors.length > 0) expected.failures.push({ row: number, line, errors: row.errors })
  for (const [severity, issues] of [
    ['error', row.errors],
    ['warning', row.warnings],
  ] as const) {
    for (const issue of issues) {
      const key = issueKey(severity, issue)
      expected.issues.set(key, (expected.issues.get(key) ?? 0) + 1)
    }
  }
  if (!row.customer) return
  expected.inserted++
  const kind = row.nuisance ?? 'none'
  const count = seen.get(kind) ?? 0
  seen.set(kind, count + 1)
  if (count < 4 || number % 4001 === 0) expected.samples.push(row.customer)
}

function isWrong(number: number): boolean {
  const index = Math.floor((number - 1) / block)
  // Never the first row of a block, so that there is always a right one before it to be a duplicate of.
  return number === index * block + 2 + seeded(~index).below(block - 1)
}

function wrongRow(number: number, random: Random): FileRow {
  const fault = faults[Math.floor((number - 1) / block) % faults.length]
  if (!fault) throw new Error('there are no faults')
  const cells: Cells = { ...namedCells(customer(number)), surplus: [] }
  fault.spoil(cells, random, customer(rightRowBefore(number, random)).external_id)
  return {
    text: csvLine(lineOf(cells)),
    linesBefore: 0,
    customer: undefined,
    errors: fault.issues,
    warnings: [],
    nuisance: undefined,
  }
}

function rightRowBefore(number: number, random: Random): number {
  let before = number - 1 - random.below(Math.min(number - 1, 30_000))
  while (isWrong(before)) before--
  return before
}

function rightRow(number: number, random: Random): FileRow {
  const nuisance: Nuisance | undefined = random.below(16) === 0 ? random.pick(nuisances) : undefined
  const own = customer(number)
  nuisance?.customer?.(own, random)
  const cells: Cells = { ...namedCells(own), surplus: [] }
  nuisance?.cells?.(cells, random)
  const line = lineOf(cells)
  return {
    text: csvLine(line.slice(0, line.length - (nuisance?.missing ?? 0))),
    linesBefore: nuisance?.blankLine ? 1 : 0,
    customer: own,
    errors: [],
    warnings: nuisance?.missing ? [{ field: null, code: 'missing_cells' }] : [],
    nuisance: nuisance?.name,
  }
}

function namedCells(customer: Customer): Record<keyof Customer, string> {
  const cells = cellsOf(customer)
  return Object.fromEntries(fields.map((field, index) => [field, cells[index]])) as Record<
    keyof Customer,
    string
  >
}

function lineOf({ surplus, ...cells }: Cells): string[] {
  return [...fields.map((field) => cells[field]), ...surplus]
}

/** A record as RFC 4180 has it: cells with a comma, a quote or a newline in quotes. */
export function csvLine(cells: string[]): string {
  return cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')
}
