import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { until } from '../support/imports.ts'
import { type Nasty, startNasty } from '../support/nasty.ts'
import { customers, openShop, type Shop, tagged } from '../support/shop.ts'

// Syncs, from the source that a server of ours plays to the records, with the worker function in between.

interface Run {
  id: string
  status: string
  reason: string | null
  error: { code: string; message: string; details: string | null } | null
  counts: Record<string, number>
  fetched: { pages?: number; row_count?: number; bytes?: number }
  deletion_count: number | null
  import_id: string | null
}
type Admin = Person & { organization: string }

let sql: Sql
let shop: Shop
let nasty: Nasty

beforeAll(async () => {
  sql = connect()
  shop = await openShop()
  nasty = await startNasty()
  await sql`update public.sync_retry_policy set max_attempts = 3, base_delay = '50 milliseconds' where job_type = 'sync'`
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await Promise.all([shop.stop(), nasty.stop()])
})

/** An admin with an organization, whose sources may be on this machine. */
async function makeAdmin(isPrivateAllowed = true): Promise<Admin> {
  const person = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  const organization = (await person.client.rpc('create_organization', { name: slug, slug })).data.id
  if (isPrivateAllowed)
    await sql`select public.set_setting('outbound.allow_private', 'true', ${organization})`
  return { ...person, organization }
}

async function makeSource(admin: Admin, source: Record<string, unknown>): Promise<string> {
  const { data, error } = await admin.client.rpc('create_sync_source', {
    source: { name: randomUUID(), dataset: 'customers', kind: 'http_csv', ...source },
  })
  if (error) throw error
  return data.id
}

const rests = ['awaiting_approval', 'completed', 'unchanged', 'failed', 'cancelled']

/** Waits until a run is at its end, or asks. */
async function rested(admin: Admin, runId: string): Promise<Run> {
  return until(`run ${runId} comes to rest`, 50, async () => {
    const { data, error } = await admin.client.rpc('get_sync_run', { run_id: runId })
    if (error) throw error
    return rests.includes(data.status) ? data : undefined
  })
}

/** Syncs a source, to where it rests. */
async function sync(admin: Admin, sourceId: string, force = false): Promise<Run> {
  const { data, error } = await admin.client.rpc('run_sync', { source_id: sourceId, force })
  if (error) throw error
  return rested(admin, data.id)
}

async function names(admin: Admin): Promise<string> {
  const { data } = await admin.client.from('customers').select('name').order('name')
  return (data ?? []).map(({ name }) => name).join(' ')
}

