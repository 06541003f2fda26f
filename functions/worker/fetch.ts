import { createHash } from 'node:crypto'
import { type Transaction, withConnection } from '../_shared/connection.ts'
import { Refusal } from '../_shared/refusal.ts'
import type { Encoding } from '../_shared/upload/encoding.ts'
import {
  emptyFile,
  fileOf,
  piecesOf,
  readHeader,
  type Scanner,
  type Written,
} from '../_shared/upload/file.ts'
import { answerTo, asIngest, type Limits } from '../_shared/upload/ingest.ts'
import { type JsonState, resumeJson } from '../_shared/upload/json-records.ts'
import { peek } from '../_shared/upload/peek.ts'
import type { Row } from '../_shared/upload/records.ts'
import { beginScan } from '../_shared/upload/scan.ts'
import { describeStaged, nothingStaged, type Staged, stageRows } from '../_shared/upload/stage.ts'
import { measured } from '../_shared/upload/upload.ts'
import { type Asked, ask, refuseHtml, unanswered } from './ask.ts'
import type { OutboundAnswer } from './outbound.ts'
import { OutboundFailure } from './outbound-failure.ts'
import { keysOf, type Page, type PageOptions, readPage } from './pages.ts'
import { type Call, TaskFailure, taskRoute } from './task.ts'

/** What the database tells of a source. */
interface Source extends Asked {
  kind: 'http_csv' | 'http_json'
  /** Headers by which it can say that nothing has changed. */
  conditions: Record<string, string>
  options: PageOptions & { delimiter?: string; quote?: string; encoding?: Encoding; header?: boolean }
  /** max_object_bytes: all pages together. */
  limits: Limits & { max_object_bytes: number }
  max_pages: number
  state: State | null
  /** An earlier call staged all of it, and was lost before it could say so. */
  is_staged: boolean
}

/** Where a call has left a source with pages for the next one. */
interface State {
  next: string
  pages: number
  bytes: number
  hash: string
  scanner: JsonState
  count: number
  isUntrimmed: boolean[]
}

/** A page is kept in memory as a whole. */
const maxPageBytes = 8 * 1024 * 1024
/** After so much a call hands over to the next one. */
const callBytes = 16 * 1024 * 1024
const callTime = 40_000

/** Fetches what a source has and stages it, in one call or, page by page, in several. */
export const fetchSource = taskRoute(async ({ work }, call) => {
  const source = work as Source
  if (source.is_staged) return {}
  try {
    const { path, next, cursor } = source.options
    return await ((path ?? next ?? cursor) === undefined ? fetchFile(source, call) : fetchPages(source, call))
  } catch (cause) {
    throw failureOf(cause)
  }
})

/** One file, read as it comes. */
async function fetchFile(source: Source, call: Call): Promise<unknown> {
  const { limits, options } = source
  const answer = await ask(source, source.location, source.conditions, limits.max_request_bytes)
  const found = { status: answer.status, pages: 1, ...tagsOf(answer) }
  if (answer.status === 304) {
    answer.close()
    return { unchanged: true, ...found }
  }
  const upload = measured(answer.body, limits.max_request_bytes)
  const { head, bytes, ended } = await peek(upload.bytes, 64 * 1024)
  refuseHtml(new TextDecoder().decode(head.subarray(0, 1024)))
  const format = {
    ...options,
    header: options.header ?? true,
    json: source.kind === 'http_json' || undefined,
  }
  const file = fileOf(beginScan(head, ended, format, limits), bytes)
  const rows = file.batches()
  try {
    const { columns, rest } = await readHeader(rows, file.hasHeader)
    await staging(async (tx) => {
      const target = await beginFetch(tx, call, columns)
      const staged = nothingStaged()
      await stageRows(tx, { ...target, columns, fits: file.fits }, staged, rest, rows)
      await finishFetch(tx, call, staged, file, columns, upload.size(), upload.hash(), found)
    })
  } finally {
    // Lets go of the body after a failure. Not awaited: a read that is under way may last.
    rows.return(undefined).catch(() => {})
    answer.close()
  }
  return {}
}

/** As many pages as a call may take, and the last of them ends it. */
async function fetchPages(source: Source, call: Call): Promise<unknown> {
  const reader = await openPages(source)
  const columns = reader.scanner.columns?.() ?? []
  let isLast = false
  await staging(async (tx) => {
    const target = await beginFetch(tx, call, columns)
    const { count, isUntrimmed } = source.state ?? nothingStaged()
    const staged = { ...nothingStaged(), count, isUntrimmed }
    await stageRows(tx, { ...target, columns, fits: reader.scanner.fits }, staged, [], reader.batches)
    const { next, pages, bytes, hash } = reader.progress()
    isLast = next === undefined
    if (next === undefined) {
      await finishFetch(tx, call, staged, reader.scanner, columns, bytes, hash, { status: 200, pages })
    } else {
      const state: State = {
        next,
        pages,
        bytes,
        hash,
        scanner: reader.scanner.state(),
        count: staged.count,
        isUntrimmed,
      }
      await tx`
        select private.advance_fetch(${call.task_id}::bigint, ${call.token}::uuid, ${JSON.stringify(state)}::text::jsonb)`
    }
  })
  return isLast ? {} : undefined
}

