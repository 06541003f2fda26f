import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { anonymousClient, connect, type Person, signUp } from '../support/client.ts'
import { request } from '../support/http.ts'
import { join, settled, stageRows } from '../support/imports.ts'

// Who is not in the organization gets nothing of it, and nobody runs anything with another's rights.

const columns = ['external_id', 'name', 'email']
const rows = [
  ['C1', 'One', 'one@example.com'],
  ['C2', 'Two', 'no address'],
]

let sql: Sql
let organization: string
let admin: Person
let member: Person
let viewer: Person
let stranger: Person

beforeAll(async () => {
  sql = connect()
  const people = await Promise.all(['admin', 'member', 'viewer', 'stranger'].map((name) => signUp(name)))
  ;[admin, member, viewer, stranger] = people as [Person, Person, Person, Person]
  organization = await organizationOf(admin)
  await organizationOf(stranger)
  await join(sql, member.id, organization, 'member')
  await join(sql, viewer.id, organization, 'viewer')
})
afterAll(() => sql.end({ timeout: 1 }))

async function organizationOf(person: Person): Promise<string> {
  const slug = `org-${randomUUID().slice(0, 8)}`
  const { data, error } = await person.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  return data.id
}

/** An import of two rows, one of them faulty, as far as staged. */
async function stage(person: Person): Promise<string> {
  const { data, error } = await person.client.rpc('create_import', { dataset: 'customers' })
  if (error) throw new Error(error.message)
  await stageRows(sql, data.id, columns, rows)
  return data.id
}

async function validated(person: Person): Promise<string> {
  const id = await stage(person)
  const { error } = await person.client.rpc('validate_import', { import_id: id })
  expect(error).toBeNull()
  expect(await settled(sql, id)).toBe('validated')
  return id
}

