import { type App, answered, describedAt, json, made, newApp } from '../_shared/app.ts'
import type { CallDatabase } from '../_shared/caller.ts'
import { readUntil } from '../_shared/upload/await-import.ts'
import * as routes from './routes.ts'

/** The routes of the function, and what each of them calls. */
export function syncApp(): App {
  const app = newApp()

  app.openapi(routes.listSources, async (c) =>
    json(await c.env.db('list_sync_sources', { ...c.req.valid('query') })),
  )
  app.openapi(routes.createSource, async (c) => {
    const { org_id, ...source } = c.req.valid('json')
    return made(await c.env.db('create_sync_source', { source, org_id }))
  })
  app.openapi(routes.getSource, async (c) =>
    json(await c.env.db('get_sync_source', { source_id: c.req.valid('param').id })),
  )
  app.openapi(routes.changeSource, async (c) => {
    const source_id = c.req.valid('param').id
    return json(await c.env.db('change_sync_source', { source_id, changes: c.req.valid('json') }))
  })
  app.openapi(routes.deleteSource, async (c) => {
    await c.env.db('delete_sync_source', { source_id: c.req.valid('param').id })
    return gone()
  })
  app.openapi(routes.runSource, async (c) => {
    const { wait, force } = c.req.valid('query')
    const run = (await c.env.db('run_sync', { source_id: c.req.valid('param').id, force })) as Run
    return answered(run, wait, () => awaitRun(c.env.db, run.id, wait))
  })

  app.openapi(routes.listSchedules, async (c) =>
    json(await c.env.db('list_sync_schedules', { ...c.req.valid('query') })),
  )
  app.openapi(routes.createSchedule, async (c) =>
    made(await c.env.db('create_sync_schedule', { ...c.req.valid('json') })),
  )
  app.openapi(routes.changeSchedule, async (c) => {
    const schedule_id = c.req.valid('param').id
    return json(await c.env.db('change_sync_schedule', { schedule_id, ...c.req.valid('json') }))
  })
  app.openapi(routes.deleteSchedule, async (c) => {
    await c.env.db('delete_sync_schedule', { schedule_id: c.req.valid('param').id })
    return gone()
  })

  app.openapi(routes.listRuns, async (c) => {
    const { limit, ...filter } = c.req.valid('query')
    return json(await c.env.db('list_sync_runs', { ...filter, page_size: limit }))
  })
  app.openapi(routes.getRun, async (c) =>
    json(await c.env.db('get_sync_run', { run_id: c.req.valid('param').id })),
  )
  for (const [route, rpc] of [
    [routes.approveRun, 'approve_sync'],
    [routes.cancelRun, 'cancel_sync'],
  ] as const) {
    app.openapi(route, async (c) => {
      const { wait } = c.req.valid('query')
      const run_id = c.req.valid('param').id
      return answered(await c.env.db(rpc, { run_id }), wait, () => awaitRun(c.env.db, run_id, wait))
    })
  }

  app.openapi(routes.listSecrets, async (c) =>
    json({ secrets: await c.env.db('list_sync_secrets', { ...c.req.valid('query') }) }),
  )
  app.openapi(routes.setSecret, async (c) => {
    await c.env.db('set_sync_secret', { name: c.req.valid('param').name, ...c.req.valid('json') })
    return gone()
  })
  app.openapi(routes.deleteSecret, async (c) => {
    await c.env.db('delete_sync_secret', { name: c.req.valid('param').name, ...c.req.valid('query') })
    return gone()
  })

  app.openAPIRegistry.registerPath(describedAt('/sync/openapi.json'))
  return app
}

interface Run {
  id: string
  status: string
}

const rests = ['awaiting_approval', 'completed', 'unchanged', 'failed', 'cancelled']

/** The run once nothing of it goes on by itself, or when the time is over. */
function awaitRun(db: CallDatabase, run_id: string, seconds: number) {
  return readUntil(
    async () => (await db('get_sync_run', { run_id })) as Run,
    ({ status }) => rests.includes(status),
    seconds,
  )
}

/** There is nothing to say of it. */
function gone(): never {
  return new Response(null, { status: 204 }) as never
}
