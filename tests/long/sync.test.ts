import process from 'node:process'
import type { Sql } from 'postgres'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { asPerson, makeOrganization, until } from '../support/imports.ts'
import { openShop, type Reply, type Shop } from '../support/shop.ts'
import { startTestStack } from '../support/stack.ts'

// Syncs of a source with pages, when what fetches them dies: no page is lost, and none comes twice.

let stack: Stack
let sql: Sql
let shop: Shop

beforeAll(async () => {
  stack = await startTestStack()
  sql = postgres(stack.databaseUrl, { max: 5, prepare: false, connect_timeout: 5, onnotice: () => {} })
  shop = await openShop()
})
afterAll(async () => {
  await Promise.all([sql?.end({ timeout: 1 }), shop?.stop()])
  await stack?.stop()
})

const pages = 5
const perPage = 70

/** Pages so large that a call takes three of them. At the first request for one, something happens. */
function serve(path: string, page: number, happens: () => void): void {
  let hasHappened = false
  shop.serve(path, (url): Reply => {
    const number = Number(url.searchParams.get('page') ?? 0)
    if (number === page && !hasHappened) {
      hasHappened = true
      happens()
    }
    const rows = Array.from({ length: perPage }, (_, n) => ({
      id: `${number}-${n}`,
      name: 'x',
      more: 'y'.repeat(100_000),
    }))
    return { body: JSON.stringify({ rows, next: number + 1 < pages ? number + 1 : null }) }
  })
}

async function startRun(path: string): Promise<string> {
  const { admin, organization } = await makeOrganization(sql, 'acme')
  await sql`select public.set_setting('outbound.allow_private', 'true', ${organization})`
  const source = {
    name: 'shop',
    dataset: 'customers',
    kind: 'http_json',
    location: shop.url + path,
    options: { path: 'rows', cursor: 'next', cursor_parameter: 'page' },
    mapping: { external_id: 'id', name: 'name' },
  }
  const [run] = await asPerson(
    sql,
    admin,
    (tx) => tx<{ id: string }[]>`
      select public.run_sync((public.create_sync_source(${JSON.stringify(source)}::text::jsonb) ->> 'id')::uuid) ->> 'id' as id`,
  )
  return run?.id ?? ''
}

/** The end of a run; a call that is lost counts as lost at once, not after three minutes. */
async function endOf(runId: string, isLost: () => boolean) {
  return until(`run ${runId} ends`, 60, async () => {
    if (isLost()) {
      await sql`
        update public.sync_job_queue as q set next_attempt_at = now() from public.sync_runs as r
        where r.id = ${runId} and q.job_id = r.job_id and q.token is not null
          and not exists (select from public.sync_error_log as e where e.job_id = q.job_id)`
    }
    const [run] = await sql<
      { status: string; error: unknown; row_count: number; records: number; errors: string[] }[]
    >`
      select r.status, r.error, (r.fetched ->> 'row_count')::integer as row_count,
        (select count(*)::integer from public.customers as c where c.org_id = r.org_id) as records,
        array(select e.message from public.sync_error_log as e join public.scheduled_jobs as j on j.id = e.job_id
          where j.params ->> 'run_id' = r.id::text order by e.id) as errors
      from public.sync_runs as r
      where r.id = ${runId} and r.finished_at is not null`
    return run
  })
}

it.each([
  ['in the first call', 1],
  ['in a call that goes on', 4],
])('the function is killed %s', async (_, page) => {
  let killed: number | undefined
  serve(`/kill-${page}`, page, () => {
    killed = stack.functionsPid()
    process.kill(killed, 'SIGKILL')
  })
  const run = await startRun(`/kill-${page}`)
  const end = await endOf(run, () => killed !== undefined && stack.functionsPid() !== killed)
  expect(end).toEqual({
    status: 'completed',
    error: null,
    row_count: pages * perPage,
    records: pages * perPage,
    errors: ['worker function did not answer'],
  })
  const [left] =
    await sql`select count(*)::integer as batches from public.import_batches as b where b.status = 'receiving'`
  expect(left?.batches).toBe(0)
})

it('the connection of the function is cut while a page comes', async () => {
  serve('/cut', 4, () => {
    void sql`
      select pg_terminate_backend(a.pid) from pg_stat_activity as a where a.application_name = 'sluice imports'`.execute()
  })
  const end = await endOf(await startRun('/cut'), () => false)
  expect(end).toMatchObject({ status: 'completed', row_count: pages * perPage, records: pages * perPage })
  expect(end.errors).toHaveLength(1)
})
