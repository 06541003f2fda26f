import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { previewSchema } from '../../functions/_shared/documents.ts'
import { connect, type Person, signUp } from '../support/client.ts'
import { csv, request } from '../support/http.ts'
import { getImport, settled, until } from '../support/imports.ts'
import {
  addTrigger,
  dropTrigger,
  expectTrueFates,
  makeTarget,
  setChunkRows,
  targetColumns,
  targetRows,
} from '../support/targets.ts'

// Steering an import over HTTP: held, gone on with, stopped, tried again, taken back, and every row counted.

const rowCount = 1200
const slow = 'perform pg_sleep(0.001);'
let sql: Sql
let ann: Person
let organization: string
let target: string

beforeAll(async () => {
  sql = connect()
  ann = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  organization = (await ann.client.rpc('create_organization', { name: slug, slug })).data.id
  await setChunkRows(sql, organization, 100)
  target = `target_${randomUUID().slice(0, 8)}`
  await makeTarget(sql, target)
})
afterAll(() => sql.end({ timeout: 1 }))

/** Uploads rows and goes on as told. */
async function upload(rows: Iterable<string[]>, query = ''): Promise<string> {
  const file = csv(targetColumns, rows)
  const { status, body } = await request(ann, 'POST', `?dataset=${target}${query}`, { body: file })
  expect(status).toBe(201)
  return body.id
}

/** An import that is in the middle of its commit. */
async function committing(prefix: string): Promise<string> {
  await addTrigger(sql, target, 'insert', slow)
  const id = await upload(targetRows(rowCount, prefix), '&review=false')
  await until('some rows are applied', 30, async () => Boolean((await getImport(sql, id)).counts.inserted))
  return id
}

