import { type Content, isOfficeDocument } from './archive.ts'
import { notATable } from './binary.ts'
import { createCleaner, detectEncoding } from './encoding.ts'
import {
  type FileFormat,
  type OpenFile,
  openFile,
  resumeText,
  type Scanner,
  scanText,
  type TextState,
} from './file.ts'
import type { Limits } from './ingest.ts'
import { type JsonState, looksLikeJson, openJson, resumeJson, scanJson } from './json-records.ts'
import { peek } from './peek.ts'
import { openWorkbook, type WorkbookLimits } from './workbook.ts'

/** By so many bytes JSON is told from text of cells. */
const kindBytes = 1024

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

/** Where a scanner stands. */
export type ScannerState = TextState | JsonState

/** Begins to scan what is no workbook, by its first bytes. */
export function scanTable(
  head: Uint8Array,
  ended: boolean,
  format: FileFormat,
  limits: Limits,
): Scanner<ScannerState> {
  return isJson(head.subarray(0, kindBytes), format)
    ? scanJson(head, format, limits)
    : scanText(head, ended, format, limits.max_cell_bytes)
}

/** Goes on where another scanner stood. */
export function resumeTable(state: ScannerState, limits: Limits): Scanner<ScannerState> {
  return state.kind === 'json' ? resumeJson(state, limits) : resumeText(state, limits.max_cell_bytes)
}

function isJson(head: Uint8Array, format: FileFormat): boolean {
  return format.json || looksLikeJson(createCleaner(format.encoding ?? detectEncoding(head)).push(head))
}
