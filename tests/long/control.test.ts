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
import { backendsAtWork, strike } from '../support/strikes.ts'
import {
  addTrigger,
  dropTrigger,
  expectTrueFates,
  failedAttempts,
  makeTarget,
  setChunkRows,
  targetColumns,
  targetRows,
} from '../support/targets.ts'
import { startWorkers, type Workers } from '../support/workers.ts'

// Stopping and going on at any moment: nothing is lost, nothing is done twice, and nobody waits for ever.

let stack: Stack
let sql: Sql
let admin: string
let organization: string
let target: string
let workers: Workers | undefined

beforeAll(async () => {
  stack = await startTestStack()
  sql = postgres(stack.databaseUrl, { max: 6, prepare: false, onnotice: () => {} })
  await sql`update public.sync_retry_policy set max_attempts = 100, base_delay = '50 milliseconds'`
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

type Action = 'pause_import' | 'resume_import' | 'retry_import' | 'cancel_import'

/** Does it as the owner; the SQLSTATE where it is refused. */
async function act(action: Action, importId: string): Promise<string> {
  return asPerson(sql, admin, (tx) => tx`select ${tx.unsafe(`public.${action}`)}(${importId})`).then(
    () => 'done',
    (cause: postgres.PostgresError) => cause.code,
  )
}

async function stage(rows: Iterable<string[]>, chunk: number): Promise<string> {
  await setChunkRows(sql, organization, chunk)
  return stageImport(sql, admin, { dataset: target, columns: targetColumns, rows })
}

async function makeValidated(count: number, chunk: number): Promise<string> {
  const importId = await stage(targetRows(count), chunk)
  await validate(sql, admin, importId)
  expect(await settled(sql, importId)).toBe('validated')
  return importId
}

async function taskStatuses(importId: string): Promise<string[]> {
  const rows = await sql<{ status: string }[]>`
    select distinct q.status::text from public.sync_job_queue as q
    join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = ${importId} order by 1`
  return rows.map((row) => row.status)
}

/** Nobody was in anybody's way: no task of the organization failed, by a deadlock least of all. */
async function expectNoFailedAttempt(): Promise<void> {
  const rows = await sql`select sqlstate, message from public.sync_error_log where org_id = ${organization}`
  expect([...rows]).toEqual([])
}

const nap = (milliseconds: number) => new Promise((settle) => setTimeout(settle, milliseconds))
const slow = 'perform pg_sleep(0.0005);'

describe('a pause', () => {
  it('in the middle of a chunk lets it end; workers killed while it is paused lose nothing', async () => {
    const importId = await makeValidated(4000, 400)
    await addTrigger(sql, target, 'insert', slow)
    await commit(sql, admin, importId)
    for (let round = 0; round < 3; round++) {
      const pids = await until('two workers are in the middle of a chunk', 30, async () => {
        const found = await backendsAtWork(sql, importId)
        return found.length === 2 && found
      })
      expect(await act('pause_import', importId)).toBe('done')
      if (round > 0) for (const pid of pids) await sql`select pg_terminate_backend(${pid})`
      await until('nothing is in flight', 30, async () => {
        const statuses = await taskStatuses(importId)
        return !statuses.includes('running') && !statuses.includes('pending')
      })
      const { counts, job } = await getImport(sql, importId)
      expect(job).toMatchObject({ status: 'paused', done: counts.inserted })
      if (round === 0) expect(counts.inserted).toBeGreaterThanOrEqual(800)
      await nap(300)
      expect((await getImport(sql, importId)).counts).toEqual(counts)
      await expectTrueFates(sql, importId, { isWhole: false })
      expect(await act('resume_import', importId)).toBe('done')
    }
    expect(await settled(sql, importId)).toBe('completed')
    expect(await getImport(sql, importId)).toMatchObject({
      counts: { inserted: 4000, failed: 0, pending: 0 },
      job: { status: 'completed', done: 4000 },
    })
    await expectTrueFates(sql, importId)
  })

  it('comes and goes at any moment, from validation to the end, while workers are killed', async () => {
    workers = startWorkers(stack, 2)
    const importId = await stage(targetRows(20_000), 200)
    await validate(sql, admin, importId, true)
    let isOver = false
    const strikes = strike(
      () => sql,
      importId,
      6,
      (pid) => sql`select pg_terminate_backend(${pid})`,
    )
    const toggling = (async () => {
      const answers: Record<string, number> = {}
      while (!isOver) {
        for (const action of ['pause_import', 'resume_import'] as const) {
          const answer = `${action} ${await act(action, importId)}`
          answers[answer] = (answers[answer] ?? 0) + 1
          await nap(Math.random() * 30)
        }
      }
      return answers
    })()
    expect(await end(importId)).toBe('completed')
    isOver = true
    const answers = await toggling
    await strikes
    expect(answers['pause_import done']).toBeGreaterThan(5)
    expect(Object.keys(answers).filter((answer) => !/ (done|PT409)$/.test(answer))).toEqual([])
    expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 20_000, failed: 0, pending: 0 })
    await expectTrueFates(sql, importId)
  })

  /** Unlike settled, passes over rests between two jobs. */
  async function end(importId: string): Promise<string> {
    return until('the import ends', 90, async () => {
      const { status } = await getImport(sql, importId)
      return ['completed', 'failed', 'cancelled'].includes(status) && status
    })
  }
})

