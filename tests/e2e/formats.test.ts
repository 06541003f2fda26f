import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { writeXlsx } from 'hucre/xlsx'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { zip } from '../../local/demo/zip.ts'
import { connect, type Person, signUp } from '../support/client.ts'
import { workbook } from '../support/workbook.ts'

// Every kind of file over HTTP, to the rows that come of it.

const url = `${inject('stack').url}/functions/v1/imports`

let ada: Person
let sql: Sql

beforeAll(async () => {
  sql = connect()
  ada = await signUp('ada')
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { error } = await ada.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
})
afterAll(() => sql.end({ timeout: 1 }))

/** A document, a set or an error, as far as tests look at single values of it. */
interface Body {
  id: string
  set_id: string
  imports: {
    id: string
    dataset: string
    file_name: string
    status: string
    counts: Record<string, number>
  }[]
  counts: Record<string, number>
  message: string
  details: string
  hint: string
}

async function upload(body: BodyInit, query: string, type: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}?${query}`, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${ada.token}`, 'content-type': type, ...headers },
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body }
}

async function stagedRows(importId: string): Promise<(string | null)[][]> {
  const rows = await sql<{ cells: (string | null)[] }[]>`
    select to_jsonb(r.cells) as cells from private.import_rows as r where r.batch_id = ${importId} order by r.row_number`
  return rows.map((row) => row.cells)
}

