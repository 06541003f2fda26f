import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { parse } from 'csv-parse/sync'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'

// The function over HTTP: what goes in, what is refused, and that nothing stays of what was refused.

const stack = inject('stack')
const url = `${stack.url}/functions/v1/imports`
const customers = 'external_id,name,email\nC1,Müller,mueller@example.com\nC2,"Smith, ""Jo""",jo@example.com\n'

let ada: Person
let organization: string
let sql: Sql

beforeAll(async () => {
  sql = connect()
  ada = await signUp('ada')
  organization = await organizationOf(ada)
})
afterAll(() => sql.end({ timeout: 1 }))

async function organizationOf(person: Person): Promise<string> {
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { data, error } = await person.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  return (data as { id: string }).id
}

/** A document or an error, as far as tests look at single values of it. */
interface Body {
  id: string
  status: string
  row_count: number
  sample: unknown[]
  imports: { id: string }[]
  message: string
  details: string
  hint: string
}

interface Answer {
  status: number
  headers: Headers
  body: Body
}

async function send(path: string, init: RequestInit = {}, person: Person | null = ada): Promise<Answer> {
  const headers = new Headers(init.headers)
  if (person) headers.set('authorization', `Bearer ${person.token}`)
  const response = await fetch(`${url}${path}`, { ...init, headers })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body }
}

async function list(path: string): Promise<Record<string, unknown>[]> {
  return (await send(path)).body as unknown as Record<string, unknown>[]
}

/** Posts a file as raw CSV. */
function upload(
  body: BodyInit,
  query = '',
  headers: Record<string, string> = {},
  person: Person | null = ada,
) {
  const init = { method: 'POST', body, headers: { 'content-type': 'text/csv', ...headers } }
  return send(`?dataset=customers${query}`, init, person)
}

async function stagedRows(importId: string): Promise<(string | null)[][]> {
  const rows = await sql<{ cells: (string | null)[] }[]>`
    select to_jsonb(r.cells) as cells from private.import_rows as r where r.batch_id = ${importId} order by r.row_number`
  return rows.map((row) => row.cells)
}

const wanted = [
  ['C1', 'Müller', 'mueller@example.com'],
  ['C2', 'Smith, "Jo"', 'jo@example.com'],
]

