import { Buffer, isAscii, isUtf8 } from 'node:buffer'

/** The encodings a file may have. */
export const encodings = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const
export type Encoding = (typeof encodings)[number]

/** A place in the clean text where the file had something that text cannot hold. */
export interface Defect {
  at: number
  kind: 'undecodable' | 'nul'
}

/** Turns the bytes of a file, chunk by chunk, into clean text: no NUL, no half characters, no byte order mark. */
export interface Cleaner {
  push(chunk: Uint8Array): string
  end(): string
  /** What was found, in the order of the text; the reader takes them off the front. */
  defects: Defect[]
  /** Known at the latest when the file has ended. */
  encoding(): Encoding
  /** All that another cleaner needs to go on with the bytes that follow; the defects are the reader's. */
  state(): CleanerState
}

/** Where a cleaner stands. It can be written as JSON. */
export interface CleanerState {
  encoding: Encoding | null
  /** Bytes that wait for those after them, in base64. */
  carry: string
  /** Nothing has come out yet: a byte order mark may. */
  first: boolean
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What the bytes 0x80 to 0x9F mean in Windows-1252; U+FFFD where they mean nothing. */
const windows1252 =
  '\u20AC\uFFFD\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152\uFFFD\u017D\uFFFD' +
  '\uFFFD\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\uFFFD\u017E\u0178'

/**
 * The encoding that the first bytes of a file show: by byte order mark, or UTF-16 by its NULs. Undefined when the file
 * is in one of the encodings that contain ASCII: which one shows with its first byte beyond ASCII, maybe much later.
 */
export function detectEncoding(head: Uint8Array): Encoding | undefined {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return 'utf-8'
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le'
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be'
  const pairs = Math.min(head.length, 4096) >> 1
  if (pairs === 0) return undefined
  let even = 0
  let odd = 0
  for (let i = 0; i < pairs * 2; i += 2) {
    if (head[i] === 0) even++
    if (head[i + 1] === 0) odd++
  }
  if (odd > pairs * 0.4 && even < pairs * 0.05) return 'utf-16le'
  if (even > pairs * 0.4 && odd < pairs * 0.05) return 'utf-16be'
  return undefined
}

/** So many bytes from the first one beyond ASCII on tell the encoding, however they are cut into chunks. */
const telling = 4096

/** A cleaner for a file of the given encoding; without one it is told by the first bytes beyond ASCII. */
export function createCleaner(given: Encoding | undefined): Cleaner {
  return cleanerFrom({ encoding: given ?? null, carry: '', first: true }, 0, [])
}

/** A cleaner that goes on where another stood. Of its text so much, with these defects, is not read yet. */
export function resumeCleaner(state: CleanerState, unread: number, defects: Defect[]): Cleaner {
  return cleanerFrom(state, unread, defects)
}

function cleanerFrom(state: CleanerState, unread: number, defects: Defect[]): Cleaner {
  let encoding = state.encoding ?? undefined
  let carry: Buffer = Buffer.from(state.carry, 'base64')
  let produced = unread
  let first = state.first

  function clean(chunk: Uint8Array, last: boolean): string {
    const bytes = carry.length > 0 ? Buffer.concat([carry, chunk]) : asBuffer(chunk)
    carry = Buffer.alloc(0)
    if (encoding === undefined && !isAscii(bytes)) {
      const start = bytes.findIndex((byte) => byte >= 0x80)
      const end = start + telling
      if (bytes.length < end && !last) {
        carry = Buffer.from(bytes.subarray(start))
        return emit(fromUtf8(bytes.subarray(0, start), true).text)
      }
      encoding = tellUtf8(bytes.subarray(start, end), bytes.length <= end) ? 'utf-8' : 'windows-1252'
    }
    const { text, rest } = decode(bytes, last)
    carry = Buffer.from(rest) // a copy: the chunk itself may be reused
    return emit(text)
  }

  function decode(bytes: Buffer, last: boolean): Decoded {
    if (encoding === 'utf-16le' || encoding === 'utf-16be') return fromUtf16(bytes, encoding, last)
    if (encoding === 'windows-1252') return fromWindows1252(bytes)
    return fromUtf8(bytes, last)
  }

  function emit(text: string): string {
    if (first && text.length > 0) {
      first = false
      if (text[0] === '\uFEFF') {
        text = text.slice(1)
        for (const defect of defects) defect.at = Math.max(0, defect.at - 1)
      }
    }
    produced += text.length
    return text
  }

  function fromUtf8(bytes: Buffer, last: boolean): Decoded {
    const tail = last ? 0 : incompleteTail(bytes)
    const body = tail > 0 ? bytes.subarray(0, bytes.length - tail) : bytes
    const rest = bytes.subarray(body.length)
    try {
      const text = strictUtf8.decode(body)
      if (!text.includes('\0')) return { text, rest }
    } catch {
      // Not UTF-8 throughout.
    }
    return { text: repairUtf8(body, produced, defects), rest }
  }

  function fromUtf16(bytes: Buffer, from: 'utf-16le' | 'utf-16be', last: boolean): Decoded {
    let whole = bytes.length & ~1
    // A pair of surrogates must not be cut apart.
    if (!last && whole >= 2) {
      const high = bytes[whole - (from === 'utf-16le' ? 1 : 2)] as number
      if (high >= 0xd8 && high <= 0xdb) whole -= 2
    }
    const body = Buffer.from(bytes.subarray(0, whole))
    if (from === 'utf-16be') body.swap16()
    const text = repairText(body.toString('utf16le'), produced, defects)
    if (!last || whole === bytes.length) return { text, rest: bytes.subarray(whole) }
    defects.push({ at: produced + text.length, kind: 'undecodable' })
    return { text: `${text}\uFFFD`, rest: Buffer.alloc(0) }
  }

  function fromWindows1252(bytes: Buffer): Decoded {
    const text = bytes
      .toString('latin1')
      .replace(/[\x80-\x9f]/g, (char) => windows1252[char.charCodeAt(0) - 0x80] as string)
    return { text: repairText(text, produced, defects, true), rest: Buffer.alloc(0) }
  }

  return {
    push: (chunk) => clean(chunk, false),
    end: () => clean(Buffer.alloc(0), true),
    defects,
    encoding: () => encoding ?? 'utf-8',
    state: () => ({ encoding: encoding ?? null, carry: carry.toString('base64'), first }),
  }
}

interface Decoded {
  text: string
  /** Bytes that wait for the next chunk. */
  rest: Uint8Array
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

/** How many bytes at the end begin a UTF-8 sequence that is not complete. */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) return 0
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? back : 0
    }
  }
  return 0
}