describe('somebody of another organization', () => {
  let importId: string

  beforeAll(async () => {
    importId = await validated(admin)
    await admin.client.rpc('commit_import', { import_id: importId })
    expect(await settled(sql, importId)).toBe('completed')
  })

  it.each([
    ['get_import', {}],
    ['list_import_rows', {}],
    ['list_import_issues', {}],
    ['suggest_import_mapping', {}],
    ['set_import_mapping', { options: { blank: 'clear' } }],
    ['validate_import', {}],
    ['commit_import', {}],
    ['cancel_import', {}],
    ['pause_import', {}],
    ['resume_import', {}],
    ['retry_import', {}],
    ['undo_import', {}],
  ])('gets 404 of %s, as for an import that never was', async (rpc, parameters) => {
    const hidden = await stranger.client.rpc(rpc, { import_id: importId, ...parameters })
    const absent = await stranger.client.rpc(rpc, { import_id: randomUUID(), ...parameters })
    expect([hidden.status, hidden.error?.message]).toEqual([404, 'import not found'])
    expect([absent.status, absent.error]).toEqual([404, hidden.error])
    const allowed = await admin.client.rpc(rpc, { import_id: importId, ...parameters })
    expect(allowed.status).not.toBe(404)
  })

  it('gets 404 of every route of an import or a set, as for one that never was', async () => {
    const setId = (await request(admin, 'POST', '/sets', { body: {} })).body.id
    const description = (await request(stranger, 'GET', '/openapi.json')).body as unknown as {
      paths: Record<string, Record<string, object>>
    }
    const bodies: Record<string, unknown> = {
      'patch /{id}': { options: { blank: 'clear' } },
      'post /{id}/corrections': { corrections: [{ row: 2, cells: { email: 'x@example.com' } }] },
    }
    const routes = Object.entries(description.paths)
      .filter(([path]) => path.includes('{id}'))
      .flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method} ${path.slice('/imports'.length)}`),
      )
    expect(routes).toEqual(
      expect.arrayContaining(['get /{id}', 'post /{id}/undo', 'get /{id}/events', 'post /sets/{id}/run']),
    )
    for (const route of routes) {
      const [method, path] = route.split(' ') as [string, string]
      const of = async (id: string) =>
        request(stranger, method.toUpperCase(), path.replace('{id}', id), { body: bodies[route] })
      const hidden = await of(path.startsWith('/sets/') ? setId : importId)
      const absent = await of(randomUUID())
      expect([route, hidden.status, hidden.body.code]).toEqual([route, 404, 'PT404'])
      expect([route, absent.status, absent.body]).toEqual([route, 404, hidden.body])
    }
    const joined = await request(stranger, 'POST', `?dataset=customers&set_id=${setId}`, {
      body: 'name\nA\n',
    })
    expect([joined.status, joined.body.code]).toEqual([404, 'PT404'])
  })

  it('cannot make an import there, and lists none of theirs', async () => {
    const made = await stranger.client.rpc('create_import', { dataset: 'customers', org_id: organization })
    expect([made.status, made.error?.message]).toEqual([404, 'organization not found'])
    const { data } = await stranger.client.rpc('list_imports')
    expect(data.imports).toEqual([])
    expect((await admin.client.rpc('list_imports')).data.imports.length).toBeGreaterThan(0)
  })

  it('sees no row of it in any table or view', async () => {
    const relations = await sql<{ name: string; column: string }[]>`
      select c.relname as name, a.attname as column
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid and a.attname in ('org_id', 'import_id', 'batch_id') and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'p')
        and has_column_privilege('authenticated', c.oid, a.attnum, 'select')
      order by 1, 2`
    expect(relations.map((relation) => relation.name)).toEqual(
      expect.arrayContaining([
        'customers',
        'import_batches',
        'monitor_imports',
        'monitor_jobs',
        'scheduled_jobs',
        'sync_progress',
      ]),
    )
    let seenByAdmin = 0
    for (const { name, column } of relations) {
      const theirs = column === 'org_id' ? organization : importId
      const hidden = await stranger.client.from(name).select(column).eq(column, theirs)
      expect({ name, column, error: hidden.error, rows: hidden.data }).toEqual({
        name,
        column,
        error: null,
        rows: [],
      })
      const shown = await admin.client.from(name).select(column).eq(column, theirs)
      seenByAdmin += shown.data?.length ?? 0
    }
    expect(seenByAdmin).toBeGreaterThan(5)
  })

  it('and somebody who is nobody gets nothing at all', async () => {
    const nobody = anonymousClient()
    const read = await nobody.from('customers').select('id')
    const called = await nobody.rpc('get_import', { import_id: importId })
    expect([read.data, called.data]).toEqual([null, null])
    expect([401, 403, 404]).toContain(read.status)
    expect([401, 403, 404]).toContain(called.status)
  })
})

describe('a job', () => {
  const shown = 'id, org_id, created_by, run_as, actor, batch_id, status, params'

  it("inserted through the Data API is the inserter's own", async () => {
    const importId = await validated(member)
    const params = { import_id: importId, whole: true, commit: true, org_id: randomUUID() }
    const { data, error } = await member.client
      .from('scheduled_jobs')
      .insert({ job_type: 'commit', params })
      .select(shown)
    expect(error).toBeNull()
    expect(data).toMatchObject([
      { org_id: organization, created_by: member.id, actor: member.id, run_as: 'user', batch_id: importId },
    ])
    expect(data?.[0]?.params).toEqual({ import_id: importId, whole: false })
    expect(await settled(sql, importId)).toBe('completed')
  })

  it.each([
    ['run_as', () => 'service'],
    ['actor', () => admin.id],
    ['created_by', () => admin.id],
    ['claims', () => ({ sub: admin.id, role: 'service_role' })],
    ['org_id', () => organization],
    ['batch_id', () => randomUUID()],
    ['status', () => 'completed'],
    ['priority', () => -100],
  ])('cannot be given another %s', async (column, value) => {
    const importId = await validated(member)
    const { status, error } = await member.client
      .from('scheduled_jobs')
      .insert({ job_type: 'commit', params: { import_id: importId }, [column]: value() })
    expect([status, error?.code]).toEqual([403, '42501'])
    const { data } = await member.client.rpc('get_import', { import_id: importId })
    expect(data.status).toBe('validated')
  })

  it('shows nobody the claims that it works with', async () => {
    const { status, error } = await admin.client.from('scheduled_jobs').select('claims')
    expect([status, error?.code]).toEqual([403, '42501'])
  })

  it("cannot be for an import that is not the caller's to act upon", async () => {
    const importId = await validated(admin)
    for (const [person, expected] of [
      [stranger, [404, 'PT404']],
      [viewer, [403, '42501']],
      [member, [403, '42501']],
    ] as const) {
      const params = { import_id: importId }
      const { status, error } = await person.client
        .from('scheduled_jobs')
        .insert({ job_type: 'commit', params })
      expect([status, error?.code]).toEqual(expected)
      const called = await person.client.rpc('commit_import', params)
      expect([called.status, called.error?.code]).toEqual(expected)
    }
    expect((await admin.client.rpc('get_import', { import_id: importId })).data.status).toBe('validated')
  })

  it('works with the rights of who started it, not of who made the import', async () => {
    const importId = await validated(member)
    await sql`update public.profiles set org_role = 'viewer' where id = ${member.id}`
    const { data, error } = await admin.client.rpc('commit_import', { import_id: importId })
    expect(error).toBeNull()
    expect(await settled(sql, importId)).toBe('completed')
    await sql`update public.profiles set org_role = 'member' where id = ${member.id}`
    const [job] = await sql`
      select actor, created_by, run_as, claims ->> 'sub' as subject from public.scheduled_jobs where id = ${data.id}`
    expect(job).toEqual({ actor: admin.id, created_by: admin.id, run_as: 'user', subject: admin.id })
  })
})
