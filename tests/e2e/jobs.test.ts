import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { csv, request } from '../support/http.ts'
import { getImport, until } from '../support/imports.ts'

// Jobs as the Data API has them, and what the schedule does with those that wait.

let sql: Sql
let ann: Person
let organization: string

beforeAll(async () => {
  sql = connect()
  ann = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  organization = (await ann.client.rpc('create_organization', { name: slug, slug })).data.id
})
afterAll(() => sql.end({ timeout: 1 }))

/** A staged import of one customer. */
async function stage(): Promise<string> {
  const file = csv(['external_id', 'name'], [[randomUUID(), 'Ann']])
  const { status, body } = await request(ann, 'POST', '?dataset=customers', { body: file })
  expect(status).toBe(201)
  return body.id
}

/** A staged import whose validation is paused before it began: the only job that may run is another one. */
async function paused(): Promise<{ importId: string; jobId: string }> {
  const importId = await stage()
  const job = await sql.begin(async (tx) => {
    await tx`select set_config('request.jwt.claims', ${JSON.stringify({ sub: ann.id, role: 'authenticated' })}, true)`
    await tx`set local role authenticated`
    const [made] = await tx`select public.validate_import(${importId}) as job`
    await tx`select public.pause_job(${made?.job.id})`
    return made?.job
  })
  return { importId, jobId: job.id }
}

describe('a job', () => {
  it('that is put off runs when its time comes', async () => {
    const { importId, jobId } = await paused()
    const run_at = new Date(Date.now() + 3000).toISOString()
    const changed = await ann.client.rpc('change_job', { job_id: jobId, priority: 3, run_at })
    expect(changed).toMatchObject({ status: 200, data: { status: 'paused', priority: 3 } })
    expect((await ann.client.rpc('resume_job', { job_id: jobId })).data.status).toBe('queued')

    await until('it is judged', 30, async () => (await getImport(sql, importId)).status === 'validated')
    const { data } = await ann.client.rpc('get_job', { job_id: jobId })
    expect(Date.parse(data.started_at)).toBeGreaterThanOrEqual(Date.parse(run_at))
    expect(data).toMatchObject({
      status: 'completed',
      errors: [],
      tasks: { waiting: 0, running: 0, dead: 0 },
    })
  })

  it('that ends while another is started for its import does not stand in its way', async () => {
    const importId = await stage()
    const validate = () => ann.client.rpc('validate_import', { import_id: importId })
    await validate()
    await until('it is judged', 30, async () => (await getImport(sql, importId)).status === 'validated')

    // The end of a task writes its job twice, so that the import is looked up again; and then wants the organization.
    await sql.begin(async (tx) => {
      await tx`update public.scheduled_jobs set done_count = done_count where batch_id = ${importId}`
      await tx`update public.scheduled_jobs set done_count = done_count where batch_id = ${importId}`
      expect(await validate()).toMatchObject({ error: null })
      await tx`select private.lock_organization(${organization})`
    })
    await until('it is judged again', 30, async () => (await getImport(sql, importId)).status === 'validated')
  })

  it('of a person who was deactivated fails while it waits, and is tried again by another', async () => {
    const bea = await signUp('bea')
    await sql`update public.profiles set org_id = ${organization}, org_role = 'admin' where id = ${bea.id}`
    const { importId, jobId } = await paused()
    await sql`update public.profiles set is_active = false where id = ${ann.id}`
    try {
      await until('it has failed', 30, async () => (await getImport(sql, importId)).status === 'failed')
    } finally {
      await sql`update public.profiles set is_active = true where id = ${ann.id}`
    }

    const { data } = await bea.client.rpc('get_job', { job_id: jobId })
    expect(data).toMatchObject({
      status: 'failed',
      error: { code: 'actor_deactivated', hint: expect.stringContaining('retry') },
      errors: [{ sqlstate: 'actor_deactivated', task_id: null }],
    })
    const retried = await bea.client.rpc('retry_job', { job_id: jobId })
    expect(retried).toMatchObject({ status: 200, data: { created_by: bea.id } })
    await until('it is judged', 30, async () => (await getImport(sql, importId)).status === 'validated')
  })

  it('is refused with 429 where too many wait, over the Data API and over HTTP', async () => {
    const waiting = await paused()
    const importId = await stage()
    await sql`
      insert into private.settings (key, org_id, value)
      values ('jobs.running_per_organization', ${organization}, '1'), ('jobs.queued_per_organization', ${organization}, '1')`
    const other = await paused()

    const error = { code: 'PT429', message: 'organization has too many jobs waiting' }
    const refused = await ann.client.rpc('validate_import', { import_id: importId })
    expect(refused).toMatchObject({ status: 429, error })
    const overHttp = await request(ann, 'POST', `/${importId}/validate`)
    expect(overHttp).toMatchObject({
      status: 429,
      body: { ...error, hint: expect.stringContaining('cancel some') },
    })

    expect((await ann.client.rpc('cancel_job', { job_id: waiting.jobId })).data.status).toBe('cancelled')
    expect((await request(ann, 'POST', `/${importId}/validate`)).status).toBe(202)
    await ann.client.rpc('cancel_job', { job_id: other.jobId })
    await sql`delete from private.settings where org_id = ${organization}`
  })

  it('is listed, and removed once it has ended', async () => {
    const { jobId } = await paused()
    const listed = await ann.client.rpc('list_jobs', { status: 'paused', mine: true })
    expect(listed.data.jobs).toMatchObject([{ id: jobId, job_type: 'validate', org_id: organization }])
    expect(await ann.client.rpc('remove_job', { job_id: jobId })).toMatchObject({
      status: 409,
      error: { code: 'PT409' },
    })
    await ann.client.rpc('cancel_job', { job_id: jobId })
    expect((await ann.client.rpc('remove_job', { job_id: jobId })).status).toBe(204)
    expect((await ann.client.rpc('get_job', { job_id: jobId })).status).toBe(404)
  })
})