/**
 * Whether bytes beyond ASCII are UTF-8, maybe damaged, rather than Windows-1252: by the number of good and of bad
 * sequences; good ones hardly come about by chance. Bytes without a meaning in Windows-1252 speak for damaged UTF-8.
 */
function tellUtf8(bytes: Buffer, last: boolean): boolean {
  const body = last ? bytes : bytes.subarray(0, bytes.length - incompleteTail(bytes))
  if (isUtf8(body)) return true
  let good = 0
  let bad = 0
  for (let i = 0; i < body.length; ) {
    const length = sequenceLength(body, i)
    if (length > 1) good++
    if (length < 0) {
      bad++
      const byte = body[i] as number
      if (byte >= 0x80 && byte <= 0x9f && windows1252[byte - 0x80] === '\uFFFD') return true
    }
    i += Math.abs(length)
  }
  return good > 0 && good >= bad
}

/** Length of the UTF-8 sequence at a place; negative: so many bytes are not one (as WHATWG's decoder counts them). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number
  if (lead < 0x80) return 1
  const length = lead < 0xc2 || lead > 0xf4 ? 0 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
  if (length === 0) return -1
  for (let k = 1; k < length; k++) {
    const byte = bytes[at + k]
    const low = k === 1 && lead === 0xe0 ? 0xa0 : k === 1 && lead === 0xf0 ? 0x90 : 0x80
    const high = k === 1 && lead === 0xed ? 0x9f : k === 1 && lead === 0xf4 ? 0x8f : 0xbf
    if (byte === undefined || byte < low || byte > high) return -k
  }
  return length
}

/** UTF-8 with NULs dropped and U+FFFD for what cannot be decoded, each noted. The slow path: only for such chunks. */
function repairUtf8(bytes: Buffer, base: number, defects: Defect[]): string {
  let text = ''
  let from = 0
  for (let i = 0; i < bytes.length; ) {
    const step = sequenceLength(bytes, i)
    if (step > 0 && bytes[i] !== 0) {
      i += step
      continue
    }
    text += bytes.toString('utf8', from, i)
    defects.push({ at: base + text.length, kind: step < 0 ? 'undecodable' : 'nul' })
    if (step < 0) text += '\uFFFD'
    i += Math.abs(step)
    from = i
  }
  return text + bytes.toString('utf8', from)
}

/** The same for text that is decoded already: NULs, lone surrogates and, where `marked`, U+FFFD itself are defects. */
function repairText(text: string, base: number, defects: Defect[], marked = false): string {
  if (text.isWellFormed() && !text.includes('\0') && !(marked && text.includes('\uFFFD'))) return text
  let dropped = 0
  return text.replace(marked ? /[\0\uFFFD\p{Surrogate}]/gu : /[\0\p{Surrogate}]/gu, (char, index: number) => {
    const isNul = char === '\0'
    defects.push({ at: base + index - dropped, kind: isNul ? 'nul' : 'undecodable' })
    if (isNul) dropped++
    return isNul ? '' : '\uFFFD'
  })
}
