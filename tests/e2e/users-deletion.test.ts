import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { csv, request, usersRequest } from '../support/http.ts'
import { join, settled } from '../support/imports.ts'
import { adminOf, personOf, signIn, systemAdmin } from '../support/users.ts'

// People are deleted by the thousand, and nobody by mistake.

const service = { key: inject('stack').secretKey }
let sql: Sql
let admin: Person
let organization: string
let domain: string

beforeAll(async () => {
  sql = connect()
  ;({ admin, organization, domain } = await adminOf(sql, 'ada', { mayConfirm: true }))
})
afterAll(() => sql.end({ timeout: 1 }))

/** Creates people, and gives the import that did. */
async function create(emails: string[], more: Record<string, unknown> = {}): Promise<string> {
  const { body } = await usersRequest(admin, 'POST', '', {
    body: { users: emails.map((email) => ({ email, ...more })) },
  })
  expect(body.counts).toMatchObject({ inserted: emails.length })
  return body.import_id
}

/** How much there is of the people of a domain. */
async function countOf(pattern: string) {
  const [row] = await sql<{ accounts: number; identities: number; profiles: number }[]>`
    select
      (select count(*)::integer from auth.users where email like ${pattern}) as accounts,
      (select count(*)::integer from auth.identities where email like ${pattern}) as identities,
      (select count(*)::integer from public.profiles where email like ${pattern}) as profiles`
  return row
}

const none = { accounts: 0, identities: 0, profiles: 0 }

describe('DELETE /users', () => {
  it('deletes 5,000 whom an import created, and no others', async () => {
    const emails = Array.from({ length: 5000 }, (_, n) => [`many${n}@${domain}`])
    const file = csv(['email'], emails)
    const made = await usersRequest(admin, 'POST', '/import?review=false&wait=30', { body: file })
    expect(await settled(sql, made.body.id)).toBe('completed')
    await create([`stays@${domain}`])
    expect(await countOf(`many%@${domain}`)).toEqual({ accounts: 5000, identities: 5000, profiles: 5000 })

    const dry = await usersRequest(admin, 'DELETE', `?import_id=${made.body.id}&dry_run=true`)
    expect(dry).toMatchObject({
      status: 200,
      body: { status: 'validated', preview: { counts: { delete: 5000, fail: 0 } } },
    })
    expect(await countOf(`many%@${domain}`)).toMatchObject({ accounts: 5000 })

    const answer = await usersRequest(admin, 'DELETE', `?import_id=${made.body.id}`)
    expect(answer).toMatchObject({
      status: 200,
      body: { counts: { deleted: 5000, failed: 0 }, next_after: 1000 },
    })
    expect(answer.body.users).toHaveLength(1000)
    expect(await countOf(`many%@${domain}`)).toEqual(none)
    expect(await countOf(`stays@${domain}`)).toEqual({ accounts: 1, identities: 1, profiles: 1 })
  })

  it('by ids and by addresses; who is not there is said, and holds nobody up', async () => {
    await create([`by-id@${domain}`, `by-mail@${domain}`])
    const [{ id } = { id: '' }] = await sql<
      { id: string }[]
    >`select id from auth.users where email = ${`by-id@${domain}`}`
    const missing = randomUUID()
    const byId = await usersRequest(admin, 'DELETE', '', { body: { ids: [id, missing] } })
    expect(byId).toMatchObject({
      status: 200,
      body: {
        counts: { deleted: 1, failed: 1 },
        users: [
          { row_number: 1, status: 'deleted', user_id: id },
          { row_number: 2, status: 'failed', issues: [{ code: 'not_found' }] },
        ],
      },
    })
    const emails = `BY-MAIL@${domain},nobody@${domain}`
    const byMail = await usersRequest(admin, 'DELETE', `?emails=${encodeURIComponent(emails)}`)
    expect(byMail.body.users).toMatchObject([
      { email: `by-mail@${domain}`, status: 'deleted' },
      { email: `nobody@${domain}`, status: 'failed', issues: [{ field: 'email', code: 'not_found' }] },
    ])
    expect(await countOf(`by-%@${domain}`)).toEqual(none)
  })

  it('ends what they could do, and keeps what they made', async () => {
    const email = `maker@${domain}`
    await create([email], { password: 'long enough', role: 'member' })
    const { session } = await signIn(email, 'long enough')
    const caller = { token: session?.access_token ?? '' }
    const made = await request(caller, 'POST', '?dataset=customers&review=false&wait=20', {
      body: csv(['external_id', 'name'], [['K1', 'Kept']]),
    })
    expect(made.body.counts).toMatchObject({ inserted: 1 })

    const answer = await usersRequest(admin, 'DELETE', '', { body: { emails: [email] } })
    expect(answer.body.counts).toMatchObject({ deleted: 1 })
    expect((await signIn(email, 'long enough')).session).toBeNull()
    expect((await request(caller, 'GET', `/${made.body.id}`)).status).not.toBe(200)
    const kept = await request(admin, 'GET', `/${made.body.id}`)
    expect(kept).toMatchObject({ status: 200, body: { initiated_by: null, counts: { inserted: 1 } } })
    const [customer] =
      await sql`select name from public.customers where org_id = ${organization} and external_id = 'K1'`
    expect(customer).toEqual({ name: 'Kept' })
  })

  it('refuses oneself, system admins and the last admin, each with its code', async () => {
    const root = await systemAdmin(sql)
    await join(sql, root.id, organization, 'admin')
    const self = await usersRequest(admin, 'DELETE', '', { body: { ids: [admin.id, root.id] } })
    expect(self.body.users.map(({ status, issues }) => [status, issues[0]?.code])).toEqual([
      ['failed', 'own_account'],
      ['failed', 'system_admin'],
    ])
    const other = await adminOf(sql, 'olga')
    const second = await personOf(sql, other.organization, 'admin')
    const both = { ids: [other.admin.id, second.id], org_id: other.organization }
    const byService = await usersRequest(service, 'DELETE', '', { body: both })
    expect(byService.body.users.map(({ status, issues }) => issues[0]?.code ?? status).sort()).toEqual([
      'deleted',
      'last_admin',
    ])
    const [{ admins } = { admins: 0 }] = await sql<{ admins: number }[]>`
      select count(*)::integer as admins from public.profiles where org_id = ${other.organization} and org_role = 'admin'`
    expect(admins).toBe(1)
  })

  it('leaves one of two admins who delete each other at once', async () => {
    const one = await adminOf(sql, 'duel')
    const two = await personOf(sql, one.organization, 'admin')
    const answers = await Promise.all([
      usersRequest(one.admin, 'DELETE', '', { body: { ids: [two.id] } }),
      usersRequest(two, 'DELETE', '', { body: { ids: [one.admin.id] } }),
    ])
    expect(answers.length).toBe(2)
    const left =
      await sql`select id from public.profiles where org_id = ${one.organization} and org_role = 'admin'`
    expect(left).toHaveLength(1)
  })

  it('wants to know whom: exactly one of ids, emails and import_id', async () => {
    for (const body of [{}, { ids: [admin.id], emails: [admin.email] }, { ids: [] }]) {
      expect(await usersRequest(admin, 'DELETE', '', { body })).toMatchObject({
        status: 400,
        body: { code: '22023' },
      })
    }
    const typeless = { method: 'DELETE', headers: { authorization: `Bearer ${admin.token}` } }
    const unread = await fetch(`${inject('stack').url}/functions/v1/users?ids=${admin.id}`, {
      ...typeless,
      body: new TextEncoder().encode('{"dry_run": true}'),
    })
    expect(unread.status).toBe(415)
    const foreign = await usersRequest(admin, 'DELETE', `?import_id=${randomUUID()}`)
    expect(foreign.status).toBe(404)
  })
})

