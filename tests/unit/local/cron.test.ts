import type { Sql } from 'postgres'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { fallsOn } from '../../../local/cron.ts'
import type { Stack } from '../../../local/stack.ts'
import { startTemporaryStack } from '../../../local/temporary-stack.ts'
import { eventually } from '../../support/eventually.ts'
import { project } from './fixture.ts'

let stack: Stack
let sql: Sql

beforeAll(async () => {
  stack = await startTemporaryStack({ project })
  sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {}, fetch_types: false, backoff: () => 0.1 })
  await sql`create table public.ticks (id bigint generated always as identity, job text, at timestamptz default clock_timestamp())`
})

afterAll(async () => {
  await sql?.end({ timeout: 0 })
  await stack?.stop()
})

afterEach(async () => {
  await sql`select cron.unschedule(jobid) from cron.job`
  await sql`truncate public.ticks`
})

async function ticks(job: string): Promise<number> {
  const [row] = await sql<
    { count: number }[]
  >`select count(*)::int as count from public.ticks where job = ${job}`
  return row?.count ?? 0
}

describe('the functions of pg_cron', () => {
  it('schedule by name, and change a job when the name is known', async () => {
    const [first] = await sql`select cron.schedule('nightly', '0 3 * * *', 'select 1') as id`
    const [second] = await sql`select cron.schedule('nightly', '5 seconds', 'select 2') as id`
    expect(second?.id).toBe(first?.id)
    expect(await sql`select jobname, schedule, command, username, database, active from cron.job`).toEqual([
      {
        jobname: 'nightly',
        schedule: '5 seconds',
        command: 'select 2',
        username: 'postgres',
        database: 'postgres',
        active: true,
      },
    ])
  })

  it('take the owner of a definer function as the job’s', async () => {
    await sql.unsafe(`
      create function public.plan_it() returns bigint language sql security definer set search_path = ''
        as $$ select cron.schedule('planned', '0 0 1 1 *', 'select 1') $$;
      grant execute on function public.plan_it() to authenticated;
      set role authenticated; select public.plan_it(); reset role; drop function public.plan_it()`)
    expect(await sql`select username from cron.job where jobname = 'planned'`).toEqual([
      { username: 'postgres' },
    ])
  })

  it.each([
    '',
    '60 seconds',
    '0 seconds',
    '* * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '*/0 * * * *',
    'x',
  ])('refuse the schedule "%s"', async (schedule) => {
    await expect(sql`select cron.schedule('bad', ${schedule}, 'select 1')`).rejects.toMatchObject({
      message: `invalid schedule: ${schedule}`,
    })
  })

  it.each(['1 second', '59 seconds', '*/5 0-6 1,15 * mon', '0 0 $ * *', '@hourly', '30 4 * jan-mar 7'])(
    'take the schedule "%s"',
    async (schedule) => {
      await sql`select cron.schedule('good', ${schedule}, 'select 1')`
    },
  )

  it('alter and unschedule', async () => {
    const [job] = await sql`select cron.schedule('one', '0 0 1 1 *', 'select 1') as id`
    await sql`select cron.alter_job(${job?.id}, schedule => '2 seconds', active => false)`
    expect(await sql`select schedule, command, active from cron.job`).toEqual([
      { schedule: '2 seconds', command: 'select 1', active: false },
    ])
    await sql`select cron.unschedule('one')`
    expect(await sql`select from cron.job`).toHaveLength(0)
    await expect(sql`select cron.unschedule('one')`).rejects.toThrow(
      `could not find valid entry for job 'one'`,
    )
    await expect(sql`select cron.alter_job(${job?.id}, active => true)`).rejects.toThrow(
      /does not exist or you don't own it/,
    )
  })

  it('are for nobody but postgres', async () => {
    await expect(
      sql.unsafe(`set role authenticated; select cron.schedule('x', '1 second', 'select 1')`),
    ).rejects.toThrow(/permission denied/)
    await sql`reset role`
    await expect(
      sql`insert into cron.job (schedule, command) values ('1 second', 'select 1')`,
    ).rejects.toThrow(/permission denied/)
  })
})