async function storedRows(prefix: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::integer as count from ${sql(target)} where org_id = ${organization} and starts_with(code, ${prefix})`
  return row?.count ?? -1
}

describe('an import that runs', () => {
  it('is paused and resumed, and every row is applied once', async () => {
    const id = await committing('A')
    const paused = await request(ann, 'POST', `/${id}/pause`)
    expect(paused).toMatchObject({
      status: 202,
      body: { id, status: 'committing', job: { status: 'paused' } },
    })
    expect((await request(ann, 'POST', `/${id}/pause`)).status).toBe(202)
    await until('nothing is in flight', 30, async () => {
      const [row] = await sql`
        select count(*)::integer as count from public.sync_job_queue as q
        where q.job_id = ${paused.body.job?.id ?? ''} and q.status = 'running'`
      return row?.count === 0
    })
    const { counts, job } = (await request(ann, 'GET', `/${id}`)).body
    expect(counts.inserted).toBeGreaterThan(0)
    expect(counts).toMatchObject({ pending: rowCount - (counts.inserted ?? 0), failed: 0 })
    expect(job?.done).toBe(counts.inserted)
    expect(await storedRows('A')).toBe(counts.inserted)

    const resumed = await request(ann, 'POST', `/${id}/resume?wait=30`)
    expect(resumed).toMatchObject({
      status: 200,
      body: { status: 'completed', counts: { inserted: rowCount, failed: 0, pending: 0 } },
    })
    await expectTrueFates(sql, id, { isWhole: false })
    expect(await storedRows('A')).toBe(rowCount)
    for (const action of ['pause', 'resume', 'cancel', 'retry']) {
      const refused = await request(ann, 'POST', `/${id}/${action}`)
      expect(refused, action).toMatchObject({ status: 409, body: { code: 'PT409' } })
    }
  })

  it('is cancelled: what is applied stays, and is said', async () => {
    const id = await committing('B')
    const cancelled = await request(ann, 'POST', `/${id}/cancel?wait=30`)
    const { status, counts } = cancelled.body
    expect([cancelled.status, status]).toEqual([200, 'cancelled'])
    expect(counts.inserted).toBeLessThan(rowCount)
    expect(counts).toMatchObject({ rows: rowCount, pending: rowCount - (counts.inserted ?? 0), failed: 0 })
    expect(await storedRows('B')).toBe(counts.inserted)
    await expectTrueFates(sql, id, { isWhole: false })

    const undone = await request(ann, 'POST', `/${id}/undo?wait=30`)
    expect(undone).toMatchObject({
      status: 200,
      body: { status: 'undone', undo: { reversed: counts.inserted, kept: {} } },
    })
    expect(await storedRows('B')).toBe(0)
    const again = await request(ann, 'POST', `/${id}/undo`)
    expect(again).toMatchObject({ status: 409, body: { message: 'nothing is left to undo' } })
  })
})

describe('an import that failed', () => {
  it('is tried again, and goes on where it was given up', async () => {
    const trouble =
      "if new.code = 'C700' then raise exception using errcode = '0A000', message = 'not today'; end if;"
    await addTrigger(sql, target, 'insert', trouble)
    const id = await upload(targetRows(rowCount, 'C'), '&review=false')
    expect(await settled(sql, id)).toBe('failed')
    const failed = (await request(ann, 'GET', `/${id}`)).body
    expect(failed.error).toMatchObject({ code: '0A000', message: 'not today' })
    expect(failed.counts.inserted).toBe(await storedRows('C'))

    await dropTrigger(sql, target)
    const retried = await request(ann, 'POST', `/${id}/retry?wait=30`)
    expect(retried).toMatchObject({
      status: 200,
      body: { status: 'completed', error: null, counts: { inserted: rowCount, failed: 0, pending: 0 } },
    })
    expect(await storedRows('C')).toBe(rowCount)
    await expectTrueFates(sql, id, { isWhole: false })
  })
})

describe('a preview', () => {
  it('tells what the commit would do, counted or tried, and changes nothing', async () => {
    await dropTrigger(sql, target).catch(() => {})
    await upload(targetRows(200, 'E'), '&review=false&wait=30')
    // Of 200 there, 100 stay, 100 get another name; 100 are new, of which the table will refuse one.
    const rows = [...targetRows(100, 'E'), ...[...targetRows(300, 'E', 'Other')].slice(100)]
    const id = await upload(rows)
    expect((await request(ann, 'GET', `/${id}/preview`)).status).toBe(409)
    const validated = await request(ann, 'POST', `/${id}/validate?wait=30`)
    expect(validated).toMatchObject({ status: 200, body: { status: 'validated' } })
    const counts = { insert: 100, update: 100, unchanged: 100, delete: 0, fail: 0, skip: 0 }
    expect(await request(ann, 'GET', `/${id}/preview`)).toMatchObject({
      status: 200,
      body: { kind: 'counts', counts },
    })

    const refusal =
      "if new.code = 'E300' then raise exception using errcode = '23514', message = 'not that one'; end if;"
    await addTrigger(sql, target, 'insert', refusal)
    const started = await request(ann, 'POST', `/${id}/commit?dry_run=counts`)
    expect(started).toMatchObject({ status: 202, body: { job_type: 'preview', import_id: id } })
    await until('it has counted', 30, async () => {
      const { job } = (await request(ann, 'GET', `/${id}`)).body
      return job?.status === 'completed'
    })
    const tried = await request(ann, 'POST', `/${id}/commit?dry_run=full&wait=30`)
    const found = { ...counts, insert: 99, fail: 1 }
    expect(tried).toMatchObject({ status: 200, body: { status: 'validated', job: { result: found } } })
    const preview = await request(ann, 'GET', `/${id}/preview`)
    expect(preview.body).toMatchObject({ kind: 'full', counts: found })
    expect(previewSchema.safeParse(preview.body).error).toBeUndefined()
    const { changes } = preview.body as unknown as z.infer<typeof previewSchema>
    expect(changes).toHaveLength(50)
    expect(changes[0]).toMatchObject({
      row_number: 101,
      key: 'E101',
      action: 'update',
      before: { name: 'Part 101' },
      after: { name: 'Other 101' },
    })
    expect(await storedRows('E')).toBe(200)

    const done = await request(ann, 'POST', `/${id}/commit?wait=30`)
    expect(done.body.counts).toMatchObject({ inserted: 99, updated: 100, unchanged: 100, failed: 1 })
    await dropTrigger(sql, target)
  })
})

describe('an undo', () => {
  it('takes back what nobody changed since; a dry run says the same and changes nothing', async () => {
    await dropTrigger(sql, target).catch(() => {})
    await upload(targetRows(300, 'D'), '&review=false&wait=30')
    // Of 300 there, 100 stay, 200 get another name; 100 are new.
    const rows = [...targetRows(300, 'D', 'Piece'), ...targetRows(400, 'D')].filter(([code], n) => {
      const number = Number(code?.slice(1))
      return n < 300 ? number > 100 : number <= 100 || number > 300
    })
    const id = await upload(rows, '&review=false&wait=30')
    const { counts } = (await request(ann, 'GET', `/${id}`)).body
    expect(counts).toMatchObject({ inserted: 100, updated: 200, unchanged: 100 })
    // Somebody goes on working with them.
    await sql`update ${sql(target)} set name = 'Mine' where org_id = ${organization} and code in ('D150', 'D350')`
    await sql`delete from ${sql(target)} where org_id = ${organization} and code = 'D400'`

    const result = { reversed: 297, changed: 2, missing: 1 }
    const dry = await request(ann, 'POST', `/${id}/undo?dry_run=true&wait=30`)
    expect(dry).toMatchObject({ status: 200, body: { status: 'completed', undo: null, job: { result } } })
    expect(await namesOf('Piece')).toBe(199)

    const key = { headers: { 'idempotency-key': randomUUID() } }
    const started = await request(ann, 'POST', `/${id}/undo`, key)
    expect(started).toMatchObject({ status: 202, body: { job_type: 'undo', import_id: id } })
    const again = await request(ann, 'POST', `/${id}/undo?wait=30`, key)
    expect(again).toMatchObject({
      status: 200,
      body: {
        status: 'undone',
        undo: { reversed: 297, kept: { changed: 2, missing: 1 } },
        job: { id: started.body.id, result },
      },
    })
    expect([await namesOf('Piece'), await namesOf('Mine'), await storedRows('D')]).toEqual([0, 2, 301])

    const undone = (await request(ann, 'GET', `/${id}/rows?status=undone&limit=1000`))
      .body as unknown as object[]
    expect(undone).toHaveLength(297)
  })

  async function namesOf(name: string): Promise<number> {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::integer as count from ${sql(target)} where org_id = ${organization} and starts_with(name, ${name})`
    return row?.count ?? -1
  }
})
