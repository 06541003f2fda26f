import { createJsonScanner, JsonFault } from '../_shared/upload/json.ts'
import { TaskFailure } from './task.ts'

/** How the pages of a source follow each other. */
export interface PageOptions {
  /** Names of members, with dots between them, on the way to the array of records. */
  path?: string
  /** The same on the way to the address of the next page; `header`: it is in the header Link. */
  next?: string
  /** The same on the way to what the next page is asked for with, as a parameter. */
  cursor?: string
  cursor_parameter?: string
}

/** A page of records. */
export interface Page {
  /** JSON: an array. */
  records: string
  /** The address of the next page; undefined: it is the last. */
  next: string | undefined
}

/** Where a page came from in the end, and what it says of itself. */
export interface PageSource {
  url: string
  headers: Headers
}

/** Finds the records of a page that was asked for at an address, and the next one. Numbers stay as they are written. */
export function readPage(text: string, asked: string, source: PageSource, options: PageOptions): Page {
  const found = options.path === undefined ? text.trim() : memberAt(text, options.path)
  const records = found === null ? '[]' : found
  if (!records?.startsWith('[')) {
    throw notData(options.path === undefined ? 'it is no array' : `there is no array at ${options.path}`)
  }
  return { records, next: nextOf(text, asked, source, options) }
}

/** The names of the members of records. */
export function keysOf(records: string): string[] {
  const keys = new Set<string>()
  const scanner = createJsonScanner(records, records.length)
  scanned(() => {
    for (let at = scanner.afterSpace(1); records[at] === '{'; ) {
      at = scanner.afterSpace(scanner.object(at, (key) => void keys.add(key)))
      if (records[at] === ',') at = scanner.afterSpace(at + 1)
    }
  })
  return [...keys]
}

function nextOf(
  text: string,
  asked: string,
  { url, headers }: PageSource,
  { next, cursor, cursor_parameter }: PageOptions,
) {
  const found = cursor ?? next
  if (found === undefined) return undefined
  const value =
    found === 'header' && cursor === undefined ? linkOf(headers.get('link')) : memberAt(text, found)
  if (value === undefined || value === null || value === '' || value === 'false') return undefined
  const address = cursor === undefined ? addressOf(value, url) : new URL(asked)
  if (cursor !== undefined) address.searchParams.set(cursor_parameter ?? cursor, value)
  if (address.href === asked || address.href === url) {
    throw new TaskFailure('SY003', 'source does not end', { details: 'a page names itself as the next one' })
  }
  return address.href
}

function addressOf(value: string, url: string): URL {
  if (URL.canParse(value, url)) return new URL(value, url)
  throw notData('the address of the next page is none')
}

/** The next page of a header like `<https://…?page=2>; rel="next"`. */
function linkOf(header: string | null): string | undefined {
  for (const [, address, parameters] of (header ?? '').matchAll(/<([^>]*)>([^<]*)/g)) {
    if (/;\s*rel\s*=\s*"?(?:[^";]*\s)?next(?![^\s";,])/i.test(parameters ?? '')) return address
  }
  return undefined
}

/** A value within objects, as text; undefined: it is not there. */
function memberAt(text: string, path: string): string | null | undefined {
  let value: string | null | undefined = text.trim()
  for (const name of path.split('.')) {
    if (!value?.startsWith('{')) return undefined
    const scanner = createJsonScanner(value, value.length)
    let found: string | null | undefined
    scanned(() =>
      scanner.object(0, (key, member) => {
        if (key === name) found = member
      }),
    )
    value = found
  }
  return value
}

function scanned(scan: () => void): void {
  try {
    scan()
  } catch (cause) {
    if (cause instanceof JsonFault) throw notData(`it is not JSON: ${cause.message || 'it ends too early'}`)
    throw cause
  }
}

/** What was fetched is not what it should be. */
export function notData(details: string): TaskFailure {
  return new TaskFailure('SY001', 'source is not data', {
    details,
    hint: 'Look at what the address answers; see docs/sync.md for how it may be read.',
  })
}
