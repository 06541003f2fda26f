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

/** A record as RFC 4180 has it: cells with a delimiter, a quote or a newline in quotes. */
export function csvLine(cells: string[], delimiter: ',' | ';' = ','): string {
  const special = delimiter === ',' ? /[",\r\n]/ : /[";\r\n]/
  return cells.map((cell) => (special.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(delimiter)
}
