import { z } from 'zod'
import type { CallDatabase } from '../_shared/caller.ts'
import { malformed, Refusal } from '../_shared/refusal.ts'
import type { Route } from './app.ts'

/** By which a call proves that it is the present one for its task. */
export interface Call {
  task_id: number
  token: string
}

/** What the database tells of a task. */
export interface Task {
  job_id: string
  job_type: string
  org_id: string
  task_type: string
  attempt: number
  args: Record<string, unknown>
  /** As the job type describes it. */
  work: unknown
}

/** Does a task; its result goes to the database. Undefined: it has reported by itself, over the direct connection. */
export type Work = (task: Task, call: Call, db: CallDatabase) => Promise<unknown>

/** Why a task could not be done. The class of the SQLSTATE decides whether it is tried again. */
export class TaskFailure extends Error {
  readonly error: { code: string; message: string; details: string | null; hint: string | null }
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: string,
    message: string,
    {
      details,
      hint,
      retryAfterSeconds,
    }: { details?: string; hint?: string; retryAfterSeconds?: number } = {},
  ) {
    super(message)
    this.error = { code, message, details: details ?? null, hint: hint ?? null }
    this.retryAfterSeconds = retryAfterSeconds
  }
}

const callSchema = z.object({ task_id: z.int(), token: z.uuid() })

/** A route for a task of the queue: asks what it is, does it, and reports how it ended. */
export function taskRoute(work: Work): Route {
  return async (body, db) => {
    const call = callOf(body)
    let result: unknown
    try {
      const task = (await db('get_worker_task', { ...call })) as Task
      result = await work(task, call, db)
    } catch (cause) {
      if (isOver(cause)) throw cause
      const { error, retryAfterSeconds } = failureOf(cause)
      await db('fail_worker_task', { ...call, error, retry_after_seconds: retryAfterSeconds })
      return { failed: error }
    }
    if (result === undefined) return { reported: true }
    return { completed: await db('complete_worker_task', { ...call, result }) }
  }
}

function callOf(body: unknown): Call {
  const parsed = callSchema.safeParse(body)
  if (!parsed.success) throw malformed('request is not valid', z.prettifyError(parsed.error))
  return parsed.data
}

const over = ['call of the worker function is over', 'range was taken in before']

/** The database has taken the task back: there is nobody to report to. Not so where something else is in another state. */
function isOver(cause: unknown): boolean {
  return cause instanceof Refusal && cause.body.code === 'PT409' && over.includes(cause.body.message)
}

function failureOf(cause: unknown): TaskFailure {
  if (cause instanceof TaskFailure) return cause
  if (cause instanceof Refusal && /^[0-9A-Z]{5}$/.test(cause.body.code)) {
    const { code, message, details, hint } = cause.body
    return new TaskFailure(code, message, { details: details ?? undefined, hint: hint ?? undefined })
  }
  console.error(cause)
  return new TaskFailure('XX000', 'unexpected error', { hint: 'The log of the worker function says more.' })
}