describe('undo of an import of people', () => {
  it('deletes whom it created, but keeps who has signed in, and who was changed', async () => {
    const id = await create([`gone@${domain}`, `came@${domain}`, `other@${domain}`], {
      password: 'long enough',
    })
    await signIn(`came@${domain}`, 'long enough')
    await usersRequest(admin, 'POST', '', {
      body: { users: [{ email: `other@${domain}`, full_name: 'Another' }], mode: 'update' },
    })
    const undone = await request(admin, 'POST', `/${id}/undo?wait=25`)
    expect(undone.body).toMatchObject({ status: 'undone', undo: { reversed: 1, kept: { changed: 2 } } })
    expect(await countOf(`gone@${domain}`)).toEqual(none)
    expect(await countOf(`came@${domain}`)).toMatchObject({ accounts: 1 })
  })

  it('of a deletion is refused', async () => {
    await create([`back@${domain}`])
    const { body } = await usersRequest(admin, 'DELETE', '', { body: { emails: [`back@${domain}`] } })
    expect(await request(admin, 'POST', `/${body.import_id}/undo`)).toMatchObject({
      status: 409,
      body: { code: 'PT409' },
    })
  })
})

describe('two organizations with the same addresses at once', () => {
  it('each get people, and nobody gets another’s', async () => {
    const [eva, fay] = await Promise.all([adminOf(sql, 'eva'), adminOf(sql, 'fay')])
    const shared = `${randomUUID().slice(0, 8)}.example`
    const emails = Array.from({ length: 200 }, (_, n) => [`same${n}@${shared}`])
    const files = [csv(['email'], emails), csv(['email'], [...emails].reverse())]
    const imports = await Promise.all(
      [eva, fay].map(({ admin }, index) =>
        usersRequest(admin, 'POST', '/import?review=false&wait=30', { body: files[index] }),
      ),
    )
    for (const { body } of imports) expect(await settled(sql, body.id)).toBe('completed')
    const counts = await Promise.all(
      [eva, fay].map(async ({ admin, organization }, index) => {
        const { body } = await request(admin, 'GET', `/${imports[index]?.body.id}`)
        const [row] = await sql<{ people: number }[]>`
          select count(*)::integer as people from public.profiles
          where org_id = ${organization} and email like ${`%@${shared}`}`
        expect(body.counts.inserted).toBe(row?.people)
        expect(body.counts.failed).toBe(200 - (row?.people ?? 0))
        expect(body.issues.every(({ code }) => code === 'already_exists')).toBe(true)
        return row?.people ?? 0
      }),
    )
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(200)
    expect(await countOf(`%@${shared}`)).toEqual({ accounts: 200, identities: 200, profiles: 200 })
  })
})

it('somebody without an organization deletes nobody', async () => {
  const stranger = await signUp('stranger')
  const answer = await usersRequest(stranger, 'DELETE', '', { body: { ids: [admin.id] } })
  expect(answer).toMatchObject({ status: 400, body: { message: 'organization is required' } })
})
