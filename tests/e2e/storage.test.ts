import { createHash, randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { type ImportDocument, join, until } from '../support/imports.ts'

// Files by way of Storage: where they may be uploaded, who may name them, and that they come in like those of a request.

const stack = inject('stack')
const functions = `${stack.url}/functions/v1/imports`
const rangeBytes = 65_536

let sql: Sql
let ada: Person
let bea: Person
let organization: string

beforeAll(async () => {
  sql = connect()
  ;[ada, bea] = await Promise.all([signUp('ada'), signUp('bea')])
  organization = await organizationOf(ada)
  await organizationOf(bea)
  await sql`
    insert into private.settings (key, org_id, value)
    values ('imports.range_bytes', ${organization}, to_jsonb(${rangeBytes}::integer))`
})
afterAll(() => sql.end({ timeout: 1 }))

async function organizationOf(person: Person): Promise<string> {
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { data, error } = await person.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  return (data as { id: string }).id
}

type Body = ImportDocument & {
  upload: { method: string; url: string; token: string; storage_path: string; expires_at: string }
  next: { body: Record<string, string> }
  storage_path: string
  content_hash: string
  byte_size: number
  columns: string[]
  message: string
  hint: string
  set_id: string
  imports: ImportDocument[]
}

async function post(person: Person, query: string, body?: unknown): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${functions}${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Body }
}

/** Uploads a file to where the function says, and returns its path. */
async function upload(
  person: Person,
  content: string | Uint8Array,
  { filename = 'customers.csv', type = 'text/csv' } = {},
) {
  const { status, body } = await post(person, `?upload=storage&dataset=customers&filename=${filename}`)
  expect(status).toBe(200)
  const sent = await fetch(body.upload.url, {
    method: body.upload.method,
    headers: { 'content-type': type },
    body: content as BodyInit,
  })
  expect(sent.status).toBe(200)
  return body.upload.storage_path
}

function customers(count: number): string {
  const lines = Array.from({ length: count }, (_, n) => `K${n},"Müller\n${n}",a${n}@example.com`)
  return `external_id,name,email\n${lines.join('\n')}\n`
}

async function stagedRows(importId: string): Promise<unknown[]> {
  return [
    ...(await sql`
      select r.row_number, r.line_number, r.cells from private.import_rows as r
      where r.batch_id = ${importId} order by r.row_number`),
  ]
}

describe('a place to upload to', () => {
  it('is given to who may make such an import, and is not made into one', async () => {
    const { status, body } = await post(
      ada,
      '?upload=storage&dataset=customers&filename=Kunden%20M%C3%A4rz.csv&mode=insert',
    )
    expect(status).toBe(200)
    expect(body.upload).toMatchObject({
      method: 'PUT',
      url: expect.stringContaining('/storage/v1/object/upload/sign/imports/'),
    })
    expect(body.upload.storage_path).toMatch(new RegExp(`^${organization}/[0-9a-f-]{36}/Kunden_M_rz.csv$`))
    expect(Date.parse(body.upload.expires_at)).toBeGreaterThan(Date.now() + 60_000)
    expect(body.next).toEqual({
      method: 'POST',
      path: '/imports',
      body: {
        storage_path: body.upload.storage_path,
        dataset: 'customers',
        mode: 'insert',
        filename: 'Kunden März.csv',
      },
    })
    expect(await sql`select from public.import_batches as b where b.org_id = ${organization}`).toEqual([])
  })

  it('is refused like the import', async () => {
    expect(await post(ada, '?upload=storage&dataset=nothing')).toMatchObject({
      status: 400,
      body: { message: 'dataset is unknown' },
    })
    const elsewhere = await post(bea, `?upload=storage&dataset=customers&org_id=${organization}`)
    expect(elsewhere).toMatchObject({ status: 404, body: { message: 'organization not found' } })
  })
})

