import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { asPerson, join, settled, stageRows, until, validate } from '../support/imports.ts'

// People at work in one organization at the same time, over the Data API, and what they do at the same moment.

const columns = ['external_id', 'name']
let sql: Sql
let organization: string
let admin: Person
let ann: Person
let bea: Person

beforeAll(async () => {
  sql = connect(undefined, { max: 6 })
  ;[admin, ann, bea] = (await Promise.all(['admin', 'ann', 'bea'].map((name) => signUp(name)))) as [
    Person,
    Person,
    Person,
  ]
  const slug = `org-${randomUUID().slice(0, 8)}`
  organization = await rpc(admin, 'create_organization', { name: slug, slug }).then((made) => made.id)
  await join(sql, ann.id, organization, 'member')
  await join(sql, bea.id, organization, 'member')
})
afterAll(() => sql.end({ timeout: 1 }))

// biome-ignore lint/suspicious/noExplicitAny: documents of many kinds
async function rpc(person: Person, name: string, parameters: Record<string, unknown> = {}): Promise<any> {
  const { data, error } = await person.client.rpc(name, parameters)
  if (error) throw new Error(`${error.code} ${error.message}`)
  return data
}

/** An import with one row; returns its session's id, too. */
async function stage(
  person: Person,
  parameters: Record<string, unknown> = {},
): Promise<{ id: string; session: string }> {
  const { id } = await rpc(person, 'create_import', { dataset: 'customers', ...parameters })
  await stageRows(sql, id, columns, [[randomUUID(), 'One']])
  const { data } = await person.client.from('import_sessions').select('id').eq('batch_id', id).single()
  return { id, session: data?.id }
}

describe('two people with ten imports each at once', () => {
  it('each have their own ten sessions, and what became of them', async () => {
    const sent = await Promise.all(
      [ann, bea].flatMap((person) =>
        Array.from({ length: 10 }, async (_, file) => {
          const { id } = await rpc(person, 'create_import', {
            dataset: 'customers',
            file_name: `${file}.csv`,
          })
          await stageRows(sql, id, columns, [[`${person.id}-${file}`, `Customer ${file}`]])
          await rpc(person, 'validate_import', { import_id: id, commit: true })
          return { person, id }
        }),
      ),
    )
    for (const { id } of sent) expect(await settled(sql, id)).toBe('completed')

    for (const person of [ann, bea]) {
      const theirs = sent.filter((one) => one.person === person).map((one) => one.id)
      const { sessions } = await rpc(person, 'list_import_sessions', { status: 'completed' })
      expect(new Set(sessions.map((one: { import_id: string }) => one.import_id))).toEqual(new Set(theirs))
      const seen = await person.client.from('import_sessions').select('created_by')
      expect(seen.data).toEqual(theirs.map(() => ({ created_by: person.id })))
    }
    const { data } = await admin.client
      .from('admin_import_sessions_monitor')
      .select('owner_email, applied')
      .in(
        'import_id',
        sent.map((one) => one.id),
      )
    const applied = (email: string) => data?.filter((row) => row.owner_email === email && row.applied === 1)
    expect([applied(ann.email)?.length, applied(bea.email)?.length]).toEqual([10, 10])
  })
})

