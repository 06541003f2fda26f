import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Dataset, datasets } from '../../local/demo/business.ts'
import { zip } from '../../local/demo/zip.ts'
import { connect, type Person, signUp } from '../support/client.ts'
import { until } from '../support/imports.ts'

// A business moves in: the sample files, in the order of their references, and what the tables hold then.

const stack = inject('stack')
const url = `${stack.url}/functions/v1/imports`

/** Rows of each sample, and those that are wrong. */
const samples: Record<Dataset, { rows: number; failed: number }> = {
  customers: { rows: 50, failed: 2 },
  contacts: { rows: 40, failed: 0 },
  products: { rows: 50, failed: 0 },
  warehouse_locations: { rows: 5, failed: 0 },
  inventory_levels: { rows: 80, failed: 0 },
  orders: { rows: 72, failed: 0 },
  invoices: { rows: 68, failed: 0 },
  payments: { rows: 20, failed: 0 },
  delivery_routes: { rows: 46, failed: 0 },
}

/** What the tables hold of each file, as the file has it: keys, and the keys of what they refer to. */
const stored: Partial<Record<Dataset, { columns: string[]; query: string }>> = {
  contacts: {
    columns: ['Contact No.', 'Customer No.', 'Surname'],
    query: `select t.external_id, c.external_id, t.last_name
      from public.contacts as t join public.customers as c on c.id = t.customer_id where t.org_id = $1`,
  },
  inventory_levels: {
    columns: ['Artikelnummer', 'Lagerort', 'Bestand', 'Gezählt am'],
    query: `select p.sku, w.code, t.quantity::integer, t.counted_on from public.inventory_levels as t
      join public.products as p on p.id = t.product_id
      join public.warehouse_locations as w on w.id = t.location_id where t.org_id = $1`,
  },
  orders: {
    columns: [
      'Order No.',
      'Line',
      'Customer No.',
      'Order date',
      'Article No.',
      'Quantity',
      'Unit price',
      'Discount',
    ],
    query: `select o.order_number, t.line_number, c.external_id, o.ordered_on, p.sku, t.quantity::integer,
        t.unit_price, t.discount_percent::integer
      from public.order_lines as t join public.orders as o on o.id = t.order_id
      join public.customers as c on c.id = o.customer_id join public.products as p on p.id = t.product_id
      where t.org_id = $1`,
  },
  invoices: {
    columns: [
      'Invoice No.',
      'Line',
      'Customer No.',
      'Order No.',
      'Due date',
      'Article No.',
      'Description',
      'Net price',
    ],
    query: `select i.invoice_number, t.line_number, c.external_id, o.order_number, i.due_on, p.sku, t.description, t.unit_price
      from public.invoice_lines as t join public.invoices as i on i.id = t.invoice_id
      join public.customers as c on c.id = i.customer_id left join public.orders as o on o.id = i.order_id
      left join public.products as p on p.id = t.product_id where t.org_id = $1`,
  },
  payments: {
    columns: ['Payment No.', 'Invoice No.', 'Order No.', 'Date', 'Amount', 'Method'],
    query: `select t.payment_number, i.invoice_number, o.order_number, t.paid_on, t.amount, t.method
      from public.payments as t left join public.invoices as i on i.id = t.invoice_id
      left join public.orders as o on o.id = t.order_id where t.org_id = $1`,
  },
  delivery_routes: {
    columns: ['Route', 'Stop', 'Customer No.', 'Note'],
    query: `select r.route_number, t.stop_number, c.external_id, t.instructions
      from public.delivery_stops as t join public.delivery_routes as r on r.id = t.route_id
      join public.customers as c on c.id = t.customer_id where t.org_id = $1`,
  },
}

interface Document {
  id: string
  dataset: Dataset
  status: string
  counts: Record<string, number>
  issues: { code: string; field: string | null }[]
  suggested_mapping: Record<string, { column: string }>
  undo: { reversed: number; kept: Record<string, number> } | null
}

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
  const slug = `samples-${randomUUID().slice(0, 8)}`
  const { data, error } = await person.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  return (data as { id: string }).id
}

function sample(dataset: Dataset): string {
  return readFileSync(join(import.meta.dirname, '../../examples', `${dataset}.csv`), 'utf8')
}

