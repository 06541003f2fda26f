import type { CallDatabase } from '../_shared/caller.ts'

interface FailedRow {
  row_number: number
  line_number: number
  payload: Record<string, string | null>
  issues: { field: string | null; severity: string; code: string; message: string }[]
}

const pageSize = 1000

/**
 * The failed rows of an import as a file: as they were sent, and in the columns that are added their number, their line
 * and why they failed. One that came back has these already. Read page by page.
 */
export async function failedRowsFile(
  db: CallDatabase,
  importId: string,
  sentColumns: string[],
  added: string[],
): Promise<ReadableStream<Uint8Array>> {
  const encoder = new TextEncoder()
  const columns = sentColumns.filter((column) => !added.includes(column))
  const readPage = async (after: number) =>
    (await db('list_import_rows', {
      import_id: importId,
      status: 'failed',
      after_row: after,
      page_size: pageSize,
    })) as FailedRow[]

  // The first page is read before anything is answered: what the database refuses becomes the answer.
  let page = await readPage(0)
  // The mark makes spreadsheet programs read UTF-8.
  let head = `\uFEFF${csvLine([...columns, ...added])}`
  return new ReadableStream({
    async pull(controller) {
      controller.enqueue(encoder.encode(head + page.map((row) => rowLine(row, columns)).join('')))
      head = ''
      const last = page.at(-1)
      if (!last || page.length < pageSize) return controller.close()
      page = await readPage(last.row_number)
    },
  })
}

function rowLine(row: FailedRow, columns: string[]): string {
  const reasons = row.issues
    .filter((issue) => issue.severity === 'error')
    .map((issue) => `${issue.field ? `${issue.field}: ` : ''}${issue.message} (${issue.code})`)
  const cells = columns.map((column) => row.payload[column] ?? '')
  return csvLine([...cells, String(row.row_number), String(row.line_number), reasons.join('; ')])
}

function csvLine(cells: string[]): string {
  return `${cells.map((cell) => quoted(neutralised(cell))).join(',')}\r\n`
}

function quoted(cell: string): string {
  return /[",;\t\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

/**
 * A cell that a spreadsheet program would run as a formula gets an apostrophe before it, and one more where it has some:
 * when the file comes back as a correction, one is taken away (private.restore_cells). Numbers with a sign, telephone
 * numbers among them, stay as they are.
 */
export function neutralised(cell: string): string {
  return /^'*([=@\t\r]|[+-](?![\d .,/()-]*$))/.test(cell) ? `'${cell}` : cell
}