describe('the limit of running jobs', () => {
  it('lets every job of a crowd that is paused, resumed and cancelled come to its end', async () => {
    await sql`
      insert into private.settings (key, org_id, value) values ('jobs.running_per_organization', ${organization}, '2')`
    workers = startWorkers(stack, 2)
    const imports: string[] = []
    for (let n = 0; n < 10; n++) imports.push(await stage(targetRows(300, `J${n}-`), 50))
    await Promise.all(imports.map((importId) => validate(sql, admin, importId, true)))
    const refused: string[] = []
    const meddling = imports.map(async (importId, n) => {
      for (let round = 0; round < 6; round++) {
        await nap(Math.random() * 60)
        const action = (['pause_import', 'resume_import'] as const)[round % 2] ?? 'pause_import'
        const answer = await act(n === 9 && round === 4 ? 'cancel_import' : action, importId)
        if (!['done', 'PT409'].includes(answer)) refused.push(answer)
        const [running] = await sql`
          select count(*)::integer from public.scheduled_jobs
          where org_id = ${organization} and status in ('pending', 'running')`
        expect(running?.count).toBeLessThanOrEqual(2)
      }
      await act('resume_import', importId)
    })
    await Promise.all(meddling)
    expect(refused).toEqual([])
    for (const importId of imports.slice(0, 9)) {
      expect(await settled(sql, importId)).toBe('completed')
      await expectTrueFates(sql, importId, { isWhole: false })
      expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 300, pending: 0 })
    }
    expect(['cancelled', 'completed']).toContain(await settled(sql, imports[9] ?? ''))
    await expectNoFailedAttempt()
  })
})

