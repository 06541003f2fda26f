import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import type { Lite } from './gateway/library.ts'

/** The largest request that the local stack takes; hosted functions have 2 s of CPU, which is less. */
const maxRequestBytes = 1024 ** 3

/** Makes the roles, schemas and privileges of a hosted project. Needs a superuser; may be run again. */
export async function bootstrap(admin: Sql): Promise<void> {
  await runFile(admin, 'bootstrap.sql')
}

/** Makes the schemas auth and storage as a hosted project has them. */
export async function makeSystemSchemas(admin: Sql, lite: Lite): Promise<void> {
  await lite.ensureSystemSchemas()
  const [made] = await admin`
    select where to_regclass('auth.users') is not null and to_regclass('storage.objects') is not null`
  if (!made) throw new Error('the gateway library did not make the schemas auth and storage')
  await runFile(admin, 'after_system_schema.sql')
}

/** Tells the database what is different on a machine of one's own, and how it reaches the functions. As role postgres. */
export async function tellDatabase(database: Sql, url: string, secretKey: string): Promise<void> {
  const [importing] = await database`select where to_regclass('public.import_batches') is not null`
  if (!importing) return // Another project's migrations, in a test.
  const settings = {
    'imports.max_request_bytes': maxRequestBytes,
    'worker.url': `${url}/functions/v1/worker`,
  }
  for (const [key, value] of Object.entries(settings)) {
    await database`select public.set_setting(${key}, ${JSON.stringify(value)}::text::jsonb)`
  }
  await database`
    select case
      when s.id is null then vault.create_secret(${secretKey}, w.name)::text
      else vault.update_secret(s.id, ${secretKey})::text
    end
    from (values ('sluice/worker_key')) as w (name)
    left join vault.secrets as s using (name)`
}

async function runFile(sql: Sql, name: string): Promise<void> {
  const text = readFileSync(join(import.meta.dirname, 'sql', name), 'utf8')
  await sql.begin((transaction) => transaction.unsafe(text).simple())
}
