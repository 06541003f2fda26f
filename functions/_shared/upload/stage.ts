import { Buffer } from 'node:buffer'
import type { Transaction } from '../connection.ts'
import { malformed, tooLarge } from '../refusal.ts'
import { type Copy, openCopy } from './copy.ts'
import { copyArray, copyField } from './copy-text.ts'
import { type OpenFile, readHeader, type Written } from './file.ts'
import type { Row } from './records.ts'
import { encodingIssues, fitCells, type RowIssue } from './row-issues.ts'
import type { Upload } from './upload.ts'

/** Lines are sent in blocks of about this many characters. Larger ones live longer: they are no young objects to V8. */
const blockLength = 32 * 1024
/** So many issues are kept before they are written between two blocks of rows. */
const maxBufferedIssues = 5_000
/** The sample is in every document of the import, and goes from call to call: of very wide rows it has few. */
const sampleRows = 20
const maxSampleLength = 1_000
const enoughSampleCells = 4_000

const copyRows = 'copy private.import_rows (staged_on, batch_id, row_number, line_number, cells) from stdin'
const copyIssues =
  'copy private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value, origin) from stdin'

/** Works in a transaction: in one of its own, or in one that is under way. */
export type InTransaction = (work: (tx: Transaction) => Promise<void>) => Promise<void>

/** Streams a file into the staged rows of an import, in one transaction: all of it, or nothing. */
export async function stageFile(
  inTransaction: InTransaction,
  importId: string,
  upload: Pick<Upload, 'finish' | 'size' | 'hash'>,
  file: OpenFile,
  review: boolean,
): Promise<void> {
  const rows = file.batches()
  try {
    const { columns, rest } = await readHeader(rows, file.hasHeader)
    await inTransaction(async (tx) => {
      await tx.unsafe("set local statement_timeout = '1h'")
      const begun = await beginIngest(tx, importId, columns, review)
      const staged = nothingStaged()
      await stageRows(tx, { importId, columns, fits: file.fits, ...begun }, staged, rest, rows)
      await upload.finish()
      const whole = describeStaged(staged, file, columns)
      await tx`
        select private.finish_ingest(
          ${importId}::uuid, array(select jsonb_array_elements_text(${JSON.stringify(whole.columns)}::text::jsonb)),
          ${staged.count}::integer, ${upload.size()}::bigint, ${upload.hash()}::text,
          ${JSON.stringify(whole.sample)}::text::jsonb, ${JSON.stringify(whole.format)}::text::jsonb)`
    })
  } finally {
    // Lets go of the body after a failure. Not awaited: a read that is under way may last.
    rows.return(undefined).catch(() => {})
  }
}

/** What the database says of an import that is about to come in. The limits are those of its organization. */
interface Begun {
  stagedOn: string
  maxRows: number
  maxCellBytes: number
}

/** Begins to take in a file with these columns; what cannot go well is refused here. */
export async function beginIngest(
  tx: Transaction,
  importId: string,
  columns: string[],
  review: boolean,
): Promise<Begun> {
  const [begun] = await tx<{ staged_on: string; max_rows: string; max_cell_bytes: number }[]>`
    select b.staged_on::text, b.max_rows, b.max_cell_bytes
    from private.begin_ingest(
      ${importId}::uuid, array(select jsonb_array_elements_text(${JSON.stringify(columns)}::text::jsonb)),
      ${review}::boolean) as b`
  if (!begun) throw new Error('begin_ingest gave no row')
  return { stagedOn: begun.staged_on, maxRows: Number(begun.max_rows), maxCellBytes: begun.max_cell_bytes }
}

interface Target extends Begun {
  importId: string
  columns: string[]
  fits: OpenFile['fits']
}

/** What has been staged of a file so far. */
export interface Staged {
  count: number
  /** What was found wrong with them. */
  issueCount: number
  sample: (string | null)[][]
  /** By column: whether there are blanks around some of its cells. */
  isUntrimmed: boolean[]
}

export function nothingStaged(): Staged {
  return { count: 0, issueCount: 0, sample: [], isUntrimmed: [] }
}