/** Does something as somebody else, who has an organization of their own. */
async function asAnother(name: string, work: () => Promise<void>): Promise<void> {
  const before = { ada, organization }
  try {
    ada = await signUp(name)
    organization = await organizationOf(ada)
    await work()
  } finally {
    ;({ ada, organization } = before)
  }
}

/** An import when it has come to a status. */
function reached(id: string | undefined, status: string): Promise<Document> {
  return until(`import ${id} is ${status}`, 60, async () => {
    const document = await send(`/${id}`)
    return document.status === status && document
  })
}

async function send(
  path: string,
  method = 'GET',
  body?: BodyInit,
  type = 'text/csv',
): Promise<Document & { imports: Document[] }> {
  const headers = { authorization: `Bearer ${ada.token}`, 'content-type': type }
  const response = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) })
  const document = (await response.json()) as Document & { imports: Document[] }
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(document)}`)
  return document
}

/** Sends a sample and has it applied without a stop. */
function importSample(dataset: Dataset): Promise<Document> {
  const query = new URLSearchParams({
    dataset,
    review: 'false',
    wait: '30',
    filename: `${dataset}.csv`,
    force: 'true',
  })
  return send(`?${query}`, 'POST', sample(dataset))
}

/** Records of a file, each with the columns that are named, sorted. */
function recordsOf(dataset: Dataset, columns: string[]): string[][] {
  const rows = parse(sample(dataset), { columns: true, delimiter: [',', ';'] }) as Record<string, string>[]
  return rows.map((row) => columns.map((column) => row[column] ?? '')).sort()
}

async function recordsIn(query: string): Promise<string[][]> {
  const rows = await sql.unsafe(query, [organization]).values()
  return rows.map((row) => row.map((cell) => textOf(cell))).sort()
}

function textOf(cell: unknown): string {
  return cell instanceof Date ? cell.toISOString().slice(0, 10) : String(cell ?? '')
}

describe('the samples', () => {
  it.each(datasets)('%s', async (dataset) => {
    const { rows, failed } = samples[dataset]
    const document = await importSample(dataset)
    expect(document).toMatchObject({ status: 'completed', counts: { rows, failed, inserted: rows - failed } })

    const { columns, query } = stored[dataset] ?? {}
    if (columns && query) expect(await recordsIn(query)).toEqual(recordsOf(dataset, columns))
  })

  it('are unchanged when they come again', async () => {
    for (const dataset of datasets) {
      const { rows, failed } = samples[dataset]
      expect(await importSample(dataset)).toMatchObject({
        status: 'completed',
        counts: { rows, failed, inserted: 0, updated: 0, unchanged: rows - failed },
      })
    }
  })

  it('name what is missing where they come too early', async () => {
    await asAnother('bob', async () => {
      const document = await importSample('orders')
      expect(document).toMatchObject({ status: 'completed', counts: { rows: 72, failed: 72, inserted: 0 } })
      const codes = new Set(document.issues.map(({ code, field }) => `${code} ${field}`))
      expect(codes).toEqual(new Set(['reference_not_found customer', 'reference_not_found product']))
    })
  })

  it('come as one zip, in whatever order, and the orders can be undone but for those that others name', async () => {
    await asAnother('cleo', async () => {
      const archive = zip(
        [...datasets].reverse().map((name) => ({ name: `${name}.csv`, content: sample(name) })),
      )
      const { imports } = await send('?review=false', 'POST', new Uint8Array(archive), 'application/zip')
      const ids = new Map(imports.map(({ id, dataset }) => [dataset, id]))
      for (const dataset of datasets) {
        const { rows, failed } = samples[dataset]
        const document = await reached(ids.get(dataset), 'completed')
        expect(document).toMatchObject({ counts: { rows, failed, inserted: rows - failed } })
        const { columns, query } = stored[dataset] ?? {}
        if (columns && query) expect(await recordsIn(query)).toEqual(recordsOf(dataset, columns))
      }

      const named = new Set(
        [...recordsOf('invoices', ['Order No.']), ...recordsOf('payments', ['Order No.'])].flat(),
      )
      const all = new Set(recordsOf('orders', ['Order No.']).flat())
      const kept = [...all].filter((order) => named.has(order))
      expect(kept.length).toBeGreaterThan(0)
      expect(kept.length).toBeLessThan(all.size)

      const id = ids.get('orders')
      const { error } = await ada.client.rpc('undo_import', { import_id: id })
      expect(error).toBeNull()
      expect((await reached(id, 'undone')).undo).toEqual({
        reversed: all.size - kept.length,
        kept: { referenced: kept.length },
      })
      const left = await recordsIn('select order_number from public.orders where org_id = $1')
      expect(left.flat()).toEqual(kept.sort())
      const lines = recordsOf('orders', ['Order No.', 'Line']).filter(([order = '']) => named.has(order))
      const stays = `select o.order_number, t.line_number from public.order_lines as t
        join public.orders as o on o.id = t.order_id where t.org_id = $1`
      expect(await recordsIn(stays)).toEqual(lines)
    })
  })
})

describe('docs/datasets.md', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/datasets.md'), 'utf8')
  const blocks = (language: string) =>
    [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, block]) => block ?? '')

  it('shows a mapping that sorts customers into segments', async () => {
    const [mapping = ''] = blocks('json')
    const query = new URLSearchParams({ dataset: 'customers', force: 'true' })
    const { id, suggested_mapping } = await send(`?${query}`, 'POST', sample('customers'))
    const suggested = Object.entries(suggested_mapping).map(([field, { column }]) => [field, column])
    const whole = { ...Object.fromEntries(suggested), ...JSON.parse(mapping) }
    await send(`/${id}`, 'PATCH', JSON.stringify({ mapping: whole }), 'application/json')
    await send(`/${id}/validate?wait=30&force=true`, 'POST')
    await send(`/${id}/commit?wait=30&force=true`, 'POST')

    const rows = parse(sample('customers'), { columns: true }) as Record<string, string>[]
    const right = rows.filter((_, index) => ![16, 37].includes(index))
    const segments = right.map((row) => [row['Customer No.'], segmentOf(row)])
    expect(await recordsIn('select external_id, segment from public.customers where org_id = $1')).toEqual(
      segments.sort(),
    )
  })

  it('shows datasets of one’s own that work', async () => {
    await sql
      .begin(async (tx) => {
        for (const block of blocks('sql')) await tx.unsafe(block).simple()
        const fields = await tx`
          select f.dataset, string_agg(f.name, ' ' order by f.position) as names from public.dataset_fields as f
          where f.dataset in ('projects', 'project_plans') group by f.dataset order by f.dataset`
        expect([...fields]).toEqual([
          { dataset: 'project_plans', names: 'code customer title task_number hours remark' },
          { dataset: 'projects', names: 'code customer title' },
        ])

        const [customer] =
          await tx`select c.id from public.customers as c where c.org_id = ${organization} limit 1`
        const apply = (mode: string, rows: string) => tx`
          select private.apply_projects(${organization}, ${mode}::public.import_mode, '{title}',
            ${rows}::text::private.project_row[])`
        const plans = async () => {
          const found = await tx`
            select p.title, t.task_number, t.hours::float, t.remark from public.projects as p
            join public.project_tasks as t on t.project_id = p.id order by t.task_number`
          return found.map((row) => Object.values(row))
        }
        await apply('insert', `{"(P,${customer?.id},Move,1,2,soon)","(P,,,2,3,)"}`)
        expect(await plans()).toEqual([
          ['Move', 1, 2, 'soon'],
          ['Move', 2, 3, null],
        ])
        await apply('update', '{"(P,,,1,,)","(P,,,3,4,)"}')
        expect(await plans()).toEqual([
          [null, 1, 2, 'soon'],
          [null, 2, 3, null],
          [null, 3, 4, null],
        ])
        await apply('delete', '{"(P,,,,,)"}')
        expect(await plans()).toEqual([])
        throw new Undone()
      })
      .catch((cause) => {
        if (!(cause instanceof Undone)) throw cause
      })
  })
})

class Undone extends Error {}

function segmentOf(row: Record<string, string>): string {
  const limit = Number(row['Credit limit'] || Number.NaN)
  if (limit >= 25_000) return 'key_account'
  if (row.Active === 'false') return 'small'
  return limit >= 2500 ? 'regular' : 'small'
}