describe('a file', () => {
  it('is applied, and asked for once while it stays as it is', async () => {
    const admin = await makeAdmin()
    shop.serve('/feed.csv', tagged(customers('Ada', 'Bob')))
    const source = await makeSource(admin, { location: `${shop.url}/feed.csv` })
    expect(await sync(admin, source)).toMatchObject({
      status: 'completed',
      counts: { inserted: 2, failed: 0 },
    })
    expect(await names(admin)).toBe('Ada Bob')

    const before = shop.asked.length
    expect(await sync(admin, source)).toMatchObject({ status: 'unchanged', import_id: null })
    expect(shop.asked.slice(before).map(({ url }) => url)).toEqual(['/feed.csv'])

    shop.serve('/feed.csv', tagged(customers('Ada', 'Bob', 'Cyd')))
    expect(await sync(admin, source)).toMatchObject({ counts: { inserted: 1, unchanged: 2 } })
    expect(await sync(admin, source, true)).toMatchObject({ status: 'completed', counts: { unchanged: 3 } })
  })

  it('is asked for by the time of its last change, where the source has no tag', async () => {
    const admin = await makeAdmin()
    const changed = 'Mon, 05 Jan 2026 08:00:00 GMT'
    shop.serve('/dated.csv', (_, headers) =>
      headers['if-modified-since'] === changed
        ? { status: 304, body: '' }
        : { headers: { 'last-modified': changed }, body: customers('Ada') },
    )
    const source = await makeSource(admin, { location: `${shop.url}/dated.csv` })
    expect((await sync(admin, source)).status).toBe('completed')
    expect(await sync(admin, source)).toMatchObject({ status: 'unchanged', fetched: { status: 304 } })
    expect(await sync(admin, source)).toMatchObject({ status: 'unchanged', fetched: { status: 304 } })
  })

  it('is found unchanged where the source does not tell', async () => {
    const admin = await makeAdmin()
    shop.serve('/plain.csv', { body: customers('Ada') })
    const source = await makeSource(admin, { location: `${shop.url}/plain.csv` })
    expect((await sync(admin, source)).status).toBe('completed')
    expect((await sync(admin, source)).status).toBe('unchanged')
  })

  it('may be anything that an upload may be, as a table of text', async () => {
    const admin = await makeAdmin()
    shop.serve('/odd', { body: '\uFEFFNummer;Bezeichnung\n1;"Müller; Söhne"\n' })
    const mapping = { external_id: 'Nummer', name: 'Bezeichnung' }
    const odd = await makeSource(admin, { location: `${shop.url}/odd`, mapping })
    expect((await sync(admin, odd)).status).toBe('completed')
    shop.serve('/lines', {
      body: '{"external_id": "2", "name": "Nora"}\n{"external_id": "3", "name": "Otto"}\n',
    })
    const lines = await makeSource(admin, { location: `${shop.url}/lines`, kind: 'http_json' })
    expect((await sync(admin, lines)).status).toBe('completed')
    expect(await names(admin)).toBe('Müller; Söhne Nora Otto')
  })

  it('is asked for with the secret of the organization, which goes nowhere else', async () => {
    const admin = await makeAdmin()
    await admin.client.rpc('set_sync_secret', { name: 'shop', value: 'open sesame' })
    shop.serve('/secret.csv', (_, headers) =>
      headers.authorization === 'Bearer open sesame'
        ? { status: 302, headers: { location: `${nasty.url}/ok` }, body: '' }
        : { status: 401, body: '' },
    )
    const source = await makeSource(admin, { location: `${shop.url}/secret.csv`, secret_name: 'shop' })
    const before = nasty.received.length
    await sync(admin, source)
    const [elsewhere] = nasty.received.slice(before)
    expect(elsewhere).toMatchObject({ url: '/ok' })
    expect(elsewhere?.headers.authorization).toBeUndefined()

    await admin.client.rpc('set_sync_secret', { name: 'shop', value: 'wrong' })
    expect(await sync(admin, source, true)).toMatchObject({
      error: { code: 'source_refused', details: 'status 401' },
    })
    await admin.client.rpc('delete_sync_secret', { name: 'shop' })
    expect(await sync(admin, source, true)).toMatchObject({ error: { code: 'secret_missing' } })
  })
})

it('what a source is to be asked with takes the place of what we ask with', async () => {
  const admin = await makeAdmin()
  shop.serve('/asked.csv', { body: customers('Ada') })
  const headers = { Accept: 'text/csv', 'User-Agent': 'Acme', 'X-Shop': '7' }
  const source = await makeSource(admin, { location: `${shop.url}/asked.csv`, options: { headers } })
  expect((await sync(admin, source)).status).toBe('completed')
  const asked = shop.asked.findLast(({ url }) => url === '/asked.csv')
  expect(asked?.headers).toMatchObject({ accept: 'text/csv', 'user-agent': 'Acme', 'x-shop': '7' })
})