describe('what goes in', () => {
  const tabs = 'external_id\tname\temail\nC1\tMüller\tmueller@example.com\nC2\tSmith, "Jo"\tjo@example.com\n'
  const latin = Buffer.from(customers.replaceAll(',', ';').replace('Smith;', 'Smith,'), 'latin1')
  it.each([
    ['CSV', customers, {}, 'utf-8', ','],
    ['tab-separated text', tabs, { 'content-type': 'text/tab-separated-values' }, 'utf-8', '\t'],
    ['gzip', gzipSync(customers), { 'content-encoding': 'gzip' }, 'utf-8', ','],
    ['a .gz file', gzipSync(customers), { 'content-type': 'application/gzip' }, 'utf-8', ','],
    ['UTF-8 with BOM', `\uFEFF${customers}`, {}, 'utf-8', ','],
    ['UTF-16', Buffer.from(`\uFEFF${customers}`, 'utf16le'), {}, 'utf-16le', ','],
    ['Windows-1252 with semicolons', latin, {}, 'windows-1252', ';'],
  ] as [string, BodyInit, Record<string, string>, string, string][])(
    'is %s',
    async (_, body, headers, encoding, delimiter) => {
      const { status, body: document } = await upload(body, '&filename=my.csv', headers)
      expect(status).toBe(201)
      expect(document).toMatchObject({
        status: 'staged',
        row_count: 2,
        file_name: 'my.csv',
        columns: ['external_id', 'name', 'email'],
        sample: wanted,
        format: { encoding, delimiter, quote: '"', header: true },
        suggested_mapping: { email: { column: 'email' } },
      })
      expect(await stagedRows(document.id)).toEqual(wanted)
    },
  )

  it('is shown in few rows where these are wide', async () => {
    const row = (cell: (n: number) => string) => Array.from({ length: 1_000 }, (_, n) => cell(n)).join(',')
    const wide = [row((n) => `c${n}`), ...Array<string>(20).fill(row(String))].join('\n')
    const { body: document } = await upload(wide)
    expect(document).toMatchObject({ status: 'staged', row_count: 20 })
    expect(document.sample).toHaveLength(4)
  })

  it('has blanks around some cells, which are kept as sent and not applied', async () => {
    const { body: document } = await upload(
      'external_id,name\nB1, Ann\u00A0\nB2,Bob\n',
      '&review=false&wait=30',
    )
    expect(document).toMatchObject({ status: 'completed', format: { untrimmed: ['name'] } })
    expect(await stagedRows(document.id)).toEqual([
      ['B1', ' Ann\u00A0'],
      ['B2', 'Bob'],
    ])
    expect(await sql`select name from public.customers where external_id in ('B1', 'B2') order by 1`).toEqual(
      [{ name: 'Ann' }, { name: 'Bob' }],
    )
  })

  it('is multipart, with parameters as fields', async () => {
    const form = new FormData()
    form.set('dataset', 'customers')
    form.set('mode', 'insert')
    form.set('duplicates', 'keep_last')
    form.set(
      'mapping',
      JSON.stringify({ external_id: 'external_id', name: { column: 'name', transforms: ['trim'] } }),
    )
    form.set('file', new File([customers], 'kunden.csv', { type: 'text/csv' }))
    const { status, body: document } = await send('', { method: 'POST', body: form })
    expect(status).toBe(201)
    expect(document).toMatchObject({
      mode: 'insert',
      file_name: 'kunden.csv',
      row_count: 2,
      options: { duplicates: 'keep_last' },
      mapping: { name: { columns: ['name'] } },
    })
  })

  it('has no header where that is said', async () => {
    const { body: document } = await upload('C1;Müller\nC2;Jo\n', '&header=false')
    expect(document).toMatchObject({
      row_count: 2,
      columns: ['column_1', 'column_2'],
      format: { header: false },
    })
  })

  it('is ragged and damaged, and every row keeps its number', async () => {
    const damaged = Buffer.concat([
      Buffer.from(
        'external_id,name,email,name,\nC1,ä,a@example.com,x,y\n\nC2,b\nC3,c,c@example.com,x,y,surplus\nC4,d',
      ),
      Buffer.from([0xff, 0x00]),
      Buffer.from(',d@example.com,x,y\nC5,"e\ne",e@example.com,x,y,,\n'),
    ])
    const { status, body: document } = await upload(damaged)
    expect(status).toBe(201)
    expect(document).toMatchObject({
      row_count: 5,
      columns: ['external_id', 'name', 'email', 'name_2', 'column_5'],
    })
    expect(await stagedRows(document.id)).toEqual([
      ['C1', 'ä', 'a@example.com', 'x', 'y'],
      ['C2', 'b', null, null, null],
      ['C3', 'c', 'c@example.com', 'x', 'y'],
      ['C4', 'd\uFFFD', 'd@example.com', 'x', 'y'],
      ['C5', 'e\ne', 'e@example.com', 'x', 'y'],
    ])
    const issues = await list(`/${document.id}/issues`)
    expect(issues.map((issue) => [issue.row_number, issue.line_number, issue.code, issue.severity])).toEqual([
      [2, 4, 'missing_cells', 'warning'],
      [3, 5, 'extra_cells', 'error'],
      [4, 6, 'invalid_encoding', 'warning'],
      [4, 6, 'invalid_encoding', 'warning'],
    ])
  })

  it('has more issues than are kept in memory at once', async () => {
    const rows = Array.from({ length: 12_000 }, (_, index) => `C${index},only two`)
    const { body: document } = await upload(`external_id,name,email\n${rows.join('\n')}\n`)
    expect(document).toMatchObject({ row_count: 12_000 })
    const [issues] = await sql`
      select count(*)::integer from private.import_issues where batch_id = ${document.id} and code = 'missing_cells'`
    expect(issues).toEqual({ count: 12_000 })
    const [counted] =
      await sql`select count(*)::integer, max(row_number) from private.import_rows where batch_id = ${document.id}`
    expect(counted).toEqual({ count: 12_000, max: 12_000 })
  })

  it('goes through to the end with review=false, and its failed rows come back as a file', async () => {
    const key = randomUUID().slice(0, 8)
    const file = `external_id,name,email\n${key}-1,One,one@example.com\n${key}-2,=cmd(),no address\n,"+49 30 1",x@example.com\n`
    const { status, body: document } = await upload(file, '&review=false&wait=30')
    expect(status).toBe(201)
    expect(document).toMatchObject({ status: 'completed', counts: { rows: 3, inserted: 1, failed: 2 } })
    const { data } = await ada.client
      .from('customers')
      .select('external_id, name')
      .like('external_id', `${key}-%`)
    expect(data).toEqual([{ external_id: `${key}-1`, name: 'One' }])

    const { body: failed } = await send(`/${document.id}/rows?status=failed&limit=1`)
    expect(failed).toMatchObject([
      { row_number: 2, line_number: 3, status: 'failed', payload: { name: '=cmd()' } },
    ])
    const { body: next } = await send(`/${document.id}/rows?status=failed&after=2`)
    expect(next).toMatchObject([{ row_number: 3 }])

    const response = await fetch(`${url}/${document.id}/failed.csv`, {
      headers: { authorization: `Bearer ${ada.token}` },
    })
    expect(response.headers.get('content-type')).toContain('text/csv')
    const [header, ...rows] = parse(await response.text()) as string[][]
    expect(header).toEqual(['external_id', 'name', 'email', '_row', '_line', '_reason'])
    expect(rows.map((row) => row.slice(0, 5))).toEqual([
      [`${key}-2`, "'=cmd()", 'no address', '2', '3'],
      ['', '+49 30 1', 'x@example.com', '3', '4'],
    ])
    expect(rows[0]?.[5]).toContain('(invalid_format)')
  })

  it('is reviewed, mapped, validated and committed step by step', async () => {
    const key = randomUUID().slice(0, 8)
    const { body: staged } = await upload(`no,who\n${key},Somebody\n`)
    const mapping = { external_id: 'no', name: 'who' }
    const changed = await send(`/${staged.id}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ mapping, options: { blank: 'clear' } }),
    })
    expect(changed).toMatchObject({ status: 200, body: { options: { blank: 'clear' } } })
    const validated = await send(`/${staged.id}/validate?wait=30`, { method: 'POST' })
    expect(validated).toMatchObject({
      status: 200,
      body: { status: 'validated', counts: { valid: 1, failed: 0 } },
    })
    const committed = await send(`/${staged.id}/commit`, { method: 'POST' })
    expect(committed).toMatchObject({ status: 202, body: { job_type: 'commit', import_id: staged.id } })
    await expect
      .poll(async () => (await send(`/${staged.id}`)).body.status, { timeout: 20_000 })
      .toBe('completed')
    const list = await send('?dataset=customers&status=completed&limit=200')
    expect(list.body.imports.map((document: { id: string }) => document.id)).toContain(staged.id)
  })

  it('is cancelled', async () => {
    const { body: staged } = await upload(customers)
    const cancelled = await send(`/${staged.id}/cancel`, { method: 'POST' })
    expect(cancelled).toMatchObject({ status: 202, body: { status: 'cancelled' } })
  })

  it('comes from the service, which names the organization', async () => {
    const query = `&org_id=${organization}`
    const { status, body: document } = await upload(customers, query, { apikey: stack.secretKey }, null)
    expect(status).toBe(201)
    expect(document).toMatchObject({ org_id: organization, initiated_by: null, row_count: 2 })
  })
})

describe('sent again', () => {
  it('with the same Idempotency-Key is the same import', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    const first = await upload(customers, '', headers)
    const second = await upload(customers, '', headers)
    expect([first.status, second.status]).toEqual([201, 200])
    expect(second.headers.get('idempotent-replayed')).toBe('true')
    expect(second.body.id).toBe(first.body.id)
    expect(await stagedRows(first.body.id)).toHaveLength(2)
    const going = await upload(customers, '&review=false&force=true&wait=30', headers)
    expect(going).toMatchObject({ status: 200, body: { id: first.body.id, status: 'completed' } })
  })

  it('without one, the same file is told and staged, and goes on with force only', async () => {
    const file = `external_id,name\nSAME-1,Once\nSAME-2,${randomUUID()}\n`
    const first = await upload(file, '&review=false&wait=30')
    expect(first.body).toMatchObject({ status: 'completed', duplicate_of: null })
    const second = await upload(file, '&review=false&wait=30')
    expect(second).toMatchObject({ status: 201, body: { status: 'staged', duplicate_of: first.body.id } })

    const { id } = second.body
    const judged = await send(`/${id}/validate?wait=30`, { method: 'POST' })
    expect(judged.body.status).toBe('validated')
    const refused = await send(`/${id}/commit`, { method: 'POST' })
    expect(refused).toMatchObject({
      status: 409,
      body: { message: 'file was imported before', details: expect.stringContaining(first.body.id) },
    })
    const forced = await send(`/${id}/commit?force=true&wait=30`, { method: 'POST' })
    expect(forced.body).toMatchObject({ status: 'completed', counts: { unchanged: 2 } })
    const third = await upload(file, '&review=false&force=true&wait=30')
    expect(third.body).toMatchObject({ status: 'completed', duplicate_of: id })
  })

  it('at the same moment, one of the two is the earlier', async () => {
    const file = `external_id,name\nSAME-3,${randomUUID()}\n`
    const both = await Promise.all([upload(file), upload(file)])
    const documents = await Promise.all(both.map(({ body }) => send(`/${body.id}`)))
    const named = documents.map(
      ({ body }) => (body as unknown as { duplicate_of: string | null }).duplicate_of,
    )
    expect(named.filter(Boolean)).toHaveLength(1)
    expect(both.map(({ body }) => body.id)).toContain(named.find(Boolean))
  })

  it('after a refusal the key is free', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    expect((await upload('', '', headers)).status).toBe(400)
    expect((await upload(customers, '', headers)).status).toBe(201)
  })
})

describe('what is refused', () => {
  const columns = (count: number) => Array.from({ length: count }, (_, index) => `c${index}`).join(',')
  const query = (mapping: object) => `&mapping=${encodeURIComponent(JSON.stringify(mapping))}`

  it.each([
    ['an empty file', '', '', {}, 400, 'file is empty'],
    ['a header alone', 'external_id,name\n', '', {}, 400, 'file has no data rows'],
    ['a picture', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), '', {}, 415, 'file is not a table'],
    [
      'a wrong content type',
      customers,
      '',
      { 'content-type': 'application/pdf' },
      415,
      'content type is not accepted',
    ],
    ['a quote that is not closed', 'external_id,name\nC1,"x\nC2,y\n', '', {}, 400, 'quote is not closed'],
    ['too many columns', `${columns(1001)}\n1\n`, '', {}, 413, 'file has too many columns'],
    [
      'a huge cell',
      `external_id,name\nC1,${'x'.repeat(1024 * 1024 + 1)}\n`,
      '',
      {},
      413,
      'cell is too large',
    ],
    ['cut off gzip', gzipSync(customers).subarray(0, 40), '', {}, 400, 'gzip data is damaged or cut off'],
    [
      'a mapping to an unknown field',
      customers,
      query({ nothing: 'name' }),
      {},
      400,
      'mapping names an unknown field',
    ],
    ['a mapping from an unknown column', customers, query({ name: 'nothing' }), {}, undefined, undefined],
    ['a required field without a column', 'a,b\n1,2\n', '&review=false', {}, undefined, undefined],
    ['a mode that is none', customers, '&mode=merge', {}, 400, 'request is not valid'],
    ['an option that is none', customers, '&on_error=explode', {}, 400, 'request is not valid'],
    ['a mapping that is not JSON', customers, '&mapping={', {}, 400, 'request is not valid'],
  ] as [string, BodyInit, string, Record<string, string>, number | undefined, string | undefined][])(
    '%s',
    async (_, body, parameters, headers, status, message) => {
      const before =
        await sql`select count(*)::integer from public.import_batches where org_id = ${organization}`
      const answer = await upload(body, parameters, headers)
      expect([400, 409, 413, 415, 422]).toContain(answer.status)
      if (status) expect(answer.status).toBe(status)
      if (message) expect(answer.body.message).toBe(message)
      expect(Object.keys(answer.body).sort()).toEqual(['code', 'details', 'hint', 'message'])
      expect(answer.body.hint ?? answer.body.details).toBeTruthy()
      expect(
        await sql`select count(*)::integer from public.import_batches where org_id = ${organization}`,
      ).toEqual(before)
    },
  )

  it('names the line of a quote that is not closed, and the line and column of a huge cell', async () => {
    const quote = await upload('external_id,name\nC1,ok\nC2,"x\nC3,y\n')
    expect(quote.body.details).toContain('line 3, column 2')
    const cell = await upload(`external_id,name\nC1,ok\nC2,${'x'.repeat(1024 * 1024 + 1)}\n`)
    expect(cell.body.details).toContain('line 3, column 2 (name)')
  })

  it('an unknown dataset, with those that there are', async () => {
    const answer = await send('?dataset=nothing', {
      method: 'POST',
      body: customers,
      headers: { 'content-type': 'text/csv' },
    })
    expect(answer).toMatchObject({ status: 400, body: { hint: expect.stringContaining('customers') } })
    const none = await send('', { method: 'POST', body: customers, headers: { 'content-type': 'text/csv' } })
    expect(none).toMatchObject({ status: 400, body: { details: expect.stringContaining('dataset') } })
  })

  it('a request that announces too much, before anything of it is read', async () => {
    const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${ada.token}`,
        'content-type': 'text/csv',
        'content-length': String(6 * 1024 ** 3),
      }
      const request = httpRequest(
        `${url}?dataset=customers`,
        { method: 'POST', headers },
        async (response) => {
          let body = ''
          for await (const chunk of response) body += chunk
          request.destroy()
          resolve({ status: response.statusCode ?? 0, body })
        },
      )
      request.on('error', reject)
      request.write('external_id,name\n')
    })
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.body)).toMatchObject({
      code: 'PT413',
      hint: expect.stringContaining('by way of Storage'),
    })
  })

  it('too many rows', async () => {
    await sql`
      insert into private.settings (key, org_id, value) values ('imports.max_rows', ${organization}, '3')`
    const answer = await upload(`external_id\n${'x\n'.repeat(4)}`)
    await sql`delete from private.settings where key = 'imports.max_rows' and org_id = ${organization}`
    expect(answer).toMatchObject({
      status: 413,
      body: { message: 'file has too many rows', details: 'the limit is 3' },
    })
  })

  it('a wrong state', async () => {
    const { body: staged } = await upload(customers)
    await send(`/${staged.id}/cancel`, { method: 'POST' })
    const answer = await send(`/${staged.id}/commit`, { method: 'POST' })
    expect(answer).toMatchObject({ status: 409, body: { code: 'PT409' } })
  })

  it('no credentials, wrong ones, and somebody without an organization', async () => {
    expect((await upload(customers, '', {}, null)).status).toBe(401)
    expect((await upload(customers, '', { apikey: 'sb_secret_wrong' }, null)).status).toBe(401)
    const nobody = await signUp('nobody')
    expect(await upload(customers, '', {}, nobody)).toMatchObject({
      status: 400,
      body: { message: 'organization is required' },
    })
  })

  it('every route to somebody of another organization, as if there were nothing', async () => {
    const { body: staged } = await upload(customers)
    const eve = await signUp('eve')
    await organizationOf(eve)
    const json = { 'content-type': 'application/json' }
    const routes: [string, string, RequestInit?][] = [
      ['GET', ''],
      ['PATCH', '', { headers: json, body: '{"options": {}}' }],
      ['POST', '/validate'],
      ['POST', '/commit'],
      ['POST', '/cancel'],
      ['GET', '/rows'],
      ['GET', '/issues'],
      ['GET', '/failed.csv'],
    ]
    for (const [method, path, init] of routes) {
      const hidden = await send(`/${staged.id}${path}`, { method, ...init }, eve)
      const absent = await send(`/${randomUUID()}${path}`, { method, ...init }, eve)
      expect([method, path, hidden.status]).toEqual([method, path, 404])
      expect(absent.status).toBe(404)
      expect(hidden.body.message).toBe(absent.body.message)
    }
    expect((await send('', {}, eve)).body.imports).toEqual([])
  })
})