describe('a small stored file', () => {
  it.each([
    ['CSV', customers(2), 'a.csv', 'text/csv'],
    ['gzip', gzipSync(customers(2)), 'a.csv.gz', 'application/gzip'],
    ['of no type', customers(2), 'a', 'application/octet-stream'],
  ] as const)('comes in as the body of a request does: %s', async (_, content, filename, type) => {
    const storage_path = await upload(ada, content, { filename, type })
    const { status, body } = await post(ada, '', {
      storage_path,
      dataset: 'customers',
      options: { blank: 'clear' },
      force: true,
    })
    expect([status, body.status, body.row_count]).toEqual([201, 'staged', 2])
    expect(body).toMatchObject({ storage_path, file_name: filename, byte_size: Buffer.byteLength(content) })
    expect(body.content_hash).toBe(createHash('sha256').update(content).digest('hex'))
  })

  it('goes on by itself with review=false', async () => {
    const storage_path = await upload(ada, customers(3))
    const body = { storage_path, dataset: 'customers', review: false, wait: 30 }
    expect(await post(ada, '', body)).toMatchObject({
      status: 201,
      body: { status: 'completed', counts: { inserted: 3 } },
    })
  })

  it('is not there for another organization, nor for another member, but for its admin', async () => {
    const mia = await signUp('mia')
    await join(sql, mia.id, organization, 'member')
    const [own, admins] = [await upload(mia, customers(1)), await upload(ada, customers(1))]
    const missing = { status: 404, body: { message: 'stored file not found' } }
    expect(await post(bea, '', { storage_path: own, dataset: 'customers' })).toMatchObject(missing)
    expect(await post(mia, '', { storage_path: admins, dataset: 'customers' })).toMatchObject(missing)
    expect(await post(mia, '', { storage_path: `${organization}/none`, dataset: 'customers' })).toMatchObject(
      missing,
    )
    expect(await post(mia, '', { storage_path: own, dataset: 'customers' })).toMatchObject({ status: 201 })
    expect(await post(ada, '', { storage_path: own, dataset: 'customers' })).toMatchObject({ status: 201 })
  })

  it('is named with parameters that are checked like those of a request', async () => {
    const storage_path = await upload(ada, customers(1))
    expect(await post(ada, '', { storage_path, dataset: 'customers', mode: 'mirror' })).toMatchObject({
      status: 400,
      body: { message: 'request is not valid', details: expect.stringContaining('mode') },
    })
    expect(await post(ada, '', { storage_path, dataset: 'nothing' })).toMatchObject({
      status: 400,
      body: { message: 'dataset is unknown' },
    })
  })

  it('is named by the service with the organization, whose it must be', async () => {
    const storage_path = await upload(ada, customers(1))
    const send = async (body: unknown) => {
      const response = await fetch(functions, {
        method: 'POST',
        headers: { apikey: stack.secretKey, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, body: (await response.json()) as Body }
    }
    const wanted = { storage_path, dataset: 'customers' }
    expect(await send({ ...wanted, org_id: organization })).toMatchObject({
      status: 201,
      body: { row_count: 1 },
    })
    const [other] = await sql<
      { org_id: string }[]
    >`select p.org_id from public.profiles as p where p.id = ${bea.id}`
    expect(await send({ ...wanted, org_id: other?.org_id })).toMatchObject({
      status: 400,
      body: { message: "stored file is not the organization's" },
    })
  })

  it('goes through supabase-js, too', async () => {
    const { body } = await post(ada, '?upload=storage&dataset=customers')
    const { storage_path, token } = body.upload
    const bucket = ada.client.storage.from('imports')
    const sent = await bucket.uploadToSignedUrl(
      storage_path,
      token,
      new Blob([customers(2)], { type: 'text/csv' }),
    )
    expect(sent.error).toBeNull()
    const again = await bucket.upload(storage_path, new Blob(['x']), { upsert: true })
    expect(again.error).not.toBeNull()
    expect(await post(ada, '', { ...body.next.body })).toMatchObject({ status: 201, body: { row_count: 2 } })
  })

  it('is not what JSON means whose rows have a storage_path', async () => {
    const sent = await post(ada, '?dataset=customers', [{ external_id: 'J1', name: 'x', storage_path: 'y' }])
    expect(sent).toMatchObject({ status: 201, body: { columns: ['external_id', 'name', 'storage_path'] } })
  })
})

/** Has a stored file taken in by a job, as the function does with a large one. */
async function ingest(
  person: Person,
  storage_path: string,
  { format = {}, commit = false }: { format?: Record<string, unknown>; commit?: boolean } = {},
): Promise<string> {
  const made = await person.client.rpc('create_import', { dataset: 'customers', storage_path })
  if (made.error) throw new Error(made.error.message)
  const { error } = await person.client.rpc('ingest_import', { import_id: made.data.id, format, commit })
  if (error) throw new Error(error.message)
  return made.data.id
}

async function documentOf(id: string): Promise<Body> {
  const { data, error } = await ada.client.rpc('get_import', { import_id: id })
  if (error) throw new Error(error.message)
  return data as Body
}

/** The import when nothing is being done on it any more. */
async function ended(id: string): Promise<Body> {
  return until(`import ${id} ends`, 40, async () => {
    const document = await documentOf(id)
    const isAtWork = ['pending', 'queued', 'running'].includes(document.job?.status ?? '')
    return document.status !== 'receiving' && !isAtWork && document
  })
}

const told = ['row_count', 'columns', 'sample', 'format', 'content_hash', 'byte_size', 'mapping'] as const

async function everythingOf(id: string) {
  const document = (await documentOf(id)) as unknown as Record<string, unknown>
  const issues = await sql`
    select i.row_number, i.field, i.code, i.value from private.import_issues as i where i.batch_id = ${id} order by 1, 2, 3`
  return { document: told.map((key) => document[key]), issues: [...issues], rows: await stagedRows(id) }
}

/** Rows that make three ranges and more, with what files have in them. */
function manyCustomers(): string {
  const odd = 'X1,"a ""b""\n\n c",\nX2,,\0x, \nX3\n'
  return `${customers(3_000)}${odd}${customers(2_000).split('\n').slice(1).join('\n')}`
}

async function nothingLeft(id: string): Promise<void> {
  const left = await sql`
    select r.row_number from private.import_rows as r where r.batch_id = ${id}
    union all select i.row_number from private.import_issues as i where i.batch_id = ${id}
    union all select i.row_count from private.import_ingests as i where i.batch_id = ${id}`
  expect(left).toEqual([])
}

describe('a large stored file', () => {
  const records = Array.from({ length: 25_000 }, (_, n) => ({
    external_id: `J${n}`,
    name: 'Jürgen – €',
    [n % 7 ? 'a' : 'b']: n,
  }))
  it.each([
    ['UTF-8', Buffer.from(manyCustomers())],
    ['UTF-16', Buffer.from(`\ufeff${manyCustomers()}`, 'utf16le')],
    ['Windows-1252', Buffer.from(manyCustomers(), 'latin1')],
    ['JSON', Buffer.from(JSON.stringify(records))],
    ['NDJSON', Buffer.from(records.map((record) => JSON.stringify(record)).join('\n'))],
    [
      'a row longer than a range',
      Buffer.from(`external_id,name\n1,x\n2,"${'long\n'.repeat(50_000)}"\n3,y\n`),
    ],
  ])('comes in range by range with what a request would give: %s', async (_, content) => {
    const storage_path = await upload(ada, content)
    const id = await ingest(ada, storage_path)
    expect(await ended(id)).toMatchObject({
      status: 'staged',
      error: null,
      job: { job_type: 'ingest', status: 'completed' },
    })
    const { body } = await post(ada, '', { storage_path, dataset: 'customers' })
    expect(await everythingOf(id)).toEqual(await everythingOf(body.id))
    expect(await sql`select from private.import_ingests as i where i.batch_id = ${id}`).toEqual([])
    const [job] = await sql`
      select j.total_count::integer as total, j.done_count::integer as done from public.scheduled_jobs as j where j.batch_id = ${id}`
    expect(job).toEqual({ total: content.length, done: content.length })
  })

  it('takes several calls, too, where its rows are many or bad rather than long', async () => {
    const content = `external_id,name\n${Array.from({ length: 80_000 }, (_, n) => n).join('\n')}\n`
    const id = await ingest(bea, await upload(bea, content))
    const first = await until('a call has ended', 20, async () => {
      const [row] = await sql<{ position: number; size: number }[]>`
        select i.position::integer, i.byte_size::integer as size from private.import_ingests as i
        where i.batch_id = ${id} and i.position > 0`
      return row
    })
    expect(first.position).toBeLessThan(first.size)
    await until('it is staged', 40, async () => {
      const [row] = await sql`
        select from public.import_batches as b where b.id = ${id} and b.status = 'staged' and b.row_count = 80000`
      return row
    })
    const [issues] = await sql`
      select count(*)::integer as count, count(distinct i.row_number)::integer as rows
      from private.import_issues as i where i.batch_id = ${id}`
    expect(issues).toEqual({ count: 80_000, rows: 80_000 })
  })

  it('goes on to the commit where that is asked for', async () => {
    const id = await ingest(ada, await upload(ada, customers(4_000).replaceAll('K', 'G')), { commit: true })
    expect(await ended(id)).toMatchObject({ status: 'completed', counts: { inserted: 4_000 } })
  })

  it('that was imported before waits to be told again', async () => {
    const content = customers(3_000).replaceAll('K', 'H')
    await ended(await ingest(ada, await upload(ada, content), { commit: true }))
    const again = await ended(await ingest(ada, await upload(ada, content), { commit: true }))
    expect(again).toMatchObject({ status: 'staged', duplicate_of: expect.any(String) })
  })

  it.each([
    ['quote is not closed', '22023', Buffer.from(`${customers(3_000)}X,"never closed\n`)],
    ['file has no data rows', '22023', Buffer.from('external_id,name\n')],
    ['file is empty', '22023', Buffer.from('\n')],
    ['file is empty', '22023', Buffer.alloc(0)],
    ['file is not a table', 'PT415', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(200_000)])],
  ])('fails as a request would, and leaves no row: %s', async (message, code, content) => {
    const id = await ingest(ada, await upload(ada, content))
    expect(await ended(id)).toMatchObject({
      status: 'failed',
      error: { code, message },
      job: { status: 'failed' },
    })
    await nothingLeft(id)
  })

  it('is not read as it is not written', async () => {
    const id = await ingest(ada, await upload(ada, customers(1)), { format: { delimiter: 'comma' } })
    expect(await ended(id)).toMatchObject({ status: 'failed', error: { message: 'format is not valid' } })
  })

  it('fails when whoever asked for it may do so no more', async () => {
    const max = await signUp('max')
    await join(sql, max.id, organization, 'member')
    const id = await ingest(max, await upload(max, customers(20_000)))
    await join(sql, max.id, organization, 'viewer')
    expect(await ended(id)).toMatchObject({
      status: 'failed',
      error: { message: 'organization role required' },
    })
    await nothingLeft(id)
  })

  it('can be cancelled, and leaves no row', async () => {
    const id = await ingest(ada, await upload(ada, customers(20_000)))
    await until('some of it is there', 20, async () => (await documentOf(id)).job?.done)
    const { error } = await ada.client.rpc('cancel_import', { import_id: id })
    expect(error).toBeNull()
    expect(await ended(id)).toMatchObject({ status: 'cancelled' })
    await until('nothing is left', 20, async () =>
      nothingLeft(id).then(
        () => true,
        () => false,
      ),
    )
  })

  it('can be paused and resumed; none of its rows is shown before the end', async () => {
    const id = await ingest(ada, await upload(ada, customers(20_000)))
    await until('some of it is there', 20, async () => (await documentOf(id)).job?.done)
    await ada.client.rpc('pause_import', { import_id: id })
    const before = await until('the call under way has ended', 20, async () => {
      const [task] = await sql`
        select from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id
        where j.batch_id = ${id} and q.token is null`
      return task && (await documentOf(id))
    })
    expect(before).toMatchObject({ status: 'receiving', job: { status: 'paused' } })
    expect(before.job?.done).toBeLessThan(before.job?.total ?? 0)
    expect((await ada.client.rpc('list_import_rows', { import_id: id })).data).toEqual([])
    await ada.client.rpc('resume_import', { import_id: id })
    expect(await ended(id)).toMatchObject({ status: 'staged', row_count: 20_000 })
  })

  it('is not another organization’s to take in', async () => {
    const storage_path = await upload(ada, customers(1))
    const own = await ada.client.rpc('create_import', { dataset: 'customers', storage_path })
    const named = await bea.client.rpc('create_import', { dataset: 'customers', storage_path })
    expect(named.error).toMatchObject({ code: 'PT404', message: 'stored file not found' })
    const taken = await bea.client.rpc('ingest_import', { import_id: own.data.id })
    expect(taken.error).toMatchObject({ code: 'PT404', message: 'import not found' })
  })
})
