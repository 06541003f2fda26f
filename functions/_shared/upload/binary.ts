import { Buffer } from 'node:buffer'
import { Refusal } from '../refusal.ts'

/** What some kinds of file begin with. */
const signatures: [prefix: string, kind: string][] = [
  ['%PDF', 'a PDF'],
  ['\x89PNG', 'a PNG image'],
  ['\xff\xd8\xff', 'a JPEG image'],
  ['GIF8', 'a GIF image'],
  ['\x1f\x8b', 'gzip within gzip'],
  ['\x28\xb5\x2f\xfd', 'a zstd archive'],
  ['BZh', 'a bzip2 archive'],
  ['7z\xbc\xaf', 'a 7z archive'],
  ['Rar!', 'a RAR archive'],
  ['PAR1', 'a Parquet file'],
  ['SQLite format 3', 'a SQLite database'],
]

const compoundFile = '\xd0\xcf\x11\xe0'

/** Beginnings of texts that are no tables. */
const texts: [pattern: RegExp, kind: string][] = [
  [/^\s*<(!doctype html|html|head|body)\b/i, 'an HTML page'],
  [/^\s*<\?xml\b/i, 'XML'],
]

/** Refuses what is no text, and says what it seems to be. */
export function refuseBinary(head: Uint8Array, isUtf16: boolean): void {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 8192))
  const start = bytes.toString('latin1')
  for (const [prefix, kind] of signatures) {
    if (start.startsWith(prefix)) throw notATable(kind)
  }
  if (start.startsWith(compoundFile)) {
    // Excel keeps what has a password, and what it wrote before 2007, in the same kind of container.
    throw new Refusal(
      415,
      'PT415',
      'file is not a table',
      'it looks like an encrypted or an old Excel workbook (xls)',
      'Open it in the spreadsheet program, remove the password, and save it as xlsx or CSV.',
    )
  }
  for (const [pattern, kind] of texts) {
    if (pattern.test(start)) throw notATable(kind)
  }
  if (!isUtf16 && controlShare(bytes) > 0.1) throw notATable('binary data')
}

function controlShare(bytes: Uint8Array): number {
  let controls = 0
  for (const byte of bytes) {
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12) controls++
  }
  return bytes.length === 0 ? 0 : controls / bytes.length
}

/** Refuses what cannot be read as rows and columns. */
export function notATable(kind: string): Refusal {
  return new Refusal(
    415,
    'PT415',
    'file is not a table',
    `it looks like ${kind}`,
    'Send CSV, JSON or an xlsx workbook; spreadsheet programs save a sheet as "CSV UTF-8".',
  )
}
