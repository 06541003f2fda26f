import type { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { malformed, Refusal } from '../refusal.ts'
import { Interruption } from './interruption.ts'
import { boundaryOf, readParts } from './multipart.ts'
import { peek } from './peek.ts'
import { overLimit, requestBytes } from './request-body.ts'

/** The file in a request, and what came before it. */
export interface Upload {
  /** The fields of a multipart body that precede the file. */
  fields: Record<string, string>
  fileName: string | undefined
  /** What the Content-Type says of the kind, and of the encoding. */
  mediaType: string | undefined
  charset: string | undefined
  /** The bytes of the file, unpacked. They can be read once. */
  bytes: AsyncIterable<Uint8Array>
  /** To be called when the bytes were read: nothing else may follow them. */
  finish(): Promise<void>
  /** Of the bytes as they were sent, once they were read. */
  size(): number
  hash(): string
}

const accepted = [
  'text/csv',
  'application/csv',
  'application/vnd.ms-excel', // what Windows calls a .csv
  'text/tab-separated-values',
  'text/plain',
  'application/octet-stream',
  'application/gzip',
  'application/x-gzip',
  'application/json',
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  'application/vnd.ms-excel.sheet.macroenabled.12',
  'application/zip',
  'application/x-zip-compressed',
]

const maxFieldBytes = 256 * 1024

/** Opens the file of a request without reading more of it than the fields before the file. */
export async function openUpload(request: Request, limit: number): Promise<Upload> {
  const contentType = request.headers.get('content-type') ?? ''
  const { mediaType, charset } = typeOf(contentType)
  refuseEncoding(request.headers.get('content-encoding'))
  if (mediaType === 'multipart/form-data') return openMultipart(request, boundaryOf(contentType), limit)
  if (mediaType && !accepted.includes(mediaType)) {
    throw new Refusal(
      415,
      'PT415',
      'content type is not accepted',
      `got ${mediaType}`,
      `Send the file as ${accepted.join(', ')} or as the part "file" of multipart/form-data.`,
    )
  }
  return {
    fields: {},
    fileName: undefined,
    mediaType,
    charset,
    ...measured(requestBytes(request), limit),
    finish: async () => {},
  }
}

/** What a Content-Type says. */
export function typeOf(contentType: string): { mediaType: string; charset: string | undefined } {
  return {
    mediaType: contentType.split(';')[0]?.trim().toLowerCase() ?? '',
    charset: /;\s*charset="?([\w-]+)/i.exec(contentType)?.[1]?.toLowerCase(),
  }
}

function refuseEncoding(encoding: string | null): void {
  if (!encoding || /^(gzip|x-gzip|identity)$/i.test(encoding.trim())) return
  throw new Refusal(
    415,
    'PT415',
    'content encoding is not accepted',
    `got ${encoding}`,
    'Send gzip, or none.',
  )
}

async function openMultipart(request: Request, boundary: string, limit: number): Promise<Upload> {
  const parts = readParts(requestBytes(request), boundary)
  const fields: Record<string, string> = {}
  for (;;) {
    const { done, value: part } = await parts.next()
    if (done) throw malformed('multipart body has no file', undefined, 'Send the file as the part "file".')
    if (part.name !== 'file') {
      if (part.fileName !== undefined) {
        throw malformed(
          'multipart body has an unknown file',
          `part "${part.name}"`,
          'Send the file as the part "file".',
        )
      }
      fields[part.name] = await textOf(part.bytes, part.name)
      continue
    }
    const finish = async () => {
      const next = await parts.next()
      if (next.done) return
      throw malformed(
        'multipart body goes on after the file',
        `part "${next.value.name}"`,
        'Send one file, and the other fields before it.',
      )
    }
    return {
      fields,
      fileName: part.fileName || undefined,
      mediaType: undefined,
      charset: undefined,
      ...measured(part.bytes, limit),
      finish,
    }
  }
}

async function textOf(bytes: AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of bytes) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > maxFieldBytes) throw malformed('multipart field is too long', `field "${name}"`)
  }
  return text + decoder.decode()
}

/** The bytes of a file, counted, hashed and, where they are gzip, unpacked. */
export function measured(
  sent: AsyncIterable<Uint8Array>,
  limit: number,
): Pick<Upload, 'bytes' | 'size' | 'hash'> {
  const hash = createHash('sha256')
  let size = 0

  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of sent) {
      size += chunk.length
      if (size > limit) throw overLimit(`more than ${limit} bytes were sent`, limit)
      hash.update(chunk)
      yield chunk
    }
  }

  async function* unpacked(): AsyncGenerator<Uint8Array> {
    const chunks = counted()
    const { head, bytes } = await peek(chunks, 2)
    if (head[0] !== 0x1f || head[1] !== 0x8b) {
      yield* bytes
      return
    }
    let length = 0
    for await (const chunk of gunzip(bytes)) {
      length += chunk.length
      if (length > limit) throw overLimit(`the unpacked file has more than ${limit} bytes`, limit)
      yield chunk
    }
  }

  return { bytes: unpacked(), size: () => size, hash: () => hash.digest('hex') }
}

async function* gunzip(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const source = Readable.from(packed)
  const unpacker = createGunzip({ chunkSize: 64 * 1024 })
  source.on('error', (cause) => unpacker.destroy(cause))
  source.pipe(unpacker)
  try {
    yield* unpacker as AsyncIterable<Buffer>
  } catch (cause) {
    if (cause instanceof Refusal || cause instanceof Interruption) throw cause
    const details = cause instanceof Error ? cause.message : undefined
    throw malformed('gzip data is damaged or cut off', details, 'Pack the file again, or send it as it is.')
  } finally {
    source.destroy()
  }
}
