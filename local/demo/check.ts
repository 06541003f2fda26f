import { countRows, get, type ImportDocument, type Person } from './api.ts'
import { type Customer, fields } from './customers.ts'
import type { Endpoint } from './endpoint.ts'
import { type Expectation, issueKey } from './file.ts'

type Issue = { field: string | null; code: string }
type ListedRow = { row_number: number; line_number: number; issues: (Issue & { severity: string })[] }

/** A row that must fail, and what must be said of it. */
type Failure = { row: number; line: number; errors: Issue[] }

/** Whether an import came out as the generator says it must. Every line is something that did not. */
export async function differences(
  at: Endpoint,
  person: Person,
  document: ImportDocument,
  expected: Expectation,
): Promise<string[]> {
  return [
    ...countDifferences(document, expected),
    ...(await failureDifferences(at, person, document.id, expected.failures)),
    ...(await tableDifferences(at, person, expected)),
  ]
}

function countDifferences(document: ImportDocument, expected: Expectation): string[] {
  const found = new Map(document.issues.map((issue) => [issueKey(issue.severity, issue), issue.count]))
  const keys = [...new Set([...found.keys(), ...expected.issues.keys()])]
  return [
    compared('rows in the file', document.counts.rows, expected.rows),
    compared('inserted rows', document.counts.inserted, expected.inserted),
    compared('failed rows', document.counts.failed, expected.failures.length),
    ...keys.map((key) => compared(`issues "${key}"`, found.get(key) ?? 0, expected.issues.get(key) ?? 0)),
  ].flat()
}

/** Row by row: the number, the line in the file, the field and the code. */
export async function failureDifferences(
  at: Endpoint,
  person: Person,
  id: string,
  failures: Failure[],
): Promise<string[]> {
  const listed: ListedRow[] = []
  for (let after = 0; ; ) {
    const query = `status=failed&after=${after}&limit=1000`
    const page = (await get(at, person, `/functions/v1/imports/${id}/rows?${query}`)) as ListedRow[]
    listed.push(...page)
    if (page.length < 1000) break
    after = page.at(-1)?.row_number ?? 0
  }
  const found = listed.map(({ row_number, line_number, issues }) =>
    described(
      row_number,
      line_number,
      issues.filter((issue) => issue.severity === 'error'),
    ),
  )
  const wanted = failures.map(({ row, line, errors }) => described(row, line, errors))
  return [
    ...wanted.filter((row) => !found.includes(row)).map((row) => `did not fail that way: ${row}`),
    ...found.filter((row) => !wanted.includes(row)).map((row) => `should not have failed that way: ${row}`),
  ]
}

function described(row: number, line: number, issues: Issue[]): string {
  const reasons = issues.map(({ field, code }) => `${code} ${field ?? '-'}`).sort()
  return `row ${row}, line ${line}: ${reasons.join(', ')}`
}

/** The table, as the person sees it: how many there are, and some of them cell by cell. */
async function tableDifferences(at: Endpoint, person: Person, expected: Expectation): Promise<string[]> {
  const found = compared(
    'customers in the table',
    await countRows(at, person, 'customers'),
    expected.inserted,
  )
  for (let from = 0; from < expected.samples.length; from += 50) {
    const samples = expected.samples.slice(from, from + 50)
    const query = `select=${fields.join(',')}&external_id=in.(${samples.map((sample) => sample.external_id).join(',')})`
    const rows = (await get(at, person, `/rest/v1/customers?${query}`)) as Customer[]
    const byKey = new Map(rows.map((row) => [row.external_id, row]))
    for (const sample of samples) found.push(...customerDifferences(sample, byKey.get(sample.external_id)))
  }
  return found
}

function customerDifferences(expected: Customer, found: Customer | undefined): string[] {
  if (!found) return [`customer ${expected.external_id} is not in the table`]
  return fields.flatMap((field) =>
    comparable(field, found[field]) === comparable(field, expected[field])
      ? []
      : [
          `${expected.external_id}: ${field} is ${JSON.stringify(found[field])}, not ${JSON.stringify(expected[field])}`,
        ],
  )
}

/** Numbers have no one way to be written. */
function comparable(field: keyof Customer, value: Customer[keyof Customer]): unknown {
  return field === 'credit_limit' && value !== null ? Number(value) : value
}

/** Nothing, or the line that says that a count is another. */
export function compared(what: string, found: number, expected: number): string[] {
  return found === expected ? [] : [`${what}: ${found}, not ${expected}`]
}
