import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Customer, cellsOf, fields } from './customers.ts'
import type { ExpectedIssue } from './faults.ts'
import { csvLine, type FileRow, fileRow, header } from './rows.ts'

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
