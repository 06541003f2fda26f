import { Buffer } from 'node:buffer'
import { openContent } from '../../functions/_shared/upload/archive.ts'
import { type FileFormat, readHeader } from '../../functions/_shared/upload/file.ts'
import type { Limits } from '../../functions/_shared/upload/ingest.ts'
import { openTable } from '../../functions/_shared/upload/table.ts'

/** What a refusal tells. */
export interface Refused {
  status: number
  body: { code: string; message: string; details: string; hint: string }
}

export const limits: Limits = {
  max_request_bytes: 1 << 25,
  max_archive_bytes: 1 << 25,
  max_workbook_bytes: 1 << 27,
  max_cell_bytes: 1 << 20,
  max_columns: 1000,
}

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Reads a whole file of any kind, as it comes in chunks of the given size. */
export async function readTable(
  content: string | Uint8Array,
  format: Partial<FileFormat> = {},
  { chunk = 7, ...own }: Partial<Limits> & { chunk?: number } = {},
) {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const within = { ...limits, ...own }
  const opened = await openContent(inChunks(bytes, chunk), within.max_archive_bytes)
  const file = await openTable(opened, { header: true, ...format }, within)
  const batches = file.batches()
  const { columns, rest } = await readHeader(batches, file.hasHeader)
  const rows = [...rest]
  for await (const batch of batches) rows.push(...batch)
  return {
    columns: file.columns?.() ?? columns,
    rows: rows.map((row) => row.cells),
    lines: rows.map((row) => row.line),
    defects: rows.map((row) => row.defects?.map(({ kind }) => kind)),
    format: file.format(),
  }
}

/** What a file is refused with. */
export async function refusalOf(...input: Parameters<typeof readTable>): Promise<Refused> {
  try {
    const { rows } = await readTable(...input)
    throw new Error(`was read: ${JSON.stringify(rows).slice(0, 200)}`)
  } catch (cause) {
    if (typeof (cause as Refused).status !== 'number') throw cause
    return cause as Refused
  }
}
