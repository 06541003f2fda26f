import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Sql, TransactionSql } from 'postgres'
import { copyArray } from '../../functions/_shared/upload/copy-text.ts'

/** The document of an import, as far as tests look at it. */
export type ImportDocument = {
  id: string
  status: string
  row_count: number
  counts: Record<string, number>
  issues: { code: string; severity: string; field: string | null; count: number }[]
  error: { code: string; message: string; details?: string; hint?: string } | null
  undo: { reversed: number; kept: Record<string, number> } | null
  job: { id: string; job_type: string; status: string; total: number; done: number; failed: number } | null
}

/** What is sent as an import, without the way over HTTP. */
export type File = {
  dataset: string
  columns: string[]
  rows: Iterable<(string | null)[]>
  mode?: string
  options?: Record<string, string>
}

/** Does something with a person's rights and claims, as a request through the Data API does. */
export async function asPerson<T>(
  sql: Sql,
  person: string,
  work: (tx: TransactionSql) => Promise<T>,
): Promise<T> {
  const claims = JSON.stringify({ sub: person, role: 'authenticated' })
  return (await sql.begin(async (tx) => {
    await tx`select set_config('request.jwt.claims', ${claims}, true)`
    await tx`set local role authenticated`
    return work(tx)
  })) as T
}

/** A person who exists in the database alone: nobody signs in as them. */
export async function makePerson(sql: Sql, name: string): Promise<string> {
  const id = randomUUID()
  await sql`
    insert into auth.users (id, email, aud, role)
    values (${id}, ${`${name}-${id.slice(0, 8)}@example.com`}, 'authenticated', 'authenticated')`
  return id
}

/** A person with an organization of their own. */
export async function makeOrganization(
  sql: Sql,
  name: string,
): Promise<{ admin: string; organization: string }> {
  const admin = await makePerson(sql, name)
  const slug = `${name}-${randomUUID().slice(0, 8)}`
  const [made] = await asPerson(
    sql,
    admin,
    (tx) => tx<{ id: string }[]>`select public.create_organization(${slug}, ${slug}) ->> 'id' as id`,
  )
  if (!made) throw new Error('no organization was made')
  return { admin, organization: made.id }
}

/** Puts a person into an organization. */
export async function join(sql: Sql, person: string, organization: string, role: string): Promise<void> {
  await sql`update public.profiles set org_id = ${organization}, org_role = ${role}::public.org_role where id = ${person}`
}

/** Makes an import and stages its rows over the direct connection, as the upload does. */
export async function stageImport(sql: Sql, person: string, file: File): Promise<string> {
  const [made] = await asPerson(
    sql,
    person,
    (tx) => tx<{ id: string }[]>`
      select public.create_import(${file.dataset}, ${file.mode ?? null},
        options => ${JSON.stringify(file.options ?? {})}::text::jsonb) ->> 'id' as id`,
  )
  if (!made) throw new Error('no import was made')
  await stageRows(sql, made.id, file.columns, file.rows)
  return made.id
}

/** Brings in the rows of an import that awaits its file. */
export async function stageRows(
  sql: Sql,
  importId: string,
  columns: string[],
  rows: Iterable<(string | null)[]>,
): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local role sluice_ingest`
    const [begun] = await tx<{ staged_on: string }[]>`
      select b.staged_on::text from private.begin_ingest(${importId}, ${columns}, true) as b`
    if (!begun) throw new Error('begin_ingest gave no row')

    let count = 0
    function* lines() {
      let block = ''
      for (const cells of rows) {
        count++
        block += `${begun?.staged_on}\t${importId}\t${count}\t${count + 1}\t${copyArray(cells)}\n`
        if (block.length < 65_536) continue
        yield block
        block = ''
      }
      if (block) yield block
    }
    const copy =
      await tx`copy private.import_rows (staged_on, batch_id, row_number, line_number, cells) from stdin`.writable()
    await pipeline(Readable.from(lines()), copy)
    await tx`
      select private.finish_ingest(${importId}, ${columns}, ${count}::integer, ${count * 50}::bigint,
        md5(${importId}), '[]', '{"delimiter": ",", "quote": "\\"", "encoding": "utf-8", "header": true}')`
  })
}

/** Starts validation, and the commit after it where that is said. */
export async function validate(sql: Sql, person: string, importId: string, commit = false): Promise<void> {
  await asPerson(sql, person, (tx) => tx`select public.validate_import(${importId}, ${commit})`)
}

/** Starts the commit. */
export async function commit(sql: Sql, person: string, importId: string): Promise<void> {
  await asPerson(sql, person, (tx) => tx`select public.commit_import(${importId})`)
}

/** The import as the service sees it: its owner may have lost the right to. */
export async function getImport(sql: Sql, importId: string): Promise<ImportDocument> {
  const [row] = await sql<{ document: ImportDocument }[]>`select public.get_import(${importId}) as document`
  if (!row) throw new Error('get_import gave no row')
  return row.document
}

const rests = ['validated', 'completed', 'failed', 'cancelled', 'undone']

/** Waits until no job of the import runs or is to run; returns its status. */
export async function settled(sql: Sql, importId: string, seconds = 60): Promise<string> {
  return until(`import ${importId} comes to rest`, seconds, async () => {
    const [row] = await sql<{ status: string }[]>`
      select b.status from public.import_batches as b
      where b.id = ${importId} and not exists (
        select from public.scheduled_jobs as j
        where j.batch_id = b.id and j.status in ('pending', 'queued', 'running')
      )`
    return row && rests.includes(row.status) ? row.status : undefined
  })
}

/** Looks again and again until there is something to see. A server that is away is looked for again. */
export async function until<T>(
  what: string,
  seconds: number,
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  let last: unknown
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; ) {
    try {
      const seen = await look()
      if (seen !== undefined && seen !== false) return seen
    } catch (cause) {
      if (!isConnectionLost(cause)) throw cause
      last = cause
    }
    await new Promise((settle) => setTimeout(settle, 25))
  }
  throw new Error(`waited ${seconds} s in vain until ${what}`, { cause: last })
}

/** The server went away or is starting. */
function isConnectionLost(cause: unknown): boolean {
  const { code = '' } = cause as { code?: string }
  return /^(57P0[123]|08[0-9A-Z]{3}|CONNECT_TIMEOUT|CONNECTION_.*|ECONN.*|EPIPE)$/.test(code)
}
