import { type App, describedAt, json, made, newApp, replay } from '../_shared/app.ts'
import type { CallDatabase } from '../_shared/caller.ts'
import { awaitImport, type ImportDocument } from '../_shared/upload/await-import.ts'
import { createImport } from '../_shared/upload/create.ts'
import { type Results, resultsOf } from './results.ts'
import * as routes from './routes.ts'

/** The routes of the function, and what each of them calls. */
export function usersApp(): App {
  const app = newApp()

  app.openapi(routes.create, async (c) => {
    const idempotency_key = c.req.valid('header')['idempotency-key']
    const started = await c.env.db('create_users', { ...c.req.valid('json'), idempotency_key })
    return told(c.env.db, started as ImportDocument, c.req.valid('query').wait, statusOfCreation)
  })
  app.openapi(routes.upload, async (c) => {
    const { document, replayed, status } = await createImport(
      c.req.raw,
      { ...c.req.query(), dataset: 'users' },
      c.env,
    )
    return made(document, replayed, status)
  })
  app.openapi(routes.remove, async (c) => {
    const { wait, ...query } = c.req.valid('query')
    const body = c.req.valid('json')
    const idempotency_key = c.req.valid('header')['idempotency-key']
    const dry_run = query.dry_run || body?.dry_run // one who says so is enough
    const started = await c.env.db('delete_users', { ...query, ...body, dry_run, idempotency_key })
    return told(c.env.db, started as ImportDocument, wait, () => 200)
  })
  app.openapi(routes.list, async (c) => {
    const { limit, ...filter } = c.req.valid('query')
    return json(await c.env.db('list_users', { ...filter, page_size: limit }))
  })

  app.openAPIRegistry.registerPath(describedAt('/users/openapi.json'))
  return app
}

/** What became of the people, once that is known; when the time is over before, the import that goes on with it. */
async function told(
  db: CallDatabase,
  started: ImportDocument,
  wait: number,
  statusOf: (results: Results) => number,
): Promise<never> {
  const headers = started.replayed ? replay : {}
  const { document, done } = await awaitImport(db, started.id, wait)
  if (!done) return json(document, 202, { ...headers, Location: `/functions/v1/imports/${started.id}` })
  const results = await resultsOf(db, document)
  return json(results, started.replayed ? 200 : statusOf(results), headers)
}

function statusOfCreation({ users }: Results): number {
  return users.some(({ status }) => status === 'created') ? 201 : 200
}
