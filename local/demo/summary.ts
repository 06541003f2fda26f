import { get, type ImportDocument, type Person } from './api.ts'
import type { Endpoint } from './endpoint.ts'
import { inline, seconds, tableLines, whole } from './format.ts'
import { print, styled, terminalWidth } from './terminal.ts'

type Issue = { line_number: number; field: string | null; value: string | null; message: string }
type MonitorRow = Record<string, string | number | null>

/** How many examples of each code are shown. */
const examples = 3

/** What became of the rows: the failed ones by code, some of each with line, field and value. */
export async function printOutcome(at: Endpoint, person: Person, document: ImportDocument): Promise<void> {
  const { inserted, failed, rows } = document.counts
  const [bold, boldFailed] = [styled('bold', whole(inserted)), styled('bold', whole(failed))]
  print(`\n  ${bold} of ${whole(rows)} rows inserted, ${boldFailed} failed\n`)

  const messageWidth = Math.max(14, Math.min(44, terminalWidth() - 71))
  const lines: string[][] = []
  for (const { code, count, severity } of codesOf(document)) {
    const path = `/functions/v1/imports/${document.id}/issues?code=${code}&limit=${examples}`
    const issues = (await get(at, person, path)) as Issue[]
    issues.sort((a, b) => a.line_number - b.line_number)
    for (const [index, issue] of issues.entries()) {
      lines.push([
        [code, severity === 'warning' ? '(a warning)' : ''][index] ?? '',
        index === 0 ? whole(count) : '',
        whole(issue.line_number),
        issue.field ?? '',
        inline(issue.value ?? '', 18),
        inline(issue.message, messageWidth),
      ])
    }
  }
  printTable(['code', '>issues', '>line', 'field', 'value', 'message'], lines)
}

/** The row that an administrator sees of the import. */
export async function printMonitor(at: Endpoint, person: Person, document: ImportDocument): Promise<void> {
  const columns = ['dataset', 'status', 'row_count', 'inserted', 'failed', 'percent_done', 'age']
  const query = `import_id=eq.${document.id}&select=${columns.join(',')}`
  const [row] = (await get(at, person, `/rest/v1/monitor_imports?${query}`)) as MonitorRow[]
  if (!row) throw new Error('monitor_imports does not show the import')
  print(`\n  In the view ${styled('bold', 'monitor_imports')} an administrator sees\n`)
  const header = columns.map((column) => (typeof row[column] === 'number' ? `>${column}` : column))
  printTable(header, [columns.map((column) => cellOf(row[column]))])
}

/** The time of the import beside what PostgreSQL needs for the same rows. */
export function printTimes(taken: number, copyTaken: number): void {
  const ratio = (taken / copyTaken).toFixed(1)
  print(`\n  ${styled('bold', seconds(taken))} from request to completed, ${ratio} times as long as`)
  print(`  ${styled('bold', seconds(copyTaken))} for a raw COPY of the right rows, which judges nothing`)
}

/** Whatever did not come out as it must. */
export function printDifferences(wrong: string[]): void {
  print(`\n  ${styled('red', `✘ ${whole(wrong.length)} things are not as they must be:`)}\n`)
  for (const line of wrong.slice(0, 20)) print(`    ${line}`)
  if (wrong.length > 20) print(`    and ${whole(wrong.length - 20)} more`)
}

/** A table, set in. */
export function printTable(header: string[], rows: string[][]): void {
  for (const [index, line] of tableLines(header, rows).entries()) {
    print(`  ${index < 2 ? styled('dim', line) : line}`)
  }
}

function cellOf(value: string | number | null | undefined): string {
  return typeof value === 'number' ? whole(value) : (value ?? '').replace(/(\.\d\d)\d+$/, '$1')
}

/** The codes with their counts, errors first, the most frequent first. */
function codesOf(document: ImportDocument): { code: string; count: number; severity: string }[] {
  const codes = new Map<string, { code: string; count: number; severity: string }>()
  for (const { code, severity, count } of document.issues) {
    const known = codes.get(code)
    codes.set(code, { code, severity, count: count + (known?.count ?? 0) })
  }
  return [...codes.values()].sort((a, b) => a.severity.localeCompare(b.severity) || b.count - a.count)
}
