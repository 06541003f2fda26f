import { randomUUID } from 'node:crypto'
import postgres, { type Sql } from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
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
import { endWorkers, strike } from '../support/strikes.ts'
import {
  addTrigger,
  contradictions,
  expectTrueFates,
  failedAttempts,
  makeTarget,
  setChunkRows,
  targetColumns,
  targetRows,
} from '../support/targets.ts'
import { startWorkers, type Workers } from '../support/workers.ts'

// What goes wrong inside tasks: it is recorded, tried again or given up, and costs no more than it must.

let stack: Stack
let sql: Sql
let admin: string
let organization: string
let target: string
let workers: Workers | undefined

beforeAll(async () => {
  stack = await startTestStack()
  sql = postgres(stack.databaseUrl, { max: 4, prepare: false, onnotice: () => {} })
  await sql`update public.sync_retry_policy set max_attempts = 3, base_delay = '50 milliseconds'`
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await stack?.stop()
})

beforeEach(async () => {
  ;({ admin, organization } = await makeOrganization(sql, 'acme'))
  target = `target_${randomUUID().slice(0, 8)}`
  await makeTarget(sql, target)
})
afterEach(async () => {
  await workers?.stop()
  workers = undefined
})

type Options = {
  chunk?: number
  mode?: string
  options?: Record<string, string>
  prefix?: string
  name?: string
}

/** Stages so many rows for the test's target, and validates them. */
async function makeValidated(
  count: number,
  { chunk = 1000, prefix, name, ...file }: Options = {},
): Promise<string> {
  await setChunkRows(sql, organization, chunk)
  const rows = targetRows(count, prefix, name)
  const importId = await stageImport(sql, admin, { dataset: target, columns: targetColumns, rows, ...file })
  await validate(sql, admin, importId)
  expect(await settled(sql, importId)).toBe('validated')
  return importId
}

async function run(importId: string): Promise<string> {
  await commit(sql, admin, importId)
  return settled(sql, importId)
}

async function storedRows(): Promise<number> {
  const [row] = await sql.unsafe(`select count(*)::integer from public.${target}`)
  return row?.count
}

