import { randomUUID } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { type Person, signUp } from '../support/client.ts'
import {
  commit,
  getImport,
  makeOrganization,
  settled,
  stageImport,
  until,
  validate,
} from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { backendsAtWork, crash as crashServer, endWorkers, strike } from '../support/strikes.ts'
import {
  expectTrueFates,
  failedAttempts,
  makeTarget,
  setChunkRows,
  targetColumns,
  targetRows,
} from '../support/targets.ts'

// Any process may be killed at any moment: the import completes, and every row is applied exactly once.

const rowCount = 40_000
let stack: Stack
let sql: Sql
let admin: string
let organization: string

beforeAll(async () => {
  stack = await startTestStack()
  sql = connect()
  await makeTarget(sql, 'parts')
  // Who is hit often is not to be given up: that has a test of its own.
  await sql`update public.sync_retry_policy set max_attempts = 100, base_delay = '50 milliseconds'`
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await stack?.stop()
})

function connect(): Sql {
  return postgres(stack.databaseUrl, { max: 2, prepare: false, connect_timeout: 5, onnotice: () => {} })
}

/** Takes the server down; the test goes on with another client. */
async function crash(takeDown: () => void): Promise<void> {
  sql = await crashServer(sql, connect, takeDown)
}

const client = () => sql
const terminate = (pid: number) => sql`select pg_terminate_backend(${pid})`

/** An import of many small tasks, in an organization of its own. */
async function stage(name: string): Promise<string> {
  ;({ admin, organization } = await makeOrganization(sql, name))
  await setChunkRows(sql, organization, 1000)
  return stageImport(sql, admin, { dataset: 'parts', columns: targetColumns, rows: targetRows(rowCount) })
}

/** What every killed import must come to. */
async function expectWholeImport(importId: string): Promise<void> {
  expect(await settled(sql, importId)).toBe('completed')
  await expectTrueFates(sql, importId)
  const document = await getImport(sql, importId)
  expect(document).toMatchObject({
    counts: { rows: rowCount, inserted: rowCount, failed: 0, updated: 0, unchanged: 0, pending: 0 },
    job: { status: 'completed', total: rowCount, done: rowCount, failed: 0 },
    error: null,
  })
  const [left] = await sql`
    select from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = ${importId}`
  expect(left).toBeUndefined()
}

describe('the backend at a task', () => {
  const cancel = (pid: number) => sql`select pg_cancel_backend(${pid})`
  // The server takes every other backend down with it, and recovers.
  const kill = (pid: number) => crash(() => process.kill(pid, 'SIGKILL'))

  it.each([
    ['is terminated', 4, terminate, ['57P01 worker lost']],
    ['is killed', 2, kill, ['57P01 worker lost']],
    // Between claim and work it is the worker's block that ends, and so its task is an orphan.
    ['is cancelled', 3, cancel, ['57014 canceling statement due to user request', '57P01 worker lost']],
  ])('%s, up to %i times in validation and again in the commit', async (_, times, hit, traces) => {
    const importId = await stage('struck')
    await validate(sql, admin, importId)
    const atValidation = await strike(client, importId, times, hit)
    expect(await settled(sql, importId)).toBe('validated')

    await commit(sql, admin, importId)
    const atCommit = await strike(client, importId, times, hit)
    await expectWholeImport(importId)

    expect(atValidation).toBeGreaterThan(0)
    expect(atCommit).toBeGreaterThan(1)
    const attempts = Object.keys(await failedAttempts(sql, importId))
    expect(attempts.length).toBeGreaterThan(0)
    expect(traces).toEqual(expect.arrayContaining(attempts))
  })
})

describe('the backend that updates records', () => {
  it('is terminated: each is updated once, and its former state is kept', async () => {
    const first = await stage('renewed')
    await validate(sql, admin, first, true)
    await expectWholeImport(first)

    const rows = targetRows(rowCount, 'P', 'Renewed')
    const importId = await stageImport(sql, admin, { dataset: 'parts', columns: targetColumns, rows })
    await validate(sql, admin, importId)
    expect(await settled(sql, importId)).toBe('validated')
    await commit(sql, admin, importId)
    expect(await strike(client, importId, 4, terminate)).toBeGreaterThan(1)
    expect(await settled(sql, importId)).toBe('completed')

    await expectTrueFates(sql, importId)
    expect((await getImport(sql, importId)).counts).toMatchObject({
      updated: rowCount,
      inserted: 0,
      failed: 0,
    })
    const [images] = await sql`
      select count(*)::integer, count(distinct i.image ->> 'id')::integer as records
      from private.import_outcomes as o
      cross join lateral unnest(o.row_numbers, o.images) as i (row_number, image)
      join private.import_rows as r on r.batch_id = o.batch_id and r.row_number = i.row_number
      where o.batch_id = ${importId} and i.image ->> 'code' = r.cells[1] and i.image ->> 'name' like 'Part %'`
    expect(images).toEqual({ count: rowCount, records: rowCount })
  })
})

