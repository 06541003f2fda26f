import { join } from 'node:path'
import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { serviceClient } from '../support/client.ts'
import type { Wish } from '../support/functions/worker/index.ts'
import { makeOrganization, until } from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { crash } from '../support/strikes.ts'

// Tasks of the worker function, when a part of the way to it and back fails: each is done once, and its job ends.

let stack: Stack
let sql: Sql
let superuser: Sql
let organization: string

beforeAll(async () => {
  stack = await startTestStack({ functionsFolder: join(import.meta.dirname, '../support/functions') })
  sql = connect()
  superuser = postgres(stack.adminDatabaseUrl, { max: 1, onnotice: () => {} })
  await makeProbe()
})
afterAll(async () => {
  await Promise.all([sql?.end({ timeout: 1 }), superuser?.end({ timeout: 1 })])
  await stack?.stop()
})
beforeEach(async () => {
  ;({ organization } = await makeOrganization(sql, 'acme'))
})

function connect(): Sql {
  return postgres(stack.databaseUrl, { max: 10, prepare: false, connect_timeout: 5, onnotice: () => {} })
}

/** A job type whose tasks the function's route probe does; each answer that is taken leaves a row. */
async function makeProbe(): Promise<void> {
  await sql.unsafe(`
    create table private.probe_answers (job_id uuid, attempt integer);
    create function private.run_probe(p_task public.sync_job_queue) returns private.task_result
    language sql set search_path = '' as $$
      select private.post_task(p_task, 'probe', (p_task.args ->> 'patience')::interval);
    $$;
    create function private.complete_probe(p_task public.sync_job_queue, p_result jsonb) returns private.task_result
    language plpgsql set search_path = '' as $$
    begin
      insert into private.probe_answers values (p_task.job_id, (p_result ->> 'attempt')::integer);
      return row(1, 0);
    end $$;
    create function private.advance_probe(p_job public.scheduled_jobs) returns boolean
    language sql set search_path = '' as 'select true';
    create function private.end_probe(p_job public.scheduled_jobs) returns void
    language sql set search_path = '' as 'select';
    insert into private.job_types (job_type, run_function, advance_function, end_function, complete_function)
    values ('probe', 'private.run_probe', 'private.advance_probe', 'private.end_probe', 'private.complete_probe');
    insert into public.sync_retry_policy (job_type, max_attempts, base_delay) values ('probe', 3, '50 milliseconds');
  `)
}

/** A job of one task, for which the function does as wished at each attempt. */
async function startJob(wishes: Wish[], patience = '2 seconds'): Promise<string> {
  const [job] = await sql<{ id: string }[]>`
    with job as (
      insert into public.scheduled_jobs (job_type, org_id, total_count) values ('probe', ${organization}, 1) returning *
    ),
    task as (
      insert into public.sync_job_queue (job_id, org_id, task_type, from_row, to_row, args)
      select j.id, j.org_id, 'probe', 0, 1, ${JSON.stringify({ wishes, patience })}::text::jsonb from job as j
    )
    select j.id from job as j`
  return job?.id ?? ''
}

type End = { status: string; done: number; error: string | null; errors: string[]; answers: number[] }

/** How a job ended: its failed attempts and the answers that were taken, by attempt. */
async function endOf(jobId: string): Promise<End> {
  return until(`job ${jobId} ends`, 30, async () => {
    const [row] = await sql<End[]>`
      select
        j.status, j.done_count::integer as done, j.error ->> 'message' as error,
        array(select e.sqlstate || ' ' || e.message from public.sync_error_log as e where e.job_id = j.id order by e.id) as errors,
        array(select a.attempt from private.probe_answers as a where a.job_id = j.id) as answers
      from public.scheduled_jobs as j
      where j.id = ${jobId} and j.finished_at is not null`
    return row
  })
}

/** The call that is on its way for a job. */
async function callOf(jobId: string): Promise<{ task_id: number; token: string }> {
  return until('a call is on its way', 30, async () => {
    const [call] = await sql<{ task_id: number; token: string }[]>`
      select q.id::integer as task_id, q.token from public.sync_job_queue as q
      where q.job_id = ${jobId} and q.token is not null`
    return call
  })
}

/** The call of a job that took the place of another. */
async function nextCallOf(jobId: string, token: string): Promise<{ task_id: number; token: string }> {
  return until('another call is on its way', 30, async () => {
    const call = await callOf(jobId)
    return call.token !== token && call
  })
}

/** How the function answered the requests of the database since then. */
async function statusesSince(began: Date): Promise<(number | null)[]> {
  const rows = await superuser<{ status_code: number | null }[]>`
    select r.status_code from net._http_response as r where r.created >= ${began} order by r.created`
  return rows.map((row) => row.status_code)
}

const noAnswer = '08006 worker function did not answer'