/** What the import is told of a file that has been staged. */
export function describeStaged({ count, sample, isUntrimmed }: Staged, file: Written, columns: string[]) {
  if (count === 0) {
    throw malformed(
      'file has no data rows',
      'it has a header only',
      'Send a header line and at least one row.',
    )
  }
  const all = file.columns?.() ?? columns
  return {
    columns: all,
    sample: sample.map((cells) => all.map((_, index) => cells[index] ?? null)),
    format: { ...file.format(), untrimmed: all.filter((_, index) => isUntrimmed[index]) },
  }
}

/** Stages rows, after those that have been staged of the file before. */
export async function stageRows(
  tx: Transaction,
  { importId, stagedOn, columns, fits, maxRows, maxCellBytes }: Target,
  staged: Staged,
  first: Row[],
  batches: AsyncGenerator<Row[]>,
): Promise<void> {
  const prefix = `${stagedOn}\t${importId}\t`
  let lines = ''
  let issueLines: string[] = []
  let copy: Copy | undefined

  function add(row: Row): void {
    if (isBlank(row, columns)) return
    const rowNumber = ++staged.count
    if (rowNumber > maxRows) throw tooManyRows(maxRows)

    let cells = row.cells
    const isFit = fits(cells.length, columns.length)
    if (!isFit || row.defects) {
      const issues: RowIssue[] = []
      if (!isFit) cells = fitCells(cells, columns, issues)
      encodingIssues(row.defects ?? [], cells, columns, issues)
      for (const issue of issues) issueLines.push(issueLine(prefix, rowNumber, issue))
      staged.issueCount += issues.length
    }
    if (staged.sample.length < sampleRows && staged.sample.length * columns.length < enoughSampleCells) {
      staged.sample.push(cells.map((cell) => cell?.slice(0, maxSampleLength).toWellFormed() ?? null))
    }
    cells.forEach((cell, index) => {
      if (cell !== null && cell.trim() !== cell) staged.isUntrimmed[index] = true
    })
    const array = copyArray(cells)
    if (array.length * 3 > maxCellBytes) refuseLargeCell(row, columns, maxCellBytes)
    lines += `${prefix}${rowNumber}\t${row.line}\t${array}\n`
  }

  try {
    for (let batch = first; ; ) {
      for (const row of batch) {
        add(row)
        if (lines.length < blockLength) continue
        copy ??= await openCopy(tx, copyRows)
        await copy.write(lines)
        lines = ''
      }
      if (issueLines.length >= maxBufferedIssues) await writeIssues()
      const next = await batches.next()
      if (next.done) break
      batch = next.value
    }
    if (lines) {
      copy ??= await openCopy(tx, copyRows)
      await copy.write(lines)
    }
    await copy?.end()
    copy = undefined
    lines = ''
    if (issueLines.length > 0) await writeIssues()
  } catch (cause) {
    copy?.abort(cause)
    throw cause
  }

  /** A connection does one COPY at a time: that of the rows ends before that of the issues, and begins anew after it. */
  async function writeIssues(): Promise<void> {
    await copy?.end()
    copy = await openCopy(tx, copyIssues)
    await copy.write(issueLines.join(''))
    await copy.end()
    copy = undefined
    issueLines = []
  }
}

/** Empty lines do not come as rows; one of spaces alone is as blank, unless the file has one column only. */
function isBlank(row: Row, columns: string[]): boolean {
  return row.cells.length === 1 && columns.length > 1 && row.cells[0]?.trim() === ''
}

function tooManyRows(limit: number): Error {
  return tooLarge('file has too many rows', `the limit is ${limit}`, 'Split the file into several imports.')
}

function refuseLargeCell(row: Row, columns: string[], limit: number): void {
  for (const [index, cell] of row.cells.entries()) {
    const bytes = Buffer.byteLength(cell ?? '')
    if (bytes <= limit) continue
    throw tooLarge(
      'cell is too large',
      `record that begins in line ${row.line}, column ${index + 1} (${columns[index] ?? 'beyond the header'}): ${bytes} bytes, the limit is ${limit}`,
      'Shorten the cell, or look for a quote that is never closed.',
    )
  }
}

function issueLine(prefix: string, rowNumber: number, issue: RowIssue): string {
  const fields = [issue.field, issue.severity, issue.code, issue.message, issue.value].map(copyField)
  return `${prefix}${rowNumber}\t${fields.join('\t')}\tingest\n`
}
