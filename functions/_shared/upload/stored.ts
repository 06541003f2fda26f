import type { CallDatabase } from '../caller.ts'
import { tooLarge } from '../refusal.ts'
import { readRange, type StoredFiles, type UploadTarget } from '../stored-files.ts'
import { readParameters } from './parameters.ts'
import { peek } from './peek.ts'
import { measured, typeOf, type Upload } from './upload.ts'

/** A request that names a file is no longer than this; what is longer is a file. */
const maxNamingBytes = 64 * 1024

/** Where a file can be uploaded to, and what to send when it is there. */
export interface UploadPlace {
  upload: UploadTarget & { storage_path: string; max_bytes: number }
  next: { method: 'POST'; path: '/imports'; body: Record<string, unknown> }
}

/** POST /imports?upload=storage: lets a file be uploaded that is too large for a request. Nothing is made yet. */
export async function placeUpload(
  query: Record<string, string>,
  db: CallDatabase,
  files: StoredFiles,
): Promise<UploadPlace> {
  const { dataset, mode, org_id, corrects, filename } = readParameters(query)
  const place = (await db('prepare_import_upload', {
    dataset,
    mode,
    org_id,
    corrects,
    file_name: filename,
  })) as {
    storage_path: string
    max_bytes: number
  }
  const { upload: _, ...others } = query
  return {
    upload: { ...(await files.signUpload(place.storage_path)), ...place },
    next: { method: 'POST', path: '/imports', body: { storage_path: place.storage_path, ...others } },
  }
}

/** The parameters in a request that names a stored file as JSON; undefined: it is a file itself. */
export async function readNaming(upload: Upload): Promise<Record<string, string> | undefined> {
  if (upload.mediaType !== 'application/json') return undefined
  const { head, bytes, ended } = await peek(upload.bytes, maxNamingBytes)
  upload.bytes = bytes
  if (!ended) return undefined
  try {
    const named = JSON.parse(new TextDecoder().decode(head)) as Record<string, unknown>
    if (typeof named.storage_path !== 'string') return undefined
    return Object.fromEntries(Object.entries(named).map(([name, value]) => [name, textOf(value)]))
  } catch {
    return undefined
  }
}

/** A value as it would be in the query. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
    ? value.join(',')
    : JSON.stringify(value)
}

/** A stored file, opened. One that is too large for a request has no bytes here: a job reads it. */
export interface StoredUpload extends Upload {
  isLarge: boolean
}

/** Opens a stored file as if it were the body of a request. */
export async function openStored(path: string, files: StoredFiles, limit: number): Promise<StoredUpload> {
  const enough = new AbortController()
  const { bytes, size, contentType } = await readRange(
    await files.signRead(path),
    0,
    limit + 1,
    enough.signal,
  )
  const isLarge = size > limit
  if (isLarge) {
    const { head } = await peek(bytes, 2)
    enough.abort()
    refusePacked(head)
  }
  return {
    fields: {},
    fileName: path.slice(path.lastIndexOf('/') + 1),
    ...typeOf(contentType),
    ...measured(bytes, limit),
    finish: async () => {},
    isLarge,
  }
}

/** Refuses what cannot be read in parts, by its first bytes. */
function refusePacked([first, second]: Uint8Array): void {
  const isGzip = first === 0x1f && second === 0x8b
  const isZip = first === 0x50 && second === 0x4b
  if (!isGzip && !isZip) return
  throw tooLarge(
    'file is too large to be unpacked',
    isGzip ? 'it is gzip' : 'it is a zip archive or a workbook',
    'Unpack it, or save the workbook as CSV, and upload that.',
  )
}
