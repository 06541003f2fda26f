import { randomUUID } from 'node:crypto'
import { parse } from 'csv-parse/sync'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { type Person, signUp } from '../support/client.ts'
import { request } from '../support/http.ts'

// What failed is corrected and sent back: as a file, or cell by cell.

const url = `${inject('stack').url}/functions/v1/imports`
let ada: Person

beforeAll(async () => {
  ada = await signUp('ada')
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { error } = await ada.client.rpc('create_organization', { name: slug, slug })
  expect(error).toBeNull()
})

interface Import {
  id: string
  status: string
  corrects: string | null
  corrected_by: string[]
  counts: Record<string, number>
  chain: { rows: number; applied: number; failed: number } | null
}

async function upload(body: string, query: string): Promise<Import> {
  const headers = { authorization: `Bearer ${ada.token}`, 'content-type': 'text/csv' }
  const answer = await fetch(`${url}?${query}`, { method: 'POST', headers, body })
  expect(answer.status).toBe(201)
  return (await answer.json()) as Import
}

async function get(path: string): Promise<Response> {
  return fetch(`${url}/${path}`, { headers: { authorization: `Bearer ${ada.token}` } })
}

/** A file of these columns, every cell quoted. */
function stringify(columns: string[], rows: Record<string, string>[]): string {
  const line = (cells: string[]) => `${cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(',')}\r\n`
  return line(columns) + rows.map((row) => line(columns.map((column) => row[column] ?? ''))).join('')
}

const file = [
  'Kundennummer,Firma,E-Mail,notes,Ort',
  'K1,Eins GmbH,eins@example.com,,Bonn',
  'K2,"Zwei, Söhne & Co.",zwei@,=SUM(A1),Köln',
  'K3,Drei,drei@example.com,"""quoted"" and\ntwo lines",Ulm',
  "K4,,vier@example.com,'=kept,Trier",
  'K5,Fünf,five at example.com,+49 (30) 123,',
].join('\r\n')

