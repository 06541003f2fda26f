import type { Sql } from 'postgres'
import { until } from './imports.ts'

/** A backend at a task: it holds the task's lock. */
export async function backendsAtWork(sql: Sql, importId: string): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`
    select l.pid
    from public.sync_job_queue as q
    join public.scheduled_jobs as j on j.id = q.job_id
    cross join lateral (select private.task_lock_key(q.id) as key) as k
    join pg_locks as l on l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and (l.classid::bigint << 32 | l.objid::bigint) = k.key
    where j.batch_id = ${importId} and q.status = 'running' and l.pid = q.claimed_by
    order by q.id`
  return rows.map((row) => row.pid)
}

/**
 * Hits backends at an import's tasks, so many times at random moments; returns how often, which is less if the
 * import came to rest before. `client`: the test's present one, as a hit may cost it.
 */
export async function strike(
  client: () => Sql,
  importId: string,
  times: number,
  hit: (pid: number) => PromiseLike<unknown>,
): Promise<number> {
  for (let hits = 0; hits < times; hits++) {
    await pause(Math.random() * 60)
    const pid = await until('a backend is at work', 30, async () => {
      const [pid] = shuffled(await backendsAtWork(client(), importId))
      return pid ?? ((await isAtRest(client(), importId)) && -1)
    })
    if (pid === -1) return hits
    await pause(Math.random() * 30)
    await hit(pid)
  }
  return times
}

/** Takes the server down and waits until it is back; returns a new client, as the connections of the old one are lost. */
export async function crash(sql: Sql, connect: () => Sql, takeDown: () => void): Promise<Sql> {
  const dropped = sql`select pg_sleep(60)`.then(
    () => Promise.reject(new Error('the server did not go down')),
    () => {},
  )
  await sql`select 1` // So the one above was sent.
  takeDown()
  await dropped
  void sql.end({ timeout: 0 })
  const next = connect()
  await until('the server is back', 30, () => next`select 1`)
  return next
}

/** Ends the workers of cron, whose blocks outlive their launcher. Where that runs, they are soon back. */
export async function endWorkers(sql: Sql): Promise<void> {
  await until('no worker of cron is left', 30, async () => {
    const rows = await sql`
      select pg_terminate_backend(a.pid) from pg_stat_activity as a where a.application_name like 'sluice jobs.work%'`
    return rows.length === 0
  })
}

async function isAtRest(sql: Sql, importId: string): Promise<boolean> {
  const [row] = await sql`
    select from public.scheduled_jobs as j where j.batch_id = ${importId} and j.status in ('pending', 'queued', 'running')`
  return row === undefined
}

function shuffled(pids: number[]): number[] {
  return pids.sort(() => Math.random() - 0.5)
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((settle) => setTimeout(settle, milliseconds))
}