async function importsOf(dataset: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::integer as count from public.import_batches as b
    join public.profiles as p on p.org_id = b.org_id and p.id = ${ada.id}
    where b.dataset = ${dataset}`
  return row?.count ?? 0
}

const xlsxType = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'

describe('one file', () => {
  const tables = {
    external_id: ['F1', 'F2'],
    name: ['Müller', 'Smith, "Jo"'],
    credit_limit: ['1250.50', '99'],
    signup_date: ['2024-02-29', null],
  }
  const rows = [
    ['F1', 'Müller', '1250.50', '2024-02-29'],
    ['F2', 'Smith, "Jo"', '99', null],
  ]
  const objects = `[{"external_id": "F1", "name": "Müller", "credit_limit": 1250.50, "signup_date": "2024-02-29"},
    {"external_id": "F2", "name": "Smith, \\"Jo\\"", "credit_limit": 99, "signup_date": null}]`
  const lines = objects.slice(1, -1).replace('},\n', '}\n')
  const delimited = (delimiter: string) =>
    [Object.keys(tables), ...rows]
      .map((cells) => cells.map((cell) => `"${(cell ?? '').replaceAll('"', '""')}"`).join(delimiter))
      .join('\n')

  it.each([
    ['a JSON array', 'application/json', objects, 'json'],
    ['JSON sent as text', 'text/plain', objects, 'json'],
    ['NDJSON', 'application/x-ndjson', lines, 'ndjson'],
    ['NDJSON, packed', 'application/gzip', gzipSync(lines), 'ndjson'],
    ['UTF-16 JSON', 'application/json', Buffer.from(`\uFEFF${objects}`, 'utf16le'), 'json'],
    ['text with pipes', 'text/csv', delimited('|'), 'csv'],
    ['text with semicolons', 'text/csv', delimited(';'), 'csv'],
  ] as [string, string, BodyInit, string][])('is %s', async (_, type, body, kind) => {
    const { status, body: document } = await upload(body, 'dataset=customers&force=true', type)
    expect(document).toMatchObject({
      status: 'staged',
      row_count: 2,
      columns: Object.keys(tables),
      format: { kind },
    })
    expect(status).toBe(201)
    const wanted = kind === 'csv' ? rows.map((row) => row.map((cell) => cell ?? '')) : rows
    const staged = await stagedRows(document.id)
    expect(staged.map((cells) => cells.map((cell) => cell))).toEqual(wanted)
  })

  it('is a workbook, down to the table', async () => {
    const bytes = await writeXlsx({
      sheets: [
        { name: 'Notes', rows: [] },
        {
          name: 'Customers',
          columns: [{}, {}, {}, { numFmt: 'dd.mm.yyyy' }, {}],
          rows: [
            ['external_id', 'name', 'credit_limit', 'signup_date', 'is_active'],
            ['X1', 'Müller', 0.1 + 0.2, new Date(Date.UTC(2024, 1, 29)), true],
            ['X2', 'Jo', 1250.5, null, false],
          ],
        },
      ],
    })
    const { status, body } = await upload(
      bytes as BodyInit,
      'dataset=customers&review=false&wait=20',
      xlsxType,
    )
    expect(body).toMatchObject({
      status: 'completed',
      columns: ['external_id', 'name', 'credit_limit', 'signup_date', 'is_active'],
      format: { kind: 'xlsx', sheet: 'Customers', sheets: ['Notes', 'Customers'], header: true },
      counts: { inserted: 2, failed: 0 },
    })
    expect(status).toBe(201)
    const made = await sql`
      select c.external_id, c.credit_limit::text, c.signup_date::text, c.is_active from public.customers as c
      where c.external_id in ('X1', 'X2') order by c.external_id`
    expect([...made]).toEqual([
      { external_id: 'X1', credit_limit: '0.30', signup_date: '2024-02-29', is_active: true },
      { external_id: 'X2', credit_limit: '1250.50', signup_date: null, is_active: false },
    ])
  })

  it('is the sheet of a workbook that is asked for, also in a form', async () => {
    const cell = (text: string) => `<c t="inlineStr"><is><t>${text}</t></is></c>`
    const sheet = (id: string) =>
      `<row>${cell('external_id')}${cell('name')}</row><row>${cell(id)}${cell('Jo')}</row>`
    const file = workbook({
      sheets: [
        ['2023', sheet('S1')],
        ['2024', sheet('S2')],
      ],
    })
    const form = new FormData()
    form.set('dataset', 'customers')
    form.set('sheet', '2024')
    form.set('file', new File([file as BlobPart], 'kunden.xlsx', { type: xlsxType }))
    const response = await fetch(url, {
      method: 'POST',
      body: form,
      headers: { authorization: `Bearer ${ada.token}` },
    })
    const document = (await response.json()) as Body
    expect(document).toMatchObject({ file_name: 'kunden.xlsx', format: { sheet: '2024' }, row_count: 1 })
    expect(await stagedRows(document.id)).toEqual([['S2', 'Jo']])

    const unknown = await upload(file as BodyInit, 'dataset=customers&sheet=2025', xlsxType)
    expect(unknown).toMatchObject({
      status: 400,
      body: { message: 'sheet is unknown', hint: 'Sheets are: 1 "2023", 2 "2024".' },
    })
  })

  it('is text with decimal commas, as the mapping says', async () => {
    const mapping = {
      external_id: 'Nr',
      name: 'Name',
      credit_limit: { column: 'Limit', transforms: [{ parse_number: { decimal: ',', group: '.' } }] },
    }
    const { body } = await upload(
      'Nr;Name;Limit\nD1;Müller;1.250,50\nD2;Jo;0,1\n',
      `dataset=customers&review=false&wait=20&mapping=${encodeURIComponent(JSON.stringify(mapping))}`,
      'text/csv',
    )
    expect(body).toMatchObject({ status: 'completed', format: { delimiter: ';' }, counts: { inserted: 2 } })
    const made = await sql`
      select c.credit_limit::text from public.customers as c where c.external_id in ('D1', 'D2') order by c.external_id`
    expect(made.map((row) => row.credit_limit)).toEqual(['1250.50', '0.10'])
  })

  it('may have keys that come late', async () => {
    const first = Array.from(
      { length: 40_000 },
      (_, i) => `{"external_id":"L${i}","name":"Somebody No. ${i}"}\n`,
    ).join('')
    const { body } = await upload(
      `${first}{"external_id":"late","name":"Late","city":"Oslo"}\n`,
      'dataset=customers&review=false&wait=30',
      'application/x-ndjson',
    )
    expect(body).toMatchObject({
      status: 'completed',
      columns: ['external_id', 'name', 'city'],
      issues: [],
      counts: { inserted: 40_001, failed: 0 },
    })
    expect((await stagedRows(body.id)).at(-1)).toEqual(['late', 'Late', 'Oslo'])
  })

  it.each([
    ['malformed JSON', '{"a":1}\n{"a":}', 'application/json', 400, 'JSON is not valid'],
    [
      'an old workbook',
      Buffer.from('d0cf11e0a1b11ae1', 'hex'),
      'application/vnd.ms-excel',
      415,
      'file is not a table',
    ],
    [
      'a document',
      zip([{ name: '[Content_Types].xml', content: '<Types/>' }]),
      'application/zip',
      415,
      'file is not a table',
    ],
    [
      'half a workbook',
      workbook({ sheets: [['S', '']] }).subarray(0, 300),
      xlsxType,
      400,
      'zip archive is damaged or unsafe',
    ],
  ] as [string, BodyInit, string, number, string][])(
    'is refused as %s, and leaves nothing',
    async (_, body, type, status, message) => {
      const before = await importsOf('customers')
      expect(await upload(body, 'dataset=customers', type)).toMatchObject({ status, body: { message } })
      expect(await importsOf('customers')).toBe(before)
    },
  )
})

