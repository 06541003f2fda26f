import type { Sql } from 'postgres'
import { expect } from 'vitest'

/** The columns of a file for a target of makeTarget. */
export const targetColumns = ['code', 'serial', 'name']

/** A table with a second unique key, for what a test does to it alone, and the dataset of its name. */
export async function makeTarget(sql: Sql, name: string): Promise<void> {
  const write = `org_id = any (array(select private.org_ids('member')))`
  await sql.unsafe(`
    create table public.${name} (
      id     uuid primary key default gen_random_uuid(),
      org_id uuid not null references public.organization (id) on delete cascade,
      code   text not null,
      serial text,
      name   text,
      unique (org_id, code),
      constraint ${name}_serial_key unique (org_id, serial)
    );
    alter table public.${name} enable row level security;
    create policy ${name}_select on public.${name} for select to authenticated
      using (org_id = any (array(select private.org_ids('viewer'))));
    create policy ${name}_insert on public.${name} for insert to authenticated with check (${write});
    create policy ${name}_update on public.${name} for update to authenticated using (${write}) with check (${write});
    create policy ${name}_delete on public.${name} for delete to authenticated using (${write});
    grant select, insert, update, delete on public.${name} to authenticated, service_role;
    select private.register_dataset('${name}', 'public.${name}', '{code}');
  `)
}

/** A trigger before each row of a target, which runs `body` (PL/pgSQL) with the rights of postgres. */
export async function addTrigger(sql: Sql, target: string, events: string, body: string): Promise<void> {
  await sql.unsafe(`
    create or replace function public.${target}_trigger() returns trigger
    language plpgsql security definer set search_path = ''
    as $body$ begin ${body} return new; end $body$;
    create or replace trigger ${target}_trigger before ${events} on public.${target}
      for each row execute function public.${target}_trigger();
  `)
}

/** Takes the trigger away. */
export async function dropTrigger(sql: Sql, target: string): Promise<void> {
  await sql.unsafe(`drop trigger ${target}_trigger on public.${target}`)
}

/** Rows for a target: the n-th has code `<prefix><n>`. */
export function* targetRows(count: number, prefix = 'P', name = 'Part'): Generator<string[]> {
  for (let n = 1; n <= count; n++) yield [`${prefix}${n}`, `S-${prefix}${n}`, `${name} ${n}`]
}

/** How many rows make a task, in one organization. */
export async function setChunkRows(sql: Sql, organization: string, rows: number): Promise<void> {
  await sql`
    insert into private.settings (key, org_id, value) values ('imports.chunk_rows', ${organization}, to_jsonb(${rows}::integer))
    on conflict (key, org_id) do update set value = excluded.value`
}

/**
 * What is wrong with what an import left behind; nothing, if each row of the file has exactly one fate and that is
 * true. `isWhole`: every range was worked on, and the target holds the rows of this file that did not fail, only.
 */
export async function contradictions(
  sql: Sql,
  importId: string,
  { isWhole = true }: { isWhole?: boolean } = {},
): Promise<Record<string, number>> {
  const [plan] = await sql<{ target: string; hash: string }[]>`
    select p.target, p.hash_sql as hash from private.import_plans as p where p.batch_id = ${importId}`
  if (!plan) throw new Error('the import has no plan')
  const { hash } = plan
  const [row] = await sql.begin(async (tx) => {
    await tx`set local enable_nestloop = off` // the tables were never analyzed
    return tx.unsafe(
      `with batch as (
       select b.* from public.import_batches as b where b.id = $1::uuid
     ),
     file as (
       select r.row_number, r.cells[1] as code, r.cells[2] as serial, r.cells[3] as name
       from private.import_rows as r where r.batch_id = $1::uuid
     ),
     range as (
       select o.*, lag(o.to_row, 1, 0) over (order by o.from_row) as before
       from private.import_outcomes as o where o.batch_id = $1::uuid
     ),
     acted as (
       select a.row_number, a.action, a.record_id, a.row_hash
       from range as o
       cross join lateral unnest(o.row_numbers, o.actions, o.record_ids, o.row_hashes)
         as a (row_number, action, record_id, row_hash)
     ),
     failed as (
       select distinct i.row_number from private.import_issues as i
       where i.batch_id = $1::uuid and i.severity = 'error'
     ),
     applied as (
       select f.code, f.serial, f.name from file as f where f.row_number not in (select row_number from failed)
     ),
     stored as (
       select t.code, t.serial, t.name from ${plan.target} as t where t.org_id = (select b.org_id from batch as b)
     ),
     target as (
       select t.id, t.code, ${hash} as row_hash from ${plan.target} as t
     )
     select
       (select count(*) from range where $2::boolean and from_row <> before) as gaps,
       (select count(*) from range where from_row < before) as overlaps,
       (select count(*) from batch where $2::boolean and row_count <> (select max(to_row) from range)) as unfinished,
       (select count(*) - count(distinct row_number) from acted) as acted_twice,
       (select count(*) - count(distinct record_id) from acted) as records_twice,
       (select count(*) from acted join failed using (row_number)) as acted_and_failed,
       (select count(*) from range as o where o.to_row - o.from_row <> o.inserted_count + o.updated_count + o.deleted_count
          + o.unchanged_count + cardinality(o.skipped_rows)
          + (select count(*) from failed as f where f.row_number > o.from_row and f.row_number <= o.to_row)) as miscounted,
       (select count(*) from acted as a join file as f using (row_number) left join target as t on t.id = a.record_id
        where a.action <> 'deleted' and (t.code is distinct from f.code or t.row_hash is distinct from a.row_hash)) as wrong_records,
       (select count(*) from (select * from applied except all select * from stored) as x where $2::boolean) as missing_rows,
       (select count(*) from (select * from stored except all select * from applied) as x where $2::boolean) as surplus_rows`,
      [importId, isWhole],
    )
  })
  return Object.fromEntries(
    Object.entries(row ?? {})
      .map(([name, count]) => [name, Number(count)])
      .filter(([, n]) => n),
  )
}

/** Asserts that every row has one fate, which is true. */
export async function expectTrueFates(
  sql: Sql,
  importId: string,
  options?: { isWhole?: boolean },
): Promise<void> {
  expect(await contradictions(sql, importId, options), 'what is wrong with the fates of the rows').toEqual({})
}

/** The failed attempts of an import's tasks, by SQLSTATE and message. */
export async function failedAttempts(sql: Sql, importId: string): Promise<Record<string, number>> {
  const rows = await sql<{ what: string; count: number }[]>`
    select e.sqlstate || ' ' || e.message as what, count(*)::integer
    from public.sync_error_log as e
    join public.scheduled_jobs as j on j.id = e.job_id
    where j.batch_id = ${importId}
    group by 1`
  return Object.fromEntries(rows.map((row) => [row.what, row.count]))
}