describe('an import that waits for two', () => {
  /** Two imports that are on their way to the end, and one that waits for both. */
  async function makeThree(round: number): Promise<[string, string, string]> {
    const [one, two, waiting] = [
      await stage(targetRows(20, `A${round}-`), 10),
      await stage(targetRows(20, `B${round}-`), 10),
      await stage(targetRows(20, `C${round}-`), 10),
    ]
    await asPerson(
      sql,
      admin,
      (tx) => tx`select public.set_import_mapping(${waiting}, depends_on => ${[one, two]}::uuid[])`,
    )
    return [one, two, waiting]
  }

  const stateOf = (importId: string) =>
    until('it is over, or held', 20, async () => {
      const { status, job } = await getImport(sql, importId)
      if (['completed', 'failed', 'cancelled'].includes(status)) return status
      return job?.status === 'paused' && 'paused'
    })

  it('goes on when they end at the same moment, whenever it began to wait', async () => {
    workers = startWorkers(stack, 3)
    for (let round = 0; round < 8; round++) {
      const three = await makeThree(round)
      const starts = three.map((importId, n) =>
        nap(n === 2 ? Math.random() * 80 : 0).then(() => validate(sql, admin, importId, true)),
      )
      await Promise.all(starts)
      for (const importId of three) expect(await stateOf(importId)).toBe('completed')
      expect((await getImport(sql, three[2])).counts).toMatchObject({ inserted: 20 })
    }
    await expectNoFailedAttempt()
  })

  it('is held by one that is cancelled, and by nothing else, while people pause and resume it', async () => {
    workers = startWorkers(stack, 3)
    const ends: Record<string, number> = {}
    for (let round = 0; round < 8; round++) {
      const [one, two, waiting] = await makeThree(round)
      await Promise.all([one, two, waiting].map((importId) => validate(sql, admin, importId, true)))
      const meddling = async () => {
        for (const action of ['pause_import', 'resume_import'] as const) {
          await nap(Math.random() * 40)
          expect(['done', 'PT409']).toContain(await act(action, waiting))
        }
      }
      const [answer] = await Promise.all([
        nap(Math.random() * 80).then(() => act('cancel_import', one)),
        meddling(),
      ])
      const state = `${await stateOf(one)} ${await stateOf(two)} ${await stateOf(waiting)}`
      expect(['done cancelled completed paused', 'PT409 completed completed completed']).toContain(
        `${answer} ${state}`,
      )
      ends[state] = (ends[state] ?? 0) + 1
      if (state.endsWith('paused')) {
        const { job } = await getImport(sql, waiting)
        expect(job).toMatchObject({ error: { code: 'prerequisite_failed' } })
        expect(await act('cancel_import', waiting)).toBe('done')
      }
    }
    expect(Object.keys(ends)).not.toHaveLength(0)
    await expectNoFailedAttempt()
  })
})

describe('a retry', () => {
  it('goes on with what a failing import left, whatever was in flight, and applies every row once', async () => {
    workers = startWorkers(stack, 2)
    const importId = await makeValidated(6000, 100)
    await sql.unsafe(`create table private.${target}_trouble (code text primary key)`)
    await addTrigger(
      sql,
      target,
      'insert',
      `if exists (select from private.${target}_trouble as t where t.code = new.code) then
         raise exception using errcode = '0A000', message = 'not today';
       end if;`,
    )
    await sql.unsafe(
      `insert into private.${target}_trouble select 'P' || n from generate_series(50, 6000, 700) as n`,
    )
    await commit(sql, admin, importId)
    let retries = 0
    for (; (await settled(sql, importId)) === 'failed'; retries++) {
      const [batch] =
        await sql`select error ->> 'code' as code from public.import_batches where id = ${importId}`
      expect(batch).toEqual({ code: '0A000' })
      await expectTrueFates(sql, importId, { isWhole: false })
      // One that is mended at a time, so that it fails again elsewhere.
      await sql.unsafe(
        `delete from private.${target}_trouble where code = (select min(code) from private.${target}_trouble)`,
      )
      expect(await act('retry_import', importId)).toBe('done')
      if (retries % 2) await act('pause_import', importId)
      if (retries % 2) await act('resume_import', importId)
    }
    expect(retries).toBeGreaterThan(2)
    expect(await settled(sql, importId)).toBe('completed')
    expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 6000, failed: 0, pending: 0 })
    await expectTrueFates(sql, importId)
  })

  it('takes over a dead letter whose worker was lost at every attempt', async () => {
    await sql`update public.sync_retry_policy set max_attempts = 2`
    const importId = await makeValidated(2000, 500)
    await addTrigger(sql, target, 'insert', `if new.code = 'P700' then perform pg_sleep(60); end if;`)
    await commit(sql, admin, importId)
    await until('it is given up', 30, async () => {
      for (const pid of await backendsAtWork(sql, importId)) {
        const [stuck] = await sql`select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`
        if (stuck) await sql`select pg_terminate_backend(${pid})`
      }
      return (await getImport(sql, importId)).status === 'failed'
    })
    await sql`update public.sync_retry_policy set max_attempts = 100`
    expect(await failedAttempts(sql, importId)).toEqual({ '57P01 worker lost': 2 })
    await dropTrigger(sql, target)
    expect(await act('retry_import', importId)).toBe('done')
    expect(await settled(sql, importId)).toBe('completed')
    expect((await getImport(sql, importId)).counts).toMatchObject({ inserted: 2000, pending: 0 })
    await expectTrueFates(sql, importId)
  })
})
