import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { z } from 'zod'
import { resultsSchema, userListSchema, userSchema } from '../../functions/users/documents.ts'
import { connect, type Person, serviceClient } from '../support/client.ts'
import { csv, request, usersRequest } from '../support/http.ts'
import { settled } from '../support/imports.ts'
import { adminOf, personOf, signIn, systemAdmin } from '../support/users.ts'

// People come in over HTTP and sign in; who may not, does not.

const stack = inject('stack')
const service = { key: stack.secretKey }
const argon2id =
  '$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$ChLQXUVPAJpKTjMvd5bpQWVkZWWFQKkRUZrVRTBn1T4'
const argon2i = '$argon2i$v=19$m=4096,t=3,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A'
const fbscrypt =
  '$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw=='

let sql: Sql
let admin: Person
let organization: string
let domain: string

beforeAll(async () => {
  sql = connect()
  ;({ admin, organization, domain } = await adminOf(sql, 'ann', { mayConfirm: true }))
})
afterAll(() => sql.end({ timeout: 1 }))

/** What the auth service holds of an address. */
async function account(email: string) {
  const [row] = await sql<
    { id: string; hash: string; confirmed: boolean; provider: string; role: string; org_id: string }[]
  >`
    select u.id, u.encrypted_password as hash, u.email_confirmed_at is not null as confirmed,
      i.provider, p.org_role as role, p.org_id
    from auth.users as u
    join auth.identities as i on i.user_id = u.id
    join public.profiles as p on p.id = u.id
    where u.email = ${email}`
  return row
}

function expectDescribed(document: object, schema: z.ZodObject): void {
  expect(schema.safeParse(document).error).toBeUndefined()
  expect(Object.keys(schema.shape)).toEqual(expect.arrayContaining(Object.keys(document)))
}

