import { Buffer } from 'node:buffer'
import { createSHA256 } from 'hash-wasm'
import { z } from 'zod'
import { type Transaction, withConnection } from '../_shared/connection.ts'
import { malformed, Refusal } from '../_shared/refusal.ts'
import { readRange } from '../_shared/stored-files.ts'
import { encodings } from '../_shared/upload/encoding.ts'
import { piecesOf, readHeader, type Scanner } from '../_shared/upload/file.ts'
import { answerTo, asIngest, type Limits } from '../_shared/upload/ingest.ts'
import { peek } from '../_shared/upload/peek.ts'
import type { Row } from '../_shared/upload/records.ts'
import { beginScan, resumeScan, type ScannerState } from '../_shared/upload/scan.ts'
import {
  beginIngest,
  describeStaged,
  nothingStaged,
  type Staged,
  stageRows,
} from '../_shared/upload/stage.ts'
import { serviceFiles } from './service-files.ts'
import { type Call, TaskFailure, taskRoute } from './task.ts'

/** Short rows, and what is wrong with rows, take a call's time rather than the bytes do: it ends with so much of them, too. */
const maxWork = 400_000
const issueWork = 6

const formatSchema = z.object({
  delimiter: z.string().length(1).optional(),
  quote: z.string().length(1).optional(),
  encoding: z.enum(encodings).optional(),
  header: z.boolean().default(true),
  json: z.boolean().optional(),
})

/** What the database tells of a file that is being taken in. */
interface Ingest {
  import_id: string
  storage_path: string
  byte_size: number
  /** Where the range of this call begins. */
  position: number
  state: string | null
  format: unknown
  review: boolean
  range_bytes: number
  limits: Limits
}

/** Where a call has left a file for the next one. */
interface State {
  scanner: ScannerState
  columns: string[]
  staged: Staged
  /** The SHA-256 of what was read so far, unfinished. */
  hash: string
  tag: string | null
  /** What the import is told of the file, once all of it has been read. */
  whole?: Record<string, unknown>
}

/** Takes in a range of a stored file; the database has the next one posted. The last of them tells of the whole. */
export const ingest = taskRoute(async ({ work }, call) => {
  const file = work as Ingest
  const before = file.state === null ? undefined : (JSON.parse(file.state) as State)
  // The call that read the end was lost before it could say so.
  if (before?.whole) return before.whole
  try {
    return (await takeIn(file, before, call)).whole
  } catch (cause) {
    throw failureOf(cause)
  }
})

async function takeIn(file: Ingest, before: State | undefined, call: Call): Promise<State> {
  const url = await serviceFiles().signRead(file.storage_path)
  const reader = await openRange(url, file, before)
  try {
    return await withConnection((connection) =>
      asIngest(connection, async (tx) => {
        // Also where the function is gone without a word: nobody takes a task that is held.
        await tx.unsafe("set local transaction_timeout = '2min'")
        await tx`select private.begin_range(${call.task_id}::bigint, ${call.token}::uuid, ${file.position}::bigint)`
        const { columns, rest } = before
          ? { columns: before.columns, rest: [] }
          : await readHeader(reader.batches, reader.scanner.hasHeader)
        const begun = await beginIngest(tx, file.import_id, columns, file.review)
        const { scanner, staged } = reader
        await stageRows(
          tx,
          { importId: file.import_id, columns, fits: scanner.fits, ...begun },
          staged,
          rest,
          reader.batches,
        )
        const after = reader.state(columns)
        await advance(tx, call, file.position, reader.position(), after)
        return after
      }),
    )
  } finally {
    // Lets go of the range after a failure. Not awaited: a read that is under way may last.
    reader.batches.return(undefined).catch(() => {})
  }
}

function advance(tx: Transaction, { task_id, token }: Call, from: number, to: number, state: State) {
  return tx`
    select private.advance_ingest(${task_id}::bigint, ${token}::uuid, ${from}::bigint, ${to}::bigint,
      ${state.staged.count}::integer, ${JSON.stringify(state)}::text)`
}

/** How much there was to do for rows, in rows without an issue. */
function workOf({ count, issueCount }: Staged): number {
  return count + issueWork * issueCount
}

/** Reads rows from where the last call has stopped, until the range is over, or enough, and at least one row was staged. */
async function openRange(url: string, file: Ingest, before: State | undefined) {
  const hash = await createSHA256()
  if (before) hash.load(Buffer.from(before.hash, 'base64'))
  else hash.init()
  const staged = before?.staged ?? nothingStaged()
  const first = staged.count
  const enough = workOf(staged) + maxWork
  let position = file.position
  let tag = before?.tag ?? null

  async function* bytesOf(): AsyncGenerator<Uint8Array> {
    while (position < file.byte_size && staged.count === first) {
      const range = await readRange(url, position, Math.min(file.range_bytes, file.byte_size - position))
      tag ??= range.tag
      if (range.size !== file.byte_size || range.tag !== tag) throw changed()
      for await (const chunk of range.bytes) {
        hash.update(chunk)
        position += chunk.length
        yield chunk
        if (workOf(staged) > enough) return
      }
    }
  }

  const { head, bytes } = await peek(bytesOf(), before ? 0 : 64 * 1024)
  const scanner: Scanner<ScannerState> = before
    ? resumeScan(before.scanner, file.limits)
    : beginScan(head, position === file.byte_size, formatOf(file.format), file.limits)

  async function* batchesOf(): AsyncGenerator<Row[]> {
    for await (const chunk of bytes) {
      for (const piece of piecesOf(chunk)) yield scanner.push(piece)
    }
    if (position === file.byte_size) yield scanner.end()
  }

  return {
    scanner,
    staged,
    batches: batchesOf(),
    position: () => position,
    state(columns: string[]): State {
      const state = {
        scanner: scanner.state(),
        columns,
        staged,
        hash: Buffer.from(hash.save()).toString('base64'),
        tag,
      }
      if (position < file.byte_size) return state
      return { ...state, whole: { ...describeStaged(staged, scanner, columns), content_hash: hash.digest() } }
    },
  }
}

function formatOf(format: unknown) {
  const parsed = formatSchema.safeParse(format)
  if (parsed.success) return parsed.data
  throw malformed(
    'format is not valid',
    z.prettifyError(parsed.error),
    'See ingest_import for what it may say.',
  )
}

function changed(): Refusal {
  return malformed(
    'stored file has changed',
    undefined,
    'Import it anew; files in the bucket are not to be replaced.',
  )
}

/** What the task is told: what the file is refused for ends it, all else the retry policy judges by its class. */
function failureOf(cause: unknown): Error {
  if (cause instanceof Refusal || cause instanceof TaskFailure) return cause
  const { name, code, message } = cause as { name?: string; code?: string; message?: string }
  if (name === 'PostgresError') {
    const answer = answerTo(cause)
    return answer.status < 500 ? answer : new TaskFailure(code ?? 'XX000', message ?? '')
  }
  console.error(cause)
  return new TaskFailure('08006', 'range could not be read', { details: message })
}
