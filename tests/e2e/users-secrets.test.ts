import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, type Person } from '../support/client.ts'
import { csv, importsUrl, request, usersRequest } from '../support/http.ts'
import { settled } from '../support/imports.ts'
import { failedAttempts } from '../support/targets.ts'
import { adminOf } from '../support/users.ts'

// Passwords and hashes appear nowhere but where the auth service keeps them, and are staged no longer than it takes.

const stack = inject('stack')
let sql: Sql
let admin: Person
let domain: string

beforeAll(async () => {
  sql = connect()
  ;({ admin, domain } = await adminOf(sql, 'sec', { mayConfirm: true }))
})
afterAll(() => sql.end({ timeout: 1 }))

/** The tables that hold a text in any of their columns, and how often. */
async function tablesWith(text: string): Promise<Record<string, number>> {
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and has_table_privilege(c.oid, 'select')`
  const found: Record<string, number> = {}
  for (const { name } of tables) {
    const [row] = await sql.unsafe<{ count: number }[]>(
      `select count(*)::integer as count from ${name} as t where strpos(t::text, $1) > 0`,
      [text],
    )
    if (row?.count) found[name] = row.count
  }
  return found
}

/** The logs of the stack that hold a text. */
function logsWith(text: string): string[] {
  return readdirSync(stack.dataDir, { recursive: true, encoding: 'utf8' })
    .map((name) => joinPath(stack.dataDir, name))
    .filter(
      (file) => file.endsWith('.log') && statSync(file).isFile() && readFileSync(file, 'utf8').includes(text),
    )
}

/** All that HTTP says of an import. */
async function told(id: string): Promise<string> {
  const paths = ['', '/rows?limit=1000', '/rows?status=failed', '/issues', '/failed.csv']
  const texts = await Promise.all(
    paths.map(async (path) => {
      const response = await fetch(importsUrl(`/${id}${path}`), {
        headers: { authorization: `Bearer ${admin.token}` },
      })
      expect(response.status).toBe(200)
      return response.text()
    }),
  )
  return texts.join('\n')
}

/** A file in which passwords and hashes are right and wrong, in columns that are mapped and in one that is not. */
function file() {
  const mark = randomUUID().slice(0, 8)
  const secret = (n: number) => `${mark}-secret-${n}`
  const rows = [
    [`good@${mark}.${domain}`, secret(1), '', secret(2)],
    [`long@${mark}.${domain}`, `${secret(3)}${'x'.repeat(72)}`, '', ''],
    [`hash@${mark}.${domain}`, '', secret(4), ''],
    [`both@${mark}.${domain}`, secret(5), secret(6), secret(7)],
    ['nobody', secret(8), '', ''],
    [`good@${mark}.${domain}`, secret(9), '', ''],
    [`extra@${mark}.${domain}`, secret(10), '', '', secret(11)],
  ]
  return { mark, text: csv(['E-Mail', 'Password', 'Password hash', 'PIN'], rows) }
}

describe('secrets', () => {
  it('are in no answer, in the staged rows as long as it takes, and in no table after the end', async () => {
    const { mark, text } = file()
    const secret = `${mark}-secret`
    const staged = await usersRequest(admin, 'POST', '/import', { body: text })
    expect(staged.status).toBe(201)
    const { id } = staged.body
    expect(JSON.stringify(staged.body)).not.toContain(secret)
    expect(await told(id)).not.toContain(secret)
    expect(Object.keys(await tablesWith(secret))).toEqual([expect.stringMatching(/^private\.import_rows/)])

    await request(admin, 'POST', `/${id}/validate?wait=25`)
    expect(await told(id)).not.toContain(secret)
    await request(admin, 'POST', `/${id}/commit?dry_run=full&wait=25`)
    const preview = await request(admin, 'GET', `/${id}/preview`)
    expect(JSON.stringify(preview.body)).not.toContain(secret)

    const done = await request(admin, 'POST', `/${id}/commit?wait=25`)
    expect(done.body).toMatchObject({ status: 'completed', counts: { inserted: 1, failed: 6 } })
    expect(await told(id)).not.toContain(secret)
    expect(await tablesWith(secret)).toEqual({})
    expect(logsWith(secret)).toEqual([])
    expect(await told(id)).toContain(`good@${mark}`)
  })

  it('are not told by what a trigger says, nor by the attempts that failed', async () => {
    const { mark, text } = file()
    const secret = `${mark}-secret`
    // It refuses one of the two who are right, and fails the first attempt as a whole.
    await sql.unsafe(`
      create sequence public.attempts_${mark};
      create function public.refuse_${mark}() returns trigger language plpgsql security definer set search_path = '' as $$
      begin
        if nextval('public.attempts_${mark}') = 1 then
          raise exception using errcode = '53200', message = 'out of memory';
        elsif new.email like 'hash@%' then
          raise exception using errcode = '23514', message = 'not this one';
        end if;
        return new;
      end $$;
      create trigger refuse_${mark} before insert on auth.users
        for each row when (new.email like '%@${mark}.%') execute function public.refuse_${mark}();`)
    const hash = `$2a$10$${mark}${'x'.repeat(45)}`
    try {
      const lines = text.replace(`${secret}-4`, hash)
      const { body } = await usersRequest(admin, 'POST', '/import?review=false&wait=30', { body: lines })
      expect(await settled(sql, body.id)).toBe('completed')
      expect(await failedAttempts(sql, body.id)).toEqual({ '53200 out of memory': 1 })
      const issues = await request(admin, 'GET', `/${body.id}/issues?code=constraint_violation`)
      expect(issues.body).toMatchObject([{ message: 'the row was refused', value: null }])
      for (const one of [secret, hash]) {
        expect(await told(body.id)).not.toContain(one)
        expect(await tablesWith(one)).toEqual({})
        expect(logsWith(one)).toEqual([])
      }
    } finally {
      await sql.unsafe(`drop function public.refuse_${mark} cascade; drop sequence public.attempts_${mark}`)
    }
  })

  it('go at once when the import is cancelled', async () => {
    const { mark, text } = file()
    const { body } = await usersRequest(admin, 'POST', '/import', { body: text })
    await request(admin, 'POST', `/${body.id}/cancel?wait=10`)
    expect(await settled(sql, body.id)).toBe('cancelled')
    expect(await tablesWith(`${mark}-secret`)).toEqual({})
  })

  it('of people in a request go the same way', async () => {
    const secret = `${randomUUID()}-secret`
    const users = [
      { email: `json@${domain}`, password: secret },
      { email: 'nobody', password: secret },
      { email: `md5@${domain}`, password_hash: secret },
    ]
    const headers = { 'idempotency-key': randomUUID() }
    const answer = await usersRequest(admin, 'POST', '', { body: { users }, headers })
    expect(answer.body.counts).toMatchObject({ inserted: 1, failed: 2 })
    expect(JSON.stringify(answer.body)).not.toContain(secret)
    expect(await tablesWith(secret)).toEqual({})
    expect(logsWith(secret)).toEqual([])
  })

  it('are not told by the activity log, which says who did what', async () => {
    const { body } = await usersRequest(admin, 'POST', '', {
      body: { users: [{ email: `logged@${domain}`, password: 'long enough' }] },
    })
    await usersRequest(admin, 'DELETE', '', { body: { emails: [`logged@${domain}`] } })
    const { data } = await admin.client
      .from('sync_activity_log')
      .select('user_id, action, sync_id, details')
      .eq('entity_type', 'user')
      .eq('details->>email', `logged@${domain}`)
      .order('created_at')
    expect(data).toMatchObject([
      { user_id: admin.id, action: 'created', sync_id: body.import_id },
      { user_id: admin.id, action: 'deleted' },
    ])
    expect(JSON.stringify(data)).not.toMatch(/long enough|\$2a\$/)
  })
})