describe('many at once', () => {
  it('all come in, though they share a few connections', async () => {
    const rows = Array.from({ length: 5_000 }, (_, index) => `C${index},Somebody\n`).join('')
    const answers = await Promise.all(Array.from({ length: 12 }, () => upload(`external_id,name\n${rows}`)))
    expect(answers.map((answer) => [answer.status, answer.body.row_count])).toEqual(
      Array(12).fill([201, 5_000]),
    )
  })
})

/** Begins an upload that does not end by itself, and gives its import once the rows are coming in. */
async function beginUpload(): Promise<{
  id: string
  key: string
  abandon(): void
  answered: Promise<number>
}> {
  const key = randomUUID()
  const headers = { authorization: `Bearer ${ada.token}`, 'content-type': 'text/csv', 'idempotency-key': key }
  const request = httpRequest(`${url}?dataset=customers`, { method: 'POST', headers })
  const answered = new Promise<number>((resolve) => {
    request
      .on('response', (response) => resolve(response.resume().statusCode ?? 0))
      .on('error', () => resolve(0))
  })
  request.write('external_id,name\n')
  for (let block = 0; block < 20; block++) {
    request.write(Array.from({ length: 1000 }, (_, row) => `C${block}-${row},Somebody\n`).join(''))
  }
  const { id } = await firstRow(
    () => sql<{ id: string }[]>`
      select b.id from public.import_batches as b where b.idempotency_key = ${key} and private.is_receiving(b.id)`,
  )
  return { id, key, abandon: () => request.destroy(), answered }
}

