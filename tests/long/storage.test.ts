import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { gzipSync } from 'node:zlib'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { type Person, serviceClient, signUp } from '../support/client.ts'
import { type ImportDocument, until } from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { crash } from '../support/strikes.ts'

// Large stored files, on a stack where little is large: what strikes a call costs no row and makes none twice.

let stack: Stack
let sql: Sql
let superuser: Sql
let ada: Person

beforeAll(async () => {
  stack = await startTestStack()
  sql = connect()
  superuser = postgres(stack.adminDatabaseUrl, { max: 1, onnotice: () => {} })
  ada = await signUp('ada', stack)
  const { error } = await ada.client.rpc('create_organization', { name: 'Acme', slug: 'acme' })
  if (error) throw new Error(error.message)
  for (const key of ['imports.max_request_bytes', 'imports.range_bytes']) {
    await sql`select public.set_setting(${key}, '65536')`
  }
})
afterAll(async () => {
  await Promise.all([sql?.end({ timeout: 1 }), superuser?.end({ timeout: 1 })])
  await stack?.stop()
})

function connect(): Sql {
  return postgres(stack.databaseUrl, { max: 4, prepare: false, connect_timeout: 5, onnotice: () => {} })
}

const rowCount = 24_000
let files = 0

/** Eight ranges; each file is another one. */
function manyRows(count = rowCount): string {
  const run = ++files
  const lines = Array.from({ length: count }, (_, n) => `${run}-${n},"Name\n${n}"`)
  return `external_id,name\n${lines.join('\n')}\n`
}

interface Answer {
  status: number
  body: ImportDocument & {
    upload: { url: string; storage_path: string }
    message: string
    details: string
    row_count: number
  }
}

async function post(query: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${stack.url}/functions/v1/imports${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ada.token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

async function upload(content: string | Uint8Array, filename = 'customers.csv'): Promise<string> {
  const { upload } = (await post(`?upload=storage&dataset=customers&filename=${filename}`)).body
  const sent = await fetch(upload.url, {
    method: 'PUT',
    headers: { 'content-type': 'text/csv' },
    body: content as BodyInit,
  })
  expect(sent.status).toBe(200)
  return upload.storage_path
}

/** Begins to take in a file. */
async function begin(storage_path: string): Promise<string> {
  const { status, body } = await post('', { storage_path, dataset: 'customers' })
  expect([status, body.status, body.job?.job_type]).toEqual([202, 'receiving', 'ingest'])
  return body.id
}

async function positionOf(id: string): Promise<number> {
  const [row] = await sql<{ position: number }[]>`
    select i.position::integer from private.import_ingests as i where i.batch_id = ${id}`
  return row?.position ?? 0
}

async function reached(id: string, position: number): Promise<void> {
  await until(`${position} bytes of it are there`, 30, async () => (await positionOf(id)) >= position)
}

/** The time of calls that were lost is over. */
async function giveUpCalls(id: string): Promise<void> {
  await sql`
    update public.sync_job_queue as q set next_attempt_at = clock_timestamp()
    from public.scheduled_jobs as j
    where j.id = q.job_id and j.batch_id = ${id} and q.token is not null`
}

async function endOf(id: string): Promise<string> {
  return until(`import ${id} ends`, 60, async () => {
    const [row] = await sql<{ status: string }[]>`
      select b.status || coalesce(' ' || (b.error ->> 'message'), '') as status from public.import_batches as b
      where b.id = ${id} and b.status <> 'receiving'`
    return row?.status
  })
}

/** Every row is there, once and in its place. */
async function expectWhole(id: string, count = rowCount): Promise<void> {
  expect(await endOf(id)).toBe('staged')
  const [rows] = await sql`
    select count(*)::integer as count, count(distinct r.row_number)::integer as numbers, max(r.row_number) as last,
      bool_and(r.line_number = 2 * r.row_number) as in_line,
      bool_and(r.cells[2] = e'Name\n' || (r.row_number - 1)) as in_order
    from private.import_rows as r where r.batch_id = ${id}`
  expect(rows).toEqual({ count, numbers: count, last: count, in_line: true, in_order: true })
}

async function expectNothing(id: string): Promise<void> {
  await until('no row is left', 30, async () => {
    const [left] = await sql`select from private.import_rows as r where r.batch_id = ${id} limit 1`
    return left === undefined
  })
}

describe('a file over the limit for a request', () => {
  it('is refused as a request, with the way to go', async () => {
    const response = await fetch(`${stack.url}/functions/v1/imports?dataset=customers`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ada.token}`, 'content-type': 'text/csv' },
      body: manyRows(10_000),
    })
    expect(response.status).toBe(413)
    expect(((await response.json()) as { hint: string }).hint).toContain('upload=storage')
  })

  it('comes in by a job, and is waited for', async () => {
    const storage_path = await upload(manyRows(10_000))
    const waited = await post('', { storage_path, dataset: 'customers', wait: 30 })
    expect(waited).toMatchObject({ status: 201, body: { status: 'staged', row_count: 10_000 } })
  })

  it('goes on to the commit by itself', async () => {
    const storage_path = await upload(manyRows(10_000))
    const { status, body } = await post('', { storage_path, dataset: 'customers', review: false, wait: 30 })
    expect([status, body.status, body.counts.inserted]).toEqual([201, 'completed', 10_000])
  })

  it('is told of once with an idempotency key', async () => {
    const storage_path = await upload(manyRows(10_000))
    const send = () =>
      fetch(`${stack.url}/functions/v1/imports`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${ada.token}`,
          'content-type': 'application/json',
          'idempotency-key': storage_path,
        },
        body: JSON.stringify({ storage_path, dataset: 'customers' }),
      })
    const [first, second] = [await send(), await send()]
    expect([first.status, second.status, second.headers.get('idempotent-replayed')]).toEqual([
      202,
      200,
      'true',
    ])
    const documents = (await Promise.all([first.json(), second.json()])) as { id: string }[]
    expect(documents[0]?.id).toBe(documents[1]?.id)
  })

  it.each([
    ['gzip', () => gzipSync(Array.from({ length: 20_000 }, () => randomUUID()).join('\n'))],
    [
      'a zip archive or a workbook',
      () => Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(100_000, 7)]),
    ],
  ])('is not %s', async (kind, content) => {
    const refused = await post('', { storage_path: await upload(content()), dataset: 'customers' })
    expect(refused).toMatchObject({
      status: 413,
      body: { message: 'file is too large to be unpacked', details: `it is ${kind}` },
    })
  })
})