describe('pages', () => {
  const people = Array.from({ length: 25 }, (_, n) => ({
    id: `p${n}`,
    name: `Person ${n}`,
    big: 12345678901234567890n,
  }))
  const page = (from: number, count = 10) =>
    JSON.stringify(people.slice(from, from + count), (_, value) =>
      typeof value === 'bigint' ? String(value) : value,
    )
  const mapping = { external_id: 'id', name: 'name' }

  it('follow each other by a cursor', async () => {
    const admin = await makeAdmin()
    shop.serve('/cursor', (url) => {
      const from = Number(url.searchParams.get('after') ?? 0)
      const next = from + 10 < 25 ? from + 10 : null
      return { body: `{"meta": {"next": ${next}}, "data": {"items": ${page(from)}}}` }
    })
    const options = { path: 'data.items', cursor: 'meta.next', cursor_parameter: 'after' }
    const source = await makeSource(admin, {
      location: `${shop.url}/cursor?shop=1`,
      kind: 'http_json',
      options,
      mapping,
    })
    const run = await sync(admin, source)
    expect(run).toMatchObject({
      status: 'completed',
      counts: { inserted: 25 },
      fetched: { pages: 3, row_count: 25 },
    })
    expect(shop.asked.slice(-3).map(({ url }) => url)).toEqual([
      '/cursor?shop=1',
      '/cursor?shop=1&after=10',
      '/cursor?shop=1&after=20',
    ])
    expect((await sync(admin, source)).status).toBe('unchanged')
  })

  it('or by an address in the body or in a header', async () => {
    const admin = await makeAdmin()
    shop.serve('/body', (url) =>
      url.searchParams.has('p')
        ? { body: `{"items": ${page(20)}, "next": ""}` }
        : { body: `{"items": ${page(0, 20)}, "next": "/body?p=2"}` },
    )
    shop.serve('/header', (url) =>
      url.searchParams.has('p')
        ? { body: page(20) }
        : { body: page(0, 20), headers: { link: '</x>; rel="prev", </header?p=2>; rel="next"' } },
    )
    for (const [location, options] of [
      [`${shop.url}/body`, { path: 'items', next: 'next' }],
      [`${shop.url}/header`, { next: 'header' }],
    ]) {
      const source = await makeSource(admin, { location, kind: 'http_json', options, mapping })
      expect(await sync(admin, source)).toMatchObject({
        status: 'completed',
        fetched: { pages: 2, row_count: 25 },
      })
    }
  })

  it('are handed from call to call, and bring in new columns late', async () => {
    const admin = await makeAdmin()
    const filler = 'x'.repeat(100_000)
    shop.serve('/large', (url) => {
      const n = Number(url.searchParams.get('page') ?? 0)
      const rows = Array.from({ length: 70 }, (_, m) => ({
        id: `${n}-${m}`,
        name: filler,
        ...(n > 1 && { late: n }),
      }))
      return { body: JSON.stringify({ rows, next: n < 4 ? n + 1 : null }) }
    })
    const options = { path: 'rows', cursor: 'next', cursor_parameter: 'page' }
    const source = await makeSource(admin, {
      location: `${shop.url}/large`,
      kind: 'http_json',
      options,
      mapping: { external_id: 'id', name: { column: 'name', transforms: [{ regex_extract: '^x{3}' }] } },
    })
    const run = await sync(admin, source)
    expect(run).toMatchObject({
      status: 'completed',
      counts: { inserted: 350 },
      fetched: { pages: 5, row_count: 350 },
    })
    const { data } = await admin.client.rpc('get_import', { import_id: run.import_id })
    expect(data.columns).toEqual(['id', 'name', 'late'])
    const [calls] = await sql`
      select count(*)::integer as made from net._http_response as r where r.content like '%"reported":true%'`
    expect(calls?.made).toBeGreaterThan(0)
  })

  it('are no more together than an object may be', async () => {
    const admin = await makeAdmin()
    await sql`select public.set_setting('imports.max_object_bytes', '2000', ${admin.organization})`
    shop.serve('/ever', (url) => {
      const n = Number(url.searchParams.get('after') ?? 0)
      return { body: `{"items": [{"id": ${n}, "name": "${'x'.repeat(500)}"}], "next": ${n + 1}}` }
    })
    const options = { path: 'items', cursor: 'next', cursor_parameter: 'after' }
    const source = await makeSource(admin, {
      location: `${shop.url}/ever`,
      kind: 'http_json',
      options,
      mapping,
    })
    expect(await sync(admin, source)).toMatchObject({
      error: { code: 'source_too_large', details: 'more than 2000 bytes' },
    })
  })

  it('that never end are given up', async () => {
    const admin = await makeAdmin()
    shop.serve('/circle', { body: '{"items": [{"id": 1}], "next": "/circle"}' })
    const options = { path: 'items', next: 'next' }
    const source = await makeSource(admin, {
      location: `${shop.url}/circle`,
      kind: 'http_json',
      options,
      mapping,
    })
    expect(await sync(admin, source)).toMatchObject({
      error: { code: 'source_too_large', message: 'source does not end' },
    })
  })
})