/** Waits until so many chunks of the import are applied. */
async function chunksApplied(importId: string, least: number): Promise<number> {
  return until(`${least} chunks are applied`, 30, async () => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::integer from private.import_outcomes where batch_id = ${importId}`
    return row && row.count >= least && row.count
  })
}

/** Issues of the commit: how many rows were refused with which SQLSTATE. */
async function refusals(importId: string): Promise<Record<string, number>> {
  const rows = await sql<{ sqlstate: string; count: number }[]>`
    select concat_ws(' ', i.code, i.sqlstate, i.constraint_name) as sqlstate, count(*)::integer
    from private.import_issues as i where i.batch_id = ${importId} group by 1`
  return Object.fromEntries(rows.map((row) => [row.sqlstate, row.count]))
}

describe('a task that ends its own backend', () => {
  it('is given up after its attempts, and the others go on', async () => {
    const importId = await makeValidated(3000)
    await addTrigger(
      sql,
      target,
      'insert',
      `
      if new.code = 'P1500' then
        perform pg_terminate_backend(pg_backend_pid());
      end if;`,
    )
    const other = await makeOrganization(sql, 'neighbour')
    const rows = targetRows(1000)
    const otherId = await stageImport(sql, other.admin, { dataset: target, columns: targetColumns, rows })
    await sql`update private.import_rows set cells[1] = 'Q' || cells[1] where batch_id = ${otherId}`

    await commit(sql, admin, importId)
    await validate(sql, other.admin, otherId, true)
    expect(await settled(sql, otherId)).toBe('completed')
    expect(await settled(sql, importId)).toBe('failed')

    const document = await getImport(sql, importId)
    expect(document).toMatchObject({
      error: { code: '57P01', message: 'worker lost' },
      job: { status: 'failed', error: { message: 'worker lost' } },
      counts: { inserted: expect.toBeOneOf([1000, 2000]), failed: 0 },
    })
    expect(await failedAttempts(sql, importId)).toEqual({ '57P01 worker lost': 3 })
    await expectTrueFates(sql, importId, { isWhole: false })
    const dead = await sql`
      select q.from_row, q.to_row, q.attempts from public.sync_job_queue as q
      where q.org_id = ${organization} and q.status = 'failed'`
    expect(dead).toEqual([{ from_row: 1000, to_row: 2000, attempts: 3 }])
    expect(await getImport(sql, otherId)).toMatchObject({ counts: { inserted: 1000 } })
  })
})

describe('two imports of the same keys at once', () => {
  const count = 12_000

  /** Commits two imports whose tasks are taken in no particular order. */
  async function race(mode: string): Promise<[string, string]> {
    workers = startWorkers(stack, 4)
    const one = await makeValidated(count, { mode, name: 'One' })
    // The second begins with the first's last rows.
    const rows = [...targetRows(count, 'P', 'Two')].reverse()
    const two = await stageImport(sql, admin, { dataset: target, columns: targetColumns, rows, mode })
    await validate(sql, admin, two)
    expect(await settled(sql, two)).toBe('validated')

    await asPerson(sql, admin, async (tx) => {
      await tx`select public.commit_import(${one}), public.commit_import(${two})`
      await tx`reset role`
      await tx`update public.sync_job_queue set priority = random() * 100 where org_id = ${organization}`
    })
    expect([await settled(sql, one), await settled(sql, two)]).toEqual(['completed', 'completed'])
    for (const importId of [one, two]) {
      const { gaps, overlaps, acted_twice, miscounted, acted_and_failed } = await contradictions(
        sql,
        importId,
      )
      expect({ gaps, overlaps, acted_twice, miscounted, acted_and_failed }).toEqual({})
      // Nothing but what is worth another attempt went wrong.
      const attempts = Object.keys(await failedAttempts(sql, importId))
      expect(attempts.filter((attempt) => !/^(40P01|40001) /.test(attempt))).toEqual([])
    }
    expect(await storedRows()).toBe(count)
    return [one, two]
  }

  /** For each key, what each import did with it. */
  async function fates(one: string, two: string): Promise<Record<string, number>> {
    return sql.begin(async (tx) => {
      await tx`set local enable_nestloop = off` // the tables were never analyzed
      const rows = await tx.unsafe<{ fate: string; count: number }[]>(
        `with acted as (
           select o.batch_id, a.*
           from private.import_outcomes as o
           cross join lateral unnest(o.row_numbers, o.actions, o.record_ids) as a (row_number, action, record_id)
         ),
         fate as (
           select r.batch_id, r.cells[1] as code, coalesce(a.action::text, i.code, 'unchanged') as action, a.record_id
           from private.import_rows as r
           left join acted as a on a.batch_id = r.batch_id and a.row_number = r.row_number
           left join private.import_issues as i on i.batch_id = r.batch_id and i.row_number = r.row_number
         )
         select concat_ws(' ', one.action, two.action, split_part(t.name, ' ', 1),
             case when t.id <> all (array[one.record_id, two.record_id]) then 'of another record' end) as fate,
           count(*)::integer
         from fate as one
         join fate as two on two.code = one.code and two.batch_id = $2::uuid
         join public.${target} as t on t.code = one.code
         where one.batch_id = $1::uuid
         group by 1`,
        [one, two],
      )
      return Object.fromEntries(rows.map((row) => [row.fate, row.count]))
    })
  }

  it('as upsert: one inserts the record, the other updates it, and the later one stands', async () => {
    const [one, two] = await race('upsert')
    const found = await fates(one, two)
    expect(Object.keys(found).sort()).toEqual(['inserted updated Two', 'updated inserted One'])
    expect(Object.values(found).reduce((sum, number) => sum + number)).toBe(count)
  })

  it('as insert: one inserts the record, to the other it exists already', async () => {
    const [one, two] = await race('insert')
    const found = await fates(one, two)
    expect(Object.keys(found).sort()).toEqual(['already_exists inserted Two', 'inserted already_exists One'])
    expect(Object.values(found).reduce((sum, number) => sum + number)).toBe(count)
  })
})

describe('rows that only the table can refuse', () => {
  it('cost themselves alone, also where they are half of all rows', async () => {
    const importId = await makeValidated(5000, { chunk: 2500 })
    await addTrigger(
      sql,
      target,
      'insert',
      `
      if right(new.code, 1) in ('2', '4') then
        raise exception 'refused by the table';
      end if;`,
    )
    await sql.unsafe(
      `insert into public.${target} (org_id, code, serial)
       select $1::uuid, 'taken' || n, 'S-P' || n from generate_series(1, 5000) as n where n % 10 in (0, 6, 8)`,
      [organization],
    )
    expect(await run(importId)).toBe('completed')
    expect((await getImport(sql, importId)).counts).toMatchObject({
      inserted: 2500,
      failed: 2500,
      pending: 0,
    })
    expect(await refusals(importId)).toEqual({
      'constraint_violation P0001': 1000,
      [`constraint_violation 23505 ${target}_serial_key`]: 1500,
    })
    expect(await failedAttempts(sql, importId)).toEqual({})
    await sql.unsafe(`delete from public.${target} where code like 'taken%'`)
    await expectTrueFates(sql, importId)
  })

  it('when a deferred constraint refuses them, at the end of their task and not at its commit', async () => {
    const importId = await makeValidated(3000)
    await sql.unsafe(`
      create function public.${target}_judge() returns trigger language plpgsql as $body$
      begin
        if new.code in ('P7', 'P1234', 'P2999') then
          raise exception using errcode = '23514', message = 'judged late';
        end if;
        return null;
      end $body$;
      create constraint trigger ${target}_late after insert on public.${target}
        deferrable initially deferred for each row execute function public.${target}_judge()`)
    expect(await run(importId)).toBe('completed')
    expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 2997, failed: 3 })
    expect(await refusals(importId)).toEqual({ 'constraint_violation 23514': 3 })
    await expectTrueFates(sql, importId)
  })
})

describe('an import that is all or nothing', () => {
  it('applies nothing when the table refuses one row, and says which', async () => {
    const importId = await makeValidated(3000, { options: { on_error: 'abort' } })
    await addTrigger(
      sql,
      target,
      'insert',
      `if new.code = 'P2500' then raise exception 'not this one'; end if;`,
    )
    expect(await run(importId)).toBe('failed')
    expect(await getImport(sql, importId)).toMatchObject({
      error: { code: 'row_refused', details: expect.stringContaining('row 2500: not this one') },
      counts: { inserted: 0, pending: 3000 },
    })
    expect(await storedRows()).toBe(0)
  })

  it('is applied once when its worker is lost in the middle', async () => {
    const importId = await makeValidated(10_000, { options: { on_error: 'abort' } })
    await commit(sql, admin, importId)
    const hits = await strike(
      () => sql,
      importId,
      2,
      (pid) => sql`select pg_terminate_backend(${pid})`,
    )
    expect(await settled(sql, importId)).toBe('completed')
    expect(hits).toBeGreaterThan(0)
    await expectTrueFates(sql, importId)
    expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 10_000 })
  })
})

describe('a task over its time', () => {
  /** 12 ms for each 10 rows: 4000 take 5 s. */
  const slow = `if new.code like '%0' then perform pg_sleep(0.012); end if;`

  it('is cancelled by the watchdog and cut in four', async () => {
    const importId = await makeValidated(4000, { chunk: 4000 })
    await addTrigger(sql, target, 'insert', slow)
    await sql`update private.setting_definitions set minimum = 1 where key = 'jobs.task_seconds'`
    await sql`insert into private.settings (key, value) values ('jobs.task_seconds', '2')`
    await commit(sql, admin, importId)
    await until('the watchdog finds it', 20, async () => {
      const [row] = await sql`select private.cancel_overdue_tasks()::integer as cancelled`
      return row?.cancelled > 0
    })
    expect(await settled(sql, importId)).toBe('completed')
    await sql`delete from private.settings where key = 'jobs.task_seconds'`

    await expectTrueFates(sql, importId)
    expect(await failedAttempts(sql, importId)).toEqual({
      '57014 canceling statement due to user request': 1,
    })
    const [outcomes] = await sql`
      select array_agg(to_row order by to_row) as ends from private.import_outcomes where batch_id = ${importId}`
    expect(outcomes).toEqual({ ends: [1000, 2000, 3000, 4000] })
  })

  it('is recorded and cut in four when the statement times out', async () => {
    const importId = await makeValidated(4000, { chunk: 4000 })
    await addTrigger(sql, target, 'insert', slow)
    await stack.cron?.stop()
    await endWorkers(sql)
    workers = startWorkers(stack, 2, { statement_timeout: '2500' })
    expect(await run(importId)).toBe('completed')
    stack.cron?.start()
    await expectTrueFates(sql, importId)
    expect(await failedAttempts(sql, importId)).toEqual({
      '57014 canceling statement due to statement timeout': 1,
    })
  })
})

describe('an error that is not about a row', () => {
  it('is tried again: of two tasks that lock each other out, one waits for its turn', async () => {
    const importId = await makeValidated(2000)
    await addTrigger(
      sql,
      target,
      'insert',
      `
      if new.code in ('P1', 'P1001') then
        perform pg_advisory_xact_lock(case new.code when 'P1' then 1 else 2 end);
        perform pg_sleep(0.5);
        perform pg_advisory_xact_lock(case new.code when 'P1' then 2 else 1 end);
      end if;`,
    )
    expect(await run(importId)).toBe('completed')
    await expectTrueFates(sql, importId)
    expect(await failedAttempts(sql, importId)).toEqual({ '40P01 deadlock detected': 1 })
  })

  it.each([
    ['40001', 'is tried again as often as the policy says, then given up', 3],
    ['0A000', 'is given up at once where another attempt would not help', 1],
  ])('%s %s', async (sqlstate, _, attempts) => {
    const importId = await makeValidated(2000)
    await addTrigger(
      sql,
      target,
      'insert',
      `
      if new.code = 'P1500' then
        raise exception using errcode = '${sqlstate}', message = 'not today';
      end if;`,
    )
    expect(await run(importId)).toBe('failed')
    expect(await getImport(sql, importId)).toMatchObject({
      error: { code: sqlstate, message: 'not today' },
      counts: { failed: 0, inserted: expect.toBeOneOf([0, 1000]) },
    })
    expect(await failedAttempts(sql, importId)).toEqual({ [`${sqlstate} not today`]: attempts })
    await expectTrueFates(sql, importId, { isWhole: false })
  })

  it('is not begun anew while a task of the failed job is in flight', async () => {
    const importId = await makeValidated(2000)
    await addTrigger(
      sql,
      target,
      'insert',
      `if new.code = 'P1' then
        perform pg_sleep(0.7); -- until the other worker has the other task
        raise exception using errcode = '0A000', message = 'not today';
      end if;
      if new.code = 'P1001' then
        perform pg_sleep(2);
      end if;`,
    )
    await commit(sql, admin, importId)
    await until(
      'the first task fails',
      10,
      async () => (await failedAttempts(sql, importId))['0A000 not today'],
    )
    await expect(validate(sql, admin, importId)).rejects.toMatchObject({ code: 'PT409' })
    await chunksApplied(importId, 1)
    expect(await settled(sql, importId)).toBe('failed')
    await expect(validate(sql, admin, importId)).rejects.toMatchObject({ code: 'PT409' })
    expect(await getImport(sql, importId)).toMatchObject({
      error: { code: '0A000' },
      counts: { inserted: 1000 },
    })
    await expectTrueFates(sql, importId, { isWhole: false })
  })

  it('says so when the table changed since validation', async () => {
    const importId = await makeValidated(2000)
    await sql.unsafe(`alter table public.${target} drop column name`)
    expect(await run(importId)).toBe('failed')
    const { error, counts } = await getImport(sql, importId)
    expect(error).toMatchObject({ code: '42703', message: expect.stringContaining('name') })
    expect(counts).toMatchObject({ inserted: 0, failed: 0, pending: 2000 })
    expect(await storedRows()).toBe(0)
  })
})

describe('a person who loses, while the import runs,', () => {
  it.each([
    [
      'the role',
      'permission_denied',
      (id: string) => sql`update public.profiles set org_role = 'viewer' where id = ${id}`,
    ],
    [
      'the profile',
      'actor_deactivated',
      (id: string) => sql`update public.profiles set is_active = false where id = ${id}`,
    ],
    [
      'the place',
      'actor_left',
      (id: string) => sql`update public.profiles set org_id = null where id = ${id}`,
    ],
    [
      'the organization',
      'organization_closed',
      () => sql`update public.organization set is_active = false where id = ${organization}`,
    ],
  ])('%s, writes nothing more', async (_, code, lose) => {
    const importId = await makeValidated(4000, { chunk: 200 })
    await addTrigger(sql, target, 'insert', 'perform pg_sleep(0.0005);')
    await commit(sql, admin, importId)
    await chunksApplied(importId, 2)
    await lose(admin)
    const [before] =
      await sql`select count(*)::integer from private.import_outcomes where batch_id = ${importId}`
    expect(await settled(sql, importId)).toBe('failed')

    const { error, counts } = await getImport(sql, importId)
    expect(error?.code).toBe(code)
    expect(counts.failed).toBe(0)
    expect(counts.inserted).toBeLessThan(4000)
    const after = await chunksApplied(importId, 0)
    expect(after - before?.count).toBeLessThanOrEqual(2) // what the two workers were at
    await expectTrueFates(sql, importId, { isWhole: false })
    expect(await storedRows()).toBe(counts.inserted)
  })
})

describe('a cancelled import', () => {
  it('stops in mid-commit, keeps what is applied and says so', async () => {
    const importId = await makeValidated(4000, { chunk: 200 })
    await addTrigger(sql, target, 'insert', 'perform pg_sleep(0.0005);')
    await commit(sql, admin, importId)
    await chunksApplied(importId, 2)
    await asPerson(sql, admin, (tx) => tx`select public.cancel_import(${importId})`)
    expect(await settled(sql, importId)).toBe('cancelled')
    const { counts, job } = await getImport(sql, importId)
    expect(counts).toMatchObject({ failed: 0, pending: 4000 - (counts.inserted ?? 0) })
    expect(counts.inserted).toBeLessThan(4000)
    expect(job).toMatchObject({ status: 'cancelled', done: counts.inserted })
    expect(await storedRows()).toBe(counts.inserted)
    await expectTrueFates(sql, importId, { isWhole: false })
  })

  it('ends in one way only, whenever the request comes', async () => {
    workers = startWorkers(stack, 3)
    const ends: Record<string, number> = {}
    for (let round = 0; round < 20; round++) {
      await setChunkRows(sql, organization, 20)
      const rows = targetRows(60, `R${round}-`)
      const importId = await stageImport(sql, admin, { dataset: target, columns: targetColumns, rows })
      const before = await storedRows()
      await validate(sql, admin, importId, true)
      await new Promise((settle) => setTimeout(settle, Math.random() * 120))
      const answer = await asPerson(sql, admin, (tx) => tx`select public.cancel_import(${importId})`).then(
        () => 'taken',
        (cause: postgres.PostgresError) => cause.code,
      )
      const status = await settled(sql, importId)
      const { counts, job } = await getImport(sql, importId)
      expect([`taken cancelled`, 'PT409 completed']).toContain(`${answer} ${status}`)
      expect(job?.status).toBe(status)
      expect((await storedRows()) - before).toBe(counts.inserted)
      if (status === 'completed') expect(counts.inserted).toBe(60)
      ends[status] = (ends[status] ?? 0) + 1
    }
    expect(ends).toMatchObject({ cancelled: expect.any(Number) })
  })
})