/** Reads pages from where the last call has stopped: the first of them at once, the others as their rows are asked for. */
async function openPages(source: Source) {
  const { state, limits, options } = source
  const began = performance.now()
  let { pages, bytes, hash } = state ?? { pages: 0, bytes: 0, hash: '' }
  const before = bytes
  let next: string | undefined

  async function page(url: string): Promise<Page> {
    if (++pages > source.max_pages) {
      const details = `more than ${source.max_pages} pages`
      throw new TaskFailure('SY003', 'source does not end', { details })
    }
    const answer = await ask(source, url, {}, Math.min(limits.max_request_bytes, maxPageBytes))
    const chunks: Uint8Array[] = []
    for await (const chunk of answer.body) chunks.push(chunk)
    const whole = await new Blob(chunks as BlobPart[]).text()
    bytes += chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (bytes > limits.max_object_bytes) {
      const details = `more than ${limits.max_object_bytes} bytes`
      throw new TaskFailure('SY003', 'source is too large', { details })
    }
    hash = createHash('sha256').update(hash).update(whole).digest('hex')
    const text = whole.replace(/^\uFEFF/, '')
    refuseHtml(text.slice(0, 1024))
    return readPage(text, url, answer, options)
  }

  let current = await page(state?.next ?? source.location)
  let keys = state ? [] : keysOf(current.records)
  while (!state && keys.length === 0) {
    if (current.next === undefined) throw emptyFile()
    if (performance.now() - began >= callTime) {
      throw new TaskFailure('SY003', 'source does not end', { details: `no record on ${pages} pages` })
    }
    current = await page(current.next)
    keys = keysOf(current.records)
  }
  const scanner: Scanner<JsonState> = resumeJson(state?.scanner ?? beforeRecords(keys), limits)

  /** To the scanner they are one array, of which nothing is left unread between two pages. */
  async function* batchesOf(): AsyncGenerator<Row[]> {
    const encoder = new TextEncoder()
    for (let hasRecords = state !== null; ; ) {
      const records = current.records.slice(1, -1)
      if (records.trim() !== '') {
        for (const piece of piecesOf(encoder.encode(hasRecords ? `,${records}` : records)))
          yield scanner.push(piece)
        hasRecords = true
      }
      if (current.next === undefined) {
        yield scanner.push(encoder.encode(']'))
        yield scanner.end()
        return
      }
      if (bytes - before >= callBytes || performance.now() - began >= callTime) {
        next = current.next
        return
      }
      current = await page(current.next)
    }
  }
  return { scanner, batches: batchesOf(), progress: () => ({ next, pages, bytes, hash }) }
}

/** A scanner that stands at the first record of an array, and knows the columns. */
function beforeRecords(keys: string[]): JsonState {
  const reader = { pending: '', line: 1, defects: [], expected: 'first' as const, keys }
  return { kind: 'json', cleaner: { encoding: 'utf-8', carry: '', first: false }, reader }
}

/** A transaction of the ingest role. */
function staging<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
  return withConnection((connection) =>
    asIngest(connection, async (tx) => {
      await tx.unsafe("set local statement_timeout = '2min'")
      return work(tx)
    }),
  )
}

/** The import that the rows go to. */
async function beginFetch(tx: Transaction, { task_id, token }: Call, columns: string[]) {
  const [begun] = await tx<
    { import_id: string; staged_on: string; max_rows: string; max_cell_bytes: number }[]
  >`
    select b.import_id, b.staged_on::text, b.max_rows, b.max_cell_bytes
    from private.begin_fetch(${task_id}::bigint, ${token}::uuid,
      array(select jsonb_array_elements_text(${JSON.stringify(columns)}::text::jsonb))) as b`
  if (!begun) throw new Error('begin_fetch gave no row')
  const { import_id: importId, staged_on: stagedOn, max_rows, max_cell_bytes: maxCellBytes } = begun
  return { importId, stagedOn, maxRows: Number(max_rows), maxCellBytes }
}

async function finishFetch(
  tx: Transaction,
  { task_id, token }: Call,
  staged: Staged,
  file: Written,
  first: string[],
  bytes: number,
  hash: string,
  found: Record<string, unknown>,
): Promise<void> {
  const { columns, format } = describeStaged(staged, file, first)
  await tx`
    select private.finish_fetch(${task_id}::bigint, ${token}::uuid,
      array(select jsonb_array_elements_text(${JSON.stringify(columns)}::text::jsonb)), ${staged.count}::integer,
      ${bytes}::bigint, ${hash}::text, ${JSON.stringify(format)}::text::jsonb, ${JSON.stringify(found)}::text::jsonb)`
}

/** By which the next run can ask whether something has changed. */
function tagsOf({ headers }: OutboundAnswer): { etag?: string; last_modified?: string } {
  const etag = headers.get('etag')
  const last_modified = headers.get('last-modified')
  return { ...(etag && { etag }), ...(last_modified && { last_modified }) }
}

/** What the task is told: what the file is refused for ends it, all else the retry policy judges by its class. */
function failureOf(cause: unknown): Error {
  if (cause instanceof Refusal || cause instanceof TaskFailure) return cause
  if (cause instanceof OutboundFailure) return unanswered(cause)
  const { name, code, message, detail, hint } = cause as Error & {
    code?: string
    detail?: string
    hint?: string
  }
  if (name === 'PostgresError' && code) {
    const answer = answerTo(cause)
    if (answer.status < 500) return answer
    return new TaskFailure(code, message, { ...(detail && { details: detail }), ...(hint && { hint }) })
  }
  console.error(cause)
  return new TaskFailure('08006', 'source could not be taken in', { details: message })
}
