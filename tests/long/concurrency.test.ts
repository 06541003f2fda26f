import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import {
  asPerson,
  getImport,
  join,
  makeOrganization,
  settled,
  stageImport,
  until,
  validate,
} from '../support/imports.ts'
import { startWorkers } from '../support/workers.ts'

// Many at once: nobody waits for long, nobody gets another's rows, and every job ends once.

const stack = inject('stack')
const columns = ['external_id', 'name', 'email']
let sql: Sql

beforeAll(() => {
  sql = connect(stack, { max: 6 })
})
afterAll(() => sql.end({ timeout: 1 }))

/** Rows of customers, of which every tenth has an address that is none. */
function* customers(count: number, prefix: string): Generator<string[]> {
  for (let n = 1; n <= count; n++) {
    yield [`${prefix}-${n}`, `Customer ${n}`, n % 10 === 0 ? 'nowhere' : `c${n}@example.com`]
  }
}

describe('people who send ten files each at once', () => {
  it('get every row of theirs, and of theirs only', async () => {
    const people = await Promise.all(['ann', 'bob', 'cid', 'dot'].map((name) => signUp(name)))
    const [ann, bob, cid, dot] = people as [Person, Person, Person, Person]
    const organizations = new Map<Person, string>()
    for (const person of [ann, bob, cid]) organizations.set(person, await organizationOf(person))
    organizations.set(dot, organizations.get(cid) as string) // two in one
    await join(sql, dot.id, organizations.get(cid) as string, 'member')

    // Ann's and Bob's customers have the same numbers, in organizations of their own; Cid's and Dot's differ.
    const prefixes = new Map([
      [ann, 'K'],
      [bob, 'K'],
      [cid, 'C'],
      [dot, 'D'],
    ])
    const sent = await Promise.all(
      people.flatMap((person) =>
        Array.from({ length: 10 }, async (_, file) => {
          const rows = [columns, ...customers(100, `${prefixes.get(person)}${file}`)]
          return { person, id: await upload(person, rows.map((row) => row.join(',')).join('\n')) }
        }),
      ),
    )
    for (const { id } of sent) expect(await settled(sql, id)).toBe('completed')

    for (const { person, id } of sent) {
      const { data } = await person.client.rpc('get_import', { import_id: id })
      expect(data).toMatchObject({
        org_id: organizations.get(person),
        initiated_by: person.id,
        counts: { rows: 100, inserted: 90, failed: 10, updated: 0, unchanged: 0, pending: 0 },
        issues: [{ code: 'invalid_format', field: 'email', count: 10 }],
      })
    }
    for (const [person, count] of [
      [ann, 900],
      [bob, 900],
      [cid, 1800],
      [dot, 1800],
    ] as const) {
      const seen = await person.client.from('customers').select('org_id', { count: 'exact' }).limit(2000)
      expect(seen.count).toBe(count)
      expect(new Set(seen.data?.map((row) => row.org_id))).toEqual(new Set([organizations.get(person)]))
    }
    const records = await sql`
      select c.org_id, string_agg(distinct split_part(c.external_id, '-', 1), ' ' order by split_part(c.external_id, '-', 1)) as files,
        count(distinct c.external_id)::integer as count
      from public.customers as c where c.org_id = any (${[...new Set(organizations.values())]}::uuid[])
      group by 1`
    const files = (prefix: string) => Array.from({ length: 10 }, (_, file) => `${prefix}${file}`)
    expect(new Map(records.map((row) => [row.org_id, [row.files, row.count]]))).toEqual(
      new Map([
        [organizations.get(ann), [files('K').join(' '), 900]],
        [organizations.get(bob), [files('K').join(' '), 900]],
        [organizations.get(cid), [[...files('C'), ...files('D')].join(' '), 1800]],
      ]),
    )
  })
})

