import { type Connection, type Transaction, withConnection } from '../connection.ts'
import { Refusal } from '../refusal.ts'
import { Interruption } from './interruption.ts'

/** What must be known before anything is read; the database has further limits. */
export interface Limits {
  max_request_bytes: number
  max_archive_bytes: number
  max_workbook_bytes: number
  max_cell_bytes: number
  max_columns: number
}

/** The limits that hold now. */
export async function readLimits(connection: Connection): Promise<Limits> {
  return asIngest(connection, async (tx) => {
    const [row] = await tx<{ limits: Limits }[]>`select private.ingest_limits() as limits`
    if (!row) throw new Error('ingest_limits gave no row')
    return row.limits
  })
}

/**
 * Ends an import whose file did not come in whole, and gives what to answer. The client's own fault leaves nothing
 * behind; an upload that broke off, and a failure of ours, leave a failed import that says so.
 */
export async function endFailedIngest(importId: string, cause: unknown): Promise<Error> {
  const answer = answerTo(cause)
  try {
    // Another connection: that of the upload may be what was lost.
    await withConnection((connection) =>
      asIngest(connection, async (tx) => {
        if (answer.status < 500 && !(cause instanceof Interruption)) {
          await tx`select private.discard_ingest(${importId}::uuid)`
        } else {
          await tx`select private.fail_ingest(${importId}::uuid, ${JSON.stringify(answer.body)}::text::jsonb)`
        }
      }),
    )
  } catch (again) {
    // Maintenance ends imports that wait for a file which nobody sends.
    console.error(again)
  }
  return answer
}

/** What to answer to a failure while a file came in. */
export function answerTo(cause: unknown): Refusal {
  if (cause instanceof Refusal) return cause
  if (cause instanceof Interruption) {
    return new Refusal(400, 'upload_interrupted', cause.message, cause.details, 'Send the file again.')
  }
  const raised = cause as { name?: string; code?: string; message: string; detail?: string; hint?: string }
  const status = raised?.name === 'PostgresError' ? statusOf(raised.code ?? '') : 500
  if (status < 500) return new Refusal(status, raised.code ?? '', raised.message, raised.detail, raised.hint)
  console.error(cause)
  return new Refusal(
    500,
    'XX000',
    'unexpected error',
    null,
    'Send the file again; the log of the function says more.',
  )
}

/** What the functions of the ingest raise for clients, as PostgREST would answer it. All else is not the client's. */
function statusOf(sqlstate: string): number {
  if (/^PT4\d\d$/.test(sqlstate)) return Number(sqlstate.slice(2))
  return sqlstate === '22023' ? 400 : 500
}

/** Works in a transaction as the role that may take files in, and nothing else. */
export function asIngest<T>(connection: Connection, work: (tx: Transaction) => Promise<T>): Promise<T> {
  return connection.transaction(async (tx) => {
    await tx.unsafe('set local role sluice_ingest')
    return work(tx)
  })
}