describe('a job', () => {
  it('runs every second as its owner, and what came of it is written down', async () => {
    await sql`select cron.schedule('every', '1 seconds', $$insert into public.ticks (job) values ('every')$$)`
    await eventually(async () => (await ticks('every')) >= 3)
    const [{ gap } = { gap: 0 }] = await sql<{ gap: number }[]>`
      select extract(epoch from max(at) - min(at))::float / (count(*) - 1) as gap from public.ticks`
    expect(gap).toBeGreaterThan(0.8)
    expect(gap).toBeLessThan(1.6)
    const [run] = await sql`
      select d.status, d.return_message, d.username, d.end_time >= d.start_time as ended, d.job_pid > 0 as has_pid
      from cron.job_run_details as d join cron.job as j using (jobid)
      where j.jobname = 'every' and d.status <> 'running' order by d.runid limit 1`
    expect(run).toEqual({
      status: 'succeeded',
      return_message: 'INSERT 0 1',
      username: 'postgres',
      ended: true,
      has_pid: true,
    })
  })

  it('that fails is written down, and runs again', async () => {
    await sql`select cron.schedule('failing', '1 seconds', 'select 1/0')`
    await eventually(async () => {
      const runs = await sql`
        select from cron.job_run_details as d join cron.job as j using (jobid)
        where j.jobname = 'failing' and d.status = 'failed' and d.return_message = 'ERROR:  division by zero'`
      return runs.length >= 2
    })
  })

  it('may commit in the midst of a do block, where others see it, and never runs twice at once', async () => {
    await sql`select cron.schedule('looping', '1 seconds', ${`do $body$ begin
      for i in 1..5 loop
        insert into public.ticks (job) values ('looping');
        commit;
        perform pg_sleep(0.5);
      end loop;
    end $body$`})`
    const running = async () => {
      const runs = await sql`
        select d.job_pid from cron.job_run_details as d join cron.job as j using (jobid)
        where j.jobname = 'looping' and d.status = 'running'`
      return runs.length
    }
    await eventually(async () => (await ticks('looping')) >= 2)
    expect(await running()).toBe(1)
    const sessions =
      await sql`select from pg_stat_activity where application_name = 'pg_cron' and query like 'do $body$%'`
    expect(sessions).toHaveLength(1)

    // The next run begins as soon as the first is over.
    await eventually(async () => (await ticks('looping')) >= 6)
    const [{ gap } = { gap: 9 }] = await sql<{ gap: number }[]>`
      select extract(epoch from b.at - a.at)::float as gap
      from public.ticks as a join public.ticks as b on b.id = a.id + 1
      order by a.id offset 4 limit 1`
    expect(gap).toBeLessThan(1.5)
  })

  it('goes on after its backend, the launcher and the server were killed', async () => {
    await sql`select cron.schedule('tough', '1 seconds', $$insert into public.ticks (job) values ('tough'); select pg_sleep(0.3)$$)`
    const moves = async () => {
      const before = await ticks('tough')
      await eventually(async () => (await ticks('tough')) > before)
    }
    await moves()
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_cron'`.catch(
      () => {},
    )
    await moves()
    await stack.cron?.stop()
    const stopped = await eventually(async () => {
      const count = await ticks('tough')
      await new Promise((settle) => setTimeout(settle, 1_500))
      return count === (await ticks('tough'))
    })
    expect(stopped).toBe(true)
    stack.cron?.start()
    await moves()
    const killed = stack.postgresPid()
    process.kill(killed, 'SIGKILL')
    await eventually(async () => stack.postgresPid() !== killed && (await sql`select 1`).length === 1)
    await moves()
    // What was running when its watcher died is not left as running for ever.
    await eventually(async () => {
      const runs = await sql`
        select from cron.job_run_details where status = 'running' and start_time < clock_timestamp() - interval '3 seconds'`
      return runs.length === 0
    })
  })
})

describe('fallsOn', () => {
  const minuteOf = (iso: string) => Math.floor(Date.parse(iso) / 60_000)

  it.each([
    ['* * * * *', '2026-03-04T05:06:00Z', true],
    ['6 5 * * *', '2026-03-04T05:06:00Z', true],
    ['7 5 * * *', '2026-03-04T05:06:00Z', false],
    ['@hourly', '2026-03-04T05:00:00Z', true],
    ['@midnight', '2026-03-04T00:00:00Z', true],
    ['0 0 $ * *', '2026-02-28T00:00:00Z', true],
    ['0 0 $ * *', '2026-02-27T00:00:00Z', false],
    // Day of month or day of week: either will do when both are given.
    ['0 0 1 * mon', '2026-03-02T00:00:00Z', true],
    ['0 0 1 * mon', '2026-03-01T00:00:00Z', true],
    ['0 0 1 * mon', '2026-03-03T00:00:00Z', false],
  ])('%s names %s: %s', (schedule, at, wanted) => {
    expect(fallsOn(schedule, minuteOf(at))).toBe(wanted)
  })
})