describe('a mirror', () => {
  it('deletes what the source no longer has, and asks before it deletes much', async () => {
    const admin = await makeAdmin()
    await admin.client
      .from('customers')
      .insert({ org_id: admin.organization, external_id: 'own', name: 'Own' })
    const twenty = Array.from({ length: 20 }, (_, n) => `N${n}`)
    shop.serve('/mirror.csv', tagged(customers(...twenty)))
    const source = await makeSource(admin, { location: `${shop.url}/mirror.csv`, mode: 'mirror' })
    expect(await sync(admin, source)).toMatchObject({ status: 'completed', counts: { inserted: 20 } })

    shop.serve('/mirror.csv', tagged(customers(...twenty.slice(1))))
    expect(await sync(admin, source)).toMatchObject({
      status: 'completed',
      counts: { unchanged: 19, deleted: 1 },
    })

    shop.serve('/mirror.csv', tagged(customers('N5')))
    const asks = await sync(admin, source)
    expect(asks).toMatchObject({
      status: 'awaiting_approval',
      reason: 'too_many_deletions',
      deletion_count: 18,
    })
    expect((await names(admin)).split(' ')).toHaveLength(20)
    await admin.client.rpc('approve_sync', { run_id: asks.id })
    expect(await rested(admin, asks.id)).toMatchObject({ status: 'completed', counts: { deleted: 18 } })
    expect(await names(admin)).toBe('N5 Own')
  })
})

describe('a source that is not well', () => {
  const endless = customers(...Array.from({ length: 100_000 }, (_, n) => `Name${n}`))
  const cases: [string, () => Record<string, unknown>, Record<string, unknown>][] = [
    [
      'is not there',
      () => ({ location: `${shop.url}/nowhere` }),
      { code: 'source_refused', details: 'status 404' },
    ],
    ['is down', () => ({ location: 'http://127.0.0.1:9' }), { code: 'source_unreachable' }],
    [
      'fails',
      () => ({ location: `${nasty.url}/status?code=503` }),
      { code: 'source_unreachable', details: 'status 503' },
    ],
    ['hangs up', () => ({ location: `${nasty.url}/hangs-up` }), { code: 'source_unreachable' }],
    ['is cut off', () => ({ location: `${nasty.url}/cut-off` }), { code: 'source_unreachable' }],
    ['never ends', () => ({ location: `${shop.url}/endless` }), { code: 'source_too_large' }],
    ['sends what is no text', () => ({ location: `${nasty.url}/endless` }), { code: 'source_not_data' }],
    ['packs much into little', () => ({ location: `${shop.url}/packed` }), { code: 'source_too_large' }],
    ['turns in circles', () => ({ location: `${nasty.url}/loop` }), { code: 'source_refused' }],
    ['sends a web page', () => ({ location: `${shop.url}/page` }), { code: 'source_not_data' }],
    ['sends one in disguise', () => ({ location: `${shop.url}/disguise` }), { code: 'source_not_data' }],
    [
      'sends another object',
      () => ({ location: `${shop.url}/object`, kind: 'http_json', options: { path: 'items' } }),
      { code: 'source_not_data' },
    ],
    ['has shrunk to its header', () => ({ location: `${shop.url}/header.csv` }), { code: 'source_empty' }],
    ['has shrunk to nothing', () => ({ location: `${shop.url}/nothing` }), { code: 'source_empty' }],
    [
      'has an empty list',
      () => ({ location: `${shop.url}/list`, kind: 'http_json', options: { path: 'items' } }),
      { code: 'source_empty' },
    ],
    [
      'has other columns',
      () => ({ location: `${shop.url}/columns.csv`, mapping: { external_id: 'id', name: 'label' } }),
      { code: 'columns_changed' },
    ],
  ]
  it.concurrent.each(cases)(
    '%s: is said so, and nothing is applied',
    async (_, source, error) => {
      shop.serve('/page', { headers: { 'content-type': 'text/html' }, body: 'Sorry.' })
      shop.serve('/disguise', { headers: { 'content-type': 'text/csv' }, body: '\n<!DOCTYPE html>\n<html>' })
      shop.serve('/object', { body: '{"error": "none"}' })
      shop.serve('/header.csv', { body: 'external_id,name\n' })
      shop.serve('/nothing', { body: '' })
      shop.serve('/endless', { body: endless })
      shop.serve('/packed', { body: gzipSync(endless) })
      shop.serve('/list', { body: '{"items": []}' })
      shop.serve('/columns.csv', { body: 'id,title\n1,One\n' })
      const admin = await makeAdmin()
      await sql`select public.set_setting('imports.max_request_bytes', '1000000', ${admin.organization})`
      const run = await sync(admin, await makeSource(admin, source()))
      expect(run).toMatchObject({ status: 'failed', error })
      expect(await names(admin)).toBe('')
    },
    80_000,
  )

  it('is at a private address: is refused where that is not allowed', async () => {
    const admin = await makeAdmin(false)
    const before = shop.asked.length
    const run = await sync(admin, await makeSource(admin, { location: `${shop.url}/feed.csv` }))
    expect(run).toMatchObject({ error: { code: 'address_refused' } })
    expect(shop.asked).toHaveLength(before)
  })
})

