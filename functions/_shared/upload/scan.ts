import { createCleaner, detectEncoding } from './encoding.ts'
import { type FileFormat, resumeText, type Scanner, scanText, type TextState } from './file.ts'
import { type JsonLimits, type JsonState, looksLikeJson, resumeJson, scanJson } from './json-records.ts'

/** By so many bytes JSON is told from text of cells. */
export const kindBytes = 1024

/** Where a scanner stands. */
export type ScannerState = TextState | JsonState

/** Begins to scan what is no workbook, by its first bytes. */
export function beginScan(
  head: Uint8Array,
  ended: boolean,
  format: FileFormat,
  limits: JsonLimits,
): Scanner<ScannerState> {
  return isJson(head.subarray(0, kindBytes), format)
    ? scanJson(head, format, limits)
    : scanText(head, ended, format, limits.max_cell_bytes)
}

/** Goes on where another scanner stood. */
export function resumeScan(state: ScannerState, limits: JsonLimits): Scanner<ScannerState> {
  return state.kind === 'json' ? resumeJson(state, limits) : resumeText(state, limits.max_cell_bytes)
}

/** Whether a file is JSON: it is said to be, or begins like it. */
export function isJson(head: Uint8Array, format: FileFormat): boolean {
  return format.json || looksLikeJson(createCleaner(format.encoding ?? detectEncoding(head)).push(head))
}