describe('POST /users', () => {
  it('creates people who sign in with their password, and see who they are', async () => {
    const email = `One.Two@${domain}`
    const answer = await usersRequest(admin, 'POST', '', {
      body: {
        users: [
          {
            email,
            password: ' pass word ',
            full_name: 'One Two',
            role: 'member',
            phone: '+49 30 5550001',
            metadata: { team: 'a' },
          },
        ],
      },
    })
    expect(answer).toMatchObject({
      status: 201,
      body: {
        status: 'completed',
        users: [{ row_number: 1, email: email.toLowerCase(), status: 'created', issues: [] }],
      },
    })
    expectDescribed(answer.body, resultsSchema)

    const { session } = await signIn(email, ' pass word ')
    expect(session?.user).toMatchObject({
      id: answer.body.users[0]?.user_id,
      email: email.toLowerCase(),
      user_metadata: { team: 'a' },
    })
    expect((await signIn(email, 'pass word')).session).toBeNull()
    const { data } =
      await sql`select full_name, org_role, org_id from public.profiles where id = ${session?.user.id ?? ''}`.then(
        ([row]) => ({ data: row }),
      )
    expect(data).toEqual({ full_name: 'One Two', org_role: 'member', org_id: organization })
  })

  it('takes hashes: bcrypt signs in, the others are kept byte for byte', async () => {
    const [row] = await sql<
      { hash: string }[]
    >`select extensions.crypt('correct horse', extensions.gen_salt('bf', 10)) as hash`
    const bcrypt = row?.hash ?? ''
    const kinds = { bcrypt, bcrypt_y: bcrypt.replace('$2a$', '$2y$'), argon2id, argon2i, fbscrypt }
    const users = Object.entries(kinds).map(([kind, password_hash]) => ({
      email: `${kind}@${domain}`,
      password_hash,
    }))
    const answer = await usersRequest(admin, 'POST', '', { body: { users } })
    expect(answer.body.users.map(({ status, issues }) => ({ status, issues }))).toEqual(
      users.map(() => ({ status: 'created', issues: [] })),
    )
    for (const [kind, hash] of Object.entries(kinds)) {
      expect(await account(`${kind}@${domain}`)).toMatchObject({ hash, confirmed: true, provider: 'email' })
    }
    expect((await signIn(`bcrypt@${domain}`, 'correct horse')).session).not.toBeNull()
    expect((await signIn(`bcrypt@${domain}`, 'wrong horse')).session).toBeNull()
  })

  it('fails each that is wrong for its reason, and creates the others', async () => {
    const wrong: [user: Record<string, unknown>, field: string, code: string][] = [
      [{ email: 'nobody' }, 'email', 'invalid_format'],
      [{ email: `TWICE@${domain}` }, 'email', 'duplicate_in_file'],
      [{ email: admin.email }, 'email', 'already_exists'],
      [{ email: null }, 'email', 'required'],
      [{ password: 'short' }, 'password', 'invalid_format'],
      [{ password: 'x'.repeat(73) }, 'password', 'too_long'],
      [{ role: 'owner' }, 'role', 'not_in_list'],
      [{ password_hash: 'md5' }, 'password_hash', 'invalid_format'],
      [{ password: 'long enough', password_hash: argon2i }, 'password_hash', 'invalid_format'],
      [{ phone: 'ask' }, 'phone', 'invalid_format'],
      [{ metadata: ['a'] }, 'metadata', 'invalid_type'],
      [{ organization: 'nowhere' }, 'organization', 'permission_denied'],
    ]
    const users = [
      { email: `twice@${domain}` },
      ...wrong.map(([user], index) => ({ email: `wrong${index}@${domain}`, ...user })),
    ]
    const answer = await usersRequest(admin, 'POST', '', { body: { users } })
    expect(answer.status).toBe(201)
    expect(answer.body.counts).toMatchObject({ inserted: 1, failed: wrong.length })
    expect(
      answer.body.users.map(({ row_number, status, issues }) => [
        row_number,
        status,
        issues[0]?.field,
        issues[0]?.code,
      ]),
    ).toEqual([
      [1, 'created', undefined, undefined],
      ...wrong.map(([, field, code], index) => [index + 2, 'failed', field, code]),
    ])
    const values = answer.body.users.flatMap(({ issues }) => issues).map(({ field, value }) => [field, value])
    expect(values.filter(([field, value]) => field?.startsWith('password') && value !== null)).toEqual([])
  })

  it('is no creation where nobody was created', async () => {
    const answer = await usersRequest(admin, 'POST', '', { body: { users: [{ email: admin.email }] } })
    expect(answer).toMatchObject({ status: 200, body: { users: [{ status: 'failed' }] } })
  })

  it('does it once for the same Idempotency-Key', async () => {
    const body = { users: [{ email: `once@${domain}` }] }
    const headers = { 'idempotency-key': randomUUID() }
    const first = await usersRequest(admin, 'POST', '', { body, headers })
    const second = await usersRequest(admin, 'POST', '', { body, headers })
    expect(first.status).toBe(201)
    expect(second.status).toBe(200)
    expect(second.headers.get('idempotent-replayed')).toBe('true')
    expect(second.body).toEqual(first.body)
  })

  it('names the import that goes on, where nobody waits', async () => {
    const users = Array.from({ length: 3 }, (_, n) => ({
      email: `later${n}@${domain}`,
      password: `long enough ${n}`,
    }))
    const answer = await usersRequest(admin, 'POST', '?wait=0', { body: { users } })
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/functions/v1/imports/${answer.body.id}`)
    expect(await settled(sql, answer.body.id)).toBe('completed')
  })

  it('takes 1 to 500 people, of fields that there are', async () => {
    const many = Array.from({ length: 501 }, (_, n) => ({ email: `n${n}@${domain}` }))
    for (const [users, status] of [
      [[], 400],
      [many, 413],
      [[{ email: `a@${domain}`, shoe_size: 4 }], 400],
    ] as const) {
      expect((await usersRequest(admin, 'POST', '', { body: { users } })).status).toBe(status)
    }
  })
})

describe('who is there already', () => {
  it('is told of, updated, or not found, by mode; never with another password or in another organization', async () => {
    const other = await adminOf(sql, 'bob', { mayConfirm: true })
    const email = `known@${domain}`
    const known = { email, password: 'first password', full_name: 'Known', metadata: { a: 1 } }
    await usersRequest(admin, 'POST', '', { body: { users: [known] } })
    const change = {
      email,
      password: 'second password',
      full_name: 'Renamed',
      role: 'member',
      metadata: { b: 2 },
    }
    const statusOf = async (person: Person, mode: string) => {
      const { body } = await usersRequest(person, 'POST', '', { body: { users: [change], mode } })
      return [body.users[0]?.status, body.users[0]?.issues[0]?.code]
    }
    expect(await statusOf(admin, 'insert')).toEqual(['failed', 'already_exists'])
    expect(await statusOf(other.admin, 'insert')).toEqual(['failed', 'already_exists'])
    expect(await statusOf(other.admin, 'upsert')).toEqual(['failed', 'already_exists'])
    expect(await statusOf(other.admin, 'update')).toEqual(['failed', 'not_found'])
    expect(await statusOf(admin, 'upsert')).toEqual(['updated', undefined])
    expect(await statusOf(admin, 'upsert')).toEqual(['unchanged', undefined])
    expect(await account(email)).toMatchObject({ role: 'member', org_id: organization })
    const { session } = await signIn(email, 'first password')
    expect(session?.user.user_metadata).toMatchObject({ a: 1, b: 2 })
  })
})

describe('without the right to confirm', () => {
  it('people are created unconfirmed and invited, and passwords are refused', async () => {
    const cid = await adminOf(sql, 'cid')
    const users = [
      { email: `guest@${cid.domain}` },
      { email: `mine@${cid.domain}`, password: 'long enough' },
      { email: `hash@${cid.domain}`, password_hash: argon2i },
    ]
    const answer = await usersRequest(cid.admin, 'POST', '', { body: { users } })
    expect(answer.body.users).toMatchObject([
      { status: 'created' },
      { status: 'failed', issues: [{ field: 'password', code: 'permission_denied' }] },
      { status: 'failed', issues: [{ field: 'password_hash', code: 'permission_denied' }] },
    ])
    expect(await account(`guest@${cid.domain}`)).toMatchObject({ confirmed: false, hash: '' })
    const { body } = await usersRequest(cid.admin, 'GET', '?search=guest')
    expect(body.users).toMatchObject([
      { confirmed: false, invitation: expect.stringMatching(/^(pending|sending|sent)$/) },
    ])
  })
})

describe('GET /users', () => {
  it('gives page after page, and finds', async () => {
    const dot = await adminOf(sql, 'dot', { mayConfirm: true })
    const users = ['a', 'b', 'c', 'd'].map((name) => ({
      email: `${name}@${dot.domain}`,
      full_name: `Person ${name}`,
    }))
    await usersRequest(dot.admin, 'POST', '', { body: { users } })
    const seen: string[] = []
    for (let after: string | null = ''; after !== null; ) {
      const page = await usersRequest(
        dot.admin,
        'GET',
        `?limit=2${after && `&after=${encodeURIComponent(after)}`}`,
      )
      expectDescribed(page.body, userListSchema)
      for (const user of page.body.users) expectDescribed(user, userSchema)
      expect(page.body.users.length).toBeLessThanOrEqual(2)
      seen.push(...page.body.users.map(({ email }) => email))
      after = page.body.next_after
    }
    expect(seen).toEqual([...users.map(({ email }) => email), dot.admin.email].sort())
    const found = await usersRequest(dot.admin, 'GET', '?search=person%20C')
    expect(found.body.users.map(({ email }) => email)).toEqual([`c@${dot.domain}`])
  })
})

describe('POST /users/import', () => {
  it('takes a file in, with headers as people name them', async () => {
    const file = csv(
      ['E-Mail', 'Name', 'Rolle'],
      [
        [`file@${domain}`, 'File', 'Viewer'],
        ['nobody', 'No', 'viewer'],
      ],
    )
    const answer = await usersRequest(admin, 'POST', '/import?review=false&wait=25', { body: file })
    expect(answer).toMatchObject({
      status: 201,
      body: { dataset: 'users', status: 'completed', counts: { inserted: 1, failed: 1 } },
    })
    expect(await account(`file@${domain}`)).toMatchObject({ role: 'viewer' })
  })
})

describe('rights', () => {
  const person = () => ({ email: `${randomUUID()}@${domain}` })

  it.each(['viewer', 'member'])('a %s may nothing', async (role) => {
    const nobody = await personOf(sql, organization, role)
    for (const [method, path, body] of [
      ['POST', '', { users: [person()] }],
      ['POST', '/import?review=false', csv(['email'], [[person().email]])],
      ['DELETE', '', { emails: [admin.email] }],
      ['GET', '', undefined],
    ] as const) {
      const answer = await usersRequest(nobody, method, path, body === undefined ? {} : { body })
      expect([method, path, answer.status]).toEqual([method, path, 403])
    }
    expect(await account(admin.email)).toBeDefined()
  })

  it('of an import of people only admins see anything', async () => {
    const viewer = await personOf(sql, organization, 'viewer')
    const member = await personOf(sql, organization, 'member')
    const created = await usersRequest(admin, 'POST', '', { body: { users: [person()] } })
    const id = created.body.import_id
    const other = await personOf(sql, organization, 'admin')
    for (const path of [`/${id}`, `/${id}/rows`, `/${id}/issues`, `/${id}/failed.csv`, `/${id}/events`]) {
      expect((await request(viewer, 'GET', path)).status).toBe(404)
      expect((await request(member, 'GET', path)).status).toBe(404)
    }
    expect((await request(other, 'GET', `/${id}/rows`)).status).toBe(200)
  })

  it('an admin is nobody in another organization', async () => {
    const eve = await adminOf(sql, 'eve', { mayConfirm: true })
    const known = person()
    await usersRequest(admin, 'POST', '', { body: { users: [known] } })
    const created = await usersRequest(eve.admin, 'POST', '', {
      body: { users: [person()], org_id: organization },
    })
    expect([403, 404]).toContain(created.status)
    const listed = await usersRequest(eve.admin, 'GET', `?org_id=${organization}`)
    expect([403, 404]).toContain(listed.status)
    const deleted = await usersRequest(eve.admin, 'DELETE', '', { body: { emails: [known.email] } })
    expect(deleted.body.users).toMatchObject([{ status: 'failed', issues: [{ code: 'not_found' }] }])
    expect(await account(known.email)).toBeDefined()
  })

  it('system admins and the service create anywhere, by slug and by org_id', async () => {
    const root = await systemAdmin(sql)
    const [{ slug } = { slug: '' }] = await sql<
      { slug: string }[]
    >`select slug from public.organization where id = ${organization}`
    const own = { ...person(), organization: slug, role: 'admin', password: 'long enough' }
    const byRoot = await usersRequest(root, 'POST', `?wait=25`, {
      body: { users: [own], org_id: organization },
    })
    expect(byRoot.body.users).toMatchObject([{ status: 'created' }])
    expect(await account(own.email)).toMatchObject({ org_id: organization, role: 'admin', confirmed: true })
    const two = person()
    const byService = await usersRequest(service, 'POST', '', {
      body: { users: [two], org_id: organization },
    })
    expect(byService.body.users).toMatchObject([{ status: 'created' }])
    expect(await account(two.email)).toMatchObject({ org_id: organization })
    expect((await usersRequest(service, 'POST', '', { body: { users: [two] } })).status).toBe(400)
    expect((await usersRequest({ token: 'nonsense' }, 'GET', '')).status).toBe(401)
  })

  it('the RPCs refuse the same', async () => {
    const member = await personOf(sql, organization, 'member')
    const { error } = await member.client.rpc('create_users', { users: [person()] })
    expect(error?.code).toBe('42501')
    const { data } = await serviceClient().rpc('list_users', { org_id: organization, page_size: 1 })
    expect(data.users).toHaveLength(1)
  })
})