it('a source whose template was deleted says so at once', async () => {
  const admin = await makeAdmin()
  shop.serve('/feed.csv', tagged(customers('Ada')))
  const first = await sync(admin, await makeSource(admin, { location: `${shop.url}/feed.csv` }))
  const { data: template } = await admin.client.rpc('save_import_template', {
    import_id: first.import_id,
    name: 'feed',
  })
  const source = await makeSource(admin, { location: `${shop.url}/feed.csv`, template_id: template.id })
  await admin.client.rpc('delete_import_template', { template_id: template.id })
  const run = await sync(admin, source)
  expect(run).toMatchObject({ status: 'failed', error: { code: 'PT409', message: 'template was deleted' } })
})

describe('a source that comes back', () => {
  it('is asked again, when it says so', async () => {
    const admin = await makeAdmin()
    let asked = 0
    shop.serve('/back.csv', () =>
      ++asked === 1 ? { status: 503, headers: { 'retry-after': '1' }, body: '' } : { body: customers('Ada') },
    )
    const began = Date.now()
    const run = await sync(admin, await makeSource(admin, { location: `${shop.url}/back.csv` }))
    expect(run).toMatchObject({ status: 'completed', counts: { inserted: 1 } })
    expect(Date.now() - began).toBeGreaterThan(1_000)
  })
})

describe('two runs at once', () => {
  it('of one source are one, or one after the other', async () => {
    const admin = await makeAdmin()
    shop.serve('/once.csv', tagged(customers('Ada')))
    const source = await makeSource(admin, { location: `${shop.url}/once.csv` })
    const started = await Promise.all(
      Array.from({ length: 4 }, () => admin.client.rpc('run_sync', { source_id: source })),
    )
    expect(started.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409])
    await rested(admin, started.find(({ data }) => data)?.data.id)

    await admin.client.rpc('change_sync_source', { source_id: source, changes: { overlap: 'wait' } })
    const waiting = await Promise.all(
      Array.from({ length: 3 }, () => admin.client.rpc('run_sync', { source_id: source })),
    )
    const made = waiting.filter(({ data }) => data).map(({ data }) => data.id)
    expect(made).toHaveLength(2)
    expect((await Promise.all(made.map((id) => rested(admin, id)))).map(({ status }) => status)).toEqual([
      'unchanged',
      'unchanged',
    ])
  })
})

