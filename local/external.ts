import { readFileSync } from 'node:fs'
import type { Sql } from 'postgres'
import { standinOf } from './extensions.ts'

/** By this comment a database says that it may be emptied. */
const mark = 'Sluice test database'

/** Roles that bootstrap.sql makes; all others that are no superusers came with earlier migrations. */
const platformRoles = [
  'postgres',
  'anon',
  'authenticated',
  'service_role',
  'authenticator',
  'supabase_auth_admin',
  'supabase_storage_admin',
  'dashboard_user',
]

/**
 * Empties a database for a new start. Only one that has nothing in it, or that this function has marked before, is
 * touched: its schemas go, its cron jobs, and the roles that migrations have made.
 */
export async function emptyDatabase(admin: Sql): Promise<void> {
  const [database] = await admin<{ name: string; comment: string | null; tables: string }[]>`
    select
      current_database() as name,
      shobj_description(d.oid, 'pg_database') as comment,
      (
        select count(*)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cron')
      ) as tables
    from pg_database as d
    where d.datname = current_database()`
  if (!database) throw new Error('the database cannot be looked at')
  if (Number(database.tables) > 0 && database.comment !== mark) {
    throw new Error(
      `Database ${database.name} holds ${database.tables} tables and is not marked as a test database, so it is left ` +
        `alone. To have it emptied at each start: comment on database ${database.name} is '${mark}'`,
    )
  }
  await admin.unsafe(`comment on database ${quoted(database.name)} is '${mark}'`)
  await stopJobs(admin)
  await dropSchemas(admin)
  await dropRoles(admin)
}

/** Whether the server runs cron jobs by itself, and not the local stack for it. */
export async function hasRealCron(admin: Sql): Promise<boolean> {
  const [row] = await admin<{ loaded: boolean }[]>`
    select coalesce(current_setting('cron.database_name', true) = current_database(), false) as loaded`
  return row?.loaded === true
}

/** Makes pg_cron and grants what the platform grants, since there postgres may make it without being a superuser. */
export async function makeCron(admin: Sql): Promise<void> {
  await admin.unsafe(`
    create extension if not exists pg_cron with schema pg_catalog;
    grant usage on schema cron to postgres with grant option;
    grant select on cron.job to postgres with grant option;
    grant select, delete on cron.job_run_details to postgres with grant option;
    grant execute on all functions in schema cron to postgres with grant option`)
}

/** Makes what a server lacks of the platform's extensions; the migrations take what is there already. */
export async function makeMissingExtensions(admin: Sql): Promise<void> {
  for (const name of ['pg_net', 'supabase_vault']) {
    const [available] = await admin`select from pg_available_extensions where name = ${name}`
    if (!available) await makeFromStandin(admin, name)
  }
}

/** Makes what the stand-in for an extension makes, for a server whose folder of extensions is out of reach. */
export async function makeFromStandin(admin: Sql, name: string): Promise<void> {
  const script = readFileSync(standinOf(name), 'utf8').replaceAll('@extowner@', 'postgres')
  const schema = name === 'supabase_vault' ? 'create schema vault;' : '' // which its control file has made otherwise
  await admin.begin((transaction) => transaction.unsafe(schema + script).simple())
}

async function stopJobs(admin: Sql): Promise<void> {
  const [cron] = await admin`select where to_regclass('cron.job') is not null`
  if (cron) await admin.unsafe('delete from cron.job; delete from cron.job_run_details')
  await admin`
    select pg_terminate_backend(pid, 5000)
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and usename <> current_user`
}

async function dropSchemas(admin: Sql): Promise<void> {
  const schemas = await admin<{ name: string }[]>`
    select nspname as name from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'cron')`
  for (const { name } of schemas) await admin.unsafe(`drop schema if exists ${quoted(name)} cascade`)
  await admin.unsafe(
    'create schema public authorization pg_database_owner; grant usage on schema public to public',
  )
}

async function dropRoles(admin: Sql): Promise<void> {
  const roles = await admin<{ name: string }[]>`
    select rolname as name from pg_roles
    where rolname !~ '^pg_' and not rolsuper and rolname <> all (string_to_array(${platformRoles.join()}, ','))`
  for (const { name } of roles) await admin.unsafe(`drop owned by ${quoted(name)}; drop role ${quoted(name)}`)
  const rest = await admin<
    { name: string }[]
  >`select rolname as name from pg_roles where not rolsuper and rolname !~ '^pg_'`
  for (const { name } of rest) await admin.unsafe(`drop owned by ${quoted(name)}`)
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