async function failedWith(id: string): Promise<string> {
  const { error } = await firstRow(
    () => sql<{ error: { code: string } }[]>`
      select b.error from public.import_batches as b where b.id = ${id} and b.status = 'failed'`,
  )
  return error.code
}

describe('an upload that breaks off', () => {
  it('because the client went away leaves a failed import without a row, and frees its key', async () => {
    const { id, key, abandon } = await beginUpload()
    abandon()
    expect(await failedWith(id)).toBe('upload_interrupted')
    expect(await stagedRows(id)).toEqual([])
    expect((await upload(customers, '', { 'idempotency-key': key })).status).toBe(201)
  })

  it('because the database lost the session leaves a failed import too, and the next one goes well', async () => {
    const { id, abandon, answered } = await beginUpload()
    await sql`
      select pg_terminate_backend(private.lock_holder(private.ingest_lock_key(${id})))`
    expect(await failedWith(id)).toBe('XX000')
    expect(await stagedRows(id)).toEqual([])
    expect(await answered).toBe(500)
    abandon()
    expect((await upload(customers)).status).toBe(201)
  })
})

async function firstRow<Row>(query: () => PromiseLike<Row[]>): Promise<Row> {
  const rows = await eventually(async () => {
    const found = await query()
    return found.length > 0 ? found : undefined
  })
  return rows?.[0] as Row
}
