import { type Content, isOfficeDocument } from './archive.ts'
import { notATable } from './binary.ts'
import { type FileFormat, type OpenFile, openFile } from './file.ts'
import type { Limits } from './ingest.ts'
import { openJson } from './json-records.ts'
import { peek } from './peek.ts'
import { isJson, kindBytes } from './scan.ts'
import { openWorkbook, type WorkbookLimits } from './workbook.ts'

/** Opens whatever holds a table: a workbook, JSON, or text of cells with separators. */
export async function openTable(
  content: Content,
  format: FileFormat,
  limits: Limits & WorkbookLimits,
): Promise<OpenFile> {
  if ('entries' in content) {
    if (!isOfficeDocument(content.entries)) throw notATable('a zip archive')
    return openWorkbook(content.entries, format, limits)
  }
  const { head, bytes } = await peek(content.bytes, kindBytes)
  return isJson(head, format)
    ? openJson(bytes, format, limits)
    : openFile(bytes, format, limits.max_cell_bytes)
}
