import { Buffer } from 'node:buffer'
import { type Duplex, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { OutboundFailure } from './outbound-failure.ts'

/** The beginning of an answer. */
export interface Head {
  status: number
  headers: Headers
}

/** The bytes of a connection, one after the other. */
export interface Wire {
  /** A line without its end. */
  line(): Promise<string>
  /** What is there, at most so many bytes; undefined at the end. */
  some(most: number): Promise<Uint8Array | undefined>
}

const maxLineBytes = 16 * 1024
/** Of all lines. Somebody who is told of events may have dozens of them answer at once. */
const maxHeadBytes = 64 * 1024
const pieceBytes = 64 * 1024

/** The text of a request. The headers are checked by `Headers`: nothing in them ends a line. */
export function requestText(method: string, url: URL, headers: Headers, length: number | undefined): string {
  const all = new Headers({ 'user-agent': 'Sluice', accept: '*/*' })
  for (const [name, value] of headers) all.set(name, value)
  all.set('accept-encoding', 'identity')
  all.set('connection', 'close')
  all.set('host', url.host)
  all.delete('transfer-encoding')
  all.delete('content-length')
  if (length !== undefined) all.set('content-length', String(length))
  const lines = [...all].map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}

export function wireOf(socket: Duplex): Wire {
  const arriving = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  let rest: Uint8Array = new Uint8Array()

  async function more(): Promise<boolean> {
    const { done, value } = await arriving.next()
    if (done) return false
    rest = rest.length === 0 ? value : Buffer.concat([rest, value])
    return true
  }

  return {
    async line() {
      let end = rest.indexOf(10)
      while (end < 0 && rest.length <= maxLineBytes) {
        if (!(await more())) throw broken('it breaks off')
        end = rest.indexOf(10)
      }
      if (end < 0 || end > maxLineBytes) throw broken('a line is too long')
      const line = Buffer.from(rest.subarray(0, end)).toString('latin1')
      rest = rest.subarray(end + 1)
      return line.endsWith('\r') ? line.slice(0, -1) : line
    },
    async some(most) {
      while (rest.length === 0) if (!(await more())) return undefined
      const part = rest.subarray(0, most)
      rest = rest.subarray(part.length)
      return part
    },
  }
}

/** Reads the status and the headers; what is said before them (100, 103) is passed over. */
export async function readHead(wire: Wire): Promise<Head> {
  let room = maxHeadBytes
  async function nextLine(): Promise<string> {
    const line = await wire.line()
    room -= line.length + 1
    if (room < 0) throw broken('its head is too long')
    return line
  }

  for (;;) {
    const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(await nextLine())?.[1])
    if (!status) throw broken('it does not begin as HTTP/1.1 does')
    const headers = new Headers()
    for (let line = await nextLine(); line !== ''; line = await nextLine()) addHeader(headers, line)
    if (status === 101) throw broken('it changes the protocol')
    if (status >= 200) return { status, headers }
  }
}

function addHeader(headers: Headers, line: string): void {
  const colon = line.indexOf(':')
  try {
    headers.append(line.slice(0, Math.max(colon, 0)), line.slice(colon + 1))
  } catch {
    throw broken('a header is not valid')
  }
}

/** Reads the body, unpacked, and no more of it than the limit. */
export async function* readBody(
  wire: Wire,
  { status, headers }: Head,
  method: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  if (method === 'HEAD' || status === 204 || status === 304) return
  const announced = announcedLength(headers)
  if (announced !== undefined && announced > maxBytes) throw tooLarge(maxBytes)
  let length = 0
  for await (const bytes of unpacked(framed(wire, headers, announced), headers)) {
    length += bytes.length
    if (length > maxBytes) throw tooLarge(maxBytes)
    yield bytes
  }
}

function announcedLength(headers: Headers): number | undefined {
  const given = headers.get('content-length')
  if (given === null || headers.has('transfer-encoding')) return undefined
  const [length = '', ...others] = new Set(given.split(',').map((each) => each.trim()))
  if (others.length > 0 || !/^\d{1,15}$/.test(length)) throw broken('its length is not valid')
  return Number(length)
}

async function* framed(
  wire: Wire,
  headers: Headers,
  announced: number | undefined,
): AsyncGenerator<Uint8Array> {
  const coding = headers.get('transfer-encoding')
  if (coding !== null) {
    if (coding.trim().toLowerCase() !== 'chunked') throw broken('its transfer encoding is unknown')
    yield* chunked(wire)
  } else if (announced !== undefined) {
    yield* exactly(wire, announced)
  } else {
    for (let bytes = await wire.some(pieceBytes); bytes; bytes = await wire.some(pieceBytes)) yield bytes
  }
}

async function* chunked(wire: Wire): AsyncGenerator<Uint8Array> {
  for (;;) {
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;|$)/.exec(await wire.line())?.[1]
    if (size === undefined) throw broken('a chunk is not valid')
    const length = Number.parseInt(size, 16)
    if (length === 0) return // trailers say nothing that is asked for
    yield* exactly(wire, length)
    if ((await wire.line()) !== '') throw broken('a chunk is not valid')
  }
}

async function* exactly(wire: Wire, length: number): AsyncGenerator<Uint8Array> {
  for (let missing = length; missing > 0; ) {
    const bytes = await wire.some(Math.min(missing, pieceBytes))
    if (!bytes) throw broken('it breaks off')
    missing -= bytes.length
    yield bytes
  }
}

/** Nothing packed is asked for. Who sends it all the same sends gzip. */
async function* unpacked(packed: AsyncGenerator<Uint8Array>, headers: Headers): AsyncGenerator<Uint8Array> {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() || 'identity'
  if (coding === 'identity') {
    yield* packed
    return
  }
  if (coding !== 'gzip' && coding !== 'x-gzip') throw broken('its content encoding is unknown')
  const source = Readable.from(packed)
  const unpacker = createGunzip({ chunkSize: pieceBytes }) // so much of a bomb at a time
  source.on('error', (cause) => unpacker.destroy(cause))
  source.pipe(unpacker)
  try {
    yield* unpacker as AsyncIterable<Uint8Array>
  } catch (cause) {
    if (cause instanceof OutboundFailure) throw cause
    if (source.errored) throw source.errored
    throw broken('its gzip data is damaged or cut off')
  } finally {
    source.destroy()
  }
}

function broken(details: string): OutboundFailure {
  return new OutboundFailure('broken_answer', 'answer is not valid', details)
}

function tooLarge(limit: number): OutboundFailure {
  return new OutboundFailure('too_large', 'answer is too large', `the limit is ${limit} bytes`)
}
