import { setTimeout as sleep } from 'node:timers/promises'
import { Cron } from 'croner'
import postgres, { type Sql } from 'postgres'
import { persistentClient, within } from './client.ts'

/** Runs the jobs of cron.job as pg_cron does. */
export type CronRunner = {
  /** Drops every connection at once, as when the launcher dies; the server finds out when a job's statement ends. */
  stop(): Promise<void>
}

type Job = {
  jobid: string
  schedule: string
  command: string
  database: string
  username: string
  jobname: string | null
}

/** What is known of a job between two looks. */
type Progress = { pending: number; isRunning: boolean; lastStart: number }

/**
 * Starts the jobs when they are due, in UTC: each run on a connection of its own, never two runs of one job. A run
 * that comes due meanwhile waits; of a job in seconds at most one does.
 */
export function startCron(
  adminUrl: string,
  urlOf: (username: string, database: string) => string,
  log: (line: string) => void,
): CronRunner {
  const admin = persistentClient(adminUrl)
  const progress = new Map<string, Progress>()
  const connections = new Set<Sql>()
  const watched = new Set<string>()
  const stopped = new AbortController()
  let wokenEarly = new AbortController()
  let isRecovering = true
  let lastMinute = minuteOf(Date.now())

  async function look(): Promise<void> {
    const [cron] = await admin.ask((sql) => sql`select where to_regclass('cron.job') is not null`)
    if (!cron) return
    if (isRecovering) await failUnwatchedRuns()
    isRecovering = false

    const minute = minuteOf(Date.now())
    const isNewMinute = minute > lastMinute
    lastMinute = minute
    const jobs = await admin.ask(
      (sql) => sql<Job[]>`
        select jobid, schedule, command, database, username, jobname from cron.job where active order by jobid`,
    )
    for (const job of jobs) {
      const state = progress.get(job.jobid) ?? { pending: 0, isRunning: false, lastStart: Date.now() }
      progress.set(job.jobid, state)
      if (isDue(job, state, isNewMinute ? minute : undefined)) state.pending++
      if (state.pending > 0 && !state.isRunning) void run(job, state)
    }
  }

  async function run(job: Job, state: Progress): Promise<void> {
    state.pending--
    state.isRunning = true
    state.lastStart = Date.now()
    const connection = postgres(urlOf(job.username, job.database), {
      max: 1,
      onnotice: () => {},
      fetch_types: false,
      connection: { application_name: 'pg_cron' },
    })
    connections.add(connection)
    let runid: string | undefined
    try {
      const [backend] = await within(5_000, connection<{ pid: number }[]>`select pg_backend_pid() as pid`)
      const [details] = await admin.ask(
        (sql) => sql<{ runid: string }[]>`
          insert into cron.job_run_details (jobid, job_pid, database, username, command, status, start_time)
          values (${job.jobid}, ${backend?.pid ?? null}, ${job.database}, ${job.username}, ${job.command}, 'running',
            clock_timestamp())
          returning runid`,
      )
      runid = details?.runid
      if (runid) watched.add(runid)
      const result = await connection.unsafe(job.command).simple()
      await finish(runid, 'succeeded', messageOf(result))
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      if (!stopped.signal.aborted) {
        log(`cron job ${job.jobname ?? job.jobid}: ${message}`)
        await finish(runid, 'failed', `ERROR:  ${message}`).catch(() => {
          isRecovering = true
        })
      }
    } finally {
      connections.delete(connection)
      if (runid) watched.delete(runid)
      await connection.end({ timeout: 0 }).catch(() => {})
      state.isRunning = false
      wokenEarly.abort()
    }
  }

  async function finish(runid: string | undefined, status: string, message: string): Promise<void> {
    if (!runid) return
    await admin.ask(
      (sql) => sql`
        update cron.job_run_details
        set status = ${status}, return_message = ${message}, end_time = clock_timestamp()
        where runid = ${runid}`,
    )
  }

  /** The launcher does so when it starts: what was running under another is watched by nobody. */
  async function failUnwatchedRuns(): Promise<void> {
    await admin.ask(
      (sql) => sql`
        update cron.job_run_details
        set status = 'failed', return_message = 'server restarted', end_time = clock_timestamp()
        where status in ('starting', 'running') and runid <> all (string_to_array(${[...watched].join()}, ',')::bigint[])`,
    )
  }

  async function tick(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await look()
      } catch (cause) {
        if (stopped.signal.aborted) return
        if (!isRecovering) log(`cron: ${cause instanceof Error ? cause.message : cause}`)
        isRecovering = true
      }
      wokenEarly = new AbortController()
      const signal = AbortSignal.any([stopped.signal, wokenEarly.signal])
      await sleep(1000 - (Date.now() % 1000), undefined, { signal }).catch(() => {})
    }
  }

  const ticking = tick()
  return {
    async stop() {
      stopped.abort()
      await Promise.allSettled([admin.end(), ...[...connections].map((sql) => sql.end({ timeout: 0 }))])
      await ticking
    },
  }
}

/** Whether another run of the job is to wait its turn. `minute` is given in the first look of a new minute. */
function isDue(job: Job, state: Progress, minute: number | undefined): boolean {
  const seconds = /^(\d+) seconds?$/.exec(job.schedule)?.[1]
  if (seconds) {
    // Looks come a few milliseconds early or late.
    return state.pending === 0 && Date.now() - state.lastStart >= Number(seconds) * 1000 - 50
  }
  return minute !== undefined && job.schedule !== '@reboot' && fallsOn(job.schedule, minute)
}

/** Whether a cron expression names this minute (counted from 1970). In it `$` is the last day of the month. */
export function fallsOn(schedule: string, minute: number): boolean {
  const [m, h, day, ...rest] = schedule.replace('@midnight', '@daily').split(/\s+/)
  const pattern = [m, h, day?.replaceAll('$', 'L'), ...rest].filter((field) => field !== undefined).join(' ')
  const start = minute * 60_000
  const next = new Cron(pattern, { timezone: 'UTC', paused: true, domAndDow: false }).nextRun(
    new Date(start - 1),
  )
  return next !== null && minuteOf(next.getTime()) === minute
}

function minuteOf(milliseconds: number): number {
  return Math.floor(milliseconds / 60_000)
}

/** What pg_cron keeps of a run that went well: the last statement's tag, or how many rows a query gave. */
function messageOf(result: unknown): string {
  const results = (Array.isArray((result as unknown[])[0]) ? result : [result]) as postgres.RowList<
    postgres.Row[]
  >[]
  const { command = '', count } = results.at(-1) ?? {}
  if (command === 'SELECT') return count === 1 ? '1 row' : `${count} rows`
  if (command === 'INSERT') return `INSERT 0 ${count}`
  return /^(UPDATE|DELETE|MERGE|COPY)$/.test(command) ? `${command} ${count}` : command
}
