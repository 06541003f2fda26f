import { Buffer } from 'node:buffer'
import { malformed } from '../refusal.ts'
import { Interruption } from './interruption.ts'

/** One part of a multipart/form-data body. Its bytes must be read before the next part is asked for. */
export interface Part {
  name: string
  fileName: string | undefined
  bytes: AsyncGenerator<Buffer>
}

const maxHeaderBytes = 16 * 1024

/** The boundary that a Content-Type names. */
export function boundaryOf(contentType: string): string {
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i.exec(contentType)
  const boundary = match?.[1] ?? match?.[2]
  if (!boundary)
    throw malformed('multipart body has no boundary', undefined, 'Let the HTTP client set Content-Type.')
  return boundary
}

/** The parts of a multipart/form-data body as they come in, none of them held in memory. */
export async function* readParts(source: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  const chunks = source[Symbol.asyncIterator]()
  // The line break makes the first delimiter look like the others.
  let buffer: Buffer = Buffer.from('\r\n')

  async function more(): Promise<void> {
    const { done, value } = await chunks.next()
    if (done) throw new Interruption('the multipart body ends before its last boundary')
    buffer = buffer.length > 0 ? Buffer.concat([buffer, value]) : Buffer.from(value)
  }

  /** What comes before the next delimiter, which is taken too. */
  async function* untilDelimiter(): AsyncGenerator<Buffer> {
    for (;;) {
      const at = buffer.indexOf(delimiter)
      const ready = at >= 0 ? at : Math.max(0, buffer.length - delimiter.length)
      const head = buffer.subarray(0, ready)
      buffer = buffer.subarray(at >= 0 ? at + delimiter.length : ready)
      if (head.length > 0) yield head
      if (at >= 0) return
      await more()
    }
  }

  async function headers(): Promise<string> {
    for (;;) {
      const end = buffer.indexOf('\r\n\r\n')
      if (end >= 0) {
        const text = buffer.toString('utf8', 0, end)
        buffer = buffer.subarray(end + 4)
        return text
      }
      if (buffer.length > maxHeaderBytes) throw malformed('multipart header is too long')
      await more()
    }
  }

  for await (const _preamble of untilDelimiter());
  for (;;) {
    while (buffer.length < 2) await more()
    if (buffer.toString('latin1', 0, 2) === '--') break
    const disposition = dispositionOf(await headers())
    const bytes = untilDelimiter()
    yield { ...disposition, bytes }
    for await (const _unread of bytes);
  }
  // Read to the end, so that the length of the body can be compared with what was announced.
  while (!(await chunks.next()).done);
}

function dispositionOf(headers: string): { name: string; fileName: string | undefined } {
  const line = /^content-disposition:\s*form-data(.*)$/im.exec(headers)?.[1] ?? ''
  const name = parameterOf(line, 'name')
  if (name === undefined) throw malformed('multipart part has no name')
  return { name, fileName: parameterOf(line, 'filename') }
}

/** Browsers write quotes and line breaks in names as %22, %0D and %0A, other clients escape with a backslash. */
function parameterOf(line: string, name: string): string | undefined {
  const match = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, 'i').exec(line)
  const value = match?.[1] ?? match?.[2]
  return value?.replace(/\\(["\\])/g, '$1').replace(/%22/g, '"')
}
