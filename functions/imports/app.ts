import { type App, answered, describedAt, json, made, newApp } from '../_shared/app.ts'
import type { CallDatabase } from '../_shared/caller.ts'
import { awaitImport, awaitSet, getImport, type ImportDocument } from '../_shared/upload/await-import.ts'
import { createImport, proceed } from '../_shared/upload/create.ts'
import { importEvents } from './events.ts'
import { failedRowsFile } from './failed-csv.ts'
import * as routes from './routes.ts'

/** The routes of the function, and what each of them calls. */
export function importsApp(): App {
  const app = newApp()

  app.openapi(routes.upload, async (c) => {
    const { document, replayed, status } = await createImport(c.req.raw, c.req.query(), c.env)
    return made(document, replayed, status)
  })
  app.openapi(routes.list, async (c) => {
    const { limit, ...filter } = c.req.valid('query')
    return json(await c.env.db('list_imports', { ...filter, page_size: limit }))
  })
  app.openapi(routes.get, async (c) => json(await getImport(c.env.db, c.req.valid('param').id)))
  app.openapi(routes.change, async (c) => {
    const import_id = c.req.valid('param').id
    return json(await c.env.db('set_import_mapping', { import_id, ...c.req.valid('json') }))
  })
  app.openapi(routes.events, async (c) => {
    const lastEventId = c.req.valid('header')['last-event-id']
    return importEvents(c.env.db, c.req.valid('param').id, lastEventId)
  })
  app.openapi(routes.validate, async (c) => {
    const { wait, force } = c.req.valid('query')
    const idempotency_key = c.req.valid('header')['idempotency-key']
    return start(c.env.db, c.req.valid('param').id, wait, 'validate_import', { force, idempotency_key })
  })
  app.openapi(routes.commit, async (c) => {
    const { wait, force, dry_run } = c.req.valid('query')
    const { id } = c.req.valid('param')
    const idempotency_key = c.req.valid('header')['idempotency-key']
    if (!dry_run) return start(c.env.db, id, wait, 'commit_import', { force, idempotency_key })
    return start(c.env.db, id, wait, 'preview_import', { full: dry_run === 'full', idempotency_key })
  })
  app.openapi(routes.preview, async (c) =>
    json(await c.env.db('get_import_preview', { import_id: c.req.valid('param').id })),
  )
  app.openapi(routes.pause, async (c) => start(c.env.db, c.req.valid('param').id, 0, 'pause_import'))
  for (const [route, rpc] of [
    [routes.resume, 'resume_import'],
    [routes.cancel, 'cancel_import'],
    [routes.retry, 'retry_import'],
  ] as const) {
    app.openapi(route, async (c) => start(c.env.db, c.req.valid('param').id, c.req.valid('query').wait, rpc))
  }
  app.openapi(routes.undo, async (c) => {
    const { wait, dry_run } = c.req.valid('query')
    const idempotency_key = c.req.valid('header')['idempotency-key']
    return start(c.env.db, c.req.valid('param').id, wait, 'undo_import', { dry_run, idempotency_key })
  })
  app.openapi(routes.rows, async (c) => {
    const { status, after, limit } = c.req.valid('query')
    const { id } = c.req.valid('param')
    return json(
      await c.env.db('list_import_rows', { import_id: id, status, after_row: after, page_size: limit }),
    )
  })
  app.openapi(routes.issues, async (c) => {
    const { after, limit, code, severity } = c.req.valid('query')
    const { id } = c.req.valid('param')
    const filter = { code, severity, after_id: after, page_size: limit }
    return json(await c.env.db('list_import_issues', { import_id: id, ...filter }))
  })
  app.openapi(routes.failedCsv, async (c) => {
    const { id, columns, added_columns } = await getImport(c.env.db, c.req.valid('param').id)
    return new Response(await failedRowsFile(c.env.db, id, columns ?? [], added_columns), {
      headers: {
        'Content-Type': 'text/csv; charset=utf-8',
        'Content-Disposition': `attachment; filename="failed-${id}.csv"`,
      },
    })
  })
  app.openapi(routes.correct, async (c) => {
    const child = (await c.env.db('correct_import', {
      import_id: c.req.valid('param').id,
      corrections: c.req.valid('json').corrections,
      idempotency_key: c.req.valid('header')['idempotency-key'],
    })) as ImportDocument
    return made(await proceed(c.env.db, child.id, c.req.valid('query')), child.replayed)
  })
  app.openapi(routes.createSet, async (c) => {
    const idempotency_key = c.req.valid('header')['idempotency-key']
    const set = await c.env.db('create_import_set', { ...c.req.valid('json'), idempotency_key })
    return made(set, (set as { replayed?: boolean }).replayed)
  })
  app.openapi(routes.getSet, async (c) =>
    json(await c.env.db('get_import_set', { set_id: c.req.valid('param').id })),
  )
  app.openapi(routes.runSet, async (c) => {
    const { wait, ...args } = c.req.valid('query')
    const set_id = c.req.valid('param').id
    const started = await c.env.db('run_import_set', { set_id, ...args })
    return answered(started, wait, () => awaitSet(c.env.db, set_id, wait))
  })

  app.openAPIRegistry.registerPath(describedAt('/imports/openapi.json'))
  return app
}

/** Starts something with an import. */
async function start(
  db: CallDatabase,
  importId: string,
  wait: number,
  rpc: Parameters<CallDatabase>[0],
  args: Record<string, unknown> = {},
): Promise<never> {
  const started = await db(rpc, { import_id: importId, ...args })
  return answered(started, wait, () => awaitImport(db, importId, wait))
}
