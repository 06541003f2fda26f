import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import {
  asPerson,
  commit,
  getImport,
  makeOrganization,
  settled,
  stageImport,
  until,
  validate,
} from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { crash, strike } from '../support/strikes.ts'
import {
  addTrigger,
  contradictions,
  makeTarget,
  setChunkRows,
  targetColumns,
  targetRows,
} from '../support/targets.ts'

// A dry run may be killed at any moment, or meet people at work: nothing of it is written, and each row is counted once.

const rowCount = 10_000
const half = rowCount / 2
/** Rows with a round number are refused: one of 400, half of them updates. */
const refused = 25
const lost = 12
let stack: Stack
let sql: Sql
let admin: string
let organization: string

beforeAll(async () => {
  stack = await startTestStack()
  sql = connect()
  await makeTarget(sql, 'parts')
  await addTrigger(
    sql,
    'parts',
    'insert or update',
    `if new.name like 'Renewed %' and substring(new.name from '[0-9]+')::integer % 400 = 0 then
       raise exception using errcode = '23514', message = 'no round numbers';
     end if;`,
  )
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
const dryRun = (importId: string) =>
  asPerson(sql, admin, (tx) => tx`select public.preview_import(${importId}::uuid, true)`)

/** A validated import of many small chunks that would update half of its rows and insert the others. */
async function makeValidated(name: string): Promise<string> {
  ;({ admin, organization } = await makeOrganization(sql, name))
  await setChunkRows(sql, organization, 500)
  const former = await stageImport(sql, admin, {
    dataset: 'parts',
    columns: targetColumns,
    rows: targetRows(half, 'P', 'Former'),
  })
  await validate(sql, admin, former, true)
  expect(await settled(sql, former)).toBe('completed')

  const importId = await stageImport(sql, admin, {
    dataset: 'parts',
    columns: targetColumns,
    rows: targetRows(rowCount, 'P', 'Renewed'),
  })
  await validate(sql, admin, importId)
  expect(await settled(sql, importId)).toBe('validated')
  return importId
}

/** Nothing is written, every row was tried once, and what was refused is told once. */
async function expectWholeDryRun(importId: string): Promise<void> {
  expect(await settled(sql, importId)).toBe('validated')
  const [written] = await sql`
    select count(*)::integer, count(*) filter (where p.name not like 'Former%')::integer as changed
    from public.parts as p where p.org_id = ${organization}`
  expect(written).toEqual({ count: half, changed: 0 })
  expect(await getImport(sql, importId)).toMatchObject({
    issues: [{ code: 'constraint_violation', severity: 'warning', count: refused }],
    counts: { failed: 0, pending: rowCount },
    job: { job_type: 'dry_run', status: 'completed', total: rowCount, done: rowCount, failed: refused },
  })

  type Preview = { kind: string; counts: Record<string, number>; changes: { row_number: number }[] }
  const [read] = await asPerson(
    sql,
    admin,
    (tx) => tx<{ preview: Preview }[]>`select public.get_import_preview(${importId}::uuid) as preview`,
  )
  expect(read?.preview).toMatchObject({
    kind: 'full',
    counts: { insert: half - (refused - lost), update: half - lost, fail: refused, unchanged: 0, delete: 0 },
  })
  expect(read?.preview.changes.map((change) => change.row_number)).toEqual(
    Array.from({ length: 50 }, (_, index) => index + 1),
  )
}

describe('a dry run whose backend', () => {
  it('is terminated writes nothing and counts each row once; the commit after it does what was told', async () => {
    const importId = await makeValidated('terminated')
    await dryRun(importId)
    expect(
      await strike(client, importId, 6, (pid) => sql`select pg_terminate_backend(${pid})`),
    ).toBeGreaterThan(1)
    await expectWholeDryRun(importId)

    await commit(sql, admin, importId)
    expect(await settled(sql, importId)).toBe('completed')
    expect(await contradictions(sql, importId)).toEqual({ surplus_rows: lost }) // What was refused keeps its former state.
    expect(await getImport(sql, importId)).toMatchObject({
      issues: [{ code: 'constraint_violation', severity: 'error', count: refused }],
      counts: { failed: refused, inserted: half - (refused - lost), updated: half - lost },
    })
  })

  it('is killed, and the server with it, writes nothing and counts each row once', async () => {
    const importId = await makeValidated('killed')
    await dryRun(importId)
    const kill = async (pid: number) => {
      sql = await crash(sql, connect, () => process.kill(pid, 'SIGKILL'))
    }
    expect(await strike(client, importId, 2, kill)).toBeGreaterThan(0)
    await expectWholeDryRun(importId)
  })
})

describe('a dry run', () => {
  it('is one of two that are asked for at once, and no commit slips in', async () => {
    const importId = await makeValidated('twice')
    const asked = await Promise.allSettled([dryRun(importId), dryRun(importId)])
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of asked)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'PT409' })
    await expect(commit(sql, admin, importId)).rejects.toMatchObject({ code: 'PT409' })
    await expectWholeDryRun(importId)
  })

  it('is paused in the middle, and goes on', async () => {
    const importId = await makeValidated('paused')
    await dryRun(importId)
    await asPerson(sql, admin, (tx) => tx`select public.pause_import(${importId}::uuid)`)
    const held = await until('nothing is in flight', 30, async () => {
      const [row] = await sql<{ running: number; held: number }[]>`
        select count(*) filter (where q.status = 'running')::integer as running, count(*) filter (where q.status = 'held')::integer as held
        from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = ${importId}`
      return row?.running === 0 && row
    })
    expect(held.held).toBeGreaterThan(0)
    await asPerson(sql, admin, (tx) => tx`select public.resume_import(${importId}::uuid)`)
    await expectWholeDryRun(importId)
  })
})