describe('an archive', () => {
  const zipType = 'application/zip'
  const files = () => {
    const tag = randomUUID().slice(0, 6)
    return {
      tag,
      // In the wrong order: an order names a customer and a product, a contact a customer.
      order: {
        name: 'orders.ndjson',
        content: `{"order_number":"O-${tag}","line_number":1,"customer":"C-${tag}","ordered_on":"2024-05-06","currency":"EUR","product":"P-${tag}","quantity":2,"unit_price":9.90}\n`,
      },
      contacts: {
        name: 'data/02_Contacts.csv.gz',
        content: gzipSync(`external_id;customer;last_name\nA-${tag};C-${tag};Müller\n`),
      },
      customers: { name: 'data/01 customers-2024.csv', content: `external_id,name\nC-${tag},Müller GmbH\n` },
      products: { name: 'products.json', content: `[{"sku":"P-${tag}","name":"Screw","price":"4.95"}]` },
    }
  }

  it('is a set that runs in the order of its references', async () => {
    const { tag, order, contacts, customers, products } = files()
    const litter = [
      { name: '__MACOSX/data/._01 customers-2024.csv', content: 'x' },
      { name: 'data/.DS_Store', content: 'x' },
    ]
    const archive = zip([order, contacts, customers, products, ...litter])
    const { status, body } = await upload(
      archive as BodyInit,
      'filename=move.zip&review=false&wait=30',
      zipType,
    )
    expect(status).toBe(201)
    expect(body.imports.map(({ dataset, status, file_name }) => [dataset, status, file_name])).toEqual([
      ['orders', 'completed', 'orders.ndjson'],
      ['contacts', 'completed', '02_Contacts.csv.gz'],
      ['customers', 'completed', '01 customers-2024.csv'],
      ['products', 'completed', 'products.json'],
    ])
    expect(body.imports.map(({ counts }) => counts.inserted)).toEqual([1, 1, 1, 1])
    const [line] = await sql`
      select c.name, p.sku, l.quantity::text from public.orders as o
      join public.order_lines as l on l.order_id = o.id
      join public.customers as c on c.id = o.customer_id
      join public.products as p on p.id = l.product_id
      where o.order_number = ${`O-${tag}`}`
    expect(line).toEqual({ name: 'Müller GmbH', sku: `P-${tag}`, quantity: '2.000' })
    const { data } = await ada.client.rpc('get_import_set', { set_id: body.set_id })
    expect(data).toMatchObject({ id: body.set_id, name: 'move.zip', status: 'completed' })
  })

  it('is staged for review, and made once for an idempotency key', async () => {
    const { customers, products } = files()
    const archive = zip([customers, products]) as BodyInit
    const key = { 'idempotency-key': randomUUID() }
    const first = await upload(archive, '', zipType, key)
    expect(first.status).toBe(201)
    expect(first.body.imports.map(({ status }) => status)).toEqual(['staged', 'staged'])
    const again = await upload(archive, '', zipType, key)
    expect(again.status).toBe(200)
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(again.body.set_id).toBe(first.body.set_id)
    expect(again.body.imports.map(({ id }) => id).sort()).toEqual(
      first.body.imports.map(({ id }) => id).sort(),
    )
  })

  it('takes its files into one dataset where that is given', async () => {
    const { customers } = files()
    const archive = zip([customers, { name: 'kunden.csv', content: 'external_id,name\nK1,Jo\n' }])
    const { body } = await upload(archive as BodyInit, 'dataset=customers', zipType)
    expect(body.imports.map(({ dataset }) => dataset)).toEqual(['customers', 'customers'])
  })

  const good = { name: 'customers.csv', content: 'external_id,name\nR1,Jo\n' }
  it.each([
    [
      'a file of no dataset',
      [good, { name: 'kunden.csv', content: 'a,b\n' }],
      '',
      400,
      'dataset of a file is unknown',
      'kunden.csv',
    ],
    [
      'a file that is broken',
      [good, { name: 'products.json', content: '[{"sku":]' }],
      '',
      400,
      'JSON is not valid',
      'products.json: line 1',
    ],
    [
      'a file that is no table',
      [good, { name: 'products.pdf', content: '%PDF-1.7' }],
      '',
      415,
      'file is not a table',
      'products.pdf: ',
    ],
    [
      'a file without rows',
      [good, { name: 'products.csv', content: 'sku,name\n' }],
      '',
      400,
      'file has no data rows',
      'products.csv',
    ],
    [
      'a required field unmapped',
      [good, { name: 'products.csv', content: 'x\n1\n' }],
      'review=false',
      422,
      '',
      'products.csv',
    ],
    [
      'an archive in it',
      [good, { name: 'products.zip', content: zip([good]) }],
      '',
      400,
      'archive is within an archive',
      'products.zip',
    ],
    [
      'an encrypted file',
      [good, { name: 'products.csv', content: 'a', flags: 1 }],
      '',
      400,
      'archive entry is encrypted',
      'products.csv',
    ],
    [
      'a path that leads out',
      [good, { name: '../products.csv', content: 'a' }],
      '',
      400,
      'zip archive is damaged or unsafe',
      '../products.csv',
    ],
    ['a file twice', [good, good], '', 400, 'archive has a file twice', 'customers.csv'],
    ['no files', [{ name: '__MACOSX/._x', content: '' }], '', 400, 'archive is empty', ''],
    [
      'too many files',
      Array.from({ length: 51 }, (_, i) => ({ name: `customers${i}.csv`, content: 'a' })),
      '',
      413,
      'archive has too many files',
      '50',
    ],
    [
      'an OpenDocument sheet',
      [
        { name: 'mimetype', content: 'x' },
        { name: 'content.xml', content: '' },
      ],
      '',
      415,
      'file is not a table',
      'ods',
    ],
    ['a mapping', [good], 'mapping={}', 400, 'parameter is for a single file', 'mapping'],
  ] as [string, { name: string; content: string }[], string, number, string, string][])(
    'with %s is refused as a whole',
    async (_, entries, query, status, message, details) => {
      const before = await importsOf('customers')
      const refused = await upload(zip(entries) as BodyInit, query, zipType)
      expect(refused.status).toBe(status)
      if (message) expect(refused.body.message).toBe(message)
      expect(refused.body.details ?? '').toContain(details)
      expect(refused.body.hint).toBeTruthy()
      expect(await importsOf('customers')).toBe(before)
      const [left] = await sql`
        select count(*)::integer as count from public.import_sets as s
        where s.created_by = ${ada.id}
          and not exists (select from public.import_batches as b where b.set_id = s.id)`
      expect(left).toEqual({ count: 0 })
    },
  )

  it('is refused where its files unpack to more than a request may have', async () => {
    // The directory is believed before anything is unpacked, and held to its word after.
    const lie = { name: 'customers.csv', content: 'a'.repeat(1_000_000), size: 2 ** 31 }
    expect(await upload(zip([lie]) as BodyInit, '', zipType)).toMatchObject({
      status: 413,
      body: { message: 'file is too large for a request' },
    })
  })
})