describe('a task of the worker function', () => {
  it('is done, and its job completes', async () => {
    const end = await endOf(await startJob([{}]))
    expect(end).toEqual({ status: 'completed', done: 1, error: null, errors: [], answers: [1] })
  })

  it('is posted again when the function is killed in mid-call', async () => {
    const jobId = await startJob([{ nap: 60_000 }, {}])
    await callOf(jobId)
    const killed = stack.functionsPid()
    process.kill(killed, 'SIGKILL')
    await until('the functions are back', 30, async () => stack.functionsPid() !== killed)
    expect(await endOf(jobId)).toEqual({
      status: 'completed',
      done: 1,
      error: null,
      errors: [noAnswer],
      answers: [2],
    })
  })

  it('is posted again when pg_net drops the request', async () => {
    await superuser.unsafe(`
      create function net.drop_request() returns trigger language plpgsql as 'begin return null; end';
      create trigger drop_request before insert on net.http_request_queue
        for each row execute function net.drop_request()`)
    const jobId = await startJob([{}])
    await callOf(jobId)
    await superuser.unsafe('drop function net.drop_request cascade')
    expect(await endOf(jobId)).toMatchObject({ status: 'completed', errors: [noAnswer], answers: [2] })
  })

  it('fails with the reason when nobody ever answers', async () => {
    const jobId = await startJob([{ nap: 60_000 }], '500 milliseconds')
    expect(await endOf(jobId)).toEqual({
      status: 'failed',
      done: 0,
      error: 'worker function did not answer',
      errors: [noAnswer, noAnswer, noAnswer],
      answers: [],
    })
    const dead = await sql`select q.status, q.token from public.sync_job_queue as q where q.job_id = ${jobId}`
    expect(dead).toEqual([{ status: 'failed', token: null }])
  })

  it('does not take an answer that comes too late', async () => {
    const began = new Date()
    const jobId = await startJob([{ nap: 1_800 }, { nap: 1_500 }], '1 second')
    const first = await callOf(jobId)
    await nextCallOf(jobId, first.token) // Its nap outlasts that of the first, which so finds it on its way.
    const end = await endOf(jobId)
    expect(end).toMatchObject({ status: 'failed', done: 0, answers: [] })
    await until('the late ones have heard of it', 30, async () => {
      const refused = (await statusesSince(began)).filter((status) => status === 409)
      return refused.length === end.errors.length
    })
  })

  it('takes one answer of many', async () => {
    const jobId = await startJob([{ nap: 60_000 }], '1 minute')
    const call = await callOf(jobId)
    const service = serviceClient(stack)
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        service.rpc('complete_worker_task', { ...call, result: { attempt: n } }),
      ),
    )
    expect(answers.filter(({ data }) => data === true)).toHaveLength(1)
    expect(answers.filter(({ error, status }) => status === 409 && error?.code === 'PT409')).toHaveLength(7)
    expect(await endOf(jobId)).toMatchObject({ status: 'completed', done: 1, errors: [] })
    expect(
      (await service.rpc('fail_worker_task', { ...call, error: { code: '08006', message: 'x' } })).status,
    ).toBe(409)
  })

  it('waits as long as the function asks before the next attempt', async () => {
    const began = Date.now()
    const end = await endOf(await startJob([{ fail: { code: '08006', after: 3 } }, {}], '20 seconds'))
    expect(end).toMatchObject({ status: 'completed', errors: ['08006 it was told to fail'], answers: [2] })
    expect(Date.now() - began).toBeGreaterThan(3_000)
  })

  it('is given up at once for what another attempt cannot mend', async () => {
    const end = await endOf(await startJob([{ fail: { code: '22023' } }]))
    expect(end).toMatchObject({
      status: 'failed',
      error: 'it was told to fail',
      errors: ['22023 it was told to fail'],
    })
  })

  it('is cancelled without waiting for the function', async () => {
    const jobId = await startJob([{ nap: 2_000 }], '1 minute')
    await callOf(jobId)
    await sql`select private.cancel_job(${jobId})`
    expect(await endOf(jobId)).toMatchObject({ status: 'cancelled', done: 0, answers: [] })
  })
})

describe('a crash of the server', () => {
  it('loses a call at most, which is posted again', async () => {
    const jobIds = await Promise.all([
      startJob([{ nap: 1_000 }, {}]),
      startJob([{ nap: 6_000 }, {}], '4 seconds'),
    ])
    await Promise.all(jobIds.map(callOf))
    sql = await crash(sql, connect, () => process.kill(stack.postgresPid(), 'SIGKILL'))
    for (const jobId of jobIds) expect(await endOf(jobId)).toMatchObject({ status: 'completed', done: 1 })
    const counts = await sql<{ count: number }[]>`
      select count(*)::integer from private.probe_answers as a where a.job_id in ${sql(jobIds)} group by a.job_id`
    expect(counts.map((row) => row.count)).toEqual([1, 1])
  })
})