describe('while a large file is taken in', () => {
  it('the function may be killed, again and again', async () => {
    const id = await begin(await upload(manyRows()))
    for (const position of [60_000, 200_000, 350_000]) {
      await reached(id, position)
      const killed = stack.functionsPid()
      process.kill(killed, 'SIGKILL')
      await until('the functions are back', 30, async () => stack.functionsPid() !== killed)
      await giveUpCalls(id)
    }
    await expectWhole(id)
  })

  it('a call may be made many times at once', async () => {
    const id = await begin(await upload(manyRows()))
    const answers: Promise<number>[] = []
    for (let position = 60_000; position < 450_000; position += 150_000) {
      await reached(id, position)
      const [call] = await sql<{ task_id: number; token: string }[]>`
        select q.id::integer as task_id, q.token from public.sync_job_queue as q
        join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = ${id}`
      for (let n = 0; n < 3; n++) answers.push(callIngest(call))
    }
    await expectWhole(id)
    expect((await Promise.all(answers)).every((status) => status === 200 || status === 409)).toBe(true)
  })

  it('a call that is held for lost may still be under way', async () => {
    const id = await begin(await upload(manyRows()))
    for (let position = 60_000; position < 450_000; position += 150_000) {
      await reached(id, position)
      await giveUpCalls(id)
    }
    await expectWhole(id)
  })

  it('pg_net may drop a request', async () => {
    const id = await begin(await upload(manyRows()))
    await reached(id, 100_000)
    await superuser.unsafe(`
      create function net.drop_request() returns trigger language plpgsql as 'begin return null; end';
      create trigger drop_request before insert on net.http_request_queue
        for each row execute function net.drop_request()`)
    const stood = await until('it stands still', 30, async () => {
      const position = await positionOf(id)
      await new Promise((settle) => setTimeout(settle, 1_000))
      return position === (await positionOf(id)) && position
    })
    expect(stood).toBeGreaterThan(0)
    await superuser.unsafe('drop function net.drop_request cascade')
    await giveUpCalls(id)
    await expectWhole(id)
  })

  it('the file may not be replaced', async () => {
    const path = await upload(manyRows())
    const id = await begin(path)
    await reached(id, 100_000)
    const bucket = serviceClient(stack).storage.from('imports')
    await bucket.upload(path, new Blob([manyRows()], { type: 'text/csv' }), { upsert: true })
    expect(await endOf(id)).toBe('failed stored file has changed')
    await expectNothing(id)
  })

  it('the file may not go', async () => {
    const path = await upload(manyRows())
    const id = await begin(path)
    await reached(id, 100_000)
    await serviceClient(stack).storage.from('imports').remove([path])
    expect(await endOf(id)).toBe('failed stored file not found')
    await expectNothing(id)
  })

  it('the server may crash', async () => {
    const id = await begin(await upload(manyRows()))
    await reached(id, 100_000)
    sql = await crash(sql, connect, () => process.kill(stack.postgresPid(), 'SIGKILL'))
    await giveUpCalls(id)
    await expectWhole(id)
  })
})

async function callIngest(call: unknown): Promise<number> {
  const response = await fetch(`${stack.url}/functions/v1/worker/ingest`, {
    method: 'POST',
    headers: { apikey: stack.secretKey, 'content-type': 'application/json' },
    body: JSON.stringify(call),
  })
  await response.text()
  return response.status
}

describe('a stored file that is past its time', () => {
  it('is deleted through Storage, and no other', async () => {
    const [old, young] = [await upload(manyRows(1)), await upload(manyRows(1))]
    await sql`update storage.objects set created_at = now() - interval '31 days' where name = ${old}`
    await sql`select private.delete_expired_files()`
    const bucket = serviceClient(stack).storage.from('imports')
    await until('it is gone', 30, async () => (await bucket.download(old)).data === null)
    expect((await bucket.download(young)).data).not.toBeNull()
  })
})