describe('what the import runs on', () => {
  it('is killed: the whole server, in validation and in the commit', async () => {
    const importId = await stage('unplugged')
    await validate(sql, admin, importId, true)
    for (const status of ['validating', 'committing']) {
      await until(`tasks run while it is ${status}`, 30, async () => {
        const [row] =
          await sql`select from public.import_batches where id = ${importId} and status = ${status}`
        return row && (await backendsAtWork(sql, importId)).length > 0
      })
      await crash(() => process.kill(stack.postgresPid(), 'SIGKILL'))
    }
    await expectWholeImport(importId)
    expect(await failedAttempts(sql, importId)).toEqual({ '57P01 worker lost': expect.any(Number) })
  })

  it('is stopped: the launcher of cron jobs, and it goes on when that is back', async () => {
    const importId = await stage('unwound')
    await validate(sql, admin, importId, true)
    await until('rows are applied', 30, async () => {
      const [row] = await sql`select from private.import_outcomes where batch_id = ${importId}`
      return row !== undefined
    })
    await stack.cron?.stop()
    await endWorkers(sql)
    const { status, counts } = await getImport(sql, importId)
    expect({ status, isDone: counts.pending === 0 }).toEqual({ status: 'committing', isDone: false })
    stack.cron?.start()
    await expectWholeImport(importId)
  })
})

describe('an upload', () => {
  const header = 'code,serial,name\n'
  const headers = (key: string) => ({
    authorization: `Bearer ${person.token}`,
    'content-type': 'text/csv',
    'idempotency-key': key,
  })
  let person: Person

  beforeAll(async () => {
    person = await signUp('uploader', stack)
    const { error } = await person.client.rpc('create_organization', { name: 'Uploader', slug: 'uploader' })
    expect(error).toBeNull()
  })

  /** Begins an upload that does not end; gives it back once its rows are on their way into the table. */
  async function begin(key: string): Promise<{ id: string; answer: Promise<number | undefined> }> {
    const request = httpRequest(`${stack.url}/functions/v1/imports?dataset=parts`, {
      method: 'POST',
      headers: headers(key),
    })
    const answer = new Promise<number | undefined>((settle) => {
      request
        .on('response', (response) => settle(response.resume().statusCode))
        .on('error', () => settle(undefined))
    })
    request.write(header)
    request.write([...targetRows(20_000, key)].map((cells) => `${cells.join(',')}\n`).join(''))
    const id = await until('rows are on their way', 20, async () => {
      const [row] = await sql<{ id: string }[]>`
        select b.id from public.import_batches as b where b.idempotency_key = ${key} and private.is_receiving(b.id)`
      return row?.id
    })
    return { id, answer }
  }

  async function expectNothingLeft(id: string, key: string): Promise<void> {
    const [rows] = await sql`select count(*)::integer from private.import_rows where batch_id = ${id}`
    expect(rows).toEqual({ count: 0 })
    const [batch] =
      await sql`select status, error ->> 'hint' as hint from public.import_batches where id = ${id}`
    expect(batch).toMatchObject({ status: 'failed', hint: expect.stringContaining('Send the file again') })
    const body = header + [...targetRows(2, key)].map((cells) => cells.join(',')).join('\n')
    const again = await until('the function answers again', 20, async () => {
      const answer = await fetch(`${stack.url}/functions/v1/imports?dataset=parts`, {
        method: 'POST',
        headers: headers(key),
        body,
      })
      return answer.status < 500 && answer
    })
    expect(again.status).toBe(201)
    expect(await again.json()).toMatchObject({ status: 'staged', row_count: 2 })
  }

  it('whose function process is killed leaves a failed import and no row, and its key is free', async () => {
    const key = randomUUID()
    const { id, answer } = await begin(key)
    process.kill(stack.functionsPid(), 'SIGKILL')
    expect((await answer) ?? 500).toBeGreaterThanOrEqual(500)
    await until('its transaction ends', 20, async () => {
      const [row] = await sql<{ gone: boolean }[]>`select not private.is_receiving(${id}) as gone`
      return row?.gone
    })
    await sql`update public.import_batches set created_at = now() - interval '2 minutes' where id = ${id}`
    await sql`select private.fail_interrupted_uploads()`
    const { error } = await getImport(sql, id)
    expect(error?.code).toBe('upload_interrupted')
    await expectNothingLeft(id, key)
  })

  it('whose backend in the database is terminated leaves a failed import and no row, and its key is free', async () => {
    const key = randomUUID()
    const { id, answer } = await begin(key)
    const [hit] = await sql`
      select pg_terminate_backend(l.pid) as done from pg_locks as l
      where l.locktype = 'advisory' and (l.classid::bigint << 32 | l.objid::bigint) = private.ingest_lock_key(${id})`
    expect(hit).toEqual({ done: true })
    const pid = stack.functionsPid()
    expect(await answer).toBeGreaterThanOrEqual(500)
    await until('it is failed', 20, async () => (await getImport(sql, id)).status === 'failed')
    await expectNothingLeft(id, key)
    expect(stack.functionsPid()).toBe(pid) // it costs that upload alone
  })
})
