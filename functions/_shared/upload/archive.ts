import { Buffer } from 'node:buffer'
import * as zlib from 'node:zlib'
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl'
import { malformed, Refusal, tooLarge } from '../refusal.ts'
import { peek } from './peek.ts'

/** A file in a zip archive. */
export interface ArchiveEntry {
  name: string
  /** Of its contents, unpacked; `read` gives exactly so many bytes, or throws. */
  size: number
  read(): AsyncGenerator<Uint8Array>
}

/** What was sent: bytes that are read once, or the files of a zip archive, which a workbook is, too. */
export type Content = { bytes: AsyncIterable<Uint8Array> } | { entries: ArchiveEntry[] }

/** A workbook of hundreds of sheets and pictures has fewer. */
const maxEntries = 10_000

/** Looks whether bytes are a zip archive. One is kept in memory, since its directory is at its end. */
export async function openContent(
  source: AsyncIterable<Uint8Array>,
  maxArchiveBytes: number,
): Promise<Content> {
  const { head, bytes } = await peek(source, 4)
  const signature = Buffer.from(head.subarray(0, 4)).toString('latin1')
  if (signature !== 'PK\x03\x04' && signature !== 'PK\x05\x06') return { bytes }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > maxArchiveBytes) {
      throw tooLarge(
        'archive is too large',
        `more than ${maxArchiveBytes} bytes were sent`,
        'Send its files one by one, a workbook saved as CSV; or have the limit imports.max_archive_bytes raised.',
      )
    }
    chunks.push(chunk)
  }
  return { entries: await readDirectory(Buffer.concat(chunks, size)) }
}

/**
 * The files of an archive, by its directory. The archive is read with yauzl: a small library that follows the
 * specification to the letter where a lenient one is open to tricks (paths, sizes that lie, a second directory), unpacks
 * with zlib as a stream, and is well kept. fflate checks none of this; zip.js does, but is seventy times as large.
 */
async function readDirectory(archive: Buffer): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = []
  try {
    const zip = await fromBufferPromise(archive)
    for await (const entry of zip.eachEntry()) {
      if (entries.length === maxEntries) throw tooManyEntries(maxEntries)
      if (entry.fileName.endsWith('/')) continue
      entries.push({
        name: entry.fileName,
        size: entry.uncompressedSize,
        read: () => contentsOf(zip, entry),
      })
    }
  } catch (cause) {
    throw damaged(cause)
  }
  return entries
}

async function* contentsOf(zip: ZipFile, entry: Entry): AsyncGenerator<Uint8Array> {
  if (entry.isEncrypted()) {
    throw malformed('archive entry is encrypted', entry.fileName, 'Pack it again without a password.')
  }
  if (!entry.canDecodeFileData()) {
    const details = `${entry.fileName}: method ${entry.compressionMethod}`
    throw malformed('archive entry is packed in an unknown way', details, 'Pack it again as an ordinary zip.')
  }
  let checksum = 0
  try {
    // An entry that is larger, or smaller, than the directory says is an error of the stream.
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      checksum = zlib.crc32?.(chunk as Buffer, checksum) ?? entry.crc32 // older runtimes do not have it
      yield chunk as Buffer
    }
  } catch (cause) {
    throw damaged(cause, entry.fileName)
  }
  if (checksum !== entry.crc32) throw damaged(new Error('its checksum is wrong'), entry.fileName)
}

/** Whether an archive is an Office document, such as a workbook. */
export function isOfficeDocument(entries: ArchiveEntry[]): boolean {
  return entries.some((entry) => entry.name.toLowerCase() === '[content_types].xml')
}

/** Refuses an archive of too many files. */
export function tooManyEntries(limit: number): Error {
  return tooLarge('archive has too many files', `the limit is ${limit}`, 'Split it into several archives.')
}

function damaged(cause: unknown, name?: string): Error {
  if (cause instanceof Refusal) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const details = name === undefined ? message : `${name}: ${message}`
  return malformed(
    'zip archive is damaged or unsafe',
    details,
    'Pack the files again, or send them as they are.',
  )
}
