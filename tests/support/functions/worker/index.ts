import { workerOf } from '../../../../functions/worker/app.ts'
import { TaskFailure, taskRoute } from '../../../../functions/worker/task.ts'

/** What a test wants of an attempt. */
export type Wish = { nap?: number; fail?: { code: string; after?: number } }

/** The worker function with a route that does what its task's args say, attempt by attempt, then what they say last. */
export default workerOf({
  probe: taskRoute(async ({ args, attempt }) => {
    const wishes = args.wishes as Wish[]
    const { nap = 0, fail } = wishes[Math.min(attempt, wishes.length) - 1] ?? {}
    await new Promise((settle) => setTimeout(settle, nap))
    if (fail) throw new TaskFailure(fail.code, 'it was told to fail', { retryAfterSeconds: fail.after })
    return { attempt }
  }),
})
