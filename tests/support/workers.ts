import postgres from 'postgres'
import type { Stack } from '../../local/stack.ts'

/** Workers of a test's own, beside those of cron. */
export type Workers = { stop(): Promise<void> }

/** Starts workers that do what the block of a cron job does, each on a connection of its own, but hardly ever nap. */
export function startWorkers(
  stack: Pick<Stack, 'databaseUrl'>,
  count: number,
  settings: Record<string, string> = {},
): Workers {
  let isStopping = false
  const running = Array.from({ length: count }, work)

  async function work(): Promise<void> {
    while (!isStopping) {
      const sql = postgres(stack.databaseUrl, {
        max: 1,
        prepare: false,
        connection: settings,
        onnotice: () => {},
      })
      try {
        await loop(sql)
      } catch {
        // As with cron: whatever ends a worker, the next one takes up its task.
      } finally {
        await sql.end({ timeout: 0 })
      }
    }
  }

  async function loop(sql: postgres.Sql): Promise<void> {
    for (let goesOn = true; goesOn && !isStopping; ) {
      const [claimed] = await sql<{ id: string | null }[]>`select private.claim_task() as id`
      if (claimed?.id) {
        const [run] = await sql<{ on: boolean }[]>`select private.run_task(${claimed.id}) as on`
        await sql`select pg_advisory_unlock(private.task_lock_key(${claimed.id}))`
        goesOn = run?.on ?? false
      } else {
        await new Promise((settle) => setTimeout(settle, 10))
      }
    }
  }

  return {
    async stop() {
      isStopping = true
      await Promise.all(running)
    },
  }
}