describe('a session', () => {
  it('is resumed, shared, handed over and cleaned up', async () => {
    const { id, session } = await stage(ann)
    await rpc(ann, 'save_import_session', { session_id: session, state: { tab: 'mapping' } })
    expect(await rpc(ann, 'open_import_session', { session_id: session })).toMatchObject({
      import_id: id,
      state: { tab: 'mapping' },
      import: { id, status: 'staged' },
    })
    await expect(rpc(bea, 'open_import_session', { session_id: session })).rejects.toThrow('PT404')
    await expect(rpc(bea, 'validate_import', { import_id: id })).rejects.toThrow('42501')

    await rpc(ann, 'share_import_session', { session_id: session, user_id: bea.id })
    await rpc(bea, 'validate_import', { import_id: id })
    expect(await settled(sql, id)).toBe('validated')

    await rpc(admin, 'transfer_import_session', { session_id: session, user_id: bea.id })
    await expect(rpc(ann, 'open_import_session', { session_id: session })).rejects.toThrow('PT404')
    const other = await stage(ann)
    expect(
      await rpc(bea, 'abandon_import_sessions', { session_ids: [session, other.session] }),
    ).toMatchObject({ abandoned: [session], failed: [{ id: other.session, error: { code: 'PT404' } }] })
    expect((await rpc(bea, 'get_import', { import_id: id })).status).toBe('cancelled')
  })

  it('is handed over or has a job started, never both', async () => {
    for (let round = 0; round < 10; round++) {
      const { id, session } = await stage(ann)
      const [started, handed] = await Promise.allSettled([
        asPerson(sql, ann.id, (tx) => tx`select public.validate_import(${id})`),
        asPerson(sql, admin.id, (tx) => tx`select public.transfer_import_session(${session}, ${bea.id})`),
      ])
      // Whichever came second was refused; a job that was started goes on to its end.
      if (started.status === 'fulfilled') expect(await settled(sql, id)).toBe('validated')
      else expect(started.reason).toMatchObject({ code: '42501' })
      if (handed.status === 'rejected') expect(handed.reason).toMatchObject({ code: 'PT409' })
      expect([started.status, handed.status]).toContain('fulfilled')
    }
  })

  it('is cleaned up by two at once without a deadlock', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => stage(ann).then((one) => one.session)))
    const answers = await Promise.all(
      [ids, [...ids].reverse()].map((session_ids) => rpc(ann, 'abandon_import_sessions', { session_ids })),
    )
    expect(answers.map((answer) => [answer.abandoned.length, answer.failed])).toEqual([
      [20, []],
      [20, []],
    ])
  })
})

describe('a failed import', () => {
  it('is mapped anew while somebody who holds the organization comes for it, without a deadlock', async () => {
    const { id } = await rpc(ann, 'create_import', { dataset: 'customers', options: { on_error: 'abort' } })
    await stageRows(sql, id, columns, [[randomUUID(), '']])
    await validate(sql, ann.id, id)
    expect(await settled(sql, id)).toBe('failed')
    const { data } = await ann.client.from('import_sessions').select('id').eq('batch_id', id).single()

    const held = await sql.begin(async (tx) => {
      await tx`select private.lock_organization(${organization})`
      const mapped = rpc(ann, 'set_import_mapping', { import_id: id, options: { on_error: 'skip' } })
      await until('the mapping waits', 10, async () => {
        const [waiting] = await sql`
          select from pg_stat_activity where wait_event_type = 'Lock' and query like '%set_import_mapping%'`
        return waiting !== undefined
      })
      await tx`select set_config('request.jwt.claims', ${JSON.stringify({ sub: ann.id, role: 'authenticated' })}, true)`
      await tx`select public.share_import_session(${data?.id}, ${bea.id})`
      return { mapped }
    })
    expect(await held.mapped).toMatchObject({ status: 'staged', options: { on_error: 'skip' } })
  })
})

describe('a template', () => {
  it('that is saved many times at once has as many versions, one of them current', async () => {
    const { id } = await stage(ann)
    await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        rpc(n % 2 ? ann : admin, 'save_import_template', { import_id: id, name: 'Ours' }),
      ),
    )
    const { data } = await bea.client
      .from('import_templates')
      .select('version, replaced_at')
      .eq('name', 'Ours')
      .order('version')
    expect(data?.map((row) => row.version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(data?.filter((row) => row.replaced_at === null)).toMatchObject([{ version: 8 }])
  })

  it('is applied by id and by header, and named by what ran', async () => {
    const template = await rpc(admin, 'list_import_templates', { dataset: 'customers' }).then(
      (list) => list.templates[0],
    )
    const byHeader = await stage(bea)
    const byId = await stage(bea, { template_id: template.id })
    for (const { id } of [byHeader, byId]) {
      await validate(sql, bea.id, id, true)
      expect(await settled(sql, id)).toBe('completed')
      expect(await rpc(bea, 'get_import', { import_id: id })).toMatchObject({
        template_id: template.id,
        suggested_mapping: { name: { column: 'name', reason: 'template' } },
      })
    }
    const { id: lacking } = await rpc(bea, 'create_import', {
      dataset: 'customers',
      template_id: template.id,
    })
    await expect(stageRows(sql, lacking, ['external_id', 'title'], [])).rejects.toMatchObject({
      code: 'PT422',
      detail: expect.stringContaining('no column "name"'),
    })
  })
})