describe('corrections', () => {
  it('posting the failed.csv of an import, corrected, completes it', async () => {
    const first = await upload(file, 'dataset=customers&review=false&wait=30')
    expect(first).toMatchObject({ status: 'completed', counts: { inserted: 2, failed: 3 }, chain: null })

    const text = await (await get(`${first.id}/failed.csv`)).text()
    const failed = parse(text, { bom: true, columns: true }) as Record<string, string>[]
    expect(failed.map((row) => [row._row, row._line, row._reason?.replace(/ .*/, '')])).toEqual([
      ['2', '3', 'email:'],
      ['4', '6', 'name:'],
      ['5', '7', 'email:'],
    ])

    // Two are mended, one is not; a spreadsheet has moved the columns.
    const corrected = failed.map((row) => ({ ...row }))
    Object.assign(corrected[0] ?? {}, { 'E-Mail': 'zwei@example.com' })
    Object.assign(corrected[1] ?? {}, { Firma: 'Vier' })
    const moved = ['_row', 'Ort', 'Firma', 'notes', 'Kundennummer', '_reason', 'E-Mail', '_line']
    const second = await upload(stringify(moved, corrected), `corrects=${first.id}&review=false&wait=30`)
    expect(second).toMatchObject({
      status: 'completed',
      corrects: first.id,
      counts: { rows: 3, inserted: 2, failed: 1 },
      chain: { rows: 5, applied: 4, failed: 1 },
    })

    // The rest of the rest, as it came back from the second.
    const left = parse(await (await get(`${second.id}/failed.csv`)).text(), {
      bom: true,
      columns: true,
    }) as Record<string, string>[]
    expect(left).toMatchObject([{ Kundennummer: 'K5', _row: '3', _line: '4' }])
    Object.assign(left[0] ?? {}, { 'E-Mail': 'fuenf@example.com' })
    const third = await upload(
      stringify(Object.keys(left[0] ?? {}), left),
      `corrects=${second.id}&review=false&wait=30`,
    )
    expect(third).toMatchObject({ status: 'completed', chain: { rows: 5, applied: 5, failed: 0 } })

    const document = (await (await get(first.id)).json()) as Import
    expect(document).toMatchObject({ corrected_by: [second.id], chain: { rows: 5, applied: 5, failed: 0 } })
    const { data } = await ada.client
      .from('customers')
      .select('external_id, name, email, notes')
      .order('external_id')
    expect(data).toEqual([
      { external_id: 'K1', name: 'Eins GmbH', email: 'eins@example.com', notes: null },
      { external_id: 'K2', name: 'Zwei, Söhne & Co.', email: 'zwei@example.com', notes: '=SUM(A1)' },
      { external_id: 'K3', name: 'Drei', email: 'drei@example.com', notes: '"quoted" and\ntwo lines' },
      { external_id: 'K4', name: 'Vier', email: 'vier@example.com', notes: "'=kept" },
      { external_id: 'K5', name: 'Fünf', email: 'fuenf@example.com', notes: '+49 (30) 123' },
    ])
  })

  it('columns that are called like the added ones come back as they were sent', async () => {
    const first = await upload(
      'external_id,name,_line,email\nL1,One,north,one\nL2,Two,south,two@example.com\n',
      `dataset=customers&review=false&wait=30&mapping=${encodeURIComponent(
        '{"external_id":"external_id","name":"name","notes":"_line","email":"email"}',
      )}`,
    )
    const text = await (await get(`${first.id}/failed.csv`)).text()
    const [failed] = parse(text, { bom: true, columns: true }) as Record<string, string>[]
    expect(failed).toMatchObject({ _line: 'north', __row: '1', __line: '2' })
    const corrected = { ...failed, email: 'one@example.com' }
    const second = await upload(
      stringify(Object.keys(corrected), [corrected]),
      `corrects=${first.id}&review=false&wait=30`,
    )
    expect(second).toMatchObject({ status: 'completed', chain: { rows: 2, applied: 2, failed: 0 } })
    const { data } = await ada.client.from('customers').select('notes').eq('external_id', 'L1')
    expect(data).toEqual([{ notes: 'north' }])
  })

  it('a few cells do the same', async () => {
    const first = await upload(
      'external_id,name,email\nC1,One,one\nC2,Two,two@example.com\n',
      'dataset=customers&review=false&wait=30',
    )
    const corrections = [{ row: 1, cells: { email: 'one@example.com' } }]
    const { data, error } = await ada.client.rpc('correct_import', { import_id: first.id, corrections })
    expect(error).toBeNull()
    expect(data).toMatchObject({ status: 'staged', corrects: first.id, row_count: 1 })
    await ada.client.rpc('validate_import', { import_id: (data as Import).id, commit: true })
    await expect
      .poll(async () => ((await (await get(first.id)).json()) as Import).chain, { timeout: 20_000 })
      .toEqual({ rows: 2, applied: 2, failed: 0 })
  })

  it('a few cells may be sent as JSON, once for each key', async () => {
    const first = await upload(
      'external_id,name,email\nJ1,One,one\nJ2,Two,two\n',
      'dataset=customers&review=false&wait=30',
    )
    const send = (body: unknown, headers: Record<string, string> = {}) =>
      request(ada, 'POST', `/${first.id}/corrections?review=false&wait=30`, { body, headers })
    const key = { 'idempotency-key': randomUUID() }
    const corrections = [
      { row: 1, cells: { email: 'one@example.com' } },
      { row: 2, cells: { email: null, name: 2 } },
    ]
    const sent = await send({ corrections }, key)
    expect(sent).toMatchObject({
      status: 201,
      body: { status: 'completed', corrects: first.id, counts: { inserted: 2 } },
    })
    const again = await send({ corrections }, key)
    expect([again.status, again.body.id]).toEqual([200, sent.body.id])
    for (const [body, status] of [
      [{}, 400],
      [{ corrections: [] }, 400],
      [{ corrections: [{ row: 1, cells: { email: ['x'] } }] }, 400],
      [{ corrections: [{ row: 3, cells: { email: 'x' } }] }, 400],
      [{ corrections: Array.from({ length: 1001 }, (_, n) => ({ row: n, cells: { email: 'x' } })) }, 413],
    ] as const) {
      expect([(await send(body)).status, body]).toEqual([status, body])
    }
  })
})
