const maxDepth = 100
const numberForm = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Why a text is not read on: it is not JSON, a nested value is too long, or the rest of it is yet to come. */
export class JsonFault extends Error {
  readonly kind: 'invalid' | 'large' | 'unfinished'
  readonly at: number

  constructor(kind: JsonFault['kind'], at: number, message = '') {
    super(message)
    this.kind = kind
    this.at = at
  }
}

/** What is at a place should not be there. */
export function unexpectedJson(text: string, at: number, found = text[at] ?? ''): JsonFault {
  if (at >= text.length) return new JsonFault('unfinished', at)
  return new JsonFault('invalid', at, `unexpected ${JSON.stringify(found)}`)
}

/** Reads objects in a text that may go on. */
export interface JsonScanner {
  /** The next place that is not white space. */
  afterSpace(at: number): number
  /**
   * Reads the object at a place and gives the place after it. Values come as text: strings as they are meant, numbers as
   * they are written, nested ones as compact JSON.
   */
  object(at: number, member: (key: string, value: string | null) => void): number
}

/**
 * A scanner of JSON whose strings and numbers need no copy. Nested values and strings with escapes go to `JSON.parse`,
 * against which the tests hold the rest. @streamparser/json keeps the text of numbers, too, but takes three times as long.
 */
export function createJsonScanner(text: string, maxNested: number): JsonScanner {
  const escapes = finderOf('\\')
  const lineBreaks = finderOf('\n')

  /** Finds the next occurrence; it is asked for in order, more or less, and remembers. */
  function finderOf(char: string): (from: number) => number {
    let next = -1
    return (from) => {
      if (next < from) {
        next = text.indexOf(char, from)
        if (next < 0) next = Number.POSITIVE_INFINITY
      }
      return next
    }
  }

  function afterSpace(at: number): number {
    for (; ; at++) {
      const code = text.charCodeAt(at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at
    }
  }

  /** The place of the quote that closes a string. */
  function closingQuote(start: number): number {
    for (let at = start; ; at++) {
      at = text.indexOf('"', at)
      if (at < 0) throw new JsonFault('unfinished', start)
      let backslashes = 0
      while (text[at - 1 - backslashes] === '\\') backslashes++
      if (backslashes % 2 === 0) return at
    }
  }

  function string(start: number, end: number): string {
    if (lineBreaks(start) < end) throw new JsonFault('invalid', start, 'a text is not closed')
    return escapes(start) > end ? text.slice(start, end) : parsed(start - 1, end + 1)
  }

  /** What JSON.parse makes of a part of the text. */
  function parsed<T>(start: number, end: number): T {
    try {
      return JSON.parse(text.slice(start, end)) as T
    } catch {
      throw new JsonFault('invalid', start, 'a value is malformed')
    }
  }

  /** The end of a number or a word. */
  function afterBare(at: number): number {
    for (; ; at++) {
      const code = text.charCodeAt(at) // + - . digits and letters
      const isBare = (code >= 48 && code <= 57) || (code >= 97 && code <= 122) || (code >= 65 && code <= 90)
      if (!isBare && code !== 43 && code !== 45 && code !== 46) return at
    }
  }

  function bare(at: number, end: number): string | null {
    if (end === text.length) throw new JsonFault('unfinished', at)
    const value = text.slice(at, end)
    if (value === 'null') return null
    if (value === 'true' || value === 'false' || numberForm.test(value)) return value
    throw unexpectedJson(text, at, value || text[at])
  }

  /** The end of a nested value. */
  function afterNested(start: number): number {
    const structure = /["{}[\]]/g
    structure.lastIndex = start
    for (let depth = 1; ; ) {
      const found = structure.exec(text)
      if (!found) throw new JsonFault('unfinished', start)
      if (found.index === start) continue
      if (found[0] === '"') structure.lastIndex = closingQuote(found.index + 1) + 1
      else if (found[0] === '{' || found[0] === '[') depth++
      else if (--depth === 0) return found.index + 1
      if (depth >= maxDepth) throw new JsonFault('invalid', start, 'it is nested too deeply')
    }
  }

  function nested(start: number, end: number): string {
    if (end - start > maxNested) throw new JsonFault('large', start)
    parsed(start, end)
    const value = text.slice(start, end)
    if (!/\s/.test(value)) return value
    return value.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|\s+/g, (part) => (part[0] === '"' ? part : ''))
  }

  function object(start: number, member: (key: string, value: string | null) => void): number {
    let at = afterSpace(start + 1)
    if (text[at] === '}') return at + 1
    for (;;) {
      if (text[at] !== '"') throw unexpectedJson(text, at)
      const keyEnd = closingQuote(at + 1)
      const key = string(at + 1, keyEnd)
      at = afterSpace(keyEnd + 1)
      if (text[at] !== ':') throw unexpectedJson(text, at)
      at = afterSpace(at + 1)

      const first = text[at]
      const isString = first === '"'
      const isNested = first === '{' || first === '['
      const end = isString ? closingQuote(at + 1) + 1 : isNested ? afterNested(at) : afterBare(at)
      member(key, isString ? string(at + 1, end - 1) : isNested ? nested(at, end) : bare(at, end))

      at = afterSpace(end)
      if (text[at] === '}') return at + 1
      if (text[at] !== ',') throw unexpectedJson(text, at)
      at = afterSpace(at + 1)
    }
  }

  return { afterSpace, object }
}
