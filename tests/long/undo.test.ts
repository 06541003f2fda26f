import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import {
  asPerson,
  getImport,
  makeOrganization,
  settled,
  stageImport,
  until,
  validate,
} from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { crash, strike } from '../support/strikes.ts'
import { makeTarget, setChunkRows, targetColumns, targetRows } from '../support/targets.ts'

// An undo may be killed at any moment, meet another, or meet people at work: every record is taken back once, or kept.

const rowCount = 10_000
let stack: Stack
let sql: Sql
let admin: string
let organization: string

beforeAll(async () => {
  stack = await startTestStack()
  sql = connect()
  await makeTarget(sql, 'parts')
  await sql`update public.sync_retry_policy set max_attempts = 100, base_delay = '50 milliseconds'`
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await stack?.stop()
})

function connect(): Sql {
  return postgres(stack.databaseUrl, { max: 2, prepare: false, connect_timeout: 5, onnotice: () => {} })
}

const client = () => sql
const undo = (importId: string) =>
  asPerson(sql, admin, (tx) => tx`select public.undo_import(${importId}::uuid)`)

/** An import that updated half of its records and inserted the others, in many small chunks. */
async function importOver(name: string): Promise<string> {
  ;({ admin, organization } = await makeOrganization(sql, name))
  await setChunkRows(sql, organization, 500)
  const half = targetRows(rowCount / 2, 'P', 'Former')
  const former = await stageImport(sql, admin, { dataset: 'parts', columns: targetColumns, rows: half })
  await validate(sql, admin, former, true)
  expect(await settled(sql, former)).toBe('completed')

  const importId = await stageImport(sql, admin, {
    dataset: 'parts',
    columns: targetColumns,
    rows: targetRows(rowCount, 'P', 'Renewed'),
  })
  await validate(sql, admin, importId, true)
  expect(await settled(sql, importId)).toBe('completed')
  expect((await getImport(sql, importId)).counts).toMatchObject({
    inserted: rowCount / 2,
    updated: rowCount / 2,
  })
  return importId
}

/** The names that the organization's records have, each with how many have it. */
async function namesLeft(): Promise<Record<string, number>> {
  const rows = await sql<{ name: string; count: number }[]>`
    select split_part(p.name, ' ', 1) as name, count(*)::integer from public.parts as p where p.org_id = ${organization} group by 1`
  return Object.fromEntries(rows.map((row) => [row.name, row.count]))
}

async function expectWholeUndo(importId: string): Promise<void> {
  expect(await settled(sql, importId)).toBe('undone')
  expect(await namesLeft()).toEqual({ Former: rowCount / 2 })
  expect(await getImport(sql, importId)).toMatchObject({
    undo: { reversed: rowCount, kept: {} },
    job: { status: 'completed', total: rowCount, done: rowCount, failed: 0, result: { reversed: rowCount } },
  })
  const [rows] = await sql`
    select count(*)::integer, count(distinct n)::integer as records
    from private.import_reversals as r cross join lateral unnest(r.row_numbers) as n where r.batch_id = ${importId}`
  expect(rows).toEqual({ count: rowCount, records: rowCount })
}

describe('an undo whose backend', () => {
  it('is terminated takes back each record once', async () => {
    const importId = await importOver('terminated')
    await undo(importId)
    expect(
      await strike(client, importId, 6, (pid) => sql`select pg_terminate_backend(${pid})`),
    ).toBeGreaterThan(1)
    await expectWholeUndo(importId)
  })

  it('is killed, and the server with it, takes back each record once', async () => {
    const importId = await importOver('killed')
    await undo(importId)
    const kill = async (pid: number) => {
      sql = await crash(sql, connect, () => process.kill(pid, 'SIGKILL'))
    }
    expect(await strike(client, importId, 2, kill)).toBeGreaterThan(0)
    await expectWholeUndo(importId)
  })
})

describe('an undo', () => {
  it('is one of two that are asked for at once', async () => {
    const importId = await importOver('twice')
    const asked = await Promise.allSettled([undo(importId), undo(importId), undo(importId)])
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of asked)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'PT409' })
    await expectWholeUndo(importId)
  })

  it('keeps what people change while it runs, and takes back the rest', async () => {
    const importId = await importOver('edited')
    await undo(importId)
    let edits = 0
    for (let n = 1; n <= rowCount; n += 97) {
      const edited = await sql`
        update public.parts set name = 'Edited' where org_id = ${organization} and code = ${`P${n}`} and name like 'Renewed%'`
      edits += edited.count
    }
    expect(await settled(sql, importId)).toBe('undone')

    const names = await namesLeft()
    const document = await getImport(sql, importId)
    expect(edits).toBeGreaterThan(0)
    expect(document.undo).toEqual({ reversed: rowCount - edits, kept: { changed: edits } })
    expect(names.Edited).toBe(edits)
    expect(names.Renewed).toBeUndefined()
  })

  it('is paused in the middle, and goes on', async () => {
    const importId = await importOver('paused')
    await undo(importId)
    await asPerson(sql, admin, (tx) => tx`select public.pause_import(${importId}::uuid)`)
    const held = await until('nothing is in flight', 30, async () => {
      const [row] = await sql<{ running: number; held: number }[]>`
        select count(*) filter (where q.status = 'running')::integer as running, count(*) filter (where q.status = 'held')::integer as held
        from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = ${importId}`
      return row?.running === 0 && row
    })
    expect(held.held).toBeGreaterThan(0)
    await asPerson(sql, admin, (tx) => tx`select public.resume_import(${importId}::uuid)`)
    await expectWholeUndo(importId)
  })
})
