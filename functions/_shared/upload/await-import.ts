import { setTimeout as sleep } from 'node:timers/promises'
import type { CallDatabase } from '../caller.ts'

/** An import document, as far as single values of it are read. */
export interface ImportDocument extends Record<string, unknown> {
  id: string
  status: string
  columns: string[] | null
  added_columns: string[]
  duplicate_of: string | null
  job: { status: string } | null
  replayed?: boolean
}

const interval = 250
const jobEnds = ['completed', 'failed', 'cancelled']
const ends = [...jobEnds, 'undone']

/** Whether a job of the import runs, or waits to. */
function isAtWork({ job }: Pick<ImportDocument, 'job'>): boolean {
  return job !== null && !jobEnds.includes(job.status)
}

/** Whether nothing more comes of an import by itself. */
export function isAtEnd(document: Pick<ImportDocument, 'status' | 'job'>): boolean {
  return ends.includes(document.status) && !isAtWork(document)
}

/** The document of an import. */
export async function getImport(db: CallDatabase, id: string): Promise<ImportDocument> {
  return (await db('get_import', { import_id: id })) as ImportDocument
}

/** A document, and whether what was waited for is done. */
export interface Awaited<Document> {
  document: Document
  done: boolean
}

/**
 * The document of an import once nothing is being done on it, or when the time is over. An import that goes on to the
 * commit by itself is `validated` for a moment only: then its job is not over.
 */
export async function awaitImport(
  db: CallDatabase,
  id: string,
  seconds: number,
): Promise<Awaited<ImportDocument>> {
  return readUntil(
    () => getImport(db, id),
    (document) =>
      isAtEnd(document) || (['staged', 'validated'].includes(document.status) && !isAtWork(document)),
    seconds,
  )
}

/** The document of a set once nothing of it runs, or when the time is over. */
export async function awaitSet(db: CallDatabase, set_id: string, seconds: number): Promise<Awaited<unknown>> {
  return readUntil(
    async () => (await db('get_import_set', { set_id })) as { status: string },
    (set) => set.status !== 'running',
    seconds,
  )
}

/** Reads a document until it is as wanted, or the time is over. */
export async function readUntil<Document>(
  read: () => Promise<Document>,
  isDone: (document: Document) => boolean,
  seconds: number,
): Promise<Awaited<Document>> {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const document = await read()
    const done = isDone(document)
    if (done || Date.now() + interval > deadline) return { document, done }
    await sleep(interval)
  }
}