describe('a small import beside a large one', () => {
  it('does not wait for it', async () => {
    const [big, small] = await Promise.all([makeOrganization(sql, 'big'), makeOrganization(sql, 'small')])
    const large = { dataset: 'customers', columns, rows: customers(300_000, 'L') }
    const bigId = await stageImport(sql, big.admin, large)
    await validate(sql, big.admin, bigId, true)
    await until('it is being applied', 60, async () => (await getImport(sql, bigId)).status === 'committing')

    const little = { dataset: 'customers', columns, rows: customers(100, 'S') }
    const smallId = await stageImport(sql, small.admin, little)
    const began = performance.now()
    await validate(sql, small.admin, smallId, true)
    expect(await settled(sql, smallId, 30)).toBe('completed')
    const seconds = (performance.now() - began) / 1000

    const rest = await getImport(sql, bigId)
    await asPerson(sql, big.admin, (tx) => tx`select public.cancel_import(${bigId})`)
    await settled(sql, bigId)
    expect(await getImport(sql, smallId)).toMatchObject({ counts: { inserted: 90, failed: 10 } })
    expect(rest.status).toBe('committing')
    expect(rest.counts.pending).toBeGreaterThan(0)
    expect(seconds).toBeLessThan(10)
  })
})

describe('four hundred jobs and ten workers', () => {
  it('all end, each exactly once', async () => {
    const organizations = await Promise.all(Array.from({ length: 20 }, () => makeOrganization(sql, 'tiny')))
    const ids = organizations.map(({ organization }) => organization)
    const imports = await Promise.all(
      organizations.flatMap(({ admin }) =>
        Array.from({ length: 10 }, (_, file) =>
          stageImport(sql, admin, { dataset: 'customers', columns, rows: customers(10, `T${file}`) }),
        ),
      ),
    )
    // 200 validations, and 200 commits after them; an organization has three running, the others wait their turn.
    const workers = startWorkers(stack, 8)
    try {
      await Promise.all(
        imports.map((id, index) =>
          validate(sql, organizations[Math.floor(index / 10)]?.admin as string, id, true),
        ),
      )
      await until('nothing is left to do', 60, async () => {
        const [row] = await sql`
          select from public.scheduled_jobs
          where org_id = any (${ids}::uuid[]) and status in ('pending', 'queued', 'running') limit 1`
        return row === undefined
      })
    } finally {
      await workers.stop()
    }

    const jobs = await sql`
      select job_type, status, count(*)::integer, sum(done_count)::integer as done, sum(failed_count)::integer as failed
      from public.scheduled_jobs where org_id = any (${ids}::uuid[]) group by 1, 2 order by 1`
    expect(jobs).toEqual([
      { job_type: 'commit', status: 'completed', count: 200, done: 2000, failed: 200 },
      { job_type: 'validate', status: 'completed', count: 200, done: 2000, failed: 200 },
    ])
    const [left] = await sql`
      select
        (select count(*)::integer from public.sync_job_queue where org_id = any (${ids}::uuid[])) as tasks,
        (select count(*)::integer from public.sync_error_log where org_id = any (${ids}::uuid[])) as errors,
        (select count(*)::integer from private.import_outcomes where batch_id = any (${imports}::uuid[])) as outcomes,
        (select count(*)::integer from public.customers where org_id = any (${ids}::uuid[])) as records,
        (select count(*)::integer from public.sync_progress
          where org_id = any (${ids}::uuid[]) and status = 'completed' and processed_count = total_items) as progress,
        (select count(*)::integer from public.import_batches
          where id = any (${imports}::uuid[]) and status = 'completed') as completed`
    expect(left).toEqual({ tasks: 0, errors: 0, outcomes: 200, records: 1800, progress: 400, completed: 200 })
  })
})

async function organizationOf(person: Person): Promise<string> {
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { data, error } = await person.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  return data.id
}

/** Sends a file that is to be applied without a review; returns the import's id. */
async function upload(person: Person, body: string): Promise<string> {
  const response = await fetch(`${stack.url}/functions/v1/imports?dataset=customers&review=false`, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.token}`, 'content-type': 'text/csv' },
    body,
  })
  const document = (await response.json()) as { id: string }
  expect([201, 202]).toContain(response.status)
  return document.id
}