describe('over HTTP', () => {
  const call = async (caller: Person | undefined, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${inject('stack').url}/functions/v1/sync${path}`, {
      method,
      headers: {
        ...(caller && { authorization: `Bearer ${caller.token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  it('a source is made, changed, scheduled, run and deleted', async () => {
    const admin = await makeAdmin()
    shop.serve('/http.csv', tagged(customers('Ada')))
    const source = { name: 'shop', dataset: 'customers', kind: 'http_csv', location: `${shop.url}/http.csv` }
    const made = await call(admin, 'POST', '/sources', source)
    expect(made).toMatchObject({ status: 201, body: { name: 'shop', mode: 'upsert', schedules: [] } })
    const { id } = made.body
    expect(await call(admin, 'POST', '/sources', source)).toMatchObject({
      status: 409,
      body: { code: '23505' },
    })
    expect(await call(admin, 'POST', '/sources', { ...source, colour: 'red' })).toMatchObject({ status: 400 })
    expect(await call(admin, 'PATCH', `/sources/${id}`, { requires_approval: true })).toMatchObject({
      status: 200,
      body: { requires_approval: true },
    })
    expect(await call(admin, 'PUT', '/secrets/key', { value: 'x' })).toEqual({ status: 204, body: undefined })
    expect((await call(admin, 'GET', '/secrets')).body.secrets).toMatchObject([{ name: 'key' }])
    expect((await call(admin, 'DELETE', '/secrets/key')).status).toBe(204)

    const schedule = await call(admin, 'POST', '/schedules', { source_id: id, cron_expression: '0 4 * * *' })
    expect(schedule).toMatchObject({ status: 201, body: { time_zone: 'UTC', is_enabled: true } })
    expect(
      await call(admin, 'POST', '/schedules', { source_id: id, cron_expression: 'daily' }),
    ).toMatchObject({
      status: 400,
      body: { message: 'schedule is not understood', details: 'invalid schedule: daily' },
    })
    const path = `/schedules/${schedule.body.id}`
    expect((await call(admin, 'PATCH', path, { is_enabled: false })).body.is_enabled).toBe(false)
    expect((await call(admin, 'GET', `/schedules?source_id=${id}`)).body.schedules).toHaveLength(1)
    expect((await call(admin, 'DELETE', path)).status).toBe(204)

    const run = await call(admin, 'POST', `/sources/${id}/run?wait=30`)
    expect(run).toMatchObject({
      status: 200,
      body: { status: 'awaiting_approval', preview: { counts: { insert: 1 } } },
    })
    const runPath = `/runs/${run.body.id}`
    expect((await call(admin, 'GET', '/runs?status=awaiting_approval')).body.runs).toHaveLength(1)
    expect(await call(admin, 'POST', `${runPath}/approve?wait=30`)).toMatchObject({
      status: 200,
      body: { status: 'completed', counts: { inserted: 1 } },
    })
    expect(await call(admin, 'POST', `${runPath}/cancel`)).toMatchObject({
      status: 409,
      body: { code: 'PT409' },
    })
    expect((await call(admin, 'DELETE', `/sources/${id}`)).status).toBe(204)
    expect(await call(admin, 'GET', runPath)).toMatchObject({ status: 404 })
  })

  it('is for admins alone', async () => {
    const admin = await makeAdmin()
    const source = await makeSource(admin, { location: `${shop.url}/feed.csv` })
    const member = await signUp('max')
    await sql`update public.profiles set org_id = ${admin.organization}, org_role = 'member' where id = ${member.id}`
    for (const [caller, status] of [
      [member, 403],
      [await makeAdmin(), 404],
      [undefined, 401],
    ] as const) {
      expect((await call(caller, 'GET', `/sources/${source}`)).status).toBe(caller ? 404 : 401)
      expect((await call(caller, 'POST', `/sources/${source}/run`)).status).toBe(caller ? 404 : 401)
      expect((await call(caller, 'DELETE', `/sources/${source}`)).status).toBe(caller ? 404 : 401)
      const secret = { value: 'x', org_id: admin.organization }
      expect((await call(caller, 'PUT', '/secrets/key', secret)).status).toBe(status)
    }
    expect((await call(undefined, 'GET', '/openapi.json')).body.info.title).toBe('Sluice sync')
  })
})

describe('a schedule', () => {
  it('syncs its source when it is due', async () => {
    const admin = await makeAdmin()
    shop.serve('/due.csv', tagged(customers('Ada')))
    const source = await makeSource(admin, { location: `${shop.url}/due.csv` })
    const { data: schedule } = await admin.client.rpc('create_sync_schedule', {
      source_id: source,
      cron_expression: '* * * * *',
    })
    // Each minute is too long to wait for: what pg_cron would call.
    const [job] =
      await sql`select j.command from cron.job as j where j.jobname = ${`sync.run_${schedule.id}`}`
    await sql.unsafe(job?.command)
    const { data } = await admin.client.rpc('list_sync_runs', { source_id: source })
    expect(await rested(admin, data.runs[0].id)).toMatchObject({ status: 'completed' })
    await admin.client.rpc('delete_sync_schedule', { schedule_id: schedule.id })
  })
})

describe('a file of the bucket', () => {
  it('is taken in once, and the next one of its folder after it', async () => {
    const admin = await makeAdmin()
    const folder = `${admin.organization}/feeds`
    const put = (name: string, body: string) =>
      admin.client.storage.from('imports').upload(`${folder}/${name}`, new Blob([body], { type: 'text/csv' }))
    expect((await put('1.csv', customers('Ada'))).error).toBeNull()
    const source = await makeSource(admin, { kind: 'storage', location: `${folder}/` })
    expect(await sync(admin, source)).toMatchObject({ status: 'completed', counts: { inserted: 1 } })
    expect((await sync(admin, source)).status).toBe('unchanged')
    await put('2.csv', customers('Bob'))
    expect(await sync(admin, source)).toMatchObject({ status: 'completed', counts: { inserted: 1 } })
    expect(await names(admin)).toBe('Ada Bob')
    await put('3.csv', 'external_id,name\n')
    expect(await sync(admin, source)).toMatchObject({ status: 'failed', error: { code: 'source_empty' } })
  })
})
