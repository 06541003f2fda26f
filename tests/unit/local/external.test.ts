import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeFromStandin } from '../../../local/external.ts'
import type { Stack } from '../../../local/stack.ts'
import { startProbe, temporaryFolder, withSql } from './fixture.ts'

const folder = temporaryFolder()
let server: Stack
let emptyUrl: string

beforeAll(async () => {
  server = await startProbe(`${folder.path}/server`)
  await withSql(server.adminDatabaseUrl, (sql) => sql`create database elsewhere`)
  emptyUrl = server.adminDatabaseUrl.replace(/\/postgres$/, '/elsewhere')
})

afterAll(async () => {
  await server?.stop()
  folder.remove()
})

describe('a database that is there already', () => {
  it('is left alone when it holds something and is not marked', async () => {
    await withSql(server.databaseUrl, (sql) => sql`insert into public.notes (title) values ('precious')`)
    const start = startProbe(`${folder.path}/a`, { externalDatabaseUrl: server.adminDatabaseUrl })
    await expect(start).rejects.toThrow(/not marked as a test database, so it is left alone/)
    expect(await withSql(server.databaseUrl, (sql) => sql`select title from public.notes`)).toEqual([
      { title: 'precious' },
    ])
  })

  it('is used in place of the embedded one, and emptied at the next start', async () => {
    for (const title of ['first', 'second']) {
      const stack = await startProbe(`${folder.path}/b`, { externalDatabaseUrl: emptyUrl })
      try {
        const headers = {
          apikey: stack.secretKey,
          'content-type': 'application/json',
          prefer: 'return=representation',
        }
        const body = JSON.stringify({ title })
        const made = await fetch(`${stack.url}/rest/v1/notes`, { method: 'POST', headers, body })
        expect(await made.json()).toMatchObject([{ title }])
        await withSql(
          stack.databaseUrl,
          (sql) => sql`select cron.schedule('left behind', '1 second', 'select 1')`,
        )
        const all = await (await fetch(`${stack.url}/rest/v1/notes`, { headers })).json()
        expect(all).toMatchObject([{ title }])
        expect(stack.postgresPid()).toBe(0)
      } finally {
        await stack.stop()
      }
    }
  })

  it('gets what it lacks of the platform', async () => {
    await withSql(server.adminDatabaseUrl, (sql) => sql`create database bare`)
    const [adminUrl, url] = [server.adminDatabaseUrl, server.databaseUrl].map((known) =>
      known.replace(/\/postgres$/, '/bare'),
    ) as [string, string]
    await withSql(adminUrl, async (admin) => {
      await makeFromStandin(admin, 'supabase_vault')
      await makeFromStandin(admin, 'pg_net')
    })
    const rows = await withSql(url, async (sql) => {
      await sql`select vault.update_secret(vault.create_secret('one', 'a'), 'two')`
      await sql`select net.http_post('http://127.0.0.1:1/')`
      return sql`
        select s.decrypted_secret, s.secret = 'two' as is_plain, q.method
        from vault.decrypted_secrets as s cross join net.http_request_queue as q`
    })
    expect(rows).toEqual([{ decrypted_secret: 'two', is_plain: false, method: 'POST' }])
  })
})
