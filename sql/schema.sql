-- Generated from the migrations, to be read and compared, not run: npm run generate

-- cluster/extensions/pg_cron.sql

create extension "pg_cron";

comment on extension "pg_cron" is 'stand-in for pg_cron: the tables and functions; the local stack runs the jobs';

-- cluster/extensions/pg_net.sql

create extension "pg_net" schema "extensions";

comment on extension "pg_net" is 'stand-in for pg_net: the tables and functions; the local stack sends the requests';

-- cluster/extensions/pg_trgm.sql

create extension "pg_trgm" schema "extensions";

comment on extension "pg_trgm" is 'text similarity measurement and index searching based on trigrams';

-- cluster/extensions/pgcrypto.sql

create extension "pgcrypto" schema "extensions";

comment on extension "pgcrypto" is 'cryptographic functions';

-- cluster/extensions/uuid-ossp.sql

create extension "uuid-ossp" schema "extensions";

comment on extension "uuid-ossp" is 'generate universally unique identifiers (UUIDs)';

-- cluster/misc.sql

select cron.schedule_in_database('imports.delete_files', '*/5 * * * *', 'select private.delete_expired_files()', 'postgres', null, true);

select cron.schedule_in_database('imports.drop_ingests', '10 seconds', '
do $body$
begin
  while private.drop_next_ingest() loop
    commit;
  end loop;
end
$body$ ', 'postgres', null, true);

select cron.schedule_in_database('imports.expire_sessions', '17 * * * *', 'select private.expire_sessions()', 'postgres', null, true);

select cron.schedule_in_database('imports.fail_interrupted', '30 seconds', 'select private.fail_interrupted_uploads()', 'postgres', null, true);

select cron.schedule_in_database('imports.purge_previews', '*/5 * * * *', 'select public.auto_cleanup_preview_cache()', 'postgres', null, true);

select cron.schedule_in_database('imports.remove_secrets', '* * * * *', '
do $body$
begin
  while private.remove_waiting_secrets() loop
    commit;
  end loop;
end
$body$ ', 'postgres', null, true);

select cron.schedule_in_database('jobs.cancel_overdue', '10 seconds', 'select private.cancel_overdue_tasks()', 'postgres', null, true);

select cron.schedule_in_database('jobs.tend', '5 seconds', '
do $body$
begin
  while private.stop_next_unfit_job() loop
    commit;
  end loop;
  perform private.release_due_jobs();
end
$body$ ', 'postgres', null, true);

select cron.schedule_in_database('jobs.work_1', '1 seconds', '
do $body$
declare
  v_task_id bigint;
  v_go_on   boolean := true;
  v_naps    integer := 0;
begin
  perform set_config(''application_name'', ''sluice jobs.work_1'', false);
  while v_go_on and clock_timestamp() < statement_timestamp() + interval ''45 seconds'' loop
    v_task_id := private.claim_task();
    commit;
    if v_task_id is null then
      v_naps := v_naps + 1;
      perform pg_sleep(case when v_naps > 20 then 0.5 else 0.05 end);
      commit;
    else
      v_naps := 0;
      v_go_on := private.run_task(v_task_id);
      commit;
      perform pg_advisory_unlock(private.task_lock_key(v_task_id));
    end if;
  end loop;
end
$body$ ', 'postgres', null, true);

select cron.schedule_in_database('jobs.work_2', '1 seconds', '
do $body$
declare
  v_task_id bigint;
  v_go_on   boolean := true;
  v_naps    integer := 0;
begin
  perform set_config(''application_name'', ''sluice jobs.work_2'', false);
  while v_go_on and clock_timestamp() < statement_timestamp() + interval ''45 seconds'' loop
    v_task_id := private.claim_task();
    commit;
    if v_task_id is null then
      v_naps := v_naps + 1;
      perform pg_sleep(case when v_naps > 20 then 0.5 else 0.05 end);
      commit;
    else
      v_naps := 0;
      v_go_on := private.run_task(v_task_id);
      commit;
      perform pg_advisory_unlock(private.task_lock_key(v_task_id));
    end if;
  end loop;
end
$body$ ', 'postgres', null, true);

select cron.schedule_in_database('maintenance.create_partitions', '7 * * * *', 'select private.create_all_partitions()', 'postgres', null, true);

select cron.schedule_in_database('maintenance.purge_expired', '37 * * * *', 'select private.purge_expired()', 'postgres', null, true);

select cron.schedule_in_database('sync.purge_runs', '47 * * * *', 'select private.purge_sync_runs()', 'postgres', null, true);

select cron.schedule_in_database('users.invite', '10 seconds', 'select private.post_invitations()', 'postgres', null, true);

select cron.schedule_in_database('webhooks.purge', '47 * * * *', 'select private.purge_webhooks()', 'postgres', null, true);

select cron.schedule_in_database('webhooks.send', '5 seconds', 'select private.send_webhooks()', 'postgres', null, true);

-- cluster/publications.sql

alter publication "supabase_realtime"
  add table "public"."import_batches"
  ("byte_size", "columns", "content_hash", "corrects", "created_at", "dataset", "depends_on", "duplicate_of", "error", "file_name", "finished_at", "format", "id",
  "idempotency_key",
  "initiated_by",
  "invalid_count",
  "issue_counts",
  "mapping",
  "mode",
  "options",
  "org_id",
  "redacted_at", "row_count", "sample", "set_id", "skipped_count", "source", "staged_at", "staged_on", "status", "storage_path", "suggested_mapping", "template_id", "validated_at");

alter publication "supabase_realtime"
  add table "public"."scheduled_jobs"
  ("actor", "batch_id", "cancel_requested_at", "created_at", "created_by", "done_count", "entity_type", "error", "failed_count", "finished_at", "id", "idempotency_key", "job_type",
  "org_id", "params", "phase", "priority", "result", "run_as", "run_at", "running_since", "started_at", "status", "total_count");

alter publication "supabase_realtime"
  add table "public"."sync_progress"
  ("completed_at", "current_item", "elapsed_seconds", "entity_type", "eta_seconds", "failed_count", "id", "org_id", "processed_count", "source_system", "speed_items_per_min",
  "started_at", "status", "sync_id", "total_items", "updated_at");

-- schemas/auth/tables/users.sql

create trigger _500_copy_email
  after update of email on auth.users
  for each row
  when (((old.email)::text IS DISTINCT FROM (new.email)::text))
  execute function private.tg_auth_users__copy_email();

create trigger _500_create_profile
  after insert on auth.users
  for each row
  execute function private.tg_auth_users__create_profile();

-- schemas/private/functions/abandon_session.sql

create or replace function private.abandon_session (
  p_session_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions := private.lock_session(p_session_id);
begin
  if v_session.status = 'completed' then
    raise exception using
      errcode = 'PT409',
      message = 'session is completed',
      detail  = format('session %s', p_session_id);
  end if;
  perform private.require_idle_session(v_session);

  if v_session.current_step in ('staged', 'validated') then
    perform private.cancel_import(v_session.batch_id);
  end if;
  update public.import_sessions as s set status = 'abandoned' where s.id = p_session_id and s.status <> 'abandoned';
end;
$function$;

revoke all on function "private"."abandon_session"(uuid) from public;

grant execute on function "private"."abandon_session"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/add_counts.sql

create or replace function private.add_counts (
  p_one   jsonb,
  p_other jsonb
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select jsonb_object_agg(c.key, coalesce((p_one ->> c.key)::integer, 0) + coalesce((p_other ->> c.key)::integer, 0))
  from (select jsonb_object_keys(p_one) union select jsonb_object_keys(p_other)) as c (key);
$function$;

revoke all on function "private"."add_counts"(jsonb, jsonb) from public;

grant execute on function "private"."add_counts"(jsonb, jsonb) to "postgres";

-- schemas/private/functions/add_preview.sql

create or replace function private.add_preview (
  p_batch   public.import_batches,
  p_counts  jsonb,
  p_changes jsonb
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  insert into private.import_previews as p (batch_id, counts, changes)
  values (p_batch.id, p_counts, p_changes)
  on conflict (batch_id) do update
  set counts  = private.add_counts(p.counts, excluded.counts),
      changes = (
        select coalesce(jsonb_agg(f.change order by f.row_number), '[]')
        from (
          select c as change, (c ->> 'row_number')::integer as row_number
          from jsonb_array_elements(p.changes || excluded.changes) as c
          order by 2
          limit 50
        ) as f
      );
$function$;

revoke all on function "private"."add_preview"(public.import_batches, jsonb, jsonb) from public;

grant execute on function "private"."add_preview"(public.import_batches, jsonb, jsonb) to "postgres";

-- schemas/private/functions/added_columns.sql

create or replace function private.added_columns (
  p_batch public.import_batches
)
  returns text[]
  language sql
  stable
  set search_path to ''
  AS $function$
  with recursive upwards as (
    select p_batch.corrects, p_batch.columns
    union all
    select b.corrects, b.columns from upwards as u join public.import_batches as b on b.id = u.corrects
  )
  select a.names
  from upwards as u
  cross join lateral generate_series(1, coalesce(cardinality(u.columns), 0) + 1) as n
  cross join lateral (select array[repeat('_', n) || 'row', repeat('_', n) || 'line', repeat('_', n) || 'reason']) as a (names)
  where u.corrects is null
    and not a.names && coalesce(u.columns, '{}')
  order by n
  limit 1;
$function$;

revoke all on function "private"."added_columns"(public.import_batches) from public;

grant execute on function "private"."added_columns"(public.import_batches) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/addresses_of.sql

create or replace function private.addresses_of (
  p_ids uuid[]
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_agg(coalesce(u.email, i.id::text) order by i.place)
  from unnest(p_ids) with ordinality as i (id, place)
  left join private.users as u on u.id = i.id;
$function$;

revoke all on function "private"."addresses_of"(uuid[]) from public;

grant execute on function "private"."addresses_of"(uuid[]) to "postgres";

-- schemas/private/functions/administers_all.sql

create or replace function private.administers_all()
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.is_service_caller() or private.is_system_admin();
$function$;

revoke all on function "private"."administers_all"() from public;

grant execute on function "private"."administers_all"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/advance_commit.sql

create or replace function private.advance_commit (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select true;
$function$;

revoke all on function "private"."advance_commit"(public.scheduled_jobs) from public;

grant execute on function "private"."advance_commit"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/advance_fetch.sql

create or replace function private.advance_fetch (
  p_task_id bigint,
  p_token   uuid,
  p_state   jsonb
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.hold_call(p_task_id, p_token);
  update public.sync_job_queue as q set args = q.args || jsonb_build_object('state', p_state) where q.id = p_task_id;
  perform private.repost_task(p_task_id, p_token, 'fetch');
end;
$function$;

revoke all on function "private"."advance_fetch"(bigint, uuid, jsonb) from public;

grant execute on function "private"."advance_fetch"(bigint, uuid, jsonb) to "postgres", "sluice_ingest";

-- schemas/private/functions/advance_ingest.sql

create or replace function private.advance_ingest (
  p_task_id   bigint,
  p_token     uuid,
  p_from      bigint,
  p_to        bigint,
  p_row_count integer,
  p_state     text
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_task   public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job    public.scheduled_jobs;
  v_ingest private.import_ingests;
begin
  update public.scheduled_jobs as j set done_count = p_to where j.id = v_task.job_id returning j.* into v_job;
  update private.import_ingests as i
  set position = p_to, row_count = p_row_count, state = p_state
  where i.batch_id = v_job.batch_id and i.position = p_from
  returning i.* into v_ingest;
  if not found then
    perform private.refuse_range(v_job.batch_id, p_from);
  end if;

  if p_to < v_ingest.byte_size then -- else the call completes the task, or another one does
    perform private.repost_task(p_task_id, p_token, 'ingest');
  end if;
end;
$function$;

revoke all on function "private"."advance_ingest"(bigint, uuid, bigint, bigint, integer, text) from public;

grant execute on function "private"."advance_ingest"(bigint, uuid, bigint, bigint, integer, text) to "postgres", "sluice_ingest";

-- schemas/private/functions/advance_preview.sql

create or replace function private.advance_preview (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select true;
$function$;

revoke all on function "private"."advance_preview"(public.scheduled_jobs) from public;

grant execute on function "private"."advance_preview"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/advance_sync.sql

create or replace function private.advance_sync (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select true;
$function$;

revoke all on function "private"."advance_sync"(public.scheduled_jobs) from public;

grant execute on function "private"."advance_sync"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/advance_undo.sql

create or replace function private.advance_undo (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select true;
$function$;

revoke all on function "private"."advance_undo"(public.scheduled_jobs) from public;

grant execute on function "private"."advance_undo"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/advance_validation.sql

create or replace function private.advance_validation (
  p_job public.scheduled_jobs
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
  v_plan  private.import_plans;
  v_set   integer := coalesce(substring(p_job.phase from '^duplicates_([0-9]+)$')::integer, 0) + 1;
  v_phase text;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;

  v_phase := case
    when p_job.phase = 'preview' then null
    when p_job.phase <> 'groups' and v_set <= cardinality(v_plan.duplicates_sql) then 'duplicates_' || v_set
    when p_job.phase <> 'groups' and v_plan.group_sql is not null then 'groups'
    when not (p_job.params ->> 'commit')::boolean and not (p_job.params ->> 'full_preview')::boolean and (v_batch.options ->> 'on_error' = 'skip' or p_job.failed_count = 0) then 'preview'
  end;
  if v_phase is null then
    return true;
  end if;

  update public.scheduled_jobs as j set phase = v_phase where j.id = p_job.id;
  if v_phase = 'preview' then
    perform private.enqueue_tasks(p_job, v_phase, 0, v_batch.row_count, private.chunk_size(v_batch));
  else
    perform private.enqueue_tasks(p_job, v_phase, 0, private.key_buckets(v_batch), 1);
  end if;
  return false;
end;
$function$;

revoke all on function "private"."advance_validation"(public.scheduled_jobs) from public;

grant execute on function "private"."advance_validation"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/allow_foreign_table.sql

create or replace function private.allow_foreign_table (
  p_org_id   uuid,
  p_relation regclass
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  insert into private.foreign_tables (org_id, relation)
  select p_org_id, format('%I.%I', n.nspname, c.relname)
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where c.oid = p_relation
  on conflict do nothing;
$function$;

revoke all on function "private"."allow_foreign_table"(uuid, regclass) from public;

grant execute on function "private"."allow_foreign_table"(uuid, regclass) to "postgres";

-- schemas/private/functions/apply_as.sql

create or replace function private.apply_as (
  p_run_as    public.job_run_as,
  p_plan      private.import_plans,
  p_statement text,
  p_from_row  integer,
  p_to_row    integer
)
  returns private.applied_range
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_range private.applied_range;
begin
  perform set_config('sluice.import_id', p_plan.batch_id::text, true);
  if p_run_as = 'user' then
    v_range := private.apply_rows_as_user(p_plan, p_statement, p_from_row, p_to_row);
  else
    v_range := private.apply_rows_as_service(p_plan, p_statement, p_from_row, p_to_row);
  end if;
  perform set_config('sluice.import_id', '', true);
  return v_range;
end;
$function$;

revoke all on function "private"."apply_as"(public.job_run_as, private.import_plans, text, integer, integer) from public;

grant execute on function "private"."apply_as"(public.job_run_as, private.import_plans, text, integer, integer) to "postgres";

-- schemas/private/functions/apply_by_function.sql

create or replace function private.apply_by_function (
  p_batch_id uuid,
  p_from_row integer,
  p_to_row   integer,
  p_org_id   uuid,
  p_mode     public.import_mode,
  p_keys     text,
  p_state    text,
  p_call     text
)
  returns private.applied_piece
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_keys    text[]; -- of each row
  v_numbers integer[];
  v_before  private.record_state[];
  v_after   private.record_state[];
  v_existing text[];
  v_piece   private.applied_piece;
begin
  execute p_keys into v_keys, v_numbers using p_batch_id, p_from_row, p_to_row, p_org_id;
  if v_keys is null then
    return v_piece;
  end if;

  perform private.lock_records(p_batch_id, v_keys);
  execute format('select array_agg(row(s.*)::private.record_state) from (%s) as s', p_state) into v_before using p_org_id, v_keys;
  v_existing := array(select b.key from unnest(v_before) as b);
  if p_mode in ('insert', 'upsert') then
    execute p_call using p_batch_id, p_from_row, p_to_row, p_org_id, 'insert'::public.import_mode, v_existing, false;
  end if;
  if p_mode <> 'insert' then
    execute p_call using p_batch_id, p_from_row, p_to_row, p_org_id,
      case p_mode when 'delete' then 'delete' else 'update' end::public.import_mode, v_existing, true;
  end if;
  execute format('select array_agg(row(s.*)::private.record_state) from (%s) as s', p_state) into v_after using p_org_id, v_keys;

  return private.compare_states(v_keys, v_numbers, v_before, v_after);
end;
$function$;

revoke all on function "private"."apply_by_function"(uuid, integer, integer, uuid, public.import_mode, text, text, text) from public;

grant execute on function "private"."apply_by_function"(uuid, integer, integer, uuid, public.import_mode, text, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/apply_invoices.sql

create or replace function private.apply_invoices (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_clear  text[],
  p_rows   private.invoice_row[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  merge into public.invoices as t
  using (
    select
      r.invoice_number,
      any_value(r.customer_id) as customer_id,
      any_value(r.order_id) as order_id,
      any_value(r.issued_on) as issued_on,
      any_value(r.due_on) as due_on,
      any_value(r.status) as status,
      any_value(r.currency) as currency,
      any_value(r.notes) as notes
    from unnest(p_rows) as r
    group by r.invoice_number
    order by r.invoice_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.invoice_number = s.invoice_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.customer_id, t.order_id, t.issued_on, t.due_on, t.status, t.currency, t.notes
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.order_id, case when 'order_id' <> all (p_clear) then t.order_id end),
      coalesce(s.issued_on, t.issued_on),
      coalesce(s.due_on, case when 'due_on' <> all (p_clear) then t.due_on end), coalesce(s.status, t.status),
      coalesce(s.currency, t.currency), coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    ) then
    update set (
      customer_id, order_id, issued_on, due_on, status, currency, notes
    ) = row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.order_id, case when 'order_id' <> all (p_clear) then t.order_id end),
      coalesce(s.issued_on, t.issued_on),
      coalesce(s.due_on, case when 'due_on' <> all (p_clear) then t.due_on end), coalesce(s.status, t.status),
      coalesce(s.currency, t.currency), coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, invoice_number, customer_id, order_id, issued_on, due_on, status, currency, notes
    )
    values (
      p_org_id, s.invoice_number, s.customer_id, s.order_id, s.issued_on, s.due_on,
      coalesce(s.status, 'open'), s.currency, s.notes
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.invoice_lines as t
  using (
    select
      i.id as invoice_id,
      r.line_number, r.product_id, r.description, r.quantity, r.unit_price, r.tax_percent
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.invoices as p where p.org_id = p_org_id and p.invoice_number = r.invoice_number offset 0
    ) as i
    order by r.invoice_number, r.line_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.invoice_id = s.invoice_id and t.line_number = s.line_number
  when matched and row(
      t.product_id, t.description, t.quantity, t.unit_price, t.tax_percent
    ) is distinct from row(
      coalesce(s.product_id, case when 'product_id' <> all (p_clear) then t.product_id end),
      coalesce(s.description, case when 'description' <> all (p_clear) then t.description end),
      coalesce(s.quantity, t.quantity), coalesce(s.unit_price, t.unit_price),
      coalesce(s.tax_percent, case when 'tax_percent' <> all (p_clear) then t.tax_percent end)
    ) then
    update set (
      product_id, description, quantity, unit_price, tax_percent
    ) = row(
      coalesce(s.product_id, case when 'product_id' <> all (p_clear) then t.product_id end),
      coalesce(s.description, case when 'description' <> all (p_clear) then t.description end),
      coalesce(s.quantity, t.quantity), coalesce(s.unit_price, t.unit_price),
      coalesce(s.tax_percent, case when 'tax_percent' <> all (p_clear) then t.tax_percent end)
    )
  when not matched then
    insert (
      org_id, invoice_id, line_number, product_id, description, quantity, unit_price, tax_percent
    )
    values (
      p_org_id, s.invoice_id, s.line_number, s.product_id, s.description, s.quantity, s.unit_price,
      s.tax_percent
    );
end;
$function$;

revoke all on function "private"."apply_invoices"(uuid, public.import_mode, text[], private.invoice_row[]) from public;

grant execute on function "private"."apply_invoices"(uuid, public.import_mode, text[], private.invoice_row[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/apply_orders.sql

create or replace function private.apply_orders (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_clear  text[],
  p_rows   private.order_row[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  merge into public.orders as t
  using (
    select
      r.order_number,
      any_value(r.customer_id) as customer_id,
      any_value(r.ordered_on) as ordered_on,
      any_value(r.requested_on) as requested_on,
      any_value(r.status) as status,
      any_value(r.currency) as currency,
      any_value(r.shipping_cost) as shipping_cost,
      any_value(r.customer_reference) as customer_reference,
      any_value(r.notes) as notes
    from unnest(p_rows) as r
    group by r.order_number
    order by r.order_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.order_number = s.order_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.customer_id, t.ordered_on, t.requested_on, t.status, t.currency, t.shipping_cost,
      t.customer_reference, t.notes
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id), coalesce(s.ordered_on, t.ordered_on),
      coalesce(s.requested_on, case when 'requested_on' <> all (p_clear) then t.requested_on end),
      coalesce(s.status, t.status), coalesce(s.currency, t.currency),
      coalesce(s.shipping_cost, case when 'shipping_cost' <> all (p_clear) then t.shipping_cost end),
      coalesce(s.customer_reference, case when 'customer_reference' <> all (p_clear) then t.customer_reference end),
      coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    ) then
    update set (
      customer_id, ordered_on, requested_on, status, currency, shipping_cost, customer_reference, notes
    ) = row(
      coalesce(s.customer_id, t.customer_id), coalesce(s.ordered_on, t.ordered_on),
      coalesce(s.requested_on, case when 'requested_on' <> all (p_clear) then t.requested_on end),
      coalesce(s.status, t.status), coalesce(s.currency, t.currency),
      coalesce(s.shipping_cost, case when 'shipping_cost' <> all (p_clear) then t.shipping_cost end),
      coalesce(s.customer_reference, case when 'customer_reference' <> all (p_clear) then t.customer_reference end),
      coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, order_number, customer_id, ordered_on, requested_on, status, currency, shipping_cost,
      customer_reference, notes
    )
    values (
      p_org_id, s.order_number, s.customer_id, s.ordered_on, s.requested_on, coalesce(s.status, 'open'),
      s.currency, s.shipping_cost, s.customer_reference, s.notes
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.order_lines as t
  using (
    select
      o.id as order_id,
      r.line_number, r.product_id, r.quantity, r.unit_price, r.discount_percent
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.orders as p where p.org_id = p_org_id and p.order_number = r.order_number offset 0
    ) as o
    order by r.order_number, r.line_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.order_id = s.order_id and t.line_number = s.line_number
  when matched and row(
      t.product_id, t.quantity, t.unit_price, t.discount_percent
    ) is distinct from row(
      coalesce(s.product_id, t.product_id), coalesce(s.quantity, t.quantity),
      coalesce(s.unit_price, t.unit_price),
      coalesce(s.discount_percent, case when 'discount_percent' <> all (p_clear) then t.discount_percent end)
    ) then
    update set (
      product_id, quantity, unit_price, discount_percent
    ) = row(
      coalesce(s.product_id, t.product_id), coalesce(s.quantity, t.quantity),
      coalesce(s.unit_price, t.unit_price),
      coalesce(s.discount_percent, case when 'discount_percent' <> all (p_clear) then t.discount_percent end)
    )
  when not matched then
    insert (
      org_id, order_id, line_number, product_id, quantity, unit_price, discount_percent
    )
    values (
      p_org_id, s.order_id, s.line_number, s.product_id, s.quantity, s.unit_price, s.discount_percent
    );
end;
$function$;

revoke all on function "private"."apply_orders"(uuid, public.import_mode, text[], private.order_row[]) from public;

grant execute on function "private"."apply_orders"(uuid, public.import_mode, text[], private.order_row[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/apply_routes.sql

create or replace function private.apply_routes (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_clear  text[],
  p_rows   private.route_row[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  merge into public.delivery_routes as t
  using (
    select
      r.route_number,
      any_value(r.start_location_id) as start_location_id,
      any_value(r.scheduled_on) as scheduled_on,
      any_value(r.departs_at) as departs_at,
      any_value(r.driver) as driver,
      any_value(r.vehicle) as vehicle,
      any_value(r.status) as status
    from unnest(p_rows) as r
    group by r.route_number
    order by r.route_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.route_number = s.route_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.start_location_id, t.scheduled_on, t.departs_at, t.driver, t.vehicle, t.status
    ) is distinct from row(
      coalesce(s.start_location_id, t.start_location_id), coalesce(s.scheduled_on, t.scheduled_on),
      coalesce(s.departs_at, case when 'departs_at' <> all (p_clear) then t.departs_at end),
      coalesce(s.driver, case when 'driver' <> all (p_clear) then t.driver end),
      coalesce(s.vehicle, case when 'vehicle' <> all (p_clear) then t.vehicle end),
      coalesce(s.status, t.status)
    ) then
    update set (
      start_location_id, scheduled_on, departs_at, driver, vehicle, status
    ) = row(
      coalesce(s.start_location_id, t.start_location_id), coalesce(s.scheduled_on, t.scheduled_on),
      coalesce(s.departs_at, case when 'departs_at' <> all (p_clear) then t.departs_at end),
      coalesce(s.driver, case when 'driver' <> all (p_clear) then t.driver end),
      coalesce(s.vehicle, case when 'vehicle' <> all (p_clear) then t.vehicle end),
      coalesce(s.status, t.status)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, route_number, start_location_id, scheduled_on, departs_at, driver, vehicle, status
    )
    values (
      p_org_id, s.route_number, s.start_location_id, s.scheduled_on, s.departs_at, s.driver, s.vehicle,
      coalesce(s.status, 'planned')
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.delivery_stops as t
  using (
    select
      d.id as route_id,
      r.stop_number, r.customer_id, r.arrives_from, r.arrives_until, r.outcome, r.instructions
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.delivery_routes as p where p.org_id = p_org_id and p.route_number = r.route_number offset 0
    ) as d
    order by r.route_number, r.stop_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.route_id = s.route_id and t.stop_number = s.stop_number
  when matched and row(
      t.customer_id, t.arrives_from, t.arrives_until, t.outcome, t.instructions
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.arrives_from, case when 'arrives_from' <> all (p_clear) then t.arrives_from end),
      coalesce(s.arrives_until, case when 'arrives_until' <> all (p_clear) then t.arrives_until end),
      coalesce(s.outcome, case when 'outcome' <> all (p_clear) then t.outcome end),
      coalesce(s.instructions, case when 'instructions' <> all (p_clear) then t.instructions end)
    ) then
    update set (
      customer_id, arrives_from, arrives_until, outcome, instructions
    ) = row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.arrives_from, case when 'arrives_from' <> all (p_clear) then t.arrives_from end),
      coalesce(s.arrives_until, case when 'arrives_until' <> all (p_clear) then t.arrives_until end),
      coalesce(s.outcome, case when 'outcome' <> all (p_clear) then t.outcome end),
      coalesce(s.instructions, case when 'instructions' <> all (p_clear) then t.instructions end)
    )
  when not matched then
    insert (
      org_id, route_id, stop_number, customer_id, arrives_from, arrives_until, outcome, instructions
    )
    values (
      p_org_id, s.route_id, s.stop_number, s.customer_id, s.arrives_from, s.arrives_until, s.outcome,
      s.instructions
    );
end;
$function$;

revoke all on function "private"."apply_routes"(uuid, public.import_mode, text[], private.route_row[]) from public;

grant execute on function "private"."apply_routes"(uuid, public.import_mode, text[], private.route_row[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/apply_row_type.sql

create or replace function private.apply_row_type (
  p_function text
)
  returns regclass
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.function_row_type(p_function, '{uuid,public.import_mode,text[]}');
$function$;

revoke all on function "private"."apply_row_type"(text) from public;

grant execute on function "private"."apply_row_type"(text) to "postgres";

-- schemas/private/functions/apply_rows.sql

create or replace function private.apply_rows (
  p_plan      private.import_plans,
  p_statement text,
  p_from_row  integer,
  p_to_row    integer
)
  returns private.applied_range
  language plpgsql
  set search_path to ''
  set enable_hashjoin to 'off'
  set enable_mergejoin to 'off'
  set enable_seqscan to 'off'
  set enable_bitmapscan to 'off'
  set enable_material to 'off'
  set jit to 'off'
  set work_mem to '64MB'
  set "TimeZone" to 'UTC'
  set "DateStyle" to 'ISO, MDY'
  AS $function$
declare
  c_patience constant interval := '20 seconds';
  v_range   private.applied_range;
  v_piece   private.applied_piece;
  v_refused private.refused_row;
  v_from    integer := p_from_row;
  v_to      integer;
  v_last    integer := p_from_row; -- the last refused row
  v_width   integer := p_to_row - p_from_row;
  v_merges  integer := 0;
  v_again   integer; -- a row that somebody else inserted meanwhile: merged once more
  v_until   timestamptz := clock_timestamp() + c_patience;
begin
  while v_from < p_to_row and (v_from = p_from_row or clock_timestamp() < v_until) loop
    v_to := least(v_from + v_width, p_to_row);
    v_merges := v_merges + 1;
    begin
      if v_merges = 1 then
        execute p_statement into v_piece using p_plan.batch_id, v_from, v_to, p_plan.org_id;
      else
        execute format('execute apply_rows (%L, %s, %s, %L)', p_plan.batch_id, v_from, v_to, p_plan.org_id) into v_piece;
      end if;
      if v_piece.overtaken_count > 0 then
        raise exception using errcode = '40001', message = 'a record changed while it was imported';
      end if;
      set constraints all immediate; -- deferred ones speak here, where the row can be found

      v_range.pieces := array_append(v_range.pieces, v_piece);
      v_from  := v_to;
      v_width := v_width * 2;
    exception when others then
      get stacked diagnostics
        v_refused.sqlstate        = returned_sqlstate,
        v_refused.message         = message_text,
        v_refused.column_name     = column_name,
        v_refused.constraint_name = constraint_name;

      if not private.is_row_error(v_refused.sqlstate)
        or (v_refused.sqlstate = '42501' and not private.has_table_right(p_plan)) then
        raise;
      end if;

      if v_merges = 1 then
        -- Prepared: a small merge takes longer to plan than to run. What an earlier error left is
        -- still there: prepared statements survive a rollback.
        if exists (select from pg_prepared_statements as s where s.name = 'apply_rows') then
          deallocate apply_rows;
        end if;
        execute 'prepare apply_rows (uuid, integer, integer, uuid) as ' || p_statement;
      end if;

      if v_to - v_from > 1 then
        v_width := greatest((v_to - v_from) / 4, 1);
      elsif v_refused.constraint_name = p_plan.key_index and v_again is distinct from v_to then
        v_again := v_to;
      else
        v_refused.row_number := v_to;
        v_range.refused := array_append(v_range.refused, v_refused);
        v_width := greatest(v_from - v_last, 1);
        v_last  := v_to;
        v_from  := v_to;
      end if;
    end;
  end loop;

  v_range.reached := v_from;
  if p_plan.missing_sql is not null and p_statement = p_plan.merge_sql then
    execute p_plan.missing_sql into v_range.missing using p_plan.batch_id, p_from_row, v_from, p_plan.org_id;
  end if;
  if v_merges > 1 then
    deallocate apply_rows;
  end if;
  return v_range;
end;
$function$;

revoke all on function "private"."apply_rows"(private.import_plans, text, integer, integer) from public;

grant execute on function "private"."apply_rows"(private.import_plans, text, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/apply_rows_as_service.sql

create or replace function private.apply_rows_as_service (
  p_plan      private.import_plans,
  p_statement text,
  p_from_row  integer,
  p_to_row    integer
)
  returns private.applied_range
  language sql
  set search_path to ''
  set role to 'service_role'
  AS $function$
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$function$;

revoke all on function "private"."apply_rows_as_service"(private.import_plans, text, integer, integer) from public;

grant execute on function "private"."apply_rows_as_service"(private.import_plans, text, integer, integer) to "postgres";

-- schemas/private/functions/apply_rows_as_user.sql

create or replace function private.apply_rows_as_user (
  p_plan      private.import_plans,
  p_statement text,
  p_from_row  integer,
  p_to_row    integer
)
  returns private.applied_range
  language sql
  set search_path to ''
  set role to 'authenticated'
  AS $function$
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$function$;

revoke all on function "private"."apply_rows_as_user"(private.import_plans, text, integer, integer) from public;

grant execute on function "private"."apply_rows_as_user"(private.import_plans, text, integer, integer) to "postgres";

-- schemas/private/functions/apply_users.sql

create or replace function private.apply_users (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_clear  text[],
  p_rows   private.user_row[]
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_users private.named_user[];
  v_wrong record;
begin
  perform private.require_org_role(p_org_id, 'admin');

  v_users := array(select u from private.name_users(p_org_id, p_rows) as u);
  if p_mode <> 'insert' then
    -- Two that each take one of two admins away wait for each other, and then look again.
    perform from public.organization as o
    where o.id in (select u.person_org_id from unnest(v_users) as u where u.is_active_admin)
    order by o.id
    for no key update;
    v_users := array(select u from private.name_users(p_org_id, p_rows) as u);
  end if;

  select j.* into v_wrong from private.judge_users(p_org_id, p_mode, v_users) as j limit 1;
  if found then
    perform private.refuse_row(v_wrong.code, v_wrong.field, v_wrong.message, v_wrong.value);
  end if;

  case p_mode
    when 'insert' then perform private.insert_users(p_org_id, v_users);
    when 'update' then perform private.change_users(p_org_id, p_clear, v_users);
    when 'delete' then perform private.remove_users(p_org_id, array(select u.person_id from unnest(v_users) as u));
  end case;
end;
$function$;

revoke all on function "private"."apply_users"(uuid, public.import_mode, text[], private.user_row[]) from public;

grant execute on function "private"."apply_users"(uuid, public.import_mode, text[], private.user_row[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/approve_run.sql

create or replace function private.approve_run (
  p_run_id uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs := private.find_sync_run(p_run_id);
begin
  perform private.lock_organization(v_run.org_id);
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id for update;
  if v_run.status <> 'awaiting_approval' then
    raise exception using
      errcode = 'PT409',
      message = 'sync run awaits no approval',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = case when v_run.finished_at is null then 'It goes on by itself.' else 'It is at its end; run the source again.' end;
  end if;

  update public.sync_runs as r
  set status = 'committing', approved_by = auth.uid(), approved_at = now()
  where r.id = v_run.id
  returning r.* into v_run;
  perform private.proceed_sync(v_run, case b.status when 'completed' then 'record' else 'commit' end)
  from public.import_batches as b
  where b.id = v_run.import_id;
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id;
  return private.describe_sync_run(v_run);
end;
$function$;

revoke all on function "private"."approve_run"(uuid) from public;

grant execute on function "private"."approve_run"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/archive_template.sql

create or replace function private.archive_template (
  p_template_id uuid
)
  returns public.import_templates
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_template public.import_templates := private.find_template(p_template_id);
begin
  perform private.require_template_right(v_template.org_id, 'admin');

  update public.import_templates as t
  set archived_at = clock_timestamp()
  where t.id = p_template_id and t.replaced_at is null and t.archived_at is null
  returning t.* into v_template;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'template is not the current version',
      detail  = format('template %s', p_template_id),
      hint    = 'It was replaced or deleted before. list_import_templates names the current ones.';
  end if;
  return v_template;
end;
$function$;

revoke all on function "private"."archive_template"(uuid) from public;

grant execute on function "private"."archive_template"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/assume_claims.sql

create or replace function private.assume_claims (
  p_claims jsonb
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select
    set_config('request.jwt.claims', p_claims::text, true),
    set_config('request.jwt.claim.sub', coalesce(p_claims ->> 'sub', ''), true),
    set_config('request.jwt.claim.role', coalesce(p_claims ->> 'role', ''), true);
$function$;

revoke all on function "private"."assume_claims"(jsonb) from public;

grant execute on function "private"."assume_claims"(jsonb) to "postgres";

-- schemas/private/functions/auth_columns.sql

create or replace function private.auth_columns()
  returns table (
    table_name  text,
    column_name text,
    type_name   text,
    expression  text
  )
  language sql
  immutable
  set search_path to ''
  AS $function$
  values
    ('users', 'instance_id', 'uuid', '''00000000-0000-0000-0000-000000000000''::uuid'),
    ('users', 'id', 'uuid', 's.id'),
    ('users', 'aud', 'text', '''authenticated'''),
    ('users', 'role', 'text', '''authenticated'''),
    ('users', 'email', 'text', 's.email'),
    ('users', 'encrypted_password', 'text', 'coalesce(s.password_hash, '''')'),
    ('users', 'email_confirmed_at', 'timestamptz', 'case when s.is_confirmed then now() end'),
    ('users', 'confirmation_token', 'text', ''''''),
    ('users', 'recovery_token', 'text', ''''''),
    ('users', 'email_change', 'text', ''''''),
    ('users', 'email_change_token_new', 'text', ''''''),
    ('users', 'email_change_token_current', 'text', ''''''),
    ('users', 'email_change_confirm_status', 'int2', '0'),
    ('users', 'phone', 'text', 's.phone'),
    ('users', 'phone_change', 'text', ''''''),
    ('users', 'phone_change_token', 'text', ''''''),
    ('users', 'reauthentication_token', 'text', ''''''),
    ('users', 'raw_app_meta_data', 'jsonb', '''{"provider": "email", "providers": ["email"]}''::jsonb'),
    ('users', 'raw_user_meta_data', 'jsonb', 's.metadata'),
    ('users', 'is_sso_user', 'bool', 'false'),
    ('users', 'is_anonymous', 'bool', 'false'),
    ('users', 'created_at', 'timestamptz', 'now()'),
    ('users', 'updated_at', 'timestamptz', 'now()'),
    ('identities', 'id', 'uuid', 'gen_random_uuid()'),
    ('identities', 'provider_id', 'text', 's.id::text'),
    ('identities', 'user_id', 'uuid', 's.id'),
    ('identities', 'provider', 'text', '''email'''),
    ('identities', 'identity_data', 'jsonb', 'jsonb_build_object(''sub'', s.id, ''email'', s.email, ''email_verified'', false, ''phone_verified'', false)'),
    ('identities', 'created_at', 'timestamptz', 'now()'),
    ('identities', 'updated_at', 'timestamptz', 'now()');
$function$;

revoke all on function "private"."auth_columns"() from public;

grant execute on function "private"."auth_columns"() to "postgres";

-- schemas/private/functions/auth_headers.sql

create or replace function private.auth_headers (
  p_source public.sync_sources
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_secret text;
begin
  if p_source.secret_name is null then
    return '{}';
  end if;
  v_secret := private.read_sync_secret(p_source.org_id, p_source.secret_name);
  return case p_source.options ->> 'auth'
    when 'basic' then jsonb_build_object('Authorization', 'Basic ' || translate(
      encode(convert_to((p_source.options ->> 'auth_user') || ':' || v_secret, 'utf8'), 'base64'), e'\n', ''))
    when 'header' then jsonb_build_object(p_source.options ->> 'auth_header', v_secret)
    else jsonb_build_object('Authorization', 'Bearer ' || v_secret)
  end;
end;
$function$;

revoke all on function "private"."auth_headers"(public.sync_sources) from public;

grant execute on function "private"."auth_headers"(public.sync_sources) to "postgres";

-- schemas/private/functions/await_call.sql

create or replace function private.await_call (
  p_task public.sync_job_queue
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  if v_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
  elsif v_job.error is not null then
    perform private.return_task(p_task);
  else
    update public.sync_job_queue as q set status = private.waiting_status(v_job) where q.id = p_task.id;
    perform private.release_if_queued(v_job);
  end if;
end;
$function$;

revoke all on function "private"."await_call"(public.sync_job_queue) from public;

grant execute on function "private"."await_call"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/begin_fetch.sql

create or replace function private.begin_fetch (
  p_task_id bigint,
  p_token   uuid,
  p_columns text[]
)
  returns table (
    import_id      uuid,
    staged_on      date,
    max_rows       bigint,
    max_cell_bytes integer
  )
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_task   public.sync_job_queue;
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id;
  perform private.require_call(v_task, p_task_id, p_token);
  perform private.assume_claims(j.claims) from public.scheduled_jobs as j where j.id = v_task.job_id;
  v_run := private.run_of(v_task);
  v_source := private.source_of(v_run);

  if v_task.args ? 'import_id' then
    v_batch := private.require_receiving((v_task.args ->> 'import_id')::uuid);
  else
    v_batch := private.create_sync_import(v_run, v_source, 'upsert', v_source.name, v_source.mapping);
    update public.sync_job_queue as q
    set args = q.args || jsonb_build_object('import_id', v_batch.id)
    where q.id = p_task_id;
  end if;
  return query
  select v_batch.id, i.staged_on, i.max_rows, i.max_cell_bytes from private.begin_ingest(v_batch.id, p_columns, false) as i;
end;
$function$;

revoke all on function "private"."begin_fetch"(bigint, uuid, text[]) from public;

grant execute on function "private"."begin_fetch"(bigint, uuid, text[]) to "postgres", "sluice_ingest";

-- schemas/private/functions/begin_ingest.sql

create or replace function private.begin_ingest (
  p_import_id uuid,
  p_columns   text[],
  p_review    boolean
)
  returns table (
    staged_on      date,
    max_rows       bigint,
    max_cell_bytes integer,
    max_columns    integer
  )
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch   public.import_batches;
  v_mapping jsonb;
begin
  perform pg_advisory_xact_lock(private.ingest_lock_key(p_import_id));
  v_batch := private.require_receiving(p_import_id);

  perform private.require_fit_columns(v_batch.org_id, p_columns);
  v_mapping := (private.initial_mapping(v_batch, p_columns, null)).mapping;
  if not p_review then
    perform private.require_mapped_fields(v_batch.dataset, v_batch.mode, v_mapping);
  end if;

  return query select
    v_batch.staged_on,
    private.setting('imports.max_rows', v_batch.org_id)::bigint,
    private.setting('imports.max_cell_bytes', v_batch.org_id)::integer,
    private.setting('imports.max_columns', v_batch.org_id)::integer;
end;
$function$;

revoke all on function "private"."begin_ingest"(uuid, text[], boolean) from public;

grant execute on function "private"."begin_ingest"(uuid, text[], boolean) to "postgres", "sluice_ingest";

-- schemas/private/functions/begin_range.sql

create or replace function private.begin_range (
  p_task_id bigint,
  p_token   uuid,
  p_from    bigint
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_task  public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job   public.scheduled_jobs;
  v_batch public.import_batches;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  perform private.assume_claims(v_job.claims);
  perform private.require_import_right(v_batch);
  perform private.assume_claims(null);

  if (select i.position from private.import_ingests as i where i.batch_id = v_batch.id) is distinct from p_from then
    perform private.refuse_range(v_batch.id, p_from);
  end if;
end;
$function$;

revoke all on function "private"."begin_range"(bigint, uuid, bigint) from public;

grant execute on function "private"."begin_range"(bigint, uuid, bigint) to "postgres", "sluice_ingest";

-- schemas/private/functions/boolean_lists.sql

create or replace function private.boolean_lists (
  p_values text[]
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  with words as (
    select distinct lower(v) as word from unnest(p_values) as v
  ),
  pairs as (
    select b.* from private.boolean_words() as b
    where exists (select from words as w where w.word in (b.word_true, b.word_false))
  )
  select case
    when bool_and(pg_input_is_valid(w.word, 'boolean')) then null
    when bool_and(exists (select from pairs as p where w.word in (p.word_true, p.word_false))) then (
      select jsonb_build_object(
        'true', jsonb_agg(distinct p.word_true),
        'false', coalesce(jsonb_agg(distinct p.word_false) filter (where p.word_false is not null), '[]')
      )
      from pairs as p
    )
  end
  from words as w;
$function$;

revoke all on function "private"."boolean_lists"(text[]) from public;

grant execute on function "private"."boolean_lists"(text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/boolean_words.sql

create or replace function private.boolean_words()
  returns table (
    word_true  text,
    word_false text
  )
  language sql
  immutable
  set search_path to ''
  AS $function$
  values ('true', 'false'), ('t', 'f'), ('yes', 'no'), ('y', 'n'), ('on', 'off'), ('1', '0'), ('x', null),
    ('active', 'inactive'), ('enabled', 'disabled'), ('ja', 'nein'), ('j', 'n'), ('wahr', 'falsch'), ('aktiv', 'inaktiv'),
    ('oui', 'non'), ('o', 'n'), ('vrai', 'faux'), ('sí', 'no'), ('si', 'no'), ('s', 'n'), ('verdadero', 'falso'),
    ('sì', 'no'), ('vero', 'falso'), ('sim', 'não'), ('tak', 'nie');
$function$;

revoke all on function "private"."boolean_words"() from public;

grant execute on function "private"."boolean_words"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/cancel_import.sql

create or replace function private.cancel_import (
  p_import_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch public.import_batches;
  v_job   uuid;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
  perform private.require_import_right(v_batch);

  loop
    -- The job before the batch: in the order in which the workers lock them.
    select j.id into v_job
    from public.scheduled_jobs as j
    where j.batch_id = p_import_id and j.finished_at is null;
    if v_job is not null then
      if private.cancel_job(v_job) then
        return;
      end if;
      continue; -- it ended meanwhile, and another may have begun
    end if;

    perform private.lock_organization(v_batch.org_id);
    select b.* into v_batch from public.import_batches as b where b.id = p_import_id for no key update;
    exit when v_batch.status not in ('validating', 'committing', 'undoing'); -- else a job began meanwhile
  end loop;

  if v_batch.status in ('staged', 'validated') then
    update public.import_batches as b set status = 'cancelled' where b.id = p_import_id;
  elsif v_batch.status <> 'cancelled' then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case v_batch.status when 'receiving' then 'Break off its upload.' else 'It is at its end.' end;
  end if;
end;
$function$;

revoke all on function "private"."cancel_import"(uuid) from public;

grant execute on function "private"."cancel_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/cancel_job.sql

create or replace function private.cancel_job (
  p_job_id uuid
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
begin
  update public.scheduled_jobs as j
  set cancel_requested_at = coalesce(j.cancel_requested_at, clock_timestamp()),
      error = null -- of one that is failing: its other tasks go, so it cannot be tried again
  where j.id = p_job_id and j.finished_at is null;
  if not found then
    return false;
  end if;

  perform private.drop_tasks(p_job_id);

  if not exists (select from public.sync_job_queue as q where q.job_id = p_job_id) then
    perform private.end_job(p_job_id, 'cancelled');
  end if;
  return true;
end;
$function$;

revoke all on function "private"."cancel_job"(uuid) from public;

grant execute on function "private"."cancel_job"(uuid) to "postgres";

-- schemas/private/functions/cancel_overdue_tasks.sql

create or replace function private.cancel_overdue_tasks()
  returns bigint
  language sql
  set search_path to ''
  AS $function$
  select count(*) filter (where pg_cancel_backend(q.claimed_by))
  from public.sync_job_queue as q
  where q.status = 'running'
    and private.lock_holder(private.task_lock_key(q.id)) = q.claimed_by
    and q.claimed_at < clock_timestamp() - make_interval(secs => private.setting('jobs.task_seconds')::integer);
$function$;

revoke all on function "private"."cancel_overdue_tasks"() from public;

grant execute on function "private"."cancel_overdue_tasks"() to "postgres";

-- schemas/private/functions/cancel_own_job.sql

create or replace function private.cancel_own_job (
  p_job_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if not private.cancel_job(v_job.id) then
    perform private.require_unfinished(private.require_job(p_job_id)); -- that says how it ended
  end if;
end;
$function$;

revoke all on function "private"."cancel_own_job"(uuid) from public;

grant execute on function "private"."cancel_own_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/cancel_run.sql

create or replace function private.cancel_run (
  p_run_id uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_run    public.sync_runs := private.find_sync_run(p_run_id);
  v_import uuid;
begin
  if v_run.finished_at is null and not coalesce(private.cancel_job(v_run.job_id), false) then
    select b.id into v_import
    from public.import_batches as b
    where b.id in (v_run.import_id, v_run.delete_import_id)
      and b.status in ('receiving', 'staged', 'validating', 'validated', 'committing');
    if found then
      perform private.cancel_import(v_import);
    end if;
  end if;

  perform private.lock_organization(v_run.org_id);
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id for update;
  if v_run.status in ('waiting', 'awaiting_approval') then
    perform private.finish_run(v_run.id, 'cancelled');
    select r.* into v_run from public.sync_runs as r where r.id = p_run_id;
  elsif v_run.finished_at is not null and v_run.status <> 'cancelled' then
    raise exception using
      errcode = 'PT409',
      message = 'sync run is at its end',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = 'What it applied can be undone by its imports (undo_import).';
  end if;
  return private.describe_sync_run(v_run);
end;
$function$;

revoke all on function "private"."cancel_run"(uuid) from public;

grant execute on function "private"."cancel_run"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/catalog_reference.sql

create or replace function private.catalog_reference (
  p_table      regclass,
  p_column     name,
  p_org_column name
)
  returns table (
    dataset text,
    field   text,
    type    text
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  select d.key, f.name, f.type
  from pg_constraint as c
  join public.datasets as d on d.target::regclass = c.confrelid
  join public.dataset_fields as f
    on f.dataset = d.key and f.name = coalesce(d.group_field, d.key_fields[1]) and f.reference is null
  where c.conrelid = p_table
    and c.contype = 'f'
    and (d.group_field is not null or cardinality(d.key_fields) = 1)
    and (
      select bool_and((a.attname = p_column and r.attname = d.id_column) or (a.attname = p_org_column and r.attname = d.org_column))
        and bool_or(a.attname = p_column)
      from unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
      join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
      join pg_attribute as r on r.attrelid = c.confrelid and r.attnum = k.ref_attnum
    )
  order by d.position
  limit 1;
$function$;

revoke all on function "private"."catalog_reference"(regclass, name, name) from public;

grant execute on function "private"."catalog_reference"(regclass, name, name) to "postgres";

-- schemas/private/functions/catalog_rules.sql

create or replace function private.catalog_rules (
  p_table  regclass,
  p_column name
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_column pg_attribute;
  v_rules  jsonb := '{}';
  v_check  text;
begin
  select a.* into v_column from pg_attribute as a where a.attrelid = p_table and a.attname = p_column;

  if exists (select from pg_enum as e where e.enumtypid = v_column.atttypid) then
    v_rules := jsonb_build_object('one_of', (
      select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum as e where e.enumtypid = v_column.atttypid
    ));
  elsif v_column.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and v_column.atttypmod > 4 then
    v_rules := jsonb_build_object('max_length', v_column.atttypmod - 4);
  end if;

  for v_check in
    select pg_get_expr(c.conbin, c.conrelid)
    from pg_constraint as c
    where c.conrelid = p_table and c.contype = 'c' and c.conkey = array[v_column.attnum]
    order by c.conname
  loop
    v_rules := v_rules || coalesce(private.check_rule(v_check, p_column), '{}');
  end loop;
  return v_rules;
end;
$function$;

revoke all on function "private"."catalog_rules"(regclass, name) from public;

grant execute on function "private"."catalog_rules"(regclass, name) to "postgres";

-- schemas/private/functions/cell_expression.sql

create or replace function private.cell_expression (
  p_columns   text[],
  p_column    text,
  p_untrimmed text[] default null::text[]
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case when p_column <> all (p_untrimmed) then format('nullif(r.cells[%s], %L)', c.number, '')
    else format('nullif(btrim(r.cells[%s], %L), %L)', c.number, e' \t\r\n\u00a0', '') end
  from (select array_position(p_columns, p_column)) as c (number);
$function$;

revoke all on function "private"."cell_expression"(text[], text, text[]) from public;

grant execute on function "private"."cell_expression"(text[], text, text[]) to "postgres";

-- schemas/private/functions/chain_length.sql

create or replace function private.chain_length (
  p_batch public.import_batches
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select count(*)::integer from private.import_chain_ids(p_batch);
$function$;

revoke all on function "private"."chain_length"(public.import_batches) from public;

grant execute on function "private"."chain_length"(public.import_batches) to "postgres";

-- schemas/private/functions/change_own_job.sql

create or replace function private.change_own_job (
  p_job_id   uuid,
  p_priority integer,
  p_run_at   timestamp with time zone
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_job   public.scheduled_jobs := private.require_job(p_job_id);
  v_count bigint;
begin
  if p_priority < 0 then
    perform private.require_org_role(v_job.org_id, 'admin'); -- ahead of what others started
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = v_job.id for no key update;
  perform private.require_unfinished(v_job);

  update public.scheduled_jobs as j
  set priority = coalesce(p_priority, j.priority),
      run_at   = greatest(coalesce(p_run_at, j.run_at), j.created_at), -- not ahead of what was started before
      status   = case when j.status = 'pending' and p_run_at > clock_timestamp() then 'queued' else j.status end
  where j.id = v_job.id and j.status in ('pending', 'queued', 'paused')
  returning j.* into v_job;

  -- Skipped when locked: being claimed at this moment, so the job does not wait any more; nor while a call is on its way.
  update public.sync_job_queue as q
  set priority        = v_job.priority,
      status          = private.waiting_status(v_job),
      next_attempt_at = coalesce(greatest(p_run_at, clock_timestamp()), q.next_attempt_at)
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = v_job.id and w.status in ('pending', 'held') and w.token is null
    for update skip locked
  );
  get diagnostics v_count = row_count;

  if v_job.id is null or v_count < (select count(*) from public.sync_job_queue as q where q.job_id = v_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'job does not wait',
      detail  = format('job %s runs', p_job_id),
      hint    = 'Pause it first, and wait until its tasks in flight have ended.';
  end if;

  perform private.release_queued_jobs(v_job.org_id);
  perform private.log_job_activity(v_job, 'updated', v_job.status);
end;
$function$;

revoke all on function "private"."change_own_job"(uuid, integer, timestamp with time zone) from public;

grant execute on function "private"."change_own_job"(uuid, integer, timestamp with time zone) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/change_sync_schedule.sql

create or replace function private.change_sync_schedule (
  p_schedule_id     uuid,
  p_cron_expression text,
  p_is_enabled      boolean,
  p_notes           text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_schedule public.sync_schedule := private.find_sync_schedule(p_schedule_id);
begin
  update public.sync_schedule as h
  set cron_expression = coalesce(btrim(p_cron_expression), h.cron_expression),
      is_enabled      = coalesce(p_is_enabled, h.is_enabled),
      notes           = coalesce(p_notes, h.notes)
  where h.id = v_schedule.id
  returning h.* into v_schedule;
  perform private.schedule_sync(v_schedule);
  perform private.log_source_activity(
    s, 'updated', jsonb_build_object('schedule', v_schedule.cron_expression, 'is_enabled', v_schedule.is_enabled))
  from public.sync_sources as s where s.id = v_schedule.source_id;
  return private.describe_sync_schedule(v_schedule);
end;
$function$;

revoke all on function "private"."change_sync_schedule"(uuid, text, boolean, text) from public;

grant execute on function "private"."change_sync_schedule"(uuid, text, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/change_sync_source.sql

create or replace function private.change_sync_source (
  p_source_id uuid,
  p_changes   jsonb
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_old public.sync_sources := private.find_sync_source(p_source_id);
  v_new public.sync_sources;
begin
  perform private.lock_organization(v_old.org_id); -- before the source, as its runs do
  select s.* into v_old from public.sync_sources as s where s.id = p_source_id for update;
  v_new := private.changed_source(v_old, p_changes);
  if v_new.dataset <> v_old.dataset then
    raise exception using
      errcode = 'PT409',
      message = 'dataset of a source cannot be changed',
      detail  = format('source %s is for %s', v_old.id, v_old.dataset),
      hint    = 'Make another source.';
  end if;
  if v_new.owner is distinct from v_old.owner then
    perform private.require_source_owner(v_new);
  end if;
  if p_changes - '{name,notes,is_active}'::text[] <> '{}' then
    perform private.require_equal_owner(v_new);
  end if;

  update public.sync_sources as s
  set name = v_new.name, notes = v_new.notes, kind = v_new.kind, location = v_new.location, secret_name = v_new.secret_name,
      options = v_new.options, mode = v_new.mode, max_delete_percent = v_new.max_delete_percent,
      requires_approval = v_new.requires_approval, overlap = v_new.overlap, template_id = v_new.template_id,
      mapping = v_new.mapping, import_options = v_new.import_options, owner = v_new.owner, is_active = v_new.is_active,
      state = case when private.keeps_state(v_old, v_new) then s.state else '{}' end
  where s.id = p_source_id
  returning s.* into v_new;
  perform private.log_source_activity(
    v_new, 'updated', jsonb_build_object('changed', array(select k from jsonb_object_keys(p_changes) as k order by k)));
  return private.describe_sync_source(v_new);
end;
$function$;

revoke all on function "private"."change_sync_source"(uuid, jsonb) from public;

grant execute on function "private"."change_sync_source"(uuid, jsonb) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/change_users.sql

create or replace function private.change_users (
  p_org_id uuid,
  p_clear  text[],
  p_users  private.named_user[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_user private.named_user;
  v_said private.user_row;
  v_is_changed boolean;
  v_ids  uuid[] := '{}';
begin
  foreach v_user in array p_users loop
    v_said := v_user.said;

    update auth.users as u
    set raw_user_meta_data = s.metadata, updated_at = now()
    from (
      select case
        when 'metadata' = any (p_clear) then coalesce(v_said.metadata, '{}')
        else coalesce(a.raw_user_meta_data, '{}') || coalesce(v_said.metadata, '{}')
      end as metadata
      from auth.users as a
      where a.id = v_user.person_id
    ) as s
    where u.id = v_user.person_id and coalesce(u.raw_user_meta_data, '{}') <> s.metadata;
    v_is_changed := found;

    update public.profiles as p
    set full_name = coalesce(v_said.full_name, case when 'full_name' <> all (p_clear) then p.full_name end),
        org_role  = coalesce(v_said.role, p.org_role)
    where p.id = v_user.person_id
      and (p.full_name, p.org_role) is distinct from (
        coalesce(v_said.full_name, case when 'full_name' <> all (p_clear) then p.full_name end), coalesce(v_said.role, p.org_role));

    if v_is_changed or found then
      v_ids := v_ids || v_user.person_id;
    end if;
  end loop;

  perform private.log_users('updated', v_ids, p_org_id);
end;
$function$;

revoke all on function "private"."change_users"(uuid, text[], private.named_user[]) from public;

grant execute on function "private"."change_users"(uuid, text[], private.named_user[]) to "postgres";

-- schemas/private/functions/change_webhook.sql

create or replace function private.change_webhook (
  p_webhook_id  uuid,
  p_url         text,
  p_events      text[],
  p_is_active   boolean,
  p_description text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
begin
  perform private.check_webhook(coalesce(p_url, v_webhook.url), coalesce(p_events, v_webhook.events));
  update public.webhooks as w
  set url         = coalesce(p_url, w.url),
      events      = case when p_events is null then w.events else array(select distinct e from unnest(p_events) as e order by e) end,
      is_active   = coalesce(p_is_active, w.is_active),
      error       = case when p_is_active is null then w.error end,
      description = nullif(coalesce(p_description, w.description), '')
  where w.id = p_webhook_id
  returning w.* into v_webhook;
  perform private.log_activity(v_webhook.org_id, 'other', 'updated', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id, 'events', v_webhook.events, 'is_active', v_webhook.is_active));
  return private.describe_webhook(v_webhook);
end;
$function$;

revoke all on function "private"."change_webhook"(uuid, text, text[], boolean, text) from public;

grant execute on function "private"."change_webhook"(uuid, text, text[], boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/changed_records.sql

create or replace function private.changed_records (
  p_run_as public.job_run_as,
  p_plan   private.import_plans,
  p_all    private.applied_piece,
  p_most   integer
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_changes jsonb;
  v_ids     uuid[];
  v_images  private.applied_piece;
begin
  select jsonb_agg(to_jsonb(c)), array_agg(c.record_id)
  into v_changes, v_ids
  from (
    select u.row_number, case u.action when 'inserted' then 'insert' when 'updated' then 'update' else 'delete' end as action,
      u.record_id, u.image as before
    from unnest(p_all.row_numbers, p_all.actions, p_all.record_ids, p_all.row_hashes, p_all.images)
      as u (row_number, action, record_id, row_hash, image)
    where u.row_hash is not null or u.image is not null -- of a record with lines: one of its rows
    order by u.row_number
    limit p_most
  ) as c;
  if v_ids is null then
    return null;
  end if;

  v_images := private.join_pieces(
    (private.apply_as(p_run_as, p_plan, replace(p_plan.image_sql, '$5', quote_literal(v_ids) || '::uuid[]'), 0, 1)).pieces);
  return (
    select jsonb_agg(c || jsonb_build_object('after', i.image))
    from jsonb_array_elements(v_changes) as c
    left join unnest(v_images.record_ids, v_images.images) as i (id, image) on i.id = (c ->> 'record_id')::uuid
  );
end;
$function$;

revoke all on function "private"."changed_records"(public.job_run_as, private.import_plans, private.applied_piece, integer) from public;

grant execute on function "private"."changed_records"(public.job_run_as, private.import_plans, private.applied_piece, integer) to "postgres";

-- schemas/private/functions/changed_source.sql

create or replace function private.changed_source (
  p_source  public.sync_sources,
  p_changes jsonb
)
  returns public.sync_sources
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_changes constant text[] := '{name,notes,dataset,kind,location,secret_name,options,mode,max_delete_percent,requires_approval,'
    'overlap,template_id,mapping,import_options,owner,is_active}';
  v_wrong  text;
  v_source public.sync_sources;
  v_dataset public.datasets;
begin
  if jsonb_typeof(p_changes) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'source must be an object';
  end if;

  select format('%s: %s', c.key, left(c.value::text, 200)) into v_wrong
  from jsonb_each(p_changes) as c
  where c.key <> all (c_changes)
    or case c.key
      when 'kind' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_source_kind')
      when 'mode' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_mode')
      when 'overlap' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_overlap')
      when 'max_delete_percent' then jsonb_typeof(c.value) <> 'number'
      when 'requires_approval' then jsonb_typeof(c.value) <> 'boolean'
      when 'is_active' then jsonb_typeof(c.value) <> 'boolean'
      when 'template_id' then not pg_input_is_valid(c.value #>> '{}', 'uuid')
      when 'owner' then not pg_input_is_valid(c.value #>> '{}', 'uuid')
      when 'options' then jsonb_typeof(c.value) <> 'object'
      when 'import_options' then jsonb_typeof(c.value) <> 'object'
      when 'mapping' then jsonb_typeof(c.value) not in ('object', 'null')
      else jsonb_typeof(c.value) not in ('string', 'null')
    end is true
  limit 1;
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'property of the source is not understood',
      detail  = v_wrong,
      hint    = format('Properties are: %s.', array_to_string(c_changes, ', '));
  end if;

  v_source := jsonb_populate_record(p_source, p_changes - 'mapping');
  if p_changes ? 'mapping' then
    v_source.mapping := nullif(p_changes -> 'mapping', 'null'); -- jsonb_populate_record keeps a JSON null
  end if;

  select d.* into v_dataset from public.datasets as d where d.key = v_source.dataset;
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', coalesce(to_json(v_source.dataset)::text, 'named')),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  elsif not v_dataset.allowed_modes @> (case v_source.mode when 'mirror' then '{upsert,delete}' else '{upsert}' end::public.import_mode[]) then
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s of dataset %s', v_source.mode, v_source.dataset),
      hint    = format('Allowed are: %s; a mirror needs upsert and delete.', array_to_string(v_dataset.allowed_modes, ', '));
  end if;

  if v_source.kind is null then
    raise exception using errcode = '22023', message = 'kind of the source is required',
      hint = format('One of: %s.', array_to_string(enum_range(null::public.sync_source_kind), ', '));
  end if;
  perform private.check_source_location(v_source), private.check_source_options(v_source.kind, v_source.options),
    private.normalize_options(v_source.import_options);
  if v_source.template_id is not null then
    perform private.find_template(v_source.template_id, v_source.dataset, v_source.org_id);
  end if;
  if v_source.mapping is not null then
    v_source.mapping := private.normalize_mapping(v_source.dataset, null, v_source.mapping);
  end if;
  if v_source.secret_name is not null and not v_source.options ? 'auth' then
    v_source.options := v_source.options || '{"auth": "bearer"}';
    perform private.check_source_options(v_source.kind, v_source.options);
  end if;
  return v_source;
end;
$function$;

revoke all on function "private"."changed_source"(public.sync_sources, jsonb) from public;

grant execute on function "private"."changed_source"(public.sync_sources, jsonb) to "postgres";

-- schemas/private/functions/changes_wanted.sql

create or replace function private.changes_wanted (
  p_batch_id uuid,
  p_from_row integer
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select greatest(50 - count(*), 0)::integer
  from private.import_previews as p
  cross join lateral jsonb_array_elements(p.changes) as c
  where p.batch_id = p_batch_id and (c ->> 'row_number')::integer <= p_from_row;
$function$;

revoke all on function "private"."changes_wanted"(uuid, integer) from public;

grant execute on function "private"."changes_wanted"(uuid, integer) to "postgres";

-- schemas/private/functions/charge_turn.sql

create or replace function private.charge_turn (
  p_org_id uuid,
  p_time   interval
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  insert into private.organization_turns as o (org_id, served_until)
  values (p_org_id, clock_timestamp() - interval '10 seconds' + p_time)
  on conflict (org_id) do update
  set served_until = least(greatest(o.served_until, clock_timestamp() - interval '10 seconds'), clock_timestamp() + interval '10 seconds')
    + p_time;
$function$;

revoke all on function "private"."charge_turn"(uuid, interval) from public;

grant execute on function "private"."charge_turn"(uuid, interval) to "postgres";

-- schemas/private/functions/check_corrections.sql

create or replace function private.check_corrections (
  p_corrections jsonb,
  p_parent      public.import_batches
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_most       constant integer := 1000;
  c_most_bytes constant bigint := private.setting('imports.max_request_bytes', p_parent.org_id)::bigint;
  c_cell_bytes constant bigint := private.setting('imports.max_cell_bytes', p_parent.org_id)::bigint;
  v_wrong text;
begin
  if octet_length(p_corrections::text) > c_most_bytes then
    raise exception using
      errcode = 'PT413',
      message = 'corrections are too large',
      detail  = format('%s bytes, the limit is %s', octet_length(p_corrections::text), c_most_bytes),
      hint    = 'Send them in several calls.';
  elsif jsonb_typeof(p_corrections) is distinct from 'array' or p_corrections = '[]' then
    v_wrong := left(coalesce(p_corrections::text, 'null'), 200);
  elsif jsonb_array_length(p_corrections) > c_most then
    raise exception using
      errcode = 'PT413',
      message = 'too many rows are corrected at once',
      detail  = format('got %s', jsonb_array_length(p_corrections)),
      hint    = format('At most %s in a call; or send them as a file that corrects the import.', c_most);
  else
    select left(c.value::text, 200) into v_wrong
    from jsonb_array_elements(p_corrections) as c
    where case
      when jsonb_typeof(c.value) <> 'object' then true
      when jsonb_typeof(c.value -> 'row') is distinct from 'number' or jsonb_typeof(c.value -> 'cells') is distinct from 'object' then true
      else c.value - '{row,cells}'::text[] <> '{}'
        or not pg_input_is_valid(c.value ->> 'row', 'integer')
        or c.value -> 'cells' = '{}'
        or jsonb_path_exists(c.value -> 'cells', 'strict $.* ? (@.type() == "object" || @.type() == "array")')
    end
    limit 1;
  end if;
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'corrections are not understood',
      detail  = case when private.has_secrets(p_parent.dataset) then '' else v_wrong end,
      hint    = 'Give a list of { "row": <its number>, "cells": { "<column>": "<what it should be>" } }.';
  end if;

  select format('row %s, column %s: %s bytes, the limit is %s',
    c.value ->> 'row', to_json(left(k.name, 100)), octet_length(k.cell), c_cell_bytes) into v_wrong
  from jsonb_array_elements(p_corrections) as c
  cross join lateral jsonb_each_text(c.value -> 'cells') as k (name, cell)
  where octet_length(k.cell) > c_cell_bytes
  limit 1;
  if found then
    raise exception using errcode = 'PT413', message = 'cell is too large', detail = v_wrong, hint = 'Shorten it.';
  end if;
end;
$function$;

revoke all on function "private"."check_corrections"(jsonb, public.import_batches) from public;

grant execute on function "private"."check_corrections"(jsonb, public.import_batches) to "postgres";

-- schemas/private/functions/check_rows.sql

create or replace function private.check_rows (
  p_batch     public.import_batches,
  p_check_sql text,
  p_from_row  integer,
  p_to_row    integer
)
  returns void
  language plpgsql
  set search_path to ''
  set enable_nestloop to 'on'
  AS $function$
begin
  execute p_check_sql using p_batch.staged_on, p_batch.id, p_from_row, p_to_row, p_batch.org_id;
exception when data_exception or integrity_constraint_violation then
  raise exception using
    errcode = 'IM004',
    message = 'check function of the dataset failed',
    detail  = format('dataset %s: SQLSTATE %s in the rows after %s, to %s', p_batch.dataset, sqlstate, p_from_row, p_to_row),
    hint    = 'Tell the database administrator.';
end;
$function$;

revoke all on function "private"."check_rows"(public.import_batches, text, integer, integer) from public;

grant execute on function "private"."check_rows"(public.import_batches, text, integer, integer) to "postgres";

-- schemas/private/functions/check_rule.sql

create or replace function private.check_rule (
  p_expression text,
  p_column     name
)
  returns jsonb
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  c_number constant text := '\(?''?(-?[0-9]+(?:\.[0-9]+)?)''?\)?(?:::[a-z ]+)?';
  c_text   constant text := '''((?:[^'']|'''')*)''::text';
  v_name   text := regexp_replace(format('%I', p_column), '([.*+?^$()\[\]{}|\\])', '\\\1', 'g');
  v_parts  text[];
begin
  v_parts := regexp_match(p_expression, format('^\(%s >= %s\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('min', v_parts[1]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s <= %s\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('max', v_parts[1]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\(\(%1$s >= %2$s\) AND \(%1$s <= %2$s\)\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('min', v_parts[1]::numeric, 'max', v_parts[2]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\((?:char_)?length\(%s\) <= ([0-9]+)\)$', v_name));
  if v_parts is not null then
    return jsonb_build_object('max_length', v_parts[1]::integer);
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s ~ %s\)$', v_name, c_text));
  if v_parts is not null then
    return jsonb_build_object('pattern', replace(v_parts[1], '''''', ''''));
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s = ANY \(ARRAY\[(.*)\]\)\)$', v_name));
  if v_parts[1] ~ format('^%1$s(?:, %1$s)*$', c_text) then
    return jsonb_build_object('one_of', (
      select jsonb_agg(replace(m[1], '''''', '''')) from regexp_matches(v_parts[1], c_text, 'g') as m
    ));
  end if;
  return null;
end;
$function$;

revoke all on function "private"."check_rule"(text, name) from public;

grant execute on function "private"."check_rule"(text, name) to "postgres";

-- schemas/private/functions/check_source_location.sql

create or replace function private.check_source_location (
  p_source public.sync_sources
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_right boolean;
begin
  v_right := case
    when p_source.kind = 'manual' then p_source.location is null
    when p_source.kind in ('http_csv', 'http_json') then private.is_outbound_url(p_source.location)
    when p_source.kind = 'storage' then private.is_own_path(p_source.location, p_source.org_id)
    else exists (
      select from private.foreign_tables as f where f.org_id = p_source.org_id and f.relation = p_source.location
    )
  end;
  if v_right is not true then
    raise exception using
      errcode = '22023',
      message = 'location of the source is not allowed',
      detail  = left(coalesce(p_source.location, 'none'), 200),
      hint    = case p_source.kind
        when 'manual' then 'A manual source has none.'
        when 'storage' then format('A path in the bucket imports, which begins with %s/.', p_source.org_id)
        when 'foreign_table' then 'The database administrator allows tables one by one: select private.allow_foreign_table(<organization>, ''<schema>.<table>'').'
        else 'An address that begins with http:// or https://, without user and password in it: those are a secret.'
      end;
  end if;
end;
$function$;

revoke all on function "private"."check_source_location"(public.sync_sources) from public;

grant execute on function "private"."check_source_location"(public.sync_sources) to "postgres";

-- schemas/private/functions/check_source_options.sql

create or replace function private.check_source_options (
  p_kind    public.sync_source_kind,
  p_options jsonb
)
  returns void
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  c_format  constant jsonb := '{
    "delimiter": "^[,;\t|]$", "quote": "^[\"'']$", "encoding": "^(utf-8|utf-16le|utf-16be|windows-1252)$", "header": null
  }';
  c_request constant jsonb := '{
    "auth": "^(bearer|basic|header)$", "auth_header": "^[A-Za-z0-9-]{1,100}$", "auth_user": "^[^:\\x00-\\x1f]{1,255}$", "headers": null
  }';
  c_pages   constant jsonb := '{
    "path": "^[^\\x00-\\x1f]{1,255}$", "next": "^[^\\x00-\\x1f]{1,255}$", "cursor": "^[^\\x00-\\x1f]{1,255}$",
    "cursor_parameter": "^[A-Za-z0-9_.\\[\\]-]{1,100}$"
  }';
  -- which a redirect to somebody else takes along
  c_told    constant text := '^(accept|accept-language|if-modified-since|if-none-match|range|user-agent)$';
  c_ours    constant text := '^(authorization|apikey|host|connection|content-length|transfer-encoding|cookie|accept-encoding|if-none-match|if-modified-since|range)$';
  v_known   jsonb := case p_kind
    when 'http_csv' then c_request || c_format
    when 'http_json' then c_request || c_pages
    when 'storage' then c_format
    else '{}'
  end;
  v_wrong   text;
begin
  if jsonb_typeof(p_options) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;

  select format('%s: %s', o.key, left(o.value::text, 200)) into v_wrong
  from jsonb_each(p_options) as o
  where not v_known ? o.key
    or case o.key
      when 'header' then jsonb_typeof(o.value) <> 'boolean'
      when 'headers' then jsonb_typeof(o.value) <> 'object' or length(o.value::text) > 4000 or exists (
        select from jsonb_each(case when jsonb_typeof(o.value) = 'object' then o.value else '{}' end) as h
        where h.key !~ '^[A-Za-z0-9-]{1,100}$' or lower(h.key) ~ c_ours
          or jsonb_typeof(h.value) <> 'string' or (h.value #>> '{}') ~ '[\x01-\x1f\x7f]'
      )
      else jsonb_typeof(o.value) <> 'string' or (o.value #>> '{}') !~ (v_known ->> o.key)
    end
  limit 1;
  v_wrong := coalesce(v_wrong, case
    when p_options ->> 'auth' = 'basic' and not p_options ? 'auth_user' then 'auth basic needs auth_user'
    when p_options ->> 'auth' = 'header' and not p_options ? 'auth_header' then 'auth header needs auth_header'
    when p_options ? 'cursor' <> p_options ? 'cursor_parameter' then 'cursor and cursor_parameter come together'
    when p_options ?& '{cursor,next}' then 'next and cursor exclude each other'
    when lower(p_options ->> 'auth_header') ~ '^(host|connection|content-length|transfer-encoding)$'
      or lower(p_options ->> 'auth_header') ~ c_told then 'auth_header'
  end);
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'option of the source is not understood',
      detail  = v_wrong,
      hint    = case when v_known = '{}' then format('A source of kind %s has none.', p_kind)
        else format('A source of kind %s knows: %s.', p_kind, (select string_agg(k, ', ' order by k) from jsonb_object_keys(v_known) as k)) end;
  end if;
end;
$function$;

revoke all on function "private"."check_source_options"(public.sync_source_kind, jsonb) from public;

grant execute on function "private"."check_source_options"(public.sync_source_kind, jsonb) to "postgres";

-- schemas/private/functions/check_user_objects.sql

create or replace function private.check_user_objects (
  p_users  jsonb,
  p_org_id uuid
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_most       constant integer := 500;
  c_most_bytes constant bigint := private.setting('imports.max_request_bytes', p_org_id)::bigint;
  c_cell_bytes constant bigint := private.setting('imports.max_cell_bytes', p_org_id)::bigint;
  c_fields     constant text[] := array(select f.name from public.dataset_fields as f where f.dataset = 'users' order by f.position);
  v_wrong text;
begin
  -- None of their values is repeated: they may be passwords.
  if jsonb_typeof(p_users) is distinct from 'array' or p_users = '[]' then
    v_wrong := 'not a list, or an empty one';
  elsif jsonb_array_length(p_users) > c_most then
    raise exception using
      errcode = 'PT413',
      message = 'too many users at once',
      detail  = format('got %s', jsonb_array_length(p_users)),
      hint    = format('At most %s in a call; or send them as a file of the dataset users.', c_most);
  elsif octet_length(p_users::text) > c_most_bytes then
    raise exception using
      errcode = 'PT413',
      message = 'users are too large',
      detail  = format('%s bytes, the limit is %s', octet_length(p_users::text), c_most_bytes),
      hint    = 'Send them in several calls.';
  else
    select case
      when jsonb_typeof(u.value) <> 'object' then format('user %s is no object', u.place)
      else (
        select case
          when k.key <> all (c_fields) then format('user %s: no field %s', u.place, to_json(left(k.key, 100)))
          when octet_length(u.value ->> k.key) > c_cell_bytes then format('user %s: %s is longer than %s bytes', u.place, k.key, c_cell_bytes)
          when k.key <> 'metadata' and jsonb_typeof(u.value -> k.key) in ('object', 'array') then format('user %s: %s is no single value', u.place, k.key)
        end as wrong
        from jsonb_object_keys(u.value) as k (key)
        order by wrong
        limit 1
      )
    end as wrong into v_wrong
    from jsonb_array_elements(p_users) with ordinality as u (value, place)
    order by wrong
    limit 1;
  end if;

  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'users are not understood',
      detail  = v_wrong,
      hint    = format('Give a list of 1 to %s objects with any of: %s.', c_most, array_to_string(c_fields, ', '));
  end if;
end;
$function$;

revoke all on function "private"."check_user_objects"(jsonb, uuid) from public;

grant execute on function "private"."check_user_objects"(jsonb, uuid) to "postgres";

-- schemas/private/functions/check_users.sql

create or replace function private.check_users (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_rows   private.user_row[]
)
  returns table (
    place   integer,
    field   text,
    code    text,
    message text,
    value   text
  )
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_users private.named_user[] := array(select u from private.name_users(p_org_id, p_rows) as u);
begin
  return query
  select u.place, 'email', 'not_found', 'no record has this key', u.address
  from unnest(v_users) as u
  where p_mode = 'delete' and u.person_org_id is distinct from p_org_id
  union all
  select j.*
  from private.judge_users(p_org_id, p_mode, array(
    select u from unnest(v_users) as u where p_mode <> 'delete' or u.person_org_id = p_org_id
  )) as j;
end;
$function$;

revoke all on function "private"."check_users"(uuid, public.import_mode, private.user_row[]) from public;

grant execute on function "private"."check_users"(uuid, public.import_mode, private.user_row[]) to "postgres";

-- schemas/private/functions/check_webhook.sql

create or replace function private.check_webhook (
  p_url    text,
  p_events text[]
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_unknown text := (
    select coalesce(to_json(e.event)::text, 'null')
    from unnest(p_events) as e (event)
    where not exists (select from private.webhook_events as k where k.event = e.event)
    limit 1
  );
begin
  if private.is_outbound_url(p_url) is not true then
    raise exception using
      errcode = '22023',
      message = 'address of the webhook is not valid',
      hint    = 'Give http:// or https:// and a host, without a user or password; at most 2000 characters.';
  end if;
  if coalesce(cardinality(p_events), 0) = 0 or v_unknown is not null then
    raise exception using
      errcode = '22023',
      message = 'events of the webhook are not known',
      detail  = coalesce('no event ' || v_unknown, 'there are none'),
      hint    = format('Choose from: %s.', (select string_agg(k.event, ', ' order by k.event) from private.webhook_events as k));
  end if;
end;
$function$;

revoke all on function "private"."check_webhook"(text, text[]) from public;

grant execute on function "private"."check_webhook"(text, text[]) to "postgres";

-- schemas/private/functions/choose_template.sql

create or replace function private.choose_template (
  p_batch   public.import_batches,
  p_columns text[]
)
  returns public.import_templates
  language sql
  stable
  set search_path to ''
  AS $function$
  select t.*
  from public.import_templates as t
  where t.id = p_batch.template_id
    or (
      p_batch.template_id is null
      and p_batch.mapping is null
      and t.dataset = p_batch.dataset
      and t.header_hash = private.header_hash(p_columns)
      and t.replaced_at is null
      and t.archived_at is null
      and (t.org_id = p_batch.org_id or t.org_id is null)
      and (t.org_id is null or t.created_by = p_batch.initiated_by or not private.has_secrets(t.dataset))
      and not exists (
        select from jsonb_object_keys(t.config -> 'mapping') as k
        where k not in (select f.name from public.dataset_fields as f where f.dataset = t.dataset)
      )
    )
  order by t.org_id nulls last, t.created_at desc
  limit 1;
$function$;

revoke all on function "private"."choose_template"(public.import_batches, text[]) from public;

grant execute on function "private"."choose_template"(public.import_batches, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/chunk_fates.sql

create or replace function private.chunk_fates (
  p_batch    public.import_batches,
  p_from_row integer,
  p_to_row   integer,
  OUT        total integer,
  OUT        failed integer,
  OUT        skipped integer[]
)
  returns record
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if private.has_groups(p_batch.id) then
    select count(*), count(*) filter (where f.failed), coalesce(array_agg(c.row_number order by c.row_number) filter (where f.skipped), '{}')
    into total, failed, skipped
    from private.chunk_rows(p_batch.staged_on, p_batch.id, p_from_row, p_to_row) as c
    left join lateral (
      select bool_or(i.severity = 'error') as failed,
        bool_or(i.code = 'duplicate_in_file') and not bool_or(i.severity = 'error') as skipped
      from private.import_issues as i
      where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.row_number = c.row_number
    ) as f on true;
  else
    select p_to_row - p_from_row, count(*) filter (where f.failed),
      coalesce(array_agg(f.row_number order by f.row_number) filter (where f.skipped), '{}')
    into total, failed, skipped
    from (
      select i.row_number, bool_or(i.severity = 'error') as failed,
        bool_or(i.code = 'duplicate_in_file') and not bool_or(i.severity = 'error') as skipped
      from private.import_issues as i
      where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
        and i.row_number > p_from_row and i.row_number <= p_to_row
      group by i.row_number
    ) as f;
  end if;
end;
$function$;

revoke all on function "private"."chunk_fates"(public.import_batches, integer, integer) from public;

grant execute on function "private"."chunk_fates"(public.import_batches, integer, integer) to "postgres";

-- schemas/private/functions/chunk_rows.sql

create or replace function private.chunk_rows (
  p_staged_on date,
  p_batch_id  uuid,
  p_from_row  integer,
  p_to_row    integer
)
  returns table (
    row_number integer,
    record_row integer
  )
  language sql
  stable
  rows 20000
  set search_path to ''
  set enable_nestloop to 'on'
  set enable_seqscan to 'off'
  AS $function$
  select n, n
  from generate_series(p_from_row + 1, p_to_row) as n
  where not exists (
    select from private.import_group_rows as m
    where m.staged_on = p_staged_on and m.batch_id = p_batch_id and m.row_number = n
  )
  union all
  select m.row_number, m.first_row
  from private.import_group_rows as m
  where m.staged_on = p_staged_on and m.batch_id = p_batch_id and m.first_row > p_from_row and m.first_row <= p_to_row;
$function$;

revoke all on function "private"."chunk_rows"(date, uuid, integer, integer) from public;

grant execute on function "private"."chunk_rows"(date, uuid, integer, integer) to "postgres";

-- schemas/private/functions/chunk_size.sql

create or replace function private.chunk_size (
  p_batch  public.import_batches,
  p_writes boolean               default false
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select least(
    c.most,
    -- what a function judges takes its time: in parts that all workers share
    case when not p_writes and d.check_function is not null then greatest(c.most / 4, 1) end,
    (
      select min(f.chunk_rows)
      from public.dataset_fields as f
      where p_writes and f.dataset = d.key and p_batch.mapping ? f.name
        and (p_batch.mode <> 'delete' or f.name = any (private.record_key(d)))
    ))
  from public.datasets as d
  cross join lateral (select private.setting('imports.chunk_rows', p_batch.org_id)::integer) as c (most)
  where d.key = p_batch.dataset;
$function$;

revoke all on function "private"."chunk_size"(public.import_batches, boolean) from public;

grant execute on function "private"."chunk_size"(public.import_batches, boolean) to "postgres";

-- schemas/private/functions/claim_task.sql

create or replace function private.claim_task()
  returns bigint
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_candidate record;
  v_task      public.sync_job_queue;
  v_lost      jsonb;
  v_is_last   boolean;
begin
  for v_candidate in
    with recursive waiting as ( -- the organizations in the queue, one index probe each
      (
        select q.org_id from public.sync_job_queue as q
        where q.status in ('pending', 'running')
        order by q.org_id limit 1
      )
      union all
      select (
        select q.org_id from public.sync_job_queue as q
        where q.status in ('pending', 'running') and q.org_id > w.org_id
        order by q.org_id limit 1
      )
      from waiting as w
      where w.org_id is not null
    )
    select t.id, t.org_id
    from waiting as w
    left join private.organization_turns as o on o.org_id = w.org_id
    cross join lateral (
      select q.id, q.org_id, q.priority
      from public.sync_job_queue as q
      where q.org_id = w.org_id
        and q.status in ('pending', 'running')
        and q.next_attempt_at <= clock_timestamp()
      order by q.priority, q.id
      limit 64 -- more than there are workers: the first ones may be at work
    ) as t
    order by o.served_until nulls first, t.priority, t.id
  loop
    continue when not pg_try_advisory_lock(private.task_lock_key(v_candidate.id));

    -- The list may be older than the lock: look again.
    select q.* into v_task
    from public.sync_job_queue as q
    where q.id = v_candidate.id
      and q.status in ('pending', 'running')
      and q.next_attempt_at <= clock_timestamp()
    for update skip locked;

    if not found then
      perform pg_advisory_unlock(private.task_lock_key(v_candidate.id));
      continue;
    end if;

    v_lost := case
      when v_task.status = 'running' then jsonb_build_object( -- its lock was free, so its last worker died with it
        'code', '57P01', 'message', 'worker lost',
        'details', format('claimed by %s at %s', v_task.claimed_by, v_task.claimed_at))
      when v_task.token is not null then jsonb_build_object(
        'code', '08006', 'message', 'worker function did not answer',
        'details', format('called at %s', v_task.claimed_at))
    end;
    if v_lost is not null then
      -- The last attempt is not given away: a task that kills its backend comes to an end.
      select v_task.attempts >= p.max_attempts into v_is_last
      from public.scheduled_jobs as j
      join public.sync_retry_policy as p on p.job_type = j.job_type
      where j.id = v_task.job_id;

      if v_is_last then
        perform private.fail_task(v_task, v_lost);
        perform pg_advisory_unlock(private.task_lock_key(v_candidate.id));
        continue;
      end if;

      insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message, detail)
      values (
        v_task.org_id, v_task.job_id, v_task.id, v_task.attempts,
        v_lost ->> 'code', v_lost ->> 'message', v_lost ->> 'details'
      );
    end if;

    update public.sync_job_queue as q
    set status = 'running', attempts = q.attempts + 1, token = null,
        claimed_by = pg_backend_pid(), claimed_at = clock_timestamp()
    where q.id = v_task.id;

    update public.scheduled_jobs as j
    set status = 'running', started_at = coalesce(j.started_at, clock_timestamp())
    where j.id = v_task.job_id and j.status = 'pending';

    perform private.charge_turn(v_task.org_id, interval '1 second'); -- until it is known; see run_task

    return v_task.id;
  end loop;
  return null;
end;
$function$;

revoke all on function "private"."claim_task"() from public;

grant execute on function "private"."claim_task"() to "postgres";

-- schemas/private/functions/classify_expression.sql

create or replace function private.classify_expression (
  p_expression text,
  p_rules      jsonb,
  p_columns    text[]
)
  returns text
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  v_rule      jsonb;
  v_operand   text;
  v_condition text;
  v_branches  text := '';
  v_else      text := 'null';
begin
  for v_rule in select jsonb_array_elements(p_rules) loop
    if v_else <> 'null' or jsonb_typeof(v_rule -> 'then') is distinct from 'string'
      or (v_rule ? 'column' and (v_rule ->> 'column' = any (p_columns)) is not true) then
      return null;
    end if;
    v_operand := case
      when v_rule ? 'column' then private.cell_expression(p_columns, v_rule ->> 'column')
      else p_expression
    end;
    if v_rule - 'then' - 'column' = '{}' then
      v_else := quote_literal(v_rule ->> 'then');
      continue;
    end if;
    if (select count(*) from jsonb_object_keys(v_rule - 'then' - 'column')) <> 1 then
      return null;
    end if;
    if v_rule ? 'matches' and jsonb_typeof(v_rule -> 'matches') = 'string' then
      perform private.require_plain_pattern(v_rule ->> 'matches');
    end if;
    v_condition := case
      when jsonb_typeof(v_rule -> 'equals') = 'string' then format('%s = %L', v_operand, v_rule ->> 'equals')
      when jsonb_typeof(v_rule -> 'in') = 'array' then format('%s = any (%s)', v_operand, private.text_array(v_rule -> 'in'))
      when jsonb_typeof(v_rule -> 'matches') = 'string' then format('left(%s, 1000) ~ %L', v_operand, v_rule ->> 'matches')
      when jsonb_typeof(v_rule -> 'blank') = 'boolean' then format('(%s is null) = %s', v_operand, v_rule ->> 'blank')
      when jsonb_typeof(v_rule -> 'at_least') = 'number' then
        format('case when pg_input_is_valid(%1$s, ''numeric'') then %1$s::numeric >= %2$s end', v_operand, v_rule ->> 'at_least')
      when jsonb_typeof(v_rule -> 'at_most') = 'number' then
        format('case when pg_input_is_valid(%1$s, ''numeric'') then %1$s::numeric <= %2$s end', v_operand, v_rule ->> 'at_most')
    end;
    if v_condition is null then
      return null;
    end if;
    v_branches := v_branches || format(' when (%s) then %L', v_condition, v_rule ->> 'then');
  end loop;
  return case when v_branches = '' then null else format('case%s else %s end', v_branches, v_else) end;
end;
$function$;

revoke all on function "private"."classify_expression"(text, jsonb, text[]) from public;

grant execute on function "private"."classify_expression"(text, jsonb, text[]) to "postgres";

-- schemas/private/functions/compare_states.sql

create or replace function private.compare_states (
  p_keys        text[],
  p_row_numbers integer[],
  p_before      private.record_state[],
  p_after       private.record_state[]
)
  returns private.applied_piece
  language sql
  immutable
  set search_path to ''
  set enable_hashjoin to 'on'
  set enable_nestloop to 'off'
  AS $function$
  select array_agg(r.row_number), array_agg(c.action), array_agg(c.id),
    array_agg(case r.place when 1 then c.hash end), array_agg(case r.place when 1 then c.image end), 0::bigint, null::text[]
  from (
    select n.key, n.row_number, row_number() over (partition by n.key order by n.row_number) as place
    from unnest(p_keys, p_row_numbers) as n (key, row_number)
  ) as r
  join (
    select coalesce(b.key, a.key) as key, coalesce(a.id, b.id) as id, a.hash, b.image,
      case when b.id is null then 'inserted' when a.id is null then 'deleted' else 'updated' end::private.row_action as action
    from unnest(p_before) as b
    full join unnest(p_after) as a on a.key = b.key
    where a.hash is distinct from b.hash
  ) as c on c.key = r.key;
$function$;

revoke all on function "private"."compare_states"(text[], integer[], private.record_state[], private.record_state[]) from public;

grant execute on function "private"."compare_states"(text[], integer[], private.record_state[], private.record_state[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/compare_written.sql

create or replace function private.compare_written (
  p_batch      public.import_batches,
  p_chunk      integer,
  p_from_entry integer,
  p_to_entry   integer,
  p_now        private.record_state[],
  p_referenced uuid[]
)
  returns SETOF private.judged_record
  language sql
  stable
  rows 20000
  set search_path to ''
  set enable_hashjoin to 'on'
  set enable_nestloop to 'off'
  AS $function$
  select w.row_number, w.action, w.record_id, w.image,
    case
      when w.action = 'deleted' then case when n.id is not null then 'changed' end
      when n.id is null then 'missing'
      when n.hash is distinct from w.row_hash then 'changed'
      when w.action = 'inserted' and r.id is not null then 'referenced'
    end
  from private.written_records(p_batch.staged_on, p_batch.id, p_chunk) as w
  left join unnest(p_now) as n on n.id = w.record_id
  left join (select distinct u.id from unnest(p_referenced) as u (id)) as r on r.id = w.record_id
  where w.entry > p_from_entry and w.entry <= p_to_entry;
$function$;

revoke all on function "private"."compare_written"(public.import_batches, integer, integer, integer, private.record_state[], uuid[]) from public;

grant execute on function "private"."compare_written"(public.import_batches, integer, integer, integer, private.record_state[], uuid[]) to "postgres";

-- schemas/private/functions/compile_apply_by_function.sql

create or replace function private.compile_apply_by_function (
  p_dataset public.datasets,
  p_mode    public.import_mode,
  p_blank   text,
  p_fields  private.planned_field[]
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_key    private.planned_field := (select f from unnest(p_fields) as f where f.name = any (private.record_key(p_dataset)));
  v_type   regclass := private.apply_row_type(p_dataset.apply_function);
  v_clear  text[] := array(
    select f.column_name from unnest(p_fields) as f where p_blank = 'clear' and not f.not_null order by f.number
  );
begin
  return format('select p.* from private.apply_by_function($1, $2, $3, $4, %L, %L, %L, %L) as p',
    p_mode,
    format('select array_agg((%s)::%s::text order by r.row_number), array_agg(r.row_number order by r.row_number)'
      ' from private.staged_rows($1, $2, $3) as r', v_key.value, v_key.type),
    format('select t.%1$I::text, t.%2$I, %3$s, %4$s from %5$s as t where %6$s and t.%1$I = any ($2::%7$s[]) order by t.%1$I',
      v_key.column_name, p_dataset.id_column, private.record_hash(p_dataset), private.record_image(p_dataset),
      p_dataset.target, private.of_organization('t', p_dataset.org_column, '(select $1::uuid)'), v_key.type),
    format('%sselect %s($4, $5, %L, array_agg(%s order by r.row_number)) from private.staged_rows($1, $2, $3) as r'
      ' where ((%s)::%s::text = any ($6)) = $7 having count(*) > 0',
      private.with_references(p_fields, 'private.staged_rows'),
      p_dataset.apply_function, v_clear, private.row_expression(v_type, p_fields, true), v_key.value, v_key.type));
end;
$function$;

revoke all on function "private"."compile_apply_by_function"(public.datasets, public.import_mode, text, private.planned_field[]) from public;

grant execute on function "private"."compile_apply_by_function"(public.datasets, public.import_mode, text, private.planned_field[]) to "postgres";

-- schemas/private/functions/compile_auth_insert.sql

create or replace function private.compile_auth_insert (
  p_table      regclass,
  p_table_name text
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_columns     text;
  v_expressions text;
  v_unknown     text;
begin
  select
    string_agg(format('%I', a.attname), ', ' order by a.attnum) filter (where c.column_name is not null and a.attgenerated = ''),
    string_agg(c.expression, ', ' order by a.attnum) filter (where a.attgenerated = ''),
    string_agg(format('%I', a.attname), ', ' order by a.attnum)
      filter (where c.column_name is null and a.attnotnull and not a.atthasdef and a.attidentity = '')
  into v_columns, v_expressions, v_unknown
  from pg_attribute as a
  left join private.auth_columns() as c on c.table_name = p_table_name and c.column_name = a.attname
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped;

  if v_unknown is not null then
    raise exception using
      errcode = 'IM006',
      message = 'auth schema requires columns that are not known',
      detail  = format('%s: %s', p_table, v_unknown),
      hint    = 'The auth service is newer than this version of Sluice; sql/verify/auth_schema.sql tells what differs.';
  end if;
  return format('insert into %s (%s) select %s from unnest($1::private.new_user[]) as s order by s.email', p_table, v_columns, v_expressions);
end;
$function$;

revoke all on function "private"."compile_auth_insert"(regclass, text) from public;

grant execute on function "private"."compile_auth_insert"(regclass, text) to "postgres";

-- schemas/private/functions/compile_check.sql

create or replace function private.compile_check (
  p_dataset public.datasets,
  p_mode    public.import_mode,
  p_fields  private.planned_field[]
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select format($q$
with %ss as materialized (
  select array_agg(r.row_number order by r.row_number) as numbers, array_agg(%s order by r.row_number) as rows
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4
    and r.row_number not in (
      select i.row_number from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4 and i.severity = 'error'
    )
)
insert into private.import_issues (staged_on, batch_id, row_number, field, code, message, value, origin)
select $1, $2, s.numbers[i.place], i.field, i.code, i.message, case when (i.field = any (%L)) is not true then left(i.value, 200) end, 'validate'
from s
cross join lateral %s($5, %L, s.rows) as i
where s.numbers is not null $q$,
    private.compile_references(p_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4) as r',
      '(select $5::uuid)'),
    private.row_expression(private.apply_row_type(p_dataset.apply_function), p_fields, false),
    array(select f.name from unnest(p_fields) as f where f.is_secret), p_dataset.check_function, p_mode);
$function$;

revoke all on function "private"."compile_check"(public.datasets, public.import_mode, private.planned_field[]) from public;

grant execute on function "private"."compile_check"(public.datasets, public.import_mode, private.planned_field[]) to "postgres";

-- schemas/private/functions/compile_duplicates.sql

create or replace function private.compile_duplicates (
  p_fields private.planned_field[],
  p_policy text
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select format($q$
insert into private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value, origin)
select $1, $2, n.row_number, %L, %L, 'duplicate_in_file', 'same as row ' || d.kept, left(concat_ws(' ', %s), 200), 'validate'
from (
  select %s, array_agg(k._row) as row_numbers, %s(k._row) as kept
  from (
    select t._row, %s
    from (
      select r.row_number as _row, %s
      from private.import_rows as r
      where r.staged_on = $1 and r.batch_id = $2
      offset 0
    ) as t
    offset 0
  ) as k
  where %s
    and ($4 = 1 or (hash_record_extended(row(%s), 0) & 2147483647) %% $4 = $3)
    and not exists (
      select from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number = k._row
        and (i.severity = 'error' or i.code = 'duplicate_in_file')
    )
  group by %s
  having count(*) > 1
) as d
cross join lateral unnest(d.row_numbers) as n (row_number)
where n.row_number <> d.kept $q$,
    string_agg(f.name, ', ' order by f.number),
    case p_policy when 'error' then 'error' else 'warning' end,
    string_agg(format('d._k%s', f.number), ', ' order by f.number),
    string_agg(format('k._k%s', f.number), ', ' order by f.number),
    case p_policy when 'keep_last' then 'max' else 'min' end,
    string_agg(
      case f.class when 'text' then format('t._%1$s as _k%1$s', f.number)
        else format('case when pg_input_is_valid(t._%1$s, %2$L) then t._%1$s::%3$s end as _k%1$s', f.number, f.type, f.type)
      end, ', ' order by f.number),
    string_agg(format('%s as _%s', f.value, f.number), ', ' order by f.number),
    string_agg(format('k._k%s is not null', f.number), ' and ' order by f.number),
    string_agg(private.hashable(format('k._k%s', f.number), f.type_oid), ', ' order by f.number),
    string_agg(format('k._k%s', f.number), ', ' order by f.number)
  )
  from unnest(p_fields) as f;
$function$;

revoke all on function "private"."compile_duplicates"(private.planned_field[], text) from public;

grant execute on function "private"."compile_duplicates"(private.planned_field[], text) to "postgres";

-- schemas/private/functions/compile_groups.sql

create or replace function private.compile_groups (
  p_fields      private.planned_field[],
  p_group_field text
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_key       private.planned_field := (select f from unnest(p_fields) as f where f.name = p_group_field);
  v_same      private.planned_field[] := array(
    select f from unnest(p_fields) as f where (f.rules -> 'same_in_group')::boolean order by f.number
  );
  v_values    text;
  v_firsts    text;
  v_conflicts text;
begin
  select
    coalesce(string_agg(format(', %s as _%s', f.value, f.number), '' order by f.number), ''),
    coalesce(string_agg(format(', (array_agg(k._%1$s order by k._row) filter (where k._%1$s is not null and not k._skipped))[1] as _%1$s', f.number), '' order by f.number), ''),
    coalesce(string_agg(
      format(' union all select %1$L, ''group_failed'', %2$L || left(g._%3$s, 100), k._%3$s where k._%3$s <> g._%3$s',
        f.name, format('the rows of this %s disagree; the first says ', p_group_field), f.number)
      || case when f.is_required then format(
        ' union all select %1$L, ''required'', ''a value is required'', null where g._%2$s is null and k._row = g._lead', f.name, f.number)
        else '' end, '' order by f.number), '')
  into v_values, v_firsts, v_conflicts
  from unnest(v_same) as f;

  return format($q$
with texts as (
  select r.row_number as _row, %s as _text%s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2
  offset 0
),
k as materialized (
  select t.*, %s as _key, exists (
      select from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number = t._row and i.code = 'duplicate_in_file' and i.severity = 'warning'
    ) as _skipped
  from texts as t
  where $4 = 1 or (hash_record_extended(row(t._text), 0) & 2147483647) %% $4 = $3
),
g as materialized (
  select k._key, min(k._row) as _first, min(k._row) filter (where not k._skipped) as _lead, array_agg(k._row order by k._row) as _rows%s
  from k
  where k._key is not null
  group by k._key
),
members as (
  insert into private.import_group_rows (staged_on, batch_id, first_row, row_number)
  select $1, $2, g._first, n
  from g
  cross join lateral unnest(g._rows[2:]) as n
),
faulty as materialized (
  select distinct i.row_number
  from private.import_issues as i
  where i.staged_on = $1 and i.batch_id = $2 and i.severity = 'error'
),
conflicts as materialized (
  select k._row, k._key, c.*
  from k
  join g on g._key = k._key
  cross join lateral (select null::text, null::text, null::text, null::text where false%s) as c (_field, _code, _message, _value)
  where not k._skipped and not exists (select from faulty as f where f.row_number = k._row)
),
failing as (
  select n._row, g._key, min(f._row) as _cause
  from g
  cross join lateral unnest(g._rows) as n (_row)
  join (
    select g._key, f.row_number as _row
    from g cross join lateral unnest(g._rows) as m (_row) join faulty as f on f.row_number = m._row
    union all
    select c._key, c._row from conflicts as c
  ) as f on f._key = g._key
  group by n._row, g._key
),
issued as (
  insert into private.import_issues (staged_on, batch_id, row_number, field, code, message, value, origin)
  select $1, $2, c._row, c._field, c._code, c._message, left(c._value, 200), 'validate'::private.issue_origin
  from conflicts as c
  union all
  select $1, $2, f._row, %L, 'group_failed', %L || f._cause, left(f._key::text, 200), 'validate'
  from failing as f
  where not exists (select from faulty as o where o.row_number = f._row)
    and not exists (select from conflicts as c where c._row = f._row)
  returning row_number
)
select count(distinct i.row_number)::integer from issued as i $q$,
    v_key.value, v_values,
    case v_key.class when 'text' then 't._text' else format('case when pg_input_is_valid(t._text, %L) then t._text::%s end', v_key.type, v_key.type) end,
    v_firsts, v_conflicts, p_group_field, format('fails with its %s: row ', p_group_field));
end;
$function$;

revoke all on function "private"."compile_groups"(private.planned_field[], text) from public;

grant execute on function "private"."compile_groups"(private.planned_field[], text) to "postgres";

-- schemas/private/functions/compile_images.sql

create or replace function private.compile_images (
  p_dataset public.datasets
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select format('select null::integer[], null::private.row_action[], array_agg(t.%1$I), null::bigint[], array_agg(%2$s), 0::bigint, null::text[]'
    ' from %3$s as t where (%4$s) is true and t.%1$I = any ($5)',
    p_dataset.id_column, private.record_image(p_dataset), p_dataset.target, private.of_organization('t', p_dataset.org_column, '$4'));
$function$;

revoke all on function "private"."compile_images"(public.datasets) from public;

grant execute on function "private"."compile_images"(public.datasets) to "postgres";

-- schemas/private/functions/compile_merge.sql

create or replace function private.compile_merge (
  p_dataset public.datasets,
  p_mode    public.import_mode,
  p_blank   text,
  p_fields  private.planned_field[],
  p_by_id   boolean
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_target  text := p_dataset.target::regclass::text;
  v_others  private.planned_field[] := array(select f from unnest(p_fields) as f where not f.is_key order by f.number);
  v_source  text;
  v_order   text;
  v_match   text;
  v_actions text := '';
  v_image   text := 'null::jsonb';
  v_hash    text;
begin
  select
    string_agg(format('%s as %I', private.typed_value(f, p_mode in ('insert', 'upsert') or not f.is_key), f.column_name),
      ', ' order by f.number),
    string_agg(format('%I', f.column_name), ', ' order by f.number) filter (where f.is_key),
    case when p_by_id then format('t.%I = s._id', p_dataset.id_column)
      else format('t.%I = (select $4::uuid) and ', p_dataset.org_column)
        || string_agg(format('t.%1$I = s.%1$I', f.column_name), ' and ' order by f.number) filter (where f.is_key)
    end
  into v_source, v_order, v_match
  from unnest(p_fields) as f;

  v_hash := private.record_hash(p_dataset);

  if p_mode in ('update', 'upsert') and cardinality(v_others) > 0 then
    select format('
    when matched and t.%I = $4 and row(%s) is distinct from row(%s) then update set %s',
      p_dataset.org_column,
      string_agg(private.hashable(format('t.%I', f.column_name), f.type_oid), ', ' order by f.number),
      string_agg(private.hashable(n.value, f.type_oid), ', ' order by f.number),
      string_agg(format('%I = %s', f.column_name, n.value), ', ' order by f.number))
    into v_actions
    from unnest(v_others) as f
    cross join lateral (select private.updated_value(f, p_blank, format('s.%I', f.column_name)) as value) as n;
    -- Only an update has a row that was replaced. xmax = xmin: it is the one that this statement
    -- replaced, and not older than an edit that slipped in while the merge waited for the lock.
    v_image := format('case merge_action() when ''UPDATE'' then (select to_jsonb(b) from %s as b where b.%I = t.%I and b.xmax = t.xmin) end',
      v_target, p_dataset.id_column, p_dataset.id_column);
  elsif p_mode = 'update' then
    v_actions := '
    when matched then do nothing';
  end if;

  if p_mode in ('insert', 'upsert') then
    select v_actions || format('
    when not matched then insert (%I, %s) values ($4, %s)',
      p_dataset.org_column,
      string_agg(format('%I', f.column_name), ', ' order by f.number),
      string_agg(
        case when f.default_sql is not null and (f.not_null or p_blank = 'ignore')
          then format('coalesce(s.%I, %s)', f.column_name, f.default_sql) else format('s.%I', f.column_name) end, ', ' order by f.number))
    into v_actions
    from unnest(p_fields) as f;
  elsif p_mode = 'delete' then
    v_actions := format('
    when matched and t.%I = $4 then delete', p_dataset.org_column);
    v_image := 'to_jsonb(t)';
    v_hash := 'null::bigint';
  end if;

  return format($q$
with %sapplied as (
  merge into %s as t
  using (
    select r.row_number as _row, r.record_id as _id, %s
    from private.staged_rows($1, $2, $3) as r
    order by %s
    offset 0
  ) as s
  on %s%s
  returning merge_action() as action, s._row, t.%I as record_id, %s as row_hash, %s as image
)
select
  array_agg(a._row) as row_numbers,
  array_agg(case a.action when 'INSERT' then 'inserted' when 'UPDATE' then 'updated' else 'deleted' end::private.row_action) as actions,
  array_agg(a.record_id) as record_ids,
  array_agg(a.row_hash) as row_hashes,
  array_agg(a.image) as images,
  count(*) filter (where a.action = 'UPDATE' and a.image is null) as overtaken_count,
  null::text[] as verdicts
from applied as a $q$,
    private.compile_references(p_fields, 'private.staged_rows($1, $2, $3) as r', '(select $4::uuid)'), v_target, v_source, v_order, v_match, v_actions, p_dataset.id_column, v_hash, v_image);
end;
$function$;

revoke all on function "private"."compile_merge"(public.datasets, public.import_mode, text, private.planned_field[], boolean) from public;

grant execute on function "private"."compile_merge"(public.datasets, public.import_mode, text, private.planned_field[], boolean) to "postgres";

-- schemas/private/functions/compile_plan.sql

create or replace function private.compile_plan (
  p_batch public.import_batches
)
  returns private.import_plans
  language plpgsql
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_dataset public.datasets;
  v_target  regclass;
  v_fields  private.planned_field[];
  v_keys    private.planned_field[];
  v_typed   text;
  v_match   text;
  v_by_id   boolean;
  v_plan    private.import_plans;
begin
  perform private.require_mapped_fields(p_batch.dataset, p_batch.mode, p_batch.mapping);

  select d.* into v_dataset from public.datasets as d where d.key = p_batch.dataset;
  v_target := v_dataset.target::regclass;
  v_fields := private.planned_fields(p_batch);
  v_keys := array(select f from unnest(v_fields) as f where f.name = any (private.record_key(v_dataset)) order by f.number);

  v_plan.batch_id := p_batch.id;
  v_plan.org_id := p_batch.org_id;
  v_plan.mode := p_batch.mode;
  v_plan.target := v_target::text;
  v_plan.compiled_at := clock_timestamp();
  v_plan.hash_sql := private.record_hash(v_dataset);

  -- The index that makes the key unique, and whether its operators may look behind row level security.
  select c.relname, v_dataset.apply_function is null and not bool_and(p.proleakproof)
  into v_plan.key_index, v_by_id
  from pg_index as x
  join pg_class as c on c.oid = x.indexrelid
  cross join lateral unnest(x.indclass[0:x.indnkeyatts - 1]) as k (opclass)
  join pg_opclass as o on o.oid = k.opclass
  join pg_amop as m on m.amopfamily = o.opcfamily and m.amopstrategy = 3
    and m.amoplefttype = o.opcintype and m.amoprighttype = o.opcintype
  join pg_operator as e on e.oid = m.amopopr
  join pg_proc as p on p.oid = e.oprcode
  where x.indexrelid = private.unique_index(v_target, array(select f.column_name::name from unnest(v_keys) as f) || v_dataset.org_column::name)
  group by c.relname;
  if not found and not private.is_view(v_target) then
    raise exception using
      errcode = 'IM005',
      message = 'dataset has no unique index on its key any more',
      detail  = v_plan.target,
      hint    = 'Tell the database administrator.';
  end if;

  v_plan.insert_columns := case when v_plan.key_index is not null and p_batch.mode in ('insert', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target order by f.number
  ) || v_dataset.org_column else '{}' end;
  v_plan.update_columns := case when v_plan.key_index is not null and p_batch.mode in ('update', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target and f.name <> all (private.record_key(v_dataset)) order by f.number
  ) else '{}' end;

  v_plan.validate_sql := private.compile_validation(v_fields, true);
  v_plan.validate_bare_sql := private.compile_validation(v_fields, false);
  if v_plan.validate_bare_sql = v_plan.validate_sql then
    v_plan.validate_bare_sql := null;
  end if;
  if v_dataset.check_function is not null then
    v_plan.check_sql := private.compile_check(v_dataset, p_batch.mode, v_fields);
  end if;

  v_plan.duplicates_sql := array(
    select private.compile_duplicates(array_agg(f order by f.number), p_batch.options ->> 'duplicates')
    from unnest(v_fields) as f
    where f.is_key
    having p_batch.mode <> 'delete' or v_dataset.group_field is null -- then the lines are not told apart
  ) || array(
    select private.compile_duplicates(array[f], 'error')
    from unnest(v_fields) as f
    where (f.rules -> 'unique_in_file')::boolean and not (f.is_key and cardinality(v_dataset.key_fields) = 1)
    order by f.number
  );
  v_plan.group_sql := case when v_dataset.group_field is not null then private.compile_groups(v_fields, v_dataset.group_field) end;

  select
    string_agg(format('%s as %I', private.typed_value(f, false), f.column_name), ', ' order by f.number),
    private.of_organization('t', v_dataset.org_column, '(select $4::uuid)') || string_agg(format(' and t.%1$I = k.%1$I', f.column_name), '' order by f.number),
    format('select r.row_number, concat_ws('' '', %s) from private.import_rows as r '
      'where r.staged_on = $1 and r.batch_id = $2 and r.row_number = any ($3)', string_agg(f.value, ', ' order by f.number))
  into v_typed, v_match, v_plan.keys_sql
  from unnest(v_keys) as f;

  v_plan.lookup_sql := case when v_by_id then format($q$
%sselect r.row_number, r.cells, t.%I
from private.valid_rows($1, $2, $3) as r
cross join lateral (select %s offset 0) as k
left join %s as t on %s $q$, private.with_references(v_keys, 'private.valid_rows'), v_dataset.id_column, v_typed, v_target, v_match) end;

  v_plan.merge_sql := case
    when v_dataset.apply_function is not null then
      private.compile_apply_by_function(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields)
    else private.compile_merge(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id)
  end;

  v_plan.missing_sql := case when p_batch.mode = 'update' then format($q$
%sselect coalesce(array_agg(k._row), '{}')
from (select r.row_number as _row, r.record_id as _id, %s from private.staged_rows($1, $2, $3) as r offset 0) as k
where not exists (select from %s as t where %s) $q$,
    private.with_references(v_keys, 'private.staged_rows'), v_typed, v_target, case when v_by_id then format('t.%I = k._id', v_dataset.id_column) else v_match end) end;

  v_plan.exists_sql := format('select exists (select from %s as t where %s)', v_target,
    private.of_organization('t', v_dataset.org_column, '(select $1::uuid)'));
  v_plan.preview_sql := private.compile_preview(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id);
  v_plan.image_sql := private.compile_images(v_dataset);

  delete from private.import_plans as p where p.batch_id = p_batch.id;
  insert into private.import_plans select v_plan.*;
  return v_plan;
end;
$function$;

revoke all on function "private"."compile_plan"(public.import_batches) from public;

grant execute on function "private"."compile_plan"(public.import_batches) to "postgres";

-- schemas/private/functions/compile_presence.sql

create or replace function private.compile_presence (
  p_batch public.import_batches,
  p_valid boolean
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
  v_fields  private.planned_field[] := array(
    select f from unnest(private.planned_fields(p_batch)) as f where f.name = any (private.record_key(v_dataset)) order by f.number
  );
  v_keys    text;
  v_match   text;
begin
  select
    string_agg(format('%s as _%s', k.value, f.number), ', ' order by f.number),
    string_agg(format('t.%I = %s', f.column_name, case
      when f.reference is null then 'k._' || f.number
      else private.reference_lookup(f, 'k._' || f.number) end), ' and ' order by f.number)
  into v_keys, v_match
  from unnest(v_fields) as f
  cross join lateral (select private.readable_key(f) as value) as k;

  return format($q$
with %sk as materialized (
  select distinct %s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2%s
)
select t.%I as id from k join %s as t on %s and %s $q$,
    private.compile_references(v_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2) as r', '(select $3::uuid)'),
    v_keys,
    case when p_valid then ' and not exists (select from private.import_issues as e where e.staged_on = $1 and e.batch_id = $2'
      ' and e.row_number = r.row_number and e.severity = ''error'')' else '' end,
    v_dataset.id_column, v_dataset.target, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'), v_match);
end;
$function$;

revoke all on function "private"."compile_presence"(public.import_batches, boolean) from public;

grant execute on function "private"."compile_presence"(public.import_batches, boolean) to "postgres";

-- schemas/private/functions/compile_preview.sql

create or replace function private.compile_preview (
  p_dataset public.datasets,
  p_mode    public.import_mode,
  p_blank   text,
  p_fields  private.planned_field[],
  p_by_id   boolean
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_by_function boolean := p_dataset.apply_function is not null;
  v_fields   private.planned_field[] := array(
    select f from unnest(p_fields) as f where not v_by_function or f.name = any (private.record_key(p_dataset)) order by f.number
  );
  v_record   text := format('t.%I', p_dataset.id_column);
  v_rows     text := 'unnest($2, $3) as p (after, upto) cross join lateral private.staged_rows($1, p.after, p.upto) as r';
  v_refs     text := private.compile_references(v_fields, 's as r', '(select $4::uuid)');
  v_keys     text;
  v_listed   text;
  v_match    text;
  v_changed  text;
  v_before   text;
  v_after    text;
begin
  select
    string_agg(format(', %s as _k%s', private.typed_value(f, false), f.number), '' order by f.number),
    string_agg(format('t.%I = any (array(select r._k%s from r))', f.column_name, f.number), ' and ' order by f.number),
    string_agg(format('t.%I = r._k%s', f.column_name, f.number), ' and ' order by f.number)
  into v_keys, v_listed, v_match
  from unnest(v_fields) as f
  where f.name = any (private.record_key(p_dataset));

  if p_by_id then
    v_keys := ', r.record_id';
    v_listed := format('%s = any (array(select r.record_id from r))', v_record);
    v_match := format('%s = r.record_id', v_record);
  end if;

  select
    'row(' || string_agg(private.hashable(format('t.%I', f.column_name), f.type_oid), ', ' order by f.number) filter (where not f.is_key)
      || ') is distinct from row('
      || string_agg(private.hashable(n.value, f.type_oid), ', ' order by f.number) filter (where not f.is_key) || ')',
    string_agg(format('t.%I', f.column_name), ', ' order by f.number),
    string_agg(format('%s as %I', n.value, f.column_name), ', ' order by f.number)
  into v_changed, v_before, v_after
  from unnest(v_fields) as f
  cross join lateral (select private.updated_value(f, p_blank, private.typed_value(f, false)) as value) as n;

  return format($q$
with %sr as materialized (
  select r.row_number, r.cells%s
  from %s
)
select r.row_number, %s is not null as is_there, %s as acts,
  %s as before,
  %s as after
from r
left join (
  select t.* from %s as t where %s and %s
) as t on %s $q$,
    case when v_refs <> '' then format('s as materialized (select r.* from %s), ', v_rows) || v_refs else '' end,
    v_keys, case when v_refs <> '' then 's as r' else v_rows end, v_record,
    format(
      case p_mode when 'insert' then '%1$s is null' when 'delete' then '%1$s is not null'
        when 'update' then '%1$s is not null and (%2$s)' else '%1$s is null or %2$s' end,
      v_record, case when v_by_function then 'true' else coalesce(v_changed, 'false') end),
    case
      when v_by_function then 'null::jsonb'
      when p_mode = 'delete' then 'to_jsonb(t)'
      else format('case when %s is not null then (select to_jsonb(b) from (select %s) as b) end', v_record, v_before)
    end,
    case
      when v_by_function or p_mode = 'delete' then 'null::jsonb'
      -- of a new record: the others take the columns' defaults
      else format('(select case when %s is null then jsonb_strip_nulls(to_jsonb(a)) else to_jsonb(a) end from (select %s) as a)', v_record, v_after)
    end,
    p_dataset.target, private.of_organization('t', p_dataset.org_column, '(select $4::uuid)'), v_listed, v_match);
end;
$function$;

revoke all on function "private"."compile_preview"(public.datasets, public.import_mode, text, private.planned_field[], boolean) from public;

grant execute on function "private"."compile_preview"(public.datasets, public.import_mode, text, private.planned_field[], boolean) to "postgres";

-- schemas/private/functions/compile_references.sql

create or replace function private.compile_references (
  p_fields       private.planned_field[],
  p_rows         text,
  p_organization text
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select coalesce('refs as materialized (select ' || string_agg(format(
    '(select jsonb_object_agg(x.%1$I::text, x.%2$I) from %3$s as x where %4$s and x.%1$I = any (array(select distinct %5$s from %6$s))) as _%7$s',
    f.reference ->> 'column', f.reference ->> 'id_column', f.reference ->> 'target',
    private.of_organization('x', f.reference ->> 'org_column', p_organization),
    case f.class when 'text' then f.value else format('case when pg_input_is_valid(%1$s, %2$L) then (%1$s)::%3$s end', f.value, f.type, f.type) end,
    p_rows, f.number), ', ' order by f.number) || '), ', '')
  from unnest(p_fields) as f
  where f.reference is not null;
$function$;

revoke all on function "private"."compile_references"(private.planned_field[], text, text) from public;

grant execute on function "private"."compile_references"(private.planned_field[], text, text) to "postgres";

-- schemas/private/functions/compile_undo.sql

create or replace function private.compile_undo (
  p_batch  public.import_batches,
  p_run_as public.job_run_as
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  update private.import_plans as p
  set undo_sql = private.undo_statement(d, p, case p_run_as when 'user' then 'authenticated' else 'service_role' end)
  from public.datasets as d
  where p.batch_id = p_batch.id and d.key = p_batch.dataset;
$function$;

revoke all on function "private"."compile_undo"(public.import_batches, public.job_run_as) from public;

grant execute on function "private"."compile_undo"(public.import_batches, public.job_run_as) to "postgres";

-- schemas/private/functions/compile_undo_lines.sql

create or replace function private.compile_undo_lines (
  p_dataset public.datasets,
  p_role    name
)
  returns text[]
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_lines  regclass := p_dataset.lines::regclass;
  v_parent name := private.lines_column(v_lines, p_dataset.target::regclass);
  v_source text := format('select i.* from unnest($2) as s (image)'
    ' cross join lateral jsonb_populate_recordset(null::%s, s.image -> ''lines'') as i where i.%I = any ($1)', v_lines, v_parent);
  v_key    text;
  v_keys   text[];
  v_set    text;
  v_names  text;
  v_values text;
begin
  select string_agg(format('l.%1$I = s.%1$I', a.attname), ' and '),
    array[string_agg(format('l.%I', a.attname), ', '), string_agg(format('s.%I', a.attname), ', ')]
  into v_key, v_keys
  from pg_index as i
  join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
  where i.indrelid = v_lines and i.indisprimary;

  select
    string_agg(format('%1$I = s.%1$I', a.attname), ', ' order by a.attnum)
      filter (where has_column_privilege(p_role, v_lines, a.attnum, 'update') and a.attname <> v_parent),
    string_agg(format('%I', a.attname), ', ' order by a.attnum) filter (where has_column_privilege(p_role, v_lines, a.attnum, 'insert')),
    string_agg(format('s.%I', a.attname), ', ' order by a.attnum) filter (where has_column_privilege(p_role, v_lines, a.attnum, 'insert'))
  into v_set, v_names, v_values
  from pg_attribute as a
  where a.attrelid = v_lines and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = '';

  if v_key is null or v_set is null or v_names is null or not has_table_privilege(p_role, v_lines, 'delete') then
    return null;
  end if;
  return array[
    format('delete from %s as l where l.%I = any ($1) and (%s) not in (select %s from (%s) as s)',
      v_lines, v_parent, v_keys[1], v_keys[2], v_source),
    -- A line with the id of one that was another record's since is refused by the table, not taken from there.
    format('merge into %s as l using (%s) as s on %s and l.%I = s.%I when matched then update set %s when not matched then insert (%s) values (%s)',
      v_lines, v_source, v_key, v_parent, v_parent, v_set, v_names, v_values)
  ];
end;
$function$;

revoke all on function "private"."compile_undo_lines"(public.datasets, name) from public;

grant execute on function "private"."compile_undo_lines"(public.datasets, name) to "postgres";

-- schemas/private/functions/compile_validation.sql

create or replace function private.compile_validation (
  p_fields private.planned_field[],
  p_checks boolean
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_branch    constant text := ' union all select %L, %L, %L, %s, null, null where %s';
  f           private.planned_field;
  v_check     record;
  v_rule      record;
  v_texts     text := '';
  v_valid     text := '';
  v_typed     text := '';
  v_bad       text := 'false';
  v_bad_typed text := 'false';
  v_branches  text := '';
  v_value     text;
  v_shown     text;
  v_missing   text;
begin
  foreach f in array p_fields loop
    v_value := 't._' || f.number;
    v_shown := v_value;
    v_texts := v_texts || format(', %s as _%s', f.value, f.number);
    if f.value <> f.source then
      v_shown := v_value || '_sent';
      v_texts := v_texts || format(', %s as _%s_sent', f.source, f.number);
    end if;
    if f.is_secret then
      v_shown := 'null';
    end if;

    if f.class = 'text' then
      v_typed := v_typed || format(', %s as %I', v_value, f.name);
    else
      v_valid := v_valid || format(', (%1$s is null or (%2$s pg_input_is_valid(%1$s, %3$L))) as _%4$s_valid', v_value,
        case when private.type_shape(f.class) is not null then format('%s ~ %L and', v_value, private.type_shape(f.class)) else '' end,
        f.type, f.number);
      v_typed := v_typed || format(', case when %1$s_valid then %1$s::%2$s end as %3$I', v_value, f.type, f.name);
      v_bad := v_bad || format(' or not %s_valid', v_value);
      v_branches := v_branches || format(
        ' union all select %L, case e.sql_error_code when ''22003'' then ''out_of_range'' else ''invalid_type'' end,'
        ' case e.sql_error_code when ''22003'' then %L else %L end, %s, e.sql_error_code, null'
        ' from pg_input_error_info(%s, %L) as e where not %s_valid%s',
        f.name, 'out of the range of ' || f.type, private.type_hint(f.type), v_shown, v_value, f.type, v_value,
        -- what is not in the list, as of an enum, is told once
        case when f.rules ? 'one_of' then format(' and %s = any (%s)', v_value, private.text_array(f.rules -> 'one_of')) else '' end);
    end if;

    for v_rule in
      select * from (values
        -- of the record: once in its rows, see private.compile_groups()
        (f.is_required and not coalesce((f.rules -> 'same_in_group')::boolean, false), 'required', 'a value is required',
          format('%s is null', v_value)),
        (f.rules ? 'format', 'invalid_format', private.format_hint(f.rules ->> 'format'),
          private.format_violation(v_value, f.rules ->> 'format')),
        (f.rules ? 'pattern', 'invalid_format', 'not in the expected form',
          format('%s !~ %L', v_value, f.rules ->> 'pattern')),
        (f.rules ? 'one_of', 'not_in_list',
          format('not one of: %s', left(array_to_string(array(select jsonb_array_elements_text(f.rules -> 'one_of')), ', '), 200)),
          format('%s <> all (%s)', v_value, private.text_array(coalesce(f.rules -> 'one_of', '[]')))),
        (f.rules ? 'min_length', 'invalid_format', format('shorter than %s characters', f.rules ->> 'min_length'),
          format('char_length(%s) < %s', v_value, f.rules ->> 'min_length')),
        (f.rules ? 'max_length', 'too_long', format('longer than %s characters', f.rules ->> 'max_length'),
          format('char_length(%s) > %s', v_value, f.rules ->> 'max_length'))
      ) as r (applies, code, message, condition)
      where r.applies
    loop
      v_bad := v_bad || ' or ' || v_rule.condition;
      v_branches := v_branches || format(c_branch, f.name, v_rule.code, v_rule.message, v_shown, v_rule.condition);
    end loop;

    for v_rule in
      select
        format('c.%I %s %s', f.name, r.operator, f.rules ->> r.rule) as condition,
        format('%s %s', r.words, f.rules ->> r.rule) as message
      from (values ('min', '<', 'less than'), ('max', '>', 'more than')) as r (rule, operator, words)
      where f.rules ? r.rule and f.class in ('integer', 'number')
    loop
      v_bad_typed := v_bad_typed || ' or ' || v_rule.condition;
      v_branches := v_branches || format(c_branch, f.name, 'out_of_range', v_rule.message, v_shown, v_rule.condition);
    end loop;

    if f.reference is not null then
      v_missing := format('(c.%1$I is not null and %2$s is null)', f.name, private.reference_lookup(f, format('c.%I', f.name)));
      v_bad_typed := v_bad_typed || ' or ' || v_missing;
      v_branches := v_branches || format(c_branch, f.name, 'reference_not_found',
        format('no record of %s has this key', f.reference ->> 'label'), v_shown, v_missing);
    end if;
  end loop;

  for v_check in
    select
      c.conname,
      pg_get_expr(c.conbin, c.conrelid) as expression,
      string_agg(a.attname, ', ' order by k.position) as fields,
      string_agg(format('c.%I is not null', a.attname), ' and ') as all_given
    from pg_constraint as c
    cross join lateral unnest(c.conkey) with ordinality as k (attnum, position)
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
    where p_checks and c.conrelid in (select p.relation from unnest(p_fields) as p) and c.contype = 'c'
    group by c.oid, c.conname
    having bool_and(exists (
        select from unnest(p_fields) as p where p.relation = c.conrelid and p.name = a.attname and p.reference is null
      ))
      -- what became a rule has been judged as one
      and not coalesce(bool_and(private.check_rule(pg_get_expr(c.conbin, c.conrelid), a.attname)
        <@ (select p.rules from unnest(p_fields) as p where p.name = a.attname)), false)
    order by c.conname
  loop
    v_bad_typed := v_bad_typed || format(' or (%s and not (%s))', v_check.all_given, v_check.expression);
    v_branches := v_branches || format(
      ' union all select %L, ''constraint_violation'', %L, null, ''23514'', %L where not t._bad and %s and not (%s)',
      v_check.fields, 'refused by a check of the table', v_check.conname, v_check.all_given, v_check.expression);
  end loop;

  return format($q$
with %stexts as (
  select r.row_number as _row%s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4
  offset 0
),
typed as (
  select t.*%s from texts as t offset 0
),
judged as (
  select t.*, (%s) is true as _bad from typed as t offset 0
)
insert into private.import_issues
  (staged_on, batch_id, row_number, field, code, message, value, sqlstate, constraint_name, origin)
select $1, $2, t._row, i._field, i._code, i._message, left(i._value, 200), i._sqlstate, i._constraint, 'validate'
from judged as t
cross join lateral (select %s) as c
cross join lateral (
  select null::text, null::text, null::text, null::text, null::text, null::text where false%s
) as i (_field, _code, _message, _value, _sqlstate, _constraint)
where t._bad or (%s) is true $q$,
    private.compile_references(p_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4) as r',
      '(select $5::uuid)'),
    v_texts, v_valid, v_bad, substr(v_typed, 3), v_branches, v_bad_typed);
end;
$function$;

revoke all on function "private"."compile_validation"(private.planned_field[], boolean) from public;

grant execute on function "private"."compile_validation"(private.planned_field[], boolean) to "postgres";

-- schemas/private/functions/complete_call.sql

create or replace function private.complete_call (
  p_task_id bigint,
  p_token   uuid,
  p_result  jsonb
)
  returns boolean
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_task     public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job      public.scheduled_jobs;
  v_complete text;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.complete_function into v_complete from private.job_types as t where t.job_type = v_job.job_type;
  return private.do_task(v_task, v_job, v_complete || '($1, $2)', p_result) is null;
end;
$function$;

revoke all on function "private"."complete_call"(bigint, uuid, jsonb) from public;

grant execute on function "private"."complete_call"(bigint, uuid, jsonb) to "postgres", "service_role";

-- schemas/private/functions/complete_fetch.sql

create or replace function private.complete_fetch (
  p_task   public.sync_job_queue,
  p_result jsonb
)
  returns private.task_result
  language sql
  set search_path to ''
  AS $function$
  update public.scheduled_jobs as j set result = coalesce(p_task.args -> 'outcome', p_result) where j.id = p_task.job_id;
  select row(1, 0)::private.task_result;
$function$;

revoke all on function "private"."complete_fetch"(public.sync_job_queue, jsonb) from public;

grant execute on function "private"."complete_fetch"(public.sync_job_queue, jsonb) to "postgres";

-- schemas/private/functions/complete_ingest.sql

create or replace function private.complete_ingest (
  p_task   public.sync_job_queue,
  p_result jsonb
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_ingest private.import_ingests;
begin
  select i.* into v_ingest
  from private.import_ingests as i
  join public.scheduled_jobs as j on j.batch_id = i.batch_id
  where j.id = p_task.job_id;
  if v_ingest.position < v_ingest.byte_size then
    perform private.refuse_range(v_ingest.batch_id, v_ingest.byte_size);
  end if;

  perform private.finish_ingest(
    v_ingest.batch_id, array(select jsonb_array_elements_text(p_result -> 'columns')), v_ingest.row_count, v_ingest.byte_size,
    p_result ->> 'content_hash', p_result -> 'sample', p_result -> 'format'
  );
  delete from private.import_ingests as i where i.batch_id = v_ingest.batch_id;
  return row(0, 0);
end;
$function$;

revoke all on function "private"."complete_ingest"(public.sync_job_queue, jsonb) from public;

grant execute on function "private"."complete_ingest"(public.sync_job_queue, jsonb) to "postgres";

-- schemas/private/functions/correct_import.sql

create or replace function private.correct_import (
  p_import_id       uuid,
  p_corrections     jsonb,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_parent  public.import_batches := private.find_correctable(p_import_id);
  v_columns text[] := array_remove(private.file_columns(v_parent, v_parent.columns), null);
  v_copied  text[] := case when private.is_sender(v_parent) then v_parent.columns else private.shown_columns(v_parent) end;
  v_created jsonb;
  v_child   public.import_batches;
  v_row     integer;
  v_column  text;
begin
  perform private.check_corrections(p_corrections, v_parent);

  select (c.value ->> 'row')::integer into v_row
  from jsonb_array_elements(p_corrections) as c
  group by 1
  having count(*) > 1
  limit 1;
  if found then
    raise exception using errcode = '22023', message = 'row is corrected twice', detail = format('row %s', v_row);
  end if;

  select (c.value ->> 'row')::integer into v_row
  from jsonb_array_elements(p_corrections) as c
  where not exists (
    select from private.import_issues as i
    where i.staged_on = v_parent.staged_on and i.batch_id = v_parent.id
      and i.row_number = (c.value ->> 'row')::integer and i.severity = 'error'
  )
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'row did not fail',
      detail  = format('row %s of the %s rows of import %s', v_row, v_parent.row_count, v_parent.id),
      hint    = 'Name rows that list_import_rows gives as failed, by their row_number.';
  end if;

  select (c.value ->> 'row')::integer, k.name into v_row, v_column
  from jsonb_array_elements(p_corrections) as c
  cross join lateral jsonb_object_keys(c.value -> 'cells') as k (name)
  where k.name <> all (v_columns)
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'correction names an unknown column',
      detail  = format('row %s: the file has no column %s', v_row, to_json(v_column)),
      hint    = format('Its columns are: %s.', left(array_to_string(v_columns, ', '), 1000));
  end if;

  v_created := private.create_import(
    null, null, null, v_parent.file_name, 'api', null, '{}', p_idempotency_key, null, null, null, v_parent.id);
  if v_created ? 'replayed' then
    return v_created;
  end if;
  select b.* into v_child from public.import_batches as b where b.id = (v_created ->> 'id')::uuid;

  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select
    v_child.staged_on, v_child.id, row_number() over (order by r.row_number), r.line_number,
    array(
      select case
        when c.value -> 'cells' ? f.name then c.value -> 'cells' ->> f.name
        when f.name = any (v_copied) then r.cells[f.position] -- else it may be a secret, and not the caller's
      end
      from unnest(v_parent.columns) with ordinality as f (name, position)
      where f.name = any (v_columns)
      order by f.position
    ) || r.row_number::text
  from jsonb_array_elements(p_corrections) as c
  join private.import_rows as r
    on r.staged_on = v_parent.staged_on and r.batch_id = v_parent.id and r.row_number = (c.value ->> 'row')::integer;

  perform private.end_staging(
    v_child, v_columns || (private.added_columns(v_parent))[1], jsonb_array_length(p_corrections), octet_length(p_corrections::text),
    encode(sha256(convert_to(v_parent.id || p_corrections::text, 'utf8')), 'hex'),
    (
      select jsonb_agg(to_jsonb(r.cells) order by r.row_number)
      from private.import_rows as r
      where r.staged_on = v_child.staged_on and r.batch_id = v_child.id and r.row_number <= 20
    ),
    null
  );
  return private.describe_import(v_child.id);
end;
$function$;

revoke all on function "private"."correct_import"(uuid, jsonb, text) from public;

grant execute on function "private"."correct_import"(uuid, jsonb, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_all_partitions.sql

create or replace function private.create_all_partitions()
  returns void
  language sql
  set search_path to ''
  AS $function$
  select
    private.create_partitions('public.sync_activity_log', 'month', 3),
    private.create_partitions('private.import_rows', 'week', 3),
    private.create_partitions('private.import_group_rows', 'week', 3),
    private.create_partitions('private.import_issues', 'week', 3),
    private.create_partitions('private.import_outcomes', 'week', 3),
    private.create_partitions('private.import_reversals', 'week', 3);
$function$;

revoke all on function "private"."create_all_partitions"() from public;

grant execute on function "private"."create_all_partitions"() to "postgres";

-- schemas/private/functions/create_import.sql

create or replace function private.create_import (
  p_dataset         text,
  p_mode            text,
  p_org_id          uuid,
  p_file_name       text,
  p_source          text,
  p_mapping         jsonb,
  p_options         jsonb,
  p_idempotency_key text,
  p_template_id     uuid,
  p_set_id          uuid,
  p_depends_on      uuid[],
  p_corrects        uuid,
  p_storage_path    text   default null::text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_target   record;
  v_org_id   uuid;
  v_parent   public.import_batches; -- which this one corrects
  v_dataset  public.datasets;
  v_mode     public.import_mode;
  v_batch    public.import_batches;
  v_template public.import_templates;
  v_options  jsonb;
begin
  select t.* into v_target from private.resolve_target(p_dataset, p_mode, p_org_id, p_corrects) as t;
  v_org_id  := v_target.org_id;
  v_dataset := v_target.dataset;
  v_mode    := v_target.mode;
  v_parent  := v_target.parent;
  perform private.require_own_file(p_storage_path, v_org_id);

  if p_idempotency_key is not null then
    select b.* into v_batch
    from public.import_batches as b
    where b.org_id = v_org_id
      and b.initiated_by is not distinct from auth.uid()
      and b.idempotency_key = p_idempotency_key;
    if found then
      if v_batch.status = 'receiving' and not private.is_receiving(v_batch.id) and not private.is_ingesting(v_batch.id)
        and v_batch.created_at < now() - interval '10 seconds' then
        perform private.fail_upload(v_batch.id); -- its upload is gone: the key is free again
      elsif (v_batch.status = 'receiving' and not private.is_ingesting(v_batch.id))
        or (v_batch.dataset, v_batch.mode) is distinct from (v_dataset.key, v_mode) then
        raise exception using
          errcode = 'PT409',
          message = 'idempotency key is in use',
          detail  = format('import %s is %s, dataset %s, mode %s', v_batch.id, v_batch.status, v_batch.dataset, v_batch.mode),
          hint    = 'Wait for that upload to end, or use another key for another request.';
      else
        return private.describe_import(v_batch.id) || '{"replayed": true}';
      end if;
    end if;
  end if;

  if p_set_id is not null then
    perform private.require_set(p_set_id, v_org_id);
  end if;

  -- Options are kept as they were given until the file is there: its template may bring others.
  v_options := coalesce(v_parent.options || p_options, p_options);
  perform private.normalize_options(v_options);
  if p_template_id is not null then
    v_template := private.find_template(p_template_id, v_dataset.key, v_org_id);
    v_options := v_template.config -> 'options' || v_options;
  end if;

  insert into public.import_batches (
    org_id, dataset, mode, source, storage_path, file_name, mapping, template_id, options, initiated_by, idempotency_key, set_id, depends_on,
    corrects
  )
  values (
    v_org_id, v_dataset.key, v_mode, p_source, p_storage_path, p_file_name,
    case
      when v_template.id is not null then private.template_mapping(v_template, null, p_mapping)
      when p_mapping is not null then private.normalize_mapping(v_dataset.key, null, p_mapping)
      else v_parent.mapping
    end,
    coalesce(v_template.id, case when p_mapping is null then v_parent.template_id end),
    v_options, auth.uid(), p_idempotency_key,
    p_set_id, private.normalize_prerequisites(v_org_id, p_depends_on), p_corrects
  )
  returning * into v_batch;
  perform private.require_no_cycle(v_batch.id); -- looked at again before it is validated
  return private.describe_import(v_batch.id);
end;
$function$;

revoke all on function "private"."create_import"(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) from public;

grant execute on function "private"."create_import"(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_import_set.sql

create or replace function private.create_import_set (
  p_org_id          uuid,
  p_name            text,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_set    public.import_sets;
begin
  perform private.require_org_role(v_org_id, 'member');

  select s.* into v_set
  from public.import_sets as s
  where s.org_id = v_org_id
    and s.created_by is not distinct from auth.uid()
    and s.idempotency_key = p_idempotency_key;
  if found then
    return private.describe_import_set(v_set) || '{"replayed": true}';
  end if;

  insert into public.import_sets (org_id, name, created_by, idempotency_key)
  values (v_org_id, p_name, auth.uid(), p_idempotency_key)
  returning * into v_set;
  return private.describe_import_set(v_set);
end;
$function$;

revoke all on function "private"."create_import_set"(uuid, text, text) from public;

grant execute on function "private"."create_import_set"(uuid, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_organization.sql

create or replace function private.create_organization (
  p_name text,
  p_slug text
)
  returns public.organization
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_profile      public.profiles;
  v_organization public.organization;
begin
  if not private.is_service_caller() then
    -- Locked, so that one who asks twice at once does not get two.
    select p.* into v_profile
    from public.profiles as p
    where p.id = (select auth.uid()) and p.is_active
    for update;

    if v_profile.id is null then
      raise exception using errcode = '42501', message = 'an active profile is required';
    end if;
    if v_profile.org_id is not null then
      raise exception using
        errcode = 'PT409',
        message = 'already in an organization',
        detail  = format('the caller belongs to organization %s', v_profile.org_id),
        hint    = 'A person belongs to one organization at most.';
    end if;
  end if;

  insert into public.organization (name, slug) values (p_name, p_slug) returning * into v_organization;

  update public.profiles as p
  set org_id = v_organization.id, org_role = 'admin'
  where p.id = v_profile.id;

  return v_organization;
end;
$function$;

revoke all on function "private"."create_organization"(text, text) from public;

grant execute on function "private"."create_organization"(text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_partitions.sql

create or replace function private.create_partitions (
  p_parent regclass,
  p_unit   text,
  p_ahead  integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_suffix  constant text := case p_unit when 'month' then '"_y"YYYY"m"MM' else '"_y"IYYY"w"IW' end;
  v_table   text;
  v_key     text;
  v_default regclass;
  v_stray   date[]; -- where the months or weeks begin of what is in it
  v_from    date;
  v_to      date;
  v_name    text;
begin
  select c.relname, pg_get_partkeydef(c.oid) into v_table, v_key
  from pg_class as c
  where c.oid = p_parent;
  v_key := substring(v_key from '\((.*)\)');
  v_default := to_regclass(format('private.%I', v_table || '_default'));

  if v_default is null then
    execute format('create table private.%I partition of %s default', v_table || '_default', p_parent);
    v_default := format('private.%I', v_table || '_default')::regclass;
  end if;

  execute format('select array_agg(distinct date_trunc(%L, %I)::date) from %s where isfinite(%I)', p_unit, v_key, v_default, v_key)
  into v_stray;

  for v_from in
    select (date_trunc(p_unit, current_date) + (n || ' ' || p_unit)::interval)::date from generate_series(0, p_ahead) as n
    union
    select unnest(v_stray)
    order by 1
  loop
    v_to   := v_from + ('1 ' || p_unit)::interval;
    v_name := v_table || to_char(v_from, c_suffix);
    continue when to_regclass(format('private.%I', v_name)) is not null;

    -- Attached only when it is full: rows of its range may not stay in the default partition.
    execute format('create table private.%I (like %s including all excluding identity)', v_name, p_parent);
    execute format(
      'with moved as (delete from %s where %I >= %L and %I < %L returning *) insert into private.%I select * from moved',
      v_default, v_key, v_from, v_key, v_to, v_name);
    execute format('alter table %s attach partition private.%I for values from (%L) to (%L)',
      p_parent, v_name, v_from, v_to);
  end loop;
end;
$function$;

revoke all on function "private"."create_partitions"(regclass, text, integer) from public;

grant execute on function "private"."create_partitions"(regclass, text, integer) to "postgres";

-- schemas/private/functions/create_sync_import.sql

create or replace function private.create_sync_import (
  p_run          public.sync_runs,
  p_source       public.sync_sources,
  p_mode         text,
  p_file_name    text,
  p_mapping      jsonb,
  p_storage_path text                default null::text
)
  returns public.import_batches
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_created jsonb := private.create_import(
    p_source.dataset, p_mode, p_run.org_id, p_file_name, 'sync', p_mapping,
    case p_mode when 'delete' then '{}' else p_source.import_options end,
    private.sync_key(p_run, p_mode), case when p_mode <> 'delete' then p_source.template_id end, null, null, null,
    p_storage_path);
  v_batch   public.import_batches;
begin
  select b.* into v_batch from public.import_batches as b where b.id = (v_created ->> 'id')::uuid;
  return v_batch;
end;
$function$;

revoke all on function "private"."create_sync_import"(public.sync_runs, public.sync_sources, text, text, jsonb, text) from public;

grant execute on function "private"."create_sync_import"(public.sync_runs, public.sync_sources, text, text, jsonb, text) to "postgres";

-- schemas/private/functions/create_sync_schedule.sql

create or replace function private.create_sync_schedule (
  p_source_id       uuid,
  p_cron_expression text,
  p_is_enabled      boolean,
  p_notes           text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_source   public.sync_sources := private.find_sync_source(p_source_id);
  v_most     integer := private.setting('sync.schedules_per_organization', v_source.org_id)::integer;
  v_schedule public.sync_schedule;
begin
  if v_source.kind = 'manual' then
    raise exception using
      errcode = 'PT409',
      message = 'source is fed by hand',
      detail  = format('source %s', v_source.id),
      hint    = 'Upload its file (POST /imports).';
  end if;

  perform private.lock_organization(v_source.org_id);
  if (select count(*) from public.sync_schedule as h where h.org_id = v_source.org_id) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many schedules',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.schedules_per_organization raised.';
  end if;

  insert into public.sync_schedule (org_id, source_id, cron_expression, is_enabled, notes, created_by)
  values (v_source.org_id, v_source.id, btrim(p_cron_expression), coalesce(p_is_enabled, true), p_notes, auth.uid())
  returning * into v_schedule;
  perform private.schedule_sync(v_schedule);
  perform private.log_source_activity(v_source, 'updated', jsonb_build_object('schedule', v_schedule.cron_expression));
  return private.describe_sync_schedule(v_schedule);
end;
$function$;

revoke all on function "private"."create_sync_schedule"(uuid, text, boolean, text) from public;

grant execute on function "private"."create_sync_schedule"(uuid, text, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_sync_source.sql

create or replace function private.create_sync_source (
  p_source jsonb,
  p_org_id uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_source public.sync_sources;
  v_most   integer;
begin
  v_source.org_id := private.resolve_organization(p_org_id);
  perform private.require_org_role(v_source.org_id, 'admin');

  perform private.lock_organization(v_source.org_id); -- two that come at once are counted
  v_most := private.setting('sync.sources_per_organization', v_source.org_id)::integer;
  if (select count(*) from public.sync_sources as s where s.org_id = v_source.org_id) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many sync sources',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.sources_per_organization raised.';
  end if;

  v_source.id := gen_random_uuid();
  v_source.created_by := auth.uid();
  v_source.owner := auth.uid();
  v_source.options := '{}';
  v_source.mode := 'upsert';
  v_source.max_delete_percent := 10;
  v_source.requires_approval := false;
  v_source.overlap := 'skip';
  v_source.import_options := '{}';
  v_source.is_active := true;
  v_source.state := '{}';
  v_source.created_at := now();
  v_source.updated_at := now();
  v_source := private.changed_source(v_source, p_source);
  perform private.require_source_owner(v_source), private.require_equal_owner(v_source);

  insert into public.sync_sources select v_source.*;
  perform private.log_source_activity(v_source, 'created');
  return private.describe_sync_source(v_source);
end;
$function$;

revoke all on function "private"."create_sync_source"(jsonb, uuid) from public;

grant execute on function "private"."create_sync_source"(jsonb, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_users.sql

create or replace function private.create_users (
  p_users           jsonb,
  p_org_id          uuid,
  p_mode            text,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_modes   constant text[] := '{insert,update,upsert}';
  v_org_id  uuid := private.resolve_organization(p_org_id);
  v_columns text[];
  v_rows    jsonb;
begin
  if (p_mode = any (c_modes)) is not true then
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s', to_json(p_mode)),
      hint    = format('Allowed are: %s.', array_to_string(c_modes, ', '));
  end if;
  perform private.check_user_objects(p_users, v_org_id);

  v_columns := array(
    select f.name
    from public.dataset_fields as f
    where f.dataset = 'users' and (f.name = 'email' or exists (select from jsonb_array_elements(p_users) as u where u.value ? f.name))
    order by f.position
  );
  select jsonb_agg((select jsonb_agg(u.value ->> c.name order by c.place) from unnest(v_columns) with ordinality as c (name, place)) order by u.place)
  into v_rows
  from jsonb_array_elements(p_users) with ordinality as u (value, place);

  return private.import_users(v_org_id, p_mode, v_columns, v_rows, '{"commit": true, "force": true}', p_idempotency_key);
end;
$function$;

revoke all on function "private"."create_users"(jsonb, uuid, text, text) from public;

grant execute on function "private"."create_users"(jsonb, uuid, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/create_webhook.sql

create or replace function private.create_webhook (
  p_url         text,
  p_events      text[],
  p_description text,
  p_org_id      uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id  uuid := private.resolve_organization(p_org_id);
  v_limit   integer := private.setting('webhooks.per_organization', v_org_id)::integer;
  v_webhook public.webhooks;
begin
  perform private.require_org_role(v_org_id, 'admin');
  perform private.check_webhook(p_url, p_events);

  perform pg_advisory_xact_lock(hashtextextended('webhooks.organization:' || v_org_id, 0)); -- so that they can be counted
  if (select count(*) from public.webhooks as w where w.org_id = v_org_id) >= v_limit then
    raise exception using
      errcode = 'PT429',
      message = 'organization has as many webhooks as it may',
      detail  = format('the limit is %s', v_limit),
      hint    = 'Delete one, or have the limit webhooks.per_organization raised.';
  end if;

  insert into public.webhooks (org_id, url, events, description, created_by)
  values (v_org_id, p_url, array(select distinct e from unnest(p_events) as e order by e), nullif(p_description, ''), auth.uid())
  returning * into v_webhook;
  perform private.log_activity(v_org_id, 'other', 'created', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id, 'events', v_webhook.events));
  return private.describe_webhook(v_webhook) || jsonb_build_object('secret', private.renew_webhook_secret(v_webhook));
end;
$function$;

revoke all on function "private"."create_webhook"(text, text[], text, uuid) from public;

grant execute on function "private"."create_webhook"(text, text[], text, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/cron_activity.sql

create or replace function private.cron_activity()
  returns table (
    job               text,
    schedule          text,
    is_active         boolean,
    last_status       text,
    last_started_at   timestamp with time zone,
    last_ended_at     timestamp with time zone,
    last_message      text,
    failures_last_day bigint
  )
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
begin
  if not private.administers_all() then
    return;
  end if;

  return query
  select j.jobname, j.schedule, j.active, d.status, d.start_time, d.end_time, d.return_message, coalesce(r.failures, 0)
  from cron.job as j
  left join (
    select
      r.jobid, max(r.runid) as last_runid,
      count(*) filter (where r.status = 'failed' and r.start_time > now() - interval '1 day') as failures
    from cron.job_run_details as r
    group by r.jobid
  ) as r on r.jobid = j.jobid
  left join cron.job_run_details as d on d.runid = r.last_runid
  where j.database = current_database();
end;
$function$;

revoke all on function "private"."cron_activity"() from public;

grant execute on function "private"."cron_activity"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/dataset_of_file.sql

create or replace function private.dataset_of_file (
  p_file_name text
)
  returns text
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select d.key
  from public.datasets as d
  where strpos(regexp_replace(lower(p_file_name), '[^a-z0-9]+', '_', 'g'), d.key) > 0
  order by length(d.key) desc, d.position
  limit 1;
$function$;

revoke all on function "private"."dataset_of_file"(text) from public;

grant execute on function "private"."dataset_of_file"(text) to "postgres", "sluice_ingest";

-- schemas/private/functions/date_branches.sql

create or replace function private.date_branches (
  p_expression text,
  p_format     text
)
  returns text
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  v_token   text;
  v_count   integer := 0;
  v_pattern text := '';
  v_places  jsonb := '{}';
  v_output  text;
begin
  if p_format ~ 'YY' and p_format !~ 'YYYY' then
    return (
      select string_agg(private.date_branches(p_expression, replace(p_format, 'YY', c.century)), ' ')
      from (values ('{19}'), ('{20}')) as c (century)
    );
  end if;

  for v_token in
    select m[1] from regexp_matches(p_format, '(YYYY|\{19\}|\{20\}|HH24|HH|MM|MI|SS|DD|M|D|.)', 'g') as m
  loop
    if v_token in ('YYYY', '{19}', '{20}', 'MM', 'M', 'DD', 'D', 'HH24', 'HH', 'MI', 'SS') then
      v_count := v_count + 1;
      v_pattern := v_pattern || case v_token
        when 'YYYY' then '([0-9]{4})' when '{19}' then '([7-9][0-9])' when '{20}' then '([0-6][0-9])'
        else '([0-9]{1,2})'
      end;
      v_places := v_places || jsonb_build_object(
        case when v_token in ('YYYY', '{19}', '{20}') then 'y' when v_token in ('MM', 'M') then 'm'
          when v_token in ('DD', 'D') then 'd' when v_token in ('HH24', 'HH') then 'h' when v_token = 'MI' then 'i' else 's' end,
        case v_token when '{19}' then '19' when '{20}' then '20' else '' end || '\' || v_count);
    elsif v_token ~ '[[:alpha:]]' and v_token <> 'T' then
      return null; -- no such token
    else
      v_pattern := v_pattern || regexp_replace(v_token, '([.*+?^$()\[\]{}|\\])', '\\\1');
    end if;
  end loop;

  if not v_places ?& '{y,m,d}' then
    return null;
  end if;
  v_output := format('%s-%s-%s', v_places ->> 'y', v_places ->> 'm', v_places ->> 'd')
    || case when v_places ? 'h' then format(' %s:%s:%s', v_places ->> 'h', coalesce(v_places ->> 'i', '00'), coalesce(v_places ->> 's', '00')) else '' end;
  return format('when %1$s ~ %2$L then regexp_replace(%1$s, %2$L, %3$L)', p_expression, '^' || v_pattern || '$', v_output);
end;
$function$;

revoke all on function "private"."date_branches"(text, text) from public;

grant execute on function "private"."date_branches"(text, text) to "postgres";

-- schemas/private/functions/date_formats.sql

create or replace function private.date_formats (
  p_values    text[],
  p_with_time boolean
)
  returns text[]
  language sql
  immutable
  set search_path to ''
  AS $function$
  with parts as (
    select m[1] as a, m[2] as s1, m[3] as b, m[4] as s2, m[5] as c, m[6] as gap, m[7] as seconds
    from unnest(p_values) as v
    cross join lateral regexp_match(v,
      '^([0-9]{1,4})([-/.])([0-9]{1,2})([-/.])([0-9]{1,4})(?:(T|,? )[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?$') as m
    where m is not null
  ),
  orders as (
    select p.s1, p.s2, length(p.a) = 4 as year_first, max(p.b::integer) > 12 as second_is_day,
      max(case when length(p.a) = 4 then p.c else p.a end::integer) > 12 as other_is_day
    from parts as p
    group by p.s1, p.s2, length(p.a) = 4
  ),
  formats as (
    select distinct
      case
        when o.year_first and not o.second_is_day then format('YYYY%sMM%sDD', p.s1, p.s2)
        when o.year_first or length(p.c) not in (2, 4) or (o.second_is_day and o.other_is_day) then null
        when o.second_is_day then format('MM%sDD%s%s', p.s1, p.s2, left('YYYY', length(p.c)))
        when o.other_is_day or p.s1 = '.' then format('DD%sMM%s%s', p.s1, p.s2, left('YYYY', length(p.c)))
      end as date_format,
      coalesce(p.gap || 'HH24:MI' || case when p.seconds <> '' then ':SS' else '' end, '') as time_format
    from parts as p
    join orders as o on o.s1 = p.s1 and o.s2 = p.s2 and o.year_first = (length(p.a) = 4)
    union
    select 'YYYYMMDD', ''
    from unnest(p_values) as v
    having bool_and(v ~ '^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$')
  )
  select array_agg(f.date_format || f.time_format order by f.date_format, f.time_format)
  from formats as f
  where f.date_format <> 'YYYY-MM-DD'
    and (p_with_time or f.time_format = '');
$function$;

revoke all on function "private"."date_formats"(text[], boolean) from public;

grant execute on function "private"."date_formats"(text[], boolean) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/decide_sync.sql

create or replace function private.decide_sync (
  p_run     public.sync_runs,
  p_keyless integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_source  public.sync_sources := private.source_of(p_run);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_preview jsonb;
  v_reason  text;
  v_run     public.sync_runs;
begin
  if v_batch.invalid_count = v_batch.row_count then
    perform private.finish_run(p_run.id, 'failed', jsonb_build_object(
      'code', 'rows_invalid',
      'message', 'no row of the source is valid',
      'details', format('%s rows', v_batch.row_count),
      'hint', 'See the issues of its import; correct the source, or its mapping.'));
    return;
  end if;

  select c.preview_data || jsonb_build_object('deletions', coalesce(p_run.deletion_count, 0)) into v_preview
  from public.sync_preview_cache as c
  where c.org_id = p_run.org_id and c.sync_type = 'import' and c.cache_key like v_batch.id || ':%' -- whoever had it validated
  order by c.created_at desc
  limit 1;
  if found then
    insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
    select p_run.org_id, 'pull', d.entity_type, format('%s:%s', p_run.id, v_source.owner), v_preview
    from public.datasets as d where d.key = v_source.dataset
    on conflict (org_id, sync_type, cache_key) do update
    set preview_data = excluded.preview_data, created_at = now(), expires_at = excluded.expires_at;
  end if;

  v_reason := coalesce(
    private.deletion_reason(v_source, p_run.known_count, p_run.deletion_count, p_keyless),
    case
      when not v_source.requires_approval or (coalesce(p_run.deletion_count, 0) = 0
        and (v_preview #>> '{counts,insert}')::integer + (v_preview #>> '{counts,update}')::integer = 0) then null
      else 'approval_required'
    end);
  update public.sync_runs as r
  set reason = v_reason, status = case when v_reason is null then 'committing' else 'awaiting_approval' end::public.sync_run_status
  where r.id = p_run.id
  returning r.* into v_run;
  if v_reason is null then
    perform private.proceed_sync(v_run, 'commit');
  end if;
end;
$function$;

revoke all on function "private"."decide_sync"(public.sync_runs, integer) from public;

grant execute on function "private"."decide_sync"(public.sync_runs, integer) to "postgres";

-- schemas/private/functions/delete_expired_files.sql

create or replace function private.delete_expired_files()
  returns bigint
  language sql
  set search_path to ''
  AS $function$
  select private.post_to_worker('files', '{}') where exists (select from private.expired_files(1));
$function$;

revoke all on function "private"."delete_expired_files"() from public;

grant execute on function "private"."delete_expired_files"() to "postgres";

-- schemas/private/functions/delete_sync_schedule.sql

create or replace function private.delete_sync_schedule (
  p_schedule_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_schedule public.sync_schedule := private.find_sync_schedule(p_schedule_id);
begin
  delete from public.sync_schedule as h where h.id = v_schedule.id;
  perform private.log_source_activity(s, 'deleted', jsonb_build_object('schedule', v_schedule.cron_expression))
  from public.sync_sources as s where s.id = v_schedule.source_id;
end;
$function$;

revoke all on function "private"."delete_sync_schedule"(uuid) from public;

grant execute on function "private"."delete_sync_schedule"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/delete_sync_source.sql

create or replace function private.delete_sync_source (
  p_source_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_source public.sync_sources := private.find_sync_source(p_source_id);
begin
  perform private.lock_organization(v_source.org_id);
  if exists (select from public.sync_runs as r where r.source_id = v_source.id and r.finished_at is null) then
    raise exception using
      errcode = 'PT409',
      message = 'a run of the source is under way',
      detail  = format('source %s', v_source.id),
      hint    = 'Wait for it, or cancel it.';
  end if;
  delete from public.sync_sources as s where s.id = v_source.id;
  perform private.log_source_activity(v_source, 'deleted');
end;
$function$;

revoke all on function "private"."delete_sync_source"(uuid) from public;

grant execute on function "private"."delete_sync_source"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/delete_users.sql

create or replace function private.delete_users (
  p_ids             uuid[],
  p_emails          text[],
  p_import_id       uuid,
  p_dry_run         boolean,
  p_org_id          uuid,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_most       constant integer := 100000;
  v_org_id     uuid := private.resolve_organization(p_org_id);
  v_cell_bytes bigint := private.setting('imports.max_cell_bytes', v_org_id)::bigint;
  v_ids        uuid[];
  v_count      integer;
  v_list       jsonb;
begin
  perform private.require_org_role(v_org_id, 'admin');
  if num_nonnulls(p_ids, p_emails, p_import_id) <> 1 then
    raise exception using
      errcode = '22023',
      message = 'users to delete are named in one way',
      hint    = 'Give ids, emails or import_id.';
  end if;

  v_ids := case when p_import_id is not null then private.people_of_import(p_import_id) else p_ids end;
  v_count := coalesce(cardinality(v_ids), cardinality(p_emails));
  if v_count = 0 or array_position(v_ids, null) is not null or array_position(p_emails, null) is not null then
    raise exception using
      errcode = '22023',
      message = 'no users to delete',
      hint    = case when p_import_id is not null then 'The import made nobody who is still there.' else 'Give a list without nulls.' end;
  elsif v_count > c_most then
    raise exception using
      errcode = 'PT413',
      message = 'too many users at once',
      detail  = format('got %s', v_count),
      hint    = format('At most %s in a call; or import a file of the dataset users with mode delete.', c_most);
  elsif exists (select from unnest(p_emails) as e where octet_length(e) > v_cell_bytes) then
    raise exception using
      errcode = 'PT413',
      message = 'users are too large',
      detail  = format('an address is longer than %s bytes', v_cell_bytes),
      hint    = 'Addresses have at most 255 bytes.';
  end if;

  v_list := case when v_ids is not null then private.addresses_of(v_ids) else to_jsonb(p_emails) end;
  return private.import_users(v_org_id, 'delete', '{email}',
    (select jsonb_agg(jsonb_build_array(e.value) order by e.place) from jsonb_array_elements(v_list) with ordinality as e (value, place)),
    case when p_dry_run then '{"full_preview": true}' else '{"commit": true, "force": true}' end::jsonb, p_idempotency_key);
end;
$function$;

revoke all on function "private"."delete_users"(uuid[], text[], uuid, boolean, uuid, text) from public;

grant execute on function "private"."delete_users"(uuid[], text[], uuid, boolean, uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/delete_webhook.sql

create or replace function private.delete_webhook (
  p_webhook_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
begin
  delete from public.webhooks as w where w.id = p_webhook_id;
  perform private.log_activity(v_webhook.org_id, 'other', 'deleted', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id));
end;
$function$;

revoke all on function "private"."delete_webhook"(uuid) from public;

grant execute on function "private"."delete_webhook"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/deletion_reason.sql

create or replace function private.deletion_reason (
  p_source  public.sync_sources,
  p_known   integer,
  p_missing integer,
  p_keyless integer
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when p_missing = 0 then null
    when p_keyless > 0 then 'rows_without_key'
    when 100.0 * p_missing > p_source.max_delete_percent * p_known then 'too_many_deletions'
  end;
$function$;

revoke all on function "private"."deletion_reason"(public.sync_sources, integer, integer, integer) from public;

grant execute on function "private"."deletion_reason"(public.sync_sources, integer, integer, integer) to "postgres";

-- schemas/private/functions/describe_call.sql

create or replace function private.describe_call (
  p_task_id bigint,
  p_token   uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_task     public.sync_job_queue;
  v_job      public.scheduled_jobs;
  v_describe text;
  v_work     jsonb;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id;
  perform private.require_call(v_task, p_task_id, p_token);
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.describe_function into v_describe from private.job_types as t where t.job_type = v_job.job_type;

  if v_describe is not null then
    perform private.assume_claims(v_job.claims);
    execute format('select %s($1)', v_describe) into v_work using v_task;
  end if;
  return jsonb_build_object(
    'job_id', v_job.id, 'job_type', v_job.job_type, 'org_id', v_job.org_id, 'task_type', v_task.task_type,
    'attempt', v_task.attempts, 'args', v_task.args, 'work', v_work
  );
end;
$function$;

revoke all on function "private"."describe_call"(bigint, uuid) from public;

grant execute on function "private"."describe_call"(bigint, uuid) to "postgres", "service_role";

-- schemas/private/functions/describe_delivery.sql

create or replace function private.describe_delivery (
  p_delivery public.webhook_deliveries
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_delivery.id, 'webhook_id', p_delivery.webhook_id, 'event', p_delivery.event, 'payload', p_delivery.payload,
    'status', p_delivery.status, 'attempts', p_delivery.attempts,
    'next_attempt_at', case when p_delivery.status = 'pending' then p_delivery.next_attempt_at end,
    'response_status', p_delivery.response_status, 'error', p_delivery.error,
    'created_at', p_delivery.created_at, 'delivered_at', p_delivery.delivered_at
  );
$function$;

revoke all on function "private"."describe_delivery"(public.webhook_deliveries) from public;

grant execute on function "private"."describe_delivery"(public.webhook_deliveries) to "postgres";

-- schemas/private/functions/describe_fetch.sql

create or replace function private.describe_fetch (
  p_task public.sync_job_queue
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_run    public.sync_runs := private.run_of(p_task);
  v_source public.sync_sources := private.source_of(v_run);
begin
  return jsonb_build_object(
    'kind', v_source.kind,
    'location', v_source.location,
    'headers', coalesce(v_source.options -> 'headers', '{}') || private.auth_headers(v_source),
    'conditions', case
      when v_run.is_forced or v_source.options ?| '{next,cursor}' then '{}'
      else jsonb_strip_nulls(jsonb_build_object(
        'If-None-Match', v_source.state -> 'etag', 'If-Modified-Since', v_source.state -> 'last_modified'))
    end,
    'options', v_source.options - '{auth,auth_header,auth_user,headers}'::text[],
    'allow_private', private.setting('outbound.allow_private', v_run.org_id),
    'limits', private.ingest_limits() || jsonb_build_object(
      'max_request_bytes', private.setting('imports.max_request_bytes', v_run.org_id),
      'max_object_bytes', private.setting('imports.max_object_bytes', v_run.org_id)),
    'max_pages', private.setting('sync.max_pages', v_run.org_id),
    'state', p_task.args -> 'state',
    'is_staged', p_task.args ? 'outcome'
  );
end;
$function$;

revoke all on function "private"."describe_fetch"(public.sync_job_queue) from public;

grant execute on function "private"."describe_fetch"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/describe_import.sql

create or replace function private.describe_import (
  p_import_id uuid
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_job      public.scheduled_jobs;
  v_counts   record;
  v_invalid  integer := coalesce(v_batch.invalid_count, 0);
  v_skipped  integer := coalesce(v_batch.skipped_count, 0);
  v_progress jsonb;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = v_batch.id
  order by j.created_at desc, j.id
  limit 1;

  select c.* into v_counts from private.outcome_counts(v_batch) as c;

  select jsonb_build_object(
    'total', p.total_items, 'processed', p.processed_count, 'failed', p.failed_count,
    'elapsed_seconds', p.elapsed_seconds, 'items_per_minute', p.speed_items_per_min, 'eta_seconds', p.eta_seconds)
  into v_progress
  from public.sync_progress as p
  where p.org_id = v_batch.org_id and p.sync_id = v_job.id::text;

  return jsonb_build_object(
    'id', v_batch.id, 'org_id', v_batch.org_id, 'dataset', v_batch.dataset, 'mode', v_batch.mode,
    'source', v_batch.source, 'storage_path', v_batch.storage_path, 'status', v_batch.status, 'file_name', v_batch.file_name,
    'row_count', v_batch.row_count, 'byte_size', v_batch.byte_size, 'content_hash', v_batch.content_hash,
    'columns', v_batch.columns, 'format', v_batch.format, 'sample', v_batch.sample,
    'mapping', v_batch.mapping, 'suggested_mapping', v_batch.suggested_mapping, 'template_id', v_batch.template_id,
    'options', private.normalize_options(v_batch.options),
    'counts', jsonb_build_object(
      'rows', v_batch.row_count,
      'valid', v_batch.row_count - v_invalid - v_skipped,
      'failed', v_invalid + v_counts.refused,
      'skipped', v_skipped,
      'inserted', v_counts.inserted,
      'updated', v_counts.updated,
      'unchanged', v_counts.unchanged,
      'deleted', v_counts.deleted,
      'pending', v_batch.row_count - v_invalid - v_skipped - v_counts.refused
        - v_counts.inserted - v_counts.updated - v_counts.unchanged - v_counts.deleted
    ),
    'issues', v_batch.issue_counts,
    'error', v_batch.error,
    'undo', private.undo_counts(v_batch),
    'progress', v_progress,
    'job', case when v_job.id is not null then private.describe_job(v_job) end,
    'set_id', v_batch.set_id, 'depends_on', v_batch.depends_on, 'waiting_for', private.waiting_for(v_batch),
    'corrects', v_batch.corrects,
    'corrected_by', (
      select coalesce(jsonb_agg(b.id order by b.created_at), '[]') from public.import_batches as b where b.corrects = v_batch.id
    ),
    'added_columns', private.added_columns(v_batch),
    'chain', private.import_chain(v_batch),
    'duplicate_of', v_batch.duplicate_of,
    'initiated_by', v_batch.initiated_by, 'created_at', v_batch.created_at, 'staged_at', v_batch.staged_at,
    'validated_at', v_batch.validated_at, 'finished_at', v_batch.finished_at
  );
end;
$function$;

revoke all on function "private"."describe_import"(uuid) from public;

grant execute on function "private"."describe_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_import_set.sql

create or replace function private.describe_import_set (
  p_set public.import_sets
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_set.id, 'org_id', p_set.org_id, 'name', p_set.name,
    'status', case
      when count(*) filter (where s.status = 'receiving' or (s.job in ('pending', 'queued', 'running') and s.phase <> 'waiting')) > 0
        then 'running'
      when count(*) filter (where s.status = 'failed' or s.error_code = 'prerequisite_failed') > 0 then 'failed'
      when count(*) filter (where s.job = 'paused') > 0 then 'paused'
      when count(*) = 0 or count(*) filter (where s.status in ('staged', 'validating', 'validated')) > 0 then 'open'
      when count(*) filter (where s.status = 'completed') > 0 then 'completed'
      else min(s.status)
    end,
    'imports', coalesce(jsonb_agg(s.document order by s.position, s.created_at), '[]'),
    'created_at', p_set.created_at
  )
  from (
    select
      d.document, e.position, b.created_at, b.status::text,
      d.document #>> '{job,status}' as job, d.document #>> '{job,phase}' as phase, d.document #>> '{job,error,code}' as error_code
    from public.import_batches as b
    join public.datasets as e on e.key = b.dataset
    cross join lateral (select private.describe_import(b.id) - 'sample' as document) as d
    where b.set_id = p_set.id and private.sees_import(b)
  ) as s;
$function$;

revoke all on function "private"."describe_import_set"(public.import_sets) from public;

grant execute on function "private"."describe_import_set"(public.import_sets) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_ingest.sql

create or replace function private.describe_ingest (
  p_task public.sync_job_queue
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'import_id', b.id, 'storage_path', b.storage_path, 'file_name', b.file_name, 'byte_size', i.byte_size,
    'position', i.position, 'row_count', i.row_count, 'state', i.state,
    'format', j.params -> 'format', 'review', not (j.params ->> 'commit')::boolean,
    -- less after each call that was lost: maybe for the limits of a function
    'range_bytes', private.setting('imports.range_bytes', b.org_id)::bigint >> greatest(p_task.attempts - 1, 0),
    'limits', private.ingest_limits()
  )
  from public.scheduled_jobs as j
  join public.import_batches as b on b.id = j.batch_id
  join private.import_ingests as i on i.batch_id = b.id
  where j.id = p_task.job_id;
$function$;

revoke all on function "private"."describe_ingest"(public.sync_job_queue) from public;

grant execute on function "private"."describe_ingest"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/describe_job.sql

create or replace function private.describe_job (
  p_job public.scheduled_jobs
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_job.id, 'job_type', p_job.job_type, 'status', p_job.status, 'phase', p_job.phase,
    'import_id', p_job.batch_id, 'total', p_job.total_count, 'done', p_job.done_count, 'failed', p_job.failed_count,
    'result', p_job.result, 'error', p_job.error, 'created_at', p_job.created_at, 'started_at', p_job.started_at, 'finished_at', p_job.finished_at
  );
$function$;

revoke all on function "private"."describe_job"(public.scheduled_jobs) from public;

grant execute on function "private"."describe_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/describe_job_at_length.sql

create or replace function private.describe_job_at_length (
  p_job public.scheduled_jobs
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_job(p_job) || jsonb_build_object(
    'org_id', p_job.org_id, 'created_by', p_job.created_by, 'run_as', p_job.run_as, 'priority', p_job.priority, 'run_at', p_job.run_at,
    'params', p_job.params, 'cancel_requested_at', p_job.cancel_requested_at
  );
$function$;

revoke all on function "private"."describe_job_at_length"(public.scheduled_jobs) from public;

grant execute on function "private"."describe_job_at_length"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/describe_session.sql

create or replace function private.describe_session (
  p_session public.import_sessions
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_session.id, 'org_id', p_session.org_id, 'import_id', p_session.batch_id, 'created_by', p_session.created_by,
    'status', p_session.status, 'current_step', p_session.current_step, 'file_name', p_session.file_name,
    'content_hash', p_session.content_hash, 'header_hash', p_session.header_hash, 'state', p_session.state,
    'shared_with', coalesce((
      select jsonb_agg(h.user_id order by h.created_at, h.user_id)
      from public.import_session_shares as h where h.session_id = p_session.id
    ), '[]'),
    'created_at', p_session.created_at, 'last_accessed_at', p_session.last_accessed_at
  );
$function$;

revoke all on function "private"."describe_session"(public.import_sessions) from public;

grant execute on function "private"."describe_session"(public.import_sessions) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_sync_run.sql

create or replace function private.describe_sync_run (
  p_run public.sync_runs
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select to_jsonb(p_run) || jsonb_build_object(
    'source', s.name,
    'dataset', s.dataset,
    'counts', (
      select jsonb_build_object(
        'inserted', coalesce(sum(c.inserted), 0), 'updated', coalesce(sum(c.updated), 0), 'unchanged', coalesce(sum(c.unchanged), 0),
        'deleted', coalesce(sum(c.deleted), 0), 'failed', coalesce(sum(coalesce(b.invalid_count, 0) + c.refused), 0),
        'skipped', coalesce(sum(b.skipped_count), 0))
      from public.import_batches as b
      cross join lateral private.outcome_counts(b) as c
      where b.id in (p_run.import_id, p_run.delete_import_id)
    ))
  from public.sync_sources as s
  where s.id = p_run.source_id;
$function$;

revoke all on function "private"."describe_sync_run"(public.sync_runs) from public;

grant execute on function "private"."describe_sync_run"(public.sync_runs) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_sync_schedule.sql

create or replace function private.describe_sync_schedule (
  p_schedule public.sync_schedule
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select to_jsonb(p_schedule) || '{"time_zone": "UTC"}';
$function$;

revoke all on function "private"."describe_sync_schedule"(public.sync_schedule) from public;

grant execute on function "private"."describe_sync_schedule"(public.sync_schedule) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_sync_source.sql

create or replace function private.describe_sync_source (
  p_source public.sync_sources
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select to_jsonb(p_source) || jsonb_build_object('schedules', (
    select coalesce(jsonb_agg(private.describe_sync_schedule(h) order by h.created_at), '[]')
    from public.sync_schedule as h
    where h.source_id = p_source.id
  ));
$function$;

revoke all on function "private"."describe_sync_source"(public.sync_sources) from public;

grant execute on function "private"."describe_sync_source"(public.sync_sources) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_template.sql

create or replace function private.describe_template (
  p_template public.import_templates
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_template.id, 'org_id', p_template.org_id, 'is_global', p_template.org_id is null,
    'dataset', p_template.dataset, 'name', p_template.name, 'version', p_template.version,
    'is_current', p_template.replaced_at is null and p_template.archived_at is null,
    'description', p_template.description, 'mapping', p_template.config -> 'mapping',
    'options', p_template.config -> 'options', 'columns', p_template.columns, 'header_hash', p_template.header_hash,
    'created_by', p_template.created_by, 'created_at', p_template.created_at,
    'replaced_at', p_template.replaced_at, 'archived_at', p_template.archived_at
  );
$function$;

revoke all on function "private"."describe_template"(public.import_templates) from public;

grant execute on function "private"."describe_template"(public.import_templates) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/describe_webhook.sql

create or replace function private.describe_webhook (
  p_webhook public.webhooks
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'id', p_webhook.id, 'org_id', p_webhook.org_id, 'url', p_webhook.url, 'events', p_webhook.events,
    'description', p_webhook.description, 'is_active', p_webhook.is_active, 'error', p_webhook.error,
    'previous_secret_until', p_webhook.previous_secret_until, 'created_by', p_webhook.created_by,
    'created_at', p_webhook.created_at, 'updated_at', p_webhook.updated_at
  );
$function$;

revoke all on function "private"."describe_webhook"(public.webhooks) from public;

grant execute on function "private"."describe_webhook"(public.webhooks) to "postgres";

-- schemas/private/functions/discard_ingest.sql

create or replace function private.discard_ingest (
  p_import_id uuid
)
  returns void
  language sql
  security definer
  set search_path to ''
  AS $function$
  select private.lock_organization(b.org_id) from public.import_batches as b where b.id = p_import_id;
  delete from public.import_batches as b where b.id = p_import_id and b.status = 'receiving';
$function$;

revoke all on function "private"."discard_ingest"(uuid) from public;

grant execute on function "private"."discard_ingest"(uuid) to "postgres", "sluice_ingest";

-- schemas/private/functions/discard_staged.sql

create or replace function private.discard_staged (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  delete from private.import_rows as r where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id;
  delete from private.import_issues as i where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id;
  delete from public.import_batches as b where b.id = p_batch.id and b.status = 'receiving';
end;
$function$;

revoke all on function "private"."discard_staged"(public.import_batches) from public;

grant execute on function "private"."discard_staged"(public.import_batches) to "postgres";

-- schemas/private/functions/do_task.sql

create or replace function private.do_task (
  p_task   public.sync_job_queue,
  p_job    public.scheduled_jobs,
  p_call   text,
  p_answer jsonb                 default null::jsonb
)
  returns text
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_result  private.task_result;
  v_error   jsonb;
  v_code    text;
  v_message text;
  v_detail  text;
  v_hint    text;
  v_context text;
begin
  if p_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
  elsif private.stop_unfit_job(p_job) then
    perform private.return_task(p_task);
  elsif p_job.error is null and (p_job.status = 'running' or p_task.token is not null) then
    perform private.assume_claims(p_job.claims);
    execute format('select r.* from %s as r', p_call) into v_result using p_task, p_answer;
    -- Deferred constraints speak here, where they are caught, and not at the commit.
    set constraints all immediate;
    if exists (
      select from public.sync_job_queue as q where q.id = p_task.id and q.token is distinct from p_task.token
    ) then
      perform private.await_call(p_task);
    else
      perform private.finish_task(p_task, v_result);
    end if;
  else
    perform private.return_task(p_task);
  end if;
  return null;
exception when query_canceled or others then -- others alone lets a cancellation pass
  get stacked diagnostics
    v_code    = returned_sqlstate,
    v_message = message_text,
    v_detail  = pg_exception_detail,
    v_hint    = pg_exception_hint,
    v_context = pg_exception_context;
  v_error := jsonb_build_object('code', v_code, 'message', v_message, 'details', nullif(v_detail, ''), 'hint', nullif(v_hint, ''));
  if v_code = '42501' then -- a right that went while it ran: whose, if it was with the person
    v_error := coalesce(private.unfit_reason(p_job), v_error);
  end if;
  perform private.fail_task(p_task, v_error, v_context);
  return v_code;
end;
$function$;

revoke all on function "private"."do_task"(public.sync_job_queue, public.scheduled_jobs, text, jsonb) from public;

grant execute on function "private"."do_task"(public.sync_job_queue, public.scheduled_jobs, text, jsonb) to "postgres";

-- schemas/private/functions/drop_findings.sql

create or replace function private.drop_findings (
  p_batch    public.import_batches,
  p_from_row integer,
  p_to_row   integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if not exists (select from public.scheduled_jobs as j where j.batch_id = p_batch.id and j.job_type = 'dry_run') then
    return;
  elsif private.has_groups(p_batch.id) then
    delete from private.import_issues as i
    using private.chunk_rows(p_batch.staged_on, p_batch.id, p_from_row, p_to_row) as c
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.row_number = c.row_number
      and i.origin = 'dry_run';
  else
    delete from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
      and i.row_number > p_from_row and i.row_number <= p_to_row
      and i.origin = 'dry_run';
  end if;
end;
$function$;

revoke all on function "private"."drop_findings"(public.import_batches, integer, integer) from public;

grant execute on function "private"."drop_findings"(public.import_batches, integer, integer) to "postgres";

-- schemas/private/functions/drop_ingested_rows.sql

create or replace function private.drop_ingested_rows (
  p_import_id uuid
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most  constant integer := 200000;
  v_batch public.import_batches;
  v_after integer; -- rows up to this one stay for the next time
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
  update private.import_ingests as i
  set row_count = greatest(i.row_count - c_most, 0)
  where i.batch_id = p_import_id
  returning i.row_count into v_after;

  delete from private.import_rows as r
  where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > v_after;
  delete from private.import_issues as i
  where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number > v_after;
  delete from private.import_ingests as i where i.batch_id = p_import_id and i.row_count = 0;
  return found;
end;
$function$;

revoke all on function "private"."drop_ingested_rows"(uuid) from public;

grant execute on function "private"."drop_ingested_rows"(uuid) to "postgres";

-- schemas/private/functions/drop_issue_values.sql

create or replace function private.drop_issue_values (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if private.has_secrets(p_batch.dataset) then
    update private.import_issues as i set value = null
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.value is not null;
  end if;
end;
$function$;

revoke all on function "private"."drop_issue_values"(public.import_batches) from public;

grant execute on function "private"."drop_issue_values"(public.import_batches) to "postgres";

-- schemas/private/functions/drop_next_ingest.sql

create or replace function private.drop_next_ingest()
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_id uuid;
begin
  select i.batch_id into v_id
  from private.import_ingests as i
  join public.import_batches as b on b.id = i.batch_id
  where b.status in ('failed', 'cancelled')
  limit 1
  for update of i skip locked;
  if not found then
    return false;
  end if;
  perform private.drop_ingested_rows(v_id);
  return true;
end;
$function$;

revoke all on function "private"."drop_next_ingest"() from public;

grant execute on function "private"."drop_next_ingest"() to "postgres";

-- schemas/private/functions/drop_partitions.sql

create or replace function private.drop_partitions (
  p_parent regclass,
  p_before date
)
  returns text[]
  language plpgsql
  set search_path to ''
  set lock_timeout to '2s'
  AS $function$
declare
  v_partition record;
  v_dropped   text[] := '{}';
begin
  for v_partition in
    select c.oid::regclass::text as name
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = p_parent
      and substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::date <= p_before
  loop
    execute format('drop table %s', v_partition.name);
    v_dropped := v_dropped || v_partition.name;
  end loop;
  return v_dropped;
end;
$function$;

revoke all on function "private"."drop_partitions"(regclass, date) from public;

grant execute on function "private"."drop_partitions"(regclass, date) to "postgres";

-- schemas/private/functions/drop_previews.sql

create or replace function private.drop_previews (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  delete from private.import_previews as p where p.batch_id = p_batch.id;
  delete from public.sync_preview_cache as c
  where c.org_id = p_batch.org_id and c.sync_type = 'import' and c.cache_key like p_batch.id || ':%';
end;
$function$;

revoke all on function "private"."drop_previews"(public.import_batches) from public;

grant execute on function "private"."drop_previews"(public.import_batches) to "postgres";

-- schemas/private/functions/drop_staged.sql

create or replace function private.drop_staged (
  p_run public.sync_runs
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  update public.import_batches as b
  set status = 'cancelled'
  where b.id in (p_run.import_id, p_run.delete_import_id) and b.status in ('staged', 'validated');
$function$;

revoke all on function "private"."drop_staged"(public.sync_runs) from public;

grant execute on function "private"."drop_staged"(public.sync_runs) to "postgres";

-- schemas/private/functions/drop_tasks.sql

create or replace function private.drop_tasks (
  p_job_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  delete from public.sync_job_queue as q
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = p_job_id and w.status <> 'running'
    for update skip locked
  );
$function$;

revoke all on function "private"."drop_tasks"(uuid) from public;

grant execute on function "private"."drop_tasks"(uuid) to "postgres";

-- schemas/private/functions/due_invitation.sql

create or replace function private.due_invitation()
  returns uuid
  language sql
  set search_path to ''
  AS $function$
  select d.user_id
  from (
    select distinct i.org_id
    from public.user_invitations as i
    where i.status = 'pending' and i.next_attempt_at <= clock_timestamp()
  ) as w
  join public.organization as o on o.id = w.org_id and o.is_active
  cross join lateral (
    select i.user_id, i.next_attempt_at
    from public.user_invitations as i
    where i.org_id = w.org_id and i.status = 'pending' and i.next_attempt_at <= clock_timestamp()
    order by i.next_attempt_at, i.user_id
    limit 1
  ) as d
  cross join lateral (
    select max(i.tried_at) as tried_at from public.user_invitations as i where i.org_id = w.org_id
  ) as l
  order by l.tried_at nulls first, d.next_attempt_at, d.user_id
  limit 1;
$function$;

revoke all on function "private"."due_invitation"() from public;

grant execute on function "private"."due_invitation"() to "postgres";

-- schemas/private/functions/earlier_import.sql

create or replace function private.earlier_import (
  p_batch        public.import_batches,
  p_content_hash text
)
  returns uuid
  language plpgsql
  set search_path to ''
  AS $function$
begin
  -- One lock for all files of a person: an archive stages several in one transaction, in its own order.
  perform pg_advisory_xact_lock(hashtextextended(concat_ws(':', 'imports.files', p_batch.org_id, p_batch.initiated_by), 0));
  return (
    with recursive corrected (id) as (
      select p_batch.corrects
      union
      select b.corrects from corrected as c join public.import_batches as b on b.id = c.id
    )
    select b.id
    from public.import_batches as b
    where b.org_id = p_batch.org_id
      and b.content_hash = p_content_hash
      and b.dataset = p_batch.dataset
      and b.initiated_by is not distinct from p_batch.initiated_by
      and private.is_applicable(b)
      and not exists (select from corrected as c where c.id = b.id)
    order by b.staged_at desc
    limit 1
  );
end;
$function$;

revoke all on function "private"."earlier_import"(public.import_batches, text) from public;

grant execute on function "private"."earlier_import"(public.import_batches, text) to "postgres";

-- schemas/private/functions/email_fault.sql

create or replace function private.email_fault (
  p_email text
)
  returns text
  language plpgsql
  immutable
  strict
  set search_path to ''
  AS $function$
declare
  c_local  constant text := '[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+';
  c_label  constant text := '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
begin
  if octet_length(p_email) <= 255 and p_email ~ ('^' || c_local || '@' || c_label || '([.]' || c_label || ')+$') then
    return null;
  end if;
  return case
    when octet_length(p_email) > 255 then 'longer than 255 bytes'
    when p_email ~ '[[:space:]]' then 'it has a blank in it'
    when p_email !~ '@' then 'it has no @'
    when p_email ~ '@.*@' then 'it has more than one @'
    when p_email ~ '^@' then 'there is nothing before the @'
    when p_email ~ '@$' then 'there is nothing after the @'
    when p_email ~ '[^!-~]' then 'it has characters that are not ASCII'
    when p_email !~ ('^' || c_local || '@') then 'a character before the @ is not allowed'
    when p_email !~ '@.*[.]' then 'the domain has no dot'
    else 'the domain is malformed'
  end;
end;
$function$;

revoke all on function "private"."email_fault"(text) from public;

grant execute on function "private"."email_fault"(text) to "postgres";

-- schemas/private/functions/end_failed_set.sql

create or replace function private.end_failed_set (
  p_set_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  delete from public.import_sets as s
  where s.id = p_set_id
    and not exists (select from public.import_batches as b where b.set_id = s.id);
  if not found then
    update public.import_sets as s set idempotency_key = null where s.id = p_set_id;
  end if;
end;
$function$;

revoke all on function "private"."end_failed_set"(uuid) from public;

grant execute on function "private"."end_failed_set"(uuid) to "postgres", "sluice_ingest";

-- schemas/private/functions/end_failing_job.sql

create or replace function private.end_failing_job (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if not exists (
    select from public.sync_job_queue as q where q.job_id = p_job.id and q.status = 'running'
  ) then
    perform private.end_job(p_job.id, 'failed', p_job.error);
  end if;
end;
$function$;

revoke all on function "private"."end_failing_job"(public.scheduled_jobs) from public;

grant execute on function "private"."end_failing_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/end_fetch.sql

create or replace function private.end_fetch (
  p_run          public.sync_runs,
  p_source       public.sync_sources,
  p_batch        public.import_batches,
  p_columns      text[],
  p_row_count    integer,
  p_byte_size    bigint,
  p_content_hash text,
  p_format       jsonb
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if p_row_count = 0 then
    raise exception using
      errcode = '22023',
      message = 'file has no data rows',
      hint    = 'Records that are to go are deleted by an import with mode delete.';
  end if;
  perform private.require_fit_columns(p_run.org_id, p_columns);

  if not p_run.is_forced and p_content_hash = p_source.state ->> 'content_hash' then
    perform private.discard_staged(p_batch);
    return '{"unchanged": true}';
  end if;
  perform private.end_staging(
    p_batch, p_columns, p_row_count, p_byte_size, p_content_hash, private.first_rows(p_batch, p_columns), p_format);
  return jsonb_build_object(
    'import_id', p_batch.id, 'columns', p_columns, 'row_count', p_row_count, 'content_hash', p_content_hash, 'bytes', p_byte_size);
end;
$function$;

revoke all on function "private"."end_fetch"(public.sync_runs, public.sync_sources, public.import_batches, text[], integer, bigint, text, jsonb) from public;

grant execute on function "private"."end_fetch"(public.sync_runs, public.sync_sources, public.import_batches, text[], integer, bigint, text, jsonb) to "postgres";

-- schemas/private/functions/end_import_job.sql

create or replace function private.end_import_job (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch   public.import_batches;
  v_error   jsonb := p_job.error;
  v_status  public.import_status;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id for no key update;

  if private.is_preview(p_job) then
    perform private.keep_preview(p_job);
    v_error := null; -- the rows are judged all the same
  end if;
  if p_job.job_type = 'validate' and (p_job.status = 'completed' or private.is_preview(p_job)) then
    v_batch.invalid_count := p_job.failed_count;
    v_batch.skipped_count := (
      select count(distinct i.row_number)
      from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id
        and i.code = 'duplicate_in_file' and i.severity = 'warning'
        and not exists (
          select from private.import_issues as e
          where e.staged_on = v_batch.staged_on and e.batch_id = v_batch.id
            and e.row_number = i.row_number and e.severity = 'error'
        )
    );
    if v_batch.options ->> 'on_error' = 'abort' and v_batch.invalid_count > 0 then
      v_error := jsonb_build_object(
        'code', 'rows_invalid',
        'message', 'rows are invalid, so nothing is applied',
        'details', format('%s of %s rows', v_batch.invalid_count, v_batch.row_count),
        'hint', 'Correct the file, or import with on_error=skip.');
    end if;
  end if;
  v_error := v_error || case v_error ->> 'code'
    when '42501' then '{"code": "permission_denied"}'
    when 'IM002' then '{"code": "row_refused"}'
    else '{}'
  end::jsonb;

  v_status := case
    when v_error is not null then 'failed'
    when p_job.job_type in ('preview', 'dry_run') then 'validated'
    when p_job.status = 'cancelled' then 'cancelled'
    when p_job.job_type = 'validate' then 'validated'
    else 'completed'
  end;

  update public.import_batches as b
  set status        = v_status,
      error         = v_error,
      invalid_count = v_batch.invalid_count,
      skipped_count = v_batch.skipped_count,
      issue_counts  = private.issue_summary(b)
  where b.id = v_batch.id;

  if v_status = 'validated' and (p_job.params ->> 'commit')::boolean then
    perform private.assume_claims(p_job.claims);
    insert into public.scheduled_jobs (job_type, params)
    values ('commit', jsonb_build_object('import_id', v_batch.id, 'force', true)); -- that was asked when it was started
  elsif v_status = 'validated' and (p_job.params ->> 'full_preview')::boolean then
    perform private.assume_claims(p_job.claims);
    insert into public.scheduled_jobs (job_type, params) values ('dry_run', jsonb_build_object('import_id', v_batch.id));
  end if;
end;
$function$;

revoke all on function "private"."end_import_job"(public.scheduled_jobs) from public;

grant execute on function "private"."end_import_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/end_ingest.sql

create or replace function private.end_ingest (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch   public.import_batches;
  v_code    text;
  v_message text;
  v_detail  text;
  v_hint    text;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id for no key update;

  if p_job.status <> 'completed' then
    update public.import_batches as b
    set status          = p_job.status::text::public.import_status,
        error           = p_job.error,
        idempotency_key = null
    where b.id = v_batch.id;
    perform private.drop_ingested_rows(v_batch.id);
  elsif (p_job.params ->> 'commit')::boolean
    and (v_batch.duplicate_of is null or (p_job.params ->> 'force')::boolean) then
    perform private.assume_claims(p_job.claims);
    insert into public.scheduled_jobs (job_type, params)
    values ('validate', jsonb_build_object('import_id', v_batch.id, 'commit', true, 'force', p_job.params -> 'force'));
  end if;
exception when sqlstate 'PT413' or sqlstate 'PT422' or sqlstate 'PT429' then
  get stacked diagnostics
    v_code = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  update public.scheduled_jobs as j
  set result = jsonb_build_object('not_started',
    jsonb_build_object('code', v_code, 'message', v_message, 'details', nullif(v_detail, ''), 'hint', nullif(v_hint, '')))
  where j.id = p_job.id;
end;
$function$;

revoke all on function "private"."end_ingest"(public.scheduled_jobs) from public;

grant execute on function "private"."end_ingest"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/end_job.sql

create or replace function private.end_job (
  p_job_id uuid,
  p_status public.sync_status_type,
  p_error  jsonb                   default null::jsonb
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  update public.scheduled_jobs as j
  set status = p_status, error = p_error, finished_at = clock_timestamp()
  where j.id = p_job_id
  returning j.* into v_job;

  perform private.lock_organization(v_job.org_id); -- before the capability locks what the job was about
  execute format('select %s($1)', (select t.end_function from private.job_types as t where t.job_type = v_job.job_type))
  using v_job;
end;
$function$;

revoke all on function "private"."end_job"(uuid, public.sync_status_type, jsonb) from public;

grant execute on function "private"."end_job"(uuid, public.sync_status_type, jsonb) to "postgres";

-- schemas/private/functions/end_staging.sql

create or replace function private.end_staging (
  p_batch        public.import_batches,
  p_columns      text[],
  p_row_count    integer,
  p_byte_size    bigint,
  p_content_hash text,
  p_sample       jsonb,
  p_format       jsonb
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_initial record;
begin
  select i.* into v_initial from private.initial_mapping(p_batch, p_columns, p_sample) as i;
  p_batch.columns := p_columns;
  p_batch.mapping := v_initial.mapping;
  perform private.drop_issue_values(p_batch);

  update public.import_batches as b
  set status            = 'staged',
      columns           = p_columns,
      row_count         = p_row_count,
      byte_size         = p_byte_size,
      content_hash      = p_content_hash,
      duplicate_of      = private.earlier_import(p_batch, p_content_hash),
      sample            = private.shown_sample(p_batch, p_sample),
      format            = p_format,
      suggested_mapping = v_initial.suggested,
      template_id       = v_initial.template_id,
      mapping           = v_initial.mapping,
      options           = v_initial.options
  where b.id = p_batch.id;
end;
$function$;

revoke all on function "private"."end_staging"(public.import_batches, text[], integer, bigint, text, jsonb, jsonb) from public;

grant execute on function "private"."end_staging"(public.import_batches, text[], integer, bigint, text, jsonb, jsonb) to "postgres";

-- schemas/private/functions/end_sync_job.sql

create or replace function private.end_sync_job (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_run   public.sync_runs;
  v_batch public.import_batches;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = p_job.id and r.finished_at is null for update;
  if not found then
    return;
  end if;

  if p_job.status <> 'completed' then
    for v_batch in
      select b.* from public.import_batches as b
      where b.org_id = v_run.org_id and b.status = 'receiving' and b.idempotency_key = private.sync_key(v_run, 'upsert')
    loop
      perform private.discard_staged(v_batch);
    end loop;
    perform private.finish_run(v_run.id, p_job.status::text::public.sync_run_status, p_job.error);
    return;
  end if;

  case p_job.phase
    when 'fetch' then
      update public.sync_runs as r
      set fetched   = p_job.result - '{import_id,unchanged}'::text[],
          import_id = (p_job.result ->> 'import_id')::uuid,
          status    = case when p_job.result ? 'row_count' then 'validating' else r.status end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.import_id is null then
        perform private.finish_run(v_run.id, 'unchanged');
      else
        perform private.proceed_sync(v_run, case v_run.status when 'validating' then 'validate' else 'ingest' end);
      end if;
    when 'compare' then
      update public.sync_runs as r
      set known_count = (p_job.result ->> 'known')::integer, deletion_count = (p_job.result ->> 'missing')::integer
      from public.import_batches as b
      where r.id = v_run.id and b.id = r.import_id and b.status = 'validated' -- else somebody was faster, and the run follows the import
      returning r.* into v_run;
      if found then
        perform private.decide_sync(v_run, (p_job.result ->> 'keyless')::integer);
      end if;
    else
      update public.sync_runs as r
      set delete_import_id = (p_job.result ->> 'delete_import_id')::uuid,
          deletion_count   = (p_job.result ->> 'missing')::integer,
          known_count      = coalesce((p_job.result ->> 'known')::integer, r.known_count),
          reason           = coalesce(p_job.result ->> 'asks', r.reason),
          status           = case
            when p_job.result ? 'asks' then 'awaiting_approval'
            when p_job.result ? 'delete_import_id' then 'deleting'
            else r.status
          end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.status = 'deleting' then
        perform private.proceed_sync(v_run, 'delete');
      elsif v_run.status = 'committing' then
        perform private.finish_run(v_run.id, 'completed');
      end if;
  end case;
end;
$function$;

revoke all on function "private"."end_sync_job"(public.scheduled_jobs) from public;

grant execute on function "private"."end_sync_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/end_undo.sql

create or replace function private.end_undo (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
  v_error jsonb := case p_job.status
    when 'cancelled' then jsonb_build_object(
      'code', 'undo_cancelled', 'message', 'the undo was stopped; what it took back stays taken back', 'hint', 'Undo it again to go on.')
    when 'failed' then p_job.error || case p_job.error ->> 'code' when '42501' then '{"code": "permission_denied"}' else '{}' end::jsonb
  end;
begin
  if (p_job.params ->> 'dry_run')::boolean then
    return;
  end if;

  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id;
  if v_error is null and not exists (
    select from private.import_reversals as r
    where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.reversed_count > 0
  ) then
    v_error := nullif(p_job.params -> 'former_error', 'null');
    v_batch.status := p_job.params ->> 'former_status';
  else
    v_batch.status := case when v_error is null then 'undone' else 'failed' end;
  end if;

  update public.import_batches as b
  set status = v_batch.status, error = v_error, issue_counts = private.issue_summary(b)
  where b.id = v_batch.id;
end;
$function$;

revoke all on function "private"."end_undo"(public.scheduled_jobs) from public;

grant execute on function "private"."end_undo"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/enqueue_tasks.sql

create or replace function private.enqueue_tasks (
  p_job       public.scheduled_jobs,
  p_task_type text,
  p_from_row  integer,
  p_to_row    integer,
  p_chunk     integer
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  insert into public.sync_job_queue (job_id, org_id, task_type, from_row, to_row, status, priority, next_attempt_at)
  select
    p_job.id, p_job.org_id, p_task_type, n, least(n + p_chunk, p_to_row),
    private.waiting_status(p_job), p_job.priority, greatest(p_job.run_at, clock_timestamp())
  from generate_series(p_from_row, greatest(p_to_row - 1, p_from_row), p_chunk) as n;
$function$;

revoke all on function "private"."enqueue_tasks"(public.scheduled_jobs, text, integer, integer, integer) from public;

grant execute on function "private"."enqueue_tasks"(public.scheduled_jobs, text, integer, integer, integer) to "postgres";

-- schemas/private/functions/enqueue_undo.sql

create or replace function private.enqueue_undo (
  p_job   public.scheduled_jobs,
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if not (p_job.params ->> 'dry_run')::boolean then
    update private.import_reversals as r set kept_counts = '{}'
    where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id;
    delete from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.origin = 'undo';
  end if;
  perform private.enqueue_tasks(p_job, 'undo', c.from_row, c.to_row, c.to_row - c.from_row)
  from (select u.* from private.unreversed_chunks(p_batch) as u order by u.from_row desc) as c;
end;
$function$;

revoke all on function "private"."enqueue_undo"(public.scheduled_jobs, public.import_batches) from public;

grant execute on function "private"."enqueue_undo"(public.scheduled_jobs, public.import_batches) to "postgres";

-- schemas/private/functions/expire_sessions.sql

create or replace function private.expire_sessions()
  returns bigint
  language sql
  set search_path to ''
  AS $function$
  with expired as (
    update public.import_sessions as s
    set status = 'expired'
    from (
      select o.id, now() - make_interval(hours => private.setting('imports.session_idle_hours', o.id)::integer) as before
      from public.organization as o
    ) as o
    where s.org_id = o.id
      and s.status = 'in_progress'
      and s.last_accessed_at < o.before
      and not exists (select from public.scheduled_jobs as j where j.batch_id = s.batch_id and j.finished_at is null)
    returning 1
  )
  select count(*) from expired;
$function$;

revoke all on function "private"."expire_sessions"() from public;

grant execute on function "private"."expire_sessions"() to "postgres";

-- schemas/private/functions/expired_files.sql

create or replace function private.expired_files (
  p_most integer
)
  returns SETOF text
  language sql
  stable
  set search_path to ''
  AS $function$
  select o.name
  from storage.objects as o
  where o.bucket_id = 'imports'
    and (
      o.created_at < now() - make_interval(days => private.setting('imports.retention_days')::integer)
      or exists (
        select from public.import_batches as b where b.storage_path = o.name and private.has_secrets(b.dataset)
      )
    )
    and not exists (select from public.import_batches as b where b.storage_path = o.name and b.status = 'receiving')
  limit p_most;
$function$;

revoke all on function "private"."expired_files"(integer) from public;

grant execute on function "private"."expired_files"(integer) to "postgres";

-- schemas/private/functions/fail_call.sql

create or replace function private.fail_call (
  p_task_id             bigint,
  p_token               uuid,
  p_error               jsonb,
  p_retry_after_seconds integer
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_task public.sync_job_queue := private.hold_call(p_task_id, p_token);
begin
  perform private.fail_task(
    v_task, p_error, p_not_before => clock_timestamp() + make_interval(secs => p_retry_after_seconds)
  );
end;
$function$;

revoke all on function "private"."fail_call"(bigint, uuid, jsonb, integer) from public;

grant execute on function "private"."fail_call"(bigint, uuid, jsonb, integer) to "postgres", "service_role";

-- schemas/private/functions/fail_ingest.sql

create or replace function private.fail_ingest (
  p_import_id uuid,
  p_error     jsonb
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
  perform private.assume_claims(jsonb_build_object('sub', b.initiated_by)), private.lock_organization(b.org_id)
  from public.import_batches as b where b.id = p_import_id;

  update public.import_batches as b
  set status = 'failed', error = p_error, idempotency_key = null
  where b.id = p_import_id and b.status = 'receiving';

  perform private.assume_claims(v_claims::jsonb); -- the caller may go on with another import
end;
$function$;

revoke all on function "private"."fail_ingest"(uuid, jsonb) from public;

grant execute on function "private"."fail_ingest"(uuid, jsonb) to "postgres", "sluice_ingest";

-- schemas/private/functions/fail_interrupted_uploads.sql

create or replace function private.fail_interrupted_uploads()
  returns bigint
  language sql
  set search_path to ''
  AS $function$
  select count(private.fail_upload(b.id))
  from public.import_batches as b
  where b.status = 'receiving'
    and b.source <> 'sync' -- what a run does with it is its job's business
    and b.created_at < now() - interval '1 minute' -- the time between create_import and begin_ingest
    and not private.is_receiving(b.id)
    and not private.is_ingesting(b.id);
$function$;

revoke all on function "private"."fail_interrupted_uploads"() from public;

grant execute on function "private"."fail_interrupted_uploads"() to "postgres";

-- schemas/private/functions/fail_invitation.sql

create or replace function private.fail_invitation (
  p_user_id  uuid,
  p_error    jsonb,
  p_is_final boolean
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  update public.user_invitations as i
  set status = (case when p_is_final or i.attempts >= 5 then 'failed' else 'pending' end)::public.invitation_status,
      next_attempt_at = clock_timestamp() + interval '1 minute' * power(4, i.attempts - 1),
      error = p_error
  where i.user_id = p_user_id;
$function$;

revoke all on function "private"."fail_invitation"(uuid, jsonb, boolean) from public;

grant execute on function "private"."fail_invitation"(uuid, jsonb, boolean) to "postgres";

-- schemas/private/functions/fail_task.sql

create or replace function private.fail_task (
  p_task       public.sync_job_queue,
  p_error      jsonb,
  p_context    text                     default null::text,
  p_not_before timestamp with time zone default null::timestamp with time zone
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_smallest constant integer := 1000; -- rows; a task of so few is not cut further
  v_code   text := p_error ->> 'code';
  v_policy public.sync_retry_policy;
  v_job    public.scheduled_jobs;
  v_delay  interval;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  perform private.assume_claims(v_job.claims); -- those of the work went with it; logs say who

  insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message, detail, hint, context)
  values (
    p_task.org_id, p_task.job_id, p_task.id, p_task.attempts, v_code,
    p_error ->> 'message', p_error ->> 'details', p_error ->> 'hint', p_context
  );

  if v_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
    return;
  end if;

  -- Failing already: kept for a retry.
  if v_job.error is not null then
    update public.sync_job_queue as q set status = 'held', token = null where q.id = p_task.id;
    if v_job.finished_at is null then
      perform private.end_failing_job(v_job);
    end if;
    return;
  end if;

  select p.* into v_policy from public.sync_retry_policy as p where p.job_type = v_job.job_type;

  if p_task.attempts >= v_policy.max_attempts or left(v_code, 2) <> all (v_policy.retry_classes) then
    update public.sync_job_queue as q set status = 'failed', token = null where q.id = p_task.id;
    perform private.hold_tasks(v_job.id);
    update public.scheduled_jobs as j set error = p_error where j.id = v_job.id returning j.* into v_job;
    perform private.end_failing_job(v_job);
    return;
  end if;

  v_delay := make_interval(secs => least(
    extract(epoch from v_policy.max_delay)::double precision,
    extract(epoch from v_policy.base_delay)::double precision
      * power(v_policy.factor::double precision, least(p_task.attempts - 1, 20))
      * (1 + v_policy.jitter::double precision * (2 * random() - 1))
  ));

  -- Cancelled, by the clock as a rule: four smaller tasks in place of the same again.
  -- params.whole: its rows are to be applied together or not at all.
  if v_code = '57014' and p_task.to_row - p_task.from_row > c_smallest
    and not coalesce((v_job.params ->> 'whole')::boolean, false) then
    insert into public.sync_job_queue
      (job_id, org_id, task_type, from_row, to_row, args, status, priority, attempts, next_attempt_at)
    select
      q.job_id, q.org_id, q.task_type, n, least(n + v_part.rows, q.to_row), q.args, private.waiting_status(v_job),
      q.priority, q.attempts, clock_timestamp() + v_delay
    from public.sync_job_queue as q
    cross join lateral (select ceil((q.to_row - q.from_row) / 4.0)::integer as rows) as v_part
    cross join lateral generate_series(q.from_row, q.to_row - 1, v_part.rows) as n
    where q.id = p_task.id;
    delete from public.sync_job_queue as q where q.id = p_task.id;
  else
    update public.sync_job_queue as q
    set status = private.waiting_status(v_job), token = null,
        next_attempt_at = greatest(clock_timestamp() + v_delay, p_not_before)
    where q.id = p_task.id;
  end if;
  perform private.release_if_queued(v_job);
end;
$function$;

revoke all on function "private"."fail_task"(public.sync_job_queue, jsonb, text, timestamp with time zone) from public;

grant execute on function "private"."fail_task"(public.sync_job_queue, jsonb, text, timestamp with time zone) to "postgres";

-- schemas/private/functions/fail_upload.sql

create or replace function private.fail_upload (
  p_import_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.fail_ingest(p_import_id, jsonb_build_object(
    'code', 'upload_interrupted',
    'message', 'the upload broke off',
    'details', 'no row of it was kept',
    'hint', 'Send the file again.'
  ));
$function$;

revoke all on function "private"."fail_upload"(uuid) from public;

grant execute on function "private"."fail_upload"(uuid) to "postgres";

-- schemas/private/functions/fail_webhook_delivery.sql

create or replace function private.fail_webhook_delivery (
  p_delivery        public.webhook_deliveries,
  p_response_status integer,
  p_error           jsonb,
  p_is_final        boolean                   default false,
  p_retry_after     interval                  default '00:00:00'::interval
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_delay interval := least(interval '5 seconds' * 4 ^ least(p_delivery.attempts - 1, 10), interval '6 hours') * (0.9 + random() * 0.2);
  v_next  timestamptz := clock_timestamp() + greatest(v_delay, p_retry_after);
begin
  update public.webhook_deliveries as d
  set status = case when p_is_final or v_next > d.expires_at then 'failed' else 'pending' end::public.webhook_delivery_status,
      next_attempt_at = v_next, token = null, response_status = p_response_status, error = p_error
  where d.id = p_delivery.id;
end;
$function$;

revoke all on function "private"."fail_webhook_delivery"(public.webhook_deliveries, integer, jsonb, boolean, interval) from public;

grant execute on function "private"."fail_webhook_delivery"(public.webhook_deliveries, integer, jsonb, boolean, interval) to "postgres";

-- schemas/private/functions/failed_before_commit.sql

create or replace function private.failed_before_commit (
  p_batch public.import_batches
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select p_batch.status = 'failed' and p_batch.staged_at is not null and not exists (
    select from private.import_outcomes as o where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id
  );
$function$;

revoke all on function "private"."failed_before_commit"(public.import_batches) from public;

grant execute on function "private"."failed_before_commit"(public.import_batches) to "postgres";

-- schemas/private/functions/failed_job.sql

create or replace function private.failed_job (
  p_batch    public.import_batches,
  p_job_type text
)
  returns public.scheduled_jobs
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = p_batch.id and j.params -> 'dry_run' is distinct from 'true' -- which changed nothing
  order by j.created_at desc
  limit 1;

  if (p_batch.status <> 'failed' and not (p_batch.status = 'validated' and private.is_preview(v_job)))
    or v_job.status is distinct from 'failed' or v_job.job_type <> p_job_type
    or not exists (select from public.sync_job_queue as q where q.job_id = v_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the import can be tried again',
      detail  = format('import %s is %s', p_batch.id, p_batch.status) || coalesce(': ' || (p_batch.error ->> 'message'), ''),
      hint    = case
        when p_batch.status = 'failed' and p_batch.staged_at is null then 'Send the file again.'
        when private.failed_before_commit(p_batch) then
          'Change its mapping or options and validate it again, or send the corrected file as a new import.'
        when p_batch.status = 'failed' then 'Send what is left of the file as a new import.'
        when p_batch.status = 'staged' then 'Validate it.'
        when p_batch.status = 'validated' then 'Commit it.'
        when v_job.status = 'paused' then 'Resume it.'
        when v_job.id is not null and v_job.finished_at is null then 'Wait for the running job, or cancel it.'
        else 'It did not fail.'
      end;
  end if;
  return v_job;
end;
$function$;

revoke all on function "private"."failed_job"(public.import_batches, text) from public;

grant execute on function "private"."failed_job"(public.import_batches, text) to "postgres";

-- schemas/private/functions/failed_row_count.sql

create or replace function private.failed_row_count (
  p_batch    public.import_batches,
  p_from_row integer,
  p_to_row   integer
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select count(distinct i.row_number)
  from private.import_issues as i
  where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
    and i.row_number > p_from_row and i.row_number <= p_to_row
    and i.severity = 'error';
$function$;

revoke all on function "private"."failed_row_count"(public.import_batches, integer, integer) from public;

grant execute on function "private"."failed_row_count"(public.import_batches, integer, integer) to "postgres";

-- schemas/private/functions/fetch_object.sql

create or replace function private.fetch_object (
  p_run    public.sync_runs,
  p_source public.sync_sources
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_name    text;
  v_version text;
  v_batch   public.import_batches;
begin
  select o.name, coalesce(o.metadata ->> 'eTag', '') || ' ' || o.updated_at into v_name, v_version
  from storage.objects as o
  where o.bucket_id = 'imports'
    and case when p_source.location like '%/' then starts_with(o.name, p_source.location) else o.name = p_source.location end
    and private.may_feed(p_source, o.owner_id)
  order by o.updated_at desc, o.name desc
  limit 1;

  if v_name is null and not p_source.state ? 'object' then -- else it has had its time, and was deleted
    raise exception using
      errcode = 'SY002',
      message = 'source has no file',
      detail  = p_source.location,
      hint    = 'Upload one to the bucket imports. Whose it is must have the right to import it.';
  elsif v_name is null or (v_version = p_source.state ->> 'object' and not p_run.is_forced) then
    return '{"unchanged": true}';
  end if;
  v_batch := private.create_sync_import(
    p_run, p_source, 'upsert', substring(v_name from '[^/]+$'), p_source.mapping, v_name);
  return jsonb_build_object('import_id', v_batch.id, 'object', v_version);
end;
$function$;

revoke all on function "private"."fetch_object"(public.sync_runs, public.sync_sources) from public;

grant execute on function "private"."fetch_object"(public.sync_runs, public.sync_sources) to "postgres";

-- schemas/private/functions/fetch_table.sql

create or replace function private.fetch_table (
  p_run    public.sync_runs,
  p_source public.sync_sources
)
  returns jsonb
  language plpgsql
  set search_path to ''
  set "DateStyle" to 'ISO, YMD'
  set "IntervalStyle" to 'postgres'
  set "TimeZone" to 'UTC'
  set bytea_output to 'hex'
  AS $function$
declare
  v_most    bigint := private.setting('imports.max_rows', p_run.org_id)::bigint;
  v_columns text[];
  v_batch   public.import_batches;
  v_count   bigint;
  v_bytes   bigint;
  v_hash    text;
begin
  if not exists (
    select from private.foreign_tables as f where f.org_id = p_run.org_id and f.relation = p_source.location
  ) or to_regclass(p_source.location) is null then
    raise exception using
      errcode = 'SY006',
      message = 'table of the source is not allowed any more',
      detail  = p_source.location,
      hint    = 'The database administrator allows tables one by one.';
  end if;

  v_columns := array(
    select a.attname from pg_attribute as a
    where a.attrelid = p_source.location::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  );
  v_batch := private.create_sync_import(p_run, p_source, 'upsert', p_source.location, p_source.mapping);
  execute format(
    'insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)'
    ' select $1, $2, row_number() over (), row_number() over (), array[%s] from (select * from %s limit $3) as t',
    (select string_agg(format('t.%I::text', c), ', ') from unnest(v_columns) as c), p_source.location::regclass)
  using v_batch.staged_on, v_batch.id, v_most + 1;
  get diagnostics v_count = row_count;
  if v_count > v_most then
    raise exception using
      errcode = 'SY003',
      message = 'source is too large',
      detail  = format('more than %s rows', v_most),
      hint    = 'Let it show fewer rows.';
  end if;

  -- In whatever order the rows come, the same ones have the same hash.
  select encode(sha256(convert_to(format('%s:%s:%s', v_columns, count(*), sum(hashtextextended(r.cells::text, 0)::numeric)), 'utf8')), 'hex'),
    sum(octet_length(r.cells::text))
  into v_hash, v_bytes
  from private.import_rows as r
  where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id;
  return private.end_fetch(p_run, p_source, v_batch, v_columns, v_count::integer, v_bytes, v_hash, '{"kind": "table"}');
end;
$function$;

revoke all on function "private"."fetch_table"(public.sync_runs, public.sync_sources) from public;

grant execute on function "private"."fetch_table"(public.sync_runs, public.sync_sources) to "postgres";

-- schemas/private/functions/field_expressions.sql

create or replace function private.field_expressions (
  p_field     public.dataset_fields,
  p_entry     jsonb,
  p_columns   text[],
  p_untrimmed text[]                default null::text[],
  OUT         source text,
  OUT         value text
)
  returns record
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_longest   constant integer := 50000; -- characters
  v_columns   text[] := array(select jsonb_array_elements_text(p_entry -> 'columns'));
  v_transform jsonb;
  v_separator text := ' ';
  v_rest      jsonb := p_entry -> 'transforms';
  v_untrimmed text[] := case when p_field.is_secret then '{}' else p_untrimmed end;
begin
  if v_rest #> '{0}' ? 'join' and jsonb_typeof(v_rest #> '{0,join}') = 'string' then
    v_separator := v_rest #>> '{0,join}';
    v_rest := v_rest - 0;
  end if;

  source := case cardinality(v_columns)
    -- Null, but not a constant: what is made of it must be computed row by row, where it can be a row's
    -- issue. Folded into the plan a default that does not fit its field would refuse the whole statement.
    when 0 then 'nullif(r.cells[1], r.cells[1])'
    when 1 then private.cell_expression(p_columns, v_columns[1], v_untrimmed)
    else format('nullif(left(concat_ws(%L, %s), 1048576), '''')', v_separator,
      (select string_agg(private.cell_expression(p_columns, c, v_untrimmed), ', ') from unnest(v_columns) as c))
  end;

  value := source;
  for v_transform in select jsonb_array_elements(v_rest) loop
    value := private.transform_expression(value, v_transform, p_field, p_columns);
    if length(value) > c_longest then
      raise exception using
        errcode = '22023',
        message = 'transforms of a field are too long',
        detail  = format('field %s: %s characters of SQL, at most %s', p_field.name, length(value), c_longest),
        hint    = 'Use fewer transforms, or shorter lists.';
    end if;
  end loop;

  if p_entry ->> 'default' is not null then
    value := format('coalesce(%s, %L)', value, p_entry ->> 'default');
  end if;
  if (p_field.rules -> 'lower')::boolean then
    value := format('lower(%s)', value);
  end if;
end;
$function$;

revoke all on function "private"."field_expressions"(public.dataset_fields, jsonb, text[], text[]) from public;

grant execute on function "private"."field_expressions"(public.dataset_fields, jsonb, text[], text[]) to "postgres";

-- schemas/private/functions/file_columns.sql

create or replace function private.file_columns (
  p_batch   public.import_batches,
  p_columns text[]
)
  returns text[]
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when p_batch.corrects is null then p_columns else array(
    select case when c.name <> all (a.names) then c.name end
    from private.added_columns(p_batch) as a (names)
    cross join unnest(p_columns) with ordinality as c (name, position)
    order by c.position
  ) end;
$function$;

revoke all on function "private"."file_columns"(public.import_batches, text[]) from public;

grant execute on function "private"."file_columns"(public.import_batches, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_correctable.sql

create or replace function private.find_correctable (
  p_import_id uuid
)
  returns public.import_batches
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_most  constant integer := 100;
  v_batch public.import_batches := private.find_import(p_import_id);
begin
  perform private.require_import_right(v_batch);
  if v_batch.staged_at is null
    or v_batch.status not in ('validated', 'completed', 'failed', 'cancelled', 'undone') then
    raise exception using
      errcode = 'PT409',
      message = 'import is not judged yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case
        when v_batch.status = 'failed' then 'None of its rows was kept: send the file as a new import.'
        else 'Correct its rows once it is validated or at its end.'
      end;
  end if;
  perform private.require_rows(v_batch);

  -- Whoever reads one of them reads the counts of all.
  if private.chain_length(v_batch) > c_most then
    raise exception using
      errcode = 'PT409',
      message = 'import has been corrected too often',
      detail  = format('%s imports', c_most),
      hint    = 'Send what is left as a new import.';
  end if;
  return v_batch;
end;
$function$;

revoke all on function "private"."find_correctable"(uuid) from public;

grant execute on function "private"."find_correctable"(uuid) to "postgres";

-- schemas/private/functions/find_import.sql

create or replace function private.find_import (
  p_import_id uuid
)
  returns public.import_batches
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.id = p_import_id and private.sees_import(b);
  if not found then
    raise exception using errcode = 'PT404', message = 'import not found';
  end if;
  return v_batch;
end;
$function$;

revoke all on function "private"."find_import"(uuid) from public;

grant execute on function "private"."find_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_import_set.sql

create or replace function private.find_import_set (
  p_set_id uuid
)
  returns public.import_sets
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_set public.import_sets;
begin
  select s.* into v_set
  from public.import_sets as s
  where s.id = p_set_id
    and s.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'import set not found';
  end if;
  return v_set;
end;
$function$;

revoke all on function "private"."find_import_set"(uuid) from public;

grant execute on function "private"."find_import_set"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_job.sql

create or replace function private.find_job (
  p_job_id uuid
)
  returns jsonb
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select private.describe_job(j)
  from public.scheduled_jobs as j
  where j.id = p_job_id
    and j.org_id in (select private.org_ids('viewer'));
$function$;

revoke all on function "private"."find_job"(uuid) from public;

grant execute on function "private"."find_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_stored_file.sql

create or replace function private.find_stored_file (
  p_storage_path text
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if p_storage_path is not null and not exists (
    select from storage.objects as o where o.bucket_id = 'imports' and o.name = p_storage_path
  ) then
    raise exception using
      errcode = 'PT404',
      message = 'stored file not found',
      hint    = 'Upload it into the bucket imports first; prepare_import_upload says where.';
  end if;
  return p_storage_path;
end;
$function$;

revoke all on function "private"."find_stored_file"(text) from public;

grant execute on function "private"."find_stored_file"(text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_sync_run.sql

create or replace function private.find_sync_run (
  p_run_id uuid
)
  returns public.sync_runs
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run
  from public.sync_runs as r
  where r.id = p_run_id and r.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync run not found';
  end if;
  return v_run;
end;
$function$;

revoke all on function "private"."find_sync_run"(uuid) from public;

grant execute on function "private"."find_sync_run"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_sync_schedule.sql

create or replace function private.find_sync_schedule (
  p_schedule_id uuid
)
  returns public.sync_schedule
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_schedule public.sync_schedule;
begin
  select h.* into v_schedule
  from public.sync_schedule as h
  where h.id = p_schedule_id and h.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync schedule not found';
  end if;
  return v_schedule;
end;
$function$;

revoke all on function "private"."find_sync_schedule"(uuid) from public;

grant execute on function "private"."find_sync_schedule"(uuid) to "postgres";

-- schemas/private/functions/find_sync_source.sql

create or replace function private.find_sync_source (
  p_source_id uuid
)
  returns public.sync_sources
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_source public.sync_sources;
begin
  select s.* into v_source
  from public.sync_sources as s
  where s.id = p_source_id and s.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync source not found';
  end if;
  return v_source;
end;
$function$;

revoke all on function "private"."find_sync_source"(uuid) from public;

grant execute on function "private"."find_sync_source"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_template.sql

create or replace function private.find_template (
  p_template_id uuid
)
  returns public.import_templates
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_template public.import_templates;
begin
  select t.* into v_template
  from public.import_templates as t
  where t.id = p_template_id
    and (t.org_id is null or t.org_id in (select private.org_ids('viewer')));
  if not found then
    raise exception using errcode = 'PT404', message = 'import template not found';
  end if;
  return v_template;
end;
$function$;

create or replace function private.find_template (
  p_template_id uuid,
  p_dataset     text,
  p_org_id      uuid
)
  returns public.import_templates
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_template public.import_templates := private.find_template(p_template_id);
begin
  if v_template.org_id <> p_org_id then
    raise exception using errcode = 'PT404', message = 'import template not found';
  end if;
  if v_template.dataset is distinct from p_dataset then
    raise exception using
      errcode = '22023',
      message = 'template is for another dataset',
      detail  = format('template %s is for %s', to_json(v_template.name), v_template.dataset);
  end if;
  if v_template.archived_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'template was deleted',
      detail  = format('template %s, version %s', to_json(v_template.name), v_template.version),
      hint    = 'list_import_templates names those that are there.';
  end if;
  return v_template;
end;
$function$;

revoke all on function "private"."find_template"(uuid) from public;

grant execute on function "private"."find_template"(uuid) to "authenticated", "postgres", "service_role";

revoke all on function "private"."find_template"(uuid, text, uuid) from public;

grant execute on function "private"."find_template"(uuid, text, uuid) to "postgres";

-- schemas/private/functions/find_users_import.sql

create or replace function private.find_users_import (
  p_import_id uuid
)
  returns public.import_batches
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches := private.find_import(p_import_id);
begin
  if v_batch.dataset <> 'users' then
    raise exception using
      errcode = '22023',
      message = 'import is not of users',
      detail  = format('import %s is of %s', v_batch.id, v_batch.dataset),
      hint    = 'list_import_rows tells what became of its rows.';
  end if;
  return v_batch;
end;
$function$;

revoke all on function "private"."find_users_import"(uuid) from public;

grant execute on function "private"."find_users_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/find_webhook.sql

create or replace function private.find_webhook (
  p_webhook_id uuid
)
  returns public.webhooks
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_webhook public.webhooks;
begin
  select w.* into v_webhook
  from public.webhooks as w
  where w.id = p_webhook_id and w.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'webhook not found';
  end if;
  return v_webhook;
end;
$function$;

revoke all on function "private"."find_webhook"(uuid) from public;

grant execute on function "private"."find_webhook"(uuid) to "postgres";

-- schemas/private/functions/finish_fetch.sql

create or replace function private.finish_fetch (
  p_task_id      bigint,
  p_token        uuid,
  p_columns      text[],
  p_row_count    integer,
  p_byte_size    bigint,
  p_content_hash text,
  p_format       jsonb,
  p_result       jsonb
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_task   public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
begin
  perform private.assume_claims(j.claims) from public.scheduled_jobs as j where j.id = v_task.job_id;
  v_run := private.run_of(v_task);
  v_source := private.source_of(v_run);
  perform from public.import_batches as b where b.id = (v_task.args ->> 'import_id')::uuid for no key update;
  v_batch := private.require_receiving((v_task.args ->> 'import_id')::uuid);

  update public.sync_job_queue as q
  set args = q.args - 'state' || jsonb_build_object('outcome', p_result || private.end_fetch(
    v_run, v_source, v_batch, p_columns, p_row_count, p_byte_size, p_content_hash, p_format))
  where q.id = p_task_id;
end;
$function$;

revoke all on function "private"."finish_fetch"(bigint, uuid, text[], integer, bigint, text, jsonb, jsonb) from public;

grant execute on function "private"."finish_fetch"(bigint, uuid, text[], integer, bigint, text, jsonb, jsonb) to "postgres", "sluice_ingest";

-- schemas/private/functions/finish_ingest.sql

create or replace function private.finish_ingest (
  p_import_id    uuid,
  p_columns      text[],
  p_row_count    integer,
  p_byte_size    bigint,
  p_content_hash text,
  p_sample       jsonb,
  p_format       jsonb
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch public.import_batches;
begin
  perform from public.import_batches as b where b.id = p_import_id for no key update;
  v_batch := private.require_receiving(p_import_id);

  perform private.require_fit_columns(v_batch.org_id, p_columns);
  -- The log says who: the direct connection carries no claims.
  perform private.assume_claims(jsonb_build_object('sub', v_batch.initiated_by));
  if v_batch.corrects is not null and (private.added_columns(v_batch))[1] = any (p_columns) then
    perform private.restore_cells(v_batch);
  end if;
  perform private.end_staging(v_batch, p_columns, p_row_count, p_byte_size, p_content_hash, p_sample, p_format);
end;
$function$;

revoke all on function "private"."finish_ingest"(uuid, text[], integer, bigint, text, jsonb, jsonb) from public;

grant execute on function "private"."finish_ingest"(uuid, text[], integer, bigint, text, jsonb, jsonb) to "postgres", "sluice_ingest";

-- schemas/private/functions/finish_run.sql

create or replace function private.finish_run (
  p_run_id uuid,
  p_status public.sync_run_status,
  p_error  jsonb                  default null::jsonb
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_next   public.sync_runs;
begin
  update public.sync_runs as r
  set status = p_status, error = private.sync_error(p_error)
  where r.id = p_run_id and r.finished_at is null
  returning r.* into v_run;
  if not found then
    return;
  end if;

  -- Found by what the source was then: not kept when it was changed meanwhile.
  update public.sync_sources as s
  set state   = case p_status when 'unchanged' then s.state else '{}' end
        || jsonb_strip_nulls(v_run.fetched - '{status,bytes,pages}'::text[]),
      mapping = case
        when p_status = 'completed' and s.template_id is null then coalesce(s.mapping, b.mapping)
        else s.mapping
      end
  from public.sync_runs as r
  left join public.import_batches as b on b.id = r.import_id
  where r.id = p_run_id and s.id = r.source_id and s.updated_at <= r.started_at
    and p_status in ('completed', 'unchanged');

  if p_status in ('failed', 'cancelled') then
    perform private.drop_staged(v_run);
  end if;
  v_source := private.source_of(v_run);
  perform private.log_activity(
    v_run.org_id, (select d.entity_type from public.datasets as d where d.key = v_source.dataset),
    case p_status when 'unchanged' then 'skipped' else p_status::text end::public.sync_action,
    case p_status when 'unchanged' then 'completed' else p_status::text end::public.sync_status_type,
    v_run.id::text, jsonb_build_object('source', v_source.name, 'source_id', v_source.id, 'import_id', v_run.import_id),
    p_error ->> 'message'
  );

  select r.* into v_next
  from public.sync_runs as r
  where r.source_id = v_run.source_id and r.status = 'waiting'
  order by r.created_at
  limit 1;
  if found and not v_source.is_active then
    perform private.finish_run(v_next.id, 'cancelled');
  elsif found then
    update public.sync_runs as r set status = 'fetching' where r.id = v_next.id returning r.* into v_next;
    perform private.proceed_sync(v_next, 'fetch');
  end if;
end;
$function$;

revoke all on function "private"."finish_run"(uuid, public.sync_run_status, jsonb) from public;

grant execute on function "private"."finish_run"(uuid, public.sync_run_status, jsonb) to "postgres";

-- schemas/private/functions/finish_task.sql

create or replace function private.finish_task (
  p_task   public.sync_job_queue,
  p_result private.task_result
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job  public.scheduled_jobs;
  v_done boolean;
begin
  delete from public.sync_job_queue as q where q.id = p_task.id;

  update public.scheduled_jobs as j
  set done_count   = j.done_count + coalesce(p_result.done_count, 0),
      failed_count = j.failed_count + coalesce(p_result.failed_count, 0)
  where j.id = p_task.job_id
  returning j.* into v_job;

  if v_job.finished_at is not null then
    return;
  end if;

  -- The task may have left others, made for a job that went on.
  if v_job.cancel_requested_at is not null then
    perform private.drop_tasks(v_job.id);
  elsif private.waiting_status(v_job) = 'held' then
    perform private.hold_tasks(v_job.id);
  end if;

  -- Failing: it ends with the last task in flight.
  if v_job.error is not null then
    perform private.end_failing_job(v_job);
    return;
  end if;

  if exists (select from public.sync_job_queue as q where q.job_id = p_task.job_id) then
    perform private.release_if_queued(v_job);
    return;
  end if;

  if v_job.cancel_requested_at is not null then
    perform private.end_job(v_job.id, 'cancelled');
    return;
  end if;

  execute format('select %s($1)', (select t.advance_function from private.job_types as t where t.job_type = v_job.job_type))
  into v_done using v_job;
  if v_done then
    perform private.end_job(v_job.id, 'completed');
    if v_job.status = 'paused' then -- what follows it waits as well
      perform private.pause_job(j.id)
      from public.scheduled_jobs as j
      where j.batch_id = v_job.batch_id and j.finished_at is null;
    end if;
  else
    perform private.release_if_queued(v_job);
  end if;
end;
$function$;

revoke all on function "private"."finish_task"(public.sync_job_queue, private.task_result) from public;

grant execute on function "private"."finish_task"(public.sync_job_queue, private.task_result) to "postgres";

-- schemas/private/functions/first_rows.sql

create or replace function private.first_rows (
  p_batch   public.import_batches,
  p_columns text[]
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_agg(to_jsonb(array(
    select left(r.cells[n], 1000) from generate_series(1, cardinality(p_columns)) as n order by n
  )) order by r.row_number)
  from private.import_rows as r
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id and r.row_number <= 20;
$function$;

revoke all on function "private"."first_rows"(public.import_batches, text[]) from public;

grant execute on function "private"."first_rows"(public.import_batches, text[]) to "postgres";

-- schemas/private/functions/fitting_share.sql

create or replace function private.fitting_share (
  p_shares     jsonb,
  p_field_kind text
)
  returns numeric
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case when p_field_kind not in ('other') then (
    select coalesce(sum(s.value::numeric) filter (where s.key = any (case p_field_kind
      when 'phone' then '{phone,integer,grouped,number,compact_date}'
      when 'integer' then '{integer,bit,compact_date,grouped}'
      when 'number' then '{integer,bit,compact_date,grouped,number}'
      when 'date' then '{date,timestamp,compact_date}'
      when 'timestamp' then '{date,timestamp,compact_date}'
      when 'boolean' then '{boolean,bit}'
      when 'text' then '{text,uuid,boolean,bit,phone,time,integer,compact_date,grouped,number}'
      else array[p_field_kind]
    end::text[])), 0)
    from jsonb_each(p_shares) as s
    having count(*) > 0
  ) end;
$function$;

revoke all on function "private"."fitting_share"(jsonb, text) from public;

grant execute on function "private"."fitting_share"(jsonb, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/forbid_foreign_table.sql

create or replace function private.forbid_foreign_table (
  p_org_id   uuid,
  p_relation text
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  delete from private.foreign_tables as f where f.org_id = p_org_id and f.relation = p_relation;
$function$;

revoke all on function "private"."forbid_foreign_table"(uuid, text) from public;

grant execute on function "private"."forbid_foreign_table"(uuid, text) to "postgres";

-- schemas/private/functions/format_hint.sql

create or replace function private.format_hint (
  p_format text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case p_format
    when 'email' then 'not an e-mail address'
    when 'url' then 'not a web address (http:// or https://)'
    when 'phone' then 'not a phone number'
    when 'uuid' then 'not a uuid'
  end;
$function$;

revoke all on function "private"."format_hint"(text) from public;

grant execute on function "private"."format_hint"(text) to "postgres";

-- schemas/private/functions/format_violation.sql

create or replace function private.format_violation (
  p_value  text,
  p_format text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case p_format
    when 'email' then format('%s !~ %L', p_value, '^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$')
    when 'url' then format('%s !~ %L', p_value, '^[hH][tT][tT][pP][sS]?://[^[:space:]/?#]+[^[:space:]]*$')
    when 'phone' then format('(%1$s !~ %2$L or char_length(%1$s) not between 5 and 30)', p_value, '^[+]?[0-9(][0-9 ()./-]+$')
    when 'uuid' then format('not pg_input_is_valid(%s, ''uuid'')', p_value)
  end;
$function$;

revoke all on function "private"."format_violation"(text, text) from public;

grant execute on function "private"."format_violation"(text, text) to "postgres";

-- schemas/private/functions/function_row_type.sql

create or replace function private.function_row_type (
  p_function  text,
  p_arguments regtype[]
)
  returns regclass
  language sql
  stable
  set search_path to ''
  AS $function$
  select e.typrelid::regclass
  from pg_proc as p
  join pg_type as a on a.oid = p.proargtypes[p.pronargs - 1]
  join pg_type as e on e.oid = a.typelem and e.typrelid <> 0
  where p.oid = to_regproc(p_function)
    and p.proargtypes[0:p.pronargs - 2]::oid[] = p_arguments::oid[];
$function$;

revoke all on function "private"."function_row_type"(text, regtype[]) from public;

grant execute on function "private"."function_row_type"(text, regtype[]) to "postgres";

-- schemas/private/functions/has_groups.sql

create or replace function private.has_groups (
  p_batch_id uuid
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select exists (select from private.import_plans as p where p.batch_id = p_batch_id and p.group_sql is not null);
$function$;

revoke all on function "private"."has_groups"(uuid) from public;

grant execute on function "private"."has_groups"(uuid) to "postgres";

-- schemas/private/functions/has_secrets.sql

create or replace function private.has_secrets (
  p_dataset text
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.is_secret);
$function$;

revoke all on function "private"."has_secrets"(text) from public;

grant execute on function "private"."has_secrets"(text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/has_table_right.sql

create or replace function private.has_table_right (
  p_plan private.import_plans
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select (p_plan.mode <> 'delete' or p_plan.key_index is null or has_table_privilege(current_user, p_plan.target, 'delete'))
    and not exists (
      select from unnest(p_plan.insert_columns) as c
      where not has_column_privilege(current_user, p_plan.target, c, 'insert')
    )
    and not exists (
      select from unnest(p_plan.update_columns) as c
      where not has_column_privilege(current_user, p_plan.target, c, 'update')
    );
$function$;

revoke all on function "private"."has_table_right"(private.import_plans) from public;

grant execute on function "private"."has_table_right"(private.import_plans) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/hashable.sql

create or replace function private.hashable (
  p_expression text,
  p_type       oid
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select case
    when exists (
      select from pg_type as t
      where t.oid = p_type
        and (
          t.typtype = 'e'
          or exists (
            select from pg_opclass as o
            join pg_am as m on m.oid = o.opcmethod and m.amname = 'hash'
            where o.opcdefault
              and (o.opcintype = t.oid or exists (
                select from pg_cast as c
                where c.castsource = t.oid and c.casttarget = o.opcintype and c.castmethod = 'b' and c.castcontext = 'i'
              ))
          )
        )
    ) then p_expression
    else p_expression || '::text'
  end;
$function$;

revoke all on function "private"."hashable"(text, oid) from public;

grant execute on function "private"."hashable"(text, oid) to "postgres";

-- schemas/private/functions/hashable_columns.sql

create or replace function private.hashable_columns (
  p_table regclass,
  p_alias text
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select string_agg(private.hashable(format('%s.%I', p_alias, a.attname), a.atttypid), ', ' order by a.attnum)
  from pg_attribute as a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    and not (
      a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
      and not has_column_privilege('authenticated', a.attrelid, a.attnum, 'update')
    );
$function$;

revoke all on function "private"."hashable_columns"(regclass, text) from public;

grant execute on function "private"."hashable_columns"(regclass, text) to "postgres";

-- schemas/private/functions/header_hash.sql

create or replace function private.header_hash (
  p_columns text[]
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select md5(array_to_string(p_columns, e'\x1f'));
$function$;

revoke all on function "private"."header_hash"(text[]) from public;

grant execute on function "private"."header_hash"(text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/hold_call.sql

create or replace function private.hold_call (
  p_task_id bigint,
  p_token   uuid
)
  returns public.sync_job_queue
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_task public.sync_job_queue;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id for update;
  perform private.require_call(v_task, p_task_id, p_token);
  return v_task;
end;
$function$;

revoke all on function "private"."hold_call"(bigint, uuid) from public;

grant execute on function "private"."hold_call"(bigint, uuid) to "postgres";

-- schemas/private/functions/hold_import.sql

create or replace function private.hold_import (
  p_params jsonb
)
  returns public.import_batches
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  if not pg_input_is_valid(p_params ->> 'import_id', 'uuid') is true then
    raise exception using
      errcode = '22023',
      message = 'params must name an import',
      hint    = 'Give { "import_id": "<uuid>" }.';
  end if;

  v_batch := private.find_import((p_params ->> 'import_id')::uuid);
  perform private.lock_organization(v_batch.org_id);
  select b.* into v_batch from public.import_batches as b where b.id = v_batch.id for no key update;
  perform private.require_import_right(v_batch); -- now: it may have been handed over meanwhile
  return v_batch;
end;
$function$;

revoke all on function "private"."hold_import"(jsonb) from public;

grant execute on function "private"."hold_import"(jsonb) to "postgres";

-- schemas/private/functions/hold_tasks.sql

create or replace function private.hold_tasks (
  p_job_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  update public.sync_job_queue as q
  set status = 'held'
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = p_job_id and w.status = 'pending'
    for update skip locked
  );
$function$;

revoke all on function "private"."hold_tasks"(uuid) from public;

grant execute on function "private"."hold_tasks"(uuid) to "postgres";

-- schemas/private/functions/import_chain.sql

create or replace function private.import_chain (
  p_batch public.import_batches
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  with parts as (
    select
      c.is_root, b.row_count, coalesce(b.invalid_count, 0) + coalesce(o.refused, 0) as failed,
      case when b.status = 'undone' then 0 else coalesce(o.applied, 0) end as applied
    from private.import_chain_ids(p_batch) as c
    join public.import_batches as b on b.id = c.id
    cross join lateral (
      select
        sum(x.refused_count) as refused,
        sum(x.inserted_count + x.updated_count + x.unchanged_count + x.deleted_count) as applied
      from private.import_outcomes as x
      where x.staged_on = b.staged_on and x.batch_id = b.id
    ) as o
  )
  select case when count(*) > 1 then jsonb_build_object(
    'rows', max(p.row_count) filter (where p.is_root),
    'applied', sum(p.applied),
    'failed', greatest(max(p.failed) filter (where p.is_root) - coalesce(sum(p.applied) filter (where not p.is_root), 0), 0)
  ) end
  from parts as p;
$function$;

revoke all on function "private"."import_chain"(public.import_batches) from public;

grant execute on function "private"."import_chain"(public.import_batches) to "postgres";

-- schemas/private/functions/import_chain_ids.sql

create or replace function private.import_chain_ids (
  p_batch public.import_batches
)
  returns table (
    id      uuid,
    is_root boolean
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  with recursive upwards as (
    select p_batch.id, p_batch.corrects, 0 as steps
    union all
    select b.id, b.corrects, u.steps + 1 from upwards as u join public.import_batches as b on b.id = u.corrects
  ),
  chain as (
    (select u.id, true as is_root from upwards as u order by u.steps desc limit 1)
    union all
    select b.id, false from chain as c join public.import_batches as b on b.corrects = c.id
  )
  select c.id, c.is_root from chain as c;
$function$;

revoke all on function "private"."import_chain_ids"(public.import_batches) from public;

grant execute on function "private"."import_chain_ids"(public.import_batches) to "postgres";

-- schemas/private/functions/import_users.sql

create or replace function private.import_users (
  p_org_id          uuid,
  p_mode            text,
  p_columns         text[],
  p_rows            jsonb,
  p_params          jsonb,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_created jsonb;
  v_batch   public.import_batches;
begin
  v_created := private.create_import(
    'users', p_mode, p_org_id, null, 'api', (select jsonb_object_agg(c, c) from unnest(p_columns) as c), '{}',
    p_idempotency_key, null, null, null, null);
  if v_created ? 'replayed' then
    return v_created;
  end if;
  select b.* into v_batch from public.import_batches as b where b.id = (v_created ->> 'id')::uuid;

  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select v_batch.staged_on, v_batch.id, r.place, r.place, array(select c.* from jsonb_array_elements_text(r.cells) as c)
  from jsonb_array_elements(p_rows) with ordinality as r (cells, place);

  -- Without a hash of its content: who asks for the same twice means it, or sends an idempotency key.
  perform private.end_staging(
    v_batch, p_columns, jsonb_array_length(p_rows), octet_length(p_rows::text), null, jsonb_path_query_array(p_rows, '$[0 to 19]'), null);
  perform private.start_import_job('validate', v_batch.id, p_params, null);
  return private.describe_import(v_batch.id);
end;
$function$;

revoke all on function "private"."import_users"(uuid, text, text[], jsonb, jsonb, text) from public;

grant execute on function "private"."import_users"(uuid, text, text[], jsonb, jsonb, text) to "postgres";

-- schemas/private/functions/ingest_limits.sql

create or replace function private.ingest_limits()
  returns jsonb
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select jsonb_build_object(
    'max_request_bytes', private.setting('imports.max_request_bytes'),
    'max_archive_bytes', private.setting('imports.max_archive_bytes'),
    'max_workbook_bytes', private.setting('imports.max_workbook_bytes'),
    'max_columns', private.setting('imports.max_columns'),
    'max_cell_bytes', private.setting('imports.max_cell_bytes'),
    'max_rows', private.setting('imports.max_rows')
  );
$function$;

revoke all on function "private"."ingest_limits"() from public;

grant execute on function "private"."ingest_limits"() to "postgres", "sluice_ingest";

-- schemas/private/functions/ingest_lock_key.sql

create or replace function private.ingest_lock_key (
  p_import_id uuid
)
  returns bigint
  language sql
  immutable
  set search_path to ''
  AS $function$
  select hashtextextended('imports.ingest:' || p_import_id, 0);
$function$;

revoke all on function "private"."ingest_lock_key"(uuid) from public;

grant execute on function "private"."ingest_lock_key"(uuid) to "postgres";

-- schemas/private/functions/initial_mapping.sql

create or replace function private.initial_mapping (
  p_batch   public.import_batches,
  p_columns text[],
  p_sample  jsonb,
  OUT       template_id uuid,
  OUT       suggested jsonb,
  OUT       mapping jsonb,
  OUT       options jsonb
)
  returns record
  language plpgsql
  stable
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  c_least    constant numeric := 0.5;
  v_template public.import_templates := private.choose_template(p_batch, p_columns);
begin
  template_id := v_template.id;
  suggested := case
    when v_template.id is not null then private.template_suggestion(v_template)
    else private.suggest_mapping(p_batch.dataset, private.file_columns(p_batch, p_columns), p_sample)
  end;
  options := private.normalize_options(coalesce(v_template.config -> 'options', '{}') || p_batch.options);

  if v_template.id is not null then
    mapping := coalesce(p_batch.mapping, v_template.config -> 'mapping');
    perform private.require_template_columns(v_template, mapping, p_columns);
  elsif p_batch.mapping is not null then
    mapping := p_batch.mapping;
  else
    mapping := coalesce((
      select jsonb_object_agg(s.key, s.value - '{confidence,reason}'::text[])
      from jsonb_each(suggested) as s
      where (s.value ->> 'confidence')::numeric >= c_least
    ), '{}');
  end if;
  mapping := private.normalize_mapping(p_batch.dataset, p_columns, mapping);
end;
$function$;

revoke all on function "private"."initial_mapping"(public.import_batches, text[], jsonb) from public;

grant execute on function "private"."initial_mapping"(public.import_batches, text[], jsonb) to "postgres";

-- schemas/private/functions/insert_accounts.sql

create or replace function private.insert_accounts (
  p_users      regclass,
  p_identities regclass,
  p_people     private.new_user[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  execute private.compile_auth_insert(p_users, 'users') using p_people;
  execute private.compile_auth_insert(p_identities, 'identities') using p_people;
end;
$function$;

revoke all on function "private"."insert_accounts"(regclass, regclass, private.new_user[]) from public;

grant execute on function "private"."insert_accounts"(regclass, regclass, private.new_user[]) to "postgres";

-- schemas/private/functions/insert_users.sql

create or replace function private.insert_users (
  p_org_id uuid,
  p_users  private.named_user[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_may_confirm constant boolean := private.may_confirm_users(p_org_id);
  v_people     private.new_user[];
  v_person     private.new_user;
  v_schema     text;
  v_constraint text;
begin
  -- A phone number signs people in where that is switched on: without the right to confirm it is but metadata.
  v_people := array(
    select row(
      gen_random_uuid(), u.org_id, u.address, (u.said).password, (u.said).password_hash, (u.said).full_name,
      coalesce((u.said).role, 'viewer'),
      case when c_may_confirm then u.digits end,
      coalesce((u.said).metadata, '{}')
        || case when u.digits is not null and not c_may_confirm then jsonb_build_object('phone', u.digits) else '{}' end,
      c_may_confirm and (u.said).send_invite is not true,
      coalesce((u.said).send_invite, not c_may_confirm)
    )::private.new_user
    from unnest(p_users) as u
  );

  begin
    perform private.insert_accounts('auth.users', 'auth.identities', v_people);
  exception when unique_violation then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name;
    if v_schema is distinct from 'auth' then
      raise; -- a trigger's
    end if;
    -- Somebody else was faster, after the rows were judged.
    if v_constraint ~ 'phone' then
      perform private.refuse_row('already_exists', 'phone', 'this phone number has an account');
    end if;
    perform private.refuse_row('already_exists', 'email', 'this address has an account');
  end;

  -- A trigger made them with the accounts. A merge that may insert has the people lead the join, whatever the
  -- statistics take the table for.
  merge into public.profiles as p
  using (select s.* from unnest(v_people) as s order by s.id) as s
  on p.id = s.id
  when matched then
    update set org_id = s.org_id, org_role = s.role, full_name = coalesce(s.full_name, p.full_name)
  when not matched then
    insert (id, email, org_id, org_role, full_name) values (s.id, s.email, s.org_id, s.role, s.full_name);

  perform private.log_users('created', array(select s.id from unnest(v_people) as s), p_org_id);

  perform private.queue_invitations(s.org_id, array_agg(s.id order by s.email))
  from unnest(v_people) as s
  where s.is_invited
  group by s.org_id;

  foreach v_person in array v_people loop
    if v_person.password is not null then
      update auth.users as u
      set encrypted_password = extensions.crypt(v_person.password, extensions.gen_salt('bf', 10))
      where u.id = v_person.id;
    end if;
  end loop;
end;
$function$;

revoke all on function "private"."insert_users"(uuid, private.named_user[]) from public;

grant execute on function "private"."insert_users"(uuid, private.named_user[]) to "postgres";

-- schemas/private/functions/invitations_left.sql

create or replace function private.invitations_left()
  returns integer
  language sql
  set search_path to ''
  AS $function$
  select case
    when bool_or(c.paused_until > clock_timestamp()) then 0
    else private.setting('users.invites_per_hour')::integer
      - coalesce(sum(c.mail_count) filter (where c.called_at > clock_timestamp() - interval '1 hour'), 0)
  end::integer
  from private.invitation_calls as c;
$function$;

revoke all on function "private"."invitations_left"() from public;

grant execute on function "private"."invitations_left"() to "postgres";

-- schemas/private/functions/is_applicable.sql

create or replace function private.is_applicable (
  p_batch public.import_batches
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select p_batch.status not in ('receiving', 'failed', 'cancelled', 'undone');
$function$;

revoke all on function "private"."is_applicable"(public.import_batches) from public;

grant execute on function "private"."is_applicable"(public.import_batches) to "postgres";

-- schemas/private/functions/is_ingested.sql

create or replace function private.is_ingested (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select true;
$function$;

revoke all on function "private"."is_ingested"(public.scheduled_jobs) from public;

grant execute on function "private"."is_ingested"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/is_ingesting.sql

create or replace function private.is_ingesting (
  p_import_id uuid
)
  returns boolean
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select exists (
    select from public.scheduled_jobs as j where j.batch_id = p_import_id and j.job_type = 'ingest' and j.finished_at is null
  );
$function$;

revoke all on function "private"."is_ingesting"(uuid) from public;

grant execute on function "private"."is_ingesting"(uuid) to "postgres";

-- schemas/private/functions/is_outbound_url.sql

create or replace function private.is_outbound_url (
  p_url text
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select p_url ~* '^https?://[^@/?#\\\s]+([/?#]\S*)?$' and length(p_url) <= 2000;
$function$;

revoke all on function "private"."is_outbound_url"(text) from public;

grant execute on function "private"."is_outbound_url"(text) to "postgres";

-- schemas/private/functions/is_own_path.sql

create or replace function private.is_own_path (
  p_path   text,
  p_org_id uuid
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select starts_with(p_path, p_org_id || '/') and p_path !~ '/\.{0,2}/|/\.{1,2}$| $|[\\?#%[:cntrl:]]';
$function$;

revoke all on function "private"."is_own_path"(text, uuid) from public;

grant execute on function "private"."is_own_path"(text, uuid) to "postgres";

-- schemas/private/functions/is_password_hash.sql

create or replace function private.is_password_hash (
  p_hash text
)
  returns boolean
  language plpgsql
  immutable
  strict
  set search_path to ''
  AS $function$
declare
  c_bcrypt   constant text := '^\$2[abxy]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}$';
  c_argon2   constant text := '^\$argon2id?\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9][0-9]?)'
    '\$(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}\$(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}$';
  c_fbscrypt constant text := '^\$fbscrypt\$v=1,n=([1-9]|1[0-4]),r=[1-8],p=([1-9]|1[0-6])'
    '(,ss=[A-Za-z0-9+/]+={0,2})?(,sk=[A-Za-z0-9+/]+={0,2})?\$[A-Za-z0-9+/]+={0,2}\$[A-Za-z0-9+/]+={0,2}$';
  v_parts text[];
begin
  if octet_length(p_hash) > 255 then
    return false;
  elsif starts_with(p_hash, '$2') then
    return p_hash ~ c_bcrypt;
  elsif starts_with(p_hash, '$fbscrypt') then
    return p_hash ~ c_fbscrypt;
  end if;
  v_parts := regexp_match(p_hash, c_argon2);
  return coalesce(v_parts[1]::integer <= 1048576 and v_parts[2]::integer <= 20 and v_parts[3]::integer <= 16, false);
end;
$function$;

revoke all on function "private"."is_password_hash"(text) from public;

grant execute on function "private"."is_password_hash"(text) to "postgres";

-- schemas/private/functions/is_preview.sql

create or replace function private.is_preview (
  p_job public.scheduled_jobs
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select p_job.phase in ('preview', 'dry_run');
$function$;

revoke all on function "private"."is_preview"(public.scheduled_jobs) from public;

grant execute on function "private"."is_preview"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/is_receiving.sql

create or replace function private.is_receiving (
  p_import_id uuid
)
  returns boolean
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select private.lock_holder(private.ingest_lock_key(p_import_id)) is not null;
$function$;

revoke all on function "private"."is_receiving"(uuid) from public;

grant execute on function "private"."is_receiving"(uuid) to "postgres";

-- schemas/private/functions/is_row_error.sql

create or replace function private.is_row_error (
  p_sqlstate text
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select p_sqlstate in ('42501', '54000') -- row security; too long for an index
    or left(p_sqlstate, 2) <> all ('{08,0A,25,26,28,2D,40,42,53,54,55,57,58,F0,HV,IM,XX}');
$function$;

revoke all on function "private"."is_row_error"(text) from public;

grant execute on function "private"."is_row_error"(text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/is_sender.sql

create or replace function private.is_sender (
  p_batch public.import_batches
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.is_service_caller() or p_batch.initiated_by = auth.uid();
$function$;

revoke all on function "private"."is_sender"(public.import_batches) from public;

grant execute on function "private"."is_sender"(public.import_batches) to "postgres";

-- schemas/private/functions/is_service_caller.sql

create or replace function private.is_service_caller()
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select case
    when nullif(current_setting('request.jwt.claims', true), '') is null
      then session_user = 'postgres' and current_setting('role') in ('none', 'postgres')
    else coalesce(current_setting('request.jwt.claims', true)::jsonb ->> 'role' = 'service_role', false)
  end;
$function$;

revoke all on function "private"."is_service_caller"() from public;

grant execute on function "private"."is_service_caller"() to "authenticated", "postgres", "service_role", "sluice_ingest";

-- schemas/private/functions/is_system_admin.sql

create or replace function private.is_system_admin()
  returns boolean
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select exists (
    select from public.profiles as p
    where p.id = (select auth.uid()) and p.is_active and p.is_system_admin
  );
$function$;

revoke all on function "private"."is_system_admin"() from public;

grant execute on function "private"."is_system_admin"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/is_users_manager.sql

create or replace function private.is_users_manager()
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.is_service_caller() or private.is_system_admin();
$function$;

revoke all on function "private"."is_users_manager"() from public;

grant execute on function "private"."is_users_manager"() to "postgres";

-- schemas/private/functions/is_view.sql

create or replace function private.is_view (
  p_relation regclass
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select exists (select from pg_class as c where c.oid = p_relation and c.relkind = 'v');
$function$;

revoke all on function "private"."is_view"(regclass) from public;

grant execute on function "private"."is_view"(regclass) to "postgres";

-- schemas/private/functions/is_written_by_function.sql

create or replace function private.is_written_by_function (
  p_batch public.import_batches
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select exists (select from public.datasets as d where d.key = p_batch.dataset and d.apply_function is not null);
$function$;

revoke all on function "private"."is_written_by_function"(public.import_batches) from public;

grant execute on function "private"."is_written_by_function"(public.import_batches) to "postgres";

-- schemas/private/functions/issue_summary.sql

create or replace function private.issue_summary (
  p_batch public.import_batches
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select coalesce(jsonb_agg(to_jsonb(s) order by s.count desc, s.code, s.field), '[]')
  from (
    select i.code, i.severity, i.field, count(*)
    from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
    group by i.code, i.severity, i.field
  ) as s;
$function$;

revoke all on function "private"."issue_summary"(public.import_batches) from public;

grant execute on function "private"."issue_summary"(public.import_batches) to "postgres";

-- schemas/private/functions/job_cursor.sql

create or replace function private.job_cursor (
  p_job public.scheduled_jobs
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select to_char(p_job.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '_' || p_job.id;
$function$;

revoke all on function "private"."job_cursor"(public.scheduled_jobs) from public;

grant execute on function "private"."job_cursor"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/join_pieces.sql

create or replace function private.join_pieces (
  p_pieces private.applied_piece[]
)
  returns private.applied_piece
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  v_all private.applied_piece;
begin
  if cardinality(p_pieces) = 1 then
    v_all := p_pieces[1];
  else
    select
      array_agg(a.row_number), array_agg(a.action), array_agg(a.record_id), array_agg(a.row_hash), array_agg(a.image)
    into v_all.row_numbers, v_all.actions, v_all.record_ids, v_all.row_hashes, v_all.images
    from unnest(p_pieces) as p
    cross join lateral unnest(p.row_numbers, p.actions, p.record_ids, p.row_hashes, p.images)
      as a (row_number, action, record_id, row_hash, image);
  end if;
  v_all.row_numbers := coalesce(v_all.row_numbers, '{}');
  v_all.actions     := coalesce(v_all.actions, '{}');
  v_all.record_ids  := coalesce(v_all.record_ids, '{}');
  v_all.row_hashes  := coalesce(v_all.row_hashes, '{}');
  v_all.images      := coalesce(v_all.images, '{}');
  return v_all;
end;
$function$;

revoke all on function "private"."join_pieces"(private.applied_piece[]) from public;

grant execute on function "private"."join_pieces"(private.applied_piece[]) to "postgres";

-- schemas/private/functions/judge_range.sql

create or replace function private.judge_range (
  p_batch    public.import_batches,
  p_from_row integer,
  p_reached  integer,
  p_acted    integer[],
  p_refused  private.refused_row[],
  p_missing  integer[]
)
  returns private.range_fates
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_fates private.range_fates;
begin
  -- Of the record's rows the first valid one tells why, the others that they go with it. A trigger of the
  -- statement refuses windows without a valid row as well: those rows have their fate already.
  v_fates.refused := '{}';
  if p_refused is not null then
    v_fates.refused := array(
      select row(
        v.row_number, r.sqlstate, r.message, r.column_name, r.constraint_name,
        nullif(first_value(v.row_number) over (partition by v.record_row order by v.row_number), v.row_number)
      )::private.refused_fate
      from unnest(p_refused) as r
      join private.valid_rows(p_batch.id, p_from_row, p_reached) as v on v.record_row = r.row_number
      order by v.row_number
    );
  end if;

  select f.total, f.failed, f.skipped into v_fates.total, v_fates.failed, v_fates.skipped
  from private.chunk_fates(p_batch, p_from_row, p_reached) as f;
  v_fates.absent := '{}';
  v_fates.unchanged := v_fates.total - v_fates.failed - cardinality(v_fates.skipped) - cardinality(p_acted) - cardinality(v_fates.refused);
  if v_fates.unchanged > 0 and p_batch.mode in ('insert', 'delete') then
    v_fates.absent := array(
      select v.row_number from private.valid_rows(p_batch.id, p_from_row, p_reached) as v
      except select unnest(p_acted)
      except select r.row_number from unnest(v_fates.refused) as r
      order by 1
    );
  elsif p_batch.mode = 'update' then
    v_fates.absent := array(
      select unnest(p_missing) except select r.row_number from unnest(v_fates.refused) as r order by 1
    );
  end if;
  v_fates.unchanged := v_fates.unchanged - cardinality(v_fates.absent);
  return v_fates;
end;
$function$;

revoke all on function "private"."judge_range"(public.import_batches, integer, integer, integer[], private.refused_row[], integer[]) from public;

grant execute on function "private"."judge_range"(public.import_batches, integer, integer, integer[], private.refused_row[], integer[]) to "postgres";

-- schemas/private/functions/judge_reversals.sql

create or replace function private.judge_reversals (
  p_batch_id   uuid,
  p_chunk      integer,
  p_from_entry integer,
  p_to_entry   integer
)
  returns SETOF private.judged_record
  language plpgsql
  security definer
  rows 20000
  set search_path to ''
  set enable_seqscan to 'off'
  AS $function$
declare
  v_batch      public.import_batches := private.require_running_job(p_batch_id, '{undo}');
  v_dataset    public.datasets;
  v_hash_sql   text := (select p.hash_sql from private.import_plans as p where p.batch_id = p_batch_id);
  v_ids        uuid[];
  v_now        private.record_state[];
  v_referenced uuid[];
begin
  select d.* into v_dataset from public.datasets as d where d.key = v_batch.dataset;
  v_ids := array(
    select w.record_id from private.written_records(v_batch.staged_on, p_batch_id, p_chunk) as w
    where w.entry > p_from_entry and w.entry <= p_to_entry
  );

  execute format('select from %1$s as t where (%2$s) is true and t.%3$I = any ($2) order by t.%3$I for update',
    v_dataset.target, private.of_organization('t', v_dataset.org_column, '$1'), v_dataset.id_column)
  using v_batch.org_id, v_ids;
  if v_dataset.lines is not null then
    execute format('select from %1$s as l where l.%2$I = any ($1) order by l.%2$I for update',
      v_dataset.lines, private.lines_column(v_dataset.lines::regclass, v_dataset.target::regclass))
    using v_ids;
  end if;

  execute format('select array_agg(row(null, t.%1$I, %2$s, null)::private.record_state) from %3$s as t where (%4$s) is true and t.%1$I = any ($2)',
    v_dataset.id_column, v_hash_sql, v_dataset.target, private.of_organization('t', v_dataset.org_column, '$1'))
  into v_now using v_batch.org_id, v_ids;
  v_referenced := private.referenced_records(v_dataset, v_ids);

  return query select j.* from private.compare_written(v_batch, p_chunk, p_from_entry, p_to_entry, v_now, v_referenced) as j;
end;
$function$;

revoke all on function "private"."judge_reversals"(uuid, integer, integer, integer) from public;

grant execute on function "private"."judge_reversals"(uuid, integer, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/judge_users.sql

create or replace function private.judge_users (
  p_org_id uuid,
  p_mode   public.import_mode,
  p_users  private.named_user[]
)
  returns table (
    place   integer,
    field   text,
    code    text,
    message text,
    value   text
  )
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_is_manager  constant boolean := private.is_users_manager();
  c_may_confirm constant boolean := private.may_confirm_users(p_org_id);
  c_role        constant public.org_role := (select p.org_role from public.profiles as p where p.id = auth.uid());
  c_min_length  constant integer := private.setting('users.password_min_length', p_org_id)::integer;
  c_kinds       constant integer := private.setting('users.password_kinds', p_org_id)::integer;
begin
  return query
  with named as (
    select
      u.*,
      (u.said).*,
      private.email_fault(u.address) as email_fault,
      private.password_fault((u.said).password, c_min_length, c_kinds) as password_fault,
      coalesce(u.person_org_id = u.org_id, false) as is_theirs,
      p_mode = 'insert' or p_mode = 'upsert' and u.person_org_id is distinct from u.org_id as is_new,
      -- no admin any more
      u.is_active_admin and (c_is_manager or u.person_org_id = p_org_id) and case p_mode
        when 'delete' then not u.is_system_admin and u.person_id is distinct from auth.uid()
        else u.person_org_id = u.org_id and (u.said).role < 'admin'
      end as leaves
    from unnest(p_users) as u
  ),
  counted as (
    select
      n.*,
      n.leaves
        and n.place = max(n.place) filter (where n.leaves) over (partition by n.person_org_id)
        and not exists (
          select from public.profiles as p
          join auth.users as a on a.id = p.id and a.deleted_at is null -- the auth service keeps some, for reference
          where p.org_id = n.person_org_id and p.org_role = 'admin' and p.is_active
            and p.id not in (select l.person_id from named as l where l.leaves)
        ) as is_last_admin
    from named as n
  )
  select distinct on (u.place, j.field) u.place, j.field, j.code, j.message, j.value
  from (
    select u.place, array_remove(array[
      case when u.is_new and u.email_fault is not null
        then row('email', 'invalid_format', 'not an e-mail address: ' || u.email_fault, u.email)::private.user_fault end,
      case when u.is_new and u.is_taken
        then row('email', 'already_exists', 'this address has an account', u.address)::private.user_fault end,
      case when p_mode = 'update' and not u.is_theirs
          or p_mode = 'delete' and (u.person_id is null or not c_is_manager and u.person_org_id is distinct from p_org_id)
        then row('email', 'not_found', 'no record has this key', u.address)::private.user_fault end,
      case when p_mode in ('update', 'upsert') and u.is_theirs and u.is_system_admin and not c_is_manager
        then row('email', 'system_admin', 'system admins are not the caller''s to change', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.person_id = auth.uid()
        then row('email', 'own_account', 'one''s own account is not deleted', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.is_system_admin
        then row('email', 'system_admin', 'system admins are not deleted', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.is_last_admin
        then row('email', 'last_admin', 'the last admin of an organization is not deleted', u.address)::private.user_fault end,
      case when p_mode <> 'delete' and u.is_last_admin
        then row('role', 'last_admin', 'the last admin of an organization stays one', u.role::text)::private.user_fault end,
      case when p_mode <> 'delete' and not c_is_manager and u.role > c_role
        then row('role', 'permission_denied', 'a role above one''s own is not given', u.role::text)::private.user_fault end,
      case when p_mode <> 'delete' and not c_is_manager and u.org_id is distinct from p_org_id
        then row('organization', 'permission_denied', 'only system admins name another organization', u.organization)::private.user_fault end,
      case when p_mode <> 'delete' and u.org_id is null
        then row('organization', 'reference_not_found', 'no organization has this slug, nor exactly one this name', u.organization)::private.user_fault end,
      case when p_mode <> 'delete' and u.password is not null and not c_may_confirm
        then row('password', 'permission_denied', 'passwords are not the caller''s to set: leave the column unmapped, and people are invited', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_hash is not null and not c_may_confirm
        then row('password_hash', 'permission_denied', 'hashes are not the caller''s to set: leave the column unmapped, and people are invited', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password is not null and u.password_hash is not null
        then row('password_hash', 'invalid_format', 'password and hash exclude each other', null)::private.user_fault end,
      case when p_mode <> 'delete' and octet_length(u.password) > 72
        then row('password', 'too_long', 'longer than 72 bytes', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_fault is not null
        then row('password', 'invalid_format', u.password_fault, null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_hash is not null and not private.is_password_hash(u.password_hash)
        then row('password_hash', 'invalid_format', 'unknown kind of hash: bcrypt, argon2i, argon2id and fbscrypt are', null)::private.user_fault end,
      case when u.is_new and u.digits !~ '^[1-9][0-9]{6,14}$'
        then row('phone', 'invalid_format', 'not a phone number in international form: +49 30 123456', u.phone)::private.user_fault end,
      case when u.is_new and c_may_confirm and exists (select from auth.users as o where o.phone = u.digits)
        then row('phone', 'already_exists', 'this phone number has an account', u.phone)::private.user_fault end,
      case when p_mode <> 'delete' and jsonb_typeof(u.metadata) <> 'object'
        then row('metadata', 'invalid_type', 'not a JSON object', u.metadata::text)::private.user_fault end
    ], null) as faults
    from counted as u
  ) as u
  cross join lateral unnest(u.faults) with ordinality as j (field, code, message, value, position)
  order by u.place, j.field, j.position;
end;
$function$;

revoke all on function "private"."judge_users"(uuid, public.import_mode, private.named_user[]) from public;

grant execute on function "private"."judge_users"(uuid, public.import_mode, private.named_user[]) to "postgres";

-- schemas/private/functions/keep_preview.sql

create or replace function private.keep_preview (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_preview private.import_previews;
begin
  if p_job.status = 'failed' then
    return;
  end if;

  delete from private.import_previews as p where p.batch_id = p_job.batch_id returning p.* into v_preview;
  if p_job.status = 'completed' then
    v_preview.counts := private.add_counts('{"insert": 0, "update": 0, "unchanged": 0, "delete": 0, "fail": 0, "skip": 0}', v_preview.counts);
    insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
    values (
      p_job.org_id, 'import', p_job.entity_type, p_job.batch_id || ':' || coalesce(p_job.actor::text, 'service'),
      jsonb_build_object(
        'kind', case p_job.phase when 'dry_run' then 'full' else 'counts' end, 'counts', v_preview.counts, 'changes', v_preview.changes
      )
    );
    update public.scheduled_jobs as j set result = v_preview.counts where j.id = p_job.id;
  end if;
end;
$function$;

revoke all on function "private"."keep_preview"(public.scheduled_jobs) from public;

grant execute on function "private"."keep_preview"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/keeps_state.sql

create or replace function private.keeps_state (
  p_old public.sync_sources,
  p_new public.sync_sources
)
  returns boolean
  language sql
  immutable
  set search_path to ''
  AS $function$
  select (p_old.dataset, p_old.kind, p_old.location, p_old.secret_name, p_old.options, p_old.mode, p_old.template_id, p_old.mapping, p_old.import_options)
    is not distinct from
    (p_new.dataset, p_new.kind, p_new.location, p_new.secret_name, p_new.options, p_new.mode, p_new.template_id, p_new.mapping, p_new.import_options);
$function$;

revoke all on function "private"."keeps_state"(public.sync_sources, public.sync_sources) from public;

grant execute on function "private"."keeps_state"(public.sync_sources, public.sync_sources) to "postgres";

-- schemas/private/functions/key_buckets.sql

create or replace function private.key_buckets (
  p_batch public.import_batches
)
  returns integer
  language sql
  immutable
  set search_path to ''
  AS $function$
  select ceil(greatest(p_batch.row_count, 1) / 500000.0)::integer;
$function$;

revoke all on function "private"."key_buckets"(public.import_batches) from public;

grant execute on function "private"."key_buckets"(public.import_batches) to "postgres";

-- schemas/private/functions/keyless_count.sql

create or replace function private.keyless_count (
  p_batch public.import_batches
)
  returns integer
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_condition text;
  v_count     integer;
begin
  select string_agg(format('%s is null', private.readable_key(f)), ' or ') into v_condition
  from unnest(private.planned_fields(p_batch)) as f
  join public.datasets as d on d.key = p_batch.dataset and f.name = any (private.record_key(d));
  execute format('select count(*) from private.import_rows as r where r.staged_on = $1 and r.batch_id = $2 and (%s)', v_condition)
  into v_count using p_batch.staged_on, p_batch.id;
  return v_count;
end;
$function$;

revoke all on function "private"."keyless_count"(public.import_batches) from public;

grant execute on function "private"."keyless_count"(public.import_batches) to "postgres";

-- schemas/private/functions/letter_case.sql

create or replace function private.letter_case (
  p_values text[],
  p_rules  jsonb
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select c.letter_case
  from (values (1, null), (2, 'upper'), (3, 'lower')) as c (position, letter_case)
  where p_rules ?| '{one_of,pattern}' and (p_rules -> 'lower')::boolean is not true and not exists (
    select
    from unnest(p_values) as v
    cross join lateral (
      select case c.letter_case when 'upper' then upper(v) when 'lower' then lower(v) else v end
    ) as w (value)
    where not coalesce(p_rules -> 'one_of' ? w.value, true) or w.value !~ (p_rules ->> 'pattern')
  )
  order by c.position
  limit 1;
$function$;

revoke all on function "private"."letter_case"(text[], jsonb) from public;

grant execute on function "private"."letter_case"(text[], jsonb) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/lines_column.sql

create or replace function private.lines_column (
  p_lines regclass,
  p_table regclass
)
  returns name
  language sql
  stable
  set search_path to ''
  AS $function$
  select a.attname
  from pg_constraint as c
  cross join lateral unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
  join pg_index as i on i.indrelid = c.confrelid and i.indisprimary and i.indkey[0] = k.ref_attnum
  join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
  where c.conrelid = p_lines and c.confrelid = p_table and c.contype = 'f'
  order by c.conname
  limit 1;
$function$;

revoke all on function "private"."lines_column"(regclass, regclass) from public;

grant execute on function "private"."lines_column"(regclass, regclass) to "postgres";

-- schemas/private/functions/list_expired_files.sql

create or replace function private.list_expired_files()
  returns text[]
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select array(select f.name from private.expired_files(1000) as f (name));
$function$;

revoke all on function "private"."list_expired_files"() from public;

grant execute on function "private"."list_expired_files"() to "postgres", "service_role";

-- schemas/private/functions/lock_holder.sql

create or replace function private.lock_holder (
  p_key bigint
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select l.pid
  from pg_locks as l
  where l.locktype = 'advisory'
    and l.objsubid = 1 -- of one bigint, whose halves are the next two
    and (l.classid::bigint << 32 | l.objid::bigint) = p_key
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.granted;
$function$;

revoke all on function "private"."lock_holder"(bigint) from public;

grant execute on function "private"."lock_holder"(bigint) to "postgres";

-- schemas/private/functions/lock_organization.sql

create or replace function private.lock_organization (
  p_org_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select pg_advisory_xact_lock(hashtextextended('jobs.organization:' || p_org_id, 0));
$function$;

revoke all on function "private"."lock_organization"(uuid) from public;

grant execute on function "private"."lock_organization"(uuid) to "postgres";

-- schemas/private/functions/lock_records.sql

create or replace function private.lock_records (
  p_batch_id uuid,
  p_keys     text[]
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  set enable_seqscan to 'off'
  AS $function$
declare
  v_batch   public.import_batches := private.require_running_job(p_batch_id, '{dry_run,commit}');
  v_dataset public.datasets;
  v_field   public.dataset_fields;
begin
  select d.* into v_dataset from public.datasets as d where d.key = v_batch.dataset;
  select f.* into v_field from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = any (private.record_key(v_dataset));
  execute format('select from %1$s as t where %2$s and t.%3$I = any ($2::%4$s[]) order by t.%3$I for update',
    v_dataset.target, private.of_organization('t', v_dataset.org_column, '(select $1::uuid)'), v_field.column_name, v_field.type)
  using v_batch.org_id, p_keys;
end;
$function$;

revoke all on function "private"."lock_records"(uuid, text[]) from public;

grant execute on function "private"."lock_records"(uuid, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/lock_session.sql

create or replace function private.lock_session (
  p_session_id uuid
)
  returns public.import_sessions
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions;
begin
  perform private.lock_organization(s.org_id)
  from public.import_sessions as s
  where s.id = p_session_id and private.session_standing(s) is not null;
  perform from public.import_batches as b
  where b.id = (select s.batch_id from public.import_sessions as s where s.id = p_session_id)
  for update;
  select s.* into v_session from public.import_sessions as s where s.id = p_session_id for update;

  case private.session_standing(v_session)
    when 'owner' then
      return v_session;
    when 'shared' then
      raise exception using
        errcode = '42501',
        message = 'session is another person''s',
        detail  = format('session %s is shared with the caller', p_session_id);
    else
      raise exception using errcode = 'PT404', message = 'import session not found';
  end case;
end;
$function$;

revoke all on function "private"."lock_session"(uuid) from public;

grant execute on function "private"."lock_session"(uuid) to "postgres";

-- schemas/private/functions/log_activity.sql

create or replace function private.log_activity (
  p_org_id        uuid,
  p_entity_type   public.sync_entity_type,
  p_action        public.sync_action,
  p_status        public.sync_status_type,
  p_sync_id       text,
  p_details       jsonb                   default '{}'::jsonb,
  p_error_message text                    default null::text
)
  returns void
  language sql
  security definer
  set search_path to ''
  AS $function$
  insert into public.sync_activity_log (org_id, user_id, sync_id, entity_type, action, status, details, error_message)
  values (p_org_id, auth.uid(), p_sync_id, p_entity_type, p_action, p_status, coalesce(p_details, '{}'), p_error_message);
$function$;

revoke all on function "private"."log_activity"(uuid, public.sync_entity_type, public.sync_action, public.sync_status_type, text, jsonb, text) from public;

grant execute on function "private"."log_activity"(uuid, public.sync_entity_type, public.sync_action, public.sync_status_type, text, jsonb, text) to "postgres";

-- schemas/private/functions/log_job_activity.sql

create or replace function private.log_job_activity (
  p_job    public.scheduled_jobs,
  p_action public.sync_action,
  p_status public.sync_status_type
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.log_activity(
    p_job.org_id, p_job.entity_type, p_action, p_status, coalesce(p_job.batch_id, p_job.id)::text,
    jsonb_build_object('job_id', p_job.id, 'job_type', p_job.job_type)
  );
$function$;

revoke all on function "private"."log_job_activity"(public.scheduled_jobs, public.sync_action, public.sync_status_type) from public;

grant execute on function "private"."log_job_activity"(public.scheduled_jobs, public.sync_action, public.sync_status_type) to "postgres";

-- schemas/private/functions/log_session.sql

create or replace function private.log_session (
  p_session public.import_sessions,
  p_action  public.sync_action,
  p_details jsonb
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.log_activity(
    p_session.org_id, d.entity_type, p_action, 'completed', p_session.batch_id::text,
    jsonb_build_object('session_id', p_session.id, 'file_name', p_session.file_name) || p_details
  )
  from public.import_batches as b
  join public.datasets as d on d.key = b.dataset
  where b.id = p_session.batch_id;
$function$;

revoke all on function "private"."log_session"(public.import_sessions, public.sync_action, jsonb) from public;

grant execute on function "private"."log_session"(public.import_sessions, public.sync_action, jsonb) to "postgres";

-- schemas/private/functions/log_source_activity.sql

create or replace function private.log_source_activity (
  p_source  public.sync_sources,
  p_action  public.sync_action,
  p_details jsonb               default '{}'::jsonb
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.log_activity(
    p_source.org_id, (select d.entity_type from public.datasets as d where d.key = p_source.dataset), p_action, 'completed', p_source.id::text,
    jsonb_build_object('source', p_source.name, 'dataset', p_source.dataset, 'kind', p_source.kind) || p_details
  );
$function$;

revoke all on function "private"."log_source_activity"(public.sync_sources, public.sync_action, jsonb) from public;

grant execute on function "private"."log_source_activity"(public.sync_sources, public.sync_action, jsonb) to "postgres";

-- schemas/private/functions/log_users.sql

create or replace function private.log_users (
  p_action public.sync_action,
  p_ids    uuid[],
  p_org_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  insert into public.sync_activity_log (org_id, user_id, sync_id, entity_type, action, status, details)
  select
    coalesce(p.org_id, p_org_id), auth.uid(), nullif(current_setting('sluice.import_id', true), ''), 'user', p_action, 'completed',
    jsonb_build_object('user_id', p.id, 'email', p.email, 'role', p.org_role)
  from public.profiles as p
  where p.id = any (p_ids);
$function$;

revoke all on function "private"."log_users"(public.sync_action, uuid[], uuid) from public;

grant execute on function "private"."log_users"(public.sync_action, uuid[], uuid) to "postgres";

-- schemas/private/functions/match_names.sql

create or replace function private.match_names (
  p_dataset text,
  p_columns text[]
)
  returns table (
    field           text,
    field_position  integer,
    "column"        text,
    column_position bigint,
    confidence      numeric,
    reason          text
  )
  language sql
  stable
  set search_path to ''
  set enable_nestloop to 'off'
  AS $function$
  with names as materialized (
    select row_number() over () as id, f.name as field, f.position, n.name, n.weight, n.reason, private.plain_name(n.name) as plain
    from public.dataset_fields as f
    cross join lateral (
      select f.name, 1.0, 'name'
      union all select f.label, 0.95, 'label'
      union all select a, 0.9, 'alias' from unnest(f.aliases) as a
    ) as n (name, weight, reason)
    where f.dataset = p_dataset
  ),
  columns as materialized (
    select c.name, c.position, private.plain_name(c.name) as plain
    from unnest(p_columns) with ordinality as c (name, position)
    where length(c.name) <= 100 -- longer ones are no names
  ),
  column_trigrams as materialized (
    select c.position, u.trigram, count(*) over (partition by u.trigram) > 50 as is_common
    from columns as c
    cross join unnest(extensions.show_trgm(c.name)) as u (trigram)
  ),
  column_parts as (
    select c.position, c.trigram, count(*) over (partition by c.position) as size from column_trigrams as c where not c.is_common
  ),
  name_parts as (
    select n.id, u.trigram, count(*) over (partition by n.id) as size
    from names as n
    cross join unnest(extensions.show_trgm(n.name)) as u (trigram)
    where not exists (select from column_trigrams as c where c.trigram = u.trigram and c.is_common)
  ),
  likenesses as (
    select n.id, c.position, count(*)::numeric / (max(n.size) + max(c.size) - count(*)) as likeness
    from name_parts as n
    join column_parts as c using (trigram)
    group by n.id, c.position
    having count(*) * 3 >= max(n.size) + max(c.size) - count(*)
  )
  select n.field, n.position, c.name, c.position, n.weight, n.reason
  from names as n
  join columns as c on c.plain = n.plain and c.plain <> ''
  union all
  select n.field, n.position, c.name, c.position, n.weight * least(l.likeness, 0.9), 'likeness'
  from likenesses as l
  join names as n on n.id = l.id
  join columns as c on c.position = l.position and c.plain <> n.plain;
$function$;

revoke all on function "private"."match_names"(text, text[]) from public;

grant execute on function "private"."match_names"(text, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/may_confirm_users.sql

create or replace function private.may_confirm_users (
  p_org_id uuid
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.is_users_manager() or private.setting('users.may_confirm', p_org_id)::boolean;
$function$;

revoke all on function "private"."may_confirm_users"(uuid) from public;

grant execute on function "private"."may_confirm_users"(uuid) to "postgres";

-- schemas/private/functions/may_feed.sql

create or replace function private.may_feed (
  p_source   public.sync_sources,
  p_uploader text
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select p_uploader is null or exists (
    select from public.profiles as p
    where p.id::text = p_uploader and p.is_active and (p.is_system_admin or (
      p.org_id = p_source.org_id
      and p.org_role >= private.role_for(p_source.dataset, case p_source.mode when 'mirror' then 'admin' else 'member' end::public.org_role)
      and not exists (select from public.profiles as o where o.id = p_source.owner and o.is_system_admin)
    ))
  );
$function$;

revoke all on function "private"."may_feed"(public.sync_sources, text) from public;

grant execute on function "private"."may_feed"(public.sync_sources, text) to "postgres";

-- schemas/private/functions/missing_records.sql

create or replace function private.missing_records (
  p_source public.sync_sources,
  p_batch  public.import_batches,
  OUT      known integer,
  OUT      missing uuid[],
  OUT      shared uuid[]
)
  returns record
  language plpgsql
  stable
  set search_path to ''
  set enable_nestloop to 'off'
  set jit to 'off'
  set work_mem to '64MB'
  AS $function$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  perform private.require_rows(p_batch); -- else it lacks everything
  execute format($q$
select count(*), coalesce(array_agg(s.record_id) filter (where p.id is null and not o.is_shared), '{}'),
  coalesce(array_agg(s.record_id) filter (where p.id is null and o.is_shared), '{}')
from private.sync_records as s
cross join lateral (
  select exists (
    select from private.sync_records as x where x.record_id = s.record_id and x.source_id <> s.source_id
  ) as is_shared
) as o
join %s as t on t.%I = s.record_id and %s
left join (%s) as p on p.id = s.record_id
where s.source_id = $4 $q$,
    v_dataset.target, v_dataset.id_column, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'),
    private.compile_presence(p_batch, false))
  into known, missing, shared
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;
end;
$function$;

revoke all on function "private"."missing_records"(public.sync_sources, public.import_batches) from public;

grant execute on function "private"."missing_records"(public.sync_sources, public.import_batches) to "postgres";

-- schemas/private/functions/name_users.sql

create or replace function private.name_users (
  p_org_id uuid,
  p_rows   private.user_row[]
)
  returns SETOF private.named_user
  language sql
  stable
  rows 2000
  set search_path to ''
  set enable_hashjoin to 'off'
  set enable_mergejoin to 'off'
  set enable_seqscan to 'off'
  AS $function$
  with organizations as materialized ( -- anybody may take names: one's own comes first, and Acme is rather a name than a slug
    select n.name, coalesce(
      (select o.id from public.organization as o where o.id = p_org_id and lower(n.name) in (o.slug, lower(o.name))),
      (select o.id from public.organization as o where o.slug = n.name),
      (
        select case count(*)
          when 0 then (select s.id from public.organization as s where s.slug = lower(n.name))
          when 1 then any_value(o.id)
        end
        from public.organization as o
        where lower(o.name) = lower(n.name)
      )
    ) as id
    from (select distinct btrim(r.organization) as name from unnest(p_rows) as r) as n
  )
  select
    r.place::integer,
    row(r.email, r.password, r.password_hash, r.full_name, r.role, r.phone, r.metadata, r.organization, r.send_invite)::private.user_row,
    lower(r.email),
    private.phone_digits(r.phone),
    case when r.organization is null then p_org_id else o.id end,
    p.id,
    p.org_id,
    p.org_role,
    p.is_active and p.org_role = 'admin',
    p.is_system_admin,
    p.id is not null or exists (
      select from auth.identities as i where i.email = lower(r.email) and i.provider not like 'sso:%'
    )
  from unnest(p_rows) with ordinality
    as r (email, password, password_hash, full_name, role, phone, metadata, organization, send_invite, place)
  left join organizations as o on o.name = btrim(r.organization)
  left join lateral (
    select f.*
    from (select a.* from public.profiles as a where lower(a.email) = lower(r.email) offset 0) as f
    where exists (select from auth.users as u where u.id = f.id and not u.is_sso_user offset 0)
    limit 1
  ) as p on true;
$function$;

revoke all on function "private"."name_users"(uuid, private.user_row[]) from public;

grant execute on function "private"."name_users"(uuid, private.user_row[]) to "postgres";

-- schemas/private/functions/next_invitation.sql

create or replace function private.next_invitation (
  p_token   uuid,
  p_outcome jsonb
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_longest constant interval := '100 seconds'; -- well within what an edge function lives
  v_call    private.invitation_calls;
  v_person  uuid;
  v_email   text;
begin
  select c.* into v_call from private.invitation_calls as c where c.token = p_token for update;
  if (v_call.ended_at is null and v_call.expires_at > clock_timestamp()) is not true then
    raise exception using
      errcode = 'PT409',
      message = 'call of the worker function is over',
      detail  = format('invitations, token %s', p_token),
      hint    = 'Stop: another call goes on.';
  end if;

  if v_call.user_id = (p_outcome ->> 'user_id')::uuid then -- else it was said before
    perform private.record_invitation(v_call, p_outcome);
    select c.* into v_call from private.invitation_calls as c where c.token = p_token;
  end if;

  if v_call.ended_at is null and v_call.called_at > clock_timestamp() - c_longest and private.invitations_left() > 0 then
    v_person := private.due_invitation();
  end if;

  update public.user_invitations as i
  set status = 'sending', attempts = i.attempts + 1, tried_at = clock_timestamp(), email = lower(u.email),
      next_attempt_at = clock_timestamp() + interval '3 minutes'
  from auth.users as u
  where i.user_id = v_person and u.id = i.user_id
  returning i.email into v_email;

  if not found then
    update private.invitation_calls as c set ended_at = clock_timestamp() where c.token = p_token;
    return null;
  end if;

  update private.invitation_calls as c
  set user_id = v_person, mail_count = c.mail_count + 1, expires_at = clock_timestamp() + interval '3 minutes'
  where c.token = p_token;
  return jsonb_build_object('user_id', v_person, 'email', v_email);
end;
$function$;

revoke all on function "private"."next_invitation"(uuid, jsonb) from public;

grant execute on function "private"."next_invitation"(uuid, jsonb) to "postgres", "service_role";

-- schemas/private/functions/normalize_mapping.sql

create or replace function private.normalize_mapping (
  p_dataset text,
  p_columns text[],
  p_mapping jsonb
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_entry      record;
  v_form       jsonb;
  v_columns    jsonb;
  v_stranger   text;
  v_normalized jsonb := '{}';
begin
  if jsonb_typeof(p_mapping) is distinct from 'object' then
    raise exception using
      errcode = '22023',
      message = 'mapping must be an object',
      hint    = 'Give { "<field>": "<column>" } or { "<field>": { "column": …, "transforms": […], "default": … } }.';
  end if;

  for v_entry in select e.key as field, e.value as given from jsonb_each(p_mapping) as e loop
    if not exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.name = v_entry.field) then
      raise exception using
        errcode = '22023',
        message = 'mapping names an unknown field',
        detail  = format('dataset %s has no field %s', p_dataset, v_entry.field),
        hint    = format('Its fields are: %s.', (
          select string_agg(f.name, ', ' order by f.position) from public.dataset_fields as f where f.dataset = p_dataset
        ));
    end if;

    continue when jsonb_typeof(v_entry.given) = 'null'; -- left out on purpose

    v_form := case jsonb_typeof(v_entry.given)
      when 'string' then jsonb_build_object('column', v_entry.given)
      when 'object' then v_entry.given
      else '{}'
    end;
    v_columns := case
      when v_form ? 'columns' then v_form -> 'columns'
      when v_form ? 'column' then jsonb_build_array(v_form -> 'column')
      else '[]'
    end;

    -- Before all else: what is wrong with it is not to be quoted.
    if exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.name = v_entry.field and f.is_secret)
      and (
        v_columns is distinct from jsonb_build_array(v_columns ->> 0)
        or v_form - '{column,columns,transforms,default}'::text[] <> '{}'
        or coalesce(v_form -> 'transforms', '[]') <> '[]'
        or v_form ->> 'default' is not null
      ) then
      raise exception using
        errcode = '22023',
        message = 'secret field takes one column, as it is',
        detail  = format('field %s', v_entry.field),
        hint    = 'Give the name of a column, without transforms and default.';
    end if;

    if v_form - '{column,columns,transforms,default}'::text[] <> '{}'
      or v_form = '{}'
      or jsonb_typeof(v_columns) <> 'array'
      or jsonb_path_exists(v_columns, 'strict $[*] ? (@.type() != "string")')
      or jsonb_typeof(coalesce(v_form -> 'transforms', '[]')) <> 'array'
      or jsonb_typeof(coalesce(v_form -> 'default', 'null')) not in ('string', 'number', 'boolean', 'null')
      or (v_columns = '[]' and v_form ->> 'default' is null) then
      raise exception using
        errcode = '22023',
        message = 'mapping of a field is not understood',
        detail  = format('%s: %s', v_entry.field, v_entry.given),
        hint    = 'Give a column''s name, or an object of column or columns, transforms (a list) and default.';
    end if;

    -- What they come to together is one value: it must fit into memory.
    if jsonb_array_length(v_columns) > 10
      or (select count(distinct c) from jsonb_array_elements_text(v_columns) as c) < jsonb_array_length(v_columns) then
      raise exception using
        errcode = '22023',
        message = 'mapping of a field names too many columns',
        detail  = format('%s: %s', v_entry.field, left(v_columns::text, 200)),
        hint    = 'A field takes up to 10 columns, each of them once.';
    end if;

    select c into v_stranger
    from jsonb_array_elements_text(v_columns) as c
    where p_columns is not null and c <> all (p_columns)
    limit 1;
    if found then
      raise exception using
        errcode = '22023',
        message = 'mapping names an unknown column',
        detail  = format('field %s: the file has no column %s', v_entry.field, to_json(v_stranger)),
        hint    = format('Its columns are: %s.', left(array_to_string(p_columns, ', '), 1000));
    end if;

    v_normalized := v_normalized || jsonb_build_object(v_entry.field, jsonb_build_object(
      'columns', v_columns,
      'transforms', coalesce(v_form -> 'transforms', '[]'),
      'default', v_form ->> 'default'
    ));
  end loop;
  perform private.require_separate_secrets(p_dataset, v_normalized);
  return v_normalized;
end;
$function$;

revoke all on function "private"."normalize_mapping"(text, text[], jsonb) from public;

grant execute on function "private"."normalize_mapping"(text, text[], jsonb) to "postgres";

-- schemas/private/functions/normalize_options.sql

create or replace function private.normalize_options (
  p_options jsonb
)
  returns jsonb
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  c_values constant jsonb := '{
    "duplicates": ["error", "keep_first", "keep_last"],
    "on_error": ["skip", "abort"],
    "blank": ["ignore", "clear"]
  }';
  v_wrong text;
begin
  if jsonb_typeof(p_options) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;

  select format('%s: %s', o.key, o.value) into v_wrong
  from jsonb_each(p_options) as o
  where not coalesce(c_values -> o.key @> o.value and jsonb_typeof(o.value) = 'string', false)
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'option is not understood',
      detail  = v_wrong,
      hint    = 'Options are duplicates (error, keep_first, keep_last), on_error (skip, abort) and blank (ignore, clear).';
  end if;
  return '{"duplicates": "error", "on_error": "skip", "blank": "ignore"}'::jsonb || p_options;
end;
$function$;

revoke all on function "private"."normalize_options"(jsonb) from public;

grant execute on function "private"."normalize_options"(jsonb) to "postgres";

-- schemas/private/functions/normalize_prerequisites.sql

create or replace function private.normalize_prerequisites (
  p_org_id uuid,
  p_ids    uuid[]
)
  returns uuid[]
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_most constant integer := 100;
  v_ids      uuid[] := array(select distinct i.id from unnest(p_ids) as i (id) order by i.id);
  v_stranger uuid;
begin
  if cardinality(v_ids) > c_most then
    raise exception using
      errcode = '22023',
      message = 'depends_on names too many imports',
      detail  = format('got %s', cardinality(v_ids)),
      hint    = format('At most %s; put them into a set.', c_most);
  end if;

  select i.id into v_stranger
  from unnest(v_ids) as i (id)
  where not exists (
    select from public.import_batches as b
    where b.id = i.id and b.org_id = p_org_id and private.sees_import(b)
  )
  limit 1;
  if found then
    raise exception using
      errcode = 'PT404',
      message = 'import not found',
      detail  = format('depends_on names %s', coalesce(v_stranger::text, 'null'));
  end if;
  return v_ids;
end;
$function$;

revoke all on function "private"."normalize_prerequisites"(uuid, uuid[]) from public;

grant execute on function "private"."normalize_prerequisites"(uuid, uuid[]) to "postgres";

-- schemas/private/functions/number_expression.sql

create or replace function private.number_expression (
  p_expression text,
  p_decimal    text,
  p_group      text
)
  returns text
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  v_group   text := case p_group when ' ' then '[ \u00a0\u202f]' when '' then '\x01' else '[' || p_group || ']' end;
  v_pattern text := format('^[+-]?([0-9]+|[0-9]{1,3}(%s[0-9]{3})+)([%s][0-9]+)?$', v_group, p_decimal);
begin
  return format(
    'case when %1$s ~ %2$L then replace(regexp_replace(%1$s, %3$L, '''', ''g''), %4$L, ''.'') else ''?'' || %1$s end',
    p_expression, v_pattern, v_group, p_decimal);
end;
$function$;

revoke all on function "private"."number_expression"(text, text, text) from public;

grant execute on function "private"."number_expression"(text, text, text) to "postgres";

-- schemas/private/functions/number_marks.sql

create or replace function private.number_marks (
  p_values text[]
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when s.has_decimal_comma and s.has_decimal_point then null
    when s.has_decimal_comma then jsonb_build_object('decimal', ',', 'group', coalesce(s.blank_group, '.'))
    when s.has_decimal_point and s.has_comma_groups or s.blank_group is not null then
      jsonb_build_object('decimal', '.', 'group', coalesce(s.blank_group, ','))
  end
  from (
    select
      bool_or(
        v ~ e'^[-+]?([0-9]+|[0-9]{1,3}([. ''\u00a0\u202f][0-9]{3})+),[0-9]+$' and v !~ '^[-+]?[1-9][0-9]{0,2},[0-9]{3}$'
        or v ~ '^[-+]?[0-9]{1,3}([.][0-9]{3}){2,}$'
      ) as has_decimal_comma,
      bool_or(
        v ~ e'^[-+]?([0-9]+|[0-9]{1,3}([, ''\u00a0\u202f][0-9]{3})+)[.][0-9]+$' and v !~ '^[-+]?[1-9][0-9]{0,2}[.][0-9]{3}$'
        or v ~ '^[-+]?[0-9]{1,3}(,[0-9]{3}){2,}$'
      ) as has_decimal_point,
      bool_or(v ~ '^[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+([.][0-9]+)?$') as has_comma_groups,
      case
        when bool_or(v ~ '^[-+]?[0-9]{1,3}(''[0-9]{3})+([.,][0-9]+)?$') then ''''
        when bool_or(v ~ e'^[-+]?[0-9]{1,3}([ \u00a0\u202f][0-9]{3})+([.,][0-9]+)?$') then ' '
      end as blank_group
    from unnest(p_values) as v
  ) as s;
$function$;

revoke all on function "private"."number_marks"(text[]) from public;

grant execute on function "private"."number_marks"(text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/of_organization.sql

create or replace function private.of_organization (
  p_alias        text,
  p_org_column   text,
  p_organization text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case when p_org_column is null then 'true' else format('%s.%I = %s', p_alias, p_org_column, p_organization) end;
$function$;

revoke all on function "private"."of_organization"(text, text, text) from public;

grant execute on function "private"."of_organization"(text, text, text) to "postgres";

-- schemas/private/functions/open_datasets.sql

create or replace function private.open_datasets()
  returns SETOF text
  language sql
  stable
  set search_path to ''
  AS $function$
  select d.key from public.datasets as d where d.required_role < 'admin';
$function$;

revoke all on function "private"."open_datasets"() from public;

grant execute on function "private"."open_datasets"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/org_ids.sql

create or replace function private.org_ids (
  p_minimum_role public.org_role
)
  returns SETOF uuid
  language plpgsql
  stable
  security definer
  rows 1
  set search_path to ''
  AS $function$
declare
  v_profile public.profiles;
begin
  if private.is_service_caller() then
    return query select o.id from public.organization as o;
    return;
  end if;

  select p.* into v_profile from public.profiles as p where p.id = (select auth.uid()) and p.is_active;
  if v_profile.is_system_admin then
    return query select o.id from public.organization as o;
  elsif v_profile.org_role >= p_minimum_role then
    return query
    select o.id from public.organization as o where o.id = v_profile.org_id and o.is_active;
  end if;
end;
$function$;

revoke all on function "private"."org_ids"(public.org_role) from public;

grant execute on function "private"."org_ids"(public.org_role) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/outcome_counts.sql

create or replace function private.outcome_counts (
  p_batch public.import_batches,
  OUT     inserted bigint,
  OUT     updated bigint,
  OUT     unchanged bigint,
  OUT     deleted bigint,
  OUT     refused bigint
)
  returns record
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select
    coalesce(sum(o.inserted_count), 0), coalesce(sum(o.updated_count), 0), coalesce(sum(o.unchanged_count), 0),
    coalesce(sum(o.deleted_count), 0), coalesce(sum(o.refused_count), 0)
  from private.import_outcomes as o
  join public.import_batches as b on b.id = o.batch_id and private.sees_import(b)
  where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id;
$function$;

revoke all on function "private"."outcome_counts"(public.import_batches) from public;

grant execute on function "private"."outcome_counts"(public.import_batches) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/partition_activity.sql

create or replace function private.partition_activity()
  returns table (
    table_name       text,
    partitions       bigint,
    partitions_ahead bigint,
    covered_until    date,
    default_rows     bigint,
    total_bytes      numeric
  )
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  c_most constant integer := 10000; -- rows that are counted in a default partition, where none should be
  v_parent record;
begin
  if not private.administers_all() then
    return;
  end if;

  for v_parent in
    select t.partrelid::regclass as name, nullif(t.partdefid, 0)::regclass as default_partition
    from pg_partitioned_table as t
    join pg_class as c on c.oid = t.partrelid
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    order by t.partrelid::regclass::text
  loop
    table_name := v_parent.name::text;

    select count(b.from_on), count(*) filter (where b.from_on > current_date), max(b.to_on), sum(pg_total_relation_size(i.inhrelid))
    into partitions, partitions_ahead, covered_until, total_bytes
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    cross join lateral pg_get_expr(c.relpartbound, c.oid) as e (bound)
    cross join lateral (
      select
        substring(e.bound from 'FROM \(''([^'']+)''\)')::date as from_on,
        substring(e.bound from 'TO \(''([^'']+)''\)')::date as to_on
    ) as b
    where i.inhparent = v_parent.name;

    default_rows := 0;
    if v_parent.default_partition is not null then
      execute format('select count(*) from (select from %s limit %s) as r', v_parent.default_partition, c_most) into default_rows;
    end if;
    return next;
  end loop;
end;
$function$;

revoke all on function "private"."partition_activity"() from public;

grant execute on function "private"."partition_activity"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/password_fault.sql

create or replace function private.password_fault (
  p_password   text,
  p_min_length integer,
  p_kinds      integer
)
  returns text
  language plpgsql
  immutable
  strict
  set search_path to ''
  AS $function$
begin
  return case
    when char_length(p_password) < p_min_length then format('shorter than %s characters', p_min_length)
    when (p_password ~ '[a-z]')::integer + (p_password ~ '[A-Z]')::integer + (p_password ~ '[0-9]')::integer
        + (p_password ~ '[^a-zA-Z0-9]')::integer < p_kinds
      then format('has fewer than %s of: lower case, upper case, digits, others', p_kinds)
  end;
end;
$function$;

revoke all on function "private"."password_fault"(text, integer, integer) from public;

grant execute on function "private"."password_fault"(text, integer, integer) to "postgres";

-- schemas/private/functions/pause_import.sql

create or replace function private.pause_import (
  p_import_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  loop
    select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
    exit when private.pause_unfinished(private.unfinished_job(v_batch)); -- else it ended meanwhile, and another may have begun
  end loop;
end;
$function$;

revoke all on function "private"."pause_import"(uuid) from public;

grant execute on function "private"."pause_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/pause_job.sql

create or replace function private.pause_job (
  p_job_id uuid
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
begin
  update public.scheduled_jobs as j
  set status = 'paused'
  where j.id = p_job_id
    and j.status in ('pending', 'queued', 'running')
    and j.cancel_requested_at is null and j.error is null;
  if not found then
    return false;
  end if;

  perform private.hold_tasks(p_job_id);
  return true;
end;
$function$;

revoke all on function "private"."pause_job"(uuid) from public;

grant execute on function "private"."pause_job"(uuid) to "postgres";

-- schemas/private/functions/pause_own_job.sql

create or replace function private.pause_own_job (
  p_job_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  while not private.pause_unfinished(private.require_job(p_job_id)) loop
  end loop;
end;
$function$;

revoke all on function "private"."pause_own_job"(uuid) from public;

grant execute on function "private"."pause_own_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/pause_unfinished.sql

create or replace function private.pause_unfinished (
  p_job public.scheduled_jobs
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.require_unfinished(p_job);
  if p_job.status <> 'paused' then
    if not private.pause_job(p_job.id) then
      return false;
    end if;
    perform private.log_job_activity(p_job, 'paused', 'paused');
  end if;
  return true;
end;
$function$;

revoke all on function "private"."pause_unfinished"(public.scheduled_jobs) from public;

grant execute on function "private"."pause_unfinished"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/people_of_import.sql

create or replace function private.people_of_import (
  p_import_id uuid
)
  returns uuid[]
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches := private.find_users_import(p_import_id);
begin
  perform private.require_rows(v_batch);
  return array(
    select a.record_id
    from private.import_outcomes as o
    cross join lateral unnest(o.row_numbers, o.actions, o.record_ids) as a (row_number, action, record_id)
    where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and a.action = 'inserted'
      and not exists (
        select from private.import_reversals as r
        where r.staged_on = o.staged_on and r.batch_id = o.batch_id and r.from_row = o.from_row and a.row_number = any (r.row_numbers)
      )
    order by a.row_number
  );
end;
$function$;

revoke all on function "private"."people_of_import"(uuid) from public;

grant execute on function "private"."people_of_import"(uuid) to "postgres";

-- schemas/private/functions/phone_digits.sql

create or replace function private.phone_digits (
  p_phone text
)
  returns text
  language plpgsql
  immutable
  strict
  set search_path to ''
  AS $function$
begin
  return nullif(regexp_replace(regexp_replace(
    regexp_replace(p_phone, '^(([+]|00)[0-9 ]+)[(]0[)]', '\1'), '[ ()./-]', '', 'g'), '^([+]|00)', ''), '');
end;
$function$;

revoke all on function "private"."phone_digits"(text) from public;

grant execute on function "private"."phone_digits"(text) to "postgres";

-- schemas/private/functions/plain_name.sql

create or replace function private.plain_name (
  p_name text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select regexp_replace(lower(p_name), '[^[:alnum:]]+', '', 'g');
$function$;

revoke all on function "private"."plain_name"(text) from public;

grant execute on function "private"."plain_name"(text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/planned_fields.sql

create or replace function private.planned_fields (
  p_batch public.import_batches
)
  returns private.planned_field[]
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_dataset   public.datasets;
  v_blank     text := p_batch.options ->> 'blank';
  v_untrimmed text[] := case when p_batch.format ? 'untrimmed' then array(select jsonb_array_elements_text(p_batch.format -> 'untrimmed')) end;
  v_fields    private.planned_field[];
begin
  select d.* into v_dataset from public.datasets as d where d.key = p_batch.dataset;

  select array_agg(row(
    f.position,
    f.name,
    f.column_name,
    a.attrelid::regclass,
    case private.type_class(f.type) when 'text' then 'text' else f.type end, -- a cast to varchar(n) would cut
    a.atttypid,
    private.type_class(f.type),
    f.rules,
    r.reference,
    f.name = any (v_dataset.key_fields),
    case
      when f.name = any (v_dataset.key_fields) then true
      when p_batch.mode = 'update' then coalesce(a.attnotnull, false) and v_blank = 'clear'
      else f.is_required
    end,
    f.is_secret,
    (select pg_get_expr(e.adbin, e.adrelid) from pg_attrdef as e where e.adrelid = a.attrelid and e.adnum = a.attnum),
    coalesce(a.attnotnull, false),
    x.source,
    x.value
  )::private.planned_field order by f.position)
  into v_fields
  from public.dataset_fields as f
  left join lateral ( -- an apply function may take what is no column
    select t.*
    from pg_attribute as t
    where t.attrelid in (v_dataset.target::regclass, v_dataset.lines::regclass) and t.attname = f.column_name and not t.attisdropped
    order by t.attrelid = v_dataset.target::regclass desc
    limit 1
  ) as a on true
  left join lateral (
    select jsonb_build_object('target', d.target, 'id_column', d.id_column, 'org_column', d.org_column, 'label', d.label,
      'column', k.column_name) as reference
    from public.datasets as d
    join public.dataset_fields as k on k.dataset = d.key and k.name = f.reference ->> 'field'
    where d.key = f.reference ->> 'dataset'
  ) as r on true
  cross join lateral private.field_expressions(f, p_batch.mapping -> f.name, p_batch.columns, v_untrimmed) as x
  where f.dataset = v_dataset.key
    and p_batch.mapping ? f.name
    and (a.attnum is not null or v_dataset.apply_function is not null)
    and (p_batch.mode <> 'delete' or f.name = any (private.record_key(v_dataset)));
  return v_fields;
end;
$function$;

revoke all on function "private"."planned_fields"(public.import_batches) from public;

grant execute on function "private"."planned_fields"(public.import_batches) to "postgres";

-- schemas/private/functions/post_invitations.sql

create or replace function private.post_invitations()
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_token uuid;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('users.invite', 0)) then
    return false;
  end if;

  delete from private.invitation_calls as c
  where c.called_at < clock_timestamp() - interval '1 day' and (c.paused_until > clock_timestamp()) is not true;

  -- Its call died. The mail may have gone out; better twice than never.
  perform private.fail_invitation(
    i.user_id, '{"code": "08006", "message": "worker function did not answer", "status": null}', false
  )
  from public.user_invitations as i
  where i.status = 'sending' and i.next_attempt_at <= clock_timestamp();

  if exists (select from private.invitation_calls as c where c.ended_at is null and c.expires_at > clock_timestamp())
    or private.invitations_left() < 1 or private.due_invitation() is null then
    return false;
  end if;

  insert into private.invitation_calls default values returning token into v_token;
  perform private.post_to_worker('invitations', jsonb_build_object('token', v_token));
  return true;
end;
$function$;

revoke all on function "private"."post_invitations"() from public;

grant execute on function "private"."post_invitations"() to "postgres";

-- schemas/private/functions/post_task.sql

create or replace function private.post_task (
  p_task    public.sync_job_queue,
  p_route   text,
  p_timeout interval              default '00:03:00'::interval
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_token uuid := gen_random_uuid();
begin
  update public.sync_job_queue as q
  set token = v_token, claimed_at = clock_timestamp(), next_attempt_at = clock_timestamp() + p_timeout,
      attempts = case when p_task.token is null then q.attempts else 1 end
  where q.id = p_task.id;

  perform private.post_to_worker(p_route, jsonb_build_object('task_id', p_task.id, 'token', v_token));
  return row(0, 0);
end;
$function$;

revoke all on function "private"."post_task"(public.sync_job_queue, text, interval) from public;

grant execute on function "private"."post_task"(public.sync_job_queue, text, interval) to "postgres";

-- schemas/private/functions/post_to_worker.sql

create or replace function private.post_to_worker (
  p_route   text,
  p_body    jsonb,
  p_timeout interval default '00:00:05'::interval
)
  returns bigint
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_url text := private.setting('worker.url') #>> '{}';
  v_key text := (select s.decrypted_secret from vault.decrypted_secrets as s where s.name = 'sluice/worker_key');
begin
  if v_url = '' or v_key is null then
    raise exception using
      errcode = '55000',
      message = 'worker function is not set up',
      detail  = case when v_url = '' then 'setting worker.url is empty' else 'Vault has no secret sluice/worker_key' end,
      hint    = 'As postgres: select set_setting(''worker.url'', ''"https://<project>.supabase.co/functions/v1/worker"''); '
        'select vault.create_secret(''<secret key>'', ''sluice/worker_key'');';
  end if;

  return net.http_post(
    url                  => rtrim(v_url, '/') || '/' || p_route,
    body                 => p_body,
    headers              => jsonb_build_object('Content-Type', 'application/json', 'apikey', v_key),
    timeout_milliseconds => (extract(epoch from p_timeout) * 1000)::integer
  );
end;
$function$;

revoke all on function "private"."post_to_worker"(text, jsonb, interval) from public;

grant execute on function "private"."post_to_worker"(text, jsonb, interval) to "postgres";

-- schemas/private/functions/prepare_upload.sql

create or replace function private.prepare_upload (
  p_dataset   text,
  p_mode      text,
  p_org_id    uuid,
  p_corrects  uuid,
  p_file_name text
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid;
begin
  if p_dataset is null and p_corrects is null then -- an archive, whose files tell
    v_org_id := private.resolve_organization(p_org_id);
    perform private.require_org_role(v_org_id, 'member');
  else
    select t.org_id into v_org_id from private.resolve_target(p_dataset, p_mode, p_org_id, p_corrects) as t;
  end if;

  -- Storage takes some characters only.
  return jsonb_build_object(
    'storage_path', concat_ws('/', v_org_id, gen_random_uuid(),
      left(coalesce(nullif(regexp_replace(p_file_name, '[^A-Za-z0-9._-]+', '_', 'g'), ''), 'file'), 100)),
    'max_bytes', private.setting('imports.max_object_bytes', v_org_id)
  );
end;
$function$;

revoke all on function "private"."prepare_upload"(text, text, uuid, uuid, text) from public;

grant execute on function "private"."prepare_upload"(text, text, uuid, uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/prerequisite_cycle.sql

create or replace function private.prerequisite_cycle (
  p_import_id uuid
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_via   jsonb := '{}'; -- import to the one that waits for it
  v_new   jsonb;
  v_front uuid[] := array[p_import_id];
  v_id    uuid := p_import_id;
  v_path  uuid[] := array[p_import_id];
begin
  loop
    select jsonb_object_agg(p.id, b.id), array_agg(distinct p.id) into v_new, v_front
    from public.import_batches as b
    cross join lateral private.prerequisites(b) as p
    where b.id = any (v_front) and not v_via ? p.id::text;

    if v_front is null then
      return null;
    end if;
    v_via := v_via || v_new;
    exit when v_via ? p_import_id::text;
  end loop;

  loop
    v_id := v_via ->> v_id::text;
    v_path := v_id || v_path;
    exit when v_id = p_import_id;
  end loop;
  return (
    select string_agg(format('%s (%s)', b.dataset, b.id), ' waits for ' order by p.position)
    from unnest(v_path) with ordinality as p (id, position)
    join public.import_batches as b on b.id = p.id
  );
end;
$function$;

revoke all on function "private"."prerequisite_cycle"(uuid) from public;

grant execute on function "private"."prerequisite_cycle"(uuid) to "postgres";

-- schemas/private/functions/prerequisites.sql

create or replace function private.prerequisites (
  p_batch public.import_batches
)
  returns table (
    id      uuid,
    dataset text,
    status  public.import_status
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  select d.id, b.dataset, b.status
  from unnest(p_batch.depends_on) as d (id)
  left join public.import_batches as b on b.id = d.id and b.org_id = p_batch.org_id
  union
  select b.id, b.dataset, b.status
  from public.import_batches as b
  where b.set_id = p_batch.set_id
    and b.dataset <> p_batch.dataset
    and b.dataset in (
      select f.reference ->> 'dataset' from public.dataset_fields as f where f.dataset = p_batch.dataset
    )
    and not (b.status in ('failed', 'cancelled', 'undone') and exists (
      select from public.import_batches as n
      where n.set_id = b.set_id and n.dataset = b.dataset and n.created_at > b.created_at
    ));
$function$;

revoke all on function "private"."prerequisites"(public.import_batches) from public;

grant execute on function "private"."prerequisites"(public.import_batches) to "postgres";

-- schemas/private/functions/preview_as.sql

create or replace function private.preview_as (
  p_run_as   public.job_run_as,
  p_plan     private.import_plans,
  p_from_row integer,
  p_to_row   integer,
  p_most     integer
)
  returns private.range_preview
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if p_run_as = 'user' then
    return private.preview_range_as_user(p_plan, p_from_row, p_to_row, p_most);
  end if;
  return private.preview_range_as_service(p_plan, p_from_row, p_to_row, p_most);
end;
$function$;

revoke all on function "private"."preview_as"(public.job_run_as, private.import_plans, integer, integer, integer) from public;

grant execute on function "private"."preview_as"(public.job_run_as, private.import_plans, integer, integer, integer) to "postgres";

-- schemas/private/functions/preview_range.sql

create or replace function private.preview_range (
  p_plan     private.import_plans,
  p_from_row integer,
  p_to_row   integer,
  p_most     integer
)
  returns private.range_preview
  language plpgsql
  set search_path to ''
  set enable_hashjoin to 'on'
  set enable_nestloop to 'off'
  set enable_mergejoin to 'off'
  set enable_seqscan to 'off'
  set enable_bitmapscan to 'off'
  set jit to 'off'
  set work_mem to '64MB'
  set "TimeZone" to 'UTC'
  set "DateStyle" to 'ISO, MDY'
  AS $function$
declare
  v_preview private.range_preview := row(0, 0, null);
  v_exists  boolean;
  v_rows    integer[] := '{}'; -- that change something
begin
  execute p_plan.exists_sql into v_exists using p_plan.org_id;
  if v_exists then
    execute format(
      'select count(*) filter (where p.is_there), count(*) filter (where p.is_there and p.acts),'
      ' array_agg(p.row_number) filter (where p.acts and $5 > 0) from (%s offset 0) as p', p_plan.preview_sql)
    into v_preview.there, v_preview.written, v_rows
    using p_plan.batch_id, array[p_from_row], array[p_to_row], p_plan.org_id, p_most;
    v_rows := array(select n from unnest(v_rows) as n order by n limit p_most);
  elsif p_plan.mode in ('insert', 'upsert') and p_most > 0 then
    v_rows := array(
      select r.row_number from private.staged_rows(p_plan.batch_id, p_from_row, p_to_row) as r order by r.row_number limit p_most
    );
  end if;

  if v_rows <> '{}' then
    execute format(
      'select jsonb_agg(to_jsonb(p) || jsonb_build_object(''action'', case when p.is_there then $5 else ''insert'' end)) from (%s) as p',
      p_plan.preview_sql)
    into v_preview.changes
    using p_plan.batch_id, array(select n - 1 from unnest(v_rows) as n), v_rows, p_plan.org_id,
      case p_plan.mode when 'delete' then 'delete' else 'update' end;
  end if;
  return v_preview;
end;
$function$;

revoke all on function "private"."preview_range"(private.import_plans, integer, integer, integer) from public;

grant execute on function "private"."preview_range"(private.import_plans, integer, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/preview_range_as_service.sql

create or replace function private.preview_range_as_service (
  p_plan     private.import_plans,
  p_from_row integer,
  p_to_row   integer,
  p_most     integer
)
  returns private.range_preview
  language sql
  set search_path to ''
  set role to 'service_role'
  AS $function$
  select p.* from private.preview_range(p_plan, p_from_row, p_to_row, p_most) as p;
$function$;

revoke all on function "private"."preview_range_as_service"(private.import_plans, integer, integer, integer) from public;

grant execute on function "private"."preview_range_as_service"(private.import_plans, integer, integer, integer) to "postgres";

-- schemas/private/functions/preview_range_as_user.sql

create or replace function private.preview_range_as_user (
  p_plan     private.import_plans,
  p_from_row integer,
  p_to_row   integer,
  p_most     integer
)
  returns private.range_preview
  language sql
  set search_path to ''
  set role to 'authenticated'
  AS $function$
  select p.* from private.preview_range(p_plan, p_from_row, p_to_row, p_most) as p;
$function$;

revoke all on function "private"."preview_range_as_user"(private.import_plans, integer, integer, integer) from public;

grant execute on function "private"."preview_range_as_user"(private.import_plans, integer, integer, integer) to "postgres";

-- schemas/private/functions/proceed_sync.sql

create or replace function private.proceed_sync (
  p_run  public.sync_runs,
  p_step text
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_owner  uuid := (private.source_of(p_run)).owner;
  v_code   text;
  v_detail text;
  v_hint   text;
begin
  if v_owner is null then
    raise exception using
      errcode = 'PT409',
      message = 'owner of the source has no account any more',
      detail  = format('source %s', p_run.source_id),
      hint    = 'Name another owner (change_sync_source).';
  end if;
  perform private.assume_claims(jsonb_build_object('sub', v_owner, 'role', 'authenticated'));
  if p_step in ('fetch', 'compare', 'record') then
    perform private.start_sync_job(p_run, p_step);
  else
    -- force: another run may have brought the same before
    perform private.start_import_job(
      case when p_step in ('ingest', 'commit') then p_step else 'validate' end,
      case p_step when 'delete' then p_run.delete_import_id else p_run.import_id end,
      jsonb_build_object('commit', p_step = 'delete', 'force', true, 'format', (private.source_of(p_run)).options), null);
  end if;
  perform private.assume_claims(v_claims);
exception when sqlstate '22023' or sqlstate '42501' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT413' or sqlstate 'PT422'
  or sqlstate 'PT429' then
  get stacked diagnostics v_code = returned_sqlstate, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  perform private.finish_run(p_run.id, 'failed', jsonb_build_object(
    'code', case when v_owner is null then 'owner_deleted' else v_code end, 'message', sqlerrm,
    'details', nullif(v_detail, ''), 'hint', nullif(v_hint, '')));
end;
$function$;

revoke all on function "private"."proceed_sync"(public.sync_runs, text) from public;

grant execute on function "private"."proceed_sync"(public.sync_runs, text) to "postgres";

-- schemas/private/functions/publish_changes.sql

create or replace function private.publish_changes()
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_table record;
begin
  for v_table in
    select
      t.name,
      (
        select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        from pg_attribute as a
        where a.attrelid = t.name and a.attnum > 0 and not a.attisdropped
          and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select')
      ) as columns
    from unnest('{public.sync_progress, public.scheduled_jobs, public.import_batches}'::regclass[]) as t (name)
    join pg_publication as p on p.pubname = 'supabase_realtime' and not p.puballtables
    where not exists (select from pg_publication_rel as r where r.prpubid = p.oid and r.prrelid = t.name)
  loop
    execute format('alter publication supabase_realtime add table %s (%s)', v_table.name, v_table.columns);
  end loop;
end;
$function$;

revoke all on function "private"."publish_changes"() from public;

grant execute on function "private"."publish_changes"() to "postgres";

-- schemas/private/functions/purge_expired.sql

create or replace function private.purge_expired()
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most constant integer := 10000; -- rows of each kind in one run
  v_rows_before date := current_date - private.setting('imports.retention_days')::integer;
  v_jobs_before timestamptz := now() - make_interval(days => private.setting('jobs.history_days')::integer);
  v_dropped text[];
  v_jobs    integer;
  v_plans   integer;
  v_details integer;
begin
  v_dropped := private.drop_partitions('private.import_rows', v_rows_before)
    || private.drop_partitions('private.import_group_rows', v_rows_before)
    || private.drop_partitions('private.import_issues', v_rows_before)
    || private.drop_partitions('private.import_outcomes', v_rows_before)
    || private.drop_partitions('private.import_reversals', v_rows_before)
    || private.drop_partitions('public.sync_activity_log',
      (now() - make_interval(months => private.setting('activity.retention_months')::integer))::date);

  delete from private.import_plans as p
  where p.batch_id in (
    select b.id from public.import_batches as b
    where b.staged_on < v_rows_before - 7 and b.finished_at is not null
      and exists (select from private.import_plans as e where e.batch_id = b.id)
    limit c_most
  );
  get diagnostics v_plans = row_count;

  v_jobs := private.remove_jobs(array(
    select j.id from public.scheduled_jobs as j where j.finished_at < v_jobs_before limit c_most
  ));

  delete from cron.job_run_details as d
  where d.runid in (
    select o.runid from cron.job_run_details as o
    where o.end_time < now() - make_interval(days => private.setting('cron.history_days')::integer)
    limit c_most * 10
  );
  get diagnostics v_details = row_count;

  return jsonb_build_object('partitions', v_dropped, 'jobs', v_jobs, 'plans', v_plans, 'cron_details', v_details);
end;
$function$;

revoke all on function "private"."purge_expired"() from public;

grant execute on function "private"."purge_expired"() to "postgres";

-- schemas/private/functions/purge_sync_runs.sql

create or replace function private.purge_sync_runs()
  returns bigint
  language sql
  set search_path to ''
  AS $function$
  with gone as (
    delete from public.sync_runs as r
    where r.id in (
      select o.id from public.sync_runs as o
      where o.finished_at < now() - make_interval(days => private.setting('jobs.history_days')::integer)
        and exists (select from public.sync_runs as n where n.source_id = o.source_id and n.created_at > o.created_at)
      limit 10000
    )
    returning 1
  )
  select count(*) from gone;
$function$;

revoke all on function "private"."purge_sync_runs"() from public;

grant execute on function "private"."purge_sync_runs"() to "postgres";

-- schemas/private/functions/purge_webhooks.sql

create or replace function private.purge_webhooks()
  returns integer
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most constant integer := 50000;
  v_count integer;
begin
  delete from vault.secrets as s
  using public.webhooks as w
  where w.previous_secret_until < now() and s.name = private.webhook_secret_name(w) || '/previous';

  delete from public.webhook_deliveries as d
  where d.id in (
    select o.id
    from public.webhook_deliveries as o
    where o.created_at < now() - make_interval(days => private.setting('jobs.history_days')::integer) and o.status <> 'sending'
    order by o.created_at
    limit c_most
  );
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

revoke all on function "private"."purge_webhooks"() from public;

grant execute on function "private"."purge_webhooks"() to "postgres";

-- schemas/private/functions/queue_invitations.sql

create or replace function private.queue_invitations (
  p_org_id   uuid,
  p_user_ids uuid[]
)
  returns integer
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_count integer;
begin
  insert into public.user_invitations as i (user_id, org_id, email)
  select u.id, p_org_id, lower(u.email)
  from auth.users as u
  where u.id = any (p_user_ids) and u.email is not null and u.email_confirmed_at is null
  on conflict (user_id) do update
  set org_id = excluded.org_id, email = excluded.email, status = 'pending', attempts = 0, next_attempt_at = clock_timestamp(),
      error = null, requested_by = excluded.requested_by
  where i.status in ('sent', 'failed');
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

revoke all on function "private"."queue_invitations"(uuid, uuid[]) from public;

grant execute on function "private"."queue_invitations"(uuid, uuid[]) to "postgres";

-- schemas/private/functions/queue_webhooks.sql

create or replace function private.queue_webhooks (
  p_org_id uuid,
  p_event  text,
  p_data   jsonb
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  with told as (
    select w.id, row_number() over (order by w.created_at, w.id) > (select private.webhook_room(p_org_id)) as is_too_much
    from public.webhooks as w
    where w.org_id = p_org_id and w.is_active and p_event = any (w.events)
  )
  insert into public.webhook_deliveries (webhook_id, org_id, event, payload, status, error)
  select
    t.id, p_org_id, p_event, jsonb_build_object('type', p_event, 'timestamp', clock_timestamp(), 'data', p_data),
    case when t.is_too_much then 'failed' else 'pending' end::public.webhook_delivery_status,
    case when t.is_too_much then jsonb_build_object(
      'code', 'PT429', 'message', 'too many deliveries are queued', 'details', null,
      'hint', 'Redrive it once the queue is shorter.') end
  from told as t;
$function$;

revoke all on function "private"."queue_webhooks"(uuid, text, jsonb) from public;

grant execute on function "private"."queue_webhooks"(uuid, text, jsonb) to "postgres";

-- schemas/private/functions/reaches_others.sql

create or replace function private.reaches_others (
  p_dataset text,
  p_user    uuid
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select exists (
    select from public.datasets as d
    cross join public.profiles as p
    where d.key = p_dataset and d.org_column is null and p.id = p_user and p.is_system_admin
  );
$function$;

revoke all on function "private"."reaches_others"(text, uuid) from public;

grant execute on function "private"."reaches_others"(text, uuid) to "postgres";

-- schemas/private/functions/read_import_issues.sql

create or replace function private.read_import_issues (
  p_import_id uuid,
  p_after_id  bigint,
  p_page_size integer,
  p_code      text,
  p_severity  text
)
  returns SETOF public.import_issue
  language plpgsql
  stable
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch public.import_batches := private.find_import(p_import_id);
begin
  return query
  select
    i.id, i.row_number, r.line_number, i.field, i.severity::text, i.code, i.message, i.value, i.sqlstate, i.constraint_name
  from (
    select s.*
    from private.import_issues as s
    where s.staged_on = v_batch.staged_on and s.batch_id = v_batch.id and s.id > p_after_id
      and v_batch.staged_at is not null
      and (p_code is null or s.code = p_code)
      and (p_severity is null or s.severity::text = p_severity)
    order by s.id
    limit p_page_size
  ) as i
  left join private.import_rows as r
    on r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number = i.row_number
  order by i.id;
end;
$function$;

revoke all on function "private"."read_import_issues"(uuid, bigint, integer, text, text) from public;

grant execute on function "private"."read_import_issues"(uuid, bigint, integer, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_import_rows.sql

create or replace function private.read_import_rows (
  p_import_id uuid,
  p_status    text,
  p_after_row integer,
  p_page_size integer
)
  returns SETOF public.import_row
  language plpgsql
  stable
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_keys_sql text := (select p.keys_sql from private.import_plans as p where p.batch_id = p_import_id);
  v_keys     jsonb := '{}';
  v_numbers  integer[];
  v_has_groups boolean := private.has_groups(p_import_id);
  v_shown    text[] := private.shown_columns(v_batch);
  v_is_shown boolean[];
  v_chunk    private.import_outcomes;
begin
  -- The numbers of the page's rows, by whatever holds that status.
  if p_status is null then
    v_numbers := array(
      select r.row_number from private.import_rows as r
      where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > p_after_row
      order by r.row_number limit p_page_size
    );
  elsif p_status = 'failed' then
    v_numbers := array(
      select distinct i.row_number from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number > p_after_row and i.severity = 'error'
      order by i.row_number limit p_page_size
    );
  elsif p_status = 'undone' then
    v_numbers := array(
      select n from private.import_reversals as v cross join lateral unnest(v.row_numbers) as n
      where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and n > p_after_row
      order by n limit p_page_size
    );
  elsif p_status = 'skipped' then
    v_numbers := array(
      select i.row_number
      from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number > p_after_row
        and (i.code = 'duplicate_in_file' or i.severity = 'error')
      group by i.row_number
      having not bool_or(i.severity = 'error')
      order by i.row_number limit p_page_size
    );
  elsif p_status in ('inserted', 'updated', 'deleted', 'unchanged') then
    for v_chunk in
      select o.* from private.import_outcomes as o
      where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and (o.to_row > p_after_row or v_has_groups)
        and case p_status when 'inserted' then o.inserted_count when 'updated' then o.updated_count
          when 'deleted' then o.deleted_count else o.unchanged_count end > 0
      order by o.from_row
    loop
      v_numbers := v_numbers || array(
        select a.row_number from unnest(v_chunk.row_numbers, v_chunk.actions) as a (row_number, action)
        where a.action::text = p_status and a.row_number > p_after_row
          and a.row_number not in (
            select n from private.import_reversals as v cross join lateral unnest(v.row_numbers) as n
            where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and v.from_row = v_chunk.from_row
          )
        union all
        select u.row_number from (
          select c.row_number from private.chunk_rows(v_batch.staged_on, v_batch.id, v_chunk.from_row, v_chunk.to_row) as c
          where p_status = 'unchanged' and c.row_number > p_after_row
          except select unnest(v_chunk.row_numbers)
          except select unnest(v_chunk.skipped_rows)
          except select i.row_number from private.import_issues as i
            where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.severity = 'error'
              and ((i.row_number > v_chunk.from_row and i.row_number <= v_chunk.to_row) or v_has_groups)
        ) as u
        order by 1 limit p_page_size
      );
      exit when cardinality(v_numbers) >= p_page_size and not v_has_groups; -- whose rows lie anywhere
    end loop;
    v_numbers := (array(select n from unnest(v_numbers) as n order by n))[1:p_page_size];
  elsif p_status in ('pending', 'validated') then
    -- Not yet in an outcome, and without an error: validated once the import has been.
    v_numbers := case when (p_status = 'validated') = (v_batch.validated_at is not null) then array(
      select r.row_number
      from private.import_rows as r
      cross join lateral (
        select coalesce((
          select g.first_row from private.import_group_rows as g
          where g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id and g.row_number = r.row_number
        ), r.row_number) as record_row
      ) as f
      where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > p_after_row
        and not exists (
          select from private.import_issues as i
          where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number = r.row_number
            and (i.severity = 'error' or i.code = 'duplicate_in_file')
        )
        and not exists (
          select from private.import_outcomes as o
          where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
            and f.record_row > o.from_row and f.record_row <= o.to_row
        )
      order by r.row_number limit p_page_size
    ) end;
  else
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no row status %s', to_json(p_status)),
      hint    = 'One of: pending, validated, failed, skipped, inserted, updated, unchanged, deleted, undone.';
  end if;

  if v_batch.staged_at is null then
    return; -- some may be there already, but it may yet be that none stays
  end if;
  if v_keys_sql is not null then
    execute format('select coalesce(jsonb_object_agg(k.row_number, k.key), ''{}'') from (%s) as k (row_number, key)', v_keys_sql)
    into v_keys using v_batch.staged_on, v_batch.id, v_numbers;
  end if;

  v_is_shown := array(
    select c.name = any (v_shown) from unnest(v_batch.columns) with ordinality as c (name, position) order by c.position
  );
  return query
  with acted as materialized ( -- the arrays of a chunk are opened once, not once a row
    select u.*
    from private.import_outcomes as o
    cross join lateral unnest(o.row_numbers, o.actions, o.record_ids) as u (row_number, action, record_id)
    where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
      and o.from_row < v_numbers[cardinality(v_numbers)] and (o.to_row >= v_numbers[1] or v_has_groups)
      and u.row_number = any (v_numbers)
  ),
  undone as materialized (
    select n as row_number
    from private.import_reversals as v
    cross join lateral unnest(v.row_numbers) as n
    where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and n = any (v_numbers)
  )
  select
    r.row_number,
    r.line_number,
    case
      when w.has_error then 'failed'
      when w.is_duplicate then 'skipped'
      when u.row_number is not null then 'undone'
      when o.from_row is not null then coalesce(a.action::text, 'unchanged')
      when v_batch.validated_at is not null then 'validated'
      else 'pending'
    end,
    nullif(v_keys ->> r.row_number::text, ''),
    a.record_id,
    (
      select jsonb_object_agg(c.name, case when c.is_shown then r.cells[c.position] end)
      from unnest(v_batch.columns, v_is_shown) with ordinality as c (name, is_shown, position)
    ),
    coalesce(w.issues, '[]')
  from private.import_rows as r
  left join private.import_group_rows as g
    on g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id and g.row_number = r.row_number
  left join private.import_outcomes as o
    on o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
    and coalesce(g.first_row, r.row_number) > o.from_row and coalesce(g.first_row, r.row_number) <= o.to_row
  left join acted as a on a.row_number = r.row_number
  left join undone as u on u.row_number = r.row_number
  left join lateral (
    select
      bool_or(i.severity = 'error') as has_error,
      bool_or(i.code = 'duplicate_in_file') as is_duplicate,
      jsonb_agg(jsonb_build_object('field', i.field, 'severity', i.severity, 'code', i.code, 'message', i.message, 'value', i.value)
        order by i.id) as issues
    from private.import_issues as i
    where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number = r.row_number
  ) as w on true
  where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number = any (v_numbers)
  order by r.row_number;
end;
$function$;

revoke all on function "private"."read_import_rows"(uuid, text, integer, integer) from public;

grant execute on function "private"."read_import_rows"(uuid, text, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_job.sql

create or replace function private.read_job (
  p_job_id uuid
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  c_most_errors constant integer := 100;
  v_job      public.scheduled_jobs;
  v_progress jsonb;
  v_tasks    jsonb;
  v_errors   jsonb;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.id = p_job_id and j.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'job not found';
  end if;

  select jsonb_build_object('elapsed_seconds', p.elapsed_seconds, 'items_per_minute', p.speed_items_per_min, 'eta_seconds', p.eta_seconds)
  into v_progress
  from public.sync_progress as p
  where p.org_id = v_job.org_id and p.sync_id = v_job.id::text;

  if v_job.org_id in (select private.org_ids('admin')) then
    select jsonb_build_object(
      'waiting', count(*) filter (where q.status in ('pending', 'held') and q.token is null),
      'running', count(*) filter (where q.status = 'running' or q.token is not null),
      'dead', count(*) filter (where q.status = 'failed'))
    into v_tasks
    from public.sync_job_queue as q
    where q.job_id = v_job.id;

    select coalesce(jsonb_agg(to_jsonb(e) - '{id, org_id, job_id}'::text[] order by e.at desc, e.id desc), '[]') into v_errors
    from (
      select l.* from public.sync_error_log as l where l.job_id = v_job.id order by l.at desc, l.id desc limit c_most_errors
    ) as e;
  end if;

  return private.describe_job_at_length(v_job) || jsonb_build_object('progress', v_progress, 'tasks', v_tasks, 'errors', v_errors);
end;
$function$;

revoke all on function "private"."read_job"(uuid) from public;

grant execute on function "private"."read_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_jobs.sql

create or replace function private.read_jobs (
  p_status    public.sync_status_type,
  p_job_type  text,
  p_import_id uuid,
  p_is_own    boolean,
  p_since     timestamp with time zone,
  p_org_id    uuid,
  p_before_at timestamp with time zone,
  p_before_id uuid,
  p_page_size integer
)
  returns jsonb
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  with page as (
    select j as job, row_number() over (order by j.created_at desc, j.id desc) as position
    from public.scheduled_jobs as j
    where j.org_id in (select private.org_ids('viewer'))
      and (p_org_id is null or j.org_id = p_org_id)
      and (p_status is null or j.status = p_status)
      and (p_job_type is null or j.job_type = p_job_type)
      and (p_import_id is null or j.batch_id = p_import_id)
      and (not p_is_own or j.created_by = (select auth.uid()))
      and (p_since is null or j.created_at >= p_since)
      and (p_before_at is null or (j.created_at, j.id) < (p_before_at, p_before_id))
    order by j.created_at desc, j.id desc
    limit p_page_size
  )
  select jsonb_build_object(
    'jobs', coalesce(jsonb_agg(private.describe_job_at_length(p.job) order by p.position), '[]'),
    'next_before', max(private.job_cursor(p.job)) filter (where p.position = p_page_size)
  )
  from page as p;
$function$;

revoke all on function "private"."read_jobs"(public.sync_status_type, text, uuid, boolean, timestamp with time zone, uuid, timestamp with time zone, uuid, integer) from public;

grant execute
  on function "private"."read_jobs"(public.sync_status_type, text, uuid, boolean, timestamp with time zone, uuid, timestamp with time zone, uuid, integer)
  to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_settings.sql

create or replace function private.read_settings (
  p_org_id uuid
)
  returns table (
    key           text,
    value         jsonb,
    default_value jsonb,
    minimum       numeric,
    maximum       numeric,
    set_by        text,
    description   text
  )
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
begin
  if p_org_id is not null then
    perform private.require_org_role(p_org_id, 'viewer');
  end if;
  return query
  select d.key, private.setting(d.key, p_org_id), d.default_value, d.minimum, d.maximum, d.set_by::text, d.description
  from private.setting_definitions as d
  order by d.key;
end;
$function$;

revoke all on function "private"."read_settings"(uuid) from public;

grant execute on function "private"."read_settings"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_sync_secret.sql

create or replace function private.read_sync_secret (
  p_org_id uuid,
  p_name   text
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_value text;
begin
  select s.decrypted_secret into v_value
  from vault.decrypted_secrets as s
  where s.name = private.sync_secret_name(p_org_id, p_name);
  if not found then
    raise exception using
      errcode = 'SY004',
      message = 'secret of the source is missing',
      detail  = format('secret %s', p_name),
      hint    = 'An admin of the organization sets it (set_sync_secret).';
  end if;
  return v_value;
end;
$function$;

revoke all on function "private"."read_sync_secret"(uuid, text) from public;

grant execute on function "private"."read_sync_secret"(uuid, text) to "postgres";

-- schemas/private/functions/read_sync_secrets.sql

create or replace function private.read_sync_secrets (
  p_org_id uuid
)
  returns table (
    name       text,
    updated_at timestamp with time zone
  )
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_prefix text := private.sync_secret_name(v_org_id, '');
begin
  perform private.require_org_role(v_org_id, 'admin');
  return query
  select substr(s.name, length(v_prefix) + 1), s.updated_at
  from vault.secrets as s
  where starts_with(s.name, v_prefix) and substr(s.name, length(v_prefix) + 1) !~ '/'
  order by s.name;
end;
$function$;

revoke all on function "private"."read_sync_secrets"(uuid) from public;

grant execute on function "private"."read_sync_secrets"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_users.sql

create or replace function private.read_users (
  p_org_id    uuid,
  p_after     text,
  p_page_size integer,
  p_search    text
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_users  jsonb;
begin
  perform private.require_org_role(v_org_id, 'admin');

  select coalesce(jsonb_agg(jsonb_build_object(
    'id', s.id, 'email', s.email, 'full_name', s.full_name, 'role', s.org_role, 'phone', s.phone, 'metadata', s.metadata,
    'is_active', s.is_active, 'confirmed', s.confirmed, 'created_at', s.created_at, 'last_sign_in_at', s.last_sign_in_at,
    'invitation', s.invitation, 'organization', s.organization
  ) order by s.sorted, s.id), '[]')
  into v_users
  from (
    select
      p.id, p.email, p.full_name, p.org_role, u.phone, u.raw_user_meta_data as metadata, p.is_active,
      u.email_confirmed_at is not null as confirmed, u.created_at, u.last_sign_in_at, v.status as invitation, o.slug as organization,
      coalesce(lower(p.email), '') as sorted -- who signs in by phone may have none
    from public.profiles as p
    join auth.users as u on u.id = p.id
    join public.organization as o on o.id = p.org_id
    left join public.user_invitations as v on v.user_id = p.id
    where p.org_id = v_org_id
      and (p_search is null or strpos(lower(concat_ws(' ', p.email, p.full_name)), lower(p_search)) > 0)
      and (p_after is null or (coalesce(lower(p.email), ''), p.id::text) > (split_part(p_after, ' ', 1), split_part(p_after, ' ', 2)))
    order by sorted, p.id
    limit p_page_size
  ) as s;

  return jsonb_build_object(
    'users', v_users,
    'next_after', case when jsonb_array_length(v_users) = p_page_size
      then concat(lower(v_users #>> '{-1,email}'), ' ', v_users #>> '{-1,id}') end
  );
end;
$function$;

revoke all on function "private"."read_users"(uuid, text, integer, text) from public;

grant execute on function "private"."read_users"(uuid, text, integer, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/read_webhook_deliveries.sql

create or replace function private.read_webhook_deliveries (
  p_webhook_id uuid,
  p_status     public.webhook_delivery_status,
  p_event      text,
  p_after      uuid,
  p_page_size  integer
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_after      public.webhook_deliveries;
  v_deliveries jsonb;
begin
  if p_webhook_id is not null then
    perform private.find_webhook(p_webhook_id);
  end if;
  select d.* into v_after from public.webhook_deliveries as d where d.id = p_after;

  select coalesce(jsonb_agg(private.describe_delivery(p) order by p.created_at desc, p.id), '[]') into v_deliveries
  from (
    select d.*
    from public.webhook_deliveries as d
    where d.org_id = any (array(select private.org_ids('admin')))
      and (p_webhook_id is null or d.webhook_id = p_webhook_id)
      and (p_status is null or d.status = p_status)
      and (p_event is null or d.event = p_event)
      and (p_after is null or d.created_at <= v_after.created_at)
      and (p_after is null or d.created_at < v_after.created_at or d.id > v_after.id)
    order by d.created_at desc, d.id
    limit p_page_size
  ) as p;
  return jsonb_build_object(
    'deliveries', v_deliveries,
    'next_after', case when jsonb_array_length(v_deliveries) = p_page_size then v_deliveries #> '{-1,id}' end
  );
end;
$function$;

revoke all on function "private"."read_webhook_deliveries"(uuid, public.webhook_delivery_status, text, uuid, integer) from public;

grant execute on function "private"."read_webhook_deliveries"(uuid, public.webhook_delivery_status, text, uuid, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/readable_key.sql

create or replace function private.readable_key (
  p_field private.planned_field
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case p_field.class
    when 'text' then p_field.value
    else format('case when pg_input_is_valid(%1$s, %2$L) then (%1$s)::%2$s end', p_field.value, p_field.type)
  end;
$function$;

revoke all on function "private"."readable_key"(private.planned_field) from public;

grant execute on function "private"."readable_key"(private.planned_field) to "postgres";

-- schemas/private/functions/record_delivery.sql

create or replace function private.record_delivery (
  p_run    public.sync_runs,
  p_source public.sync_sources
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_source.dataset);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_found   record;
  v_reason  text;
  v_fields  text[];
  v_keys    text;
  v_delete  public.import_batches;
begin
  perform private.remember_records(p_source, v_batch);
  select m.* into v_found from private.missing_records(p_source, v_batch) as m;
  delete from private.sync_records as s where s.source_id = p_source.id and s.record_id = any (v_found.shared);
  if v_found.missing = '{}' then
    return '{"missing": 0}';
  elsif cardinality(v_found.missing) > coalesce(p_run.deletion_count, 0) then
    v_reason := coalesce(
      private.deletion_reason(p_source, v_found.known, cardinality(v_found.missing), private.keyless_count(v_batch)),
      case when p_source.requires_approval then 'approval_required' end);
    if v_reason is not null then
      return jsonb_build_object('missing', cardinality(v_found.missing), 'known', v_found.known, 'asks', v_reason);
    end if;
  end if;

  select
    array_agg(f.name order by f.position),
    string_agg(case
      when r.key is null then format('t.%I::text', f.column_name)
      else format('(select x.%I::text from %s as x where x.%I = t.%I)', k.column_name, r.target, r.id_column, f.column_name)
    end, ', ' order by f.position)
  into v_fields, v_keys
  from public.dataset_fields as f
  left join public.datasets as r on r.key = f.reference ->> 'dataset'
  left join public.dataset_fields as k on k.dataset = r.key and k.name = f.reference ->> 'field'
  where f.dataset = p_source.dataset and f.name = any (private.record_key(v_dataset));

  v_delete := private.create_sync_import(p_run, p_source, 'delete', p_source.name,
    (select jsonb_object_agg(f, f) from unnest(v_fields) as f));
  execute format('insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)'
    ' select $1, $2, row_number() over (order by t.%1$I), row_number() over (order by t.%1$I), array[%2$s] from %3$s as t where t.%1$I = any ($3)',
    v_dataset.id_column, v_keys, v_dataset.target)
  using v_delete.staged_on, v_delete.id, v_found.missing;
  perform private.end_staging(
    v_delete, v_fields, cardinality(v_found.missing), 0, encode(sha256(convert_to(v_delete.id::text, 'utf8')), 'hex'),
    private.first_rows(v_delete, v_fields), '{"kind": "table"}');
  return jsonb_build_object('missing', cardinality(v_found.missing), 'delete_import_id', v_delete.id);
end;
$function$;

revoke all on function "private"."record_delivery"(public.sync_runs, public.sync_sources) from public;

grant execute on function "private"."record_delivery"(public.sync_runs, public.sync_sources) to "postgres";

-- schemas/private/functions/record_hash.sql

create or replace function private.record_hash (
  p_dataset public.datasets
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select format('hash_record_extended(row(%s%s), 0)',
    private.hashable_columns(p_dataset.target::regclass, 't'),
    case when p_dataset.lines is not null then format(
      ', array(select hash_record_extended(row(%s), 0) from %s as l where l.%I = t.%I order by 1)',
      private.hashable_columns(p_dataset.lines::regclass, 'l'), p_dataset.lines,
      private.lines_column(p_dataset.lines::regclass, p_dataset.target::regclass), p_dataset.id_column) else '' end);
$function$;

revoke all on function "private"."record_hash"(public.datasets) from public;

grant execute on function "private"."record_hash"(public.datasets) to "postgres";

-- schemas/private/functions/record_image.sql

create or replace function private.record_image (
  p_dataset public.datasets
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select case
    when p_dataset.lines is null then 'to_jsonb(t)'
    else format('jsonb_build_object(''record'', to_jsonb(t), ''lines'','
      ' (select coalesce(jsonb_agg(to_jsonb(l)), ''[]'') from %s as l where l.%I = t.%I))',
      p_dataset.lines, private.lines_column(p_dataset.lines::regclass, p_dataset.target::regclass), p_dataset.id_column)
  end;
$function$;

revoke all on function "private"."record_image"(public.datasets) from public;

grant execute on function "private"."record_image"(public.datasets) to "postgres";

-- schemas/private/functions/record_invitation.sql

create or replace function private.record_invitation (
  p_call    private.invitation_calls,
  p_outcome jsonb
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_patience constant interval := '5 minutes'; -- where it asks for some and does not say how much
  c_longest  constant integer := 86400;
  v_status   integer := (p_outcome ->> 'status')::integer; -- of HTTP; 0: there was no answer
  v_after    integer := (p_outcome ->> 'retry_after_seconds')::integer;
  v_is_sent  boolean := v_status between 200 and 299;
  v_is_final boolean := v_status between 400 and 499 and v_status not in (401, 403, 404, 405, 408, 429);
begin
  if v_is_sent then
    update public.user_invitations as i
    set status = 'sent', error = null, sent_at = clock_timestamp()
    where i.user_id = p_call.user_id;
  elsif v_status = 429 then
    update public.user_invitations as i
    set status = 'pending', attempts = i.attempts - 1, next_attempt_at = clock_timestamp()
    where i.user_id = p_call.user_id;
  else
    perform private.fail_invitation(p_call.user_id, jsonb_build_object(
      'code', coalesce(p_outcome ->> 'code', '08006'), 'message', coalesce(p_outcome ->> 'message', 'no reason was given'),
      'status', nullif(v_status, 0)), v_is_final);
  end if;

  update private.invitation_calls as c
  set user_id = null,
      mail_count = c.mail_count - (not v_is_sent)::integer,
      ended_at = case when not v_is_sent and not v_is_final then clock_timestamp() end,
      paused_until = case
        when v_status = 429 or v_after is not null then
          clock_timestamp() + coalesce(make_interval(secs => least(v_after, c_longest)), c_patience)
      end
  where c.token = p_call.token;
end;
$function$;

revoke all on function "private"."record_invitation"(private.invitation_calls, jsonb) from public;

grant execute on function "private"."record_invitation"(private.invitation_calls, jsonb) to "postgres";

-- schemas/private/functions/record_key.sql

create or replace function private.record_key (
  p_dataset public.datasets
)
  returns text[]
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case when p_dataset.group_field is null then p_dataset.key_fields else array[p_dataset.group_field] end;
$function$;

revoke all on function "private"."record_key"(public.datasets) from public;

grant execute on function "private"."record_key"(public.datasets) to "postgres";

-- schemas/private/functions/redact_import.sql

create or replace function private.redact_import (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if p_batch.redacted_at is null and private.has_secrets(p_batch.dataset) then
    perform private.redact_rows(p_batch, 0, p_batch.row_count);
    update public.import_batches as b
    set redacted_at       = clock_timestamp(),
        suggested_mapping = null,
        columns           = array(
          select case
            when c.name ~ '^_+(row|line|reason)$' or exists (select from jsonb_each(b.mapping) as m where m.value -> 'columns' ? c.name)
              then c.name
            else format('column %s', c.position)
          end
          from unnest(b.columns) with ordinality as c (name, position)
          order by c.position
        )
    where b.id = p_batch.id;
  end if;
end;
$function$;

revoke all on function "private"."redact_import"(public.import_batches) from public;

grant execute on function "private"."redact_import"(public.import_batches) to "postgres";

-- schemas/private/functions/redact_rows.sql

create or replace function private.redact_rows (
  p_batch    public.import_batches,
  p_from_row integer,
  p_to_row   integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_shown text[];
  v_cells text;
begin
  if not private.has_secrets(p_batch.dataset) then
    return;
  end if;

  v_shown := private.shown_columns(p_batch);
  select format('array[%s]::text[]',
    string_agg(case when c.name = any (v_shown) then format('r.cells[%s]', c.position) else 'null' end, ', ' order by c.position))
  into v_cells
  from unnest(p_batch.columns) with ordinality as c (name, position);

  if private.has_groups(p_batch.id) then
    execute format(
      'update private.import_rows as r set cells = %1$s from private.chunk_rows($1, $2, $3, $4) as c'
      ' where r.staged_on = $1 and r.batch_id = $2 and r.row_number = c.row_number and r.cells is distinct from %1$s', v_cells)
    using p_batch.staged_on, p_batch.id, p_from_row, p_to_row;
  else
    execute format(
      'update private.import_rows as r set cells = %1$s'
      ' where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4 and r.cells is distinct from %1$s', v_cells)
    using p_batch.staged_on, p_batch.id, p_from_row, p_to_row;
  end if;
end;
$function$;

revoke all on function "private"."redact_rows"(public.import_batches, integer, integer) from public;

grant execute on function "private"."redact_rows"(public.import_batches, integer, integer) to "postgres";

-- schemas/private/functions/redrive_webhook_deliveries.sql

create or replace function private.redrive_webhook_deliveries (
  p_webhook_id   uuid,
  p_delivery_ids uuid[]
)
  returns integer
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
  v_room    integer := private.require_webhook_room(v_webhook);
  v_count   integer;
begin
  update public.webhook_deliveries as d
  set status = 'pending', attempts = 0, next_attempt_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1 day'
  where d.id in (
    select f.id
    from public.webhook_deliveries as f
    where f.webhook_id = p_webhook_id and f.status = 'failed' and (p_delivery_ids is null or f.id = any (p_delivery_ids))
    order by f.created_at
    limit v_room
    for update skip locked
  );
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

revoke all on function "private"."redrive_webhook_deliveries"(uuid, uuid[]) from public;

grant execute on function "private"."redrive_webhook_deliveries"(uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/reference_lookup.sql

create or replace function private.reference_lookup (
  p_field private.planned_field,
  p_value text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select format('((select refs._%s from refs) ->> (%s)::text)::uuid', p_field.number, p_value);
$function$;

revoke all on function "private"."reference_lookup"(private.planned_field, text) from public;

grant execute on function "private"."reference_lookup"(private.planned_field, text) to "postgres";

-- schemas/private/functions/referenced_records.sql

create or replace function private.referenced_records (
  p_dataset public.datasets,
  p_ids     uuid[]
)
  returns uuid[]
  language plpgsql
  stable
  set search_path to ''
  set enable_seqscan to 'off'
  AS $function$
declare
  v_key   record;
  v_some  boolean;
  v_found uuid[];
  v_all   uuid[] := '{}';
begin
  for v_key in
    select c.conrelid::regclass as table_name, a.attname as column_name
    from pg_constraint as c
    cross join lateral unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
    join pg_attribute as r on r.attrelid = c.confrelid and r.attnum = k.ref_attnum
    where c.contype = 'f'
      and c.conparentid = 0
      and c.confrelid = p_dataset.target::regclass
      and c.conrelid is distinct from p_dataset.lines::regclass
      and r.attname = p_dataset.id_column
  loop
    execute format('select exists (select from %s)', v_key.table_name) into v_some;
    continue when not v_some; -- a probe a record for nothing
    execute format('select coalesce(array_agg(distinct f.%1$I), ''{}'') from %2$s as f where f.%1$I = any ($1)',
      v_key.column_name, v_key.table_name)
    into v_found using p_ids;
    v_all := v_all || v_found;
  end loop;
  return v_all;
end;
$function$;

revoke all on function "private"."referenced_records"(public.datasets, uuid[]) from public;

grant execute on function "private"."referenced_records"(public.datasets, uuid[]) to "postgres";

-- schemas/private/functions/refresh_statistics.sql

create or replace function private.refresh_statistics (
  p_dataset text
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid
    from public.datasets as d
    cross join lateral (
      select unnest(array[d.target, d.lines])
      union
      select r.target
      from public.dataset_fields as f
      join public.datasets as r on r.key = f.reference ->> 'dataset'
      where f.dataset = d.key
    ) as t (name)
    join pg_class as c on c.oid = t.name::regclass
    where d.key = p_dataset
      and c.relkind <> 'v'
      and pg_has_role(c.relowner, 'usage')
      and (c.reltuples < 0 or pg_stat_get_mod_since_analyze(c.oid) > 1000 + c.reltuples / 5)
  loop
    execute format('analyze (skip_locked) %s', v_table);
  end loop;
end;
$function$;

revoke all on function "private"."refresh_statistics"(text) from public;

grant execute on function "private"."refresh_statistics"(text) to "postgres";

-- schemas/private/functions/refuse_range.sql

create or replace function private.refuse_range (
  p_import_id uuid,
  p_position  bigint
)
  returns void
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
begin
  raise exception using
    errcode = 'PT409',
    message = 'range was taken in before',
    detail  = format('import %s, from byte %s', p_import_id, p_position),
    hint    = 'Stop: another call goes on.';
end;
$function$;

revoke all on function "private"."refuse_range"(uuid, bigint) from public;

grant execute on function "private"."refuse_range"(uuid, bigint) to "postgres";

-- schemas/private/functions/refuse_reference.sql

create or replace function private.refuse_reference (
  p_field text,
  p_label text,
  p_value text
)
  returns uuid
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
begin
  perform private.refuse_row('reference_not_found', p_field, format('no record of %s has this key', p_label), p_value);
  return null;
end;
$function$;

revoke all on function "private"."refuse_reference"(text, text, text) from public;

grant execute on function "private"."refuse_reference"(text, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/refuse_row.sql

create or replace function private.refuse_row (
  p_code    text,
  p_field   text,
  p_message text,
  p_detail  text default null::text
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  raise exception using
    errcode    = 'IR001',
    message    = p_message,
    detail     = coalesce(p_detail, ''),
    column     = coalesce(p_field, ''),
    constraint = p_code;
end;
$function$;

revoke all on function "private"."refuse_row"(text, text, text, text) from public;

grant execute on function "private"."refuse_row"(text, text, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/register_dataset.sql

create or replace function private.register_dataset (
  dataset        text,
  target         text,
  key            text[],
  label          text                    default null::text,
  entity_type    public.sync_entity_type default 'other'::public.sync_entity_type,
  allowed_modes  public.import_mode[]    default '{insert,update,upsert,delete}'::public.import_mode[],
  org_column     name                    default 'org_id'::name,
  group_field    text                    default null::text,
  lines          text                    default null::text,
  apply_function text                    default null::text,
  check_function text                    default null::text,
  required_role  public.org_role         default 'member'::public.org_role
)
  returns public.datasets
  language plpgsql
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_table    regclass := to_regclass(register_dataset.target);
  v_lines    regclass := to_regclass(register_dataset.lines);
  v_rows     regclass := private.apply_row_type(register_dataset.apply_function);
  v_by_function boolean := register_dataset.apply_function is not null;
  v_is_view  boolean := v_by_function and register_dataset.lines is null and private.is_view(v_table);
  v_refusal  text;
  v_hint     text;
  v_id       name;
  v_record_key name[];
  v_dataset  public.datasets;
begin
  select a.attname into v_id
  from pg_index as i
  join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = v_table and i.indisprimary and i.indnkeyatts = 1 and a.atttypid = 'uuid'::regtype;
  if v_is_view then
    select a.attname into v_id
    from pg_attribute as a
    where a.attrelid = v_table and a.attname = 'id' and a.atttypid = 'uuid'::regtype;
  end if;

  select r.refusal, r.hint into v_refusal, v_hint
  from (values
    (1, v_table is null,
      'there is no such table', 'Name it with its schema.'),
    (2, not v_is_view and not exists (select from pg_class as c where c.oid = v_table and c.relkind in ('r', 'p')),
      'it is not a table', 'Views can be imported into by an apply function without lines, foreign tables cannot.'),
    (3, not v_is_view and exists (select from pg_class as c where c.oid in (v_table, v_lines) and not c.relrowsecurity),
      'row level security is off', 'Enable it and write policies: rows are applied as the caller.'),
    (4, v_id is null,
      'its primary key is not a single uuid', 'Records are remembered by a uuid; of a view by its column id.'),
    (5, not (v_is_view and register_dataset.org_column is null) and not exists (
        select from pg_attribute as a
        where a.attrelid = v_table and a.attname = register_dataset.org_column
          and a.atttypid = 'uuid'::regtype and (a.attnotnull or v_is_view) and not a.attisdropped
      ),
      'it has no organization column', 'A uuid column, not null, that names the organization.'),
    (6, v_table is not null and not has_table_privilege('authenticated', v_table, 'select'),
      'authenticated may not select from it', 'Grant select on the whole table: outcomes compare whole rows.'),
    (7, v_by_function and (v_rows is null or not has_function_privilege('authenticated', to_regproc(register_dataset.apply_function), 'execute')),
      'its apply function is none', 'A function (uuid, public.import_mode, text[], <composite type>[]) that authenticated may execute.'),
    (8, register_dataset.lines is not null and private.lines_column(v_lines, v_table) is null,
      'its lines do not refer to it', 'The table of lines needs a foreign key of one column to the primary key.'),
    (9, register_dataset.check_function is not null
        and private.function_row_type(register_dataset.check_function, '{uuid,public.import_mode}') is distinct from v_rows,
      'its check function is none', 'A function (uuid, public.import_mode, <composite type of the apply function>[]).')
  ) as r (position, applies, refusal, hint)
  where r.applies
  order by r.position
  limit 1;

  if v_refusal is null then
    insert into public.datasets (
      key, label, target, id_column, org_column, key_fields, group_field, lines, apply_function, check_function, required_role,
      allowed_modes, entity_type, position
    )
    values (
      register_dataset.dataset,
      coalesce(register_dataset.label, initcap(replace(register_dataset.dataset, '_', ' '))),
      v_table::text,
      v_id,
      register_dataset.org_column,
      register_dataset.key,
      register_dataset.group_field,
      v_lines::text,
      to_regproc(register_dataset.apply_function)::text,
      to_regproc(register_dataset.check_function)::text,
      register_dataset.required_role,
      register_dataset.allowed_modes,
      register_dataset.entity_type,
      (select count(*) + 1 from public.datasets)
    )
    returning * into v_dataset;

    insert into public.dataset_fields (dataset, name, column_name, label, type, is_required, rules, reference, position)
    select
      v_dataset.key, n.name, a.attname, initcap(replace(n.name, '_', ' ')), coalesce(r.type, format_type(a.atttypid, a.atttypmod)),
      n.name = any (v_dataset.key_fields) or coalesce(c.attnotnull and not c.atthasdef, false),
      case when r.dataset is null then private.catalog_rules(coalesce(c.attrelid, a.attrelid)::regclass, a.attname) else '{}' end
        || case when c.attrelid = v_table and n.name <> v_dataset.group_field then '{"same_in_group": true}' else '{}' end::jsonb,
      case when r.dataset is not null then jsonb_build_object('dataset', r.dataset, 'field', r.field) end,
      row_number() over (order by a.attnum)
    from pg_attribute as a
    left join lateral ( -- the column itself; of an apply function's row, that of its name
      select t.*
      from pg_attribute as t
      where t.attrelid in (v_table, v_lines) and t.attname = a.attname and not t.attisdropped
      order by t.attrelid = v_table desc
      limit 1
    ) as c on true
    left join lateral private.catalog_reference(c.attrelid::regclass, c.attname, register_dataset.org_column) as r on true
    cross join lateral (
      select case
        when r.dataset is not null and not exists (
          select from pg_attribute as o
          where o.attrelid = a.attrelid and not o.attisdropped and o.attname = regexp_replace(a.attname, '_id$', '')
        ) then regexp_replace(a.attname, '_id$', '')
        else a.attname
      end as name
    ) as n
    where a.attrelid = coalesce(v_rows, v_table)
      and a.attnum > 0
      and not a.attisdropped
      and a.attgenerated = ''
      and a.attidentity = ''
      and a.attname <> v_id
      and a.attname is distinct from register_dataset.org_column
      and not starts_with(a.attname, '_')
      and (v_by_function or has_column_privilege('authenticated', v_table, a.attnum, 'insert'));

    select array_agg(f.column_name) into v_record_key
    from public.dataset_fields as f
    where f.dataset = v_dataset.key and f.name = any (private.record_key(v_dataset));

    select r.refusal, r.hint into v_refusal, v_hint
    from (values
      (1, (select count(*) from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = any (v_dataset.key_fields))
          < cardinality(v_dataset.key_fields),
        'authenticated may not insert the key', 'Grant insert on the columns that files may fill.'),
      (2, v_is_view and not exists (
          select from pg_attribute as a where a.attrelid = v_table and a.attname = v_record_key[1] and not a.attisdropped
        ),
        'it does not show the key', 'Records are found by the column of the view that has the key''s name.'),
      (3, not v_is_view and private.unique_index(v_table, v_record_key || register_dataset.org_column) is null,
        'it has no unique key on the organization column and the key',
        format('alter table %s add unique (%s, %s), without a predicate',
          register_dataset.target, register_dataset.org_column, array_to_string(v_record_key, ', ')))
    ) as r (position, applies, refusal, hint)
    where r.applies
    order by r.position
    limit 1;
  end if;

  if v_refusal is not null then
    raise exception using
      errcode = '22023',
      message = 'table is not fit to be a dataset',
      detail  = format('%s: %s', register_dataset.target, v_refusal),
      hint    = v_hint;
  end if;
  return v_dataset;
end;
$function$;

revoke all
  on function "private"."register_dataset"(text, text, text[], text, public.sync_entity_type, public.import_mode[], name, text, text, text, text, public.org_role)
  from public;

grant execute
  on function "private"."register_dataset"(text, text, text[], text, public.sync_entity_type, public.import_mode[], name, text, text, text, text, public.org_role)
  to "postgres";

-- schemas/private/functions/release_due_jobs.sql

create or replace function private.release_due_jobs()
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.release_queued_jobs(d.org_id)
  from (
    select distinct j.org_id
    from public.scheduled_jobs as j
    where j.status = 'queued' and j.phase is distinct from 'waiting' and j.run_at <= clock_timestamp()
    order by j.org_id
  ) as d;
$function$;

revoke all on function "private"."release_due_jobs"() from public;

grant execute on function "private"."release_due_jobs"() to "postgres";

-- schemas/private/functions/release_if_queued.sql

create or replace function private.release_if_queued (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if p_job.status = 'queued' then
    perform private.release_queued_jobs(p_job.org_id);
  end if;
end;
$function$;

revoke all on function "private"."release_if_queued"(public.scheduled_jobs) from public;

grant execute on function "private"."release_if_queued"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/release_queued_jobs.sql

create or replace function private.release_queued_jobs (
  p_org_id uuid
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_limit integer := private.setting('jobs.running_per_organization', p_org_id)::integer;
  v_next  uuid;
begin
  perform private.lock_organization(p_org_id);

  while (
    select count(*) from public.scheduled_jobs as j
    where j.org_id = p_org_id and j.status in ('pending', 'running')
  ) < v_limit loop
    -- Skipped when locked: whoever holds it stops it, ends it, or comes here next. To wait for it here
    -- would be a deadlock: its holder may wait for the organization.
    select j.id into v_next
    from public.scheduled_jobs as j
    where j.org_id = p_org_id and j.status = 'queued' and j.phase is distinct from 'waiting'
      and j.run_at <= clock_timestamp()
    order by j.priority, j.run_at, j.created_at
    limit 1
    for no key update skip locked;
    exit when not found;

    update public.scheduled_jobs as j set status = 'pending' where j.id = v_next;
    update public.sync_job_queue as q set status = 'pending' where q.job_id = v_next and q.status = 'held';
  end loop;
end;
$function$;

revoke all on function "private"."release_queued_jobs"(uuid) from public;

grant execute on function "private"."release_queued_jobs"(uuid) to "postgres";

-- schemas/private/functions/remember_records.sql

create or replace function private.remember_records (
  p_source public.sync_sources,
  p_batch  public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  set enable_nestloop to 'off'
  set jit to 'off'
  set work_mem to '64MB'
  AS $function$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  execute format('insert into private.sync_records (source_id, record_id) select $4, p.id from (%s) as p'
    ' where not exists (select from private.sync_records as s where s.source_id = $4 and s.record_id = p.id)'
    ' order by p.id on conflict do nothing', -- in the order of the indexes
    private.compile_presence(p_batch, true))
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;

  execute format('delete from private.sync_records as s where s.source_id = $1 and not exists (select from %s as t where t.%I = s.record_id)',
    v_dataset.target, v_dataset.id_column)
  using p_source.id;
end;
$function$;

revoke all on function "private"."remember_records"(public.sync_sources, public.import_batches) from public;

grant execute on function "private"."remember_records"(public.sync_sources, public.import_batches) to "postgres";

-- schemas/private/functions/remove_jobs.sql

create or replace function private.remove_jobs (
  p_ids uuid[]
)
  returns integer
  language sql
  set search_path to ''
  AS $function$
  with gone as (
    delete from public.scheduled_jobs as j where j.id = any (p_ids) returning j.org_id, j.id
  ),
  progress as (
    delete from public.sync_progress as p using gone as g where p.org_id = g.org_id and p.sync_id = g.id::text
  )
  select count(*)::integer from gone;
$function$;

revoke all on function "private"."remove_jobs"(uuid[]) from public;

grant execute on function "private"."remove_jobs"(uuid[]) to "postgres";

-- schemas/private/functions/remove_own_job.sql

create or replace function private.remove_own_job (
  p_job_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if v_job.finished_at is null then
    raise exception using
      errcode = 'PT409',
      message = 'job has not ended',
      detail  = format('job %s is %s', v_job.id, v_job.status),
      hint    = 'Cancel it first.';
  end if;
  perform private.remove_jobs(array[v_job.id]);
  perform private.log_job_activity(v_job, 'deleted', v_job.status);
end;
$function$;

revoke all on function "private"."remove_own_job"(uuid) from public;

grant execute on function "private"."remove_own_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/remove_sync_secret.sql

create or replace function private.remove_sync_secret (
  p_org_id uuid,
  p_name   text
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
begin
  perform private.require_org_role(v_org_id, 'admin');
  delete from vault.secrets as s where s.name = private.sync_secret_name(v_org_id, p_name) and p_name !~ '/';
  if not found then
    raise exception using errcode = 'PT404', message = 'secret not found';
  end if;
  perform private.log_activity(v_org_id, 'other', 'deleted', 'completed', null, jsonb_build_object('secret', p_name));
end;
$function$;

revoke all on function "private"."remove_sync_secret"(uuid, text) from public;

grant execute on function "private"."remove_sync_secret"(uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/remove_users.sql

create or replace function private.remove_users (
  p_org_id uuid,
  p_ids    uuid[]
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.log_users('deleted', p_ids, p_org_id);
  delete from public.profiles as p where p.id = any (p_ids);
  delete from auth.users as u where u.id = any (p_ids);
end;
$function$;

revoke all on function "private"."remove_users"(uuid, uuid[]) from public;

grant execute on function "private"."remove_users"(uuid, uuid[]) to "postgres";

-- schemas/private/functions/remove_waiting_secrets.sql

create or replace function private.remove_waiting_secrets()
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.dataset in (select f.dataset from public.dataset_fields as f where f.is_secret)
    and b.staged_at is not null
    and b.redacted_at is null
    and (b.status in ('cancelled', 'undone') or (
      coalesce(b.finished_at, b.validated_at, b.staged_at)
        < now() - make_interval(hours => private.setting('imports.secret_hours', b.org_id)::integer)
      and (b.status in ('staged', 'validated', 'failed') or exists (
        select from public.scheduled_jobs as j where j.batch_id = b.id and j.status in ('queued', 'paused') and j.job_type <> 'undo'
      ))
    ))
  order by b.staged_at
  limit 1;
  if not found then
    return false;
  end if;

  -- The job before the batch: in the order in which the workers lock them.
  perform private.cancel_job(j.id)
  from public.scheduled_jobs as j
  where j.batch_id = v_batch.id and j.status in ('queued', 'paused') and j.job_type <> 'undo';

  perform private.lock_organization(v_batch.org_id);
  select b.* into v_batch from public.import_batches as b where b.id = v_batch.id for no key update;
  case
    when v_batch.status in ('staged', 'validated') then
      update public.import_batches as b set status = 'cancelled' where b.id = v_batch.id;
    when v_batch.status in ('failed', 'cancelled', 'undone') then
      perform private.redact_import(v_batch);
    else
      return false;
  end case;
  return true;
end;
$function$;

revoke all on function "private"."remove_waiting_secrets"() from public;

grant execute on function "private"."remove_waiting_secrets"() to "postgres";

-- schemas/private/functions/renew_webhook_secret.sql

create or replace function private.renew_webhook_secret (
  p_webhook public.webhooks
)
  returns text
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_secret   text := 'whsec_' || encode(extensions.gen_random_bytes(32), 'base64');
  v_name     text := private.webhook_secret_name(p_webhook);
  v_present  vault.decrypted_secrets;
begin
  select s.* into v_present from vault.decrypted_secrets as s where s.name = v_name;
  if found then
    delete from vault.secrets as s where s.name = v_name || '/previous';
    perform vault.create_secret(v_present.decrypted_secret, v_name || '/previous');
    perform vault.update_secret(v_present.id, v_secret);
    update public.webhooks as w set previous_secret_until = clock_timestamp() + interval '1 day' where w.id = p_webhook.id;
  else
    perform vault.create_secret(v_secret, v_name);
  end if;
  return v_secret;
end;
$function$;

revoke all on function "private"."renew_webhook_secret"(public.webhooks) from public;

grant execute on function "private"."renew_webhook_secret"(public.webhooks) to "postgres";

-- schemas/private/functions/report_fates.sql

create or replace function private.report_fates (
  p_batch  public.import_batches,
  p_plan   private.import_plans,
  p_fates  private.range_fates,
  p_origin private.issue_origin
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_severity private.issue_severity := case p_origin when 'dry_run' then 'warning' else 'error' end;
begin
  insert into private.import_issues
    (staged_on, batch_id, row_number, field, severity, code, message, sqlstate, constraint_name, origin)
  select
    p_batch.staged_on, p_batch.id, r.row_number,
    case when r.cause is null then nullif(r.column_name, '') end,
    v_severity,
    case
      when r.cause is not null then 'group_failed'
      when r.sqlstate = '42501' then 'permission_denied'
      when r.sqlstate = 'IR001' then r.constraint_name
      else 'constraint_violation'
    end,
    case when r.cause is null then private.shown_message(p_batch.dataset, r.sqlstate, r.message) else format('fails with its record: row %s', r.cause) end,
    case when r.cause is null then r.sqlstate end,
    case when r.cause is null and r.sqlstate <> 'IR001' then nullif(r.constraint_name, '') end,
    p_origin
  from unnest(p_fates.refused) as r;

  if cardinality(p_fates.absent) > 0 then
    execute format(
      'insert into private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value, origin)
       select $1, $2, k.row_number, $4, $7, $5, $6, left(k.key, 200), $8 from (%s) as k (row_number, key)', p_plan.keys_sql)
    using p_batch.staged_on, p_batch.id, p_fates.absent,
      (select array_to_string(d.key_fields, ', ') from public.datasets as d where d.key = p_batch.dataset),
      case p_batch.mode when 'insert' then 'already_exists' else 'not_found' end,
      case p_batch.mode when 'insert' then 'a record with this key exists' else 'no record has this key' end,
      v_severity, p_origin;
  end if;
end;
$function$;

revoke all on function "private"."report_fates"(public.import_batches, private.import_plans, private.range_fates, private.issue_origin) from public;

grant execute on function "private"."report_fates"(public.import_batches, private.import_plans, private.range_fates, private.issue_origin) to "postgres";

-- schemas/private/functions/report_webhook_delivery.sql

create or replace function private.report_webhook_delivery (
  p_delivery_id         uuid,
  p_token               uuid,
  p_response_status     integer,
  p_error               jsonb,
  p_retry_after_seconds integer
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_hopeless   constant text[] := '{invalid_request,address_refused}'; -- however often it is tried
  c_most_delay constant integer := 86400;
  v_delivery public.webhook_deliveries;
  v_error    jsonb := p_error;
begin
  select d.* into v_delivery from public.webhook_deliveries as d where d.id = p_delivery_id for update;
  if v_delivery.token is distinct from p_token or p_token is null then
    raise exception using
      errcode = 'PT409',
      message = 'call of the worker function is over',
      detail  = format('delivery %s', p_delivery_id);
  end if;

  if p_response_status between 200 and 299 then
    update public.webhook_deliveries as d
    set status = 'delivered', delivered_at = clock_timestamp(), token = null, response_status = p_response_status, error = null
    where d.id = p_delivery_id;
    return;
  end if;

  if p_response_status is not null then
    v_error := jsonb_build_object(
      'code', 'not_accepted', 'message', 'receiver did not accept the event', 'details', format('status %s', p_response_status),
      'hint', case when p_response_status between 300 and 399 then 'Redirects are not followed: give the address that it redirects to.' end);
  end if;
  perform private.fail_webhook_delivery(
    v_delivery, p_response_status, v_error,
    p_response_status is not distinct from 410 or v_error ->> 'code' = any (c_hopeless),
    make_interval(secs => least(coalesce(p_retry_after_seconds, 0), c_most_delay)));

  if p_response_status = 410 then
    update public.webhooks as w
    set is_active = false, error = jsonb_build_object(
      'code', 'gone', 'message', 'receiver is gone', 'details', 'status 410', 'hint', 'Switch it on once there is one again.')
    where w.id = v_delivery.webhook_id;
  end if;
end;
$function$;

revoke all on function "private"."report_webhook_delivery"(uuid, uuid, integer, jsonb, integer) from public;

grant execute on function "private"."report_webhook_delivery"(uuid, uuid, integer, jsonb, integer) to "postgres", "service_role";

-- schemas/private/functions/repost_task.sql

create or replace function private.repost_task (
  p_task_id bigint,
  p_token   uuid,
  p_route   text,
  p_timeout interval default '00:03:00'::interval
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_task public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job  public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id for no key update;
  if v_job.cancel_requested_at is not null then
    perform private.finish_task(v_task, null);
  elsif v_job.status = 'running' then
    perform private.post_task(v_task, p_route, p_timeout);
    perform private.await_call(v_task);
  else
    update public.sync_job_queue as q set next_attempt_at = clock_timestamp() where q.id = v_task.id;
    perform private.return_task(v_task);
  end if;
end;
$function$;

revoke all on function "private"."repost_task"(bigint, uuid, text, interval) from public;

grant execute on function "private"."repost_task"(bigint, uuid, text, interval) to "postgres";

-- schemas/private/functions/require_call.sql

create or replace function private.require_call (
  p_task    public.sync_job_queue,
  p_task_id bigint,
  p_token   uuid
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if p_task.token = p_token and exists (
    select from public.scheduled_jobs as j where j.id = p_task.job_id and j.error is null -- else it fails, or has
  ) then
    return;
  end if;

  raise exception using
    errcode = 'PT409',
    message = 'call of the worker function is over',
    detail  = format('task %s', p_task_id),
    hint    = 'Stop: it was answered, took too long, or its job was stopped. What is left of the task is posted anew.';
end;
$function$;

revoke all on function "private"."require_call"(public.sync_job_queue, bigint, uuid) from public;

grant execute on function "private"."require_call"(public.sync_job_queue, bigint, uuid) to "postgres";

-- schemas/private/functions/require_colleague.sql

create or replace function private.require_colleague (
  p_user_id      uuid,
  p_org_id       uuid,
  p_minimum_role public.org_role
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if not exists (
    select from public.profiles as p
    where p.id = p_user_id and p.org_id = p_org_id and p.is_active and p.org_role >= p_minimum_role
  ) then
    raise exception using
      errcode = '22023',
      message = 'person is not of the organization',
      detail  = format('nobody active with role %s or higher is %s', p_minimum_role, coalesce(p_user_id::text, 'null'));
  end if;
end;
$function$;

revoke all on function "private"."require_colleague"(uuid, uuid, public.org_role) from public;

grant execute on function "private"."require_colleague"(uuid, uuid, public.org_role) to "postgres";

-- schemas/private/functions/require_equal_owner.sql

create or replace function private.require_equal_owner (
  p_source public.sync_sources
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if private.is_service_caller() or private.is_system_admin() or not exists (
    select from public.profiles as p where p.id = p_source.owner and p.is_system_admin
  ) then
    return;
  end if;

  raise exception using
    errcode = '42501',
    message = 'source of a system admin is theirs to change',
    detail  = format('source %s', p_source.id),
    hint    = 'Name another owner.';
end;
$function$;

revoke all on function "private"."require_equal_owner"(public.sync_sources) from public;

grant execute on function "private"."require_equal_owner"(public.sync_sources) to "postgres";

-- schemas/private/functions/require_fit_columns.sql

create or replace function private.require_fit_columns (
  p_org_id  uuid,
  p_columns text[]
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_longest constant integer := 255;
  v_long text;
begin
  if cardinality(p_columns) > private.setting('imports.max_columns', p_org_id)::integer then
    raise exception using
      errcode = 'PT413',
      message = 'file has too many columns',
      detail  = format('%s columns', cardinality(p_columns)),
      hint    = format('At most %s are allowed.', private.setting('imports.max_columns', p_org_id));
  end if;

  -- They are in every document of the import.
  select format('column %s: %s characters', c.position, length(c.name)) into v_long
  from unnest(p_columns) with ordinality as c (name, position)
  where length(c.name) > c_longest
  limit 1;
  if found then
    raise exception using
      errcode = 'PT413',
      message = 'name of a column is too long',
      detail  = v_long,
      hint    = format('At most %s characters; is the first line the header?', c_longest);
  end if;
end;
$function$;

revoke all on function "private"."require_fit_columns"(uuid, text[]) from public;

grant execute on function "private"."require_fit_columns"(uuid, text[]) to "postgres";

-- schemas/private/functions/require_idle_session.sql

create or replace function private.require_idle_session (
  p_session public.import_sessions
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if p_session.current_step = 'receiving'
    or exists (select from public.scheduled_jobs as j where j.batch_id = p_session.batch_id and j.finished_at is null) then
    raise exception using
      errcode = 'PT409',
      message = 'import is being worked on',
      detail  = format('import %s is %s', p_session.batch_id, p_session.current_step),
      hint    = 'Wait for its end, or cancel it.';
  end if;
end;
$function$;

revoke all on function "private"."require_idle_session"(public.import_sessions) from public;

grant execute on function "private"."require_idle_session"(public.import_sessions) to "postgres";

-- schemas/private/functions/require_import_job_right.sql

create or replace function private.require_import_job_right (
  p_job public.scheduled_jobs
)
  returns void
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.require_import_right(b) from public.import_batches as b where b.id = p_job.batch_id;
$function$;

revoke all on function "private"."require_import_job_right"(public.scheduled_jobs) from public;

grant execute on function "private"."require_import_job_right"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/require_import_right.sql

create or replace function private.require_import_right (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if not exists (select from public.organization as o where o.id = p_batch.org_id and o.is_active) then
    raise exception using
      errcode = '42501',
      message = 'organization is not active',
      detail  = format('organization %s', p_batch.org_id);
  end if;
  perform private.require_org_role(p_batch.org_id, private.role_for(
    p_batch.dataset,
    case when p_batch.mode <> 'delete' and private.works_on_import(p_batch.id) then 'member' else 'admin' end::public.org_role
  ));
end;
$function$;

revoke all on function "private"."require_import_right"(public.import_batches) from public;

grant execute on function "private"."require_import_right"(public.import_batches) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/require_ingestible.sql

create or replace function private.require_ingestible (
  p_batch public.import_batches
)
  returns bigint
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_size bigint;
  v_most bigint := private.setting('imports.max_object_bytes', p_batch.org_id)::bigint;
begin
  if p_batch.status <> 'receiving' or private.is_receiving(p_batch.id) or private.is_ingesting(p_batch.id) then
    raise exception using
      errcode = 'PT409',
      message = 'import does not await a file',
      detail  = format('import %s is %s', p_batch.id, p_batch.status),
      hint    = 'Start a new import; the stored file can be named again.';
  end if;

  select (o.metadata ->> 'size')::bigint into v_size
  from storage.objects as o
  where o.bucket_id = 'imports' and o.name = p_batch.storage_path;
  if v_size is null then
    raise exception using
      errcode = 'PT404',
      message = 'stored file not found',
      hint    = 'Make the import with its storage_path.';
  end if;

  if v_size > v_most then
    raise exception using
      errcode = 'PT413',
      message = 'stored file is too large',
      detail  = format('%s bytes, the limit is %s', v_size, v_most),
      hint    = 'Split it into several imports, or have the limit imports.max_object_bytes raised.';
  end if;
  return v_size;
end;
$function$;

revoke all on function "private"."require_ingestible"(public.import_batches) from public;

grant execute on function "private"."require_ingestible"(public.import_batches) to "postgres";

-- schemas/private/functions/require_job.sql

create or replace function private.require_job (
  p_job_id uuid
)
  returns public.scheduled_jobs
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_job   public.scheduled_jobs;
  v_right text;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.id = p_job_id and j.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'job not found';
  end if;

  select t.right_function into v_right from private.job_types as t where t.job_type = v_job.job_type;
  if v_right is null then
    perform private.require_org_role(
      v_job.org_id, case when v_job.created_by = auth.uid() then 'member' else 'admin' end::public.org_role);
  else
    execute format('select %s($1)', v_right) using v_job;
  end if;
  return v_job;
end;
$function$;

revoke all on function "private"."require_job"(uuid) from public;

grant execute on function "private"."require_job"(uuid) to "postgres";

-- schemas/private/functions/require_mapped_fields.sql

create or replace function private.require_mapped_fields (
  p_dataset text,
  p_mode    public.import_mode,
  p_mapping jsonb
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_unmapped text[] := private.unmapped_fields(p_dataset, p_mode, p_mapping);
begin
  if v_unmapped <> '{}' then
    raise exception using
      errcode = 'PT422',
      message = 'required field is not mapped',
      detail  = format('no column for %s', array_to_string(v_unmapped, ', ')),
      hint    = 'Name a column for it in the mapping, or give it a default there.';
  end if;
end;
$function$;

revoke all on function "private"."require_mapped_fields"(text, public.import_mode, jsonb) from public;

grant execute on function "private"."require_mapped_fields"(text, public.import_mode, jsonb) to "postgres";

-- schemas/private/functions/require_no_cycle.sql

create or replace function private.require_no_cycle (
  p_import_id uuid
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_cycle text := private.prerequisite_cycle(p_import_id);
begin
  if v_cycle is not null then
    raise exception using
      errcode = '22023',
      message = 'imports would wait for each other',
      detail  = v_cycle,
      hint    = 'Take one of them out of depends_on, or out of the set.';
  end if;
end;
$function$;

revoke all on function "private"."require_no_cycle"(uuid) from public;

grant execute on function "private"."require_no_cycle"(uuid) to "postgres";

-- schemas/private/functions/require_org_role.sql

create or replace function private.require_org_role (
  p_org_id       uuid,
  p_minimum_role public.org_role
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if exists (
    select from private.org_ids(p_minimum_role) as held (org_id) where held.org_id = p_org_id
  ) then
    return;
  end if;

  raise exception using
    errcode = '42501',
    message = 'organization role required',
    detail  = format('organization %s needs role %s or higher', p_org_id, p_minimum_role),
    hint    = 'Ask an admin of the organization.';
end;
$function$;

revoke all on function "private"."require_org_role"(uuid, public.org_role) from public;

grant execute on function "private"."require_org_role"(uuid, public.org_role) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/require_other_file.sql

create or replace function private.require_other_file (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_earlier public.import_batches;
begin
  select b.* into v_earlier
  from public.import_batches as b
  where b.id = p_batch.duplicate_of and private.is_applicable(b);
  if found then
    raise exception using
      errcode = 'PT409',
      message = 'file was imported before',
      detail  = format('import %s, %s on %s, is %s',
        v_earlier.id, coalesce(v_earlier.file_name, 'without a name'), v_earlier.created_at::date, v_earlier.status),
      hint    = 'Commit it with force if it is to be applied again; else cancel it.';
  end if;
end;
$function$;

revoke all on function "private"."require_other_file"(public.import_batches) from public;

grant execute on function "private"."require_other_file"(public.import_batches) to "postgres";

-- schemas/private/functions/require_own_file.sql

create or replace function private.require_own_file (
  p_storage_path text,
  p_org_id       uuid
)
  returns void
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
begin
  if p_storage_path is not null and private.is_own_path(p_storage_path, p_org_id) is not true then
    raise exception using
      errcode = '22023',
      message = 'stored file is not the organization''s',
      detail  = format('storage_path %s', to_json(p_storage_path)),
      hint    = format('Its path begins with the id of the organization: %s/…, and has no dots between slashes, \, ?, # or %%.', p_org_id);
  end if;
end;
$function$;

revoke all on function "private"."require_own_file"(text, uuid) from public;

grant execute on function "private"."require_own_file"(text, uuid) to "postgres";

-- schemas/private/functions/require_plain_pattern.sql

create or replace function private.require_plain_pattern (
  p_pattern text
)
  returns void
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
declare
  c_longest constant integer := 500;
begin
  perform '' ~ p_pattern; -- 2201B when it is no regular expression
  if length(p_pattern) > c_longest or replace(p_pattern, '\\', '') ~ '\\[1-9]|\(\?[=!<]' then
    raise exception using
      errcode = '22023',
      message = 'regular expression is not allowed',
      detail  = left(p_pattern, 200),
      hint    = format('At most %s characters, without back references (\1) and look-around.', c_longest);
  end if;
end;
$function$;

revoke all on function "private"."require_plain_pattern"(text) from public;

grant execute on function "private"."require_plain_pattern"(text) to "postgres";

-- schemas/private/functions/require_receiving.sql

create or replace function private.require_receiving (
  p_import_id uuid
)
  returns public.import_batches
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.id = p_import_id and b.status = 'receiving';
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'import does not await a file',
      detail  = format('import %s', p_import_id),
      hint    = 'Start a new import.';
  end if;
  return v_batch;
end;
$function$;

revoke all on function "private"."require_receiving"(uuid) from public;

grant execute on function "private"."require_receiving"(uuid) to "postgres";

-- schemas/private/functions/require_retriable.sql

create or replace function private.require_retriable (
  p_job_id uuid,
  OUT      job_type text,
  OUT      params jsonb
)
  returns record
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if v_job.status <> 'failed'
    or not exists (select from public.sync_job_queue as q where q.job_id = v_job.id)
    or exists (
      select from public.scheduled_jobs as n
      where n.batch_id = v_job.batch_id and n.created_at > v_job.created_at and n.params -> 'dry_run' is distinct from 'true'
    ) then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the job can be tried again',
      detail  = format('job %s is %s', v_job.id, v_job.status),
      hint    = case
        when v_job.finished_at is null then 'Wait until it has ended.'
        when v_job.status = 'failed' then 'Another job went on after it.'
        else 'It did not fail.'
      end;
  end if;
  job_type := v_job.job_type;
  params := v_job.params || jsonb_build_object('retry', true, 'retries', v_job.id);
end;
$function$;

revoke all on function "private"."require_retriable"(uuid) from public;

grant execute on function "private"."require_retriable"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/require_reversible.sql

create or replace function private.require_reversible (
  p_batch public.import_batches
)
  returns integer
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_count integer := (select sum(c.record_count) from private.unreversed_chunks(p_batch) as c);
begin
  if p_batch.mode = 'delete' and exists (
    select from public.datasets as d where d.key = p_batch.dataset and d.apply_function is not null and d.lines is null
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'deletions of this dataset cannot be undone',
      detail  = format('import %s into %s', p_batch.id, p_batch.dataset),
      hint    = 'Import the records again; they will be new ones.';
  end if;
  if v_count is null then
    raise exception using
      errcode = 'PT409',
      message = 'nothing is left to undo',
      detail  = format('import %s', p_batch.id),
      hint    = 'It wrote no record, or an undo has taken back all of them.';
  end if;
  return v_count;
end;
$function$;

revoke all on function "private"."require_reversible"(public.import_batches) from public;

grant execute on function "private"."require_reversible"(public.import_batches) to "postgres";

-- schemas/private/functions/require_rows.sql

create or replace function private.require_rows (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
begin
  if p_batch.row_count > 0 and not exists (
    select from private.import_rows as r where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'rows of the import have expired',
      detail  = format('import %s was staged on %s', p_batch.id, p_batch.staged_on),
      hint    = 'Send the file again.';
  end if;
end;
$function$;

revoke all on function "private"."require_rows"(public.import_batches) from public;

grant execute on function "private"."require_rows"(public.import_batches) to "postgres";

-- schemas/private/functions/require_running_job.sql

create or replace function private.require_running_job (
  p_batch_id  uuid,
  p_job_types text[]
)
  returns public.import_batches
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  join public.scheduled_jobs as j
    on j.batch_id = b.id and j.job_type = any (p_job_types) and j.finished_at is null -- a paused one ends what it is at
    and j.actor is not distinct from auth.uid() and (j.run_as = 'service') = private.is_service_caller()
  where b.id = p_batch_id;
  if not found then
    raise exception using errcode = 'IM001', message = 'no running job of this import is the caller''s';
  end if;
  return v_batch;
end;
$function$;

revoke all on function "private"."require_running_job"(uuid, text[]) from public;

grant execute on function "private"."require_running_job"(uuid, text[]) to "postgres";

-- schemas/private/functions/require_sender.sql

create or replace function private.require_sender (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if private.has_secrets(p_batch.dataset) and private.is_sender(p_batch) is not true then
    raise exception using
      errcode = '42501',
      message = 'import with secrets is mapped by its sender',
      detail  = format('import %s', p_batch.id),
      hint    = 'Send the file yourself.';
  end if;
end;
$function$;

revoke all on function "private"."require_sender"(public.import_batches) from public;

grant execute on function "private"."require_sender"(public.import_batches) to "postgres";

-- schemas/private/functions/require_separate_secrets.sql

create or replace function private.require_separate_secrets (
  p_dataset text,
  p_mapping jsonb
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_detail text;
begin
  select format('column %s of field %s also serves %s', to_json(s.name), s.field, m.key) into v_detail
  from (
    select f.name as field, p_mapping #>> array[f.name, 'columns', '0'] as name
    from public.dataset_fields as f
    where f.dataset = p_dataset and f.is_secret
  ) as s
  join jsonb_each(p_mapping) as m on m.key <> s.field
  where m.value -> 'columns' ? s.name
    or jsonb_path_query_array(m.value, '$.transforms[*].classify[*].column') ? s.name
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'column of a secret field is used twice',
      detail  = v_detail,
      hint    = 'What may hold secrets fills one field, and stands in no rule of another.';
  end if;
end;
$function$;

revoke all on function "private"."require_separate_secrets"(text, jsonb) from public;

grant execute on function "private"."require_separate_secrets"(text, jsonb) to "postgres";

-- schemas/private/functions/require_set.sql

create or replace function private.require_set (
  p_set_id uuid,
  p_org_id uuid
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_set public.import_sets;
begin
  select s.* into v_set from public.import_sets as s where s.id = p_set_id and s.org_id = p_org_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'import set not found';
  end if;
  perform private.require_org_role(
    p_org_id, case when v_set.created_by = auth.uid() then 'member' else 'admin' end::public.org_role);
end;
$function$;

revoke all on function "private"."require_set"(uuid, uuid) from public;

grant execute on function "private"."require_set"(uuid, uuid) to "postgres";

-- schemas/private/functions/require_source_owner.sql

create or replace function private.require_source_owner (
  p_source public.sync_sources
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if not exists (
    select from public.profiles as p
    where p.id = p_source.owner and p.is_active
      and (p.is_system_admin or (p.org_id = p_source.org_id and p.org_role = 'admin'))
  ) then
    raise exception using
      errcode = '22023',
      message = 'owner of the source must be an admin',
      detail  = format('user %s', coalesce(p_source.owner::text, 'none')),
      hint    = 'Name an active admin of the organization as owner.';
  elsif private.reaches_others(p_source.dataset, p_source.owner) then
    raise exception using
      errcode = '22023',
      message = 'owner of the source must not be a system admin',
      detail  = format('dataset %s', p_source.dataset),
      hint    = 'Its rows may name other organizations, too: name an admin of this one.';
  end if;
end;
$function$;

revoke all on function "private"."require_source_owner"(public.sync_sources) from public;

grant execute on function "private"."require_source_owner"(public.sync_sources) to "postgres";

-- schemas/private/functions/require_status.sql

create or replace function private.require_status (
  p_status text,
  p_type   anyenum
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if not pg_input_is_valid(p_status, pg_typeof(p_type)::text) then
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no status %s', to_json(p_status)),
      hint    = format('One of: %s.', array_to_string(enum_range(p_type), ', '));
  end if;
end;
$function$;

revoke all on function "private"."require_status"(text, anyenum) from public;

grant execute on function "private"."require_status"(text, anyenum) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/require_template_columns.sql

create or replace function private.require_template_columns (
  p_template public.import_templates,
  p_mapping  jsonb,
  p_columns  text[]
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_lacking text;
begin
  select string_agg(distinct to_json(c)::text, ', ') into v_lacking
  from jsonb_each(p_mapping) as m
  cross join jsonb_array_elements_text(m.value -> 'columns') as c
  where c <> all (p_columns);
  if v_lacking is not null then
    raise exception using
      errcode = 'PT422',
      message = 'file lacks columns of the template',
      detail  = format('template %s, version %s: no column %s', to_json(p_template.name), p_template.version, v_lacking),
      hint    = 'Map these fields otherwise, or use another template.';
  end if;
end;
$function$;

revoke all on function "private"."require_template_columns"(public.import_templates, jsonb, text[]) from public;

grant execute on function "private"."require_template_columns"(public.import_templates, jsonb, text[]) to "postgres";

-- schemas/private/functions/require_template_right.sql

create or replace function private.require_template_right (
  p_org_id       uuid,
  p_minimum_role public.org_role
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if p_org_id is not null then
    perform private.require_org_role(p_org_id, p_minimum_role);
  elsif not (private.is_service_caller() or private.is_system_admin()) then
    raise exception using errcode = '42501', message = 'templates for all organizations are for system admins';
  end if;
end;
$function$;

revoke all on function "private"."require_template_right"(uuid, public.org_role) from public;

grant execute on function "private"."require_template_right"(uuid, public.org_role) to "postgres";

-- schemas/private/functions/require_unfinished.sql

create or replace function private.require_unfinished (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if p_job.finished_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'job has ended',
      detail  = format('job %s is %s', p_job.id, p_job.status),
      hint    = case p_job.status when 'failed' then 'Retry it.' else 'Start a new one.' end;
  elsif p_job.cancel_requested_at is not null or (p_job.error is not null and p_job.phase is distinct from 'waiting') then
    raise exception using
      errcode = 'PT409',
      message = 'job is about to end',
      detail  = format('job %s: its tasks in flight end, then it is %s',
        p_job.id, case when p_job.error is null then 'cancelled' else 'failed' end),
      hint    = 'Wait a moment.';
  end if;
end;
$function$;

revoke all on function "private"."require_unfinished"(public.scheduled_jobs) from public;

grant execute on function "private"."require_unfinished"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/require_unredacted.sql

create or replace function private.require_unredacted (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  immutable
  set search_path to ''
  AS $function$
begin
  if p_batch.redacted_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'secrets of the import were removed',
      detail  = format('import %s: at %s', p_batch.id, p_batch.redacted_at),
      hint    = 'Send the file again.';
  end if;
end;
$function$;

revoke all on function "private"."require_unredacted"(public.import_batches) from public;

grant execute on function "private"."require_unredacted"(public.import_batches) to "postgres";

-- schemas/private/functions/require_webhook_room.sql

create or replace function private.require_webhook_room (
  p_webhook public.webhooks
)
  returns integer
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_room integer := private.webhook_room(p_webhook.org_id);
begin
  if not p_webhook.is_active then
    raise exception using
      errcode = 'PT409',
      message = 'webhook is switched off',
      detail  = format('webhook %s', p_webhook.id),
      hint    = 'Switch it on with change_webhook.';
  end if;
  if v_room <= 0 then
    raise exception using
      errcode = 'PT429',
      message = 'too many deliveries are queued',
      detail  = format('the limit is %s', private.setting('webhooks.queued_per_organization', p_webhook.org_id)),
      hint    = 'Wait until some are delivered or given up.';
  end if;
  return v_room;
end;
$function$;

revoke all on function "private"."require_webhook_room"(public.webhooks) from public;

grant execute on function "private"."require_webhook_room"(public.webhooks) to "postgres";

-- schemas/private/functions/resolve_organization.sql

create or replace function private.resolve_organization (
  p_org_id uuid
)
  returns uuid
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := p_org_id;
begin
  if v_org_id is null and not private.is_service_caller() then
    v_org_id := (select p.org_id from public.profiles as p where p.id = auth.uid());
  end if;
  if v_org_id is null then
    raise exception using
      errcode = '22023',
      message = 'organization is required',
      hint    = 'Name org_id: the caller belongs to no organization.';
  end if;
  -- A stranger learns nothing of what the organization has, so this comes first.
  if not exists (select from private.org_ids('viewer') as o (id) where o.id = v_org_id) then
    raise exception using errcode = 'PT404', message = 'organization not found';
  end if;
  return v_org_id;
end;
$function$;

revoke all on function "private"."resolve_organization"(uuid) from public;

grant execute on function "private"."resolve_organization"(uuid) to "postgres";

-- schemas/private/functions/resolve_target.sql

create or replace function private.resolve_target (
  p_dataset  text,
  p_mode     text,
  p_org_id   uuid,
  p_corrects uuid,
  OUT        org_id uuid,
  OUT        dataset public.datasets,
  OUT        mode public.import_mode,
  OUT        parent public.import_batches
)
  returns record
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  org_id := p_org_id;
  if p_corrects is not null then
    parent := private.find_correctable(p_corrects);
    org_id := coalesce(org_id, parent.org_id);
    if (parent.org_id, parent.dataset, parent.mode::text) is distinct from
      (org_id, coalesce(p_dataset, parent.dataset), coalesce(p_mode, parent.mode::text)) then
      raise exception using
        errcode = '22023',
        message = 'correction is of another kind than what it corrects',
        detail  = format('import %s: dataset %s, mode %s', parent.id, parent.dataset, parent.mode),
        hint    = 'Leave dataset and mode out, or send the file as an import of its own.';
    end if;
  end if;

  org_id := private.resolve_organization(org_id);

  select d.* into dataset from public.datasets as d where d.key = coalesce(p_dataset, parent.dataset);
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', to_json(p_dataset)),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  end if;

  if p_corrects is not null then
    mode := parent.mode;
  elsif p_mode is null then
    mode := case when 'upsert' = any (dataset.allowed_modes) then 'upsert' else dataset.allowed_modes[1] end;
  elsif p_mode = any (dataset.allowed_modes::text[]) then
    mode := p_mode;
  else
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s of dataset %s', to_json(p_mode), p_dataset),
      hint    = format('Allowed are: %s.', array_to_string(dataset.allowed_modes, ', '));
  end if;
  perform private.require_org_role(
    org_id, private.role_for(dataset.key, case mode when 'delete' then 'admin' else 'member' end::public.org_role));
end;
$function$;

revoke all on function "private"."resolve_target"(text, text, uuid, uuid) from public;

grant execute on function "private"."resolve_target"(text, text, uuid, uuid) to "postgres";

-- schemas/private/functions/restore_cells.sql

create or replace function private.restore_cells (
  p_batch public.import_batches
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_guarded constant text := '^''+([=@\t\r]|[+-](?![0-9 .,/()-]*$))';
begin
  update private.import_rows as r
  set cells = array(
    select case when c.cell ~ c_guarded then substr(c.cell, 2) else c.cell end
    from unnest(r.cells) with ordinality as c (cell, position)
    order by c.position
  )
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
    and exists (select from unnest(r.cells) as c (cell) where c.cell ~ c_guarded);
end;
$function$;

revoke all on function "private"."restore_cells"(public.import_batches) from public;

grant execute on function "private"."restore_cells"(public.import_batches) to "postgres";

-- schemas/private/functions/resume_import.sql

create or replace function private.resume_import (
  p_import_id uuid
)
  returns void
  language sql
  security definer
  set search_path to ''
  AS $function$
  select private.resume_unfinished(private.unfinished_job(b)) from public.import_batches as b where b.id = p_import_id;
$function$;

revoke all on function "private"."resume_import"(uuid) from public;

grant execute on function "private"."resume_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/resume_job.sql

create or replace function private.resume_job (
  p_job_id uuid
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  update public.scheduled_jobs as j
  set status = 'queued', error = null
  where j.id = p_job_id and j.status = 'paused' and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting') -- else it is failing
  returning j.* into v_job;
  if not found then
    return false;
  end if;

  perform private.release_queued_jobs(v_job.org_id);
  return true;
end;
$function$;

revoke all on function "private"."resume_job"(uuid) from public;

grant execute on function "private"."resume_job"(uuid) to "postgres";

-- schemas/private/functions/resume_own_job.sql

create or replace function private.resume_own_job (
  p_job_id uuid
)
  returns void
  language sql
  security definer
  set search_path to ''
  AS $function$
  select private.resume_unfinished(private.require_job(p_job_id));
$function$;

revoke all on function "private"."resume_own_job"(uuid) from public;

grant execute on function "private"."resume_own_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/resume_unfinished.sql

create or replace function private.resume_unfinished (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.require_unfinished(p_job);
  if not private.resume_job(p_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'job is not paused',
      detail  = format('job %s is %s', p_job.id, p_job.status),
      hint    = 'It goes on by itself.';
  end if;
  perform private.log_job_activity(p_job, 'resumed', 'running');
end;
$function$;

revoke all on function "private"."resume_unfinished"(public.scheduled_jobs) from public;

grant execute on function "private"."resume_unfinished"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/retry_invitations.sql

create or replace function private.retry_invitations (
  p_org_id   uuid,
  p_user_ids uuid[]
)
  returns integer
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
begin
  perform private.require_org_role(v_org_id, 'admin');
  return private.queue_invitations(v_org_id, array(
    select i.user_id
    from public.user_invitations as i
    where i.org_id = v_org_id
      and case when p_user_ids is null then i.status = 'failed' else i.user_id = any (p_user_ids) end
  ));
end;
$function$;

revoke all on function "private"."retry_invitations"(uuid, uuid[]) from public;

grant execute on function "private"."retry_invitations"(uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/return_task.sql

create or replace function private.return_task (
  p_task public.sync_job_queue
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  update public.sync_job_queue as q
  set status = private.waiting_status(v_job), attempts = q.attempts - 1, token = null
  where q.id = p_task.id;

  if v_job.error is not null and v_job.finished_at is null then
    perform private.end_failing_job(v_job);
  else
    perform private.release_if_queued(v_job);
  end if;
end;
$function$;

revoke all on function "private"."return_task"(public.sync_job_queue) from public;

grant execute on function "private"."return_task"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/reverse_by_function.sql

create or replace function private.reverse_by_function (
  p_org_id   uuid,
  p_ids      uuid[],
  p_images   jsonb[],
  p_call     text,
  p_reversed text
)
  returns uuid[]
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_reversed uuid[];
begin
  execute p_call using p_org_id, p_ids, p_images;
  execute p_reversed into v_reversed using p_org_id, p_ids, p_images;
  return v_reversed;
end;
$function$;

revoke all on function "private"."reverse_by_function"(uuid, uuid[], jsonb[], text, text) from public;

grant execute on function "private"."reverse_by_function"(uuid, uuid[], jsonb[], text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/reverse_records.sql

create or replace function private.reverse_records (
  p_batch_id   uuid,
  p_chunk      integer,
  p_from_entry integer,
  p_to_entry   integer,
  p_org_id     uuid,
  p_delete     text,
  p_update     text,
  p_insert     text,
  p_lines      text[]
)
  returns private.applied_piece
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_judged private.judged_record[] := array(
    select j from private.judge_reversals(p_batch_id, p_chunk, p_from_entry, p_to_entry) as j
  );
  v_part   record;
  v_line   text;
  v_ids    uuid[];
  v_done   uuid[] := '{}';
begin
  for v_part in
    select s.statement, s.with_lines,
      array(select j.record_id from unnest(v_judged) as j where j.verdict is null and j.action = s.action order by j.record_id) as ids,
      array(select j.image from unnest(v_judged) as j where j.verdict is null and j.action = s.action order by j.record_id) as images
    from (values
      ('inserted'::private.row_action, p_delete, false), ('updated', p_update, true), ('deleted', p_insert, true)
    ) as s (action, statement, with_lines)
  loop
    continue when v_part.statement is null or v_part.ids = '{}';
    execute v_part.statement into v_ids using p_org_id, v_part.ids, v_part.images;
    v_done := v_done || v_ids;
    if v_part.with_lines then
      foreach v_line in array coalesce(p_lines, '{}') loop
        execute v_line using v_ids, v_part.images;
      end loop;
    end if;
  end loop;
  return private.reversed_piece(v_judged, v_done);
end;
$function$;

revoke all on function "private"."reverse_records"(uuid, integer, integer, integer, uuid, text, text, text, text[]) from public;

grant execute on function "private"."reverse_records"(uuid, integer, integer, integer, uuid, text, text, text, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/reversed_piece.sql

create or replace function private.reversed_piece (
  p_judged private.judged_record[],
  p_done   uuid[]
)
  returns private.applied_piece
  language sql
  immutable
  set search_path to ''
  set enable_hashjoin to 'on'
  set enable_nestloop to 'off'
  AS $function$
  select array_agg(j.row_number), null::private.row_action[], array_agg(j.record_id), null::bigint[], null::jsonb[], 0::bigint,
    array_agg(coalesce(j.verdict, case when d.id is not null then 'reversed' else 'denied' end))
  from unnest(p_judged) as j
  left join unnest(p_done) as d (id) on d.id = j.record_id;
$function$;

revoke all on function "private"."reversed_piece"(private.judged_record[], uuid[]) from public;

grant execute on function "private"."reversed_piece"(private.judged_record[], uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/role_for.sql

create or replace function private.role_for (
  p_dataset      text,
  p_minimum_role public.org_role
)
  returns public.org_role
  language sql
  stable
  set search_path to ''
  AS $function$
  select greatest(p_minimum_role, d.required_role) from public.datasets as d where d.key = p_dataset;
$function$;

revoke all on function "private"."role_for"(text, public.org_role) from public;

grant execute on function "private"."role_for"(text, public.org_role) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/rotate_webhook_secret.sql

create or replace function private.rotate_webhook_secret (
  p_webhook_id uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
  v_secret  text := private.renew_webhook_secret(v_webhook);
begin
  perform private.log_activity(v_webhook.org_id, 'other', 'updated', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id, 'secret', 'rotated'));
  return private.describe_webhook(private.find_webhook(p_webhook_id)) || jsonb_build_object('secret', v_secret);
end;
$function$;

revoke all on function "private"."rotate_webhook_secret"(uuid) from public;

grant execute on function "private"."rotate_webhook_secret"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/row_expression.sql

create or replace function private.row_expression (
  p_type   regclass,
  p_fields private.planned_field[],
  p_refuse boolean
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select format('row(%s)::%s',
    string_agg(
      case when f.number is null then format('null::%s', format_type(a.atttypid, a.atttypmod))
        else private.typed_value(f, p_refuse) end, ', ' order by a.attnum),
    p_type)
  from pg_attribute as a
  left join unnest(p_fields) as f on f.column_name = a.attname
  where a.attrelid = p_type and a.attnum > 0 and not a.attisdropped;
$function$;

revoke all on function "private"."row_expression"(regclass, private.planned_field[], boolean) from public;

grant execute on function "private"."row_expression"(regclass, private.planned_field[], boolean) to "postgres";

-- schemas/private/functions/run_commit.sql

create or replace function private.run_commit (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job    public.scheduled_jobs;
  v_batch  public.import_batches;
  v_plan   private.import_plans;
  v_range  private.applied_range;
  v_all    private.applied_piece;
  v_fates  private.range_fates;
  v_middle integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  v_range := private.apply_as(v_job.run_as, v_plan, v_plan.merge_sql, p_task.from_row, p_task.to_row);
  v_all := private.join_pieces(v_range.pieces);

  -- Again: who lost the right meanwhile saw no record, or was refused each row. That is not the rows' fault.
  perform private.require_import_right(v_batch);

  v_fates := private.judge_range(v_batch, p_task.from_row, v_range.reached, v_all.row_numbers, v_range.refused, v_range.missing);
  perform private.drop_findings(v_batch, p_task.from_row, v_range.reached);
  perform private.report_fates(v_batch, v_plan, v_fates, 'commit');

  if (v_job.params ->> 'whole')::boolean and (v_range.reached < p_task.to_row or v_fates.refused <> '{}' or v_fates.absent <> '{}') then
    raise exception using
      errcode = 'IM002',
      message = 'a row was refused, so nothing is applied',
      detail  = (
        select format('row %s: %s', i.row_number, i.message)
        from private.import_issues as i
        where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.origin = 'commit'
        order by i.row_number
        limit 1
      ),
      hint    = 'Correct the row, or import with on_error=skip.';
  end if;

  insert into private.import_outcomes values (
    v_batch.staged_on, v_batch.id, p_task.from_row, v_range.reached,
    v_all.row_numbers, v_all.actions, v_all.record_ids, v_all.row_hashes, v_all.images,
    v_fates.skipped,
    cardinality(array_positions(v_all.actions, 'inserted')),
    cardinality(array_positions(v_all.actions, 'updated')),
    cardinality(array_positions(v_all.actions, 'deleted')),
    v_fates.unchanged,
    cardinality(v_fates.refused) + cardinality(v_fates.absent)
  );

  perform private.redact_rows(v_batch, p_task.from_row, v_range.reached);

  -- Out of patience: the rest in two tasks.
  if v_range.reached < p_task.to_row then
    v_middle := ceil((p_task.to_row - v_range.reached) / 2.0);
    perform private.enqueue_tasks(v_job, p_task.task_type, v_range.reached, p_task.to_row, v_middle);
  end if;

  return row(v_fates.total, v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent));
end;
$function$;

revoke all on function "private"."run_commit"(public.sync_job_queue) from public;

grant execute on function "private"."run_commit"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_dry_run.sql

create or replace function private.run_dry_run (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_range   private.applied_range;
  v_all     private.applied_piece;
  v_fates   private.range_fates;
  v_changes jsonb;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  begin
    v_range := private.apply_as(v_job.run_as, v_plan, v_plan.merge_sql, p_task.from_row, p_task.to_row);
    v_all := private.join_pieces(v_range.pieces);
    v_changes := private.changed_records(v_job.run_as, v_plan, v_all, private.changes_wanted(v_batch.id, p_task.from_row));
    perform private.require_import_right(v_batch); -- see run_commit
    raise exception using errcode = 'IM003', message = 'dry run';
  exception when sqlstate 'IM003' then
    null; -- what was written is rolled back; what was learnt stays
  end;

  v_fates := private.judge_range(v_batch, p_task.from_row, v_range.reached, v_all.row_numbers, v_range.refused, v_range.missing);
  perform private.drop_findings(v_batch, p_task.from_row, v_range.reached);
  perform private.report_fates(v_batch, v_plan, v_fates, 'dry_run');
  perform private.add_preview(
    v_batch,
    jsonb_build_object(
      'insert', cardinality(array_positions(v_all.actions, 'inserted')),
      'update', cardinality(array_positions(v_all.actions, 'updated')),
      'delete', cardinality(array_positions(v_all.actions, 'deleted')),
      'unchanged', v_fates.unchanged,
      'fail', v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent),
      'skip', cardinality(v_fates.skipped)
    ),
    private.shown_changes(v_batch, v_plan, v_changes)
  );

  -- Out of patience, see run_commit.
  if v_range.reached < p_task.to_row then
    perform private.enqueue_tasks(v_job, p_task.task_type, v_range.reached, p_task.to_row,
      ceil((p_task.to_row - v_range.reached) / 2.0)::integer);
  end if;
  return row(v_fates.total, v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent));
end;
$function$;

revoke all on function "private"."run_dry_run"(public.sync_job_queue) from public;

grant execute on function "private"."run_dry_run"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_ingest.sql

create or replace function private.run_ingest (
  p_task public.sync_job_queue
)
  returns private.task_result
  language sql
  set search_path to ''
  AS $function$
  select private.post_task(p_task, 'ingest');
$function$;

revoke all on function "private"."run_ingest"(public.sync_job_queue) from public;

grant execute on function "private"."run_ingest"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_of.sql

create or replace function private.run_of (
  p_task public.sync_job_queue
)
  returns public.sync_runs
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = p_task.job_id;
  if not exists (select from private.org_ids('admin') as o (id) where o.id = v_run.org_id) then
    raise exception using
      errcode = 'SY007',
      message = 'owner of the source is no admin of the organization',
      detail  = format('source %s', v_run.source_id),
      hint    = 'Name another owner (change_sync_source).';
  elsif private.reaches_others((private.source_of(v_run)).dataset, auth.uid()) then -- they became one
    raise exception using
      errcode = 'SY008',
      message = 'owner of the source is a system admin',
      detail  = format('source %s', v_run.source_id),
      hint    = 'Its rows may name other organizations, too: name an admin of this one (change_sync_source).';
  end if;
  return v_run;
end;
$function$;

revoke all on function "private"."run_of"(public.sync_job_queue) from public;

grant execute on function "private"."run_of"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_preview.sql

create or replace function private.run_preview (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_fates   record;
  v_preview private.range_preview;
  v_new     integer;
  v_failed  integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  v_preview := private.preview_as(
    v_job.run_as, v_plan, p_task.from_row, p_task.to_row,
    case when private.is_written_by_function(v_batch) then 0 else private.changes_wanted(v_batch.id, p_task.from_row) end
  );
  perform private.require_import_right(v_batch); -- see run_commit

  select f.* into v_fates from private.chunk_fates(v_batch, p_task.from_row, p_task.to_row) as f;
  v_new := v_fates.total - v_fates.failed - cardinality(v_fates.skipped) - v_preview.there;
  v_failed := v_fates.failed + case v_batch.mode when 'insert' then v_preview.there when 'upsert' then 0 else v_new end;
  perform private.add_preview(
    v_batch,
    jsonb_build_object(
      'insert', case when v_batch.mode in ('insert', 'upsert') then v_new else 0 end,
      'update', case when v_batch.mode in ('update', 'upsert') then v_preview.written else 0 end,
      'unchanged', case when v_batch.mode in ('update', 'upsert') then v_preview.there - v_preview.written else 0 end,
      'delete', case when v_batch.mode = 'delete' then v_preview.there else 0 end,
      'fail', v_failed,
      'skip', cardinality(v_fates.skipped)
    ),
    private.shown_changes(v_batch, v_plan, v_preview.changes)
  );

  return row(v_fates.total, v_failed);
end;
$function$;

revoke all on function "private"."run_preview"(public.sync_job_queue) from public;

grant execute on function "private"."run_preview"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_schedule.sql

create or replace function private.run_schedule (
  p_schedule_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.start_run(s, h.id, false)
  from public.sync_schedule as h
  join public.sync_sources as s on s.id = h.source_id
  join public.organization as o on o.id = s.org_id
  where h.id = p_schedule_id and h.is_enabled and s.is_active and o.is_active;
$function$;

revoke all on function "private"."run_schedule"(uuid) from public;

grant execute on function "private"."run_schedule"(uuid) to "postgres";

-- schemas/private/functions/run_source.sql

create or replace function private.run_source (
  p_source_id uuid,
  p_is_forced boolean
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_source public.sync_sources := private.find_sync_source(p_source_id);
  v_run    public.sync_runs;
begin
  if v_source.kind = 'manual' or not v_source.is_active then
    raise exception using
      errcode = 'PT409',
      message = case v_source.kind when 'manual' then 'source is fed by hand' else 'source is not active' end,
      detail  = format('source %s', v_source.id),
      hint    = case v_source.kind when 'manual' then 'Upload its file (POST /imports).' else 'Set is_active (change_sync_source).' end;
  end if;

  v_run := private.start_run(v_source, null, coalesce(p_is_forced, false));
  if v_run.id is null then
    select r.* into v_run from public.sync_runs as r where r.source_id = v_source.id and r.finished_at is null order by r.created_at limit 1;
    raise exception using
      errcode = 'PT409',
      message = 'a run of the source is under way',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = case v_run.status when 'awaiting_approval' then 'Approve it, or cancel it.' else 'Wait for it, or cancel it.' end;
  end if;
  return private.describe_sync_run(v_run);
end;
$function$;

revoke all on function "private"."run_source"(uuid, boolean) from public;

grant execute on function "private"."run_source"(uuid, boolean) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/run_sync_task.sql

create or replace function private.run_sync_task (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
  v_found  record;
  v_result jsonb;
begin
  v_run := private.run_of(p_task);
  v_source := private.source_of(v_run);
  select b.* into v_batch from public.import_batches as b where b.id = v_run.import_id;

  case p_task.task_type
    when 'compare' then
      select m.* into v_found from private.missing_records(v_source, v_batch) as m;
      v_result := jsonb_build_object(
        'known', v_found.known, 'missing', cardinality(v_found.missing), 'keyless', private.keyless_count(v_batch));
    when 'record' then
      v_result := private.record_delivery(v_run, v_source);
    else
      case v_source.kind
        when 'foreign_table' then
          v_result := private.fetch_table(v_run, v_source);
        when 'storage' then
          v_result := private.fetch_object(v_run, v_source);
        else
          perform private.auth_headers(v_source); -- a secret that is missing is said now
          return private.post_task(p_task, 'fetch');
      end case;
  end case;

  update public.scheduled_jobs as j set result = v_result where j.id = p_task.job_id;
  return row(1, 0);
end;
$function$;

revoke all on function "private"."run_sync_task"(public.sync_job_queue) from public;

grant execute on function "private"."run_sync_task"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_task.sql

create or replace function private.run_task (
  p_task_id bigint
)
  returns boolean
  language plpgsql
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_task public.sync_job_queue;
  v_job  public.scheduled_jobs;
  v_run  text;
  v_code text;
begin
  -- Waits for an administrator's hand at most, never for another worker.
  select q.* into v_task
  from public.sync_job_queue as q
  where q.id = p_task_id and q.status = 'running'
  for update;
  if not found then
    return true;
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.run_function into v_run from private.job_types as t where t.job_type = v_job.job_type;
  v_code := private.do_task(v_task, v_job, v_run || '($1)');
  perform private.charge_turn(v_task.org_id, clock_timestamp() - v_task.claimed_at - interval '1 second');
  return v_code is distinct from '57014';
end;
$function$;

revoke all on function "private"."run_task"(bigint) from public;

grant execute on function "private"."run_task"(bigint) to "postgres";

-- schemas/private/functions/run_undo.sql

create or replace function private.run_undo (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_from    integer := coalesce(substring(p_task.task_type from '[0-9]+$')::integer, 0);
  v_entries integer;
  v_range   private.applied_range;
  v_fates   private.reversal_fate[];
  v_rows    integer[];
  v_counts  jsonb;
  v_kept    integer;
  v_from_next integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  select count(*) into v_entries from private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row);

  begin
    v_range := private.apply_as(
      v_job.run_as, v_plan, replace(v_plan.undo_sql, '$5', p_task.from_row::text), v_from,
      least(v_entries, v_from + ceil((v_entries - v_from) / power(4, p_task.attempts - 1))::integer)
    );
    perform private.require_import_right(v_batch); -- see run_commit

    if (v_job.params ->> 'dry_run')::boolean then
      set constraints all immediate;
      raise exception using errcode = 'IM003', message = 'dry run';
    end if;
  exception when sqlstate 'IM003' then
    null; -- what was written is rolled back; what was learnt stays
  end;

  v_fates := array(
    select row(u.row_number, u.verdict, null)::private.reversal_fate
    from unnest(v_range.pieces) as p
    cross join lateral unnest(p.row_numbers, p.verdicts) as u (row_number, verdict)
  ) || array(
    select row(w.row_number, case r.sqlstate when '42501' then 'denied' when '23503' then 'referenced' else 'refused' end,
      private.shown_message(v_batch.dataset, r.sqlstate, r.message))::private.reversal_fate
    from unnest(v_range.refused) as r
    join private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row) as w on w.entry = r.row_number
  );
  select coalesce(jsonb_object_agg(c.verdict, c.count), '{}'), coalesce(sum(c.count) filter (where c.verdict <> 'reversed'), 0)
  into v_counts, v_kept
  from (select f.verdict, count(*) from unnest(v_fates) as f group by f.verdict) as c;

  if not (v_job.params ->> 'dry_run')::boolean then
    -- All rows of a record go with the one that stands for it.
    v_rows := array(
      select o.row_number
      from unnest(v_fates) as f
      join private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row) as w on w.row_number = f.row_number
      join (
        select u.* from private.import_outcomes as o
        cross join lateral unnest(o.row_numbers, o.record_ids) as u (row_number, record_id)
        where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and o.from_row = p_task.from_row
      ) as o on o.record_id = w.record_id
      where f.verdict = 'reversed'
      order by 1
    );
    insert into private.import_reversals (staged_on, batch_id, from_row, row_numbers, reversed_count, kept_counts)
    values (
      v_batch.staged_on, v_batch.id, p_task.from_row, v_rows, coalesce((v_counts ->> 'reversed')::integer, 0), v_counts - 'reversed'
    );
    insert into private.import_issues (staged_on, batch_id, row_number, severity, code, message, value, origin)
    select v_batch.staged_on, v_batch.id, f.row_number, 'warning', 'undo_' || f.verdict, private.undo_message(f.verdict), left(f.reason, 200), 'undo'
    from unnest(v_fates) as f
    where f.verdict <> 'reversed';
  end if;

  update public.scheduled_jobs as j
  set result = private.add_counts(coalesce(j.result, '{"reversed": 0}'), v_counts)
  where j.id = v_job.id;

  if v_range.reached < v_entries then
    -- What was taken back is not among the records any more.
    v_from_next := case when (v_job.params ->> 'dry_run')::boolean then v_range.reached else v_from + v_kept end;
    perform private.enqueue_tasks(v_job, 'undo_' || v_from_next, p_task.from_row, p_task.to_row, p_task.to_row - p_task.from_row);
  end if;
  return row(v_range.reached - v_from, v_kept);
end;
$function$;

revoke all on function "private"."run_undo"(public.sync_job_queue) from public;

grant execute on function "private"."run_undo"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/run_validation.sql

create or replace function private.run_validation (
  p_task public.sync_job_queue
)
  returns private.task_result
  language plpgsql
  set search_path to ''
  set enable_nestloop to 'off'
  set jit to 'off'
  set work_mem to '64MB'
  AS $function$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_buckets integer;
  v_count   integer;
begin
  if p_task.task_type = 'preview' then
    perform private.run_preview(p_task);
    return row(0, 0);
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  if p_task.task_type = 'prepare' then
    perform private.refresh_statistics(v_batch.dataset);
    perform private.enqueue_tasks(v_job, 'validate', 0, v_batch.row_count, private.chunk_size(v_batch));
    return row(0, 0);
  elsif p_task.task_type = 'groups' then
    execute v_plan.group_sql into v_count using v_batch.staged_on, v_batch.id, p_task.from_row, private.key_buckets(v_batch);
    return row(0, v_count);
  elsif p_task.task_type <> 'validate' then
    v_buckets := private.key_buckets(v_batch);
    execute v_plan.duplicates_sql[substring(p_task.task_type from '[0-9]+$')::integer]
    using v_batch.staged_on, v_batch.id, p_task.from_row, v_buckets;
    get diagnostics v_count = row_count;
    return row(0, case when p_task.task_type = 'duplicates_1' and v_batch.options ->> 'duplicates' <> 'error' then 0 else v_count end);
  end if;

  delete from private.import_issues as i
  where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id
    and i.row_number > p_task.from_row and i.row_number <= p_task.to_row
    and i.origin <> 'ingest';
  delete from private.import_group_rows as g
  where v_plan.group_sql is not null
    and g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id
    and g.row_number > p_task.from_row and g.row_number <= p_task.to_row;

  begin
    execute v_plan.validate_sql using v_batch.staged_on, v_batch.id, p_task.from_row, p_task.to_row, v_batch.org_id;
  exception when data_exception or integrity_constraint_violation or raise_exception then
    if v_plan.validate_bare_sql is null then
      raise;
    end if;
    -- One of the table's CHECKs raises on some value: leave them to the table, row by row.
    execute v_plan.validate_bare_sql using v_batch.staged_on, v_batch.id, p_task.from_row, p_task.to_row, v_batch.org_id;
  end;
  if v_plan.check_sql is not null then
    perform private.check_rows(v_batch, v_plan.check_sql, p_task.from_row, p_task.to_row);
  end if;

  return row(
    p_task.to_row - p_task.from_row,
    private.failed_row_count(v_batch, p_task.from_row, p_task.to_row)
  );
end;
$function$;

revoke all on function "private"."run_validation"(public.sync_job_queue) from public;

grant execute on function "private"."run_validation"(public.sync_job_queue) to "postgres";

-- schemas/private/functions/save_template.sql

create or replace function private.save_template (
  p_import_id   uuid,
  p_name        text,
  p_description text,
  p_is_global   boolean
)
  returns public.import_templates
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_org_id   uuid := case when not p_is_global then v_batch.org_id end;
  v_template public.import_templates;
begin
  perform private.require_template_right(v_org_id, 'member');

  if v_batch.columns is null then
    raise exception using
      errcode = 'PT409',
      message = 'import has no columns yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Wait until its file is staged.';
  end if;
  -- What cannot be compiled would fail every import that it is chosen for.
  perform private.field_expressions(f, m.value, v_batch.columns)
  from jsonb_each(v_batch.mapping) as m
  join public.dataset_fields as f on f.dataset = v_batch.dataset and f.name = m.key;

  perform pg_advisory_xact_lock(hashtextextended(format('imports.template:%s:%s:%s', v_org_id, v_batch.dataset, p_name), 0));

  update public.import_templates as t
  set replaced_at = clock_timestamp()
  where t.org_id is not distinct from v_org_id and t.dataset = v_batch.dataset and t.name = p_name
    and t.replaced_at is null and t.archived_at is null
  returning t.* into v_template;

  insert into public.import_templates (org_id, dataset, name, version, description, config, columns, created_by)
  values (
    v_org_id, v_batch.dataset, p_name,
    1 + coalesce((
      select max(t.version) from public.import_templates as t
      where t.org_id is not distinct from v_org_id and t.dataset = v_batch.dataset and t.name = p_name
    ), 0),
    coalesce(p_description, v_template.description),
    jsonb_build_object('mapping', v_batch.mapping, 'options', v_batch.options),
    v_batch.columns, auth.uid()
  )
  returning * into v_template;
  return v_template;
end;
$function$;

revoke all on function "private"."save_template"(uuid, text, text, boolean) from public;

grant execute on function "private"."save_template"(uuid, text, text, boolean) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/schedule_sync.sql

create or replace function private.schedule_sync (
  p_schedule public.sync_schedule
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_hint text;
begin
  if p_schedule.cron_expression ~* 'second' or p_schedule.cron_expression ~* '^\s*@reboot' or length(p_schedule.cron_expression) > 200 then
    raise exception using
      errcode = '22023',
      message = 'schedule is not allowed',
      detail  = left(p_schedule.cron_expression, 200),
      hint    = 'Five fields, at least a minute apart, in UTC: */15 * * * * is each quarter of an hour.';
  end if;

  begin
    perform cron.schedule('sync.run_' || p_schedule.id, p_schedule.cron_expression,
      format('select private.run_schedule(%L)', p_schedule.id));
  exception when invalid_parameter_value then
    get stacked diagnostics v_hint = pg_exception_hint;
    raise exception using
      errcode = '22023',
      message = 'schedule is not understood',
      detail  = sqlerrm,
      hint    = coalesce(nullif(v_hint, ''), 'Five fields, in UTC: minute, hour, day, month, day of the week.');
  end;
  if not p_schedule.is_enabled then
    perform cron.unschedule('sync.run_' || p_schedule.id);
  end if;
end;
$function$;

revoke all on function "private"."schedule_sync"(public.sync_schedule) from public;

grant execute on function "private"."schedule_sync"(public.sync_schedule) to "postgres";

-- schemas/private/functions/sees_import.sql

create or replace function private.sees_import (
  p_batch public.import_batches
)
  returns boolean
  language sql
  stable
  set search_path to ''
  AS $function$
  select p_batch.org_id in (
    select private.org_ids(case when p_batch.dataset in (select private.open_datasets()) then 'viewer' else 'admin' end::public.org_role)
  );
$function$;

revoke all on function "private"."sees_import"(public.import_batches) from public;

grant execute on function "private"."sees_import"(public.import_batches) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/send_test_webhook.sql

create or replace function private.send_test_webhook (
  p_webhook_id uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_webhook  public.webhooks := private.find_webhook(p_webhook_id);
  v_delivery public.webhook_deliveries;
begin
  perform private.require_webhook_room(v_webhook);
  insert into public.webhook_deliveries (webhook_id, org_id, event, payload)
  values (v_webhook.id, v_webhook.org_id, 'webhook.test', jsonb_build_object(
    'type', 'webhook.test', 'timestamp', clock_timestamp(),
    'data', jsonb_build_object('webhook_id', v_webhook.id, 'org_id', v_webhook.org_id)))
  returning * into v_delivery;
  return private.describe_delivery(v_delivery);
end;
$function$;

revoke all on function "private"."send_test_webhook"(uuid) from public;

grant execute on function "private"."send_test_webhook"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/send_webhooks.sql

create or replace function private.send_webhooks()
  returns integer
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_each     constant integer := 20; -- of one webhook on their way
  c_batch    constant integer := 50; -- in one call
  c_calls    constant integer := 4;
  c_patience constant interval := '2 minutes';
  v_lost  public.webhook_deliveries;
  v_token uuid;
  v_count integer;
  v_sent  integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('webhooks.send', 0)) then
    raise notice 'webhooks are being sent already';
    return 0;
  end if;

  for v_lost in
    select d.* from public.webhook_deliveries as d
    where d.status = 'sending' and d.next_attempt_at <= clock_timestamp()
    for update skip locked
  loop
    perform private.fail_webhook_delivery(v_lost, null, jsonb_build_object(
      'code', '08006', 'message', 'worker function did not answer', 'details', null, 'hint', null));
  end loop;

  for i in 1..c_calls loop
    v_token := gen_random_uuid();
    with due as (
      select n.id, row_number() over (partition by w.org_id order by n.place, n.next_attempt_at) as turn, n.next_attempt_at
      from public.webhooks as w
      join public.organization as o on o.id = w.org_id and o.is_active
      cross join lateral (
        select d.id, d.next_attempt_at, row_number() over (order by d.next_attempt_at) as place
        from public.webhook_deliveries as d
        where d.webhook_id = w.id and d.status = 'pending' and d.next_attempt_at <= clock_timestamp()
        order by d.next_attempt_at
        limit greatest(0, c_each - (
          select count(*) from public.webhook_deliveries as s where s.webhook_id = w.id and s.status = 'sending'
        ))
      ) as n
      where w.is_active
      order by turn, n.next_attempt_at
      limit c_batch
    )
    update public.webhook_deliveries as d
    set status = 'sending', token = v_token, attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + c_patience
    from due
    where d.id = due.id and d.status = 'pending';
    get diagnostics v_count = row_count;

    exit when v_count = 0;
    perform private.post_to_worker('webhooks', jsonb_build_object('token', v_token));
    v_sent := v_sent + v_count;
  end loop;
  return v_sent;
end;
$function$;

revoke all on function "private"."send_webhooks"() from public;

grant execute on function "private"."send_webhooks"() to "postgres";

-- schemas/private/functions/session_activity.sql

create or replace function private.session_activity()
  returns table (
    session     public.import_sessions,
    owner_email text,
    share_count bigint
  )
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select s, p.email, (select count(*) from public.import_session_shares as h where h.session_id = s.id)
  from public.import_sessions as s
  left join public.profiles as p on p.id = s.created_by
  where s.org_id = any (array(select private.org_ids('admin')));
$function$;

revoke all on function "private"."session_activity"() from public;

grant execute on function "private"."session_activity"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/session_role.sql

create or replace function private.session_role (
  p_session      public.import_sessions,
  p_minimum_role public.org_role
)
  returns public.org_role
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when b.dataset in (select private.open_datasets()) then p_minimum_role else 'admin' end
  from public.import_batches as b
  where b.id = p_session.batch_id;
$function$;

revoke all on function "private"."session_role"(public.import_sessions, public.org_role) from public;

grant execute on function "private"."session_role"(public.import_sessions, public.org_role) to "postgres";

-- schemas/private/functions/session_standing.sql

create or replace function private.session_standing (
  p_session public.import_sessions
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select case
    when p_session.id is null then null
    when private.is_service_caller() or private.is_system_admin() then 'owner'
    when p_session.created_by is null and p_session.org_id in (select private.org_ids('admin')) then 'owner'
    when p_session.org_id not in (select private.org_ids('viewer')) then null
    when p_session.created_by = auth.uid() then 'owner'
    when p_session.id in (select private.shared_session_ids()) then 'shared'
  end;
$function$;

revoke all on function "private"."session_standing"(public.import_sessions) from public;

grant execute on function "private"."session_standing"(public.import_sessions) to "postgres";

-- schemas/private/functions/set_worker_count.sql

create or replace function private.set_worker_count (
  p_count integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_name text;
begin
  for v_name in
    select j.jobname from cron.job as j
    where j.jobname ~ '^jobs\.work_[0-9]+$' and substring(j.jobname from '[0-9]+$')::integer > p_count
  loop
    perform cron.unschedule(v_name);
  end loop;

  for i in 1..p_count loop
    perform cron.schedule('jobs.work_' || i, '1 seconds', format($cron$
do $body$
declare
  v_task_id bigint;
  v_go_on   boolean := true;
  v_naps    integer := 0;
begin
  perform set_config('application_name', 'sluice jobs.work_%s', false);
  while v_go_on and clock_timestamp() < statement_timestamp() + interval '45 seconds' loop
    v_task_id := private.claim_task();
    commit;
    if v_task_id is null then
      v_naps := v_naps + 1;
      perform pg_sleep(case when v_naps > 20 then 0.5 else 0.05 end);
      commit;
    else
      v_naps := 0;
      v_go_on := private.run_task(v_task_id);
      commit;
      perform pg_advisory_unlock(private.task_lock_key(v_task_id));
    end if;
  end loop;
end
$body$ $cron$, i));
  end loop;
end;
$function$;

revoke all on function "private"."set_worker_count"(integer) from public;

grant execute on function "private"."set_worker_count"(integer) to "postgres";

-- schemas/private/functions/setting.sql

create or replace function private.setting (
  p_key    text,
  p_org_id uuid default null::uuid
)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_value jsonb;
begin
  select coalesce(s.value, d.default_value) into v_value
  from private.setting_definitions as d
  left join private.settings as s
    on s.key = d.key and (s.org_id = p_org_id or s.org_id is null)
  where d.key = p_key
  order by s.org_id nulls last
  limit 1;

  if not found then
    raise exception using errcode = 'IM001', message = 'no such setting', detail = p_key;
  end if;
  return v_value;
end;
$function$;

revoke all on function "private"."setting"(text, uuid) from public;

grant execute on function "private"."setting"(text, uuid) to "authenticated", "postgres", "service_role", "sluice_ingest";

-- schemas/private/functions/settle_waiting_job.sql

create or replace function private.settle_waiting_job (
  p_job public.scheduled_jobs
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_bad   record;
  v_error jsonb;
  v_open  boolean;
begin
  select p.* into v_bad
  from public.import_batches as b
  cross join lateral private.prerequisites(b) as p
  where b.id = p_job.batch_id
    and (p.status is null or p.status in ('failed', 'cancelled', 'undone'))
  limit 1;
  if found then
    v_error := jsonb_build_object(
      'code', 'prerequisite_failed',
      'message', 'an import that this one waits for did not complete',
      'details', format('import %s%s is %s', v_bad.id, ' into ' || v_bad.dataset, coalesce(v_bad.status::text, 'gone')),
      'hint', 'Try that one again, and this one goes on by itself; or cancel this one.'
    );
  end if;

  select exists (
    select from public.import_batches as b
    cross join lateral private.prerequisites(b) as p
    where b.id = p_job.batch_id and p.status is distinct from 'completed'
  ) into v_open;

  update public.scheduled_jobs as j
  set status = case when v_error is null then 'queued' else 'paused' end::public.sync_status_type,
      phase  = case when v_open then 'waiting' else j.job_type end,
      error  = v_error
  where j.id = p_job.id;
  if not v_open then
    perform private.release_queued_jobs(p_job.org_id);
  end if;
end;
$function$;

revoke all on function "private"."settle_waiting_job"(public.scheduled_jobs) from public;

grant execute on function "private"."settle_waiting_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/share_session.sql

create or replace function private.share_session (
  p_session_id uuid,
  p_user_id    uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions := private.lock_session(p_session_id);
begin
  perform private.require_colleague(p_user_id, v_session.org_id, private.session_role(v_session, 'viewer'));
  if v_session.created_by = p_user_id then
    raise exception using errcode = '22023', message = 'session is the person''s own';
  end if;

  insert into public.import_session_shares (session_id, user_id) values (p_session_id, p_user_id) on conflict do nothing;
  if found then
    perform private.log_session(v_session, 'updated', jsonb_build_object('session', 'shared', 'user_id', p_user_id));
  end if;
  return private.describe_session(v_session);
end;
$function$;

revoke all on function "private"."share_session"(uuid, uuid) from public;

grant execute on function "private"."share_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/shared_session_ids.sql

create or replace function private.shared_session_ids()
  returns SETOF uuid
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select h.session_id from public.import_session_shares as h where h.user_id = (select auth.uid());
$function$;

revoke all on function "private"."shared_session_ids"() from public;

grant execute on function "private"."shared_session_ids"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/shown_changes.sql

create or replace function private.shown_changes (
  p_batch   public.import_batches,
  p_plan    private.import_plans,
  p_changes jsonb
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_keys jsonb;
begin
  if p_changes is null then
    return '[]';
  end if;
  execute format('select coalesce(jsonb_object_agg(k.row_number, k.key), ''{}'') from (%s) as k (row_number, key)', p_plan.keys_sql)
  into v_keys
  using p_batch.staged_on, p_batch.id, array(select (c ->> 'row_number')::integer from jsonb_array_elements(p_changes) as c);

  return (
    select jsonb_agg(
      jsonb_build_object(
        'row_number', c -> 'row_number',
        'key', v_keys -> (c ->> 'row_number'),
        'action', c -> 'action',
        'before', private.shown_image(c -> 'before', p_plan.group_sql is not null),
        'after', private.shown_image(c -> 'after', p_plan.group_sql is not null)
      )
      order by (c ->> 'row_number')::integer)
    from jsonb_array_elements(p_changes) as c
  );
end;
$function$;

revoke all on function "private"."shown_changes"(public.import_batches, private.import_plans, jsonb) from public;

grant execute on function "private"."shown_changes"(public.import_batches, private.import_plans, jsonb) to "postgres";

-- schemas/private/functions/shown_columns.sql

create or replace function private.shown_columns (
  p_batch public.import_batches
)
  returns text[]
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when private.has_secrets(p_batch.dataset) then array(
    select c.name
    from unnest(p_batch.columns) with ordinality as c (name, position)
    where (
      select bool_and(not f.is_secret)
      from jsonb_each(p_batch.mapping) as m
      join public.dataset_fields as f on f.dataset = p_batch.dataset and f.name = m.key
      where m.value -> 'columns' ? c.name
    )
    order by c.position
  ) else p_batch.columns end;
$function$;

revoke all on function "private"."shown_columns"(public.import_batches) from public;

grant execute on function "private"."shown_columns"(public.import_batches) to "postgres";

-- schemas/private/functions/shown_image.sql

create or replace function private.shown_image (
  p_image     jsonb,
  p_has_lines boolean
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when not p_has_lines then private.shown_record(p_image)
    when p_image <> 'null' then jsonb_build_object(
      'record', private.shown_record(p_image -> 'record'),
      'lines', (
        select coalesce(jsonb_agg(private.shown_record(l.value) order by l.position), '[]')
        from jsonb_array_elements(p_image -> 'lines') with ordinality as l (value, position)
        where l.position <= 50
      ))
  end;
$function$;

revoke all on function "private"."shown_image"(jsonb, boolean) from public;

grant execute on function "private"."shown_image"(jsonb, boolean) to "postgres";

-- schemas/private/functions/shown_message.sql

create or replace function private.shown_message (
  p_dataset  text,
  p_sqlstate text,
  p_message  text
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when p_sqlstate <> 'IR001' and private.has_secrets(p_dataset) then 'the row was refused' else p_message end;
$function$;

revoke all on function "private"."shown_message"(text, text, text) from public;

grant execute on function "private"."shown_message"(text, text, text) to "postgres";

-- schemas/private/functions/shown_record.sql

create or replace function private.shown_record (
  p_record jsonb
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select jsonb_object_agg(f.key, case
    when length(f.value #>> '{}') > 1000 then to_jsonb(left(f.value #>> '{}', 1000) || '…')
    else f.value
  end)
  from jsonb_each(nullif(p_record, 'null')) as f;
$function$;

revoke all on function "private"."shown_record"(jsonb) from public;

grant execute on function "private"."shown_record"(jsonb) to "postgres";

-- schemas/private/functions/shown_sample.sql

create or replace function private.shown_sample (
  p_batch  public.import_batches,
  p_sample jsonb
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when private.has_secrets(p_batch.dataset) then (
    select jsonb_agg((
      select jsonb_agg(case when c.name = any (s.columns) then r.cells -> (c.position::integer - 1) end order by c.position)
      from unnest(p_batch.columns) with ordinality as c (name, position)
    ) order by r.position)
    from private.shown_columns(p_batch) as s (columns)
    cross join jsonb_array_elements(p_sample) with ordinality as r (cells, position)
  ) else p_sample end;
$function$;

revoke all on function "private"."shown_sample"(public.import_batches, jsonb) from public;

grant execute on function "private"."shown_sample"(public.import_batches, jsonb) to "postgres";

-- schemas/private/functions/sniff_sample.sql

create or replace function private.sniff_sample (
  p_sample jsonb
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  with cells as materialized (
    select c.position, btrim(left(c.cell, 101), e' \t\r\n\u00a0') as cell
    from jsonb_array_elements(p_sample) as r (cells)
    cross join lateral jsonb_array_elements_text(r.cells) with ordinality as c (cell, position)
    where c.cell <> ''
  ),
  kinds as (
    select c.position, case
      when length(c.cell) > 100 then 'text'
      when c.cell in ('0', '1') then 'bit'
      when position('@' in c.cell) > 1 and c.cell ~ '^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$' then 'email'
      when length(c.cell) = 36 and pg_input_is_valid(c.cell, 'uuid') then 'uuid'
      when c.cell ~ '^[-+(]?[0-9]' then case
        when c.cell ~ '^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$' then 'compact_date'
        when c.cell ~ '^[-+]?[0-9]+$' then 'integer'
        when c.cell ~ '^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2}))$' then 'date'
        when c.cell ~ '^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}[T, ]+[0-9]{1,2}:[0-9]{2}' then 'timestamp'
        when c.cell ~ '^[0-9]{1,2}:[0-9]{2}(:[0-9.]+)?$' then 'time'
        when c.cell ~ e'^[-+]?[1-9][0-9]{0,2}([., ''\u00a0\u202f][0-9]{3})+$' then 'grouped'
        when c.cell ~ e'^[-+]?([0-9]+|[1-9][0-9]{0,2}([., ''\u00a0\u202f][0-9]{3})+)([.,][0-9]+)?([eE][-+]?[0-9]+)?$' then 'number'
        when c.cell ~ '^[+(0][0-9 ()./-]{5,29}$' then 'phone'
        else 'text'
      end
      when c.cell ~ '^[hH][tT][tT][pP][sS]?://[^[:space:]]+$' then 'url'
      when lower(c.cell) in (
        select w from private.boolean_words() as b, unnest(array[b.word_true, b.word_false]) as w where w is not null
      ) then 'boolean'
      else 'text'
    end as kind
    from cells as c
    where c.cell <> ''
  )
  select coalesce(jsonb_object_agg(s.position, s.shares), '{}')
  from (
    select k.position, jsonb_object_agg(k.kind, round(k.count / k.total, 2)) as shares
    from (
      select k.position, k.kind, count(*), sum(count(*)) over (partition by k.position) as total
      from kinds as k
      group by k.position, k.kind
    ) as k
    group by k.position
  ) as s;
$function$;

revoke all on function "private"."sniff_sample"(jsonb) from public;

grant execute on function "private"."sniff_sample"(jsonb) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/source_of.sql

create or replace function private.source_of (
  p_run public.sync_runs
)
  returns public.sync_sources
  language sql
  stable
  set search_path to ''
  AS $function$
  select s.* from public.sync_sources as s where s.id = p_run.source_id;
$function$;

revoke all on function "private"."source_of"(public.sync_runs) from public;

grant execute on function "private"."source_of"(public.sync_runs) to "postgres";

-- schemas/private/functions/staged_rows.sql

create or replace function private.staged_rows (
  p_batch_id uuid,
  p_from_row integer,
  p_to_row   integer
)
  returns table (
    row_number integer,
    cells      text[],
    record_id  uuid
  )
  language plpgsql
  stable
  security definer
  rows 20000
  set search_path to ''
  set enable_nestloop to 'on'
  set enable_seqscan to 'off'
  AS $function$
declare
  v_plan private.import_plans;
begin
  perform private.require_running_job(p_batch_id, '{validate,preview,dry_run,commit}');

  select p.* into v_plan from private.import_plans as p where p.batch_id = p_batch_id;
  if v_plan.lookup_sql is null then
    return query
    select v.row_number, v.cells, null::uuid
    from private.valid_rows(p_batch_id, p_from_row, p_to_row) as v;
  else
    return query execute v_plan.lookup_sql using p_batch_id, p_from_row, p_to_row, v_plan.org_id;
  end if;
end;
$function$;

revoke all on function "private"."staged_rows"(uuid, integer, integer) from public;

grant execute on function "private"."staged_rows"(uuid, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/start_import_job.sql

create or replace function private.start_import_job (
  p_job_type        text,
  p_import_id       uuid,
  p_params          jsonb,
  p_idempotency_key text
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_id uuid;
begin
  if p_idempotency_key is not null then
    select j.id into v_id
    from public.scheduled_jobs as j
    where j.batch_id = p_import_id and j.job_type = p_job_type
      and j.actor is not distinct from auth.uid() and j.idempotency_key = p_idempotency_key;
  end if;
  if v_id is null then
    insert into public.scheduled_jobs (job_type, params, idempotency_key)
    values (p_job_type, p_params || jsonb_build_object('import_id', p_import_id), p_idempotency_key)
    returning id into v_id;
  end if;
  return private.find_job(v_id);
end;
$function$;

revoke all on function "private"."start_import_job"(text, uuid, jsonb, text) from public;

grant execute on function "private"."start_import_job"(text, uuid, jsonb, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/start_run.sql

create or replace function private.start_run (
  p_source      public.sync_sources,
  p_schedule_id uuid,
  p_is_forced   boolean
)
  returns public.sync_runs
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs;
begin
  perform private.lock_organization(p_source.org_id);

  update public.sync_runs as r
  set skipped_count = r.skipped_count + 1
  where r.source_id = p_source.id and r.finished_at is null and r.status <> 'waiting'
    and (p_source.overlap = 'skip' or exists (
      select from public.sync_runs as w where w.source_id = p_source.id and w.status = 'waiting'
    ));
  if found then
    return null;
  end if;

  insert into public.sync_runs (org_id, source_id, schedule_id, status, is_forced, started_by, started_at)
  select p_source.org_id, p_source.id, p_schedule_id, case when e.is_under_way then 'waiting' else 'fetching' end::public.sync_run_status,
    p_is_forced, auth.uid(), case when not e.is_under_way then now() end
  from (
    select exists (
      select from public.sync_runs as r where r.source_id = p_source.id and r.finished_at is null
    ) as is_under_way
  ) as e
  returning * into v_run;
  if v_run.status = 'fetching' then
    perform private.proceed_sync(v_run, 'fetch');
    select r.* into v_run from public.sync_runs as r where r.id = v_run.id;
  end if;
  return v_run;
end;
$function$;

revoke all on function "private"."start_run"(public.sync_sources, uuid, boolean) from public;

grant execute on function "private"."start_run"(public.sync_sources, uuid, boolean) to "postgres";

-- schemas/private/functions/start_sync_job.sql

create or replace function private.start_sync_job (
  p_run  public.sync_runs,
  p_step text
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_id uuid := gen_random_uuid();
begin
  update public.sync_runs as r set job_id = v_id where r.id = p_run.id;
  insert into public.scheduled_jobs (id, job_type, params)
  values (v_id, 'sync', jsonb_build_object('run_id', p_run.id, 'source_id', p_run.source_id, 'step', p_step));
end;
$function$;

revoke all on function "private"."start_sync_job"(public.sync_runs, text) from public;

grant execute on function "private"."start_sync_job"(public.sync_runs, text) to "postgres";

-- schemas/private/functions/stop_next_unfit_job.sql

create or replace function private.stop_next_unfit_job()
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.finished_at is null and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting')
    and private.unfit_reason(j) is not null
  limit 1
  for no key update skip locked; -- a task of it ends or is claimed at this moment
  return found and private.stop_unfit_job(v_job);
end;
$function$;

revoke all on function "private"."stop_next_unfit_job"() from public;

grant execute on function "private"."stop_next_unfit_job"() to "postgres";

-- schemas/private/functions/stop_unfit_job.sql

create or replace function private.stop_unfit_job (
  p_job public.scheduled_jobs
)
  returns boolean
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_error jsonb := private.unfit_reason(p_job);
  v_job   public.scheduled_jobs;
begin
  if v_error is null then
    return false;
  end if;

  update public.scheduled_jobs as j
  set error = v_error
  where j.id = p_job.id and j.finished_at is null and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting') -- else it is failing
  returning j.* into v_job;
  if found then
    insert into public.sync_error_log (org_id, job_id, sqlstate, message, detail, hint)
    values (v_job.org_id, v_job.id, v_error ->> 'code', v_error ->> 'message', v_error ->> 'details', v_error ->> 'hint');
    perform private.hold_tasks(v_job.id);
    perform private.end_failing_job(v_job);
  end if;
  return true;
end;
$function$;

revoke all on function "private"."stop_unfit_job"(public.scheduled_jobs) from public;

grant execute on function "private"."stop_unfit_job"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/suggest_mapping.sql

create or replace function private.suggest_mapping (
  p_dataset text,
  p_columns text[],
  p_sample  jsonb  default null::jsonb
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  c_least     constant numeric := 0.5;
  c_cells     constant integer := 20000; -- are looked at: so wide a file's first twenty rows
  v_sample    jsonb := jsonb_path_query_array(coalesce(p_sample, '[]'),
    format('$[0 to %s]', c_cells / greatest(cardinality(p_columns), 1))::jsonpath);
  v_shares    jsonb := private.sniff_sample(v_sample);
  v_kinds     jsonb;
  v_pair      record;
  v_positions bigint[] := '{}'; -- of columns that have a field
  v_fields    jsonb := '{}';
begin
  select coalesce(jsonb_object_agg(f.name, coalesce(
    case when f.is_secret then 'other' end, f.rules ->> 'format', case f.type when 'uuid' then 'uuid' else private.type_class(f.type) end)), '{}') into v_kinds
  from public.dataset_fields as f
  where f.dataset = p_dataset;

  for v_pair in
    select m.field, m.column, m.column_position, round(a.confidence, 2) as confidence, m.reason
    from private.match_names(p_dataset, p_columns) as m
    cross join lateral (
      select private.fitting_share(v_shares -> m.column_position::text, v_kinds ->> m.field), v_kinds ->> m.field = 'text'
    ) as s (share, is_text)
    cross join lateral (
      select case
        when m.reason = 'likeness' and s.share < 0.5 then m.confidence * 0.6
        when m.reason = 'likeness' and s.share >= 0.8 and not s.is_text then least(m.confidence + 0.1, 0.85)
        when s.share < 0.5 and not s.is_text then m.confidence * 0.7
        else m.confidence
      end
    ) as a (confidence)
    where a.confidence >= c_least
    order by a.confidence desc, m.field_position, m.column_position
  loop
    continue when v_fields ? v_pair.field or v_pair.column_position = any (v_positions);
    v_positions := v_positions || v_pair.column_position;
    v_fields := v_fields || jsonb_build_object(v_pair.field, jsonb_build_object(
      'column', v_pair.column, 'confidence', v_pair.confidence, 'reason', v_pair.reason));
  end loop;

  -- By content alone only where a single column and a single field are left of the kind. That it holds dates does not
  -- tell whose: such a column is named, but too unsure to be taken.
  for v_pair in
    select min(k.key) as field, min(p_columns[c.position]) as "column", min(c.position) as column_position,
      case when k.kind in ('email', 'url', 'phone') then c_least else 0.4 end as confidence
    from jsonb_each_text(v_kinds) as k (key, kind)
    join (
      select s.key::bigint as position, s.value as shares from jsonb_each(v_shares) as s
    ) as c on (c.shares ->> k.kind)::numeric >= 0.9
    where not private.has_secrets(p_dataset)
      and k.kind in ('email', 'url', 'phone', 'uuid', 'date', 'timestamp')
      and not v_fields ? k.key
      and c.position <> all (v_positions)
      and p_columns[c.position] is not null
    group by k.kind
    having count(*) = 1
  loop
    v_positions := v_positions || v_pair.column_position;
    v_fields := v_fields || jsonb_build_object(v_pair.field, jsonb_build_object(
      'column', v_pair.column, 'confidence', v_pair.confidence, 'reason', 'content'));
  end loop;

  return v_fields || coalesce((
    select jsonb_object_agg(f.name, v_fields -> f.name || jsonb_build_object('transforms', t.transforms))
    from public.dataset_fields as f
    cross join lateral (
      select array_agg(distinct nullif(btrim(left(r.cells ->> v.index, 101), e' \t\r\n\u00a0'), ''))
      from jsonb_array_elements(v_sample) as r (cells)
      cross join (select array_position(p_columns, v_fields #>> array[f.name, 'column']) - 1) as v (index)
    ) as v (sampled)
    cross join lateral private.suggest_transforms(f, v.sampled) as t (transforms)
    where f.dataset = p_dataset and not f.is_secret and v_fields ? f.name and t.transforms <> '[]'
  ), '{}');
end;
$function$;

revoke all on function "private"."suggest_mapping"(text, text[], jsonb) from public;

grant execute on function "private"."suggest_mapping"(text, text[], jsonb) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/suggest_transforms.sql

create or replace function private.suggest_transforms (
  p_field  public.dataset_fields,
  p_values text[]
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_class  text := private.type_class(p_field.type);
  v_values text[] := array_remove(p_values, null);
  v_given  jsonb;
begin
  if v_class in ('date', 'timestamp') then
    v_given := to_jsonb(private.date_formats(v_values, v_class = 'timestamp'));
    v_given := jsonb_build_object('parse_date', case jsonb_array_length(v_given) when 1 then v_given -> 0 else v_given end);
  elsif v_class in ('integer', 'number') then
    v_given := jsonb_build_object('parse_number', private.number_marks(v_values));
  elsif v_class = 'boolean' then
    v_given := jsonb_build_object('parse_boolean', private.boolean_lists(v_values));
    if v_given #> '{parse_boolean,false}' = '[]' and array_position(p_values, null) is not null then
      return jsonb_build_array(v_given, '{"default": "false"}'::jsonb); -- x or nothing
    end if;
  else
    v_given := to_jsonb(private.letter_case(v_values, p_field.rules));
  end if;
  return case when v_given is null or jsonb_path_exists(v_given, '$.* ? (@ == null)') then '[]' else jsonb_build_array(v_given) end;
end;
$function$;

revoke all on function "private"."suggest_transforms"(public.dataset_fields, text[]) from public;

grant execute on function "private"."suggest_transforms"(public.dataset_fields, text[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/sync_error.sql

create or replace function private.sync_error (
  p_error jsonb
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select p_error || jsonb_build_object('code', case
    when p_error ->> 'code' in ('SY001', 'PT415') then 'source_not_data'
    when p_error ->> 'code' = 'SY002' then 'source_refused'
    when p_error ->> 'code' in ('SY003', 'PT413') then 'source_too_large'
    when p_error ->> 'code' = 'SY004' then 'secret_missing'
    when p_error ->> 'code' = 'SY005' then 'address_refused'
    when p_error ->> 'code' = 'SY006' then 'table_not_allowed'
    when p_error ->> 'code' = 'SY007' then 'owner_not_admin'
    when p_error ->> 'code' = 'SY008' then 'owner_system_admin'
    when p_error ->> 'code' = '08001' then 'source_unreachable'
    when p_error ->> 'message' in ('mapping names an unknown column', 'file lacks columns of the template') then 'columns_changed'
    when p_error ->> 'message' in ('file is empty', 'file has no data rows') then 'source_empty'
    else p_error ->> 'code'
  end);
$function$;

revoke all on function "private"."sync_error"(jsonb) from public;

grant execute on function "private"."sync_error"(jsonb) to "postgres";

-- schemas/private/functions/sync_key.sql

create or replace function private.sync_key (
  p_run  public.sync_runs,
  p_step text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select format('sync:%s:%s', p_run.id, p_step);
$function$;

revoke all on function "private"."sync_key"(public.sync_runs, text) from public;

grant execute on function "private"."sync_key"(public.sync_runs, text) to "postgres";

-- schemas/private/functions/sync_preview.sql

create or replace function private.sync_preview (
  p_run public.sync_runs
)
  returns jsonb
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select c.preview_data || jsonb_build_object('created_at', c.created_at, 'expires_at', c.expires_at)
  from public.sync_preview_cache as c
  where c.org_id = p_run.org_id and c.sync_type = 'pull' and c.cache_key like p_run.id || ':%' and c.expires_at > now()
    and p_run.org_id in (select private.org_ids('admin'));
$function$;

revoke all on function "private"."sync_preview"(public.sync_runs) from public;

grant execute on function "private"."sync_preview"(public.sync_runs) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/sync_secret_name.sql

create or replace function private.sync_secret_name (
  p_org_id uuid,
  p_name   text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select format('sluice/org/%s/%s', p_org_id, p_name);
$function$;

revoke all on function "private"."sync_secret_name"(uuid, text) from public;

grant execute on function "private"."sync_secret_name"(uuid, text) to "postgres";

-- schemas/private/functions/take_over_tasks.sql

create or replace function private.take_over_tasks (
  p_job           public.scheduled_jobs,
  p_failed_job_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  update public.sync_job_queue as q
  set job_id = p_job.id, status = private.waiting_status(p_job), priority = p_job.priority, attempts = 0, token = null,
      next_attempt_at = greatest(p_job.run_at, clock_timestamp())
  where q.job_id = p_failed_job_id;
$function$;

revoke all on function "private"."take_over_tasks"(public.scheduled_jobs, uuid) from public;

grant execute on function "private"."take_over_tasks"(public.scheduled_jobs, uuid) to "postgres";

-- schemas/private/functions/take_webhook_deliveries.sql

create or replace function private.take_webhook_deliveries (
  p_token uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_time       text := extract(epoch from clock_timestamp())::bigint::text;
  v_keyless    public.webhook_deliveries;
  v_deliveries jsonb;
begin
  for v_keyless in
    select d.*
    from public.webhook_deliveries as d
    join public.webhooks as w on w.id = d.webhook_id
    where d.token = p_token and private.webhook_keys(w) is null
    for update of d
  loop
    perform private.fail_webhook_delivery(v_keyless, null, jsonb_build_object(
      'code', '55000', 'message', 'secret of the webhook is missing', 'details', null,
      'hint', 'Give it a new one with rotate_webhook_secret, then redrive what failed.'), true);
  end loop;

  select coalesce(jsonb_agg(jsonb_build_object(
    'id', d.id, 'url', w.url, 'body', b.text,
    'headers', jsonb_build_object(
      'content-type', 'application/json', 'webhook-id', d.id, 'webhook-timestamp', v_time,
      'webhook-signature', (
        select string_agg('v1,' || encode(extensions.hmac(
          convert_to(format('%s.%s.%s', d.id, v_time, b.text), 'utf8'), k.key, 'sha256'), 'base64'), ' ' order by k.place)
        from unnest(private.webhook_keys(w)) with ordinality as k (key, place)
      )),
    'allow_private', private.setting('outbound.allow_private', d.org_id)::boolean
  )), '[]') into v_deliveries
  from public.webhook_deliveries as d
  join public.webhooks as w on w.id = d.webhook_id
  cross join lateral (select d.payload::text) as b (text)
  where d.token = p_token;
  return v_deliveries;
end;
$function$;

revoke all on function "private"."take_webhook_deliveries"(uuid) from public;

grant execute on function "private"."take_webhook_deliveries"(uuid) to "postgres", "service_role";

-- schemas/private/functions/task_lock_key.sql

create or replace function private.task_lock_key (
  p_task_id bigint
)
  returns bigint
  language sql
  immutable
  set search_path to ''
  AS $function$
  select hashtextextended('jobs.task:' || p_task_id, 0);
$function$;

revoke all on function "private"."task_lock_key"(bigint) from public;

grant execute on function "private"."task_lock_key"(bigint) to "postgres";

-- schemas/private/functions/template_mapping.sql

create or replace function private.template_mapping (
  p_template public.import_templates,
  p_columns  text[],
  p_mapping  jsonb
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_given   jsonb := private.normalize_mapping(p_template.dataset, p_columns, coalesce(p_mapping, '{}'));
  v_mapping jsonb := (p_template.config -> 'mapping') - array(select jsonb_object_keys(p_mapping));
begin
  if p_columns is not null then
    perform private.require_template_columns(p_template, v_mapping, p_columns);
  end if;
  return private.normalize_mapping(p_template.dataset, p_columns, v_mapping || v_given);
end;
$function$;

revoke all on function "private"."template_mapping"(public.import_templates, text[], jsonb) from public;

grant execute on function "private"."template_mapping"(public.import_templates, text[], jsonb) to "postgres";

-- schemas/private/functions/template_suggestion.sql

create or replace function private.template_suggestion (
  p_template public.import_templates
)
  returns jsonb
  language sql
  immutable
  set search_path to ''
  AS $function$
  select coalesce(jsonb_object_agg(m.key, (
    select jsonb_object_agg(e.key, e.value)
    from jsonb_each(jsonb_build_object(
      'column', case jsonb_array_length(m.value -> 'columns') when 1 then m.value #> '{columns,0}' end,
      'columns', case when jsonb_array_length(m.value -> 'columns') > 1 then m.value -> 'columns' end,
      'confidence', 1,
      'reason', 'template',
      'transforms', nullif(m.value -> 'transforms', '[]'),
      'default', m.value -> 'default'
    )) as e
    where e.value <> 'null'
  )), '{}')
  from jsonb_each(p_template.config -> 'mapping') as m;
$function$;

revoke all on function "private"."template_suggestion"(public.import_templates) from public;

grant execute on function "private"."template_suggestion"(public.import_templates) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/text_array.sql

create or replace function private.text_array (
  p_array jsonb
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select format('%L::text[]', array(select jsonb_array_elements_text(p_array))::text);
$function$;

revoke all on function "private"."text_array"(jsonb) from public;

grant execute on function "private"."text_array"(jsonb) to "postgres";

-- schemas/private/functions/tg__forget_key.sql

create or replace function private.tg__forget_key()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.idempotency_key := null;
  return new;
end;
$function$;

revoke all on function "private"."tg__forget_key"() from public;

grant execute on function "private"."tg__forget_key"() to "postgres";

-- schemas/private/functions/tg__touch_updated_at.sql

create or replace function private.tg__touch_updated_at()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.updated_at := now();
  return new;
end;
$function$;

revoke all on function "private"."tg__touch_updated_at"() from public;

grant execute on function "private"."tg__touch_updated_at"() to "postgres";

-- schemas/private/functions/tg_auth_users__copy_email.sql

create or replace function private.tg_auth_users__copy_email()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  update public.profiles as p set email = new.email where p.id = new.id;
  return new;
end;
$function$;

revoke all on function "private"."tg_auth_users__copy_email"() from public;

grant execute on function "private"."tg_auth_users__copy_email"() to "postgres";

-- schemas/private/functions/tg_auth_users__create_profile.sql

create or replace function private.tg_auth_users__create_profile()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  insert into public.profiles (id, email, full_name, avatar_url)
  values (new.id, new.email, new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'avatar_url');
  return new;
end;
$function$;

revoke all on function "private"."tg_auth_users__create_profile"() from public;

grant execute on function "private"."tg_auth_users__create_profile"() to "postgres";

-- schemas/private/functions/tg_dataset_fields__guard_rules.sql

create or replace function private.tg_dataset_fields__guard_rules()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_rule  record;
  v_right boolean;
begin
  for v_rule in select e.key, e.value from jsonb_each(new.rules) as e loop
    v_right := case v_rule.key
      when 'format' then v_rule.value <@ '["email", "url", "phone", "uuid"]'
      when 'one_of' then jsonb_typeof(v_rule.value) = 'array'
        and not jsonb_path_exists(v_rule.value, 'strict $[*] ? (@.type() != "string")')
      when 'pattern' then jsonb_typeof(v_rule.value) = 'string'
      when 'lower' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'unique_in_file' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'same_in_group' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'min' then jsonb_typeof(v_rule.value) = 'number'
      when 'max' then jsonb_typeof(v_rule.value) = 'number'
      when 'min_length' then jsonb_typeof(v_rule.value) = 'number'
      when 'max_length' then jsonb_typeof(v_rule.value) = 'number'
    end;
    if v_right is not true then
      raise exception using
        errcode = '22023',
        message = 'rule is not understood',
        detail  = format('%s.%s: %s', new.dataset, new.name, jsonb_build_object(v_rule.key, v_rule.value)),
        hint    = 'See the comment on dataset_fields.rules.';
    end if;
  end loop;

  if new.rules ? 'pattern' then
    perform '' ~ (new.rules ->> 'pattern'); -- 2201B when it is no regular expression
  end if;

  if new.is_secret and (
    new.reference is not null or new.rules ?| '{lower,unique_in_file,same_in_group}' or exists (
      select from public.datasets as d
      where d.key = new.dataset
        and (
          d.apply_function is null or new.name = any (d.key_fields) or exists (
            select from pg_attribute as a
            where a.attrelid in (d.target::regclass, d.lines::regclass) and a.attname = new.column_name
          )
        )
    )
  ) then
    raise exception using
      errcode = '22023',
      message = 'field cannot be secret',
      detail  = format('%s.%s', new.dataset, new.name),
      hint    = 'A secret goes to an apply function alone: it is no key and no column of the records, and is compared with nothing.';
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_dataset_fields__guard_rules"() from public;

grant execute on function "private"."tg_dataset_fields__guard_rules"() to "postgres";

-- schemas/private/functions/tg_import_batches__drop_previews.sql

create or replace function private.tg_import_batches__drop_previews()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.drop_previews(new);
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__drop_previews"() from public;

grant execute on function "private"."tg_import_batches__drop_previews"() to "postgres";

-- schemas/private/functions/tg_import_batches__follow_session.sql

create or replace function private.tg_import_batches__follow_session()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  update public.import_sessions as s
  set current_step = new.status::text,
      content_hash = new.content_hash,
      header_hash  = private.header_hash(new.columns),
      status       = case
        when new.status in ('completed', 'undone') then 'completed'
        when new.status = 'cancelled' then 'abandoned'
        else 'in_progress'
      end::public.session_status
  where s.batch_id = new.id;
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__follow_session"() from public;

grant execute on function "private"."tg_import_batches__follow_session"() to "postgres";

-- schemas/private/functions/tg_import_batches__follow_sync.sql

create or replace function private.tg_import_batches__follow_sync()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_run    public.sync_runs;
  v_mirror boolean;
begin
  select r.* into v_run
  from public.sync_runs as r
  where new.id in (r.import_id, r.delete_import_id) and r.finished_at is null
  for update;
  if not found then
    return null;
  end if;
  v_mirror := (private.source_of(v_run)).mode = 'mirror';

  if new.status in ('failed', 'cancelled') then
    perform private.finish_run(v_run.id, new.status::text::public.sync_run_status, new.error);
  elsif new.id = v_run.delete_import_id then
    if new.status = 'completed' then
      perform private.finish_run(v_run.id, 'completed');
    end if;
  elsif new.status in ('staged', 'validating') then -- somebody changed its mapping meanwhile
    update public.sync_runs as r
    set status = 'validating', reason = null, known_count = null, deletion_count = null
    where r.id = v_run.id;
    delete from public.sync_preview_cache as c
    where c.org_id = v_run.org_id and c.sync_type = 'pull' and c.cache_key like v_run.id || ':%';
  elsif new.status = 'validated' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'compare');
    else
      perform private.decide_sync(v_run, 0);
    end if;
  elsif new.status = 'committing' and v_run.status <> 'committing' then -- by commit_import, which is an approval as well
    perform private.require_org_role(v_run.org_id, 'admin');
    update public.sync_runs as r
    set status = 'committing', approved_by = auth.uid(), approved_at = now()
    where r.id = v_run.id;
  elsif new.status = 'completed' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'record');
    else
      perform private.finish_run(v_run.id, 'completed');
    end if;
  end if;
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__follow_sync"() from public;

grant execute on function "private"."tg_import_batches__follow_sync"() to "postgres";

-- schemas/private/functions/tg_import_batches__guard_source.sql

create or replace function private.tg_import_batches__guard_source()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  if not exists (
    select from public.sync_runs as r
    join public.scheduled_jobs as j on j.id = r.job_id and j.actor = new.initiated_by
    where r.org_id = new.org_id and r.finished_at is null
      and new.idempotency_key in (private.sync_key(r, 'upsert'), private.sync_key(r, 'delete'))
  ) then
    raise exception using
      errcode = '22023',
      message = 'source is reserved',
      detail  = 'sync names what Sluice itself fetches',
      hint    = 'Give another one.';
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_import_batches__guard_source"() from public;

grant execute on function "private"."tg_import_batches__guard_source"() to "postgres";

-- schemas/private/functions/tg_import_batches__guard_status.sql

create or replace function private.tg_import_batches__guard_status()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if (old.status, new.status) not in (
    ('receiving', 'staged'), ('receiving', 'failed'), ('receiving', 'cancelled'),
    ('staged', 'validating'), ('staged', 'cancelled'),
    ('validating', 'validated'), ('validating', 'failed'), ('validating', 'cancelled'),
    ('validated', 'staged'), ('validated', 'validating'), ('validated', 'committing'), ('validated', 'cancelled'),
    ('committing', 'completed'), ('committing', 'failed'), ('committing', 'cancelled'),
    ('failed', 'staged'), ('failed', 'validating'), ('failed', 'committing'),
    ('completed', 'undoing'), ('failed', 'undoing'), ('cancelled', 'undoing'), ('undone', 'undoing'),
    ('undoing', 'undone'), ('undoing', 'failed'), ('undoing', 'completed'), ('undoing', 'cancelled') -- back, where nothing could be undone
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'import cannot go on that way',
      detail  = format('import %s: %s to %s', old.id, old.status, new.status);
  end if;

  case new.status
    when 'staged' then
      new.staged_at := coalesce(new.staged_at, clock_timestamp());
      new.validated_at := null;
    when 'validated' then
      new.validated_at := clock_timestamp();
    else null;
  end case;
  new.finished_at := case when new.status in ('completed', 'failed', 'cancelled', 'undone') then clock_timestamp() end;
  if new.status <> 'failed' then
    new.error := null;
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_import_batches__guard_status"() from public;

grant execute on function "private"."tg_import_batches__guard_status"() to "postgres";

-- schemas/private/functions/tg_import_batches__log_activity.sql

create or replace function private.tg_import_batches__log_activity()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_entity_type public.sync_entity_type := (
    select d.entity_type from public.datasets as d where d.key = new.dataset
  );
begin
  perform private.log_activity(
    new.org_id,
    v_entity_type,
    case
      when new.status = 'staged' and old.status = 'receiving' then 'created'
      when new.status = 'staged' then 'updated'
      when new.status in ('validating', 'committing', 'undoing') then 'started'
      else new.status::text
    end::public.sync_action,
    case
      when new.status in ('completed', 'failed', 'cancelled') then new.status::text
      when new.status in ('validating', 'committing', 'undoing') then 'running'
      when new.status = 'undone' then 'completed'
      else 'pending'
    end::public.sync_status_type,
    new.id::text,
    jsonb_build_object('import_status', new.status, 'dataset', new.dataset, 'mode', new.mode,
      'file_name', new.file_name, 'row_count', new.row_count),
    new.error ->> 'message'
  );
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__log_activity"() from public;

grant execute on function "private"."tg_import_batches__log_activity"() to "postgres";

-- schemas/private/functions/tg_import_batches__open_session.sql

create or replace function private.tg_import_batches__open_session()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  insert into public.import_sessions (org_id, created_by, file_name, content_hash, header_hash, batch_id, current_step)
  values (
    new.org_id, new.initiated_by, new.file_name, new.content_hash, private.header_hash(new.columns), new.id, new.status::text
  );
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__open_session"() from public;

grant execute on function "private"."tg_import_batches__open_session"() to "postgres";

-- schemas/private/functions/tg_import_batches__redact.sql

create or replace function private.tg_import_batches__redact()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_most constant integer := 100000; -- rows
begin
  if new.row_count <= c_most then
    perform private.redact_import(new);
  end if;
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__redact"() from public;

grant execute on function "private"."tg_import_batches__redact"() to "postgres";

-- schemas/private/functions/tg_import_batches__settle_waiting.sql

create or replace function private.tg_import_batches__settle_waiting()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  -- With its organization goes everything.
  if not exists (select from public.organization as o where o.id = old.org_id) then
    return null;
  end if;
  perform private.lock_organization(old.org_id);

  for v_job in
    select j.*
    from public.scheduled_jobs as j
    join public.import_batches as b on b.id = j.batch_id
    where j.org_id = old.org_id
      and j.phase = 'waiting' and j.finished_at is null
      and (j.status = 'queued' or j.error is not null) -- not those that people paused
      and (old.id = any (b.depends_on) or b.set_id = old.set_id)
    order by j.created_at
    for no key update of j skip locked -- whoever holds it stops or ends it, or looks after this
  loop
    perform private.settle_waiting_job(v_job);
  end loop;
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__settle_waiting"() from public;

grant execute on function "private"."tg_import_batches__settle_waiting"() to "postgres";

-- schemas/private/functions/tg_import_batches__tell_webhooks.sql

create or replace function private.tg_import_batches__tell_webhooks()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_counts jsonb;
begin
  if not exists (select from public.webhooks as w where w.org_id = new.org_id and w.is_active) then
    return null;
  end if;

  select jsonb_build_object(
    'rows', new.row_count, 'failed', coalesce(new.invalid_count, 0) + coalesce(sum(o.refused_count), 0),
    'skipped', coalesce(new.skipped_count, 0), 'inserted', coalesce(sum(o.inserted_count), 0),
    'updated', coalesce(sum(o.updated_count), 0), 'unchanged', coalesce(sum(o.unchanged_count), 0),
    'deleted', coalesce(sum(o.deleted_count), 0))
  into v_counts
  from private.import_outcomes as o
  where o.staged_on = new.staged_on and o.batch_id = new.id;

  perform private.queue_webhooks(new.org_id, 'import.' || new.status, jsonb_build_object(
    'import_id', new.id, 'org_id', new.org_id, 'dataset', new.dataset, 'mode', new.mode, 'source', new.source,
    'set_id', new.set_id, 'status', new.status, 'counts', v_counts,
    'error', jsonb_build_object('code', new.error ->> 'code', 'message', new.error ->> 'message')));
  return null;
end;
$function$;

revoke all on function "private"."tg_import_batches__tell_webhooks"() from public;

grant execute on function "private"."tg_import_batches__tell_webhooks"() to "postgres";

-- schemas/private/functions/tg_organization__delete_commerce.sql

create or replace function private.tg_organization__delete_commerce()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  delete from public.payments as p where p.org_id = old.id;
  delete from public.invoices as i where i.org_id = old.id;
  delete from public.orders as o where o.org_id = old.id;
  delete from public.delivery_routes as r where r.org_id = old.id;
  delete from public.inventory_levels as l where l.org_id = old.id;
  delete from public.contacts as c where c.org_id = old.id;
  return old;
end;
$function$;

revoke all on function "private"."tg_organization__delete_commerce"() from public;

grant execute on function "private"."tg_organization__delete_commerce"() to "postgres";

-- schemas/private/functions/tg_organization__drop_secrets.sql

create or replace function private.tg_organization__drop_secrets()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  delete from vault.secrets as s where starts_with(s.name, private.sync_secret_name(old.id, ''));
  return null;
end;
$function$;

revoke all on function "private"."tg_organization__drop_secrets"() from public;

grant execute on function "private"."tg_organization__drop_secrets"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__follow_ingest.sql

create or replace function private.tg_scheduled_jobs__follow_ingest()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs;
begin
  if not exists (select from public.sync_runs as r where r.import_id = new.batch_id) then
    return null;
  end if;
  perform private.lock_organization(new.org_id);
  update public.sync_runs as r
  set status  = 'validating',
      fetched = r.fetched || jsonb_build_object(
        'columns', b.columns, 'row_count', b.row_count, 'content_hash', b.content_hash, 'bytes', b.byte_size)
  from public.import_batches as b
  where b.id = new.batch_id and r.import_id = b.id and r.finished_at is null
  returning r.* into v_run;
  if found then
    perform private.proceed_sync(v_run, 'validate');
  end if;
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__follow_ingest"() from public;

grant execute on function "private"."tg_scheduled_jobs__follow_ingest"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__guard_identity.sql

create or replace function private.tg_scheduled_jobs__guard_identity()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  raise exception using
    errcode = '42501',
    message = 'whose job it is cannot be changed',
    detail  = format('job %s', old.id),
    hint    = 'Start a new job.';
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__guard_identity"() from public;

grant execute on function "private"."tg_scheduled_jobs__guard_identity"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__queue_over_limit.sql

create or replace function private.tg_scheduled_jobs__queue_over_limit()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_most_running integer := private.setting('jobs.running_per_organization', new.org_id)::integer;
  v_most_queued  integer := private.setting('jobs.queued_per_organization', new.org_id)::integer;
  v_running      bigint;
  v_waiting      bigint;
begin
  perform private.lock_organization(new.org_id);

  select
    count(*) filter (where j.status in ('pending', 'running')),
    count(*) filter (where j.status in ('queued', 'paused'))
  into v_running, v_waiting
  from public.scheduled_jobs as j
  where j.org_id = new.org_id and j.finished_at is null;

  -- What follows another job of its import takes the place of that one, which ended in this transaction.
  if v_running + v_waiting >= v_most_running + v_most_queued and not exists (
    select from public.scheduled_jobs as j
    where j.batch_id = new.batch_id and j.status = 'completed' and j.finished_at >= now()
  ) then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many jobs waiting',
      detail  = format('organization %s: %s run, %s wait', new.org_id, v_running, v_waiting),
      hint    = format('Wait until some have ended, or cancel some: %s may run and %s wait.', v_most_running, v_most_queued);
  end if;

  if new.phase = 'waiting' or new.run_at > clock_timestamp() or v_running >= v_most_running then
    new.status := 'queued';
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__queue_over_limit"() from public;

grant execute on function "private"."tg_scheduled_jobs__queue_over_limit"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__release_queued.sql

create or replace function private.tg_scheduled_jobs__release_queued()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.release_queued_jobs(new.org_id);
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__release_queued"() from public;

grant execute on function "private"."tg_scheduled_jobs__release_queued"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__report_progress.sql

create or replace function private.tg_scheduled_jobs__report_progress()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  insert into public.sync_progress as p (
    org_id, sync_id, entity_type, status, total_items, processed_count, current_item, failed_count, started_at
  )
  values (
    new.org_id, new.id::text, new.entity_type, new.status,
    new.total_count, new.done_count, new.done_count, new.failed_count,
    coalesce(new.started_at, clock_timestamp()) -- also where the row is there: the triggers reckon with what is proposed
  )
  on conflict (org_id, sync_id) do update
  set status          = excluded.status,
      total_items     = excluded.total_items,
      processed_count = excluded.processed_count,
      current_item    = excluded.current_item,
      failed_count    = excluded.failed_count,
      started_at      = coalesce(new.started_at, p.started_at);
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__report_progress"() from public;

grant execute on function "private"."tg_scheduled_jobs__report_progress"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__resolve_import.sql

create or replace function private.tg_scheduled_jobs__resolve_import()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch  public.import_batches := private.hold_import(new.params);
  v_failed public.scheduled_jobs; -- which this one goes on with
begin
  if new.params -> 'retry' = 'true' then
    v_failed := private.failed_job(v_batch, new.job_type);
  end if;
  -- a dry run leaves the state as it is
  if exists (select from public.scheduled_jobs as j where j.batch_id = v_batch.id and j.finished_at is null)
    or (v_failed.id is null and (
      case new.job_type
        when 'validate' then v_batch.status in ('staged', 'validated') or private.failed_before_commit(v_batch)
        when 'undo' then v_batch.status in ('completed', 'failed', 'cancelled', 'undone')
        else v_batch.status = 'validated'
      end
    ) is not true) then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case
        when v_batch.status in ('validating', 'committing', 'undoing')
          or exists (select from public.scheduled_jobs as j where j.batch_id = v_batch.id and j.finished_at is null) then
          'Wait for the running job, or cancel it.'
        when new.job_type = 'undo' then 'An import can be undone once its commit has ended.'
        when new.job_type <> 'validate' and (v_batch.status = 'staged' or private.failed_before_commit(v_batch)) then 'Validate it first.'
        when v_batch.status = 'failed' then 'Try it again (retry), or send what is left of the file as a new import.'
        else 'It is at its end; start a new import.'
      end;
  end if;

  perform private.require_rows(v_batch);
  if new.job_type <> 'undo' then
    perform private.require_unredacted(v_batch);
  end if;

  if v_failed.id is null
    and (new.job_type = 'commit' or new.params -> 'commit' = 'true')
    and new.params -> 'force' is distinct from 'true' then
    perform private.require_other_file(v_batch);
  end if;

  if new.job_type <> 'undo' and v_batch.options ->> 'on_error' = 'abort'
    and v_batch.row_count > private.setting('imports.max_atomic_rows', v_batch.org_id)::integer then
    raise exception using
      errcode = 'PT413',
      message = 'import is too large to be applied as a whole',
      detail  = format('%s rows', v_batch.row_count),
      hint    = format('With on_error=abort at most %s rows; set on_error=skip, or send the file in parts.',
        private.setting('imports.max_atomic_rows', v_batch.org_id));
  end if;

  new.org_id      := v_batch.org_id;
  new.batch_id    := v_batch.id;
  new.entity_type := (select d.entity_type from public.datasets as d where d.key = v_batch.dataset);
  if v_failed.id is not null then
    new.total_count  := v_failed.total_count;
    new.done_count   := v_failed.done_count;
    new.failed_count := v_failed.failed_count;
    new.phase        := v_failed.phase;
    new.params       := v_failed.params || jsonb_build_object('retries', v_failed.id);
    return new;
  end if;

  new.total_count := case new.job_type when 'undo' then private.require_reversible(v_batch) else v_batch.row_count end;
  new.phase       := new.job_type;
  if new.job_type = 'validate' then
    perform private.require_no_cycle(v_batch.id);
    if exists (select from private.prerequisites(v_batch) as p where p.status is distinct from 'completed') then
      new.phase := 'waiting';
    end if;
  end if;
  new.params      := case new.job_type
    when 'validate' then
      jsonb_build_object('import_id', v_batch.id, 'commit', coalesce(new.params -> 'commit' = 'true', false),
        'full_preview', coalesce(new.params -> 'full_preview' = 'true', false))
    -- whole: a chunk's records are not cut by its rows; its task takes smaller portions by itself
    when 'undo' then
      jsonb_build_object('import_id', v_batch.id, 'dry_run', coalesce(new.params -> 'dry_run' = 'true', false), 'whole', true,
        'former_status', v_batch.status, 'former_error', v_batch.error)
    -- all or nothing: one task, one transaction
    when 'commit' then jsonb_build_object('import_id', v_batch.id, 'whole', v_batch.options ->> 'on_error' = 'abort')
    else jsonb_build_object('import_id', v_batch.id)
  end;
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__resolve_import"() from public;

grant execute on function "private"."tg_scheduled_jobs__resolve_import"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__resolve_ingest.sql

create or replace function private.tg_scheduled_jobs__resolve_ingest()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_longest constant integer := 1000;
  v_batch public.import_batches := private.hold_import(new.params);
begin
  if length(new.params ->> 'format') > c_longest then -- kept, and shown with the job; the worker function reads it
    raise exception using
      errcode = '22023',
      message = 'format is not valid',
      detail  = format('%s characters', length(new.params ->> 'format')),
      hint    = 'It may say delimiter, quote, encoding, header and json.';
  end if;
  new.total_count := private.require_ingestible(v_batch);
  new.org_id      := v_batch.org_id;
  new.batch_id    := v_batch.id;
  new.entity_type := (select d.entity_type from public.datasets as d where d.key = v_batch.dataset);
  new.phase       := 'ingest';
  new.params      := jsonb_build_object(
    'import_id', v_batch.id,
    'format', coalesce(new.params -> 'format', '{}'),
    'commit', coalesce(new.params -> 'commit' = 'true', false),
    'force', coalesce(new.params -> 'force' = 'true', false)
  );
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__resolve_ingest"() from public;

grant execute on function "private"."tg_scheduled_jobs__resolve_ingest"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__resolve_sync.sql

create or replace function private.tg_scheduled_jobs__resolve_sync()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = new.id;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'a sync is not started as a job',
      hint    = 'Run its source (run_sync).';
  end if;

  new.org_id      := v_run.org_id;
  new.phase       := new.params ->> 'step';
  new.total_count := 1;
  new.entity_type := (
    select d.entity_type
    from public.sync_sources as s
    join public.datasets as d on d.key = s.dataset
    where s.id = v_run.source_id
  );
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__resolve_sync"() from public;

grant execute on function "private"."tg_scheduled_jobs__resolve_sync"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__settle_resumed.sql

create or replace function private.tg_scheduled_jobs__settle_resumed()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.lock_organization(new.org_id);
  perform private.settle_waiting_job(new);
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__settle_resumed"() from public;

grant execute on function "private"."tg_scheduled_jobs__settle_resumed"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__stamp_running.sql

create or replace function private.tg_scheduled_jobs__stamp_running()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.running_since := case when new.status = 'running' then clock_timestamp() end;
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__stamp_running"() from public;

grant execute on function "private"."tg_scheduled_jobs__stamp_running"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__start_import_job.sql

create or replace function private.tg_scheduled_jobs__start_import_job()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch from public.import_batches as b where b.id = new.batch_id;
  update public.import_batches as b
  set status = case new.job_type when 'commit' then 'committing' when 'undo' then 'undoing' else 'validating' end::public.import_status
  where b.id = v_batch.id and not coalesce((new.params ->> 'dry_run')::boolean, false);

  if new.job_type = 'undo' then
    perform private.compile_undo(v_batch, new.run_as);
  end if;
  if new.params ? 'retries' then
    perform private.take_over_tasks(new, (new.params ->> 'retries')::uuid);
    return null;
  elsif new.job_type = 'undo' then
    perform private.enqueue_undo(new, v_batch);
    return null;
  end if;
  perform private.drop_previews(v_batch);

  if new.job_type = 'validate' then
    perform private.compile_plan(v_batch);
    perform private.enqueue_tasks(new, 'prepare', 0, 0, 1);
  else
    perform private.enqueue_tasks(new, new.job_type, 0, v_batch.row_count,
      case when (new.params ->> 'whole')::boolean then v_batch.row_count
        else private.chunk_size(v_batch, new.job_type in ('dry_run', 'commit')) end);
  end if;
  if new.phase = 'waiting' then
    perform private.settle_waiting_job(new);
  end if;
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__start_import_job"() from public;

grant execute on function "private"."tg_scheduled_jobs__start_import_job"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__start_ingest.sql

create or replace function private.tg_scheduled_jobs__start_ingest()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  insert into private.import_ingests (batch_id, byte_size) values (new.batch_id, new.total_count);
  perform private.enqueue_tasks(new, 'ingest', 0, 0, 1);
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__start_ingest"() from public;

grant execute on function "private"."tg_scheduled_jobs__start_ingest"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__start_sync.sql

create or replace function private.tg_scheduled_jobs__start_sync()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.enqueue_tasks(new, new.phase, 0, 0, 1);
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__start_sync"() from public;

grant execute on function "private"."tg_scheduled_jobs__start_sync"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__take_actor.sql

create or replace function private.tg_scheduled_jobs__take_actor()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.created_by := auth.uid();
  if private.is_service_caller() then
    new.run_as := 'service';
    new.actor  := null;
    new.claims := '{"role": "service_role"}';
  else
    new.run_as := 'user';
    new.actor  := auth.uid();
    new.claims := current_setting('request.jwt.claims', true)::jsonb;
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__take_actor"() from public;

grant execute on function "private"."tg_scheduled_jobs__take_actor"() to "postgres";

-- schemas/private/functions/tg_scheduled_jobs__tell_webhooks.sql

create or replace function private.tg_scheduled_jobs__tell_webhooks()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.queue_webhooks(new.org_id, 'job.failed', jsonb_build_object(
    'job_id', new.id, 'org_id', new.org_id, 'job_type', new.job_type, 'import_id', new.batch_id, 'status', new.status,
    'counts', jsonb_build_object('total', new.total_count, 'done', new.done_count, 'failed', new.failed_count),
    'error', jsonb_build_object('code', new.error ->> 'code', 'message', new.error ->> 'message')));
  return null;
end;
$function$;

revoke all on function "private"."tg_scheduled_jobs__tell_webhooks"() from public;

grant execute on function "private"."tg_scheduled_jobs__tell_webhooks"() to "postgres";

-- schemas/private/functions/tg_settings__guard_value.sql

create or replace function private.tg_settings__guard_value()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_definition private.setting_definitions;
begin
  select d.* into v_definition from private.setting_definitions as d where d.key = new.key;

  if jsonb_typeof(new.value) is distinct from v_definition.value_type then
    raise exception using
      errcode = '22023',
      message = 'setting has another type',
      detail  = format('%s is a %s, got %s', new.key, v_definition.value_type, new.value);
  end if;

  if v_definition.value_type = 'number'
    and (new.value::numeric < v_definition.minimum or new.value::numeric > v_definition.maximum) then
    raise exception using
      errcode = '22023',
      message = 'setting is out of bounds',
      detail  = format('%s must be from %s to %s, got %s',
        new.key, v_definition.minimum, v_definition.maximum, new.value);
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_settings__guard_value"() from public;

grant execute on function "private"."tg_settings__guard_value"() to "postgres";

-- schemas/private/functions/tg_sync_runs__guard_status.sql

create or replace function private.tg_sync_runs__guard_status()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if old.finished_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'sync run is at its end',
      detail  = format('run %s is %s', old.id, old.status),
      hint    = 'Run the source again.';
  end if;
  if new.status <> 'waiting' then
    new.started_at := coalesce(new.started_at, now());
  end if;
  if new.status in ('completed', 'unchanged', 'failed', 'cancelled') then
    new.finished_at := clock_timestamp();
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_sync_runs__guard_status"() from public;

grant execute on function "private"."tg_sync_runs__guard_status"() to "postgres";

-- schemas/private/functions/tg_sync_runs__tell_webhooks.sql

create or replace function private.tg_sync_runs__tell_webhooks()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.queue_webhooks(new.org_id, 'sync.' || new.status, jsonb_build_object(
    'run_id', new.id, 'org_id', new.org_id, 'source_id', new.source_id, 'schedule_id', new.schedule_id,
    'import_id', new.import_id, 'delete_import_id', new.delete_import_id, 'status', new.status, 'reason', new.reason,
    'counts', jsonb_build_object('known', new.known_count, 'deletions', new.deletion_count),
    'error', jsonb_build_object('code', new.error ->> 'code', 'message', new.error ->> 'message')));
  return null;
end;
$function$;

revoke all on function "private"."tg_sync_runs__tell_webhooks"() from public;

grant execute on function "private"."tg_sync_runs__tell_webhooks"() to "postgres";

-- schemas/private/functions/tg_sync_schedule__unschedule.sql

create or replace function private.tg_sync_schedule__unschedule()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform cron.unschedule(j.jobid) from cron.job as j where j.jobname = 'sync.run_' || old.id;
  return null;
end;
$function$;

revoke all on function "private"."tg_sync_schedule__unschedule"() from public;

grant execute on function "private"."tg_sync_schedule__unschedule"() to "postgres";

-- schemas/private/functions/tg_sync_sources__forget_records.sql

create or replace function private.tg_sync_sources__forget_records()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  delete from private.sync_records as s where s.source_id = old.id;
  return null;
end;
$function$;

revoke all on function "private"."tg_sync_sources__forget_records"() from public;

grant execute on function "private"."tg_sync_sources__forget_records"() to "postgres";

-- schemas/private/functions/tg_sync_sources__guard_fetch.sql

create or replace function private.tg_sync_sources__guard_fetch()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  if exists (select from public.sync_runs as r where r.source_id = new.id and r.status = 'fetching') then
    raise exception using
      errcode = 'PT409',
      message = 'source is being fetched',
      detail  = format('source %s', new.id),
      hint    = 'Wait for its run, or cancel it.';
  end if;
  return new;
end;
$function$;

revoke all on function "private"."tg_sync_sources__guard_fetch"() from public;

grant execute on function "private"."tg_sync_sources__guard_fetch"() to "postgres";

-- schemas/private/functions/tg_user_invitations__tell_webhooks.sql

create or replace function private.tg_user_invitations__tell_webhooks()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
begin
  perform private.queue_webhooks(new.org_id, 'invitation.' || new.status, jsonb_build_object(
    'user_id', new.user_id, 'org_id', new.org_id, 'status', new.status, 'attempts', new.attempts,
    'error', jsonb_build_object('code', new.error ->> 'code'))); -- its message may repeat the address
  return null;
end;
$function$;

revoke all on function "private"."tg_user_invitations__tell_webhooks"() from public;

grant execute on function "private"."tg_user_invitations__tell_webhooks"() to "postgres";

-- schemas/private/functions/tg_webhooks__delete_secrets.sql

create or replace function private.tg_webhooks__delete_secrets()
  returns trigger
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_name text := private.webhook_secret_name(old);
begin
  delete from vault.secrets as s where s.name in (v_name, v_name || '/previous');
  return null;
end;
$function$;

revoke all on function "private"."tg_webhooks__delete_secrets"() from public;

grant execute on function "private"."tg_webhooks__delete_secrets"() to "postgres";

-- schemas/private/functions/touch_session.sql

create or replace function private.touch_session (
  p_session_id uuid,
  p_state      jsonb
)
  returns public.import_sessions
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions;
begin
  update public.import_sessions as s
  set state  = coalesce(p_state, s.state),
      status = case s.status when 'expired' then 'in_progress' else s.status end
  where s.id = p_session_id
    and private.session_standing(s) is not null
  returning s.* into v_session;
  if not found then
    raise exception using errcode = 'PT404', message = 'import session not found';
  end if;
  if p_state is not null then
    perform private.require_org_role(v_session.org_id, 'member');
  end if;
  return v_session;
end;
$function$;

revoke all on function "private"."touch_session"(uuid, jsonb) from public;

grant execute on function "private"."touch_session"(uuid, jsonb) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/transfer_session.sql

create or replace function private.transfer_session (
  p_session_id uuid,
  p_user_id    uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions;
  v_from    uuid;
begin
  select s.* into v_session from public.import_sessions as s where s.id = p_session_id;
  if not exists (select from private.org_ids('admin') as o (id) where o.id = v_session.org_id) then
    if private.session_standing(v_session) is null then
      raise exception using errcode = 'PT404', message = 'import session not found';
    end if;
    perform private.require_org_role(v_session.org_id, 'admin');
  end if;

  perform private.lock_organization(v_session.org_id);
  perform from public.import_batches as b where b.id = v_session.batch_id for no key update;
  select s.* into v_session from public.import_sessions as s where s.id = p_session_id for update;
  v_from := v_session.created_by;
  perform private.require_colleague(p_user_id, v_session.org_id, private.session_role(v_session, 'member'));
  perform private.require_idle_session(v_session);

  if v_from is distinct from p_user_id then
    update public.import_sessions as s
    set created_by = p_user_id,
        status     = case s.status when 'expired' then 'in_progress' else s.status end
    where s.id = p_session_id
    returning s.* into v_session;
    delete from public.import_session_shares as h where h.session_id = p_session_id and h.user_id = p_user_id;
    perform private.log_session(v_session, 'transferred', jsonb_build_object('from', v_from, 'to', p_user_id));
  end if;
  return private.describe_session(v_session);
end;
$function$;

revoke all on function "private"."transfer_session"(uuid, uuid) from public;

grant execute on function "private"."transfer_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/transform_expression.sql

create or replace function private.transform_expression (
  p_expression text,
  p_transform  jsonb,
  p_field      public.dataset_fields,
  p_columns    text[]
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_name  text := case jsonb_typeof(p_transform)
    when 'string' then p_transform #>> '{}'
    when 'object' then (select min(k) from jsonb_object_keys(p_transform) as k)
  end;
  v_given jsonb := case jsonb_typeof(p_transform) when 'object' then p_transform -> v_name end;
  v_kind  text := jsonb_typeof(v_given);
  v_text  text := v_given #>> '{}';
  v_class text := private.type_class(p_field.type);
  v_sql   text;
begin
  if jsonb_typeof(p_transform) = 'object' and (select count(*) from jsonb_object_keys(p_transform)) <> 1 then
    v_name := null;
  end if;
  if v_name = 'regex_extract' and v_kind = 'string' then
    perform private.require_plain_pattern(v_text);
  end if;

  v_sql := case
    when v_given is null then
      case v_name
        when 'trim' then format('nullif(btrim(%s, %L), '''')', p_expression, e' \t\r\n\u00a0')
        when 'collapse_spaces' then format('regexp_replace(%s, ''[[:space:]]+'', '' '', ''g'')', p_expression)
        when 'upper' then format('upper(%s)', p_expression)
        when 'lower' then format('lower(%s)', p_expression)
        when 'title' then format('initcap(%s)', p_expression)
        when 'digits' then format('nullif(regexp_replace(%s, ''[^0-9]+'', '''', ''g''), '''')', p_expression)
      end
    when v_name = 'null_if' and v_kind in ('string', 'array') then
      format('case when %1$s <> all (%2$s) then %1$s end', p_expression,
        private.text_array(case v_kind when 'string' then jsonb_build_array(v_given) else v_given end))
    when v_name = 'default' and v_kind in ('string', 'number', 'boolean') then
      format('coalesce(%s, %L)', p_expression, v_text)
    when v_name = 'prefix' and v_kind = 'string' then format('%L || %s', v_text, p_expression)
    when v_name = 'suffix' and v_kind = 'string' then format('%s || %L', p_expression, v_text)
    -- Bounded, so that a row of them cannot swell a cell beyond all memory.
    when v_name = 'replace' and jsonb_typeof(v_given -> 'from') = 'string' and jsonb_typeof(v_given -> 'to') = 'string'
      and length(v_given ->> 'to') <= 100 then
      format('nullif(left(replace(%s, %L, %L), 1048576), '''')', p_expression, v_given ->> 'from', v_given ->> 'to')
    when v_name = 'regex_extract' and v_kind = 'string' then format('substring(left(%s, 1000) from %L)', p_expression, v_text)
    when v_name = 'split' and jsonb_typeof(v_given -> 'separator') = 'string' and v_given ->> 'part' ~ '^-?[1-9][0-9]{0,3}$' then
      format('nullif(btrim(split_part(%s, %L, %s)), '''')', p_expression, v_given ->> 'separator', v_given ->> 'part')
    when v_name = 'map_values' and v_kind = 'object' and v_given <> '{}'
      and not jsonb_path_exists(v_given, 'strict $.* ? (@.type() != "string" && @.type() != "null")') then
      format('case %1$s %2$s else %1$s end', p_expression, (
        select string_agg(format('when %L then %L', m.key, m.value), ' ') from jsonb_each_text(v_given) as m
      ))
    when v_name = 'classify' and v_kind = 'array' then private.classify_expression(p_expression, v_given, p_columns)
    when v_name = 'parse_date' and v_kind in ('string', 'array') and v_class in ('date', 'timestamp') then (
      select format('case %s else %s end', string_agg(private.date_branches(p_expression, f), ' '), p_expression)
      from jsonb_array_elements_text(case v_kind when 'string' then jsonb_build_array(v_given) else v_given end) as f
      having bool_and(private.date_branches(p_expression, f) is not null)
    )
    when v_name = 'parse_number' and v_kind = 'object' and v_class in ('integer', 'number')
      and coalesce(v_given ->> 'decimal', '.') in ('.', ',') and coalesce(v_given ->> 'group', ',') in ('.', ',', ' ', '''', '')
      and coalesce(v_given ->> 'decimal', '.') <> coalesce(v_given ->> 'group', case v_given ->> 'decimal' when ',' then '.' else ',' end)
      and v_given - 'decimal' - 'group' = '{}' then
      private.number_expression(p_expression, coalesce(v_given ->> 'decimal', '.'),
        coalesce(v_given ->> 'group', case v_given ->> 'decimal' when ',' then '.' else ',' end))
    when v_name = 'parse_boolean' and v_class = 'boolean'
      and jsonb_typeof(v_given -> 'true') = 'array' and jsonb_typeof(v_given -> 'false') = 'array' then
      format('case when lower(%1$s) = any (%2$s) then ''true'' when lower(%1$s) = any (%3$s) then ''false'' else ''?'' || %1$s end',
        p_expression, lower(private.text_array(v_given -> 'true')), lower(private.text_array(v_given -> 'false')))
  end;

  if v_sql is null then
    raise exception using
      errcode = '22023',
      message = 'transform is not understood',
      detail  = format('field %s (%s): %s', p_field.name, p_field.type, coalesce(p_transform::text, 'null')),
      hint    = 'See the list of transforms in the documentation; parse_date, parse_number and parse_boolean need a field of that type.';
  end if;
  return v_sql;
end;
$function$;

revoke all on function "private"."transform_expression"(text, jsonb, public.dataset_fields, text[]) from public;

grant execute on function "private"."transform_expression"(text, jsonb, public.dataset_fields, text[]) to "postgres";

-- schemas/private/functions/type_class.sql

create or replace function private.type_class (
  p_type text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when p_type like '%[]' then 'other'
    when p_type ~ '^(smallint|integer|bigint)$' then 'integer'
    when p_type ~ '^(numeric|real|double precision)' then 'number'
    when p_type = 'date' then 'date'
    when p_type ~ '^timestamp' then 'timestamp'
    when p_type ~ '^time' then 'time'
    when p_type = 'boolean' then 'boolean'
    when p_type ~ '^(text|character varying|character)' then 'text'
    else 'other'
  end;
$function$;

revoke all on function "private"."type_class"(text) from public;

grant execute on function "private"."type_class"(text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/type_hint.sql

create or replace function private.type_hint (
  p_type text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case private.type_class(p_type)
    when 'integer' then 'not a whole number'
    when 'number' then 'not a number'
    when 'date' then 'not a date (YYYY-MM-DD)'
    when 'timestamp' then 'not a date and time (YYYY-MM-DD HH:MM:SS)'
    when 'time' then 'not a time of day (HH:MM:SS)'
    when 'boolean' then 'neither true nor false'
    else 'not a ' || p_type
  end;
$function$;

revoke all on function "private"."type_hint"(text) from public;

grant execute on function "private"."type_hint"(text) to "postgres";

-- schemas/private/functions/type_shape.sql

create or replace function private.type_shape (
  p_type_class text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case p_type_class
    when 'integer' then '^[-+0-9]+$'
    when 'number' then '^[-+0-9.eE]+$'
    when 'date' then '^[0-9][0-9][0-9][0-9]-[-0-9]+$'
    when 'timestamp' then '^[0-9][0-9][0-9][0-9]-[-0-9]+([T ][0-9:.]+ ?(Z|[+-][0-9:]+)?)?$'
    when 'time' then '^[0-9]+:[0-9:.]+$'
  end;
$function$;

revoke all on function "private"."type_shape"(text) from public;

grant execute on function "private"."type_shape"(text) to "postgres";

-- schemas/private/functions/typed_value.sql

create or replace function private.typed_value (
  p_field  private.planned_field,
  p_refuse boolean
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when p_field.reference is null then v.value
    when p_refuse then format('case when %1$s is not null then coalesce(%2$s, private.refuse_reference(%3$L, %4$L, %5$s)) end',
      v.value, private.reference_lookup(p_field, v.value), p_field.name, p_field.reference ->> 'label', p_field.value)
    else private.reference_lookup(p_field, v.value)
  end
  from (select format('(%s)::%s', p_field.value, p_field.type)) as v (value);
$function$;

revoke all on function "private"."typed_value"(private.planned_field, boolean) from public;

grant execute on function "private"."typed_value"(private.planned_field, boolean) to "postgres";

-- schemas/private/functions/undo_by_function.sql

create or replace function private.undo_by_function (
  p_dataset public.datasets
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_type    regclass := private.apply_row_type(p_dataset.apply_function);
  v_key     name;
  v_columns text[];
  v_now     text;
  v_image   text;
  v_mine    text := private.of_organization('t', p_dataset.org_column, '$1');
begin
  select f.column_name into v_key
  from public.dataset_fields as f
  where f.dataset = p_dataset.key and f.name = any (private.record_key(p_dataset));

  select array_agg(t.attname order by t.attnum),
    string_agg(private.hashable(format('t.%I', t.attname), t.atttypid), ', ' order by t.attnum),
    string_agg(private.hashable(format('i.%I', t.attname), t.atttypid), ', ' order by t.attnum)
  into v_columns, v_now, v_image
  from pg_attribute as t
  join pg_attribute as a on a.attrelid = v_type and a.attname = t.attname and a.attnum > 0 and not a.attisdropped
  where t.attrelid = p_dataset.target::regclass and t.attnum > 0 and not t.attisdropped;

  return format('select p.* from private.reverse_records($1, $5, $2, $3, $4, %L, %L, null, null) as p',
    format('select private.reverse_by_function($1, $2, $3, %L, %L)',
      format('select %s($1, ''delete'', ''{}'', array_agg(jsonb_populate_record(null::%s, to_jsonb(t)) order by t.%I))'
        ' from %s as t where (%s) is true and t.%I = any ($2) having count(*) > 0',
        p_dataset.apply_function, v_type, v_key, p_dataset.target, v_mine, p_dataset.id_column),
      format('select array_agg(s.id) from unnest($2) as s (id) where not exists (select from %s as t where t.%I = s.id)',
        p_dataset.target, p_dataset.id_column)),
    format('select private.reverse_by_function($1, $2, $3, %L, %L)',
      format('select %s($1, ''update'', %L, array_agg(jsonb_populate_record(null::%s, s.image) order by s.image ->> %L)) from unnest($3) as s (image)',
        p_dataset.apply_function, v_columns, v_type, v_key),
      format('select array_agg(s.id) from unnest($2, $3) as s (id, image) cross join lateral jsonb_populate_record(null::%1$s, s.image) as i'
        ' join %1$s as t on t.%2$I = s.id where (%3$s) is true and row(%4$s) is not distinct from row(%5$s)',
        p_dataset.target, p_dataset.id_column, v_mine, v_now, v_image)));
end;
$function$;

revoke all on function "private"."undo_by_function"(public.datasets) from public;

grant execute on function "private"."undo_by_function"(public.datasets) to "postgres";

-- schemas/private/functions/undo_counts.sql

create or replace function private.undo_counts (
  p_batch public.import_batches
)
  returns jsonb
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select jsonb_build_object('reversed', sum(r.reversed_count), 'kept', coalesce((
      select jsonb_object_agg(k.reason, k.count)
      from (
        select e.key as reason, sum(e.value::integer) as count
        from private.import_reversals as v
        cross join lateral jsonb_each_text(v.kept_counts) as e
        where v.staged_on = p_batch.staged_on and v.batch_id = p_batch.id
        group by e.key
      ) as k
    ), '{}'))
  from private.import_reversals as r
  join public.import_batches as b on b.id = r.batch_id and private.sees_import(b)
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
  having count(*) > 0;
$function$;

revoke all on function "private"."undo_counts"(public.import_batches) from public;

grant execute on function "private"."undo_counts"(public.import_batches) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/undo_message.sql

create or replace function private.undo_message (
  p_verdict text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case p_verdict
    when 'changed' then 'kept: somebody changed the record since'
    when 'missing' then 'the record is gone'
    when 'referenced' then 'kept: other records refer to it'
    when 'denied' then 'kept: the right to take it back is missing'
    else 'kept: the table refuses to take it back'
  end;
$function$;

revoke all on function "private"."undo_message"(text) from public;

grant execute on function "private"."undo_message"(text) to "postgres";

-- schemas/private/functions/undo_statement.sql

create or replace function private.undo_statement (
  p_dataset public.datasets,
  p_plan    private.import_plans,
  p_role    name
)
  returns text
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_image     text := case when p_dataset.lines is null then 's.image' else '(s.image -> ''record'')' end;
  v_update    text := '';
  v_insert    text;
  v_values    text;
  v_lines     text[];
  v_may_lines boolean := true;
begin
  if p_dataset.apply_function is not null and p_dataset.lines is null then
    return private.undo_by_function(p_dataset);
  end if;

  select string_agg(format('%1$I = i.%1$I', c), ', ') into v_update
  from unnest(p_plan.update_columns) as c
  having bool_and(has_column_privilege(p_role, p_plan.target, c, 'update'));

  select string_agg(format('%I', a.attname), ', ' order by a.attnum), string_agg(format('i.%I', a.attname), ', ' order by a.attnum)
  into v_insert, v_values
  from pg_attribute as a
  where a.attrelid = p_plan.target::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    and has_column_privilege(p_role, a.attrelid, a.attnum, 'insert')
  having bool_or(a.attname = p_dataset.id_column);

  if p_dataset.lines is not null then
    v_lines := private.compile_undo_lines(p_dataset, p_role);
    v_may_lines := v_lines is not null;
  end if;

  return format('select p.* from private.reverse_records($1, $5, $2, $3, $4, %L, %L, %L, %L) as p',
    case when has_table_privilege(p_role, p_plan.target, 'delete') then format(
      'with d as (delete from %1$s as t where (t.%2$I = $1) is true and t.%3$I = any ($2) returning t.%3$I as id) select array_agg(d.id) from d',
      p_plan.target, p_dataset.org_column, p_dataset.id_column) end,
    case when v_may_lines and v_update is not null then format(
      'with d as (update %1$s as t set %2$s from unnest($2, $3) as s (id, image)'
      ' cross join lateral jsonb_populate_record(null::%1$s, %3$s) as i where (t.%4$I = $1) is true and t.%5$I = s.id returning t.%5$I as id)'
      ' select array_agg(d.id) from d',
      p_plan.target, v_update, v_image, p_dataset.org_column, p_dataset.id_column) end,
    case when v_may_lines and v_insert is not null then format(
      'with d as (insert into %1$s (%2$s) select %3$s from unnest($2, $3) as s (id, image)'
      ' cross join lateral jsonb_populate_record(null::%1$s, %4$s) as i where i.%5$I = $1 returning %6$I as id) select array_agg(d.id) from d',
      p_plan.target, v_insert, v_values, v_image, p_dataset.org_column, p_dataset.id_column) end,
    v_lines);
end;
$function$;

revoke all on function "private"."undo_statement"(public.datasets, private.import_plans, name) from public;

grant execute on function "private"."undo_statement"(public.datasets, private.import_plans, name) to "postgres";

-- schemas/private/functions/unfinished_job.sql

create or replace function private.unfinished_job (
  p_batch public.import_batches
)
  returns public.scheduled_jobs
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_job public.scheduled_jobs;
begin
  perform private.require_import_right(p_batch);

  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = p_batch.id and j.finished_at is null
  order by j.created_at desc
  limit 1;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the import is running',
      detail  = format('import %s is %s', p_batch.id, p_batch.status),
      hint    = case p_batch.status
        when 'staged' then 'Validate it.'
        when 'validated' then 'Commit it.'
        when 'receiving' then 'Wait until its file is staged.'
        else 'It is at its end.'
      end;
  end if;
  return v_job;
end;
$function$;

revoke all on function "private"."unfinished_job"(public.import_batches) from public;

grant execute on function "private"."unfinished_job"(public.import_batches) to "postgres";

-- schemas/private/functions/unfit_reason.sql

create or replace function private.unfit_reason (
  p_job public.scheduled_jobs
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select case
    when not o.is_active then jsonb_build_object(
      'code', 'organization_closed',
      'message', 'organization of the job is not active',
      'details', format('organization %s', o.id),
      'hint', 'Retry it when the organization is open again.')
    when p_job.run_as = 'user' and p.id is null then jsonb_build_object(
      'code', 'actor_deleted',
      'message', 'the person whose job it is has no account any more',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.run_as = 'user' and not p.is_active then jsonb_build_object(
      'code', 'actor_deactivated',
      'message', 'the person whose job it is was deactivated',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.run_as = 'user' and not p.is_system_admin and p.org_id is distinct from o.id then jsonb_build_object(
      'code', 'actor_left',
      'message', 'the person whose job it is left the organization',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.running_since is not null
      and p_job.running_since < clock_timestamp() - make_interval(mins => private.setting('jobs.max_minutes', o.id)::integer)
    then jsonb_build_object(
      'code', 'job_overdue',
      'message', 'job ran for longer than it may',
      'details', format('since %s, %s minutes are allowed', p_job.running_since, private.setting('jobs.max_minutes', o.id)),
      'hint', 'Retry it: it goes on where it stopped. A system admin can allow more (jobs.max_minutes).')
  end
  from public.organization as o
  left join public.profiles as p on p.id = p_job.actor
  where o.id = p_job.org_id;
$function$;

revoke all on function "private"."unfit_reason"(public.scheduled_jobs) from public;

grant execute on function "private"."unfit_reason"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/unique_index.sql

create or replace function private.unique_index (
  p_table   regclass,
  p_columns name[]
)
  returns regclass
  language sql
  stable
  set search_path to ''
  AS $function$
  select i.indexrelid::regclass
  from pg_index as i
  where i.indrelid = p_table and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
    and (
      select array_agg(a.attname order by a.attname)
      from unnest(i.indkey[0:i.indnkeyatts - 1]) as k (attnum)
      join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
    ) = (select array_agg(c order by c) from unnest(p_columns) as c)
  order by i.indexrelid::regclass::text
  limit 1;
$function$;

revoke all on function "private"."unique_index"(regclass, name[]) from public;

grant execute on function "private"."unique_index"(regclass, name[]) to "postgres";

-- schemas/private/functions/unmapped_fields.sql

create or replace function private.unmapped_fields (
  p_dataset text,
  p_mode    public.import_mode,
  p_mapping jsonb
)
  returns text[]
  language sql
  stable
  set search_path to ''
  AS $function$
  select coalesce(array_agg(f.name order by f.position), '{}')
  from public.dataset_fields as f
  join public.datasets as d on d.key = f.dataset
  where f.dataset = p_dataset
    and case p_mode
      when 'delete' then f.name = any (private.record_key(d))
      when 'update' then f.name = any (d.key_fields)
      else f.name = any (d.key_fields) or f.is_required
    end
    and not p_mapping ? f.name;
$function$;

revoke all on function "private"."unmapped_fields"(text, public.import_mode, jsonb) from public;

grant execute on function "private"."unmapped_fields"(text, public.import_mode, jsonb) to "postgres";

-- schemas/private/functions/unreversed_chunks.sql

create or replace function private.unreversed_chunks (
  p_batch public.import_batches
)
  returns table (
    from_row     integer,
    to_row       integer,
    record_count integer
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  select o.from_row, o.to_row, c.written - r.reversed
  from private.import_outcomes as o
  cross join lateral (
    select cardinality(o.row_numbers) - case when private.has_groups(p_batch.id) then (
      select count(*)::integer from unnest(o.row_hashes, o.images) as u (row_hash, image) where u.row_hash is null and u.image is null
    ) else 0 end as written
  ) as c
  cross join lateral (
    select coalesce(sum(v.reversed_count), 0)::integer as reversed
    from private.import_reversals as v
    where v.staged_on = o.staged_on and v.batch_id = o.batch_id and v.from_row = o.from_row
  ) as r
  where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id and c.written > r.reversed;
$function$;

revoke all on function "private"."unreversed_chunks"(public.import_batches) from public;

grant execute on function "private"."unreversed_chunks"(public.import_batches) to "postgres";

-- schemas/private/functions/unshare_session.sql

create or replace function private.unshare_session (
  p_session_id uuid,
  p_user_id    uuid
)
  returns jsonb
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_session public.import_sessions;
begin
  if p_user_id = auth.uid() then
    select s.* into v_session from public.import_sessions as s where s.id = p_session_id;
    if private.session_standing(v_session) is null then
      raise exception using errcode = 'PT404', message = 'import session not found';
    end if;
  else
    v_session := private.lock_session(p_session_id);
  end if;

  delete from public.import_session_shares as h where h.session_id = p_session_id and h.user_id = p_user_id;
  if found then
    perform private.log_session(v_session, 'updated', jsonb_build_object('session', 'unshared', 'user_id', p_user_id));
  end if;
  return private.describe_session(v_session);
end;
$function$;

revoke all on function "private"."unshare_session"(uuid, uuid) from public;

grant execute on function "private"."unshare_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/updated_value.sql

create or replace function private.updated_value (
  p_field private.planned_field,
  p_blank text,
  p_value text
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when p_blank = 'ignore' or p_field.not_null then format('coalesce(%s, t.%I)', p_value, p_field.column_name)
    else p_value
  end;
$function$;

revoke all on function "private"."updated_value"(private.planned_field, text, text) from public;

grant execute on function "private"."updated_value"(private.planned_field, text, text) to "postgres";

-- schemas/private/functions/valid_group_rows.sql

create or replace function private.valid_group_rows (
  p_staged_on date,
  p_batch_id  uuid,
  p_from_row  integer,
  p_to_row    integer
)
  returns table (
    row_number integer,
    cells      text[],
    record_row integer
  )
  language sql
  stable
  rows 20000
  set search_path to ''
  set enable_nestloop to 'on'
  set enable_hashjoin to 'off'
  set enable_seqscan to 'off'
  AS $function$
  select c.row_number, r.cells, c.record_row
  from private.chunk_rows(p_staged_on, p_batch_id, p_from_row, p_to_row) as c
  cross join lateral ( -- fenced: a batch that is new to the statistics would lead the join, as if it had one row
    select r.cells
    from private.import_rows as r
    where r.staged_on = p_staged_on and r.batch_id = p_batch_id and r.row_number = c.row_number
    offset 0
  ) as r
  where not exists (
    select from private.import_issues as i
    where i.staged_on = p_staged_on and i.batch_id = p_batch_id and i.row_number = c.row_number
      and (i.severity = 'error' or i.code = 'duplicate_in_file')
  );
$function$;

revoke all on function "private"."valid_group_rows"(date, uuid, integer, integer) from public;

grant execute on function "private"."valid_group_rows"(date, uuid, integer, integer) to "postgres";

-- schemas/private/functions/valid_rows.sql

create or replace function private.valid_rows (
  p_batch_id uuid,
  p_from_row integer,
  p_to_row   integer
)
  returns table (
    row_number integer,
    cells      text[],
    record_row integer
  )
  language plpgsql
  stable
  rows 20000
  set search_path to ''
  set enable_nestloop to 'off'
  set enable_hashjoin to 'on'
  AS $function$
declare
  v_staged_on date := (select b.staged_on from public.import_batches as b where b.id = p_batch_id);
begin
  if private.has_groups(p_batch_id) then
    return query select g.* from private.valid_group_rows(v_staged_on, p_batch_id, p_from_row, p_to_row) as g;
    return;
  end if;

  return query
  select r.row_number, r.cells, r.row_number
  from private.import_rows as r
  where r.staged_on = v_staged_on
    and r.batch_id = p_batch_id
    and r.row_number > p_from_row
    and r.row_number <= p_to_row
    and not exists (
      select from private.import_issues as i
      where i.staged_on = v_staged_on
        and i.batch_id = p_batch_id
        and i.row_number = r.row_number
        and i.row_number > p_from_row
        and i.row_number <= p_to_row
        and (i.severity = 'error' or i.code = 'duplicate_in_file')
    );
end;
$function$;

revoke all on function "private"."valid_rows"(uuid, integer, integer) from public;

grant execute on function "private"."valid_rows"(uuid, integer, integer) to "postgres";

-- schemas/private/functions/waiting_for.sql

create or replace function private.waiting_for (
  p_batch public.import_batches
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'dataset', p.dataset, 'status', p.status) order by p.dataset, p.id), '[]')
  from private.prerequisites(p_batch) as p
  where p_batch.status in ('receiving', 'staged', 'validating') and p.status is distinct from 'completed';
$function$;

revoke all on function "private"."waiting_for"(public.import_batches) from public;

grant execute on function "private"."waiting_for"(public.import_batches) to "postgres";

-- schemas/private/functions/waiting_status.sql

create or replace function private.waiting_status (
  p_job public.scheduled_jobs
)
  returns public.task_status
  language sql
  immutable
  set search_path to ''
  AS $function$
  select case
    when p_job.status in ('pending', 'running') and p_job.error is null then 'pending'
    else 'held'
  end::public.task_status;
$function$;

revoke all on function "private"."waiting_status"(public.scheduled_jobs) from public;

grant execute on function "private"."waiting_status"(public.scheduled_jobs) to "postgres";

-- schemas/private/functions/webhook_keys.sql

create or replace function private.webhook_keys (
  p_webhook public.webhooks
)
  returns bytea[]
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select array_agg(decode(substr(s.decrypted_secret, 7), 'base64') order by length(s.name)) -- after whsec_
  from vault.decrypted_secrets as s
  where s.name = private.webhook_secret_name(p_webhook)
    or (s.name = private.webhook_secret_name(p_webhook) || '/previous' and p_webhook.previous_secret_until > clock_timestamp());
$function$;

revoke all on function "private"."webhook_keys"(public.webhooks) from public;

grant execute on function "private"."webhook_keys"(public.webhooks) to "postgres";

-- schemas/private/functions/webhook_room.sql

create or replace function private.webhook_room (
  p_org_id uuid
)
  returns integer
  language sql
  stable
  set search_path to ''
  AS $function$
  select l.most - (
    select count(*) from (
      select from public.webhook_deliveries as d where d.org_id = p_org_id and d.status in ('pending', 'sending') limit l.most
    ) as waiting
  )::integer
  from (select private.setting('webhooks.queued_per_organization', p_org_id)::integer) as l (most);
$function$;

revoke all on function "private"."webhook_room"(uuid) from public;

grant execute on function "private"."webhook_room"(uuid) to "postgres";

-- schemas/private/functions/webhook_secret_name.sql

create or replace function private.webhook_secret_name (
  p_webhook public.webhooks
)
  returns text
  language sql
  immutable
  set search_path to ''
  AS $function$
  select format('sluice/org/%s/webhook/%s', p_webhook.org_id, p_webhook.id);
$function$;

revoke all on function "private"."webhook_secret_name"(public.webhooks) from public;

grant execute on function "private"."webhook_secret_name"(public.webhooks) to "postgres";

-- schemas/private/functions/with_references.sql

create or replace function private.with_references (
  p_fields private.planned_field[],
  p_rows   text
)
  returns text
  language sql
  stable
  set search_path to ''
  AS $function$
  select case when r.refs <> '' then 'with ' || rtrim(r.refs, ', ') || ' ' else '' end
  from (select private.compile_references(p_fields, p_rows || '($1, $2, $3) as r', '(select $4::uuid)')) as r (refs);
$function$;

revoke all on function "private"."with_references"(private.planned_field[], text) from public;

grant execute on function "private"."with_references"(private.planned_field[], text) to "postgres";

-- schemas/private/functions/worker_activity.sql

create or replace function private.worker_activity()
  returns table (
    worker     text,
    pid        integer,
    state      text,
    started_at timestamp with time zone,
    org_id     uuid,
    job_id     uuid,
    task_id    bigint,
    task_type  text,
    from_row   integer,
    to_row     integer,
    attempt    smallint,
    claimed_at timestamp with time zone
  )
  language plpgsql
  stable
  security definer
  set search_path to ''
  AS $function$
declare
  v_sees_all boolean := private.administers_all();
begin
  return query
  select
    substring(a.application_name from '^sluice (.*)$'), a.pid,
    case when q.id is not null then 'working' else 'idle' end,
    a.backend_start, q.org_id, q.job_id, q.id, q.task_type, q.from_row, q.to_row, q.attempts, q.claimed_at
  from pg_stat_activity as a
  left join public.sync_job_queue as q on q.claimed_by = a.pid and q.status = 'running'
  where a.application_name ~ '^sluice jobs\.work_'
    and (v_sees_all or q.org_id in (select private.org_ids('admin')));
end;
$function$;

revoke all on function "private"."worker_activity"() from public;

grant execute on function "private"."worker_activity"() to "authenticated", "postgres", "service_role";

-- schemas/private/functions/works_on_import.sql

create or replace function private.works_on_import (
  p_import_id uuid
)
  returns boolean
  language sql
  stable
  security definer
  set search_path to ''
  AS $function$
  select exists (
    select from public.import_sessions as s
    where s.batch_id = p_import_id
      and (s.created_by = (select auth.uid()) or s.id in (select private.shared_session_ids()))
  );
$function$;

revoke all on function "private"."works_on_import"(uuid) from public;

grant execute on function "private"."works_on_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/write_mapping.sql

create or replace function private.write_mapping (
  p_import_id   uuid,
  p_mapping     jsonb,
  p_options     jsonb,
  p_template_id uuid,
  p_depends_on  uuid[]
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  set jit to 'off'
  AS $function$
declare
  v_batch    public.import_batches;
  v_template public.import_templates;
begin
  -- The organization before the batch: what waits for it is looked at. Two that would close a circle together wait here.
  perform private.lock_organization(b.org_id) from public.import_batches as b where b.id = p_import_id;
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id for no key update;
  perform private.require_import_right(v_batch);
  perform private.require_sender(v_batch);

  if not (v_batch.status in ('staged', 'validated') or private.failed_before_commit(v_batch)) then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Mapping and options can be changed while it is staged or validated, and after a validation that failed.';
  end if;
  perform private.require_unredacted(v_batch);

  if p_template_id is not null then
    v_template := private.find_template(p_template_id, v_batch.dataset, v_batch.org_id);
    v_batch.mapping := private.template_mapping(v_template, v_batch.columns, p_mapping);
    v_batch.template_id := v_template.id;
    v_batch.options := v_batch.options || (v_template.config -> 'options');
  elsif p_mapping is not null then
    v_batch.mapping := private.normalize_mapping(v_batch.dataset, v_batch.columns, p_mapping);
    v_batch.template_id := null;
  end if;

  perform private.drop_issue_values(v_batch);
  update public.import_batches as b
  set status      = 'staged', -- what was validated is no longer what would run
      mapping     = v_batch.mapping,
      sample      = private.shown_sample(v_batch, b.sample),
      template_id = v_batch.template_id,
      options     = private.normalize_options(v_batch.options || coalesce(p_options, '{}')),
      depends_on  = case when p_depends_on is null then b.depends_on else private.normalize_prerequisites(b.org_id, p_depends_on) end
  where b.id = p_import_id;

  if p_depends_on is not null then
    perform private.require_no_cycle(p_import_id);
  end if;
end;
$function$;

revoke all on function "private"."write_mapping"(uuid, jsonb, jsonb, uuid, uuid[]) from public;

grant execute on function "private"."write_mapping"(uuid, jsonb, jsonb, uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/write_setting.sql

create or replace function private.write_setting (
  p_key    text,
  p_value  jsonb,
  p_org_id uuid
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  v_set_by private.setting_authority;
begin
  select d.set_by into v_set_by from private.setting_definitions as d where d.key = p_key;
  if not found then
    raise exception using
      errcode = '22023',
      message = 'no such setting',
      detail  = p_key,
      hint    = 'list_settings names them all.';
  end if;

  if v_set_by = 'admin' and p_org_id is not null then
    perform private.require_org_role(p_org_id, 'admin');
  elsif not coalesce(
    case v_set_by
      -- postgres alone: not even the service key, which every edge function holds
      when 'postgres' then nullif(current_setting('request.jwt.claims', true), '') is null and private.is_service_caller()
      else private.is_service_caller() or private.is_system_admin()
    end, false) then
    raise exception using
      errcode = '42501',
      message = 'setting is not the caller''s to change',
      detail  = format('%s is set by %s', p_key, v_set_by);
  end if;

  insert into private.settings as s (key, org_id, value)
  values (p_key, p_org_id, p_value)
  on conflict (key, org_id) do update
  set value = excluded.value, updated_by = excluded.updated_by, updated_at = now();
end;
$function$;

revoke all on function "private"."write_setting"(text, jsonb, uuid) from public;

grant execute on function "private"."write_setting"(text, jsonb, uuid) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/write_sync_secret.sql

create or replace function private.write_sync_secret (
  p_org_id uuid,
  p_name   text,
  p_value  text
)
  returns void
  language plpgsql
  security definer
  set search_path to ''
  AS $function$
declare
  c_longest constant integer := 8192;
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_name   text := private.sync_secret_name(v_org_id, p_name);
  v_most   integer := private.setting('sync.secrets_per_organization', v_org_id)::integer;
begin
  perform private.require_org_role(v_org_id, 'admin');
  if (p_name ~ '^[a-z0-9_-]{1,63}$') is not true then
    raise exception using
      errcode = '22023',
      message = 'name of the secret is out of form',
      hint    = 'Up to 63 lower case letters, digits, hyphens and underscores.';
  elsif (length(p_value) between 1 and c_longest and p_value !~ '[\x01-\x1f\x7f]') is not true then
    raise exception using
      errcode = '22023',
      message = 'value of the secret is out of form',
      hint    = format('1 to %s characters on one line: it goes into a header.', c_longest);
  end if;

  perform private.lock_organization(v_org_id); -- two that set it at once
  if exists (select from vault.secrets as s where s.name = v_name) then
    perform vault.update_secret(s.id, p_value) from vault.secrets as s where s.name = v_name;
  elsif (select count(*) from private.read_sync_secrets(v_org_id)) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many secrets',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.secrets_per_organization raised.';
  else
    perform vault.create_secret(p_value, v_name);
  end if;
  perform private.log_activity(v_org_id, 'other', 'updated', 'completed', null, jsonb_build_object('secret', p_name));
end;
$function$;

revoke all on function "private"."write_sync_secret"(uuid, text, text) from public;

grant execute on function "private"."write_sync_secret"(uuid, text, text) to "authenticated", "postgres", "service_role";

-- schemas/private/functions/written_records.sql

create or replace function private.written_records (
  p_staged_on date,
  p_batch_id  uuid,
  p_from_row  integer
)
  returns table (
    entry      integer,
    row_number integer,
    action     private.row_action,
    record_id  uuid,
    row_hash   bigint,
    image      jsonb
  )
  language sql
  stable
  rows 20000
  set search_path to ''
  AS $function$
  select (row_number() over (order by u.row_number))::integer, u.*
  from private.import_outcomes as o
  cross join lateral unnest(o.row_numbers, o.actions, o.record_ids, o.row_hashes, o.images)
    as u (row_number, action, record_id, row_hash, image)
  where o.staged_on = p_staged_on and o.batch_id = p_batch_id and o.from_row = p_from_row
    and (u.row_hash is not null or u.image is not null)
    and u.row_number not in (
      select n
      from private.import_reversals as v
      cross join lateral unnest(v.row_numbers) as n
      where v.staged_on = p_staged_on and v.batch_id = p_batch_id and v.from_row = p_from_row
    );
$function$;

revoke all on function "private"."written_records"(date, uuid, integer) from public;

grant execute on function "private"."written_records"(date, uuid, integer) to "postgres";

-- schemas/private/schema.sql

create schema "private";

comment on schema "private" is 'Implementation of Sluice. Not an interface: names and shapes change without notice.';

grant usage on schema "private" to "authenticated";

grant create, usage on schema "private" to "postgres";

grant usage on schema "private" to "service_role", "sluice_ingest";

-- schemas/private/tables/foreign_tables.sql

create table "private"."foreign_tables" (
  "org_id"   uuid not null,
  "relation" text not null,
  constraint "foreign_tables_pkey" primary key (org_id, relation),
  constraint "foreign_tables_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

comment on table "private"."foreign_tables" is 'What an organization may sync from. It reads all of it: allow one that holds its rows alone.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."foreign_tables" to "postgres";

-- schemas/private/tables/import_group_rows.sql

create table "private"."import_group_rows" (
  "staged_on"  date    not null,
  "batch_id"   uuid    not null,
  "first_row"  integer not null,
  "row_number" integer not null
) partition by range (staged_on);

alter table "private"."import_group_rows"
  add constraint "import_group_rows_pkey" primary key (batch_id, first_row, row_number, staged_on);

create index import_group_rows_batch_id_row_number_idx on only private.import_group_rows using btree (batch_id, row_number);

comment on table "private"."import_group_rows" is 'Rows that belong to a record whose first row is another one.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_group_rows" to "postgres";

-- schemas/private/tables/import_group_rows_default.sql

create table "private"."import_group_rows_default" partition of "private"."import_group_rows" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_group_rows_default" to "postgres";

-- schemas/private/tables/import_ingests.sql

create table "private"."import_ingests" (
  "batch_id"  uuid    not null,
  "byte_size" bigint  not null,
  "position"  bigint  not null default 0,
  "row_count" integer not null default 0,
  "state"     text,
  constraint "import_ingests_pkey" primary key (batch_id),
  constraint "import_ingests_position_check" check ((("position" >= 0) AND ("position" <= byte_size))),
  constraint "import_ingests_batch_id_fkey" foreign key (batch_id) references public.import_batches(id) on delete cascade
);

comment on column "private"."import_ingests"."position" is 'Bytes that have been read.';

comment on column "private"."import_ingests"."state" is 'JSON by which the worker function goes on. Text, since jsonb cannot hold every JSON.';

comment on table "private"."import_ingests" is 'How far a stored file has been taken in. Gone once its rows are staged, or once none of them is left.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_ingests" to "postgres";

-- schemas/private/tables/import_issues.sql

create table "private"."import_issues" (
  "id"              bigint                 generated always as identity not null,
  "staged_on"       date                   not null,
  "batch_id"        uuid                   not null,
  "row_number"      integer                not null,
  "field"           text,
  "severity"        private.issue_severity not null,
  "code"            text                   not null,
  "message"         text                   not null,
  "value"           text,
  "origin"          private.issue_origin   not null,
  "sqlstate"        text,
  "constraint_name" text
) partition by range (staged_on);

alter table "private"."import_issues"
  alter column "severity" set default 'error'::private.issue_severity;

alter table "private"."import_issues"
  add constraint "import_issues_pkey" primary key (id, staged_on);

create index import_issues_batch_id_row_number_idx on only private.import_issues using btree (batch_id, row_number);

comment on table "private"."import_issues" is 'What is wrong with rows. An error fails its row; a warning does not, but that a duplicate_in_file is passed over.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_issues" to "postgres";

grant insert on table "private"."import_issues" to "sluice_ingest";

-- schemas/private/tables/import_issues_default.sql

create table "private"."import_issues_default" partition of "private"."import_issues" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_issues_default" to "postgres";

-- schemas/private/tables/import_outcomes.sql

create table "private"."import_outcomes" (
  "staged_on"       date                 not null,
  "batch_id"        uuid                 not null,
  "from_row"        integer              not null,
  "to_row"          integer              not null,
  "row_numbers"     integer[]            not null,
  "actions"         private.row_action[] not null,
  "record_ids"      uuid[]               not null,
  "row_hashes"      bigint[]             not null,
  "images"          jsonb[]              not null,
  "skipped_rows"    integer[]            not null,
  "inserted_count"  integer              not null,
  "updated_count"   integer              not null,
  "deleted_count"   integer              not null,
  "unchanged_count" integer              not null,
  "refused_count"   integer              not null
) partition by range (staged_on);

alter table "private"."import_outcomes"
  add constraint "import_outcomes_pkey" primary key (batch_id, from_row, staged_on);

comment on column "private"."import_outcomes"."images" is 'The record before it was updated or deleted, as jsonb; null for inserted ones.';

comment on column "private"."import_outcomes"."record_ids" is 'Where several rows make one record all of them have its id, and the first of them its hash and image.';

comment on column "private"."import_outcomes"."row_hashes" is 'hash_record_extended over the record as the import left it, as the plan says; null for deleted ones.';

comment on table "private"."import_outcomes" is 'What became of the rows of a chunk (after from_row, to to_row): those in row_numbers were acted upon; those in skipped_rows passed over; those with an error issue failed; the others were unchanged.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_outcomes" to "postgres";

-- schemas/private/tables/import_outcomes_default.sql

create table "private"."import_outcomes_default" partition of "private"."import_outcomes" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_outcomes_default" to "postgres";

-- schemas/private/tables/import_plans.sql

create table "private"."import_plans" (
  "batch_id"          uuid                     not null,
  "org_id"            uuid                     not null,
  "target"            text                     not null,
  "key_index"         text,
  "insert_columns"    text[]                   not null,
  "update_columns"    text[]                   not null,
  "hash_sql"          text                     not null,
  "keys_sql"          text                     not null,
  "validate_sql"      text                     not null,
  "validate_bare_sql" text,
  "check_sql"         text,
  "duplicates_sql"    text[]                   not null,
  "group_sql"         text,
  "lookup_sql"        text,
  "merge_sql"         text                     not null,
  "missing_sql"       text,
  "undo_sql"          text,
  "exists_sql"        text                     not null,
  "preview_sql"       text                     not null,
  "image_sql"         text                     not null,
  "compiled_at"       timestamp with time zone not null default clock_timestamp(),
  constraint "import_plans_pkey" primary key (batch_id),
  constraint "import_plans_batch_id_fkey" foreign key (batch_id) references public.import_batches(id) on delete cascade
);

alter table "private"."import_plans"
  add column "mode" public.import_mode not null;

comment on table "private"."import_plans" is 'What an import runs. hash_sql: the hash of a record t; keys_sql: the key of rows as text; validate_sql: issues of a range (validate_bare_sql: without the table''s CHECKs, for when one of them raises); check_sql: those that the dataset''s check function finds; duplicates_sql: issues of a bucket of keys, one text a unique set; group_sql: the groups of a bucket of keys, and their issues, where several rows make one record; lookup_sql: rows with the ids of their records, where RLS keeps the key from its index; merge_sql: applies a range; missing_sql: rows of a range that no record matches; undo_sql: takes back records of a chunk, once an undo began; exists_sql: whether there is any record; preview_sql: what would become of the rows of ranges; image_sql: records as they are.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_plans" to "postgres";

-- schemas/private/tables/import_previews.sql

create table "private"."import_previews" (
  "batch_id" uuid  not null,
  "counts"   jsonb not null,
  "changes"  jsonb not null,
  constraint "import_previews_batch_id_fkey" foreign key (batch_id) references private.import_plans(batch_id) on delete cascade,
  constraint "import_previews_pkey" primary key (batch_id)
);

comment on table "private"."import_previews" is 'A preview in the making: the counts of the ranges that are done, and their first changes.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_previews" to "postgres";

-- schemas/private/tables/import_reversals.sql

create table "private"."import_reversals" (
  "id"             bigint    generated always as identity not null,
  "staged_on"      date      not null,
  "batch_id"       uuid      not null,
  "from_row"       integer   not null,
  "row_numbers"    integer[] not null,
  "reversed_count" integer   not null,
  "kept_counts"    jsonb     not null
) partition by range (staged_on);

alter table "private"."import_reversals"
  add constraint "import_reversals_pkey" primary key (id, staged_on);

create index import_reversals_batch_id_from_row_idx on only private.import_reversals using btree (batch_id, from_row);

comment on table "private"."import_reversals" is 'What undos did about the chunk that begins after from_row: the rows whose records are as they were before the import, how many records these are, and how many the last undo kept by reason.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_reversals" to "postgres";

-- schemas/private/tables/import_reversals_default.sql

create table "private"."import_reversals_default" partition of "private"."import_reversals" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_reversals_default" to "postgres";

-- schemas/private/tables/import_rows.sql

create table "private"."import_rows" (
  "staged_on"   date    not null,
  "batch_id"    uuid    not null,
  "row_number"  integer not null,
  "line_number" integer not null,
  "cells"       text[]  not null
) partition by range (staged_on);

alter table "private"."import_rows"
  add constraint "import_rows_pkey" primary key (batch_id, row_number, staged_on);

comment on table "private"."import_rows" is 'The rows of files as they were sent. row_number counts from 1 without gaps.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_rows" to "postgres";

grant insert on table "private"."import_rows" to "sluice_ingest";

-- schemas/private/tables/import_rows_default.sql

create table "private"."import_rows_default" partition of "private"."import_rows" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."import_rows_default" to "postgres";

-- schemas/private/tables/invitation_calls.sql

create table "private"."invitation_calls" (
  "token"        uuid                     not null default gen_random_uuid(),
  "user_id"      uuid,
  "called_at"    timestamp with time zone not null default clock_timestamp(),
  "expires_at"   timestamp with time zone not null default (clock_timestamp() + '00:03:00'::interval),
  "mail_count"   integer                  not null default 0,
  "paused_until" timestamp with time zone,
  "ended_at"     timestamp with time zone,
  constraint "invitation_calls_pkey" primary key (token)
);

comment on table "private"."invitation_calls" is 'Calls of the worker function that send invitations; one at a time. user_id: whom it is at; mail_count: mails that went out, or may have; paused_until: the auth service asks all to wait.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."invitation_calls" to "postgres";

-- schemas/private/tables/job_types.sql

create table "private"."job_types" (
  "job_type"          text not null,
  "run_function"      text not null,
  "advance_function"  text not null,
  "end_function"      text not null,
  "describe_function" text,
  "complete_function" text,
  "right_function"    text,
  constraint "job_types_pkey" primary key (job_type)
);

comment on table "private"."job_types" is 'The functions behind each job type, by qualified name. Without a right_function a job is its maker''s and the admins''. A new job with params.retry goes on with what a failed one left.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."job_types" to "postgres";

-- schemas/private/tables/organization_turns.sql

create table "private"."organization_turns" (
  "org_id"       uuid                     not null,
  "served_until" timestamp with time zone not null,
  constraint "organization_turns_pkey" primary key (org_id),
  constraint "organization_turns_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "private"."organization_turns"
  set (fillfactor=50);

comment on table "private"."organization_turns" is 'Whose turn is next: a clock of each organization, which goes by the time that workers are at its tasks.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."organization_turns" to "postgres";

-- schemas/private/tables/setting_definitions.sql

create table "private"."setting_definitions" (
  "key"           text    not null,
  "value_type"    text    not null,
  "minimum"       numeric,
  "maximum"       numeric,
  "default_value" jsonb   not null,
  "description"   text    not null,
  constraint "setting_definitions_pkey" primary key (key),
  constraint "setting_definitions_value_type_check" check ((value_type = ANY (ARRAY['number'::text, 'boolean'::text, 'string'::text])))
);

alter table "private"."setting_definitions"
  add column "set_by" private.setting_authority not null;

comment on table "private"."setting_definitions" is 'Every setting there is: JSON type, bounds, default, and the least authority that may change it.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."setting_definitions" to "postgres";

-- schemas/private/tables/settings.sql

create table "private"."settings" (
  "key"        text                     not null,
  "org_id"     uuid,
  "value"      jsonb                    not null,
  "updated_at" timestamp with time zone not null default now(),
  constraint "settings_key_fkey" foreign key (key) references private.setting_definitions(key),
  constraint "settings_key_org_id_key" unique nulls not DISTINCT (key, org_id),
  constraint "settings_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  "updated_by" uuid                     default auth.uid()
);

create index settings_org_id_idx on private.settings using btree (org_id);

create trigger _300_guard_value
  before insert or update on private.settings
  for each row
  execute function private.tg_settings__guard_value();

comment on table "private"."settings" is 'Values that differ from the defaults, for all organizations (org_id null) or for one.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."settings" to "postgres";

-- schemas/private/tables/sync_activity_log_default.sql

create table "private"."sync_activity_log_default" partition of "public"."sync_activity_log" default;

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."sync_activity_log_default" to "postgres";

-- schemas/private/tables/sync_records.sql

create table "private"."sync_records" (
  "source_id" uuid not null,
  "record_id" uuid not null,
  constraint "sync_records_pkey" primary key (source_id, record_id)
);

create index sync_records_record_id_idx on private.sync_records using btree (record_id);

comment on table "private"."sync_records" is 'What each mirror has delivered: what it may delete when the source no longer has it.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."sync_records" to "postgres";

-- schemas/private/tables/webhook_events.sql

create table "private"."webhook_events" (
  "event"       text not null,
  "description" text not null,
  constraint "webhook_events_pkey" primary key (event)
);

comment on table "private"."webhook_events" is 'What a webhook can be told of.';

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."webhook_events" to "postgres";

-- schemas/private/types/applied_piece.sql

create type "private"."applied_piece" as (
  "row_numbers"     integer[],
  "actions"         private.row_action[],
  "record_ids"      uuid[],
  "row_hashes"      bigint[],
  "images"          jsonb[],
  "overtaken_count" bigint,
  "verdicts"        text[]
);

grant usage on type "private"."applied_piece" to "postgres";

-- schemas/private/types/applied_range.sql

create type "private"."applied_range" as (
  "pieces"  private.applied_piece[],
  "refused" private.refused_row[],
  "missing" integer[],
  "reached" integer
);

grant usage on type "private"."applied_range" to "postgres";

-- schemas/private/types/invoice_row.sql

create type "private"."invoice_row" as (
  "invoice_number" text,
  "line_number"    integer,
  "customer_id"    uuid,
  "order_id"       uuid,
  "issued_on"      date,
  "due_on"         date,
  "status"         text,
  "currency"       text,
  "notes"          text,
  "product_id"     uuid,
  "description"    text,
  "quantity"       numeric(12,3),
  "unit_price"     numeric(12,2),
  "tax_percent"    numeric(5,2)
);

grant usage on type "private"."invoice_row" to "postgres";

-- schemas/private/types/issue_origin.sql

create type "private"."issue_origin" as enum (
  'ingest',
  'validate',
  'dry_run',
  'commit',
  'undo'
);

grant usage on type "private"."issue_origin" to "postgres";

-- schemas/private/types/issue_severity.sql

create type "private"."issue_severity" as enum (
  'warning',
  'error'
);

grant usage on type "private"."issue_severity" to "postgres";

-- schemas/private/types/judged_record.sql

create type "private"."judged_record" as (
  "row_number" integer,
  "action"     private.row_action,
  "record_id"  uuid,
  "image"      jsonb,
  "verdict"    text
);

grant usage on type "private"."judged_record" to "postgres";

-- schemas/private/types/named_user.sql

create type "private"."named_user" as (
  "place"           integer,
  "said"            private.user_row,
  "address"         text,
  "digits"          text,
  "org_id"          uuid,
  "person_id"       uuid,
  "person_org_id"   uuid,
  "person_role"     public.org_role,
  "is_active_admin" boolean,
  "is_system_admin" boolean,
  "is_taken"        boolean
);

grant usage on type "private"."named_user" to "postgres";

-- schemas/private/types/new_user.sql

create type "private"."new_user" as (
  "id"            uuid,
  "org_id"        uuid,
  "email"         text,
  "password"      text,
  "password_hash" text,
  "full_name"     text,
  "role"          public.org_role,
  "phone"         text,
  "metadata"      jsonb,
  "is_confirmed"  boolean,
  "is_invited"    boolean
);

grant usage on type "private"."new_user" to "postgres";

-- schemas/private/types/order_row.sql

create type "private"."order_row" as (
  "order_number"       text,
  "line_number"        integer,
  "customer_id"        uuid,
  "ordered_on"         date,
  "requested_on"       date,
  "status"             text,
  "currency"           text,
  "shipping_cost"      numeric(12,2),
  "customer_reference" text,
  "notes"              text,
  "product_id"         uuid,
  "quantity"           numeric(12,3),
  "unit_price"         numeric(12,2),
  "discount_percent"   numeric(5,2)
);

grant usage on type "private"."order_row" to "postgres";

-- schemas/private/types/planned_field.sql

create type "private"."planned_field" as (
  "number"      integer,
  "name"        text,
  "column_name" text,
  "relation"    regclass,
  "type"        text,
  "type_oid"    oid,
  "class"       text,
  "rules"       jsonb,
  "reference"   jsonb,
  "is_key"      boolean,
  "is_required" boolean,
  "is_secret"   boolean,
  "default_sql" text,
  "not_null"    boolean,
  "source"      text,
  "value"       text
);

grant usage on type "private"."planned_field" to "postgres";

-- schemas/private/types/range_fates.sql

create type "private"."range_fates" as (
  "total"     integer,
  "failed"    integer,
  "skipped"   integer[],
  "refused"   private.refused_fate[],
  "absent"    integer[],
  "unchanged" integer
);

grant usage on type "private"."range_fates" to "postgres";

-- schemas/private/types/range_preview.sql

create type "private"."range_preview" as (
  "there"   integer,
  "written" integer,
  "changes" jsonb
);

grant usage on type "private"."range_preview" to "postgres";

-- schemas/private/types/record_state.sql

create type "private"."record_state" as (
  "key"   text,
  "id"    uuid,
  "hash"  bigint,
  "image" jsonb
);

grant usage on type "private"."record_state" to "postgres";

-- schemas/private/types/refused_fate.sql

create type "private"."refused_fate" as (
  "row_number"      integer,
  "sqlstate"        text,
  "message"         text,
  "column_name"     text,
  "constraint_name" text,
  "cause"           integer
);

grant usage on type "private"."refused_fate" to "postgres";

-- schemas/private/types/refused_row.sql

create type "private"."refused_row" as (
  "row_number"      integer,
  "sqlstate"        text,
  "message"         text,
  "column_name"     text,
  "constraint_name" text
);

grant usage on type "private"."refused_row" to "postgres";

-- schemas/private/types/reversal_fate.sql

create type "private"."reversal_fate" as (
  "row_number" integer,
  "verdict"    text,
  "reason"     text
);

grant usage on type "private"."reversal_fate" to "postgres";

-- schemas/private/types/route_row.sql

create type "private"."route_row" as (
  "route_number"      text,
  "stop_number"       integer,
  "start_location_id" uuid,
  "scheduled_on"      date,
  "departs_at"        time without time zone,
  "driver"            text,
  "vehicle"           text,
  "status"            text,
  "customer_id"       uuid,
  "arrives_from"      time without time zone,
  "arrives_until"     time without time zone,
  "outcome"           text,
  "instructions"      text
);

grant usage on type "private"."route_row" to "postgres";

-- schemas/private/types/row_action.sql

create type "private"."row_action" as enum (
  'inserted',
  'updated',
  'deleted'
);

grant usage on type "private"."row_action" to "postgres";

-- schemas/private/types/setting_authority.sql

create type "private"."setting_authority" as enum (
  'admin',
  'system_admin',
  'postgres'
);

grant usage on type "private"."setting_authority" to "postgres";

-- schemas/private/types/task_result.sql

create type "private"."task_result" as (
  "done_count"   integer,
  "failed_count" integer
);

grant usage on type "private"."task_result" to "postgres";

-- schemas/private/types/user_fault.sql

create type "private"."user_fault" as (
  "field"   text,
  "code"    text,
  "message" text,
  "value"   text
);

grant usage on type "private"."user_fault" to "postgres";

-- schemas/private/types/user_row.sql

create type "private"."user_row" as (
  "email"         text,
  "password"      text,
  "password_hash" text,
  "full_name"     text,
  "role"          public.org_role,
  "phone"         text,
  "metadata"      jsonb,
  "organization"  text,
  "send_invite"   boolean
);

grant usage on type "private"."user_row" to "postgres";

-- schemas/private/views/users.sql

create view "private"."users" with (security_barrier=true) AS  SELECT p.id,
    p.org_id,
    lower(p.email) AS email,
    p.full_name,
    p.org_role AS role,
    u.phone,
    u.raw_user_meta_data AS metadata,
    ( SELECT o.slug
           FROM public.organization o
          WHERE (o.id = p.org_id)) AS organization,
    (u.last_sign_in_at IS NOT NULL) AS signed_in
   FROM (public.profiles p
     CROSS JOIN LATERAL ( SELECT a.phone,
            a.raw_user_meta_data,
            a.last_sign_in_at
           FROM auth.users a
          WHERE ((a.id = p.id) AND (NOT a.is_sso_user))
         OFFSET 0) u)
  WHERE ((p.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids))) OR ( SELECT (private.is_service_caller() OR private.is_system_admin())));

comment on view "private"."users" is 'The people whom the caller may manage: those of their organization; for system admins and the service, all.';

grant select on table "private"."users" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "private"."users" to "postgres";

grant select on table "private"."users" to "service_role";

-- schemas/public/default_privileges.sql

alter default privileges for role "postgres" in schema "public" grant select, update, usage on sequences to "anon";

alter default privileges for role "postgres" in schema "public" grant select, update, usage on sequences to "authenticated";

alter default privileges for role "postgres" in schema "public" grant select, update, usage on sequences to "service_role";

alter default privileges for role "postgres" in schema "public" revoke all on FUNCTIONS from public;

alter default privileges for role "postgres" in schema "public" grant execute on FUNCTIONS to "anon";

alter default privileges for role "postgres" in schema "public" grant execute on FUNCTIONS to "authenticated";

alter default privileges for role "postgres" in schema "public" grant execute on FUNCTIONS to "service_role";

alter default privileges for role "postgres" in schema "public" grant delete, insert, maintain, references, select, trigger, truncate, update on tables to "anon";

alter default privileges for role "postgres" in schema "public" grant delete, insert, maintain, references, select, trigger, truncate, update on tables to "authenticated";

alter default privileges for role "postgres" in schema "public" grant delete, insert, maintain, references, select, trigger, truncate, update on tables to "service_role";

-- schemas/public/functions/abandon_import_sessions.sql

create or replace function public.abandon_import_sessions (
  session_ids uuid[]
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most      constant integer := 1000;
  v_id        uuid;
  v_abandoned jsonb := '[]';
  v_failed    jsonb := '[]';
  v_details   text;
  v_hint      text;
begin
  if (cardinality(abandon_import_sessions.session_ids) between 1 and c_most) is not true then
    raise exception using
      errcode = 'PT413',
      message = 'session_ids is outside the limit',
      hint    = format('Name 1 to %s sessions per call.', c_most);
  end if;

  -- In one order, so that two clean-ups at once do not wait for each other.
  for v_id in
    select i.id
    from unnest(abandon_import_sessions.session_ids) as i (id)
    left join public.import_sessions as s on s.id = i.id
    group by i.id, s.org_id
    order by s.org_id, i.id
  loop
    begin
      perform private.abandon_session(v_id);
      v_abandoned := v_abandoned || to_jsonb(v_id);
    exception when insufficient_privilege or sqlstate 'PT404' or sqlstate 'PT409' then
      get stacked diagnostics v_details = pg_exception_detail, v_hint = pg_exception_hint;
      v_failed := v_failed || jsonb_build_object('id', v_id, 'error', jsonb_build_object(
        'code', sqlstate, 'message', sqlerrm, 'details', nullif(v_details, ''), 'hint', nullif(v_hint, '')));
    end;
  end loop;
  return jsonb_build_object('abandoned', v_abandoned, 'failed', v_failed);
end;
$function$;

comment on function "public"."abandon_import_sessions"(uuid[]) is 'Gives up many sessions at once (1 to 1000), cancelling imports that are staged or validated: { abandoned: [ids], failed: [{ id, error: { code, message, details, hint } }] }. An admin cleans up those whose owner is gone, too. Each is tried for itself: its errors 42501, PT404 and PT409 (completed; a job is running) stand in the answer. Errors: PT413.';

revoke all on function "public"."abandon_import_sessions"(uuid[]) from public;

grant execute on function "public"."abandon_import_sessions"(uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/approve_sync.sql

create or replace function public.approve_sync (
  run_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.approve_run(approve_sync.run_id);
$function$;

comment on function "public"."approve_sync"(uuid) is 'Lets a run go on that awaits approval: it is applied, with its owner''s rights, and what the source no longer has is deleted, up to the number that was shown. For admins. Returns the run. Errors: PT404, PT409 (awaits none).';

revoke all on function "public"."approve_sync"(uuid) from public;

grant execute on function "public"."approve_sync"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/auto_cleanup_preview_cache.sql

create or replace function public.auto_cleanup_preview_cache()
  returns integer
  language sql
  set search_path to ''
  AS $function$
  with gone as (
    delete from public.sync_preview_cache as c where c.expires_at <= now() returning c.id
  )
  select count(*)::integer from gone;
$function$;

comment on function "public"."auto_cleanup_preview_cache"() is 'Deletes previews that are past their hour; returns how many. Runs by schedule.';

revoke all on function "public"."auto_cleanup_preview_cache"() from public;

grant execute on function "public"."auto_cleanup_preview_cache"() to "postgres", "service_role";

-- schemas/public/functions/auto_log_sync_activity_on_progress_change.sql

create or replace function public.auto_log_sync_activity_on_progress_change()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.log_activity(
    new.org_id, new.entity_type, new.status::text::public.sync_action, new.status, new.sync_id,
    jsonb_build_object('total', new.total_items, 'processed', new.processed_count,
      'failed', new.failed_count, 'elapsed_seconds', new.elapsed_seconds)
  );
  return new;
end;
$function$;

comment on function "public"."auto_log_sync_activity_on_progress_change"() is 'Trigger: an entry in the activity log when the work ends.';

revoke all on function "public"."auto_log_sync_activity_on_progress_change"() from public;

grant execute on function "public"."auto_log_sync_activity_on_progress_change"() to "postgres", "service_role";

-- schemas/public/functions/cancel_import.sql

create or replace function public.cancel_import (
  import_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.find_import(cancel_import.import_id);
  perform private.cancel_import(cancel_import.import_id);
  return private.describe_import(cancel_import.import_id);
end;
$function$;

comment on function "public"."cancel_import"(uuid) is 'Stops an import: at once where nothing runs, else when the tasks in flight have ended. Rows that are applied stay, and its counts say so. Returns its document. Errors: 42501, PT404, PT409.';

revoke all on function "public"."cancel_import"(uuid) from public;

grant execute on function "public"."cancel_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/cancel_job.sql

create or replace function public.cancel_job (
  job_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.cancel_own_job(cancel_job.job_id);
  return private.read_job(cancel_job.job_id);
end;
$function$;

comment on function "public"."cancel_job"(uuid) is 'Stops a job for good: at once where nothing of it runs, else when the tasks in flight have ended. What is done stays; an import is cancelled with it. Returns it, as get_job does. Errors: 42501, PT404, PT409 (it has ended).';

revoke all on function "public"."cancel_job"(uuid) from public;

grant execute on function "public"."cancel_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/cancel_sync.sql

create or replace function public.cancel_sync (
  run_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.cancel_run(cancel_sync.run_id);
$function$;

comment on function "public"."cancel_sync"(uuid) is 'Stops a run, or refuses one that awaits approval; what is in flight ends, and what was applied stays. For admins. Returns the run. Errors: PT404, PT409 (at its end).';

revoke all on function "public"."cancel_sync"(uuid) from public;

grant execute on function "public"."cancel_sync"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/change_job.sql

create or replace function public.change_job (
  job_id   uuid,
  priority integer                  default null::integer,
  run_at   timestamp with time zone default null::timestamp with time zone
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if change_job.priority not between -100 and 100 then
    raise exception using
      errcode = '22023',
      message = 'priority must be from -100 to 100',
      detail  = format('got %s', change_job.priority),
      hint    = 'Lower runs first; below 0 is for admins.';
  end if;
  if change_job.run_at > now() + interval '1 year' then
    raise exception using
      errcode = '22023',
      message = 'run_at must be within a year',
      detail  = format('got %s', change_job.run_at),
      hint    = 'Pause the job if it is to wait for longer.';
  end if;
  perform private.change_own_job(change_job.job_id, change_job.priority, change_job.run_at);
  return private.read_job(change_job.job_id);
end;
$function$;

comment on function "public"."change_job"(uuid, integer, timestamp with time zone) is 'Changes when a job runs that waits: priority from -100 to 100 (lower runs first within the organization; below 0 for admins), run_at: not before this time. What is left out stays. Returns it, as get_job does. Errors: 22023, 42501, PT404, PT409 (it runs, or has ended).';

revoke all on function "public"."change_job"(uuid, integer, timestamp with time zone) from public;

grant execute on function "public"."change_job"(uuid, integer, timestamp with time zone) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/change_sync_schedule.sql

create or replace function public.change_sync_schedule (
  schedule_id     uuid,
  cron_expression text    default null::text,
  is_enabled      boolean default null::boolean,
  notes           text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.change_sync_schedule(
    change_sync_schedule.schedule_id, change_sync_schedule.cron_expression, change_sync_schedule.is_enabled, change_sync_schedule.notes);
$function$;

comment on function "public"."change_sync_schedule"(uuid, text, boolean, text) is 'Changes what is given; is_enabled false stops it. Returns the schedule. Errors: 22023, 23505, PT404.';

revoke all on function "public"."change_sync_schedule"(uuid, text, boolean, text) from public;

grant execute on function "public"."change_sync_schedule"(uuid, text, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/change_sync_source.sql

create or replace function public.change_sync_source (
  source_id uuid,
  changes   jsonb
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.change_sync_source(change_sync_source.source_id, change_sync_source.changes);
$function$;

comment on function "public"."change_sync_source"(uuid, jsonb) is 'Changes properties of a source (see create_sync_source), all but its dataset; is_active false stops it. One that says where data is or how it is read has the next run fetch all of it. Returns the source. Errors: as of create_sync_source, PT409 (dataset; it is being fetched).';

revoke all on function "public"."change_sync_source"(uuid, jsonb) from public;

grant execute on function "public"."change_sync_source"(uuid, jsonb) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/change_webhook.sql

create or replace function public.change_webhook (
  webhook_id  uuid,
  url         text    default null::text,
  events      text[]  default null::text[],
  is_active   boolean default null::boolean,
  description text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.change_webhook(
    change_webhook.webhook_id, change_webhook.url, change_webhook.events, change_webhook.is_active, change_webhook.description);
$function$;

comment on function "public"."change_webhook"(uuid, text, text[], boolean, text) is 'Changes what is given of a webhook (an empty description takes it away); returns it. While it is off nothing is queued for it, and what is queued waits. Admins. Errors: 22023, PT404.';

revoke all on function "public"."change_webhook"(uuid, text, text[], boolean, text) from public;

grant execute on function "public"."change_webhook"(uuid, text, text[], boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/commit_import.sql

create or replace function public.commit_import (
  import_id       uuid,
  idempotency_key text    default null::text,
  force           boolean default false
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.start_import_job('commit', commit_import.import_id,
    jsonb_build_object('force', commit_import.force), commit_import.idempotency_key);
$function$;

comment on function "public"."commit_import"(uuid, text, boolean) is 'Applies the valid rows of a validated import, in the background, with the caller''s rights. Returns the job, as validate_import does. Errors: 42501, PT404, PT409 (state; the same file again without force).';

revoke all on function "public"."commit_import"(uuid, text, boolean) from public;

grant execute on function "public"."commit_import"(uuid, text, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/complete_worker_task.sql

create or replace function public.complete_worker_task (
  task_id bigint,
  token   uuid,
  result  jsonb
)
  returns boolean
  language sql
  set search_path to ''
  AS $function$
  select private.complete_call(complete_worker_task.task_id, complete_worker_task.token, complete_worker_task.result);
$function$;

comment on function "public"."complete_worker_task"(bigint, uuid, jsonb) is 'Reports what the worker function found; the task is done. False: that could not be taken, which counts as a failed attempt (sync_error_log says why). Service key only. Errors: PT409 (the call is over: nothing has changed).';

revoke all on function "public"."complete_worker_task"(bigint, uuid, jsonb) from public;

grant execute on function "public"."complete_worker_task"(bigint, uuid, jsonb) to "postgres", "service_role";

-- schemas/public/functions/correct_import.sql

create or replace function public.correct_import (
  import_id       uuid,
  corrections     jsonb,
  idempotency_key text  default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.correct_import(correct_import.import_id, correct_import.corrections, correct_import.idempotency_key);
$function$;

comment on function "public"."correct_import"(uuid, jsonb, text) is 'Makes a staged import of failed rows of another one, with the cells given replaced and the others as they were sent; dataset, mode, mapping and options are those of that one. corrections: [{ "row": 17, "cells": { "email": "x@example.com" } }], at most 1000. Returns its document, with "replayed": true where the idempotency key was used before. Errors: 22023, 42501, PT404, PT409 (not judged yet; rows expired), PT413.';

revoke all on function "public"."correct_import"(uuid, jsonb, text) from public;

grant execute on function "public"."correct_import"(uuid, jsonb, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_import.sql

create or replace function public.create_import (
  dataset         text   default null::text,
  mode            text   default null::text,
  org_id          uuid   default null::uuid,
  file_name       text   default null::text,
  source          text   default 'api'::text,
  mapping         jsonb  default null::jsonb,
  options         jsonb  default '{}'::jsonb,
  idempotency_key text   default null::text,
  template_id     uuid   default null::uuid,
  set_id          uuid   default null::uuid,
  depends_on      uuid[] default null::uuid[],
  corrects        uuid   default null::uuid,
  storage_path    text   default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_import(
    create_import.dataset, create_import.mode, create_import.org_id, create_import.file_name, create_import.source,
    create_import.mapping, create_import.options, create_import.idempotency_key, create_import.template_id,
    create_import.set_id, create_import.depends_on, create_import.corrects,
    private.find_stored_file(create_import.storage_path)
  );
$function$;

comment on function "public"."create_import"(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) is 'Makes an import that awaits its file; returns its document (see get_import), with "replayed": true where the idempotency key was used before. mode: insert, update, upsert (default), delete. org_id: the caller''s own unless given; the service key must name it. template_id: whose mapping and options it takes, but for those that are given here. set_id: a set of one''s own that it belongs to. depends_on: imports of the organization that must be completed before it is validated. corrects: the import whose failed rows it brings in again, with the dataset, mode, mapping and options of that one. storage_path: the file in the bucket imports, where it is there; ingest_import takes it in. Errors: 22023 (dataset, mode, mapping, options, circle of depends_on), 42501, PT404, PT409 (key in use; nothing to correct).';

revoke all on function "public"."create_import"(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) from public;

grant execute on function "public"."create_import"(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_import_set.sql

create or replace function public.create_import_set (
  org_id          uuid default null::uuid,
  name            text default null::text,
  idempotency_key text default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_import_set(create_import_set.org_id, create_import_set.name, create_import_set.idempotency_key);
$function$;

comment on function "public"."create_import_set"(uuid, text, text) is 'Makes a set, to which create_import adds with set_id: each of its imports waits for those whose datasets its own refers to. Returns its document (see get_import_set), with "replayed": true where the idempotency key was used before. org_id: the caller''s own unless given. Errors: 22023, 23514 (name), 42501, PT404.';

revoke all on function "public"."create_import_set"(uuid, text, text) from public;

grant execute on function "public"."create_import_set"(uuid, text, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_organization.sql

create or replace function public.create_organization (
  name text,
  slug text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug)
  from private.create_organization(create_organization.name, create_organization.slug) as o;
$function$;

comment on function "public"."create_organization"(text, text) is 'Makes an organization; the caller, who belongs to none yet, becomes its admin (the service key: nobody does). Returns { id, name, slug }. Errors: 23514 (name or slug out of form), 23505 (slug taken), PT409 (already in one), 42501.';

revoke all on function "public"."create_organization"(text, text) from public;

grant execute on function "public"."create_organization"(text, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_sync_schedule.sql

create or replace function public.create_sync_schedule (
  source_id       uuid,
  cron_expression text,
  is_enabled      boolean default true,
  notes           text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_sync_schedule(
    create_sync_schedule.source_id, create_sync_schedule.cron_expression, create_sync_schedule.is_enabled, create_sync_schedule.notes);
$function$;

comment on function "public"."create_sync_schedule"(uuid, text, boolean, text) is 'Has a source synced by schedule: minute, hour, day of the month, month, day of the week, in UTC. Returns the schedule. Errors: 22023 (with what pg_cron says), 23505 (there already), PT404, PT409 (manual source), PT429 (too many).';

revoke all on function "public"."create_sync_schedule"(uuid, text, boolean, text) from public;

grant execute on function "public"."create_sync_schedule"(uuid, text, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_sync_source.sql

create or replace function public.create_sync_source (
  source jsonb,
  org_id uuid  default null::uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_sync_source(create_sync_source.source, create_sync_source.org_id);
$function$;

comment on function "public"."create_sync_source"(jsonb, uuid) is 'Registers where data comes from, for admins: { name, dataset, kind, location, notes, secret_name, options, mode, max_delete_percent, requires_approval, overlap, template_id, mapping, import_options, owner, is_active }, see docs/sync.md. owner: the caller, unless given. Returns the source with its schedules. Errors: 22023, 23505 (name taken), 23514 (name, percentage out of form), 42501, PT404, PT429 (too many).';

revoke all on function "public"."create_sync_source"(jsonb, uuid) from public;

grant execute on function "public"."create_sync_source"(jsonb, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_users.sql

create or replace function public.create_users (
  users           jsonb,
  org_id          uuid  default null::uuid,
  mode            text  default 'insert'::text,
  idempotency_key text  default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_users(create_users.users, create_users.org_id, create_users.mode, create_users.idempotency_key);
$function$;

comment on function "public"."create_users"(jsonb, uuid, text, text) is 'Makes people, in the background: an import of the dataset users whose rows are the 1 to 500 objects given, with any of its fields; email is needed. mode: insert (default), update, upsert. Returns its document (see get_import), with "replayed": true where the idempotency key was used before; list_user_results tells what became of each. Errors: 22023, 42501, PT404, PT409 (key in use), PT413.';

revoke all on function "public"."create_users"(jsonb, uuid, text, text) from public;

grant execute on function "public"."create_users"(jsonb, uuid, text, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/create_webhook.sql

create or replace function public.create_webhook (
  url         text,
  events      text[],
  description text   default null::text,
  org_id      uuid   default null::uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.create_webhook(create_webhook.url, create_webhook.events, create_webhook.description, create_webhook.org_id);
$function$;

comment on function "public"."create_webhook"(text, text[], text, uuid) is 'Makes a webhook: url is told of the events chosen, signed by the scheme of Standard Webhooks. Returns { id, org_id, url, events, description, is_active, error, …, secret }; the secret is shown this once. Admins. Errors: 22023, 42501, PT404, PT429 (as many as there may be).';

revoke all on function "public"."create_webhook"(text, text[], text, uuid) from public;

grant execute on function "public"."create_webhook"(text, text[], text, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_import_template.sql

create or replace function public.delete_import_template (
  template_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.describe_template(t) from private.archive_template(delete_import_template.template_id) as t;
$function$;

comment on function "public"."delete_import_template"(uuid) is 'Takes a template out of use, given its current version; returns it. Imports that used it still name it, and it stays readable. Errors: 42501, PT404, PT409 (not the current version).';

revoke all on function "public"."delete_import_template"(uuid) from public;

grant execute on function "public"."delete_import_template"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_sync_schedule.sql

create or replace function public.delete_sync_schedule (
  schedule_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.delete_sync_schedule(delete_sync_schedule.schedule_id);
$function$;

comment on function "public"."delete_sync_schedule"(uuid) is 'Deletes a schedule; runs that it began go on. Errors: PT404.';

revoke all on function "public"."delete_sync_schedule"(uuid) from public;

grant execute on function "public"."delete_sync_schedule"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_sync_secret.sql

create or replace function public.delete_sync_secret (
  name   text,
  org_id uuid default null::uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.remove_sync_secret(delete_sync_secret.org_id, delete_sync_secret.name);
$function$;

comment on function "public"."delete_sync_secret"(text, uuid) is 'Deletes a secret; runs of sources that name it fail. For admins. Errors: 42501, PT404.';

revoke all on function "public"."delete_sync_secret"(text, uuid) from public;

grant execute on function "public"."delete_sync_secret"(text, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_sync_source.sql

create or replace function public.delete_sync_source (
  source_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.delete_sync_source(delete_sync_source.source_id);
$function$;

comment on function "public"."delete_sync_source"(uuid) is 'Deletes a source with its schedules and runs; imports and records stay. For admins. Errors: PT404, PT409 (a run is under way).';

revoke all on function "public"."delete_sync_source"(uuid) from public;

grant execute on function "public"."delete_sync_source"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_users.sql

create or replace function public.delete_users (
  ids             uuid[]  default null::uuid[],
  emails          text[]  default null::text[],
  import_id       uuid    default null::uuid,
  dry_run         boolean default false,
  org_id          uuid    default null::uuid,
  idempotency_key text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.delete_users(
    delete_users.ids, delete_users.emails, delete_users.import_id, delete_users.dry_run, delete_users.org_id, delete_users.idempotency_key);
$function$;

comment on function "public"."delete_users"(uuid[], text[], uuid, boolean, uuid, text) is 'Deletes people of the organization, in the background: those with these ids or addresses, at most 100000, or whom an import made. What they made stays, without an owner. Refused, each with a code: one''s own account, the last admin of the organization, system admins. dry_run: nothing is deleted; the import ends as validated, with a full preview (get_import_preview). Returns the document of the import that does it (see get_import); list_user_results tells what became of each. Errors: 22023, 42501, PT404, PT409 (key in use; rows expired), PT413.';

revoke all on function "public"."delete_users"(uuid[], text[], uuid, boolean, uuid, text) from public;

grant execute on function "public"."delete_users"(uuid[], text[], uuid, boolean, uuid, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/delete_webhook.sql

create or replace function public.delete_webhook (
  webhook_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.delete_webhook(delete_webhook.webhook_id);
$function$;

comment on function "public"."delete_webhook"(uuid) is 'Deletes a webhook with its deliveries and its secret. Admins. Errors: PT404.';

revoke all on function "public"."delete_webhook"(uuid) from public;

grant execute on function "public"."delete_webhook"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/fail_worker_task.sql

create or replace function public.fail_worker_task (
  task_id             bigint,
  token               uuid,
  error               jsonb,
  retry_after_seconds integer default null::integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most_seconds constant integer := 86400;
begin
  if coalesce(fail_worker_task.error ->> 'code', '') !~ '^[0-9A-Z]{5}$'
    or coalesce(fail_worker_task.error ->> 'message', '') = '' then
    raise exception using
      errcode = '22023',
      message = 'error must have a code and a message',
      detail  = format('got %s', fail_worker_task.error),
      hint    = 'The code is an SQLSTATE; its class decides whether the task is tried again.';
  end if;

  if fail_worker_task.retry_after_seconds < 0 then
    raise exception using
      errcode = '22023',
      message = 'retry_after_seconds must not be negative',
      detail  = format('got %s', fail_worker_task.retry_after_seconds);
  end if;

  perform private.fail_call(
    fail_worker_task.task_id, fail_worker_task.token, fail_worker_task.error,
    least(coalesce(fail_worker_task.retry_after_seconds, 0), c_most_seconds)
  );
end;
$function$;

comment on function "public"."fail_worker_task"(bigint, uuid, jsonb, integer) is 'Reports that an attempt failed: { code, message, details, hint }. The retry policy decides whether there is another, not before retry_after_seconds (a day at most). Service key only. Errors: 22023, PT409 (the call is over: nothing has changed).';

revoke all on function "public"."fail_worker_task"(bigint, uuid, jsonb, integer) from public;

grant execute on function "public"."fail_worker_task"(bigint, uuid, jsonb, integer) to "postgres", "service_role";

-- schemas/public/functions/find_similar_imports.sql

create or replace function public.find_similar_imports (
  import_id uuid
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  c_least  constant numeric := 0.4; -- likeness of names
  c_most   constant integer := 20;
  v_import public.import_batches := private.find_import(find_similar_imports.import_id);
begin
  return jsonb_build_object('similar', coalesce(jsonb_agg(to_jsonb(f) - 'position' order by f.position), '[]'))
  from (
    select
      s.id as session_id, s.batch_id as import_id, s.status, s.current_step, s.file_name, b.dataset, b.row_count, r.reason,
      r.likeness, s.created_at,
      row_number() over (order by array_position('{content,header,name}', r.reason), r.likeness desc, s.created_at desc) as position
    from public.import_sessions as s
    join public.import_batches as b on b.id = s.batch_id
    cross join lateral (
      select round(coalesce(extensions.similarity(s.file_name, v_import.file_name), 0)::numeric, 2)
    ) as l (likeness)
    cross join lateral (
      select l.likeness, case
        when s.content_hash = v_import.content_hash then 'content'
        when s.header_hash = private.header_hash(v_import.columns) then 'header'
        when l.likeness >= c_least then 'name'
      end
    ) as r (likeness, reason)
    where s.created_by = auth.uid()
      and s.batch_id <> v_import.id
      and r.reason is not null
  ) as f
  where f.position <= c_most;
end;
$function$;

comment on function "public"."find_similar_imports"(uuid) is 'Among one''s own sessions alone, those of files like this import''s: { similar: [{ session_id, import_id, status, current_step, file_name, dataset, row_count, reason, likeness, created_at }] }, at most 20. reason: content (the same file), header (the same columns) or name; likeness: of the file names, 0 to 1. Errors: PT404.';

revoke all on function "public"."find_similar_imports"(uuid) from public;

grant execute on function "public"."find_similar_imports"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_import.sql

create or replace function public.get_import (
  import_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_import(get_import.import_id);
$function$;

comment on function "public"."get_import"(uuid) is 'The document of an import: { id, org_id, dataset, mode, source, status, file_name, row_count, byte_size, content_hash, columns, format, sample, mapping, suggested_mapping, template_id, options, counts, issues, error, undo, progress, job, set_id, depends_on, waiting_for, corrects, corrected_by, added_columns, chain, duplicate_of, initiated_by, created_at, staged_at, validated_at, finished_at }. Errors: PT404.';

revoke all on function "public"."get_import"(uuid) from public;

grant execute on function "public"."get_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_import_preview.sql

create or replace function public.get_import_preview (
  import_id uuid
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch    public.import_batches := private.find_import(get_import_preview.import_id);
  v_document jsonb;
begin
  if v_batch.status <> 'validated' then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case v_batch.status
        when 'receiving' then 'Wait until its file is staged.'
        when 'staged' then 'Validate it.'
        when 'validating' then 'Wait for the running job.'
        else 'A preview is of an import that is validated and not yet committed.'
      end;
  end if;

  select c.preview_data || jsonb_build_object('created_at', c.created_at, 'expires_at', c.expires_at) into v_document
  from public.sync_preview_cache as c
  where c.org_id = v_batch.org_id and c.sync_type = 'import' and c.cache_key like v_batch.id || ':%' and c.expires_at > now();
  if not found then
    raise exception using
      errcode = 'PT404',
      message = 'import has no preview',
      detail  = format('import %s', v_batch.id),
      hint    = 'It is kept for an hour, for whoever asked for it. Make another one (preview_import).';
  end if;
  return v_document;
end;
$function$;

comment on function "public"."get_import_preview"(uuid) is 'The caller''s preview of a validated import: { kind: counts|full, counts: { insert, update, unchanged, delete, fail, skip }, changes, created_at, expires_at }. changes: of the first 50 rows that would change a record, [{ row_number, key, action: insert|update|delete, before, after }]. Errors: PT404, PT409 (state).';

revoke all on function "public"."get_import_preview"(uuid) from public;

grant execute on function "public"."get_import_preview"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_import_set.sql

create or replace function public.get_import_set (
  set_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_import_set(private.find_import_set(get_import_set.set_id));
$function$;

comment on function "public"."get_import_set"(uuid) is 'A set and its imports, in the order of their datasets: { id, org_id, name, status, imports: [documents without sample], created_at }. status: running, failed (one failed, or waits for one that did), paused, open (some await somebody), completed, cancelled, undone. Errors: PT404.';

revoke all on function "public"."get_import_set"(uuid) from public;

grant execute on function "public"."get_import_set"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_import_template.sql

create or replace function public.get_import_template (
  template_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_template(t) from private.find_template(get_import_template.template_id) as t;
$function$;

comment on function "public"."get_import_template"(uuid) is 'A version of a template, also one that was replaced or deleted: { id, org_id, is_global, dataset, name, version, is_current, description, mapping, options, columns, header_hash, created_by, created_at, replaced_at, archived_at }. Errors: PT404.';

revoke all on function "public"."get_import_template"(uuid) from public;

grant execute on function "public"."get_import_template"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_job.sql

create or replace function public.get_job (
  job_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.read_job(get_job.job_id);
$function$;

comment on function "public"."get_job"(uuid) is 'A background job, as in list_jobs, with { progress: { elapsed_seconds, items_per_minute, eta_seconds }, tasks: { waiting, running, dead }, errors }. errors: its last hundred failed attempts, newest first: [{ task_id, attempt, sqlstate, message, detail, hint, context, at }]. tasks and errors are null for those who are no admin of the organization. Errors: PT404.';

revoke all on function "public"."get_job"(uuid) from public;

grant execute on function "public"."get_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_sync_run.sql

create or replace function public.get_sync_run (
  run_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_sync_run(r) || jsonb_build_object('preview', private.sync_preview(r))
  from private.find_sync_run(get_sync_run.run_id) as r;
$function$;

comment on function "public"."get_sync_run"(uuid) is 'A run, as run_sync returns it, with its preview for an hour: { kind, counts: { insert, update, unchanged, delete, fail, skip }, deletions, changes, created_at, expires_at }. Errors: PT404.';

revoke all on function "public"."get_sync_run"(uuid) from public;

grant execute on function "public"."get_sync_run"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_sync_source.sql

create or replace function public.get_sync_source (
  source_id uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.describe_sync_source(private.find_sync_source(get_sync_source.source_id));
$function$;

comment on function "public"."get_sync_source"(uuid) is 'A source with its schedules, for admins. Errors: PT404.';

revoke all on function "public"."get_sync_source"(uuid) from public;

grant execute on function "public"."get_sync_source"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/get_worker_task.sql

create or replace function public.get_worker_task (
  task_id bigint,
  token   uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.describe_call(get_worker_task.task_id, get_worker_task.token);
$function$;

comment on function "public"."get_worker_task"(bigint, uuid) is 'What the worker function has to do: { job_id, job_type, org_id, task_type, attempt, args, work }, work as the job type describes it. Service key only. Errors: PT409 (the call is over).';

revoke all on function "public"."get_worker_task"(bigint, uuid) from public;

grant execute on function "public"."get_worker_task"(bigint, uuid) to "postgres", "service_role";

-- schemas/public/functions/ingest_import.sql

create or replace function public.ingest_import (
  import_id uuid,
  format    jsonb   default '{}'::jsonb,
  commit    boolean default false,
  force     boolean default false
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.start_import_job('ingest', ingest_import.import_id,
    jsonb_build_object('format', ingest_import.format, 'commit', ingest_import.commit, 'force', ingest_import.force), null);
$function$;

comment on function "public"."ingest_import"(uuid, jsonb, boolean, boolean) is 'Takes in the stored file of an import that create_import has made with a storage_path, in the background: CSV or other delimited text, or JSON, not packed. format: { delimiter, quote, encoding, header, json }; what is left out is found out. With commit it is validated and applied without a further call. Returns the job, whose counts are bytes. The import is then staged; or failed or cancelled, without a row. Errors: 22023, 42501, PT404, PT409 (it awaits no file), PT413, PT429.';

revoke all on function "public"."ingest_import"(uuid, jsonb, boolean, boolean) from public;

grant execute on function "public"."ingest_import"(uuid, jsonb, boolean, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_expired_files.sql

create or replace function public.list_expired_files()
  returns text[]
  language sql
  stable
  set search_path to ''
  AS $function$
  select private.list_expired_files();
$function$;

comment on function "public"."list_expired_files"() is 'Paths in the bucket imports that are to be deleted, at most 1000. Service key only.';

revoke all on function "public"."list_expired_files"() from public;

grant execute on function "public"."list_expired_files"() to "postgres", "service_role";

-- schemas/public/functions/list_import_issues.sql

create or replace function public.list_import_issues (
  import_id uuid,
  after_id  bigint  default 0,
  page_size integer default 100,
  code      text    default null::text,
  severity  text    default null::text
)
  returns SETOF public.import_issue
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if (list_import_issues.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return query
  select i.*
  from private.read_import_issues(
    list_import_issues.import_id, list_import_issues.after_id, list_import_issues.page_size,
    list_import_issues.code, list_import_issues.severity
  ) as i;
end;
$function$;

comment on function "public"."list_import_issues"(uuid, bigint, integer, text, text) is 'What is wrong with rows, in the order in which it was found, of one code or severity (error, warning) where given. The next page begins after the last id; page_size at most 1000. sqlstate and constraint_name tell what the table said. Errors: 22023, PT404.';

revoke all on function "public"."list_import_issues"(uuid, bigint, integer, text, text) from public;

grant execute on function "public"."list_import_issues"(uuid, bigint, integer, text, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_import_rows.sql

create or replace function public.list_import_rows (
  import_id uuid,
  status    text    default null::text,
  after_row integer default 0,
  page_size integer default 100
)
  returns SETOF public.import_row
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if (list_import_rows.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return query
  select r.*
  from private.read_import_rows(
    list_import_rows.import_id, list_import_rows.status, list_import_rows.after_row, list_import_rows.page_size
  ) as r;
end;
$function$;

comment on function "public"."list_import_rows"(uuid, text, integer, integer) is 'The fate of rows, in their order: pending, validated, failed, skipped, inserted, updated, unchanged, deleted or undone, with the key, the record''s id (of rows acted upon), the row as it was sent, and its issues. status picks one; the next page begins after the last row_number; page_size at most 1000. Errors: 22023, PT404.';

revoke all on function "public"."list_import_rows"(uuid, text, integer, integer) from public;

grant execute on function "public"."list_import_rows"(uuid, text, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_import_sessions.sql

create or replace function public.list_import_sessions (
  status    text                     default null::text,
  page_size integer                  default 50,
  before    timestamp with time zone default null::timestamp with time zone
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_sessions jsonb;
begin
  if (list_import_sessions.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  perform private.require_status(list_import_sessions.status, null::public.session_status);

  select coalesce(jsonb_agg(private.describe_session(s) || jsonb_build_object(
    'dataset', b.dataset, 'mode', b.mode, 'row_count', b.row_count) order by s.created_at desc, s.id), '[]') into v_sessions
  from (
    select s.*
    from public.import_sessions as s
    where (
        s.created_by = (select auth.uid()) or s.created_by is null or s.id = any (array(select private.shared_session_ids()))
      )
      and (list_import_sessions.status is null or s.status = list_import_sessions.status::public.session_status)
      and (list_import_sessions.before is null or s.created_at < list_import_sessions.before)
    order by s.created_at desc, s.id
    limit list_import_sessions.page_size
  ) as s
  join public.import_batches as b on b.id = s.batch_id;

  return jsonb_build_object(
    'sessions', v_sessions,
    'next_before', case when jsonb_array_length(v_sessions) = list_import_sessions.page_size then v_sessions #> '{-1,created_at}' end
  );
end;
$function$;

comment on function "public"."list_import_sessions"(text, integer, timestamp with time zone) is 'One''s own sessions and those shared with one, newest first, and for admins those whose owner is gone: { sessions: [as open_import_session, with dataset, mode and row_count in place of import], next_before: timestamp of the next page, or null }. Errors: 22023.';

revoke all on function "public"."list_import_sessions"(text, integer, timestamp with time zone) from public;

grant execute on function "public"."list_import_sessions"(text, integer, timestamp with time zone) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_import_templates.sql

create or replace function public.list_import_templates (
  dataset text default null::text
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object('templates', coalesce(
    jsonb_agg(private.describe_template(t) order by t.dataset, t.org_id nulls last, t.name), '[]'))
  from public.import_templates as t
  where t.replaced_at is null
    and t.archived_at is null
    and (list_import_templates.dataset is null or t.dataset = list_import_templates.dataset);
$function$;

comment on function "public"."list_import_templates"(text) is 'The current templates of the caller''s organization and those for all: { templates: [as get_import_template] }.';

revoke all on function "public"."list_import_templates"(text) from public;

grant execute on function "public"."list_import_templates"(text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_imports.sql

create or replace function public.list_imports (
  dataset   text                     default null::text,
  status    text                     default null::text,
  before    timestamp with time zone default null::timestamp with time zone,
  page_size integer                  default 50
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_documents jsonb;
begin
  if (list_imports.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  perform private.require_status(list_imports.status, null::public.import_status);

  select coalesce(jsonb_agg(private.describe_import(b.id) - 'sample' order by b.created_at desc), '[]') into v_documents
  from (
    select b.id, b.created_at
    from public.import_batches as b
    where b.org_id in (select private.org_ids('viewer'))
      and (list_imports.dataset is null or b.dataset = list_imports.dataset)
      and (list_imports.status is null or b.status = list_imports.status::public.import_status)
      and (list_imports.before is null or b.created_at < list_imports.before)
    order by b.created_at desc
    limit list_imports.page_size
  ) as b;

  return jsonb_build_object(
    'imports', v_documents,
    'next_before', case when jsonb_array_length(v_documents) = list_imports.page_size then v_documents #> '{-1,created_at}' end
  );
end;
$function$;

comment on function "public"."list_imports"(text, text, timestamp with time zone, integer) is 'Imports that the caller may see, newest first: { imports: [documents without sample], next_before: timestamp of the next page, or null }. Errors: 22023.';

revoke all on function "public"."list_imports"(text, text, timestamp with time zone, integer) from public;

grant execute on function "public"."list_imports"(text, text, timestamp with time zone, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_jobs.sql

create or replace function public.list_jobs (
  status    text                     default null::text,
  job_type  text                     default null::text,
  import_id uuid                     default null::uuid,
  mine      boolean                  default false,
  since     timestamp with time zone default null::timestamp with time zone,
  org_id    uuid                     default null::uuid,
  before    text                     default null::text,
  page_size integer                  default 50
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_at text := split_part(list_jobs.before, '_', 1);
  v_id text := split_part(list_jobs.before, '_', 2);
begin
  if (list_jobs.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  perform private.require_status(list_jobs.status, null::public.sync_status_type);
  if not (pg_input_is_valid(v_at, 'timestamptz') and pg_input_is_valid(v_id, 'uuid')) then
    raise exception using
      errcode = '22023',
      message = 'before is no cursor',
      detail  = format('got %s', to_json(list_jobs.before)),
      hint    = 'Give next_before of the page before.';
  end if;

  return private.read_jobs(
    list_jobs.status::public.sync_status_type, list_jobs.job_type, list_jobs.import_id, coalesce(list_jobs.mine, false),
    list_jobs.since, list_jobs.org_id, v_at::timestamptz, v_id::uuid, list_jobs.page_size
  );
end;
$function$;

comment on function "public"."list_jobs"(text, text, uuid, boolean, timestamp with time zone, uuid, text, integer) is 'Background jobs that the caller may see, newest first, with what validate_import returns and { org_id, created_by, run_as, priority, run_at, params, cancel_requested_at }. mine: those that the caller made; since: made then or later. Returns { jobs, next_before: the cursor of the next page, or null }. Errors: 22023.';

revoke all on function "public"."list_jobs"(text, text, uuid, boolean, timestamp with time zone, uuid, text, integer) from public;

grant execute on function "public"."list_jobs"(text, text, uuid, boolean, timestamp with time zone, uuid, text, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_settings.sql

create or replace function public.list_settings (
  org_id uuid default null::uuid
)
  returns table (
    key           text,
    value         jsonb,
    default_value jsonb,
    minimum       numeric,
    maximum       numeric,
    set_by        text,
    description   text
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  select s.* from private.read_settings(list_settings.org_id) as s;
$function$;

comment on function "public"."list_settings"(uuid) is 'Every setting with the value in force for an organization (or for all), its default, bounds, and the least authority that may change it: admin, system_admin or postgres. Errors: 42501.';

revoke all on function "public"."list_settings"(uuid) from public;

grant execute on function "public"."list_settings"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_sync_runs.sql

create or replace function public.list_sync_runs (
  source_id uuid                     default null::uuid,
  status    text                     default null::text,
  before    timestamp with time zone default null::timestamp with time zone,
  page_size integer                  default 50
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_runs jsonb;
begin
  if (list_sync_runs.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  perform private.require_status(list_sync_runs.status, null::public.sync_run_status);

  select coalesce(jsonb_agg(private.describe_sync_run(r) order by r.created_at desc), '[]') into v_runs
  from (
    select r.*
    from public.sync_runs as r
    where r.org_id in (select private.org_ids('admin'))
      and (list_sync_runs.source_id is null or r.source_id = list_sync_runs.source_id)
      and (list_sync_runs.status is null or r.status = list_sync_runs.status::public.sync_run_status)
      and (list_sync_runs.before is null or r.created_at < list_sync_runs.before)
    order by r.created_at desc
    limit list_sync_runs.page_size
  ) as r;
  return jsonb_build_object(
    'runs', v_runs,
    'next_before', case when jsonb_array_length(v_runs) = list_sync_runs.page_size then v_runs #> '{-1,created_at}' end
  );
end;
$function$;

comment on function "public"."list_sync_runs"(uuid, text, timestamp with time zone, integer) is 'Runs of the caller''s sources, newest first, of one source or status where given: { runs: [as run_sync], next_before: timestamp of the next page, or null }. For admins. Errors: 22023.';

revoke all on function "public"."list_sync_runs"(uuid, text, timestamp with time zone, integer) from public;

grant execute on function "public"."list_sync_runs"(uuid, text, timestamp with time zone, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_sync_schedules.sql

create or replace function public.list_sync_schedules (
  source_id uuid default null::uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object('schedules', coalesce(jsonb_agg(private.describe_sync_schedule(h) order by h.created_at), '[]'))
  from public.sync_schedule as h
  where h.org_id in (select private.org_ids('admin'))
    and (list_sync_schedules.source_id is null or h.source_id = list_sync_schedules.source_id);
$function$;

comment on function "public"."list_sync_schedules"(uuid) is 'Schedules of organizations where the caller is an admin, of one source where given: { schedules: [{ id, org_id, source_id, cron_expression, time_zone, is_enabled, notes, created_by, created_at, updated_at }] }.';

revoke all on function "public"."list_sync_schedules"(uuid) from public;

grant execute on function "public"."list_sync_schedules"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_sync_secrets.sql

create or replace function public.list_sync_secrets (
  org_id uuid default null::uuid
)
  returns table (
    name       text,
    updated_at timestamp with time zone
  )
  language sql
  stable
  set search_path to ''
  AS $function$
  select s.* from private.read_sync_secrets(list_sync_secrets.org_id) as s;
$function$;

comment on function "public"."list_sync_secrets"(uuid) is 'Names of the organization''s secrets, never their values. For admins. Errors: 42501, PT404.';

revoke all on function "public"."list_sync_secrets"(uuid) from public;

grant execute on function "public"."list_sync_secrets"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_sync_sources.sql

create or replace function public.list_sync_sources (
  org_id uuid default null::uuid
)
  returns jsonb
  language sql
  stable
  set search_path to ''
  AS $function$
  select jsonb_build_object('sources', coalesce(jsonb_agg(private.describe_sync_source(s) order by s.org_id, s.name), '[]'))
  from public.sync_sources as s
  where s.org_id in (select private.org_ids('admin'))
    and (list_sync_sources.org_id is null or s.org_id = list_sync_sources.org_id);
$function$;

comment on function "public"."list_sync_sources"(uuid) is 'Sources of organizations where the caller is an admin: { sources: [as get_sync_source] }.';

revoke all on function "public"."list_sync_sources"(uuid) from public;

grant execute on function "public"."list_sync_sources"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_user_results.sql

create or replace function public.list_user_results (
  import_id uuid,
  after_row integer default 0,
  page_size integer default 100
)
  returns SETOF public.user_result
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if (list_user_results.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  perform private.find_users_import(list_user_results.import_id);
  return query
  select
    r.row_number, r.key,
    case r.status when 'inserted' then 'created' when 'validated' then 'pending' else r.status end,
    r.record_id, r.issues
  from private.read_import_rows(list_user_results.import_id, null, list_user_results.after_row, list_user_results.page_size) as r;
end;
$function$;

comment on function "public"."list_user_results"(uuid, integer, integer) is 'What became of each person of an import of users, in the order of its rows; the next page begins after the last row_number; page_size at most 1000. Errors: 22023, PT404.';

revoke all on function "public"."list_user_results"(uuid, integer, integer) from public;

grant execute on function "public"."list_user_results"(uuid, integer, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_users.sql

create or replace function public.list_users (
  org_id    uuid    default null::uuid,
  after     text    default null::text,
  page_size integer default 100,
  search    text    default null::text
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if (list_users.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return private.read_users(list_users.org_id, list_users.after, list_users.page_size, nullif(btrim(list_users.search), ''));
end;
$function$;

comment on function "public"."list_users"(uuid, text, integer, text) is 'The people of the organization, for its admins, by their addresses: { users: [{ id, email, full_name, role, phone, metadata, is_active, confirmed, created_at, last_sign_in_at, invitation (pending, sending, sent, failed or null), organization (its slug) }], next_after: what the next page takes as after, or null }. search: a part of address or name. page_size at most 1000. Errors: 22023, 42501, PT404.';

revoke all on function "public"."list_users"(uuid, text, integer, text) from public;

grant execute on function "public"."list_users"(uuid, text, integer, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/list_webhook_deliveries.sql

create or replace function public.list_webhook_deliveries (
  webhook_id uuid    default null::uuid,
  status     text    default null::text,
  event      text    default null::text,
  after      uuid    default null::uuid,
  page_size  integer default 100
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
begin
  if (list_webhook_deliveries.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  perform private.require_status(list_webhook_deliveries.status, null::public.webhook_delivery_status);
  return private.read_webhook_deliveries(
    list_webhook_deliveries.webhook_id, list_webhook_deliveries.status::public.webhook_delivery_status,
    list_webhook_deliveries.event, list_webhook_deliveries.after, list_webhook_deliveries.page_size);
end;
$function$;

comment on function "public"."list_webhook_deliveries"(uuid, text, text, uuid, integer) is 'Deliveries of the webhooks that the caller manages, newest first: { deliveries: [{ id, webhook_id, event, payload, status, attempts, next_attempt_at, response_status, error, created_at, delivered_at }], next_after: cursor of the next page, or null }. status failed: the dead letters. Admins. Errors: 22023, PT404.';

revoke all on function "public"."list_webhook_deliveries"(uuid, text, text, uuid, integer) from public;

grant execute on function "public"."list_webhook_deliveries"(uuid, text, text, uuid, integer) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/next_invitation.sql

create or replace function public.next_invitation (
  token   uuid,
  outcome jsonb default null::jsonb
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if next_invitation.outcome is not null and (
    not pg_input_is_valid(next_invitation.outcome ->> 'user_id', 'uuid')
    or jsonb_typeof(next_invitation.outcome -> 'status') is distinct from 'number'
    or coalesce(jsonb_typeof(next_invitation.outcome -> 'retry_after_seconds'), 'null') not in ('number', 'null')
  ) then
    raise exception using
      errcode = '22023',
      message = 'outcome is malformed',
      detail  = format('got %s', next_invitation.outcome),
      hint    = 'Send { user_id, status, code, message, retry_after_seconds }, status as of HTTP, 0 for no answer.';
  end if;
  return private.next_invitation(next_invitation.token, next_invitation.outcome);
end;
$function$;

comment on function "public"."next_invitation"(uuid, jsonb) is 'For the worker function: takes what the auth service said of the person before, and gives the next, { user_id, email }; null: there is none. Service key only. Errors: 22023, PT409 (the call is over: nothing has changed).';

revoke all on function "public"."next_invitation"(uuid, jsonb) from public;

grant execute on function "public"."next_invitation"(uuid, jsonb) to "postgres", "service_role";

-- schemas/public/functions/open_import_session.sql

create or replace function public.open_import_session (
  session_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.describe_session(s) || jsonb_build_object('import', private.describe_import(s.batch_id))
  from private.touch_session(open_import_session.session_id, null) as s;
$function$;

comment on function "public"."open_import_session"(uuid) is 'Goes on where one left: { id, org_id, import_id, created_by, status, current_step, file_name, content_hash, header_hash, state, shared_with: [user ids], created_at, last_accessed_at, import: its document }. An expired session is in progress again. Errors: PT404.';

revoke all on function "public"."open_import_session"(uuid) from public;

grant execute on function "public"."open_import_session"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/pause_import.sql

create or replace function public.pause_import (
  import_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.find_import(pause_import.import_id);
  perform private.pause_import(pause_import.import_id);
  return private.describe_import(pause_import.import_id);
end;
$function$;

comment on function "public"."pause_import"(uuid) is 'Stops the job of an import where it is, until resume_import: tasks in flight end, the others wait. It counts no more as a running job of the organization. Returns the import''s document. Errors: 42501, PT404, PT409 (nothing runs, or it is ending).';

revoke all on function "public"."pause_import"(uuid) from public;

grant execute on function "public"."pause_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/pause_job.sql

create or replace function public.pause_job (
  job_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.pause_own_job(pause_job.job_id);
  return private.read_job(pause_job.job_id);
end;
$function$;

comment on function "public"."pause_job"(uuid) is 'Stops a job where it is, until resume_job: tasks in flight end, the others wait. It counts no more as a running job of the organization. Returns it, as get_job does. Errors: 42501, PT404, PT409 (it has ended, or is about to).';

revoke all on function "public"."pause_job"(uuid) from public;

grant execute on function "public"."pause_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/prepare_import_upload.sql

create or replace function public.prepare_import_upload (
  dataset   text default null::text,
  mode      text default null::text,
  org_id    uuid default null::uuid,
  file_name text default null::text,
  corrects  uuid default null::uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.prepare_upload(
    prepare_import_upload.dataset, prepare_import_upload.mode, prepare_import_upload.org_id, prepare_import_upload.corrects,
    prepare_import_upload.file_name
  );
$function$;

comment on function "public"."prepare_import_upload"(text, text, uuid, text, uuid) is 'Where to upload a file that the caller may make an import of: { storage_path (in the bucket imports), max_bytes }. Nothing is made yet: then create_import with the storage_path, and ingest_import. Errors: 22023, 42501, PT404, PT409 (nothing to correct).';

revoke all on function "public"."prepare_import_upload"(text, text, uuid, text, uuid) from public;

grant execute on function "public"."prepare_import_upload"(text, text, uuid, text, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/preview_import.sql

create or replace function public.preview_import (
  import_id       uuid,
  "full"          boolean default false,
  idempotency_key text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.start_import_job(case when preview_import.full then 'dry_run' else 'preview' end, preview_import.import_id,
    '{}', preview_import.idempotency_key);
$function$;

comment on function "public"."preview_import"(uuid, boolean, text) is 'Tells what the commit of a validated import would do, in the background, with the caller''s rights: counts what there is; with full the rows are really applied and taken back, chunk by chunk, so that triggers and constraints speak too: what they refuse becomes a warning of its row. Validation without commit ends with such counts by itself. Returns the job; its result: { insert, update, unchanged, delete, fail, skip } rows. Errors: 42501, PT404, PT409 (state).';

revoke all on function "public"."preview_import"(uuid, boolean, text) from public;

grant execute on function "public"."preview_import"(uuid, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/redrive_webhook_deliveries.sql

create or replace function public.redrive_webhook_deliveries (
  webhook_id   uuid,
  delivery_ids uuid[] default null::uuid[]
)
  returns integer
  language sql
  set search_path to ''
  AS $function$
  select private.redrive_webhook_deliveries(redrive_webhook_deliveries.webhook_id, redrive_webhook_deliveries.delivery_ids);
$function$;

comment on function "public"."redrive_webhook_deliveries"(uuid, uuid[]) is 'Queues dead letters of a webhook again, those named or all, the oldest first, as far as the queue has room; returns how many. Admins. Errors: PT404, PT409 (switched off), PT429.';

revoke all on function "public"."redrive_webhook_deliveries"(uuid, uuid[]) from public;

grant execute on function "public"."redrive_webhook_deliveries"(uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/remove_job.sql

create or replace function public.remove_job (
  job_id uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.remove_own_job(remove_job.job_id);
$function$;

comment on function "public"."remove_job"(uuid) is 'Takes a job that has ended out of the history, with its errors; what it did stays. A failed one cannot be tried again then. Errors: 42501, PT404, PT409 (not ended).';

revoke all on function "public"."remove_job"(uuid) from public;

grant execute on function "public"."remove_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/report_webhook_delivery.sql

create or replace function public.report_webhook_delivery (
  delivery_id         uuid,
  token               uuid,
  response_status     integer default null::integer,
  error               jsonb   default null::jsonb,
  retry_after_seconds integer default null::integer
)
  returns void
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if (report_webhook_delivery.response_status is null) = (report_webhook_delivery.error is null)
    or report_webhook_delivery.response_status not between 100 and 599
    or report_webhook_delivery.retry_after_seconds < 0 then
    raise exception using
      errcode = '22023',
      message = 'report is not understood',
      hint    = 'Give response_status or error, and retry_after_seconds only where the answer named it.';
  end if;
  perform private.report_webhook_delivery(
    report_webhook_delivery.delivery_id, report_webhook_delivery.token, report_webhook_delivery.response_status,
    report_webhook_delivery.error, report_webhook_delivery.retry_after_seconds);
end;
$function$;

comment on function "public"."report_webhook_delivery"(uuid, uuid, integer, jsonb, integer) is 'Reports what came of a delivery: the status of the answer, or { code, message, details } where there was none. Service key only. Errors: 22023, PT409 (the call is over: nothing has changed).';

revoke all on function "public"."report_webhook_delivery"(uuid, uuid, integer, jsonb, integer) from public;

grant execute on function "public"."report_webhook_delivery"(uuid, uuid, integer, jsonb, integer) to "postgres", "service_role";

-- schemas/public/functions/resume_import.sql

create or replace function public.resume_import (
  import_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.find_import(resume_import.import_id);
  perform private.resume_import(resume_import.import_id);
  return private.describe_import(resume_import.import_id);
end;
$function$;

comment on function "public"."resume_import"(uuid) is 'Lets a paused import go on; its job queues where the organization runs as many as it may. Returns the import''s document. Errors: 42501, PT404, PT409 (not paused).';

revoke all on function "public"."resume_import"(uuid) from public;

grant execute on function "public"."resume_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/resume_job.sql

create or replace function public.resume_job (
  job_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  perform private.resume_own_job(resume_job.job_id);
  return private.read_job(resume_job.job_id);
end;
$function$;

comment on function "public"."resume_job"(uuid) is 'Lets a paused job go on; it queues where the organization runs as many as it may. Returns it, as get_job does. Errors: 42501, PT404, PT409 (not paused).';

revoke all on function "public"."resume_job"(uuid) from public;

grant execute on function "public"."resume_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/retry_import.sql

create or replace function public.retry_import (
  import_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_job_type text;
begin
  perform private.find_import(retry_import.import_id);
  select j.job_type into v_job_type
  from public.scheduled_jobs as j
  where j.batch_id = retry_import.import_id and j.params -> 'dry_run' is distinct from 'true'
  order by j.created_at desc
  limit 1;

  perform private.start_import_job(coalesce(v_job_type, 'validate'), retry_import.import_id, '{"retry": true}', null);
  return private.describe_import(retry_import.import_id);
end;
$function$;

comment on function "public"."retry_import"(uuid) is 'Tries the tasks again for which a failed import was given up, and those after them, with the caller''s rights; what was done stays and its counts go on. Returns the import''s document, with the new job. Errors: 42501, PT404, PT409 (nothing to try again).';

revoke all on function "public"."retry_import"(uuid) from public;

grant execute on function "public"."retry_import"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/retry_invitations.sql

create or replace function public.retry_invitations (
  org_id   uuid   default null::uuid,
  user_ids uuid[] default null::uuid[]
)
  returns integer
  language sql
  set search_path to ''
  AS $function$
  select private.retry_invitations(retry_invitations.org_id, retry_invitations.user_ids);
$function$;

comment on function "public"."retry_invitations"(uuid, uuid[]) is 'Sends invitations again: those that failed, or of user_ids those that failed or were sent, as far as people have not confirmed their address since. Returns how many were queued. For admins; org_id: the caller''s own unless given, the service key must name it. Errors: 42501, 22023 (no organization), PT404.';

revoke all on function "public"."retry_invitations"(uuid, uuid[]) from public;

grant execute on function "public"."retry_invitations"(uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/retry_job.sql

create or replace function public.retry_job (
  job_id uuid
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_new record := private.require_retriable(retry_job.job_id);
  v_id  uuid;
begin
  insert into public.scheduled_jobs (job_type, params) values (v_new.job_type, v_new.params) returning id into v_id;
  return private.read_job(v_id);
end;
$function$;

comment on function "public"."retry_job"(uuid) is 'Tries the tasks again for which a failed job was given up, and those after them, with the caller''s rights; what was done stays and its counts go on. Returns the new job, as get_job does. Errors: 42501, PT404, PT409 (nothing to try again), PT429.';

revoke all on function "public"."retry_job"(uuid) from public;

grant execute on function "public"."retry_job"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/rotate_webhook_secret.sql

create or replace function public.rotate_webhook_secret (
  webhook_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.rotate_webhook_secret(rotate_webhook_secret.webhook_id);
$function$;

comment on function "public"."rotate_webhook_secret"(uuid) is 'Gives a webhook a new secret, shown this once: the webhook with its secret. For a day deliveries are signed with the one before, too. Admins. Errors: PT404.';

revoke all on function "public"."rotate_webhook_secret"(uuid) from public;

grant execute on function "public"."rotate_webhook_secret"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/run_import_set.sql

create or replace function public.run_import_set (
  set_id uuid,
  commit boolean default true,
  force  boolean default false
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  v_set public.import_sets := private.find_import_set(run_import_set.set_id);
  v_id  uuid;
begin
  for v_id in
    select b.id
    from public.import_batches as b
    join public.datasets as d on d.key = b.dataset
    where b.set_id = v_set.id and b.status = 'staged'
    order by d.position, b.created_at
  loop
    perform private.start_import_job('validate', v_id,
      jsonb_build_object('commit', run_import_set.commit, 'force', run_import_set.force), null);
  end loop;
  return private.describe_import_set(v_set);
end;
$function$;

comment on function "public"."run_import_set"(uuid, boolean, boolean) is 'Starts every staged import of a set, as validate_import does: all of them or none. Each waits for those that it refers to. Returns the set''s document. Errors: 22023 (circle, transform), 42501, PT404, PT409 (the same file again without force), PT413, PT422.';

revoke all on function "public"."run_import_set"(uuid, boolean, boolean) from public;

grant execute on function "public"."run_import_set"(uuid, boolean, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/run_sync.sql

create or replace function public.run_sync (
  source_id uuid,
  force     boolean default false
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.run_source(run_sync.source_id, run_sync.force);
$function$;

comment on function "public"."run_sync"(uuid, boolean) is 'Syncs a source now, in the background, with its owner''s rights; force: also what has not changed. For admins. Returns the run: { id, org_id, source_id, source, dataset, schedule_id, status, is_forced, reason, job_id, import_id, delete_import_id, fetched, known_count, deletion_count, skipped_count, counts, error, started_by, approved_by, approved_at, created_at, started_at, finished_at }. Errors: PT404, PT409 (manual; not active; a run is under way, where the source is not to wait for it).';

revoke all on function "public"."run_sync"(uuid, boolean) from public;

grant execute on function "public"."run_sync"(uuid, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/save_import_session.sql

create or replace function public.save_import_session (
  session_id uuid,
  state      jsonb
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
declare
  c_most_bytes constant integer := 65536;
begin
  if jsonb_typeof(save_import_session.state) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'state must be an object';
  end if;
  if octet_length(save_import_session.state::text) > c_most_bytes then
    raise exception using
      errcode = 'PT413',
      message = 'state is too large',
      detail  = format('%s bytes', octet_length(save_import_session.state::text)),
      hint    = format('At most %s.', c_most_bytes);
  end if;
  return private.describe_session(s)
  from private.touch_session(save_import_session.session_id, save_import_session.state) as s;
end;
$function$;

comment on function "public"."save_import_session"(uuid, jsonb) is 'Keeps what a client needs to go on later (an object of at most 64 KB), in place of what was there; returns the session without its import. Errors: 22023, 42501 (a viewer''s), PT404, PT413.';

revoke all on function "public"."save_import_session"(uuid, jsonb) from public;

grant execute on function "public"."save_import_session"(uuid, jsonb) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/save_import_template.sql

create or replace function public.save_import_template (
  import_id   uuid,
  name        text,
  description text    default null::text,
  is_global   boolean default false
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.describe_template(t)
  from private.save_template(
    save_import_template.import_id, btrim(save_import_template.name), save_import_template.description,
    coalesce(save_import_template.is_global, false)
  ) as t;
$function$;

comment on function "public"."save_import_template"(uuid, text, text, boolean) is 'Saves mapping and options of an import under a name, for later files like it; returns the template. Under a name that is there it makes the next version and retires the one before. is_global: for all organizations (system admins). Errors: 22023 (transform), 23502 or 23514 (name), 42501, PT404, PT409 (no file yet).';

revoke all on function "public"."save_import_template"(uuid, text, text, boolean) from public;

grant execute on function "public"."save_import_template"(uuid, text, text, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/send_test_webhook.sql

create or replace function public.send_test_webhook (
  webhook_id uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.send_test_webhook(send_test_webhook.webhook_id);
$function$;

comment on function "public"."send_test_webhook"(uuid) is 'Queues the event webhook.test for a webhook; returns the delivery. Admins. Errors: PT404, PT409 (switched off), PT429.';

revoke all on function "public"."send_test_webhook"(uuid) from public;

grant execute on function "public"."send_test_webhook"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/set_import_mapping.sql

create or replace function public.set_import_mapping (
  import_id   uuid,
  mapping     jsonb  default null::jsonb,
  options     jsonb  default null::jsonb,
  template_id uuid   default null::uuid,
  depends_on  uuid[] default null::uuid[]
)
  returns jsonb
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if jsonb_typeof(coalesce(set_import_mapping.options, '{}')) <> 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;
  perform private.find_import(set_import_mapping.import_id);
  perform private.write_mapping(
    set_import_mapping.import_id, set_import_mapping.mapping, set_import_mapping.options, set_import_mapping.template_id,
    set_import_mapping.depends_on
  );
  return private.describe_import(set_import_mapping.import_id);
end;
$function$;

comment on function "public"."set_import_mapping"(uuid, jsonb, jsonb, uuid, uuid[]) is 'Replaces the mapping and changes the options given; either may be left out. The import must be validated (again) after it. Returns its document. mapping: { field: "column" | { column | columns, transforms, default } }; options: duplicates, on_error, blank. template_id: takes the mapping and options of a template, but for those that are given here. An import with secrets is its sender''s to map. depends_on: the imports that must be completed before this one is validated. Errors: 22023, 42501, PT404, PT409, PT422 (the file lacks columns of the template).';

revoke all on function "public"."set_import_mapping"(uuid, jsonb, jsonb, uuid, uuid[]) from public;

grant execute on function "public"."set_import_mapping"(uuid, jsonb, jsonb, uuid, uuid[]) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/set_setting.sql

create or replace function public.set_setting (
  key    text,
  value  jsonb,
  org_id uuid  default null::uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.write_setting(set_setting.key, set_setting.value, set_setting.org_id);
$function$;

comment on function "public"."set_setting"(text, jsonb, uuid) is 'Sets a limit or switch for one organization, or for all (org_id null). Who may is part of the setting: see list_settings. Errors: 22023 (unknown, wrong type, out of bounds), 42501.';

revoke all on function "public"."set_setting"(text, jsonb, uuid) from public;

grant execute on function "public"."set_setting"(text, jsonb, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/set_sync_secret.sql

create or replace function public.set_sync_secret (
  name   text,
  value  text,
  org_id uuid default null::uuid
)
  returns void
  language sql
  set search_path to ''
  AS $function$
  select private.write_sync_secret(set_sync_secret.org_id, set_sync_secret.name, set_sync_secret.value);
$function$;

comment on function "public"."set_sync_secret"(text, text, uuid) is 'Keeps a secret of the organization in Vault, for its sources to name, or replaces it; it cannot be read again. For admins. Errors: 22023, 42501, PT404, PT429 (too many).';

revoke all on function "public"."set_sync_secret"(text, text, uuid) from public;

grant execute on function "public"."set_sync_secret"(text, text, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/share_import_session.sql

create or replace function public.share_import_session (
  session_id uuid,
  user_id    uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.share_session(share_import_session.session_id, share_import_session.user_id);
$function$;

comment on function "public"."share_import_session"(uuid, uuid) is 'Lets another person of the organization see the session and, if they are a member, work on its import; it stays its owner''s. Returns the session. Errors: 22023 (person), 42501 (not the owner), PT404.';

revoke all on function "public"."share_import_session"(uuid, uuid) from public;

grant execute on function "public"."share_import_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/suggest_import_mapping.sql

create or replace function public.suggest_import_mapping (
  import_id uuid
)
  returns jsonb
  language plpgsql
  stable
  set search_path to ''
  AS $function$
declare
  v_batch    public.import_batches := private.find_import(suggest_import_mapping.import_id);
  v_template public.import_templates;
begin
  if v_batch.columns is null then
    raise exception using
      errcode = 'PT409',
      message = 'import has no columns yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Wait until its file is staged.';
  end if;
  v_batch.mapping := null;
  v_template := private.choose_template(v_batch, v_batch.columns);
  return case
    when v_template.id is not null then private.template_suggestion(v_template)
    else private.suggest_mapping(v_batch.dataset, private.file_columns(v_batch, v_batch.columns), v_batch.sample)
  end;
end;
$function$;

comment on function "public"."suggest_import_mapping"(uuid) is 'Which column probably fills which field: { field: { column, confidence 0 to 1, reason, transforms } }. reason: template, name, label, alias, likeness (of names) or content. transforms: what the values of the sample need. Errors: PT404, PT409.';

revoke all on function "public"."suggest_import_mapping"(uuid) from public;

grant execute on function "public"."suggest_import_mapping"(uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/take_webhook_deliveries.sql

create or replace function public.take_webhook_deliveries (
  token uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.take_webhook_deliveries(take_webhook_deliveries.token);
$function$;

comment on function "public"."take_webhook_deliveries"(uuid) is 'What a call of the worker function has to send: [{ id, url, headers, body, allow_private }], signed; empty once the call is over. Service key only.';

revoke all on function "public"."take_webhook_deliveries"(uuid) from public;

grant execute on function "public"."take_webhook_deliveries"(uuid) to "postgres", "service_role";

-- schemas/public/functions/transfer_import_session.sql

create or replace function public.transfer_import_session (
  session_id uuid,
  user_id    uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.transfer_session(transfer_import_session.session_id, transfer_import_session.user_id);
$function$;

comment on function "public"."transfer_import_session"(uuid, uuid) is 'An admin hands a session, with the right to work on its import, to a member of the same organization; its former owner has it no more. Returns the session. Errors: 22023 (person), 42501, PT404, PT409 (a job of it is running).';

revoke all on function "public"."transfer_import_session"(uuid, uuid) from public;

grant execute on function "public"."transfer_import_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/undo_import.sql

create or replace function public.undo_import (
  import_id       uuid,
  dry_run         boolean default false,
  idempotency_key text    default null::text
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.start_import_job('undo', undo_import.import_id,
    jsonb_build_object('dry_run', coalesce(undo_import.dry_run, false)), undo_import.idempotency_key);
$function$;

comment on function "public"."undo_import"(uuid, boolean, text) is 'Takes back what an import did, in the background, with the caller''s rights: inserted records are deleted, updated ones get their former values, deleted ones return with their ids. A record that somebody changed since, that others refer to, or that the caller may not write, is kept. Returns the job; its result, also with dry_run, which changes nothing: { reversed, changed, missing, referenced, denied, refused } records. Errors: 42501, PT404, PT409 (state, nothing to undo).';

revoke all on function "public"."undo_import"(uuid, boolean, text) from public;

grant execute on function "public"."undo_import"(uuid, boolean, text) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/unshare_import_session.sql

create or replace function public.unshare_import_session (
  session_id uuid,
  user_id    uuid
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.unshare_session(unshare_import_session.session_id, unshare_import_session.user_id);
$function$;

comment on function "public"."unshare_import_session"(uuid, uuid) is 'Takes a share back, or gives up one''s own. A job that the person has running ends at its next chunk with permission_denied. Returns the session. Errors: 42501 (not the owner), PT404.';

revoke all on function "public"."unshare_import_session"(uuid, uuid) from public;

grant execute on function "public"."unshare_import_session"(uuid, uuid) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/update_import_session_access.sql

create or replace function public.update_import_session_access()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.last_accessed_at := now();
  return new;
end;
$function$;

comment on function "public"."update_import_session_access"() is 'Trigger: any change to a session is an access to it, but that it expires for the want of one.';

revoke all on function "public"."update_import_session_access"() from public;

grant execute on function "public"."update_import_session_access"() to "postgres", "service_role";

-- schemas/public/functions/update_sync_progress_elapsed.sql

create or replace function public.update_sync_progress_elapsed()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if new.status in ('completed', 'failed', 'cancelled') then
    new.completed_at := coalesce(new.completed_at, clock_timestamp());
  end if;
  new.elapsed_seconds := greatest(
    extract(epoch from coalesce(new.completed_at, clock_timestamp()) - new.started_at), 0);
  new.speed_items_per_min := case
    when new.processed_count > 0 and new.elapsed_seconds > 0 then new.processed_count / new.elapsed_seconds * 60
  end;
  new.eta_seconds := case
    when new.completed_at is not null then 0
    when new.speed_items_per_min > 0 then (new.total_items - new.processed_count) / new.speed_items_per_min * 60
  end;
  return new;
end;
$function$;

comment on function "public"."update_sync_progress_elapsed"() is 'Trigger: derives elapsed_seconds, speed_items_per_min and eta_seconds.';

revoke all on function "public"."update_sync_progress_elapsed"() from public;

grant execute on function "public"."update_sync_progress_elapsed"() to "postgres", "service_role";

-- schemas/public/functions/update_sync_progress_timestamp.sql

create or replace function public.update_sync_progress_timestamp()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$function$;

comment on function "public"."update_sync_progress_timestamp"() is 'Trigger: stamps updated_at.';

revoke all on function "public"."update_sync_progress_timestamp"() from public;

grant execute on function "public"."update_sync_progress_timestamp"() to "postgres", "service_role";

-- schemas/public/functions/validate_import.sql

create or replace function public.validate_import (
  import_id       uuid,
  commit          boolean default false,
  idempotency_key text    default null::text,
  force           boolean default false
)
  returns jsonb
  language sql
  set search_path to ''
  AS $function$
  select private.start_import_job('validate', validate_import.import_id,
    jsonb_build_object('commit', validate_import.commit, 'force', validate_import.force), validate_import.idempotency_key);
$function$;

comment on function "public"."validate_import"(uuid, boolean, text, boolean) is 'Judges every row, in the background; with commit the good rows are then applied without a further call. Returns the job: { id, job_type, status, phase, import_id, total, done, failed, result, error, created_at, started_at, finished_at }. Errors: 22023 (transform), 42501, PT404, PT409 (state; the same file again without force), PT413 (too large for on_error=abort), PT422 (required field unmapped).';

revoke all on function "public"."validate_import"(uuid, boolean, text, boolean) from public;

grant execute on function "public"."validate_import"(uuid, boolean, text, boolean) to "authenticated", "postgres", "service_role";

-- schemas/public/functions/validate_sync_progress_totals.sql

create or replace function public.validate_sync_progress_totals()
  returns trigger
  language plpgsql
  set search_path to ''
  AS $function$
begin
  if least(new.total_items, new.processed_count, new.current_item, new.failed_count) < 0
    or new.processed_count > new.total_items
    or new.failed_count > new.processed_count then
    raise exception using
      errcode = '22023',
      message = 'progress counts do not fit together',
      detail  = format('total %s, processed %s, current %s, failed %s',
        new.total_items, new.processed_count, new.current_item, new.failed_count);
  end if;
  return new;
end;
$function$;

comment on function "public"."validate_sync_progress_totals"() is 'Trigger: 0 <= failed <= processed <= total. Errors: 22023.';

revoke all on function "public"."validate_sync_progress_totals"() from public;

grant execute on function "public"."validate_sync_progress_totals"() to "postgres", "service_role";

-- schemas/public/schema.sql

comment on schema "public" is 'standard public schema';

revoke all on schema "public" from public;

grant usage on schema "public" to public;

revoke all on schema "public" from "anon";

grant usage on schema "public" to "anon";

revoke all on schema "public" from "authenticated";

grant usage on schema "public" to "authenticated";

revoke all on schema "public" from "pg_database_owner";

grant create, usage on schema "public" to "pg_database_owner";

revoke all on schema "public" from "postgres";

grant create on schema "public" to "postgres";

revoke all on schema "public" from "service_role";

grant usage on schema "public" to "service_role";

-- schemas/public/tables/contacts.sql

create table "public"."contacts" (
  "id"          uuid                     not null default gen_random_uuid(),
  "org_id"      uuid                     not null,
  "external_id" text                     not null,
  "customer_id" uuid                     not null,
  "first_name"  text,
  "last_name"   text                     not null,
  "job_title"   text,
  "email"       text,
  "phone"       text,
  "is_primary"  boolean                  not null default false,
  "notes"       text,
  "created_at"  timestamp with time zone not null default now(),
  "updated_at"  timestamp with time zone not null default now(),
  constraint "contacts_external_id_check" check ((length(external_id) <= 100)),
  constraint "contacts_first_name_check" check ((length(first_name) <= 100)),
  constraint "contacts_last_name_check" check ((length(last_name) <= 100)),
  constraint "contacts_org_id_external_id_key" unique (org_id, external_id),
  constraint "contacts_pkey" primary key (id),
  constraint "contacts_customer_id_fkey" foreign key (org_id, customer_id) references public.customers(org_id, id) on delete restrict,
  constraint "contacts_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."contacts"
  enable row level security;

create index contacts_customer_id_idx on public.contacts using btree (customer_id, org_id);

create trigger _100_touch_updated_at
  before update on public.contacts
  for each row
  execute function private.tg__touch_updated_at();

create policy "contacts_delete_admin" on "public"."contacts"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "contacts_insert_member" on "public"."contacts"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "contacts_select_viewer" on "public"."contacts"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "contacts_update_member" on "public"."contacts"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."contacts"."external_id" is 'The contact''s number in the organization''s own books: the key of imports.';

comment on table "public"."contacts" is 'Whom one talks to at a customer.';

revoke all ("customer_id") on table "public"."contacts" from "authenticated";

grant insert ("customer_id"), update ("customer_id") on table "public"."contacts" to "authenticated";

revoke all ("email") on table "public"."contacts" from "authenticated";

grant insert ("email"), update ("email") on table "public"."contacts" to "authenticated";

revoke all ("external_id") on table "public"."contacts" from "authenticated";

grant insert ("external_id"), update ("external_id") on table "public"."contacts" to "authenticated";

revoke all ("first_name") on table "public"."contacts" from "authenticated";

grant insert ("first_name"), update ("first_name") on table "public"."contacts" to "authenticated";

revoke all ("id") on table "public"."contacts" from "authenticated";

grant insert ("id") on table "public"."contacts" to "authenticated";

revoke all ("is_primary") on table "public"."contacts" from "authenticated";

grant insert ("is_primary"), update ("is_primary") on table "public"."contacts" to "authenticated";

revoke all ("job_title") on table "public"."contacts" from "authenticated";

grant insert ("job_title"), update ("job_title") on table "public"."contacts" to "authenticated";

revoke all ("last_name") on table "public"."contacts" from "authenticated";

grant insert ("last_name"), update ("last_name") on table "public"."contacts" to "authenticated";

revoke all ("notes") on table "public"."contacts" from "authenticated";

grant insert ("notes"), update ("notes") on table "public"."contacts" to "authenticated";

revoke all ("org_id") on table "public"."contacts" from "authenticated";

grant insert ("org_id") on table "public"."contacts" to "authenticated";

revoke all ("phone") on table "public"."contacts" from "authenticated";

grant insert ("phone"), update ("phone") on table "public"."contacts" to "authenticated";

revoke all on table "public"."contacts" from "authenticated";

grant delete, select on table "public"."contacts" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."contacts" to "postgres";

revoke all ("customer_id") on table "public"."contacts" from "service_role";

grant insert ("customer_id"), update ("customer_id") on table "public"."contacts" to "service_role";

revoke all ("email") on table "public"."contacts" from "service_role";

grant insert ("email"), update ("email") on table "public"."contacts" to "service_role";

revoke all ("external_id") on table "public"."contacts" from "service_role";

grant insert ("external_id"), update ("external_id") on table "public"."contacts" to "service_role";

revoke all ("first_name") on table "public"."contacts" from "service_role";

grant insert ("first_name"), update ("first_name") on table "public"."contacts" to "service_role";

revoke all ("id") on table "public"."contacts" from "service_role";

grant insert ("id") on table "public"."contacts" to "service_role";

revoke all ("is_primary") on table "public"."contacts" from "service_role";

grant insert ("is_primary"), update ("is_primary") on table "public"."contacts" to "service_role";

revoke all ("job_title") on table "public"."contacts" from "service_role";

grant insert ("job_title"), update ("job_title") on table "public"."contacts" to "service_role";

revoke all ("last_name") on table "public"."contacts" from "service_role";

grant insert ("last_name"), update ("last_name") on table "public"."contacts" to "service_role";

revoke all ("notes") on table "public"."contacts" from "service_role";

grant insert ("notes"), update ("notes") on table "public"."contacts" to "service_role";

revoke all ("org_id") on table "public"."contacts" from "service_role";

grant insert ("org_id") on table "public"."contacts" to "service_role";

revoke all ("phone") on table "public"."contacts" from "service_role";

grant insert ("phone"), update ("phone") on table "public"."contacts" to "service_role";

revoke all on table "public"."contacts" from "service_role";

grant delete, select on table "public"."contacts" to "service_role";

-- schemas/public/tables/customers.sql

create table "public"."customers" (
  "id"           uuid                     not null default gen_random_uuid(),
  "org_id"       uuid                     not null,
  "external_id"  text                     not null,
  "name"         text                     not null,
  "email"        text,
  "phone"        text,
  "street"       text,
  "postal_code"  text,
  "city"         text,
  "country"      text,
  "segment"      text,
  "credit_limit" numeric(12,2),
  "signup_date"  date,
  "is_active"    boolean                  not null default true,
  "notes"        text,
  "created_at"   timestamp with time zone not null default now(),
  "updated_at"   timestamp with time zone not null default now(),
  constraint "customers_country_check" check ((country ~ '^[A-Z]{2}$'::text)),
  constraint "customers_credit_limit_check" check ((credit_limit >= (0)::numeric)),
  constraint "customers_external_id_check" check ((length(external_id) <= 100)),
  constraint "customers_id_org_id_key" unique (id, org_id),
  constraint "customers_name_check" check ((length(name) <= 200)),
  constraint "customers_org_id_external_id_key" unique (org_id, external_id),
  constraint "customers_pkey" primary key (id),
  constraint "customers_segment_check" check ((segment = ANY (ARRAY['key_account'::text, 'regular'::text, 'small'::text]))),
  constraint "customers_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."customers"
  enable row level security;

create trigger _100_touch_updated_at
  before update on public.customers
  for each row
  execute function private.tg__touch_updated_at();

create policy "customers_delete_admin" on "public"."customers"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "customers_insert_member" on "public"."customers"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "customers_select_viewer" on "public"."customers"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "customers_update_member" on "public"."customers"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."customers"."country" is 'ISO 3166-1 alpha-2, upper case.';

comment on column "public"."customers"."external_id" is 'The customer''s number in the organization''s own books: the key of imports.';

comment on column "public"."customers"."segment" is 'How the organization treats them.';

comment on table "public"."customers" is 'Whom an organization sells to.';

revoke all ("city") on table "public"."customers" from "authenticated";

grant insert ("city"), update ("city") on table "public"."customers" to "authenticated";

revoke all ("country") on table "public"."customers" from "authenticated";

grant insert ("country"), update ("country") on table "public"."customers" to "authenticated";

revoke all ("credit_limit") on table "public"."customers" from "authenticated";

grant insert ("credit_limit"), update ("credit_limit") on table "public"."customers" to "authenticated";

revoke all ("email") on table "public"."customers" from "authenticated";

grant insert ("email"), update ("email") on table "public"."customers" to "authenticated";

revoke all ("external_id") on table "public"."customers" from "authenticated";

grant insert ("external_id"), update ("external_id") on table "public"."customers" to "authenticated";

revoke all ("id") on table "public"."customers" from "authenticated";

grant insert ("id") on table "public"."customers" to "authenticated";

revoke all ("is_active") on table "public"."customers" from "authenticated";

grant insert ("is_active"), update ("is_active") on table "public"."customers" to "authenticated";

revoke all ("name") on table "public"."customers" from "authenticated";

grant insert ("name"), update ("name") on table "public"."customers" to "authenticated";

revoke all ("notes") on table "public"."customers" from "authenticated";

grant insert ("notes"), update ("notes") on table "public"."customers" to "authenticated";

revoke all ("org_id") on table "public"."customers" from "authenticated";

grant insert ("org_id") on table "public"."customers" to "authenticated";

revoke all ("phone") on table "public"."customers" from "authenticated";

grant insert ("phone"), update ("phone") on table "public"."customers" to "authenticated";

revoke all ("postal_code") on table "public"."customers" from "authenticated";

grant insert ("postal_code"), update ("postal_code") on table "public"."customers" to "authenticated";

revoke all ("segment") on table "public"."customers" from "authenticated";

grant insert ("segment"), update ("segment") on table "public"."customers" to "authenticated";

revoke all ("signup_date") on table "public"."customers" from "authenticated";

grant insert ("signup_date"), update ("signup_date") on table "public"."customers" to "authenticated";

revoke all ("street") on table "public"."customers" from "authenticated";

grant insert ("street"), update ("street") on table "public"."customers" to "authenticated";

revoke all on table "public"."customers" from "authenticated";

grant delete, select on table "public"."customers" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."customers" to "postgres";

revoke all ("city") on table "public"."customers" from "service_role";

grant insert ("city"), update ("city") on table "public"."customers" to "service_role";

revoke all ("country") on table "public"."customers" from "service_role";

grant insert ("country"), update ("country") on table "public"."customers" to "service_role";

revoke all ("credit_limit") on table "public"."customers" from "service_role";

grant insert ("credit_limit"), update ("credit_limit") on table "public"."customers" to "service_role";

revoke all ("email") on table "public"."customers" from "service_role";

grant insert ("email"), update ("email") on table "public"."customers" to "service_role";

revoke all ("external_id") on table "public"."customers" from "service_role";

grant insert ("external_id"), update ("external_id") on table "public"."customers" to "service_role";

revoke all ("id") on table "public"."customers" from "service_role";

grant insert ("id") on table "public"."customers" to "service_role";

revoke all ("is_active") on table "public"."customers" from "service_role";

grant insert ("is_active"), update ("is_active") on table "public"."customers" to "service_role";

revoke all ("name") on table "public"."customers" from "service_role";

grant insert ("name"), update ("name") on table "public"."customers" to "service_role";

revoke all ("notes") on table "public"."customers" from "service_role";

grant insert ("notes"), update ("notes") on table "public"."customers" to "service_role";

revoke all ("org_id") on table "public"."customers" from "service_role";

grant insert ("org_id") on table "public"."customers" to "service_role";

revoke all ("phone") on table "public"."customers" from "service_role";

grant insert ("phone"), update ("phone") on table "public"."customers" to "service_role";

revoke all ("postal_code") on table "public"."customers" from "service_role";

grant insert ("postal_code"), update ("postal_code") on table "public"."customers" to "service_role";

revoke all ("segment") on table "public"."customers" from "service_role";

grant insert ("segment"), update ("segment") on table "public"."customers" to "service_role";

revoke all ("signup_date") on table "public"."customers" from "service_role";

grant insert ("signup_date"), update ("signup_date") on table "public"."customers" to "service_role";

revoke all ("street") on table "public"."customers" from "service_role";

grant insert ("street"), update ("street") on table "public"."customers" to "service_role";

revoke all on table "public"."customers" from "service_role";

grant delete, select on table "public"."customers" to "service_role";

-- schemas/public/tables/dataset_fields.sql

create table "public"."dataset_fields" (
  "dataset"     text    not null,
  "name"        text    not null,
  "column_name" text    not null,
  "label"       text    not null,
  "type"        text    not null,
  "is_required" boolean not null,
  "is_secret"   boolean not null default false,
  "aliases"     text[]  not null default '{}'::text[],
  "rules"       jsonb   not null default '{}'::jsonb,
  "reference"   jsonb,
  "chunk_rows"  integer,
  "position"    integer not null,
  constraint "dataset_fields_chunk_rows_check" check ((chunk_rows > 0)),
  constraint "dataset_fields_pkey" primary key (dataset, name),
  constraint "dataset_fields_dataset_fkey" foreign key (dataset) references public.datasets(key) on delete cascade
);

alter table "public"."dataset_fields"
  enable row level security;

create trigger _300_guard_rules
  before insert or update of rules, is_secret, reference on public.dataset_fields
  for each row
  execute function private.tg_dataset_fields__guard_rules();

create policy "dataset_fields_select" on "public"."dataset_fields"
  for select
  to "authenticated"
  using (true);

comment on column "public"."dataset_fields"."aliases" is 'Other names that files give the column, for the suggestion of mappings.';

comment on column "public"."dataset_fields"."chunk_rows" is 'Most rows that a task writes where the field is mapped: its values are dear, such as passwords to be hashed.';

comment on column "public"."dataset_fields"."column_name" is 'The column that it fills.';

comment on column "public"."dataset_fields"."is_required" is 'A new record needs a value: not null without a default, or part of the key.';

comment on column "public"."dataset_fields"."is_secret" is 'Its values are shown nowhere, and stay staged only until they are applied. Taken as they are, from a column of their own.';

comment on column "public"."dataset_fields"."reference" is 'Another record, which files name by its key: { dataset, field }. Looked up within the organization.';

comment on column "public"."dataset_fields"."rules" is 'Any of { lower: boolean, format: email|url|phone|uuid, pattern, one_of: [text], min, max, min_length, max_length, unique_in_file: boolean, same_in_group: boolean }. lower: the value becomes lower case before anything else looks at it.';

comment on column "public"."dataset_fields"."type" is 'PostgreSQL type, as format_type gives it; of a reference, that of the key.';

comment on table "public"."dataset_fields" is 'The columns of a dataset that a file may fill, with the rules for each.';

revoke all on table "public"."dataset_fields" from "authenticated";

grant select on table "public"."dataset_fields" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."dataset_fields" to "postgres";

revoke all on table "public"."dataset_fields" from "service_role";

grant select on table "public"."dataset_fields" to "service_role";

-- schemas/public/tables/datasets.sql

create table "public"."datasets" (
  "key"            text                     not null,
  "label"          text                     not null,
  "target"         text                     not null,
  "id_column"      text                     not null,
  "org_column"     text,
  "key_fields"     text[]                   not null,
  "group_field"    text,
  "lines"          text,
  "apply_function" text,
  "check_function" text,
  "position"       integer                  not null,
  "created_at"     timestamp with time zone not null default now(),
  constraint "datasets_apply_function_check" check (((apply_function IS NOT NULL) OR ((num_nonnulls(group_field, check_function) = 0) AND (org_column IS NOT NULL)))),
  constraint "datasets_function_key_check" check (((apply_function IS NULL) OR (group_field IS NOT NULL) OR (cardinality(key_fields) = 1))),
  constraint "datasets_group_field_check" check ((group_field = ANY (key_fields))),
  constraint "datasets_key_check" check ((key ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
  constraint "datasets_key_fields_check" check ((cardinality(key_fields) > 0)),
  constraint "datasets_lines_check" check (((group_field IS NULL) = (lines IS NULL))),
  constraint "datasets_pkey" primary key (key)
);

alter table "public"."datasets"
  enable row level security;

alter table "public"."datasets"
  add column "allowed_modes" public.import_mode[] not null;

alter table "public"."datasets"
  add column "required_role" public.org_role not null default 'member'::public.org_role;

alter table "public"."datasets"
  add column "entity_type" public.sync_entity_type not null;

alter table "public"."datasets"
  add constraint "datasets_allowed_modes_check" check ((cardinality(allowed_modes) > 0));

alter table "public"."datasets"
  add constraint "datasets_required_role_check" check ((required_role <> 'viewer'::public.org_role));

create policy "datasets_select" on "public"."datasets"
  for select
  to "authenticated"
  using (true);

comment on column "public"."datasets"."apply_function" is 'What writes records with lines, and others where a table is not enough: (org_id uuid, mode import_mode, clear text[], rows <type>[]) returns void. mode: insert (none of the records exists), update, delete (all of them do, and are locked); clear: columns that a blank clears.';

comment on column "public"."datasets"."check_function" is 'What judges rows beside the rules: (org_id uuid, mode import_mode, rows <type>[]) returns table (place integer, field text, code text, message text, value text), an error each; place: of the row in rows, from 1.';

comment on column "public"."datasets"."group_field" is 'Where several rows of a file make one record, a record with lines: the field by which they belong together, the key of the record.';

comment on column "public"."datasets"."id_column" is 'Its primary key, a uuid. Never mapped.';

comment on column "public"."datasets"."key_fields" is 'Fields by which a row of a file and a record are the same: unique within the organization.';

comment on column "public"."datasets"."lines" is 'The table of those lines, with its schema.';

comment on column "public"."datasets"."org_column" is 'Its organization. Never mapped: always the import''s. Null of a view that shows each caller what they may manage and no more.';

comment on column "public"."datasets"."required_role" is 'The least role that imports into it. Where it is admin, only admins see its imports.';

comment on column "public"."datasets"."target" is 'The table, with its schema; where a function writes, perhaps a view that shows the records.';

comment on table "public"."datasets" is 'What can be imported: a table that private.register_dataset found fit, or what a function writes.';

revoke all on table "public"."datasets" from "authenticated";

grant select on table "public"."datasets" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."datasets" to "postgres";

revoke all on table "public"."datasets" from "service_role";

grant select on table "public"."datasets" to "service_role";

-- schemas/public/tables/delivery_routes.sql

create table "public"."delivery_routes" (
  "id"                uuid                     not null default gen_random_uuid(),
  "org_id"            uuid                     not null,
  "route_number"      text                     not null,
  "start_location_id" uuid                     not null,
  "scheduled_on"      date                     not null,
  "departs_at"        time without time zone,
  "driver"            text,
  "vehicle"           text,
  "status"            text                     not null default 'planned'::text,
  "created_at"        timestamp with time zone not null default now(),
  "updated_at"        timestamp with time zone not null default now(),
  constraint "delivery_routes_driver_check" check ((length(driver) <= 200)),
  constraint "delivery_routes_id_org_id_key" unique (id, org_id),
  constraint "delivery_routes_org_id_route_number_key" unique (org_id, route_number),
  constraint "delivery_routes_pkey" primary key (id),
  constraint "delivery_routes_route_number_check" check ((length(route_number) <= 100)),
  constraint "delivery_routes_status_check" check ((status = ANY (ARRAY['planned'::text, 'under_way'::text, 'completed'::text, 'cancelled'::text]))),
  constraint "delivery_routes_vehicle_check" check ((length(vehicle) <= 100)),
  constraint "delivery_routes_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "delivery_routes_start_location_id_fkey" foreign key (org_id, start_location_id) references public.warehouse_locations(org_id, id) on delete restrict
);

alter table "public"."delivery_routes"
  enable row level security;

create index delivery_routes_start_location_id_idx on public.delivery_routes using btree (start_location_id, org_id);

create trigger _100_touch_updated_at
  before update on public.delivery_routes
  for each row
  execute function private.tg__touch_updated_at();

create policy "delivery_routes_delete_admin" on "public"."delivery_routes"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "delivery_routes_insert_member" on "public"."delivery_routes"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "delivery_routes_select_viewer" on "public"."delivery_routes"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "delivery_routes_update_member" on "public"."delivery_routes"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."delivery_routes"."departs_at" is 'Time of day where the route starts, as the times of its stops.';

comment on column "public"."delivery_routes"."route_number" is 'The route''s number: the key of imports.';

comment on table "public"."delivery_routes" is 'A vehicle''s way to customers on a day. The stops are in delivery_stops.';

revoke all ("departs_at") on table "public"."delivery_routes" from "authenticated";

grant insert ("departs_at"), update ("departs_at") on table "public"."delivery_routes" to "authenticated";

revoke all ("driver") on table "public"."delivery_routes" from "authenticated";

grant insert ("driver"), update ("driver") on table "public"."delivery_routes" to "authenticated";

revoke all ("id") on table "public"."delivery_routes" from "authenticated";

grant insert ("id") on table "public"."delivery_routes" to "authenticated";

revoke all ("org_id") on table "public"."delivery_routes" from "authenticated";

grant insert ("org_id") on table "public"."delivery_routes" to "authenticated";

revoke all ("route_number") on table "public"."delivery_routes" from "authenticated";

grant insert ("route_number"), update ("route_number") on table "public"."delivery_routes" to "authenticated";

revoke all ("scheduled_on") on table "public"."delivery_routes" from "authenticated";

grant insert ("scheduled_on"), update ("scheduled_on") on table "public"."delivery_routes" to "authenticated";

revoke all ("start_location_id") on table "public"."delivery_routes" from "authenticated";

grant insert ("start_location_id"), update ("start_location_id") on table "public"."delivery_routes" to "authenticated";

revoke all ("status") on table "public"."delivery_routes" from "authenticated";

grant insert ("status"), update ("status") on table "public"."delivery_routes" to "authenticated";

revoke all ("vehicle") on table "public"."delivery_routes" from "authenticated";

grant insert ("vehicle"), update ("vehicle") on table "public"."delivery_routes" to "authenticated";

revoke all on table "public"."delivery_routes" from "authenticated";

grant delete, select on table "public"."delivery_routes" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."delivery_routes" to "postgres";

revoke all ("departs_at") on table "public"."delivery_routes" from "service_role";

grant insert ("departs_at"), update ("departs_at") on table "public"."delivery_routes" to "service_role";

revoke all ("driver") on table "public"."delivery_routes" from "service_role";

grant insert ("driver"), update ("driver") on table "public"."delivery_routes" to "service_role";

revoke all ("id") on table "public"."delivery_routes" from "service_role";

grant insert ("id") on table "public"."delivery_routes" to "service_role";

revoke all ("org_id") on table "public"."delivery_routes" from "service_role";

grant insert ("org_id") on table "public"."delivery_routes" to "service_role";

revoke all ("route_number") on table "public"."delivery_routes" from "service_role";

grant insert ("route_number"), update ("route_number") on table "public"."delivery_routes" to "service_role";

revoke all ("scheduled_on") on table "public"."delivery_routes" from "service_role";

grant insert ("scheduled_on"), update ("scheduled_on") on table "public"."delivery_routes" to "service_role";

revoke all ("start_location_id") on table "public"."delivery_routes" from "service_role";

grant insert ("start_location_id"), update ("start_location_id") on table "public"."delivery_routes" to "service_role";

revoke all ("status") on table "public"."delivery_routes" from "service_role";

grant insert ("status"), update ("status") on table "public"."delivery_routes" to "service_role";

revoke all ("vehicle") on table "public"."delivery_routes" from "service_role";

grant insert ("vehicle"), update ("vehicle") on table "public"."delivery_routes" to "service_role";

revoke all on table "public"."delivery_routes" from "service_role";

grant delete, select on table "public"."delivery_routes" to "service_role";

-- schemas/public/tables/delivery_stops.sql

create table "public"."delivery_stops" (
  "id"            uuid                     not null default gen_random_uuid(),
  "org_id"        uuid                     not null,
  "route_id"      uuid                     not null,
  "stop_number"   integer                  not null,
  "customer_id"   uuid                     not null,
  "arrives_from"  time without time zone,
  "arrives_until" time without time zone,
  "outcome"       text,
  "instructions"  text,
  "created_at"    timestamp with time zone not null default now(),
  "updated_at"    timestamp with time zone not null default now(),
  constraint "delivery_stops_arrives_until_check" check ((arrives_until >= arrives_from)),
  constraint "delivery_stops_customer_id_fkey" foreign key (org_id, customer_id) references public.customers(org_id, id) on delete restrict,
  constraint "delivery_stops_instructions_check" check ((length(instructions) <= 1000)),
  constraint "delivery_stops_outcome_check" check ((outcome = ANY (ARRAY['delivered'::text, 'absent'::text, 'refused'::text]))),
  constraint "delivery_stops_pkey" primary key (id),
  constraint "delivery_stops_route_id_fkey" foreign key (org_id, route_id) references public.delivery_routes(org_id, id) on delete cascade,
  constraint "delivery_stops_route_id_org_id_stop_number_key" unique (route_id, org_id, stop_number),
  constraint "delivery_stops_stop_number_check" check ((stop_number >= 1))
);

alter table "public"."delivery_stops"
  enable row level security;

create index delivery_stops_customer_id_idx on public.delivery_stops using btree (customer_id, org_id);

create trigger _100_touch_updated_at
  before update on public.delivery_stops
  for each row
  execute function private.tg__touch_updated_at();

create policy "delivery_stops_delete_member" on "public"."delivery_stops"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))));

create policy "delivery_stops_insert_member" on "public"."delivery_stops"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "delivery_stops_select_viewer" on "public"."delivery_stops"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "delivery_stops_update_member" on "public"."delivery_stops"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."delivery_stops"."arrives_from" is 'When the customer expects it, from this time of day until arrives_until.';

comment on column "public"."delivery_stops"."outcome" is 'What came of it; nothing as long as nobody has been there.';

comment on column "public"."delivery_stops"."stop_number" is 'Counts within the route; with the route''s number the key of imports.';

comment on table "public"."delivery_stops" is 'The stops of delivery routes, each at a customer''s.';

revoke all ("arrives_from") on table "public"."delivery_stops" from "authenticated";

grant insert ("arrives_from"), update ("arrives_from") on table "public"."delivery_stops" to "authenticated";

revoke all ("arrives_until") on table "public"."delivery_stops" from "authenticated";

grant insert ("arrives_until"), update ("arrives_until") on table "public"."delivery_stops" to "authenticated";

revoke all ("customer_id") on table "public"."delivery_stops" from "authenticated";

grant insert ("customer_id"), update ("customer_id") on table "public"."delivery_stops" to "authenticated";

revoke all ("id") on table "public"."delivery_stops" from "authenticated";

grant insert ("id") on table "public"."delivery_stops" to "authenticated";

revoke all ("instructions") on table "public"."delivery_stops" from "authenticated";

grant insert ("instructions"), update ("instructions") on table "public"."delivery_stops" to "authenticated";

revoke all ("org_id") on table "public"."delivery_stops" from "authenticated";

grant insert ("org_id") on table "public"."delivery_stops" to "authenticated";

revoke all ("outcome") on table "public"."delivery_stops" from "authenticated";

grant insert ("outcome"), update ("outcome") on table "public"."delivery_stops" to "authenticated";

revoke all ("route_id") on table "public"."delivery_stops" from "authenticated";

grant insert ("route_id") on table "public"."delivery_stops" to "authenticated";

revoke all ("stop_number") on table "public"."delivery_stops" from "authenticated";

grant insert ("stop_number"), update ("stop_number") on table "public"."delivery_stops" to "authenticated";

revoke all on table "public"."delivery_stops" from "authenticated";

grant delete, select on table "public"."delivery_stops" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."delivery_stops" to "postgres";

revoke all ("arrives_from") on table "public"."delivery_stops" from "service_role";

grant insert ("arrives_from"), update ("arrives_from") on table "public"."delivery_stops" to "service_role";

revoke all ("arrives_until") on table "public"."delivery_stops" from "service_role";

grant insert ("arrives_until"), update ("arrives_until") on table "public"."delivery_stops" to "service_role";

revoke all ("customer_id") on table "public"."delivery_stops" from "service_role";

grant insert ("customer_id"), update ("customer_id") on table "public"."delivery_stops" to "service_role";

revoke all ("id") on table "public"."delivery_stops" from "service_role";

grant insert ("id") on table "public"."delivery_stops" to "service_role";

revoke all ("instructions") on table "public"."delivery_stops" from "service_role";

grant insert ("instructions"), update ("instructions") on table "public"."delivery_stops" to "service_role";

revoke all ("org_id") on table "public"."delivery_stops" from "service_role";

grant insert ("org_id") on table "public"."delivery_stops" to "service_role";

revoke all ("outcome") on table "public"."delivery_stops" from "service_role";

grant insert ("outcome"), update ("outcome") on table "public"."delivery_stops" to "service_role";

revoke all ("route_id") on table "public"."delivery_stops" from "service_role";

grant insert ("route_id") on table "public"."delivery_stops" to "service_role";

revoke all ("stop_number") on table "public"."delivery_stops" from "service_role";

grant insert ("stop_number"), update ("stop_number") on table "public"."delivery_stops" to "service_role";

revoke all on table "public"."delivery_stops" from "service_role";

grant delete, select on table "public"."delivery_stops" to "service_role";

-- schemas/public/tables/import_batches.sql

create table "public"."import_batches" (
  "id"                uuid                     not null default gen_random_uuid(),
  "org_id"            uuid                     not null,
  "dataset"           text                     not null,
  "source"            text                     not null,
  "storage_path"      text,
  "file_name"         text,
  "content_hash"      text,
  "byte_size"         bigint,
  "format"            jsonb,
  "staged_on"         date                     not null default CURRENT_DATE,
  "row_count"         integer,
  "columns"           text[],
  "sample"            jsonb,
  "mapping"           jsonb,
  "suggested_mapping" jsonb,
  "template_id"       uuid,
  "options"           jsonb                    not null default '{}'::jsonb,
  "invalid_count"     integer,
  "skipped_count"     integer,
  "issue_counts"      jsonb                    not null default '[]'::jsonb,
  "error"             jsonb,
  "initiated_by"      uuid,
  "idempotency_key"   text,
  "set_id"            uuid,
  "depends_on"        uuid[]                   not null default '{}'::uuid[],
  "corrects"          uuid,
  "duplicate_of"      uuid,
  "created_at"        timestamp with time zone not null default now(),
  "staged_at"         timestamp with time zone,
  "validated_at"      timestamp with time zone,
  "finished_at"       timestamp with time zone,
  "redacted_at"       timestamp with time zone,
  constraint "import_batches_dataset_fkey" foreign key (dataset) references public.datasets(key),
  constraint "import_batches_file_name_check" check ((length(file_name) <= 255)),
  constraint "import_batches_idempotency_key_check" check (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
  constraint "import_batches_initiated_by_fkey" foreign key (initiated_by) references auth.users(id) on delete set null,
  constraint "import_batches_pkey" primary key (id),
  constraint "import_batches_corrects_fkey" foreign key (corrects) references public.import_batches(id) on delete set null,
  constraint "import_batches_duplicate_of_fkey" foreign key (duplicate_of) references public.import_batches(id) on delete set null,
  constraint "import_batches_source_check" check ((source ~ '^[a-z0-9_-]{1,63}$'::text)),
  constraint "import_batches_staged_at_check" check (((staged_at IS NULL) OR ((row_count IS NOT NULL) AND (columns IS NOT NULL) AND (mapping IS NOT NULL)))),
  constraint "import_batches_set_id_fkey" foreign key (set_id) references public.import_sets(id) on delete set null,
  constraint "import_batches_template_id_fkey" foreign key (template_id) references public.import_templates(id),
  constraint "import_batches_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."import_batches"
  enable row level security;

alter table "public"."import_batches"
  add column "mode" public.import_mode not null;

alter table "public"."import_batches"
  add column "status" public.import_status not null default 'receiving'::public.import_status;

create index import_batches_content_hash_idx on public.import_batches using btree (org_id, content_hash)
  where (content_hash is not null);

create index import_batches_corrects_idx on public.import_batches using btree (corrects);

create index import_batches_dataset_idx on public.import_batches using btree (dataset);

create index import_batches_depends_on_idx on public.import_batches using gin (depends_on);

create index import_batches_duplicate_of_idx on public.import_batches using btree (duplicate_of);

create unique index import_batches_idempotency_key_key on public.import_batches using btree (org_id, initiated_by, idempotency_key) nulls not DISTINCT
  where (idempotency_key is not null);

create index import_batches_initiated_by_idx on public.import_batches using btree (initiated_by);

create index import_batches_org_id_created_at_idx on public.import_batches using btree (org_id, created_at desc);

create index import_batches_org_id_status_idx on public.import_batches using btree (org_id, status);

create index import_batches_receiving_idx on public.import_batches using btree (created_at)
  where (status = 'receiving'::public.import_status);

create index import_batches_set_id_idx on public.import_batches using btree (set_id);

create index import_batches_storage_path_idx on public.import_batches using btree (storage_path)
  where (storage_path is not null);

create index import_batches_template_id_idx on public.import_batches using btree (template_id);

create trigger _100_forget_key
  before update of initiated_by on public.import_batches
  for each row
  when ((new.initiated_by IS NULL))
  execute function private.tg__forget_key();

create trigger _300_guard_source
  before insert on public.import_batches
  for each row
  when ((new.source = 'sync'::text))
  execute function private.tg_import_batches__guard_source();

create trigger _300_guard_status
  before update of status on public.import_batches
  for each row
  when ((old.status IS DISTINCT FROM new.status))
  execute function private.tg_import_batches__guard_status();

create trigger _500_drop_previews
  after update of status on public.import_batches
  for each row
  when (((old.status = 'validated'::public.import_status) AND (new.status = ANY (ARRAY['staged'::public.import_status, 'cancelled'::public.import_status]))))
  execute function private.tg_import_batches__drop_previews();

create trigger _500_follow_session
  after update of status on public.import_batches
  for each row
  when ((old.status IS DISTINCT FROM new.status))
  execute function private.tg_import_batches__follow_session();

create trigger _500_open_session
  after insert on public.import_batches
  for each row
  when (((new.initiated_by IS NOT NULL) AND (new.source <> 'sync'::text)))
  execute function private.tg_import_batches__open_session();

create trigger _500_redact
  after update of status on public.import_batches
  for each row
  when (((old.status IS DISTINCT FROM new.status) AND (new.status = ANY (ARRAY['cancelled'::public.import_status, 'undone'::public.import_status])) AND (new.staged_at IS
    NOT NULL)))
  execute function private.tg_import_batches__redact();

create trigger _700_log_activity
  after update of status on public.import_batches
  for each row
  when ((old.status IS DISTINCT FROM new.status))
  execute function private.tg_import_batches__log_activity();

create trigger _700_tell_webhooks
  after update of status on public.import_batches
  for each row
  when
    ((((new.status = 'staged'::public.import_status) AND (old.status = 'receiving'::public.import_status)) OR ((new.status = 'validated'::public.import_status) AND (old.status =
    'validating'::public.import_status)) OR
    ((new.status = ANY (ARRAY['completed'::public.import_status, 'cancelled'::public.import_status])) AND ((old.status <> new.status) AND (old.status <>
    'undoing'::public.import_status))) OR ((new.status = ANY (ARRAY['failed'::public.import_status, 'undone'::public.import_status])) AND (old.status <> new.status))))
  execute function private.tg_import_batches__tell_webhooks();

create trigger _800_follow_sync
  after update of status on public.import_batches
  for each row
  when
    (((old.status IS DISTINCT FROM new.status) AND ((old.status IS DISTINCT FROM 'receiving'::public.import_status) OR (new.status IS DISTINCT FROM 'staged'::public.import_status))
    AND (('undoing'::public.import_status <> old.status) AND ('undoing'::public.import_status <> new.status))))
  execute function private.tg_import_batches__follow_sync();

create trigger _800_settle_waiting_for_none
  after delete on public.import_batches
  for each row
  execute function private.tg_import_batches__settle_waiting();

create trigger _800_settle_waiting
  after update of status on public.import_batches
  for each row
  when
    (((old.status IS DISTINCT FROM new.status) AND ((old.status = ANY (ARRAY['completed'::public.import_status, 'failed'::public.import_status, 'cancelled'::public.import_status,
    'undone'::public.import_status])) OR
    (new.status = ANY (ARRAY['completed'::public.import_status, 'failed'::public.import_status, 'cancelled'::public.import_status, 'undone'::public.import_status])))))
  execute function private.tg_import_batches__settle_waiting();

create policy "import_batches_select_viewer" on "public"."import_batches"
  for select
  to "authenticated"
  using
    (((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))) AND ((dataset = ANY (ARRAY( select private.open_datasets() as open_datasets))) or
    (org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))))));

comment on column "public"."import_batches"."content_hash" is 'SHA-256 of the file as it was sent, in hexadecimal.';

comment on column "public"."import_batches"."corrects" is 'The import whose failed rows this one brings in corrected.';

comment on column "public"."import_batches"."depends_on" is 'Imports that must be completed before this one is validated.';

comment on column "public"."import_batches"."duplicate_of" is 'An earlier import of the same file by the same person: it is committed only when that is said twice (force).';

comment on column "public"."import_batches"."error" is 'Why it failed: { code, message, details, hint }.';

comment on column "public"."import_batches"."format" is 'How its file is written: delimiter, quote, encoding, header; untrimmed: the columns that have blanks around some of their cells.';

comment on column "public"."import_batches"."invalid_count" is 'Rows that validation found faulty.';

comment on column "public"."import_batches"."issue_counts" is 'After each job: [{ code, severity, field, count }].';

comment on column "public"."import_batches"."mapping" is 'Field name to { columns, transforms, default }.';

comment on column "public"."import_batches"."options" is 'duplicates, on_error, blank.';

comment on column "public"."import_batches"."redacted_at" is 'When the secrets in its rows were removed without being applied: it cannot be tried again.';

comment on column "public"."import_batches"."skipped_count" is 'Rows passed over as duplicates, where options.duplicates says so.';

comment on column "public"."import_batches"."source" is 'Where the file came from: api, portal-upload, cli, …';

comment on column "public"."import_batches"."staged_on" is 'Names the weekly partition of its rows, issues and outcomes.';

comment on column "public"."import_batches"."storage_path" is 'Its file in the bucket imports, where it came from there.';

comment on column "public"."import_batches"."suggested_mapping" is 'Field name to { column, confidence 0 to 1, reason, transforms }.';

comment on column "public"."import_batches"."template_id" is 'The version of a template that the mapping comes from.';

comment on table "public"."import_batches" is 'An import: one file on its way into one dataset.';

revoke all on table "public"."import_batches" from "authenticated";

grant select on table "public"."import_batches" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."import_batches" to "postgres";

revoke all on table "public"."import_batches" from "service_role";

grant select on table "public"."import_batches" to "service_role";

-- schemas/public/tables/import_session_shares.sql

create table "public"."import_session_shares" (
  "session_id" uuid                     not null,
  "user_id"    uuid                     not null,
  "created_at" timestamp with time zone not null default now(),
  constraint "import_session_shares_pkey" primary key (session_id, user_id),
  constraint "import_session_shares_user_id_fkey" foreign key (user_id) references auth.users(id) on delete cascade,
  constraint "import_session_shares_session_id_fkey" foreign key (session_id) references public.import_sessions(id) on delete cascade
);

alter table "public"."import_session_shares"
  enable row level security;

create index import_session_shares_user_id_idx on public.import_session_shares using btree (user_id);

create policy "import_session_shares_select_own" on "public"."import_session_shares"
  for select
  to "authenticated"
  using ((session_id in ( select s.id
   from public.import_sessions s)));

comment on table "public"."import_session_shares" is 'Whom the owner of a session lets work on it.';

revoke all on table "public"."import_session_shares" from "authenticated";

grant select on table "public"."import_session_shares" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."import_session_shares" to "postgres";

revoke all on table "public"."import_session_shares" from "service_role";

grant select on table "public"."import_session_shares" to "service_role";

-- schemas/public/tables/import_sessions.sql

create table "public"."import_sessions" (
  "id"               uuid                     not null default gen_random_uuid(),
  "org_id"           uuid                     not null,
  "created_by"       uuid,
  "file_name"        text,
  "content_hash"     text,
  "header_hash"      text,
  "batch_id"         uuid,
  "current_step"     text                     not null default 'receiving'::text,
  "state"            jsonb                    not null default '{}'::jsonb,
  "created_at"       timestamp with time zone not null default now(),
  "last_accessed_at" timestamp with time zone not null default now(),
  constraint "import_sessions_batch_id_fkey" foreign key (batch_id) references public.import_batches(id) on delete cascade,
  constraint "import_sessions_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "import_sessions_pkey" primary key (id),
  constraint "import_sessions_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."import_sessions"
  enable row level security;

alter table "public"."import_sessions"
  add column "status" public.session_status not null default 'in_progress'::public.session_status;

create index idx_import_sessions_created_by on public.import_sessions using btree (created_by);

create index idx_import_sessions_last_accessed on public.import_sessions using btree (last_accessed_at);

create index idx_import_sessions_user_hash on public.import_sessions using btree (created_by, content_hash)
  where (content_hash is not null);

create index idx_import_sessions_user_status_created on public.import_sessions using btree (created_by, status, created_at desc);

create index import_sessions_batch_id_idx on public.import_sessions using btree (batch_id);

create index import_sessions_org_id_idx on public.import_sessions using btree (org_id);

create trigger trigger_update_import_session_access
  before update on public.import_sessions
  for each row
  when ((new.status <> 'expired'::public.session_status))
  execute function public.update_import_session_access();

create policy "import_sessions_select_own" on "public"."import_sessions"
  for select
  to "authenticated"
  using
    ((((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))) AND ((created_by = ( select auth.uid() as uid)) or (id = ANY (ARRAY( select
    private.shared_session_ids() as shared_session_ids))))) or ((created_by is null) AND (org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids)))) or
    ( select private.is_system_admin() as is_system_admin)));

comment on column "public"."import_sessions"."created_by" is 'The owner, who changes when it is handed over; null once their account is gone, then admins see it.';

comment on column "public"."import_sessions"."current_step" is 'The status of the import.';

comment on column "public"."import_sessions"."header_hash" is 'MD5 of the column names: the same kind of file has the same.';

comment on column "public"."import_sessions"."state" is 'What the client keeps there, to go on where one left.';

comment on table "public"."import_sessions" is 'One person''s private workspace around an import. Made with a person''s upload, not with what is synced.';

revoke all on table "public"."import_sessions" from "authenticated";

grant select on table "public"."import_sessions" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."import_sessions" to "postgres";

revoke all on table "public"."import_sessions" from "service_role";

grant select on table "public"."import_sessions" to "service_role";

-- schemas/public/tables/import_sets.sql

create table "public"."import_sets" (
  "id"              uuid                     not null default gen_random_uuid(),
  "org_id"          uuid                     not null,
  "name"            text,
  "created_by"      uuid,
  "idempotency_key" text,
  "created_at"      timestamp with time zone not null default now(),
  constraint "import_sets_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "import_sets_idempotency_key_check" check (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
  constraint "import_sets_name_check" check (((length(name) >= 1) AND (length(name) <= 255))),
  constraint "import_sets_pkey" primary key (id),
  constraint "import_sets_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."import_sets"
  enable row level security;

create index import_sets_created_by_idx on public.import_sets using btree (created_by);

create unique index import_sets_idempotency_key_key on public.import_sets using btree (org_id, created_by, idempotency_key) nulls not DISTINCT
  where (idempotency_key is not null);

create index import_sets_org_id_created_at_idx on public.import_sets using btree (org_id, created_at desc);

create trigger _100_forget_key
  before update of created_by on public.import_sets
  for each row
  when ((new.created_by IS NULL))
  execute function private.tg__forget_key();

create policy "import_sets_select_viewer" on "public"."import_sets"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

comment on column "public"."import_sets"."created_by" is 'Who may add imports to it, beside admins; null for the service.';

comment on table "public"."import_sets" is 'Imports that belong together: each waits for those of the set whose datasets its own refers to.';

revoke all on table "public"."import_sets" from "authenticated";

grant select on table "public"."import_sets" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."import_sets" to "postgres";

revoke all on table "public"."import_sets" from "service_role";

grant select on table "public"."import_sets" to "service_role";

-- schemas/public/tables/import_templates.sql

create table "public"."import_templates" (
  "id"          uuid                     not null default gen_random_uuid(),
  "org_id"      uuid,
  "dataset"     text                     not null,
  "name"        text                     not null,
  "version"     integer                  not null,
  "description" text,
  "config"      jsonb                    not null,
  "columns"     text[]                   not null,
  "created_by"  uuid,
  "created_at"  timestamp with time zone not null default clock_timestamp(),
  "replaced_at" timestamp with time zone,
  "archived_at" timestamp with time zone,
  constraint "import_templates_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "import_templates_dataset_fkey" foreign key (dataset) references public.datasets(key),
  constraint "import_templates_description_check" check ((length(description) <= 1000)),
  constraint "import_templates_ended_check" check (((replaced_at IS NULL) OR (archived_at IS NULL))),
  constraint "import_templates_name_check" check (((name = btrim(name)) AND ((length(name) >= 1) AND (length(name) <= 100)))),
  constraint "import_templates_org_id_dataset_name_version_key" unique nulls not DISTINCT (org_id, dataset, name, version),
  constraint "import_templates_pkey" primary key (id),
  constraint "import_templates_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."import_templates"
  enable row level security;

create index import_templates_created_by_idx on public.import_templates using btree (created_by);

create unique index import_templates_current_key on public.import_templates using btree (org_id, dataset, name) nulls not DISTINCT
  where ((replaced_at is null) AND (archived_at is null));

create index import_templates_dataset_idx on public.import_templates using btree (dataset);

create policy "import_templates_select_viewer" on "public"."import_templates"
  for select
  to "authenticated"
  using (((org_id is null) or (org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids)))));

comment on column "public"."import_templates"."archived_at" is 'When it was deleted: imports that used it still name it.';

comment on column "public"."import_templates"."columns" is 'Of the file that it was saved from.';

comment on column "public"."import_templates"."config" is '{ mapping, options }, as an import has them: transforms and defaults inside.';

comment on column "public"."import_templates"."org_id" is 'Null: for all organizations.';

comment on column "public"."import_templates"."replaced_at" is 'When a newer version came.';

comment on table "public"."import_templates" is 'A version of a saved mapping from a file''s columns to a dataset''s fields. Versions are never changed, so that what ran can be read.';

revoke all on table "public"."import_templates" from "authenticated";

grant select on table "public"."import_templates" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."import_templates" to "postgres";

revoke all on table "public"."import_templates" from "service_role";

grant select on table "public"."import_templates" to "service_role";

alter table "public"."import_templates"
  add column "header_hash" text generated always as (private.header_hash(columns)) stored not null;

comment on column "public"."import_templates"."header_hash" is 'MD5 of the column names: files with the same get this template.';

create index import_templates_current_header_idx on public.import_templates using btree (dataset, header_hash)
  where ((replaced_at is null) AND (archived_at is null));

-- schemas/public/tables/inventory_levels.sql

create table "public"."inventory_levels" (
  "id"            uuid                     not null default gen_random_uuid(),
  "org_id"        uuid                     not null,
  "product_id"    uuid                     not null,
  "location_id"   uuid                     not null,
  "quantity"      numeric(14,3)            not null,
  "reserved"      numeric(14,3)            not null default 0,
  "reorder_level" numeric(14,3),
  "counted_on"    date,
  "created_at"    timestamp with time zone not null default now(),
  "updated_at"    timestamp with time zone not null default now(),
  constraint "inventory_levels_org_id_product_id_location_id_key" unique (org_id, product_id, location_id),
  constraint "inventory_levels_pkey" primary key (id),
  constraint "inventory_levels_reorder_level_check" check ((reorder_level >= (0)::numeric)),
  constraint "inventory_levels_reserved_check" check ((reserved >= (0)::numeric)),
  constraint "inventory_levels_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "inventory_levels_product_id_fkey" foreign key (org_id, product_id) references public.products(org_id, id) on delete restrict,
  constraint "inventory_levels_location_id_fkey" foreign key (org_id, location_id) references public.warehouse_locations(org_id, id) on delete restrict
);

alter table "public"."inventory_levels"
  enable row level security;

alter table "public"."inventory_levels"
  add column "available" numeric generated always as ((quantity - reserved)) stored not null;

create index inventory_levels_location_id_idx on public.inventory_levels using btree (location_id, org_id);

create trigger _100_touch_updated_at
  before update on public.inventory_levels
  for each row
  execute function private.tg__touch_updated_at();

create policy "inventory_levels_delete_admin" on "public"."inventory_levels"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "inventory_levels_insert_member" on "public"."inventory_levels"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "inventory_levels_select_viewer" on "public"."inventory_levels"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "inventory_levels_update_member" on "public"."inventory_levels"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."inventory_levels"."available" is 'On hand and not reserved. Computed.';

comment on column "public"."inventory_levels"."quantity" is 'On hand; below zero where more was taken than had been booked in.';

comment on table "public"."inventory_levels" is 'How much of a product there is at a location. Product and location are the key of imports.';

revoke all ("counted_on") on table "public"."inventory_levels" from "authenticated";

grant insert ("counted_on"), update ("counted_on") on table "public"."inventory_levels" to "authenticated";

revoke all ("id") on table "public"."inventory_levels" from "authenticated";

grant insert ("id") on table "public"."inventory_levels" to "authenticated";

revoke all ("location_id") on table "public"."inventory_levels" from "authenticated";

grant insert ("location_id"), update ("location_id") on table "public"."inventory_levels" to "authenticated";

revoke all ("org_id") on table "public"."inventory_levels" from "authenticated";

grant insert ("org_id") on table "public"."inventory_levels" to "authenticated";

revoke all ("product_id") on table "public"."inventory_levels" from "authenticated";

grant insert ("product_id"), update ("product_id") on table "public"."inventory_levels" to "authenticated";

revoke all ("quantity") on table "public"."inventory_levels" from "authenticated";

grant insert ("quantity"), update ("quantity") on table "public"."inventory_levels" to "authenticated";

revoke all ("reorder_level") on table "public"."inventory_levels" from "authenticated";

grant insert ("reorder_level"), update ("reorder_level") on table "public"."inventory_levels" to "authenticated";

revoke all ("reserved") on table "public"."inventory_levels" from "authenticated";

grant insert ("reserved"), update ("reserved") on table "public"."inventory_levels" to "authenticated";

revoke all on table "public"."inventory_levels" from "authenticated";

grant delete, select on table "public"."inventory_levels" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."inventory_levels" to "postgres";

revoke all ("counted_on") on table "public"."inventory_levels" from "service_role";

grant insert ("counted_on"), update ("counted_on") on table "public"."inventory_levels" to "service_role";

revoke all ("id") on table "public"."inventory_levels" from "service_role";

grant insert ("id") on table "public"."inventory_levels" to "service_role";

revoke all ("location_id") on table "public"."inventory_levels" from "service_role";

grant insert ("location_id"), update ("location_id") on table "public"."inventory_levels" to "service_role";

revoke all ("org_id") on table "public"."inventory_levels" from "service_role";

grant insert ("org_id") on table "public"."inventory_levels" to "service_role";

revoke all ("product_id") on table "public"."inventory_levels" from "service_role";

grant insert ("product_id"), update ("product_id") on table "public"."inventory_levels" to "service_role";

revoke all ("quantity") on table "public"."inventory_levels" from "service_role";

grant insert ("quantity"), update ("quantity") on table "public"."inventory_levels" to "service_role";

revoke all ("reorder_level") on table "public"."inventory_levels" from "service_role";

grant insert ("reorder_level"), update ("reorder_level") on table "public"."inventory_levels" to "service_role";

revoke all ("reserved") on table "public"."inventory_levels" from "service_role";

grant insert ("reserved"), update ("reserved") on table "public"."inventory_levels" to "service_role";

revoke all on table "public"."inventory_levels" from "service_role";

grant delete, select on table "public"."inventory_levels" to "service_role";

-- schemas/public/tables/invoice_lines.sql

create table "public"."invoice_lines" (
  "id"          uuid                     not null default gen_random_uuid(),
  "org_id"      uuid                     not null,
  "invoice_id"  uuid                     not null,
  "line_number" integer                  not null,
  "product_id"  uuid,
  "description" text,
  "quantity"    numeric(12,3)            not null,
  "unit_price"  numeric(12,2)            not null,
  "tax_percent" numeric(5,2),
  "created_at"  timestamp with time zone not null default now(),
  "updated_at"  timestamp with time zone not null default now(),
  constraint "invoice_lines_description_check" check ((length(description) <= 500)),
  constraint "invoice_lines_invoice_id_org_id_line_number_key" unique (invoice_id, org_id, line_number),
  constraint "invoice_lines_line_number_check" check ((line_number >= 1)),
  constraint "invoice_lines_pkey" primary key (id),
  constraint "invoice_lines_quantity_check" check ((quantity > (0)::numeric)),
  constraint "invoice_lines_subject_check" check ((num_nonnulls(product_id, description) >= 1)),
  constraint "invoice_lines_tax_percent_check" check (((tax_percent >= (0)::numeric) AND (tax_percent <= (100)::numeric))),
  constraint "invoice_lines_invoice_id_fkey" foreign key (org_id, invoice_id) references public.invoices(org_id, id) on delete cascade,
  constraint "invoice_lines_product_id_fkey" foreign key (org_id, product_id) references public.products(org_id, id) on delete restrict
);

alter table "public"."invoice_lines"
  enable row level security;

alter table "public"."invoice_lines"
  add column "line_total" numeric generated always as (round((quantity * unit_price), 2)) stored not null;

alter table "public"."invoice_lines"
  add column "tax_amount" numeric generated always as (round((((quantity * unit_price) * COALESCE(tax_percent, (0)::numeric)) / (100)::numeric), 2)) stored not null;

create index invoice_lines_product_id_idx on public.invoice_lines using btree (product_id, org_id);

create trigger _100_touch_updated_at
  before update on public.invoice_lines
  for each row
  execute function private.tg__touch_updated_at();

create policy "invoice_lines_delete_member" on "public"."invoice_lines"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))));

create policy "invoice_lines_insert_member" on "public"."invoice_lines"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "invoice_lines_select_viewer" on "public"."invoice_lines"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "invoice_lines_update_member" on "public"."invoice_lines"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."invoice_lines"."description" is 'What it is for; needed where no product is named.';

comment on column "public"."invoice_lines"."line_number" is 'Counts within the invoice; with the invoice''s number the key of imports.';

comment on column "public"."invoice_lines"."line_total" is 'Quantity times price, before tax. Computed.';

comment on column "public"."invoice_lines"."tax_amount" is 'The tax on it. Computed.';

comment on column "public"."invoice_lines"."unit_price" is 'Before tax; below zero for what is taken off.';

comment on table "public"."invoice_lines" is 'The lines of invoices: a product, or what the description says.';

revoke all ("description") on table "public"."invoice_lines" from "authenticated";

grant insert ("description"), update ("description") on table "public"."invoice_lines" to "authenticated";

revoke all ("id") on table "public"."invoice_lines" from "authenticated";

grant insert ("id") on table "public"."invoice_lines" to "authenticated";

revoke all ("invoice_id") on table "public"."invoice_lines" from "authenticated";

grant insert ("invoice_id") on table "public"."invoice_lines" to "authenticated";

revoke all ("line_number") on table "public"."invoice_lines" from "authenticated";

grant insert ("line_number"), update ("line_number") on table "public"."invoice_lines" to "authenticated";

revoke all ("org_id") on table "public"."invoice_lines" from "authenticated";

grant insert ("org_id") on table "public"."invoice_lines" to "authenticated";

revoke all ("product_id") on table "public"."invoice_lines" from "authenticated";

grant insert ("product_id"), update ("product_id") on table "public"."invoice_lines" to "authenticated";

revoke all ("quantity") on table "public"."invoice_lines" from "authenticated";

grant insert ("quantity"), update ("quantity") on table "public"."invoice_lines" to "authenticated";

revoke all ("tax_percent") on table "public"."invoice_lines" from "authenticated";

grant insert ("tax_percent"), update ("tax_percent") on table "public"."invoice_lines" to "authenticated";

revoke all ("unit_price") on table "public"."invoice_lines" from "authenticated";

grant insert ("unit_price"), update ("unit_price") on table "public"."invoice_lines" to "authenticated";

revoke all on table "public"."invoice_lines" from "authenticated";

grant delete, select on table "public"."invoice_lines" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."invoice_lines" to "postgres";

revoke all ("description") on table "public"."invoice_lines" from "service_role";

grant insert ("description"), update ("description") on table "public"."invoice_lines" to "service_role";

revoke all ("id") on table "public"."invoice_lines" from "service_role";

grant insert ("id") on table "public"."invoice_lines" to "service_role";

revoke all ("invoice_id") on table "public"."invoice_lines" from "service_role";

grant insert ("invoice_id") on table "public"."invoice_lines" to "service_role";

revoke all ("line_number") on table "public"."invoice_lines" from "service_role";

grant insert ("line_number"), update ("line_number") on table "public"."invoice_lines" to "service_role";

revoke all ("org_id") on table "public"."invoice_lines" from "service_role";

grant insert ("org_id") on table "public"."invoice_lines" to "service_role";

revoke all ("product_id") on table "public"."invoice_lines" from "service_role";

grant insert ("product_id"), update ("product_id") on table "public"."invoice_lines" to "service_role";

revoke all ("quantity") on table "public"."invoice_lines" from "service_role";

grant insert ("quantity"), update ("quantity") on table "public"."invoice_lines" to "service_role";

revoke all ("tax_percent") on table "public"."invoice_lines" from "service_role";

grant insert ("tax_percent"), update ("tax_percent") on table "public"."invoice_lines" to "service_role";

revoke all ("unit_price") on table "public"."invoice_lines" from "service_role";

grant insert ("unit_price"), update ("unit_price") on table "public"."invoice_lines" to "service_role";

revoke all on table "public"."invoice_lines" from "service_role";

grant delete, select on table "public"."invoice_lines" to "service_role";

-- schemas/public/tables/invoices.sql

create table "public"."invoices" (
  "id"             uuid                     not null default gen_random_uuid(),
  "org_id"         uuid                     not null,
  "invoice_number" text                     not null,
  "customer_id"    uuid                     not null,
  "order_id"       uuid,
  "issued_on"      date                     not null,
  "due_on"         date,
  "status"         text                     not null default 'open'::text,
  "currency"       text                     not null,
  "notes"          text,
  "created_at"     timestamp with time zone not null default now(),
  "updated_at"     timestamp with time zone not null default now(),
  constraint "invoices_currency_check" check ((currency ~ '^[A-Z]{3}$'::text)),
  constraint "invoices_customer_id_fkey" foreign key (org_id, customer_id) references public.customers(org_id, id) on delete restrict,
  constraint "invoices_due_on_check" check ((due_on >= issued_on)),
  constraint "invoices_id_org_id_key" unique (id, org_id),
  constraint "invoices_invoice_number_check" check ((length(invoice_number) <= 100)),
  constraint "invoices_org_id_invoice_number_key" unique (org_id, invoice_number),
  constraint "invoices_pkey" primary key (id),
  constraint "invoices_status_check" check ((status = ANY (ARRAY['draft'::text, 'open'::text, 'paid'::text, 'overdue'::text, 'cancelled'::text]))),
  constraint "invoices_order_id_fkey" foreign key (org_id, order_id) references public.orders(org_id, id) on delete restrict,
  constraint "invoices_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."invoices"
  enable row level security;

create index invoices_customer_id_idx on public.invoices using btree (customer_id, org_id);

create index invoices_order_id_idx on public.invoices using btree (order_id, org_id);

create trigger _100_touch_updated_at
  before update on public.invoices
  for each row
  execute function private.tg__touch_updated_at();

create policy "invoices_delete_admin" on "public"."invoices"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "invoices_insert_member" on "public"."invoices"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "invoices_select_viewer" on "public"."invoices"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "invoices_update_member" on "public"."invoices"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."invoices"."currency" is 'ISO 4217, upper case; of the lines too.';

comment on column "public"."invoices"."invoice_number" is 'The invoice''s number: the key of imports.';

comment on column "public"."invoices"."order_id" is 'The order that it is for, where it is for one.';

comment on table "public"."invoices" is 'What a customer is to pay. The lines are in invoice_lines.';

revoke all ("currency") on table "public"."invoices" from "authenticated";

grant insert ("currency"), update ("currency") on table "public"."invoices" to "authenticated";

revoke all ("customer_id") on table "public"."invoices" from "authenticated";

grant insert ("customer_id"), update ("customer_id") on table "public"."invoices" to "authenticated";

revoke all ("due_on") on table "public"."invoices" from "authenticated";

grant insert ("due_on"), update ("due_on") on table "public"."invoices" to "authenticated";

revoke all ("id") on table "public"."invoices" from "authenticated";

grant insert ("id") on table "public"."invoices" to "authenticated";

revoke all ("invoice_number") on table "public"."invoices" from "authenticated";

grant insert ("invoice_number"), update ("invoice_number") on table "public"."invoices" to "authenticated";

revoke all ("issued_on") on table "public"."invoices" from "authenticated";

grant insert ("issued_on"), update ("issued_on") on table "public"."invoices" to "authenticated";

revoke all ("notes") on table "public"."invoices" from "authenticated";

grant insert ("notes"), update ("notes") on table "public"."invoices" to "authenticated";

revoke all ("order_id") on table "public"."invoices" from "authenticated";

grant insert ("order_id"), update ("order_id") on table "public"."invoices" to "authenticated";

revoke all ("org_id") on table "public"."invoices" from "authenticated";

grant insert ("org_id") on table "public"."invoices" to "authenticated";

revoke all ("status") on table "public"."invoices" from "authenticated";

grant insert ("status"), update ("status") on table "public"."invoices" to "authenticated";

revoke all on table "public"."invoices" from "authenticated";

grant delete, select on table "public"."invoices" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."invoices" to "postgres";

revoke all ("currency") on table "public"."invoices" from "service_role";

grant insert ("currency"), update ("currency") on table "public"."invoices" to "service_role";

revoke all ("customer_id") on table "public"."invoices" from "service_role";

grant insert ("customer_id"), update ("customer_id") on table "public"."invoices" to "service_role";

revoke all ("due_on") on table "public"."invoices" from "service_role";

grant insert ("due_on"), update ("due_on") on table "public"."invoices" to "service_role";

revoke all ("id") on table "public"."invoices" from "service_role";

grant insert ("id") on table "public"."invoices" to "service_role";

revoke all ("invoice_number") on table "public"."invoices" from "service_role";

grant insert ("invoice_number"), update ("invoice_number") on table "public"."invoices" to "service_role";

revoke all ("issued_on") on table "public"."invoices" from "service_role";

grant insert ("issued_on"), update ("issued_on") on table "public"."invoices" to "service_role";

revoke all ("notes") on table "public"."invoices" from "service_role";

grant insert ("notes"), update ("notes") on table "public"."invoices" to "service_role";

revoke all ("order_id") on table "public"."invoices" from "service_role";

grant insert ("order_id"), update ("order_id") on table "public"."invoices" to "service_role";

revoke all ("org_id") on table "public"."invoices" from "service_role";

grant insert ("org_id") on table "public"."invoices" to "service_role";

revoke all ("status") on table "public"."invoices" from "service_role";

grant insert ("status"), update ("status") on table "public"."invoices" to "service_role";

revoke all on table "public"."invoices" from "service_role";

grant delete, select on table "public"."invoices" to "service_role";

-- schemas/public/tables/order_lines.sql

create table "public"."order_lines" (
  "id"               uuid                     not null default gen_random_uuid(),
  "org_id"           uuid                     not null,
  "order_id"         uuid                     not null,
  "line_number"      integer                  not null,
  "product_id"       uuid                     not null,
  "quantity"         numeric(12,3)            not null,
  "unit_price"       numeric(12,2)            not null,
  "discount_percent" numeric(5,2),
  "created_at"       timestamp with time zone not null default now(),
  "updated_at"       timestamp with time zone not null default now(),
  constraint "order_lines_discount_percent_check" check (((discount_percent >= (0)::numeric) AND (discount_percent <= (100)::numeric))),
  constraint "order_lines_line_number_check" check ((line_number >= 1)),
  constraint "order_lines_order_id_org_id_line_number_key" unique (order_id, org_id, line_number),
  constraint "order_lines_pkey" primary key (id),
  constraint "order_lines_quantity_check" check ((quantity > (0)::numeric)),
  constraint "order_lines_unit_price_check" check ((unit_price >= (0)::numeric)),
  constraint "order_lines_order_id_fkey" foreign key (org_id, order_id) references public.orders(org_id, id) on delete cascade,
  constraint "order_lines_product_id_fkey" foreign key (org_id, product_id) references public.products(org_id, id) on delete restrict
);

alter table "public"."order_lines"
  enable row level security;

alter table "public"."order_lines"
  add column "line_total" numeric generated always as (round(((quantity * unit_price) * ((1)::numeric - (COALESCE(discount_percent, (0)::numeric) / (100)::numeric))), 2)) stored
    not null;

create index order_lines_product_id_idx on public.order_lines using btree (product_id, org_id);

create trigger _100_touch_updated_at
  before update on public.order_lines
  for each row
  execute function private.tg__touch_updated_at();

create policy "order_lines_delete_member" on "public"."order_lines"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))));

create policy "order_lines_insert_member" on "public"."order_lines"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "order_lines_select_viewer" on "public"."order_lines"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "order_lines_update_member" on "public"."order_lines"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."order_lines"."line_number" is 'Counts within the order; with the order''s number the key of imports.';

comment on column "public"."order_lines"."line_total" is 'Quantity times price, less the discount. Computed.';

comment on table "public"."order_lines" is 'The lines of orders.';

revoke all ("discount_percent") on table "public"."order_lines" from "authenticated";

grant insert ("discount_percent"), update ("discount_percent") on table "public"."order_lines" to "authenticated";

revoke all ("id") on table "public"."order_lines" from "authenticated";

grant insert ("id") on table "public"."order_lines" to "authenticated";

revoke all ("line_number") on table "public"."order_lines" from "authenticated";

grant insert ("line_number"), update ("line_number") on table "public"."order_lines" to "authenticated";

revoke all ("order_id") on table "public"."order_lines" from "authenticated";

grant insert ("order_id") on table "public"."order_lines" to "authenticated";

revoke all ("org_id") on table "public"."order_lines" from "authenticated";

grant insert ("org_id") on table "public"."order_lines" to "authenticated";

revoke all ("product_id") on table "public"."order_lines" from "authenticated";

grant insert ("product_id"), update ("product_id") on table "public"."order_lines" to "authenticated";

revoke all ("quantity") on table "public"."order_lines" from "authenticated";

grant insert ("quantity"), update ("quantity") on table "public"."order_lines" to "authenticated";

revoke all ("unit_price") on table "public"."order_lines" from "authenticated";

grant insert ("unit_price"), update ("unit_price") on table "public"."order_lines" to "authenticated";

revoke all on table "public"."order_lines" from "authenticated";

grant delete, select on table "public"."order_lines" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."order_lines" to "postgres";

revoke all ("discount_percent") on table "public"."order_lines" from "service_role";

grant insert ("discount_percent"), update ("discount_percent") on table "public"."order_lines" to "service_role";

revoke all ("id") on table "public"."order_lines" from "service_role";

grant insert ("id") on table "public"."order_lines" to "service_role";

revoke all ("line_number") on table "public"."order_lines" from "service_role";

grant insert ("line_number"), update ("line_number") on table "public"."order_lines" to "service_role";

revoke all ("order_id") on table "public"."order_lines" from "service_role";

grant insert ("order_id") on table "public"."order_lines" to "service_role";

revoke all ("org_id") on table "public"."order_lines" from "service_role";

grant insert ("org_id") on table "public"."order_lines" to "service_role";

revoke all ("product_id") on table "public"."order_lines" from "service_role";

grant insert ("product_id"), update ("product_id") on table "public"."order_lines" to "service_role";

revoke all ("quantity") on table "public"."order_lines" from "service_role";

grant insert ("quantity"), update ("quantity") on table "public"."order_lines" to "service_role";

revoke all ("unit_price") on table "public"."order_lines" from "service_role";

grant insert ("unit_price"), update ("unit_price") on table "public"."order_lines" to "service_role";

revoke all on table "public"."order_lines" from "service_role";

grant delete, select on table "public"."order_lines" to "service_role";

-- schemas/public/tables/orders.sql

create table "public"."orders" (
  "id"                 uuid                     not null default gen_random_uuid(),
  "org_id"             uuid                     not null,
  "order_number"       text                     not null,
  "customer_id"        uuid                     not null,
  "ordered_on"         date                     not null,
  "requested_on"       date,
  "status"             text                     not null default 'open'::text,
  "currency"           text                     not null,
  "shipping_cost"      numeric(12,2),
  "customer_reference" text,
  "notes"              text,
  "created_at"         timestamp with time zone not null default now(),
  "updated_at"         timestamp with time zone not null default now(),
  constraint "orders_currency_check" check ((currency ~ '^[A-Z]{3}$'::text)),
  constraint "orders_customer_id_fkey" foreign key (org_id, customer_id) references public.customers(org_id, id) on delete restrict,
  constraint "orders_customer_reference_check" check ((length(customer_reference) <= 100)),
  constraint "orders_id_org_id_key" unique (id, org_id),
  constraint "orders_order_number_check" check ((length(order_number) <= 100)),
  constraint "orders_org_id_order_number_key" unique (org_id, order_number),
  constraint "orders_pkey" primary key (id),
  constraint "orders_requested_on_check" check ((requested_on >= ordered_on)),
  constraint "orders_shipping_cost_check" check ((shipping_cost >= (0)::numeric)),
  constraint "orders_status_check" check ((status = ANY (ARRAY['draft'::text, 'open'::text, 'shipped'::text, 'delivered'::text, 'cancelled'::text]))),
  constraint "orders_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade
);

alter table "public"."orders"
  enable row level security;

create index orders_customer_id_idx on public.orders using btree (customer_id, org_id);

create trigger _100_touch_updated_at
  before update on public.orders
  for each row
  execute function private.tg__touch_updated_at();

create policy "orders_delete_admin" on "public"."orders"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "orders_insert_member" on "public"."orders"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "orders_select_viewer" on "public"."orders"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "orders_update_member" on "public"."orders"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."orders"."currency" is 'ISO 4217, upper case; of the lines too.';

comment on column "public"."orders"."customer_reference" is 'The customer''s own number of the order.';

comment on column "public"."orders"."order_number" is 'The order''s number: the key of imports.';

comment on column "public"."orders"."requested_on" is 'The day on which the customer wants it.';

comment on table "public"."orders" is 'What a customer has ordered. The lines are in order_lines.';

revoke all ("currency") on table "public"."orders" from "authenticated";

grant insert ("currency"), update ("currency") on table "public"."orders" to "authenticated";

revoke all ("customer_id") on table "public"."orders" from "authenticated";

grant insert ("customer_id"), update ("customer_id") on table "public"."orders" to "authenticated";

revoke all ("customer_reference") on table "public"."orders" from "authenticated";

grant insert ("customer_reference"), update ("customer_reference") on table "public"."orders" to "authenticated";

revoke all ("id") on table "public"."orders" from "authenticated";

grant insert ("id") on table "public"."orders" to "authenticated";

revoke all ("notes") on table "public"."orders" from "authenticated";

grant insert ("notes"), update ("notes") on table "public"."orders" to "authenticated";

revoke all ("order_number") on table "public"."orders" from "authenticated";

grant insert ("order_number"), update ("order_number") on table "public"."orders" to "authenticated";

revoke all ("ordered_on") on table "public"."orders" from "authenticated";

grant insert ("ordered_on"), update ("ordered_on") on table "public"."orders" to "authenticated";

revoke all ("org_id") on table "public"."orders" from "authenticated";

grant insert ("org_id") on table "public"."orders" to "authenticated";

revoke all ("requested_on") on table "public"."orders" from "authenticated";

grant insert ("requested_on"), update ("requested_on") on table "public"."orders" to "authenticated";

revoke all ("shipping_cost") on table "public"."orders" from "authenticated";

grant insert ("shipping_cost"), update ("shipping_cost") on table "public"."orders" to "authenticated";

revoke all ("status") on table "public"."orders" from "authenticated";

grant insert ("status"), update ("status") on table "public"."orders" to "authenticated";

revoke all on table "public"."orders" from "authenticated";

grant delete, select on table "public"."orders" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."orders" to "postgres";

revoke all ("currency") on table "public"."orders" from "service_role";

grant insert ("currency"), update ("currency") on table "public"."orders" to "service_role";

revoke all ("customer_id") on table "public"."orders" from "service_role";

grant insert ("customer_id"), update ("customer_id") on table "public"."orders" to "service_role";

revoke all ("customer_reference") on table "public"."orders" from "service_role";

grant insert ("customer_reference"), update ("customer_reference") on table "public"."orders" to "service_role";

revoke all ("id") on table "public"."orders" from "service_role";

grant insert ("id") on table "public"."orders" to "service_role";

revoke all ("notes") on table "public"."orders" from "service_role";

grant insert ("notes"), update ("notes") on table "public"."orders" to "service_role";

revoke all ("order_number") on table "public"."orders" from "service_role";

grant insert ("order_number"), update ("order_number") on table "public"."orders" to "service_role";

revoke all ("ordered_on") on table "public"."orders" from "service_role";

grant insert ("ordered_on"), update ("ordered_on") on table "public"."orders" to "service_role";

revoke all ("org_id") on table "public"."orders" from "service_role";

grant insert ("org_id") on table "public"."orders" to "service_role";

revoke all ("requested_on") on table "public"."orders" from "service_role";

grant insert ("requested_on"), update ("requested_on") on table "public"."orders" to "service_role";

revoke all ("shipping_cost") on table "public"."orders" from "service_role";

grant insert ("shipping_cost"), update ("shipping_cost") on table "public"."orders" to "service_role";

revoke all ("status") on table "public"."orders" from "service_role";

grant insert ("status"), update ("status") on table "public"."orders" to "service_role";

revoke all on table "public"."orders" from "service_role";

grant delete, select on table "public"."orders" to "service_role";

-- schemas/public/tables/organization.sql

create table "public"."organization" (
  "id"          uuid                     not null default gen_random_uuid(),
  "name"        text                     not null,
  "slug"        text                     not null,
  "description" text,
  "is_active"   boolean                  not null default true,
  "created_at"  timestamp with time zone not null default now(),
  "updated_at"  timestamp with time zone not null default now(),
  constraint "organization_name_check" check (((length(btrim(name)) >= 1) AND (length(btrim(name)) <= 255))),
  constraint "organization_pkey" primary key (id),
  constraint "organization_slug_check" check (((slug ~ '^[a-z0-9](-?[a-z0-9])*$'::text) AND (length(slug) <= 63)))
);

alter table "public"."organization"
  enable row level security;

create index idx_organization_active on public.organization using btree (is_active);

create index idx_organization_created on public.organization using btree (created_at desc);

create unique index idx_organization_slug on public.organization using btree (slug);

create trigger _100_touch_updated_at
  before update on public.organization
  for each row
  execute function private.tg__touch_updated_at();

create trigger _300_delete_commerce
  before delete on public.organization
  for each row
  execute function private.tg_organization__delete_commerce();

create trigger _500_drop_secrets
  after delete on public.organization
  for each row
  execute function private.tg_organization__drop_secrets();

create policy "organization_select_viewer" on "public"."organization"
  for select
  to "authenticated"
  using ((id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

comment on column "public"."organization"."is_active" is 'False closes the organization: its people reach nothing, its jobs fail.';

comment on column "public"."organization"."slug" is 'Short name for addresses: lower case letters, digits and single hyphens.';

comment on table "public"."organization" is 'The tenant. Every row of data belongs to one.';

revoke all on table "public"."organization" from "authenticated";

grant select on table "public"."organization" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."organization" to "postgres";

revoke all on table "public"."organization" from "service_role";

grant delete, insert, select, update on table "public"."organization" to "service_role";

-- schemas/public/tables/payments.sql

create table "public"."payments" (
  "id"             uuid                     not null default gen_random_uuid(),
  "org_id"         uuid                     not null,
  "payment_number" text                     not null,
  "invoice_id"     uuid,
  "order_id"       uuid,
  "paid_on"        date                     not null,
  "amount"         numeric(12,2)            not null,
  "currency"       text                     not null,
  "method"         text,
  "bank_reference" text,
  "notes"          text,
  "created_at"     timestamp with time zone not null default now(),
  "updated_at"     timestamp with time zone not null default now(),
  constraint "payments_amount_check" check ((amount <> (0)::numeric)),
  constraint "payments_bank_reference_check" check ((length(bank_reference) <= 140)),
  constraint "payments_currency_check" check ((currency ~ '^[A-Z]{3}$'::text)),
  constraint "payments_invoice_id_fkey" foreign key (org_id, invoice_id) references public.invoices(org_id, id) on delete restrict,
  constraint "payments_method_check" check ((method = ANY (ARRAY['bank_transfer'::text, 'direct_debit'::text, 'card'::text, 'cash'::text, 'other'::text]))),
  constraint "payments_order_id_fkey" foreign key (org_id, order_id) references public.orders(org_id, id) on delete restrict,
  constraint "payments_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "payments_org_id_payment_number_key" unique (org_id, payment_number),
  constraint "payments_payment_number_check" check ((length(payment_number) <= 100)),
  constraint "payments_pkey" primary key (id),
  constraint "payments_subject_check" check ((num_nonnulls(invoice_id, order_id) >= 1))
);

alter table "public"."payments"
  enable row level security;

create index payments_invoice_id_idx on public.payments using btree (invoice_id, org_id);

create index payments_order_id_idx on public.payments using btree (order_id, org_id);

create trigger _100_touch_updated_at
  before update on public.payments
  for each row
  execute function private.tg__touch_updated_at();

create policy "payments_delete_admin" on "public"."payments"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "payments_insert_member" on "public"."payments"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "payments_select_viewer" on "public"."payments"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "payments_update_member" on "public"."payments"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."payments"."amount" is 'Below zero for what was paid back.';

comment on column "public"."payments"."currency" is 'ISO 4217, upper case.';

comment on column "public"."payments"."invoice_id" is 'An invoice or an order is needed, or both.';

comment on column "public"."payments"."payment_number" is 'The payment''s number in the organization''s own books: the key of imports.';

comment on table "public"."payments" is 'What came in for an invoice, or for an order in advance.';

revoke all ("amount") on table "public"."payments" from "authenticated";

grant insert ("amount"), update ("amount") on table "public"."payments" to "authenticated";

revoke all ("bank_reference") on table "public"."payments" from "authenticated";

grant insert ("bank_reference"), update ("bank_reference") on table "public"."payments" to "authenticated";

revoke all ("currency") on table "public"."payments" from "authenticated";

grant insert ("currency"), update ("currency") on table "public"."payments" to "authenticated";

revoke all ("id") on table "public"."payments" from "authenticated";

grant insert ("id") on table "public"."payments" to "authenticated";

revoke all ("invoice_id") on table "public"."payments" from "authenticated";

grant insert ("invoice_id"), update ("invoice_id") on table "public"."payments" to "authenticated";

revoke all ("method") on table "public"."payments" from "authenticated";

grant insert ("method"), update ("method") on table "public"."payments" to "authenticated";

revoke all ("notes") on table "public"."payments" from "authenticated";

grant insert ("notes"), update ("notes") on table "public"."payments" to "authenticated";

revoke all ("order_id") on table "public"."payments" from "authenticated";

grant insert ("order_id"), update ("order_id") on table "public"."payments" to "authenticated";

revoke all ("org_id") on table "public"."payments" from "authenticated";

grant insert ("org_id") on table "public"."payments" to "authenticated";

revoke all ("paid_on") on table "public"."payments" from "authenticated";

grant insert ("paid_on"), update ("paid_on") on table "public"."payments" to "authenticated";

revoke all ("payment_number") on table "public"."payments" from "authenticated";

grant insert ("payment_number"), update ("payment_number") on table "public"."payments" to "authenticated";

revoke all on table "public"."payments" from "authenticated";

grant delete, select on table "public"."payments" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."payments" to "postgres";

revoke all ("amount") on table "public"."payments" from "service_role";

grant insert ("amount"), update ("amount") on table "public"."payments" to "service_role";

revoke all ("bank_reference") on table "public"."payments" from "service_role";

grant insert ("bank_reference"), update ("bank_reference") on table "public"."payments" to "service_role";

revoke all ("currency") on table "public"."payments" from "service_role";

grant insert ("currency"), update ("currency") on table "public"."payments" to "service_role";

revoke all ("id") on table "public"."payments" from "service_role";

grant insert ("id") on table "public"."payments" to "service_role";

revoke all ("invoice_id") on table "public"."payments" from "service_role";

grant insert ("invoice_id"), update ("invoice_id") on table "public"."payments" to "service_role";

revoke all ("method") on table "public"."payments" from "service_role";

grant insert ("method"), update ("method") on table "public"."payments" to "service_role";

revoke all ("notes") on table "public"."payments" from "service_role";

grant insert ("notes"), update ("notes") on table "public"."payments" to "service_role";

revoke all ("order_id") on table "public"."payments" from "service_role";

grant insert ("order_id"), update ("order_id") on table "public"."payments" to "service_role";

revoke all ("org_id") on table "public"."payments" from "service_role";

grant insert ("org_id") on table "public"."payments" to "service_role";

revoke all ("paid_on") on table "public"."payments" from "service_role";

grant insert ("paid_on"), update ("paid_on") on table "public"."payments" to "service_role";

revoke all ("payment_number") on table "public"."payments" from "service_role";

grant insert ("payment_number"), update ("payment_number") on table "public"."payments" to "service_role";

revoke all on table "public"."payments" from "service_role";

grant delete, select on table "public"."payments" to "service_role";

-- schemas/public/tables/products.sql

create table "public"."products" (
  "id"          uuid                     not null default gen_random_uuid(),
  "org_id"      uuid                     not null,
  "sku"         text                     not null,
  "name"        text                     not null,
  "description" text,
  "category"    text,
  "unit_price"  numeric(12,2)            not null,
  "currency"    text                     not null default 'EUR'::text,
  "weight_kg"   numeric(10,3),
  "barcode"     text,
  "is_active"   boolean                  not null default true,
  "created_at"  timestamp with time zone not null default now(),
  "updated_at"  timestamp with time zone not null default now(),
  constraint "products_barcode_check" check ((length(barcode) <= 100)),
  constraint "products_barcode_org_id_key" unique (barcode, org_id),
  constraint "products_currency_check" check ((currency ~ '^[A-Z]{3}$'::text)),
  constraint "products_id_org_id_key" unique (id, org_id),
  constraint "products_name_check" check ((length(name) <= 200)),
  constraint "products_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "products_org_id_sku_key" unique (org_id, sku),
  constraint "products_pkey" primary key (id),
  constraint "products_sku_check" check ((length(sku) <= 100)),
  constraint "products_unit_price_check" check ((unit_price >= (0)::numeric)),
  constraint "products_weight_kg_check" check ((weight_kg >= (0)::numeric))
);

alter table "public"."products"
  enable row level security;

create trigger _100_touch_updated_at
  before update on public.products
  for each row
  execute function private.tg__touch_updated_at();

create policy "products_delete_admin" on "public"."products"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "products_insert_member" on "public"."products"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "products_select_viewer" on "public"."products"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "products_update_member" on "public"."products"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."products"."currency" is 'ISO 4217, upper case.';

comment on column "public"."products"."sku" is 'The article number: the key of imports.';

comment on table "public"."products" is 'What an organization sells.';

revoke all ("barcode") on table "public"."products" from "authenticated";

grant insert ("barcode"), update ("barcode") on table "public"."products" to "authenticated";

revoke all ("category") on table "public"."products" from "authenticated";

grant insert ("category"), update ("category") on table "public"."products" to "authenticated";

revoke all ("currency") on table "public"."products" from "authenticated";

grant insert ("currency"), update ("currency") on table "public"."products" to "authenticated";

revoke all ("description") on table "public"."products" from "authenticated";

grant insert ("description"), update ("description") on table "public"."products" to "authenticated";

revoke all ("id") on table "public"."products" from "authenticated";

grant insert ("id") on table "public"."products" to "authenticated";

revoke all ("is_active") on table "public"."products" from "authenticated";

grant insert ("is_active"), update ("is_active") on table "public"."products" to "authenticated";

revoke all ("name") on table "public"."products" from "authenticated";

grant insert ("name"), update ("name") on table "public"."products" to "authenticated";

revoke all ("org_id") on table "public"."products" from "authenticated";

grant insert ("org_id") on table "public"."products" to "authenticated";

revoke all ("sku") on table "public"."products" from "authenticated";

grant insert ("sku"), update ("sku") on table "public"."products" to "authenticated";

revoke all ("unit_price") on table "public"."products" from "authenticated";

grant insert ("unit_price"), update ("unit_price") on table "public"."products" to "authenticated";

revoke all ("weight_kg") on table "public"."products" from "authenticated";

grant insert ("weight_kg"), update ("weight_kg") on table "public"."products" to "authenticated";

revoke all on table "public"."products" from "authenticated";

grant delete, select on table "public"."products" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."products" to "postgres";

revoke all ("barcode") on table "public"."products" from "service_role";

grant insert ("barcode"), update ("barcode") on table "public"."products" to "service_role";

revoke all ("category") on table "public"."products" from "service_role";

grant insert ("category"), update ("category") on table "public"."products" to "service_role";

revoke all ("currency") on table "public"."products" from "service_role";

grant insert ("currency"), update ("currency") on table "public"."products" to "service_role";

revoke all ("description") on table "public"."products" from "service_role";

grant insert ("description"), update ("description") on table "public"."products" to "service_role";

revoke all ("id") on table "public"."products" from "service_role";

grant insert ("id") on table "public"."products" to "service_role";

revoke all ("is_active") on table "public"."products" from "service_role";

grant insert ("is_active"), update ("is_active") on table "public"."products" to "service_role";

revoke all ("name") on table "public"."products" from "service_role";

grant insert ("name"), update ("name") on table "public"."products" to "service_role";

revoke all ("org_id") on table "public"."products" from "service_role";

grant insert ("org_id") on table "public"."products" to "service_role";

revoke all ("sku") on table "public"."products" from "service_role";

grant insert ("sku"), update ("sku") on table "public"."products" to "service_role";

revoke all ("unit_price") on table "public"."products" from "service_role";

grant insert ("unit_price"), update ("unit_price") on table "public"."products" to "service_role";

revoke all ("weight_kg") on table "public"."products" from "service_role";

grant insert ("weight_kg"), update ("weight_kg") on table "public"."products" to "service_role";

revoke all on table "public"."products" from "service_role";

grant delete, select on table "public"."products" to "service_role";

-- schemas/public/tables/profiles.sql

create table "public"."profiles" (
  "id"              uuid                     not null,
  "org_id"          uuid,
  "email"           text,
  "full_name"       text,
  "avatar_url"      text,
  "is_system_admin" boolean                  not null default false,
  "is_active"       boolean                  not null default true,
  "created_at"      timestamp with time zone not null default now(),
  "updated_at"      timestamp with time zone not null default now(),
  constraint "profiles_id_fkey" foreign key (id) references auth.users(id) on delete cascade,
  constraint "profiles_org_id_fkey" foreign key (org_id) references public.organization(id) on delete set null,
  constraint "profiles_pkey" primary key (id)
);

alter table "public"."profiles"
  enable row level security;

alter table "public"."profiles"
  add column "org_role" public.org_role not null default 'viewer'::public.org_role;

create index profiles_email_idx on public.profiles using btree (lower(email));

create index profiles_org_id_idx on public.profiles using btree (org_id);

create trigger _100_touch_updated_at
  before update on public.profiles
  for each row
  execute function private.tg__touch_updated_at();

create policy "profiles_select_viewer" on "public"."profiles"
  for select
  to "authenticated"
  using (((id = ( select auth.uid() as uid)) or (org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids)))));

create policy "profiles_update_own" on "public"."profiles"
  for update
  to "authenticated"
  using ((id = ( select auth.uid() as uid)))
  with check ((id = ( SELECT auth.uid() AS uid)));

comment on column "public"."profiles"."is_active" is 'False takes every right away and leaves the account.';

comment on column "public"."profiles"."is_system_admin" is 'Sees all organizations. Set by postgres or the service key alone.';

comment on column "public"."profiles"."org_id" is 'Null until the person joins an organization.';

comment on table "public"."profiles" is 'A person, in at most one organization. Made when the auth user is made.';

revoke all ("avatar_url") on table "public"."profiles" from "authenticated";

grant update ("avatar_url") on table "public"."profiles" to "authenticated";

revoke all ("full_name") on table "public"."profiles" from "authenticated";

grant update ("full_name") on table "public"."profiles" to "authenticated";

revoke all on table "public"."profiles" from "authenticated";

grant select on table "public"."profiles" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."profiles" to "postgres";

revoke all on table "public"."profiles" from "service_role";

grant delete, insert, select, update on table "public"."profiles" to "service_role";

-- schemas/public/tables/scheduled_jobs.sql

create table "public"."scheduled_jobs" (
  "id"                  uuid                     not null default gen_random_uuid(),
  "org_id"              uuid                     not null,
  "job_type"            text                     not null,
  "phase"               text,
  "priority"            smallint                 not null default 0,
  "run_at"              timestamp with time zone not null default now(),
  "batch_id"            uuid,
  "params"              jsonb                    not null default '{}'::jsonb,
  "idempotency_key"     text,
  "actor"               uuid,
  "claims"              jsonb                    not null,
  "total_count"         bigint                   not null default 0,
  "done_count"          bigint                   not null default 0,
  "failed_count"        bigint                   not null default 0,
  "result"              jsonb,
  "error"               jsonb,
  "created_at"          timestamp with time zone not null default clock_timestamp(),
  "started_at"          timestamp with time zone,
  "running_since"       timestamp with time zone,
  "cancel_requested_at" timestamp with time zone,
  "finished_at"         timestamp with time zone,
  constraint "scheduled_jobs_batch_id_fkey" foreign key (batch_id) references public.import_batches(id) on delete cascade,
  constraint "scheduled_jobs_idempotency_key_check" check (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
  constraint "scheduled_jobs_job_type_fkey" foreign key (job_type) references private.job_types(job_type),
  constraint "scheduled_jobs_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "scheduled_jobs_pkey" primary key (id),
  "created_by"          uuid                     default auth.uid(),
  constraint "scheduled_jobs_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null
);

alter table "public"."scheduled_jobs"
  enable row level security;

alter table "public"."scheduled_jobs"
  add column "run_as" public.job_run_as not null;

alter table "public"."scheduled_jobs"
  add column "entity_type" public.sync_entity_type not null default 'other'::public.sync_entity_type;

alter table "public"."scheduled_jobs"
  add column "status" public.sync_status_type not null default 'pending'::public.sync_status_type;

alter table "public"."scheduled_jobs"
  add constraint "scheduled_jobs_finished_at_check" check (((finished_at IS
    NOT NULL) = (status = ANY (ARRAY['completed'::public.sync_status_type, 'failed'::public.sync_status_type, 'cancelled'::public.sync_status_type]))));

alter table "public"."scheduled_jobs"
  add constraint "scheduled_jobs_run_as_check" check (((run_as = 'user'::public.job_run_as) = (actor IS NOT NULL)));

create index scheduled_jobs_batch_id_created_at_idx on public.scheduled_jobs using btree (batch_id, created_at desc);

create index scheduled_jobs_finished_at_idx on public.scheduled_jobs using btree (finished_at);

create unique index scheduled_jobs_idempotency_key_key on public.scheduled_jobs using btree (batch_id, job_type, actor, idempotency_key) nulls not DISTINCT
  where (idempotency_key is not null);

create index scheduled_jobs_job_type_idx on public.scheduled_jobs using btree (job_type);

create index scheduled_jobs_org_id_created_at_idx on public.scheduled_jobs using btree (org_id, created_at desc);

create index scheduled_jobs_unfinished_idx on public.scheduled_jobs using btree (org_id, priority, run_at)
  where (status = ANY (ARRAY['pending'::public.sync_status_type, 'queued'::public.sync_status_type, 'running'::public.sync_status_type]));

create index scheduled_jobs_waiting_idx on public.scheduled_jobs using btree (org_id)
  where ((phase = 'waiting'::text) AND (finished_at is null));

create trigger _100_take_actor
  before insert on public.scheduled_jobs
  for each row
  execute function private.tg_scheduled_jobs__take_actor();

create trigger _200_resolve_import
  before insert on public.scheduled_jobs
  for each row
  when ((new.job_type = ANY (ARRAY['validate'::text, 'preview'::text, 'dry_run'::text, 'commit'::text, 'undo'::text])))
  execute function private.tg_scheduled_jobs__resolve_import();

create trigger _200_resolve_ingest
  before insert on public.scheduled_jobs
  for each row
  when ((new.job_type = 'ingest'::text))
  execute function private.tg_scheduled_jobs__resolve_ingest();

create trigger _200_resolve_sync
  before insert on public.scheduled_jobs
  for each row
  when ((new.job_type = 'sync'::text))
  execute function private.tg_scheduled_jobs__resolve_sync();

create trigger _300_guard_identity
  before update on public.scheduled_jobs
  for each row
  when
    (((((((old.org_id IS DISTINCT FROM new.org_id) OR (old.job_type IS DISTINCT FROM new.job_type)) OR (old.batch_id IS DISTINCT FROM new.batch_id)) OR (old.run_as IS DISTINCT FROM
    new.run_as)) OR (old.actor IS DISTINCT FROM new.actor)) OR (old.claims IS DISTINCT FROM new.claims)))
  execute function private.tg_scheduled_jobs__guard_identity();

create trigger _400_queue_over_limit
  before insert on public.scheduled_jobs
  for each row
  execute function private.tg_scheduled_jobs__queue_over_limit();

create trigger _500_report_progress
  after insert or update of status, started_at, total_count, done_count, failed_count on public.scheduled_jobs
  for each row
  execute function private.tg_scheduled_jobs__report_progress();

create trigger _500_stamp_running
  before update of status on public.scheduled_jobs
  for each row
  when ((old.status IS DISTINCT FROM new.status))
  execute function private.tg_scheduled_jobs__stamp_running();

create trigger _600_settle_resumed
  after update of status on public.scheduled_jobs
  for each row
  when (((old.status = 'paused'::public.sync_status_type) AND (new.status = 'queued'::public.sync_status_type) AND (new.phase = 'waiting'::text)))
  execute function private.tg_scheduled_jobs__settle_resumed();

create trigger _600_start_import_job
  after insert on public.scheduled_jobs
  for each row
  when ((new.job_type = ANY (ARRAY['validate'::text, 'preview'::text, 'dry_run'::text, 'commit'::text, 'undo'::text])))
  execute function private.tg_scheduled_jobs__start_import_job();

create trigger _600_start_ingest
  after insert on public.scheduled_jobs
  for each row
  when ((new.job_type = 'ingest'::text))
  execute function private.tg_scheduled_jobs__start_ingest();

create trigger _600_start_sync
  after insert on public.scheduled_jobs
  for each row
  when ((new.job_type = 'sync'::text))
  execute function private.tg_scheduled_jobs__start_sync();

create trigger _700_tell_webhooks
  after update of status on public.scheduled_jobs
  for each row
  when (((old.status <> 'failed'::public.sync_status_type) AND (new.status = 'failed'::public.sync_status_type)))
  execute function private.tg_scheduled_jobs__tell_webhooks();

create trigger _800_release_queued
  after update of status on public.scheduled_jobs
  for each row
  when
    (((old.status = ANY (ARRAY['pending'::public.sync_status_type, 'running'::public.sync_status_type])) AND (new.status = ANY (ARRAY['paused'::public.sync_status_type,
    'completed'::public.sync_status_type, 'failed'::public.sync_status_type, 'cancelled'::public.sync_status_type]))))
  execute function private.tg_scheduled_jobs__release_queued();

create trigger _900_follow_ingest
  after update of status on public.scheduled_jobs
  for each row
  when (((new.job_type = 'ingest'::text) AND (new.status = 'completed'::public.sync_status_type) AND (old.status <> 'completed'::public.sync_status_type)))
  execute function private.tg_scheduled_jobs__follow_ingest();

create policy "scheduled_jobs_delete" on "public"."scheduled_jobs"
  for delete
  to "authenticated"
  using (false);

create policy "scheduled_jobs_select_viewer" on "public"."scheduled_jobs"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "scheduled_jobs_update" on "public"."scheduled_jobs"
  for update
  to "authenticated"
  using (false);

comment on column "public"."scheduled_jobs"."actor" is 'Whose rights it works with; null for the service. Never changes.';

comment on column "public"."scheduled_jobs"."claims" is 'The verified JWT claims of whoever started it. Never change, never shown to clients.';

comment on column "public"."scheduled_jobs"."error" is 'Why it failed, or is about to when the tasks in flight have ended: { code, message, details, hint }.';

comment on column "public"."scheduled_jobs"."params" is 'What to do. Import jobs: { "import_id": uuid, … }.';

comment on column "public"."scheduled_jobs"."phase" is 'What its tasks are at now; waiting: for other jobs, not for its turn.';

comment on column "public"."scheduled_jobs"."priority" is 'Lower runs first, within the organization.';

comment on column "public"."scheduled_jobs"."result" is 'What came of it, where its type says more than the counts do.';

comment on column "public"."scheduled_jobs"."run_at" is 'Not before this time; until then it is queued.';

comment on column "public"."scheduled_jobs"."running_since" is 'When it began to run, or to run again after a pause; null while it does not.';

comment on column "public"."scheduled_jobs"."total_count" is 'Rows to work on in all its phases; of an ingest bytes.';

comment on table "public"."scheduled_jobs" is 'Background work that people see. Inserting job_type and params starts it; the rest is filled in and cannot be chosen.';

revoke all ("actor") on table "public"."scheduled_jobs" from "authenticated";

grant select ("actor") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("batch_id") on table "public"."scheduled_jobs" from "authenticated";

grant select ("batch_id") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("cancel_requested_at") on table "public"."scheduled_jobs" from "authenticated";

grant select ("cancel_requested_at") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("created_at") on table "public"."scheduled_jobs" from "authenticated";

grant select ("created_at") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("done_count") on table "public"."scheduled_jobs" from "authenticated";

grant select ("done_count") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("entity_type") on table "public"."scheduled_jobs" from "authenticated";

grant select ("entity_type") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("error") on table "public"."scheduled_jobs" from "authenticated";

grant select ("error") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("failed_count") on table "public"."scheduled_jobs" from "authenticated";

grant select ("failed_count") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("finished_at") on table "public"."scheduled_jobs" from "authenticated";

grant select ("finished_at") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("idempotency_key") on table "public"."scheduled_jobs" from "authenticated";

grant insert ("idempotency_key"), select ("idempotency_key") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("id") on table "public"."scheduled_jobs" from "authenticated";

grant select ("id") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("job_type") on table "public"."scheduled_jobs" from "authenticated";

grant insert ("job_type"), select ("job_type") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("org_id") on table "public"."scheduled_jobs" from "authenticated";

grant select ("org_id") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("params") on table "public"."scheduled_jobs" from "authenticated";

grant insert ("params"), select ("params") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("phase") on table "public"."scheduled_jobs" from "authenticated";

grant select ("phase") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("priority") on table "public"."scheduled_jobs" from "authenticated";

grant select ("priority") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("result") on table "public"."scheduled_jobs" from "authenticated";

grant select ("result") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("run_as") on table "public"."scheduled_jobs" from "authenticated";

grant select ("run_as") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("run_at") on table "public"."scheduled_jobs" from "authenticated";

grant select ("run_at") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("running_since") on table "public"."scheduled_jobs" from "authenticated";

grant select ("running_since") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("started_at") on table "public"."scheduled_jobs" from "authenticated";

grant select ("started_at") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("status") on table "public"."scheduled_jobs" from "authenticated";

grant select ("status") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("total_count") on table "public"."scheduled_jobs" from "authenticated";

grant select ("total_count") on table "public"."scheduled_jobs" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."scheduled_jobs" to "postgres";

revoke all ("actor") on table "public"."scheduled_jobs" from "service_role";

grant select ("actor") on table "public"."scheduled_jobs" to "service_role";

revoke all ("batch_id") on table "public"."scheduled_jobs" from "service_role";

grant select ("batch_id") on table "public"."scheduled_jobs" to "service_role";

revoke all ("cancel_requested_at") on table "public"."scheduled_jobs" from "service_role";

grant select ("cancel_requested_at") on table "public"."scheduled_jobs" to "service_role";

revoke all ("created_at") on table "public"."scheduled_jobs" from "service_role";

grant select ("created_at") on table "public"."scheduled_jobs" to "service_role";

revoke all ("done_count") on table "public"."scheduled_jobs" from "service_role";

grant select ("done_count") on table "public"."scheduled_jobs" to "service_role";

revoke all ("entity_type") on table "public"."scheduled_jobs" from "service_role";

grant select ("entity_type") on table "public"."scheduled_jobs" to "service_role";

revoke all ("error") on table "public"."scheduled_jobs" from "service_role";

grant select ("error") on table "public"."scheduled_jobs" to "service_role";

revoke all ("failed_count") on table "public"."scheduled_jobs" from "service_role";

grant select ("failed_count") on table "public"."scheduled_jobs" to "service_role";

revoke all ("finished_at") on table "public"."scheduled_jobs" from "service_role";

grant select ("finished_at") on table "public"."scheduled_jobs" to "service_role";

revoke all ("idempotency_key") on table "public"."scheduled_jobs" from "service_role";

grant insert ("idempotency_key"), select ("idempotency_key") on table "public"."scheduled_jobs" to "service_role";

revoke all ("id") on table "public"."scheduled_jobs" from "service_role";

grant select ("id") on table "public"."scheduled_jobs" to "service_role";

revoke all ("job_type") on table "public"."scheduled_jobs" from "service_role";

grant insert ("job_type"), select ("job_type") on table "public"."scheduled_jobs" to "service_role";

revoke all ("org_id") on table "public"."scheduled_jobs" from "service_role";

grant select ("org_id") on table "public"."scheduled_jobs" to "service_role";

revoke all ("params") on table "public"."scheduled_jobs" from "service_role";

grant insert ("params"), select ("params") on table "public"."scheduled_jobs" to "service_role";

revoke all ("phase") on table "public"."scheduled_jobs" from "service_role";

grant select ("phase") on table "public"."scheduled_jobs" to "service_role";

revoke all ("priority") on table "public"."scheduled_jobs" from "service_role";

grant select ("priority") on table "public"."scheduled_jobs" to "service_role";

revoke all ("result") on table "public"."scheduled_jobs" from "service_role";

grant select ("result") on table "public"."scheduled_jobs" to "service_role";

revoke all ("run_as") on table "public"."scheduled_jobs" from "service_role";

grant select ("run_as") on table "public"."scheduled_jobs" to "service_role";

revoke all ("run_at") on table "public"."scheduled_jobs" from "service_role";

grant select ("run_at") on table "public"."scheduled_jobs" to "service_role";

revoke all ("running_since") on table "public"."scheduled_jobs" from "service_role";

grant select ("running_since") on table "public"."scheduled_jobs" to "service_role";

revoke all ("started_at") on table "public"."scheduled_jobs" from "service_role";

grant select ("started_at") on table "public"."scheduled_jobs" to "service_role";

revoke all ("status") on table "public"."scheduled_jobs" from "service_role";

grant select ("status") on table "public"."scheduled_jobs" to "service_role";

revoke all ("total_count") on table "public"."scheduled_jobs" from "service_role";

grant select ("total_count") on table "public"."scheduled_jobs" to "service_role";

create index scheduled_jobs_created_by_idx on public.scheduled_jobs using btree (created_by);

create policy "scheduled_jobs_insert_member" on "public"."scheduled_jobs"
  for insert
  to "authenticated"
  with check (((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))) AND (created_by = ( SELECT auth.uid() AS uid))));

revoke all ("created_by") on table "public"."scheduled_jobs" from "authenticated";

grant select ("created_by") on table "public"."scheduled_jobs" to "authenticated";

revoke all ("created_by") on table "public"."scheduled_jobs" from "service_role";

grant select ("created_by") on table "public"."scheduled_jobs" to "service_role";

-- schemas/public/tables/sync_activity_log.sql

create table "public"."sync_activity_log" (
  "id"            uuid                     not null,
  "org_id"        uuid                     not null,
  "user_id"       uuid,
  "sync_id"       text,
  "entity_type"   public.sync_entity_type  not null,
  "action"        public.sync_action       not null,
  "status"        public.sync_status_type  not null,
  "details"       jsonb                    not null,
  "error_message" text,
  "created_at"    timestamp with time zone not null
) partition by range (created_at);

alter table "public"."sync_activity_log"
  enable row level security;

alter table "public"."sync_activity_log"
  alter column "created_at" set default now();

alter table "public"."sync_activity_log"
  alter column "details" set default '{}'::jsonb;

alter table "public"."sync_activity_log"
  alter column "id" set default gen_random_uuid();

alter table "public"."sync_activity_log"
  add constraint "sync_activity_log_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade;

alter table "public"."sync_activity_log"
  add constraint "sync_activity_log_pkey" primary key (id, created_at);

create index sync_activity_log_org_id_created_at_idx on only public.sync_activity_log using btree (org_id, created_at desc);

create index sync_activity_log_sync_id_idx on only public.sync_activity_log using btree (sync_id);

create index sync_activity_log_user_id_idx on only public.sync_activity_log using btree (user_id, created_at desc);

create policy "sync_activity_log_delete" on "public"."sync_activity_log"
  for delete
  to "authenticated"
  using (false);

create policy "sync_activity_log_insert" on "public"."sync_activity_log"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_activity_log_select" on "public"."sync_activity_log"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_activity_log_update" on "public"."sync_activity_log"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_activity_log"."sync_id" is 'Id of the import or job that the entry is about.';

comment on column "public"."sync_activity_log"."user_id" is 'The person who acted; null for the service key and for schedules.';

comment on table "public"."sync_activity_log" is 'Who did what to what, when. Written by Sluice alone, never changed.';

revoke all on table "public"."sync_activity_log" from "authenticated";

grant select on table "public"."sync_activity_log" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_activity_log" to "postgres";

revoke all on table "public"."sync_activity_log" from "service_role";

grant select on table "public"."sync_activity_log" to "service_role";

-- schemas/public/tables/sync_error_log.sql

create table "public"."sync_error_log" (
  "id"       bigint                   generated always as identity not null,
  "org_id"   uuid                     not null,
  "job_id"   uuid                     not null,
  "task_id"  bigint,
  "attempt"  smallint,
  "sqlstate" text                     not null,
  "message"  text                     not null,
  "detail"   text,
  "hint"     text,
  "context"  text,
  "at"       timestamp with time zone not null default clock_timestamp(),
  constraint "sync_error_log_job_id_fkey" foreign key (job_id) references public.scheduled_jobs(id) on delete cascade,
  constraint "sync_error_log_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_error_log_pkey" primary key (id)
);

alter table "public"."sync_error_log"
  enable row level security;

create index sync_error_log_at_idx on public.sync_error_log using btree (at desc);

create index sync_error_log_job_id_idx on public.sync_error_log using btree (job_id, at desc);

create index sync_error_log_org_id_at_idx on public.sync_error_log using btree (org_id, at desc);

create policy "sync_error_log_delete" on "public"."sync_error_log"
  for delete
  to "authenticated"
  using (false);

create policy "sync_error_log_insert" on "public"."sync_error_log"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_error_log_select_admin" on "public"."sync_error_log"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_error_log_update" on "public"."sync_error_log"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_error_log"."sqlstate" is 'Where the job was stopped, the name of the reason: actor_left, job_overdue, …';

comment on table "public"."sync_error_log" is 'Every failed attempt of a task, and why jobs were stopped. 57P01 "worker lost": its process ended without a word.';

revoke all on table "public"."sync_error_log" from "authenticated";

grant select on table "public"."sync_error_log" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_error_log" to "postgres";

revoke all on table "public"."sync_error_log" from "service_role";

grant select on table "public"."sync_error_log" to "service_role";

-- schemas/public/tables/sync_job_queue.sql

create table "public"."sync_job_queue" (
  "id"              bigint                   generated always as identity not null,
  "job_id"          uuid                     not null,
  "org_id"          uuid                     not null,
  "task_type"       text                     not null,
  "from_row"        integer                  not null,
  "to_row"          integer                  not null,
  "args"            jsonb                    not null default '{}'::jsonb,
  "priority"        smallint                 not null default 0,
  "attempts"        smallint                 not null default 0,
  "next_attempt_at" timestamp with time zone not null default clock_timestamp(),
  "token"           uuid,
  "claimed_by"      integer,
  "claimed_at"      timestamp with time zone,
  "created_at"      timestamp with time zone not null default clock_timestamp(),
  constraint "sync_job_queue_job_id_fkey" foreign key (job_id) references public.scheduled_jobs(id) on delete cascade,
  constraint "sync_job_queue_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_job_queue_pkey" primary key (id),
  constraint "sync_job_queue_to_row_check" check ((from_row <= to_row))
);

alter table "public"."sync_job_queue"
  enable row level security;

alter table "public"."sync_job_queue"
  set (fillfactor=70);

alter table "public"."sync_job_queue"
  add column "status" public.task_status not null default 'pending'::public.task_status;

create index sync_job_queue_claim_idx on public.sync_job_queue using btree (org_id, priority, id)
  where (status = ANY (ARRAY['pending'::public.task_status, 'running'::public.task_status]));

create index sync_job_queue_job_id_idx on public.sync_job_queue using btree (job_id);

create index sync_job_queue_org_id_idx on public.sync_job_queue using btree (org_id);

create policy "sync_job_queue_delete" on "public"."sync_job_queue"
  for delete
  to "authenticated"
  using (false);

create policy "sync_job_queue_insert" on "public"."sync_job_queue"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_job_queue_select_admin" on "public"."sync_job_queue"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_job_queue_update" on "public"."sync_job_queue"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_job_queue"."args" is 'What the task is about, beside its range.';

comment on column "public"."sync_job_queue"."claimed_by" is 'Process id of the backend that took it last.';

comment on column "public"."sync_job_queue"."from_row" is 'The range begins after this row (a bucket''s number, where the task type says so).';

comment on column "public"."sync_job_queue"."next_attempt_at" is 'Not claimed before; while a call of the worker function is on its way, when that counts as lost.';

comment on column "public"."sync_job_queue"."to_row" is 'The range ends with this row.';

comment on column "public"."sync_job_queue"."token" is 'Set while a call of the worker function is on its way, which alone knows it. Never shown to clients.';

comment on table "public"."sync_job_queue" is 'Tasks: the chunks of jobs that one worker takes. Finished ones are deleted, given-up ones stay as failed.';

revoke all ("args") on table "public"."sync_job_queue" from "authenticated";

grant select ("args") on table "public"."sync_job_queue" to "authenticated";

revoke all ("attempts") on table "public"."sync_job_queue" from "authenticated";

grant select ("attempts") on table "public"."sync_job_queue" to "authenticated";

revoke all ("claimed_at") on table "public"."sync_job_queue" from "authenticated";

grant select ("claimed_at") on table "public"."sync_job_queue" to "authenticated";

revoke all ("claimed_by") on table "public"."sync_job_queue" from "authenticated";

grant select ("claimed_by") on table "public"."sync_job_queue" to "authenticated";

revoke all ("created_at") on table "public"."sync_job_queue" from "authenticated";

grant select ("created_at") on table "public"."sync_job_queue" to "authenticated";

revoke all ("from_row") on table "public"."sync_job_queue" from "authenticated";

grant select ("from_row") on table "public"."sync_job_queue" to "authenticated";

revoke all ("id") on table "public"."sync_job_queue" from "authenticated";

grant select ("id") on table "public"."sync_job_queue" to "authenticated";

revoke all ("job_id") on table "public"."sync_job_queue" from "authenticated";

grant select ("job_id") on table "public"."sync_job_queue" to "authenticated";

revoke all ("next_attempt_at") on table "public"."sync_job_queue" from "authenticated";

grant select ("next_attempt_at") on table "public"."sync_job_queue" to "authenticated";

revoke all ("org_id") on table "public"."sync_job_queue" from "authenticated";

grant select ("org_id") on table "public"."sync_job_queue" to "authenticated";

revoke all ("priority") on table "public"."sync_job_queue" from "authenticated";

grant select ("priority") on table "public"."sync_job_queue" to "authenticated";

revoke all ("status") on table "public"."sync_job_queue" from "authenticated";

grant select ("status") on table "public"."sync_job_queue" to "authenticated";

revoke all ("task_type") on table "public"."sync_job_queue" from "authenticated";

grant select ("task_type") on table "public"."sync_job_queue" to "authenticated";

revoke all ("to_row") on table "public"."sync_job_queue" from "authenticated";

grant select ("to_row") on table "public"."sync_job_queue" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_job_queue" to "postgres";

revoke all ("args") on table "public"."sync_job_queue" from "service_role";

grant select ("args") on table "public"."sync_job_queue" to "service_role";

revoke all ("attempts") on table "public"."sync_job_queue" from "service_role";

grant select ("attempts") on table "public"."sync_job_queue" to "service_role";

revoke all ("claimed_at") on table "public"."sync_job_queue" from "service_role";

grant select ("claimed_at") on table "public"."sync_job_queue" to "service_role";

revoke all ("claimed_by") on table "public"."sync_job_queue" from "service_role";

grant select ("claimed_by") on table "public"."sync_job_queue" to "service_role";

revoke all ("created_at") on table "public"."sync_job_queue" from "service_role";

grant select ("created_at") on table "public"."sync_job_queue" to "service_role";

revoke all ("from_row") on table "public"."sync_job_queue" from "service_role";

grant select ("from_row") on table "public"."sync_job_queue" to "service_role";

revoke all ("id") on table "public"."sync_job_queue" from "service_role";

grant select ("id") on table "public"."sync_job_queue" to "service_role";

revoke all ("job_id") on table "public"."sync_job_queue" from "service_role";

grant select ("job_id") on table "public"."sync_job_queue" to "service_role";

revoke all ("next_attempt_at") on table "public"."sync_job_queue" from "service_role";

grant select ("next_attempt_at") on table "public"."sync_job_queue" to "service_role";

revoke all ("org_id") on table "public"."sync_job_queue" from "service_role";

grant select ("org_id") on table "public"."sync_job_queue" to "service_role";

revoke all ("priority") on table "public"."sync_job_queue" from "service_role";

grant select ("priority") on table "public"."sync_job_queue" to "service_role";

revoke all ("status") on table "public"."sync_job_queue" from "service_role";

grant select ("status") on table "public"."sync_job_queue" to "service_role";

revoke all ("task_type") on table "public"."sync_job_queue" from "service_role";

grant select ("task_type") on table "public"."sync_job_queue" to "service_role";

revoke all ("to_row") on table "public"."sync_job_queue" from "service_role";

grant select ("to_row") on table "public"."sync_job_queue" to "service_role";

-- schemas/public/tables/sync_preview_cache.sql

create table "public"."sync_preview_cache" (
  "id"           uuid                     not null default gen_random_uuid(),
  "org_id"       uuid                     not null,
  "cache_key"    text                     not null,
  "preview_data" jsonb                    not null,
  "created_at"   timestamp with time zone not null default now(),
  "expires_at"   timestamp with time zone not null default (now() + '01:00:00'::interval),
  constraint "sync_preview_cache_expires_at_check" check ((expires_at > created_at)),
  constraint "sync_preview_cache_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_preview_cache_pkey" primary key (id)
);

alter table "public"."sync_preview_cache"
  enable row level security;

alter table "public"."sync_preview_cache"
  add column "entity_type" public.sync_entity_type not null;

alter table "public"."sync_preview_cache"
  add column "sync_type" public.sync_type not null;

alter table "public"."sync_preview_cache"
  add constraint "sync_preview_cache_cache_key_key" unique (org_id, sync_type, cache_key);

create index sync_preview_cache_expires_at_idx on public.sync_preview_cache using btree (expires_at);

create policy "preview_cache_delete" on "public"."sync_preview_cache"
  for delete
  to "authenticated"
  using (false);

create policy "preview_cache_insert" on "public"."sync_preview_cache"
  for insert
  to "authenticated"
  with check (false);

create policy "preview_cache_select" on "public"."sync_preview_cache"
  for select
  to "authenticated"
  using (((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))) AND (cache_key ~~ ('%:'::text || ( select auth.uid() as uid))) AND
CASE
    when (sync_type = 'import'::public.sync_type) THEN (exists ( select
       from public.import_batches b
      where (b.id = (split_part(sync_preview_cache.cache_key, ':'::text, 1))::uuid)))
    ELSE true
end));

create policy "preview_cache_update" on "public"."sync_preview_cache"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_preview_cache"."cache_key" is 'What it is a preview of, a colon, and whose it is: <import id>:<user id>, or :service.';

comment on column "public"."sync_preview_cache"."preview_data" is '{ kind: counts|full, counts: { insert, update, unchanged, delete, fail, skip }, changes: [{ row_number, key, action, before, after }] }.';

comment on table "public"."sync_preview_cache" is 'What a synchronization would do, for an hour. It shows records, so it is seen by whoever asked for it, with whose rights they were read.';

revoke all on table "public"."sync_preview_cache" from "authenticated";

grant select on table "public"."sync_preview_cache" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_preview_cache" to "postgres";

revoke all on table "public"."sync_preview_cache" from "service_role";

grant delete, select on table "public"."sync_preview_cache" to "service_role";

-- schemas/public/tables/sync_progress.sql

create table "public"."sync_progress" (
  "id"                  uuid                     not null default gen_random_uuid(),
  "org_id"              uuid                     not null,
  "sync_id"             text                     not null,
  "source_system"       text                     not null default 'sluice'::text,
  "total_items"         bigint                   not null default 0,
  "processed_count"     bigint                   not null default 0,
  "current_item"        bigint                   not null default 0,
  "failed_count"        bigint                   not null default 0,
  "elapsed_seconds"     numeric(12,3)            not null default 0,
  "speed_items_per_min" numeric(14,1),
  "eta_seconds"         numeric(12,1),
  "started_at"          timestamp with time zone not null default clock_timestamp(),
  "updated_at"          timestamp with time zone not null default clock_timestamp(),
  "completed_at"        timestamp with time zone,
  constraint "sync_progress_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_progress_org_id_sync_id_key" unique (org_id, sync_id),
  constraint "sync_progress_pkey" primary key (id)
);

alter table "public"."sync_progress"
  enable row level security;

alter table "public"."sync_progress"
  add column "entity_type" public.sync_entity_type not null;

alter table "public"."sync_progress"
  add column "status" public.sync_status_type not null default 'pending'::public.sync_status_type;

create trigger sync_progress_log_completion
  after update of status on public.sync_progress
  for each row
  when
    (((old.status IS DISTINCT FROM new.status) AND (new.status = ANY (ARRAY['completed'::public.sync_status_type, 'failed'::public.sync_status_type,
    'cancelled'::public.sync_status_type]))))
  execute function public.auto_log_sync_activity_on_progress_change();

create trigger sync_progress_update_elapsed
  before insert or update on public.sync_progress
  for each row
  execute function public.update_sync_progress_elapsed();

create trigger sync_progress_update_timestamp
  before update on public.sync_progress
  for each row
  execute function public.update_sync_progress_timestamp();

create trigger sync_progress_validate_totals
  before insert or update on public.sync_progress
  for each row
  execute function public.validate_sync_progress_totals();

create policy "sync_progress_delete" on "public"."sync_progress"
  for delete
  to "authenticated"
  using (false);

create policy "sync_progress_insert" on "public"."sync_progress"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_progress_select" on "public"."sync_progress"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "sync_progress_update" on "public"."sync_progress"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_progress"."elapsed_seconds" is 'Since started_at. Set by trigger, like the two below.';

comment on column "public"."sync_progress"."eta_seconds" is 'Seconds that the rest will take at the speed so far; null before the first item.';

comment on table "public"."sync_progress" is 'How far each job is; one row a job (sync_id is its id).';

revoke all on table "public"."sync_progress" from "authenticated";

grant select on table "public"."sync_progress" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_progress" to "postgres";

revoke all on table "public"."sync_progress" from "service_role";

grant select on table "public"."sync_progress" to "service_role";

-- schemas/public/tables/sync_retry_policy.sql

create table "public"."sync_retry_policy" (
  "job_type"      text     not null,
  "max_attempts"  smallint not null default 5,
  "base_delay"    interval not null default '00:00:01'::interval,
  "factor"        numeric  not null default 2,
  "max_delay"     interval not null default '00:01:00'::interval,
  "jitter"        numeric  not null default 0.2,
  "retry_classes" text[]   not null default '{08,40,53,55,57,58,XX}'::text[],
  constraint "sync_retry_policy_factor_check" check (((factor >= (1)::numeric) AND (factor <= (100)::numeric))),
  constraint "sync_retry_policy_jitter_check" check (((jitter >= (0)::numeric) AND (jitter <= (1)::numeric))),
  constraint "sync_retry_policy_job_type_fkey" foreign key (job_type) references private.job_types(job_type),
  constraint "sync_retry_policy_max_attempts_check" check (((max_attempts >= 1) AND (max_attempts <= 100))),
  constraint "sync_retry_policy_pkey" primary key (job_type)
);

alter table "public"."sync_retry_policy"
  enable row level security;

create policy "sync_retry_policy_delete" on "public"."sync_retry_policy"
  for delete
  to "authenticated"
  using (false);

create policy "sync_retry_policy_insert" on "public"."sync_retry_policy"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_retry_policy_select" on "public"."sync_retry_policy"
  for select
  to "authenticated"
  using (true);

create policy "sync_retry_policy_update" on "public"."sync_retry_policy"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_retry_policy"."retry_classes" is 'SQLSTATE classes that are worth another attempt; all others give the task up at once.';

comment on table "public"."sync_retry_policy" is 'When a failed task is tried again: after base_delay, times factor at each attempt up to max_delay, more or less by the share jitter.';

revoke all on table "public"."sync_retry_policy" from "authenticated";

grant select on table "public"."sync_retry_policy" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_retry_policy" to "postgres";

revoke all on table "public"."sync_retry_policy" from "service_role";

grant select, update on table "public"."sync_retry_policy" to "service_role";

-- schemas/public/tables/sync_runs.sql

create table "public"."sync_runs" (
  "id"               uuid                     not null default gen_random_uuid(),
  "org_id"           uuid                     not null,
  "source_id"        uuid                     not null,
  "schedule_id"      uuid,
  "is_forced"        boolean                  not null default false,
  "reason"           text,
  "job_id"           uuid,
  "import_id"        uuid,
  "delete_import_id" uuid,
  "fetched"          jsonb                    not null default '{}'::jsonb,
  "known_count"      integer,
  "deletion_count"   integer,
  "skipped_count"    integer                  not null default 0,
  "error"            jsonb,
  "started_by"       uuid,
  "approved_by"      uuid,
  "approved_at"      timestamp with time zone,
  "created_at"       timestamp with time zone not null default clock_timestamp(),
  "started_at"       timestamp with time zone,
  "finished_at"      timestamp with time zone,
  constraint "sync_runs_approved_by_fkey" foreign key (approved_by) references auth.users(id) on delete set null,
  constraint "sync_runs_delete_import_id_fkey" foreign key (delete_import_id) references public.import_batches(id) on delete set null,
  constraint "sync_runs_import_id_fkey" foreign key (import_id) references public.import_batches(id) on delete set null,
  constraint "sync_runs_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_runs_pkey" primary key (id),
  constraint "sync_runs_started_by_fkey" foreign key (started_by) references auth.users(id) on delete set null,
  constraint "sync_runs_schedule_id_fkey" foreign key (schedule_id) references public.sync_schedule(id) on delete set null,
  constraint "sync_runs_source_id_fkey" foreign key (source_id) references public.sync_sources(id) on delete cascade
);

alter table "public"."sync_runs"
  enable row level security;

alter table "public"."sync_runs"
  add column "status" public.sync_run_status not null;

alter table "public"."sync_runs"
  add constraint "sync_runs_finished_at_check" check (((finished_at IS
    NOT NULL) =
    (status = ANY (ARRAY['completed'::public.sync_run_status, 'unchanged'::public.sync_run_status, 'failed'::public.sync_run_status, 'cancelled'::public.sync_run_status]))));

create index sync_runs_approved_by_idx on public.sync_runs using btree (approved_by);

create index sync_runs_delete_import_id_idx on public.sync_runs using btree (delete_import_id);

create index sync_runs_finished_at_idx on public.sync_runs using btree (finished_at);

create index sync_runs_import_id_idx on public.sync_runs using btree (import_id);

create index sync_runs_job_id_idx on public.sync_runs using btree (job_id);

create index sync_runs_org_id_created_at_idx on public.sync_runs using btree (org_id, created_at desc);

create index sync_runs_schedule_id_idx on public.sync_runs using btree (schedule_id);

create index sync_runs_source_id_created_at_idx on public.sync_runs using btree (source_id, created_at desc);

create index sync_runs_started_by_idx on public.sync_runs using btree (started_by);

create unique index sync_runs_under_way_key on public.sync_runs using btree (source_id)
  where
    (status = ANY (ARRAY['fetching'::public.sync_run_status, 'validating'::public.sync_run_status, 'awaiting_approval'::public.sync_run_status,
    'committing'::public.sync_run_status, 'deleting'::public.sync_run_status]));

create trigger _300_guard_status
  before update of status on public.sync_runs
  for each row
  when ((old.status IS DISTINCT FROM new.status))
  execute function private.tg_sync_runs__guard_status();

create trigger _700_tell_webhooks
  after update of status on public.sync_runs
  for each row
  when
    (((old.status <> new.status) AND (new.status = ANY (ARRAY['awaiting_approval'::public.sync_run_status, 'completed'::public.sync_run_status, 'unchanged'::public.sync_run_status,
    'failed'::public.sync_run_status, 'cancelled'::public.sync_run_status]))))
  execute function private.tg_sync_runs__tell_webhooks();

create policy "sync_runs_delete" on "public"."sync_runs"
  for delete
  to "authenticated"
  using (false);

create policy "sync_runs_insert" on "public"."sync_runs"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_runs_select_admin" on "public"."sync_runs"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_runs_update" on "public"."sync_runs"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_runs"."deletion_count" is 'Of mirrors: those of them that the source no longer has.';

comment on column "public"."sync_runs"."fetched" is 'What came: status, bytes, pages, row_count, columns, etag, last_modified, content_hash, object.';

comment on column "public"."sync_runs"."is_forced" is 'It fetches and applies also what has not changed.';

comment on column "public"."sync_runs"."job_id" is 'Its latest job of type sync.';

comment on column "public"."sync_runs"."known_count" is 'Of mirrors: records that the source had delivered before, and that are there.';

comment on column "public"."sync_runs"."reason" is 'Why it asks: approval_required (the source says so), too_many_deletions, rows_without_key (what the source lacks cannot be told).';

comment on column "public"."sync_runs"."schedule_id" is 'Whose time had come; null of one that somebody started, or whose schedule is gone.';

comment on column "public"."sync_runs"."skipped_count" is 'How often another run was due meanwhile, and left out.';

comment on table "public"."sync_runs" is 'What each sync of a source did. One run of a source is under way at a time.';

revoke all on table "public"."sync_runs" from "authenticated";

grant select on table "public"."sync_runs" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_runs" to "postgres";

revoke all on table "public"."sync_runs" from "service_role";

grant select on table "public"."sync_runs" to "service_role";

-- schemas/public/tables/sync_schedule.sql

create table "public"."sync_schedule" (
  "id"              uuid                     not null default gen_random_uuid(),
  "org_id"          uuid                     not null,
  "source_id"       uuid                     not null,
  "cron_expression" text                     not null,
  "is_enabled"      boolean                  not null default true,
  "notes"           text,
  "created_by"      uuid,
  "created_at"      timestamp with time zone not null default now(),
  "updated_at"      timestamp with time zone not null default now(),
  constraint "sync_schedule_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "sync_schedule_notes_check" check ((length(notes) <= 10000)),
  constraint "sync_schedule_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_schedule_pkey" primary key (id),
  constraint "sync_schedule_source_id_cron_expression_key" unique (source_id, cron_expression),
  constraint "sync_schedule_source_id_fkey" foreign key (source_id) references public.sync_sources(id) on delete cascade
);

alter table "public"."sync_schedule"
  enable row level security;

create index sync_schedule_created_by_idx on public.sync_schedule using btree (created_by);

create index sync_schedule_org_id_idx on public.sync_schedule using btree (org_id);

create trigger _100_touch_updated_at
  before update on public.sync_schedule
  for each row
  execute function private.tg__touch_updated_at();

create trigger _500_unschedule
  after delete on public.sync_schedule
  for each row
  execute function private.tg_sync_schedule__unschedule();

create policy "sync_schedule_delete" on "public"."sync_schedule"
  for delete
  to "authenticated"
  using (false);

create policy "sync_schedule_insert" on "public"."sync_schedule"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_schedule_select_admin" on "public"."sync_schedule"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_schedule_update" on "public"."sync_schedule"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_schedule"."cron_expression" is 'Minute, hour, day of the month, month, day of the week, as pg_cron reads it: in UTC, all year.';

comment on table "public"."sync_schedule" is 'When sources are synced. Each is the job sync.run_<id> of pg_cron while it is enabled.';

revoke all on table "public"."sync_schedule" from "authenticated";

grant select on table "public"."sync_schedule" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_schedule" to "postgres";

revoke all on table "public"."sync_schedule" from "service_role";

grant select on table "public"."sync_schedule" to "service_role";

-- schemas/public/tables/sync_sources.sql

create table "public"."sync_sources" (
  "id"                 uuid                     not null default gen_random_uuid(),
  "org_id"             uuid                     not null,
  "name"               text                     not null,
  "notes"              text,
  "dataset"            text                     not null,
  "location"           text,
  "secret_name"        text,
  "options"            jsonb                    not null default '{}'::jsonb,
  "max_delete_percent" numeric(5,2)             not null default 10,
  "requires_approval"  boolean                  not null default false,
  "template_id"        uuid,
  "mapping"            jsonb,
  "import_options"     jsonb                    not null default '{}'::jsonb,
  "owner"              uuid,
  "is_active"          boolean                  not null default true,
  "state"              jsonb                    not null default '{}'::jsonb,
  "created_by"         uuid,
  "created_at"         timestamp with time zone not null default now(),
  "updated_at"         timestamp with time zone not null default now(),
  constraint "sync_sources_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "sync_sources_dataset_fkey" foreign key (dataset) references public.datasets(key),
  constraint "sync_sources_max_delete_percent_check" check (((max_delete_percent >= (0)::numeric) AND (max_delete_percent <= (100)::numeric))),
  constraint "sync_sources_name_check" check (((length(btrim(name)) >= 1) AND (length(btrim(name)) <= 255))),
  constraint "sync_sources_notes_check" check ((length(notes) <= 10000)),
  constraint "sync_sources_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "sync_sources_org_id_name_key" unique (org_id, name),
  constraint "sync_sources_owner_fkey" foreign key (owner) references auth.users(id) on delete set null,
  constraint "sync_sources_pkey" primary key (id),
  constraint "sync_sources_secret_name_check" check ((secret_name ~ '^[a-z0-9_-]{1,63}$'::text)),
  constraint "sync_sources_template_id_fkey" foreign key (template_id) references public.import_templates(id)
);

alter table "public"."sync_sources"
  enable row level security;

alter table "public"."sync_sources"
  add column "mode" public.sync_mode not null default 'upsert'::public.sync_mode;

alter table "public"."sync_sources"
  add column "overlap" public.sync_overlap not null default 'skip'::public.sync_overlap;

alter table "public"."sync_sources"
  add column "kind" public.sync_source_kind not null;

alter table "public"."sync_sources"
  add constraint "sync_sources_location_check"
    check ((((kind = 'manual'::public.sync_source_kind) = (location IS NULL)) AND ((length(location) >= 1) AND (length(location) <= 2000))));

create index sync_sources_created_by_idx on public.sync_sources using btree (created_by);

create index sync_sources_dataset_idx on public.sync_sources using btree (dataset);

create index sync_sources_owner_idx on public.sync_sources using btree (owner);

create index sync_sources_template_id_idx on public.sync_sources using btree (template_id);

create trigger _100_touch_updated_at
  before update on public.sync_sources
  for each row
  execute function private.tg__touch_updated_at();

create trigger _300_guard_fetch
  before update on public.sync_sources
  for each row
  when ((NOT private.keeps_state(old.*, new.*)))
  execute function private.tg_sync_sources__guard_fetch();

create trigger _500_forget_records
  after delete on public.sync_sources
  for each row
  execute function private.tg_sync_sources__forget_records();

create policy "sync_sources_delete" on "public"."sync_sources"
  for delete
  to "authenticated"
  using (false);

create policy "sync_sources_insert" on "public"."sync_sources"
  for insert
  to "authenticated"
  with check (false);

create policy "sync_sources_select_admin" on "public"."sync_sources"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "sync_sources_update" on "public"."sync_sources"
  for update
  to "authenticated"
  using (false);

comment on column "public"."sync_sources"."import_options" is 'duplicates, on_error, blank: as of an import.';

comment on column "public"."sync_sources"."location" is 'An address; a path in the bucket imports, that of a folder with a slash at its end; a table with its schema. Null of manual ones.';

comment on column "public"."sync_sources"."mapping" is 'As of an import. Where neither this nor a template is given, what the first run found out.';

comment on column "public"."sync_sources"."max_delete_percent" is 'Of the records that the source has delivered. A mirror that would delete more stops and asks.';

comment on column "public"."sync_sources"."options" is 'How it is asked and read. See docs/sync.md: auth, auth_header, auth_user, headers; delimiter, quote, encoding, header; path, next, cursor, cursor_parameter.';

comment on column "public"."sync_sources"."owner" is 'Whose rights its runs work with: an admin of the organization, or a system admin.';

comment on column "public"."sync_sources"."requires_approval" is 'Nothing is applied before an admin has approved it.';

comment on column "public"."sync_sources"."secret_name" is 'A secret of the organization (set_sync_secret), sent as options.auth says.';

comment on column "public"."sync_sources"."state" is 'What the last completed run found: etag, last_modified, content_hash, columns, row_count, object. The next one asks for what is newer.';

comment on table "public"."sync_sources" is 'The register of where an organization''s data comes from. Read by admins, written by RPCs.';

revoke all on table "public"."sync_sources" from "authenticated";

grant select on table "public"."sync_sources" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."sync_sources" to "postgres";

revoke all on table "public"."sync_sources" from "service_role";

grant select on table "public"."sync_sources" to "service_role";

-- schemas/public/tables/user_invitations.sql

create table "public"."user_invitations" (
  "user_id"         uuid                     not null,
  "org_id"          uuid                     not null,
  "email"           text                     not null,
  "attempts"        smallint                 not null default 0,
  "next_attempt_at" timestamp with time zone not null default clock_timestamp(),
  "error"           jsonb,
  "created_at"      timestamp with time zone not null default clock_timestamp(),
  "tried_at"        timestamp with time zone,
  "sent_at"         timestamp with time zone,
  constraint "user_invitations_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "user_invitations_pkey" primary key (user_id),
  constraint "user_invitations_user_id_fkey" foreign key (user_id) references auth.users(id) on delete cascade,
  "requested_by"    uuid                     default auth.uid(),
  constraint "user_invitations_requested_by_fkey" foreign key (requested_by) references auth.users(id) on delete set null
);

alter table "public"."user_invitations"
  enable row level security;

alter table "public"."user_invitations"
  add column "status" public.invitation_status not null default 'pending'::public.invitation_status;

alter table "public"."user_invitations"
  add constraint "user_invitations_error_check" check (((status <> 'failed'::public.invitation_status) OR (error IS NOT NULL)));

create index user_invitations_org_id_tried_at_idx on public.user_invitations using btree (org_id, tried_at);

create index user_invitations_pending_idx on public.user_invitations using btree (org_id, next_attempt_at)
  where (status = 'pending'::public.invitation_status);

create index user_invitations_sending_idx on public.user_invitations using btree (next_attempt_at)
  where (status = 'sending'::public.invitation_status);

create trigger _700_tell_webhooks
  after update of status on public.user_invitations
  for each row
  when (((old.status <> new.status) AND (new.status = ANY (ARRAY['sent'::public.invitation_status, 'failed'::public.invitation_status]))))
  execute function private.tg_user_invitations__tell_webhooks();

create policy "user_invitations_select_admin" on "public"."user_invitations"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

comment on column "public"."user_invitations"."error" is 'Why the last attempt failed: { code, message, status }, as the auth service says it.';

comment on column "public"."user_invitations"."next_attempt_at" is 'Not sent before; while it is being sent, when that counts as lost.';

comment on column "public"."user_invitations"."sent_at" is 'When the auth service took the last mail.';

comment on table "public"."user_invitations" is 'Who is to be invited by mail, or was: one row a person.';

revoke all on table "public"."user_invitations" from "authenticated";

grant select on table "public"."user_invitations" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."user_invitations" to "postgres";

revoke all on table "public"."user_invitations" from "service_role";

grant select on table "public"."user_invitations" to "service_role";

create index user_invitations_requested_by_idx on public.user_invitations using btree (requested_by);

-- schemas/public/tables/warehouse_locations.sql

create table "public"."warehouse_locations" (
  "id"          uuid                     not null default gen_random_uuid(),
  "org_id"      uuid                     not null,
  "code"        text                     not null,
  "name"        text                     not null,
  "kind"        text                     not null default 'warehouse'::text,
  "street"      text,
  "postal_code" text,
  "city"        text,
  "country"     text,
  "latitude"    numeric(8,6),
  "longitude"   numeric(9,6),
  "is_active"   boolean                  not null default true,
  "created_at"  timestamp with time zone not null default now(),
  "updated_at"  timestamp with time zone not null default now(),
  constraint "warehouse_locations_code_check" check ((length(code) <= 50)),
  constraint "warehouse_locations_country_check" check ((country ~ '^[A-Z]{2}$'::text)),
  constraint "warehouse_locations_id_org_id_key" unique (id, org_id),
  constraint "warehouse_locations_kind_check" check ((kind = ANY (ARRAY['warehouse'::text, 'store'::text, 'depot'::text, 'transit'::text]))),
  constraint "warehouse_locations_latitude_check" check (((latitude >= '-90.0'::numeric) AND (latitude <= 90.0))),
  constraint "warehouse_locations_longitude_check" check (((longitude >= '-180.0'::numeric) AND (longitude <= 180.0))),
  constraint "warehouse_locations_name_check" check ((length(name) <= 200)),
  constraint "warehouse_locations_org_id_code_key" unique (org_id, code),
  constraint "warehouse_locations_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "warehouse_locations_pkey" primary key (id)
);

alter table "public"."warehouse_locations"
  enable row level security;

create trigger _100_touch_updated_at
  before update on public.warehouse_locations
  for each row
  execute function private.tg__touch_updated_at();

create policy "warehouse_locations_delete_admin" on "public"."warehouse_locations"
  for delete
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

create policy "warehouse_locations_insert_member" on "public"."warehouse_locations"
  for insert
  to "authenticated"
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

create policy "warehouse_locations_select_viewer" on "public"."warehouse_locations"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('viewer'::public.org_role) as org_ids))));

create policy "warehouse_locations_update_member" on "public"."warehouse_locations"
  for update
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('member'::public.org_role) as org_ids))))
  with check ((org_id = ANY (ARRAY( SELECT private.org_ids('member'::public.org_role) AS org_ids))));

comment on column "public"."warehouse_locations"."code" is 'Short name of the place: the key of imports.';

comment on column "public"."warehouse_locations"."latitude" is 'Degrees, WGS 84, as the longitude.';

comment on table "public"."warehouse_locations" is 'Where goods are kept, and where routes start.';

revoke all ("city") on table "public"."warehouse_locations" from "authenticated";

grant insert ("city"), update ("city") on table "public"."warehouse_locations" to "authenticated";

revoke all ("code") on table "public"."warehouse_locations" from "authenticated";

grant insert ("code"), update ("code") on table "public"."warehouse_locations" to "authenticated";

revoke all ("country") on table "public"."warehouse_locations" from "authenticated";

grant insert ("country"), update ("country") on table "public"."warehouse_locations" to "authenticated";

revoke all ("id") on table "public"."warehouse_locations" from "authenticated";

grant insert ("id") on table "public"."warehouse_locations" to "authenticated";

revoke all ("is_active") on table "public"."warehouse_locations" from "authenticated";

grant insert ("is_active"), update ("is_active") on table "public"."warehouse_locations" to "authenticated";

revoke all ("kind") on table "public"."warehouse_locations" from "authenticated";

grant insert ("kind"), update ("kind") on table "public"."warehouse_locations" to "authenticated";

revoke all ("latitude") on table "public"."warehouse_locations" from "authenticated";

grant insert ("latitude"), update ("latitude") on table "public"."warehouse_locations" to "authenticated";

revoke all ("longitude") on table "public"."warehouse_locations" from "authenticated";

grant insert ("longitude"), update ("longitude") on table "public"."warehouse_locations" to "authenticated";

revoke all ("name") on table "public"."warehouse_locations" from "authenticated";

grant insert ("name"), update ("name") on table "public"."warehouse_locations" to "authenticated";

revoke all ("org_id") on table "public"."warehouse_locations" from "authenticated";

grant insert ("org_id") on table "public"."warehouse_locations" to "authenticated";

revoke all ("postal_code") on table "public"."warehouse_locations" from "authenticated";

grant insert ("postal_code"), update ("postal_code") on table "public"."warehouse_locations" to "authenticated";

revoke all ("street") on table "public"."warehouse_locations" from "authenticated";

grant insert ("street"), update ("street") on table "public"."warehouse_locations" to "authenticated";

revoke all on table "public"."warehouse_locations" from "authenticated";

grant delete, select on table "public"."warehouse_locations" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."warehouse_locations" to "postgres";

revoke all ("city") on table "public"."warehouse_locations" from "service_role";

grant insert ("city"), update ("city") on table "public"."warehouse_locations" to "service_role";

revoke all ("code") on table "public"."warehouse_locations" from "service_role";

grant insert ("code"), update ("code") on table "public"."warehouse_locations" to "service_role";

revoke all ("country") on table "public"."warehouse_locations" from "service_role";

grant insert ("country"), update ("country") on table "public"."warehouse_locations" to "service_role";

revoke all ("id") on table "public"."warehouse_locations" from "service_role";

grant insert ("id") on table "public"."warehouse_locations" to "service_role";

revoke all ("is_active") on table "public"."warehouse_locations" from "service_role";

grant insert ("is_active"), update ("is_active") on table "public"."warehouse_locations" to "service_role";

revoke all ("kind") on table "public"."warehouse_locations" from "service_role";

grant insert ("kind"), update ("kind") on table "public"."warehouse_locations" to "service_role";

revoke all ("latitude") on table "public"."warehouse_locations" from "service_role";

grant insert ("latitude"), update ("latitude") on table "public"."warehouse_locations" to "service_role";

revoke all ("longitude") on table "public"."warehouse_locations" from "service_role";

grant insert ("longitude"), update ("longitude") on table "public"."warehouse_locations" to "service_role";

revoke all ("name") on table "public"."warehouse_locations" from "service_role";

grant insert ("name"), update ("name") on table "public"."warehouse_locations" to "service_role";

revoke all ("org_id") on table "public"."warehouse_locations" from "service_role";

grant insert ("org_id") on table "public"."warehouse_locations" to "service_role";

revoke all ("postal_code") on table "public"."warehouse_locations" from "service_role";

grant insert ("postal_code"), update ("postal_code") on table "public"."warehouse_locations" to "service_role";

revoke all ("street") on table "public"."warehouse_locations" from "service_role";

grant insert ("street"), update ("street") on table "public"."warehouse_locations" to "service_role";

revoke all on table "public"."warehouse_locations" from "service_role";

grant delete, select on table "public"."warehouse_locations" to "service_role";

-- schemas/public/tables/webhook_deliveries.sql

create table "public"."webhook_deliveries" (
  "id"              uuid                     not null default gen_random_uuid(),
  "webhook_id"      uuid                     not null,
  "org_id"          uuid                     not null,
  "event"           text                     not null,
  "payload"         jsonb                    not null,
  "attempts"        smallint                 not null default 0,
  "next_attempt_at" timestamp with time zone not null default clock_timestamp(),
  "expires_at"      timestamp with time zone not null default (clock_timestamp() + '1 day'::interval),
  "token"           uuid,
  "response_status" smallint,
  "error"           jsonb,
  "created_at"      timestamp with time zone not null default clock_timestamp(),
  "delivered_at"    timestamp with time zone,
  constraint "webhook_deliveries_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "webhook_deliveries_pkey" primary key (id),
  constraint "webhook_deliveries_webhook_id_fkey" foreign key (webhook_id) references public.webhooks(id) on delete cascade
);

alter table "public"."webhook_deliveries"
  enable row level security;

alter table "public"."webhook_deliveries"
  add column "status" public.webhook_delivery_status not null default 'pending'::public.webhook_delivery_status;

alter table "public"."webhook_deliveries"
  add constraint "webhook_deliveries_delivered_at_check" check (((delivered_at IS NOT NULL) = (status = 'delivered'::public.webhook_delivery_status)));

alter table "public"."webhook_deliveries"
  add constraint "webhook_deliveries_token_check" check (((token IS NOT NULL) = (status = 'sending'::public.webhook_delivery_status)));

create index webhook_deliveries_created_at_idx on public.webhook_deliveries using btree (created_at);

create index webhook_deliveries_depth_idx on public.webhook_deliveries using btree (org_id)
  where (status = ANY (ARRAY['pending'::public.webhook_delivery_status, 'sending'::public.webhook_delivery_status]));

create index webhook_deliveries_failed_idx on public.webhook_deliveries using btree (webhook_id, created_at desc)
  where (status = 'failed'::public.webhook_delivery_status);

create index webhook_deliveries_lost_idx on public.webhook_deliveries using btree (next_attempt_at)
  where (status = 'sending'::public.webhook_delivery_status);

create index webhook_deliveries_org_id_created_at_idx on public.webhook_deliveries using btree (org_id, created_at desc, id);

create index webhook_deliveries_queue_idx on public.webhook_deliveries using btree (webhook_id, status, next_attempt_at)
  where (status = ANY (ARRAY['pending'::public.webhook_delivery_status, 'sending'::public.webhook_delivery_status]));

create index webhook_deliveries_token_idx on public.webhook_deliveries using btree (token)
  where (token is not null);

create index webhook_deliveries_webhook_id_created_at_idx on public.webhook_deliveries using btree (webhook_id, created_at desc, id);

create policy "webhook_deliveries_select_admin" on "public"."webhook_deliveries"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

comment on column "public"."webhook_deliveries"."error" is 'Why the last attempt failed: { code, message, details, hint }.';

comment on column "public"."webhook_deliveries"."expires_at" is 'It is given up rather than tried again after that.';

comment on column "public"."webhook_deliveries"."id" is 'The receiver gets it as webhook-id, the same at each attempt.';

comment on column "public"."webhook_deliveries"."next_attempt_at" is 'While it is sent, when that counts as lost.';

comment on column "public"."webhook_deliveries"."payload" is 'What is sent: { type, timestamp, data }. Ids, states and counts, never rows.';

comment on column "public"."webhook_deliveries"."token" is 'Known to the call that sends it. Never shown to clients.';

comment on table "public"."webhook_deliveries" is 'What webhooks were or are to be told: queue, log and dead letters.';

revoke all ("attempts") on table "public"."webhook_deliveries" from "authenticated";

grant select ("attempts") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("created_at") on table "public"."webhook_deliveries" from "authenticated";

grant select ("created_at") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("delivered_at") on table "public"."webhook_deliveries" from "authenticated";

grant select ("delivered_at") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("error") on table "public"."webhook_deliveries" from "authenticated";

grant select ("error") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("event") on table "public"."webhook_deliveries" from "authenticated";

grant select ("event") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("expires_at") on table "public"."webhook_deliveries" from "authenticated";

grant select ("expires_at") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("id") on table "public"."webhook_deliveries" from "authenticated";

grant select ("id") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("next_attempt_at") on table "public"."webhook_deliveries" from "authenticated";

grant select ("next_attempt_at") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("org_id") on table "public"."webhook_deliveries" from "authenticated";

grant select ("org_id") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("payload") on table "public"."webhook_deliveries" from "authenticated";

grant select ("payload") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("response_status") on table "public"."webhook_deliveries" from "authenticated";

grant select ("response_status") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("status") on table "public"."webhook_deliveries" from "authenticated";

grant select ("status") on table "public"."webhook_deliveries" to "authenticated";

revoke all ("webhook_id") on table "public"."webhook_deliveries" from "authenticated";

grant select ("webhook_id") on table "public"."webhook_deliveries" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."webhook_deliveries" to "postgres";

revoke all ("attempts") on table "public"."webhook_deliveries" from "service_role";

grant select ("attempts") on table "public"."webhook_deliveries" to "service_role";

revoke all ("created_at") on table "public"."webhook_deliveries" from "service_role";

grant select ("created_at") on table "public"."webhook_deliveries" to "service_role";

revoke all ("delivered_at") on table "public"."webhook_deliveries" from "service_role";

grant select ("delivered_at") on table "public"."webhook_deliveries" to "service_role";

revoke all ("error") on table "public"."webhook_deliveries" from "service_role";

grant select ("error") on table "public"."webhook_deliveries" to "service_role";

revoke all ("event") on table "public"."webhook_deliveries" from "service_role";

grant select ("event") on table "public"."webhook_deliveries" to "service_role";

revoke all ("expires_at") on table "public"."webhook_deliveries" from "service_role";

grant select ("expires_at") on table "public"."webhook_deliveries" to "service_role";

revoke all ("id") on table "public"."webhook_deliveries" from "service_role";

grant select ("id") on table "public"."webhook_deliveries" to "service_role";

revoke all ("next_attempt_at") on table "public"."webhook_deliveries" from "service_role";

grant select ("next_attempt_at") on table "public"."webhook_deliveries" to "service_role";

revoke all ("org_id") on table "public"."webhook_deliveries" from "service_role";

grant select ("org_id") on table "public"."webhook_deliveries" to "service_role";

revoke all ("payload") on table "public"."webhook_deliveries" from "service_role";

grant select ("payload") on table "public"."webhook_deliveries" to "service_role";

revoke all ("response_status") on table "public"."webhook_deliveries" from "service_role";

grant select ("response_status") on table "public"."webhook_deliveries" to "service_role";

revoke all ("status") on table "public"."webhook_deliveries" from "service_role";

grant select ("status") on table "public"."webhook_deliveries" to "service_role";

revoke all ("webhook_id") on table "public"."webhook_deliveries" from "service_role";

grant select ("webhook_id") on table "public"."webhook_deliveries" to "service_role";

-- schemas/public/tables/webhooks.sql

create table "public"."webhooks" (
  "id"                    uuid                     not null default gen_random_uuid(),
  "org_id"                uuid                     not null,
  "url"                   text                     not null,
  "events"                text[]                   not null,
  "description"           text,
  "is_active"             boolean                  not null default true,
  "error"                 jsonb,
  "previous_secret_until" timestamp with time zone,
  "created_by"            uuid,
  "created_at"            timestamp with time zone not null default now(),
  "updated_at"            timestamp with time zone not null default now(),
  constraint "webhooks_created_by_fkey" foreign key (created_by) references auth.users(id) on delete set null,
  constraint "webhooks_description_check" check (((length(description) >= 1) AND (length(description) <= 255))),
  constraint "webhooks_org_id_fkey" foreign key (org_id) references public.organization(id) on delete cascade,
  constraint "webhooks_pkey" primary key (id),
  constraint "webhooks_url_check" check (private.is_outbound_url(url))
);

alter table "public"."webhooks"
  enable row level security;

create index webhooks_created_by_idx on public.webhooks using btree (created_by);

create index webhooks_org_id_idx on public.webhooks using btree (org_id);

create trigger _100_touch_updated_at
  before update on public.webhooks
  for each row
  execute function private.tg__touch_updated_at();

create trigger _500_delete_secrets
  after delete on public.webhooks
  for each row
  execute function private.tg_webhooks__delete_secrets();

create policy "webhooks_select_admin" on "public"."webhooks"
  for select
  to "authenticated"
  using ((org_id = ANY (ARRAY( select private.org_ids('admin'::public.org_role) as org_ids))));

comment on column "public"."webhooks"."error" is 'Why it was switched off, where its receiver asked for that: { code, message, details, hint }.';

comment on column "public"."webhooks"."is_active" is 'False: nothing is queued for it, and what is queued waits.';

comment on column "public"."webhooks"."previous_secret_until" is 'Until then deliveries are signed with the secret before the present one, too.';

comment on table "public"."webhooks" is 'Addresses that are told of events, of one organization. The secret that signs is in Vault: sluice/org/<org_id>/webhook/<id>.';

revoke all on table "public"."webhooks" from "authenticated";

grant select on table "public"."webhooks" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."webhooks" to "postgres";

revoke all on table "public"."webhooks" from "service_role";

grant select on table "public"."webhooks" to "service_role";

-- schemas/public/types/import_issue.sql

create type "public"."import_issue" as (
  "id"              bigint,
  "row_number"      integer,
  "line_number"     integer,
  "field"           text,
  "severity"        text,
  "code"            text,
  "message"         text,
  "value"           text,
  "sqlstate"        text,
  "constraint_name" text
);

comment on type "public"."import_issue" is 'One thing that is wrong with a row.';

grant usage on type "public"."import_issue" to "postgres";

-- schemas/public/types/import_mode.sql

create type "public"."import_mode" as enum (
  'insert',
  'update',
  'upsert',
  'delete'
);

comment on type "public"."import_mode" is 'insert: new records only; update: existing ones only; upsert: both; delete: remove the records that the file names.';

grant usage on type "public"."import_mode" to "postgres";

-- schemas/public/types/import_row.sql

create type "public"."import_row" as (
  "row_number"  integer,
  "line_number" integer,
  "status"      text,
  "key"         text,
  "record_id"   uuid,
  "payload"     jsonb,
  "issues"      jsonb
);

comment on type "public"."import_row" is 'A row of a file and its fate. payload: column to cell, as sent, secret ones null; issues: [{ field, severity, code, message, value }].';

grant usage on type "public"."import_row" to "postgres";

-- schemas/public/types/import_status.sql

create type "public"."import_status" as enum (
  'receiving',
  'staged',
  'validating',
  'validated',
  'committing',
  'completed',
  'failed',
  'cancelled',
  'undoing',
  'undone'
);

comment on type "public"."import_status" is 'receiving (the file is on its way), staged, validating, validated, committing, three ends, and undoing, undone.';

grant usage on type "public"."import_status" to "postgres";

-- schemas/public/types/invitation_status.sql

create type "public"."invitation_status" as enum (
  'pending',
  'sending',
  'sent',
  'failed'
);

comment on type "public"."invitation_status" is 'pending: waits for its turn or its next attempt; sending: the auth service is asked; sent: it has taken the mail; failed: given up.';

grant usage on type "public"."invitation_status" to "postgres";

-- schemas/public/types/job_run_as.sql

create type "public"."job_run_as" as enum (
  'user',
  'service'
);

comment on type "public"."job_run_as" is 'Whose rights a job works with: its actor''s, or the service key''s.';

grant usage on type "public"."job_run_as" to "postgres";

-- schemas/public/types/org_role.sql

create type "public"."org_role" as enum (
  'viewer',
  'member',
  'admin'
);

comment on type "public"."org_role" is 'What a person may do in their organization, in ascending order.';

grant usage on type "public"."org_role" to "postgres";

-- schemas/public/types/session_status.sql

create type "public"."session_status" as enum (
  'in_progress',
  'completed',
  'abandoned',
  'expired'
);

comment on type "public"."session_status" is 'Where a person''s work on an import stands. An expired session goes on when it is opened.';

grant usage on type "public"."session_status" to "postgres";

-- schemas/public/types/sync_action.sql

create type "public"."sync_action" as enum (
  'created',
  'updated',
  'deleted',
  'skipped',
  'failed',
  'started',
  'validated',
  'completed',
  'cancelled',
  'paused',
  'resumed',
  'undone',
  'transferred'
);

comment on type "public"."sync_action" is 'What was done, in the activity log.';

grant usage on type "public"."sync_action" to "postgres";

-- schemas/public/types/sync_entity_type.sql

create type "public"."sync_entity_type" as enum (
  'customer',
  'contact',
  'product',
  'inventory',
  'order',
  'invoice',
  'payment',
  'warehouse_location',
  'delivery_route',
  'user',
  'other'
);

comment on type "public"."sync_entity_type" is 'What kind of thing a dataset holds.';

grant usage on type "public"."sync_entity_type" to "postgres";

-- schemas/public/types/sync_mode.sql

create type "public"."sync_mode" as enum (
  'upsert',
  'mirror'
);

comment on type "public"."sync_mode" is 'upsert: records are made and changed; mirror: those that the source delivered before and no longer has are deleted, too.';

grant usage on type "public"."sync_mode" to "postgres";

-- schemas/public/types/sync_overlap.sql

create type "public"."sync_overlap" as enum (
  'skip',
  'wait'
);

comment on type "public"."sync_overlap" is 'What becomes of a run that is due while another of its source is under way.';

grant usage on type "public"."sync_overlap" to "postgres";

-- schemas/public/types/sync_run_status.sql

create type "public"."sync_run_status" as enum (
  'waiting',
  'fetching',
  'validating',
  'awaiting_approval',
  'committing',
  'deleting',
  'completed',
  'unchanged',
  'failed',
  'cancelled'
);

comment on type "public"."sync_run_status" is 'waiting (for the run before it), fetching, validating, awaiting_approval, committing, deleting (what the source no longer has), and four ends; unchanged: there was nothing new.';

grant usage on type "public"."sync_run_status" to "postgres";

-- schemas/public/types/sync_source_kind.sql

create type "public"."sync_source_kind" as enum (
  'manual',
  'http_csv',
  'http_json',
  'storage',
  'foreign_table'
);

comment on type "public"."sync_source_kind" is 'manual: somebody uploads it; http_csv, http_json: fetched from an address; storage: a file in the bucket imports; foreign_table: a table that the database administrator allowed.';

grant usage on type "public"."sync_source_kind" to "postgres";

-- schemas/public/types/sync_status_type.sql

create type "public"."sync_status_type" as enum (
  'pending',
  'queued',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled'
);

comment on type "public"."sync_status_type" is 'State of a job: pending, queued (its organization runs as many as it may, or its time has not come), running, paused, and three ends.';

grant usage on type "public"."sync_status_type" to "postgres";

-- schemas/public/types/sync_type.sql

create type "public"."sync_type" as enum (
  'import',
  'users',
  'pull',
  'undo',
  'delete'
);

comment on type "public"."sync_type" is 'What kind of work a synchronization is.';

grant usage on type "public"."sync_type" to "postgres";

-- schemas/public/types/task_status.sql

create type "public"."task_status" as enum (
  'pending',
  'running',
  'held',
  'failed'
);

comment on type "public"."task_status" is 'pending: ready from next_attempt_at on; running; held: its job waits, failed or was stopped; failed: given up (dead letter). Finished tasks are deleted.';

grant usage on type "public"."task_status" to "postgres";

-- schemas/public/types/user_result.sql

create type "public"."user_result" as (
  "row_number" integer,
  "email"      text,
  "status"     text,
  "user_id"    uuid,
  "issues"     jsonb
);

comment on type "public"."user_result" is 'What became of a person: created, updated, unchanged, deleted, skipped, failed, undone or pending; issues: [{ field, severity, code, message, value }].';

grant usage on type "public"."user_result" to "postgres";

-- schemas/public/types/webhook_delivery_status.sql

create type "public"."webhook_delivery_status" as enum (
  'pending',
  'sending',
  'delivered',
  'failed'
);

comment on type "public"."webhook_delivery_status" is 'pending: due at next_attempt_at; sending: the worker function is at it; delivered; failed: given up (dead letter).';

grant usage on type "public"."webhook_delivery_status" to "postgres";

-- schemas/public/views/admin_import_sessions_monitor.sql

create view "public"."admin_import_sessions_monitor" with (security_invoker=true) AS  SELECT (a.session).org_id AS org_id,
    o.slug AS organization,
    (a.session).id AS session_id,
    (a.session).batch_id AS import_id,
    a.owner_email,
    a.share_count AS shared_with,
    (a.session).status AS status,
    (a.session).current_step AS current_step,
    (a.session).file_name AS file_name,
    b.dataset,
    g.percent_done,
    b.row_count,
    (((c.inserted + c.updated) + c.unchanged) + c.deleted) AS applied,
    COALESCE(b.skipped_count, 0) AS skipped,
    (COALESCE(b.invalid_count, 0) + c.refused) AS failed,
    (a.session).created_at AS created_at,
    (a.session).last_accessed_at AS last_accessed_at,
    round((EXTRACT(epoch FROM (now() - (a.session).last_accessed_at)) / (3600)::numeric), 1) AS hours_since_last_access
   FROM ((((private.session_activity() a(session, owner_email, share_count)
     JOIN public.organization o ON ((o.id = (a.session).org_id)))
     JOIN public.import_batches b ON ((b.id = (a.session).batch_id)))
     CROSS JOIN LATERAL private.outcome_counts(b.*) c(inserted, updated, unchanged, deleted, refused))
     LEFT JOIN LATERAL ( SELECT round(((100.0 * (s.processed_count)::numeric) / (NULLIF(s.total_items, 0))::numeric), 1) AS percent_done
           FROM (public.scheduled_jobs j
             JOIN public.sync_progress s ON (((s.org_id = j.org_id) AND (s.sync_id = (j.id)::text))))
          WHERE (j.batch_id = b.id)
          ORDER BY j.created_at DESC
         LIMIT 1) g ON (true));

comment on view "public"."admin_import_sessions_monitor" is 'People''s import sessions: whose (null: their account is gone), how far the last job is, what became of the rows, and how long nobody was there. One row a session.';

revoke all on table "public"."admin_import_sessions_monitor" from "authenticated";

grant select on table "public"."admin_import_sessions_monitor" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."admin_import_sessions_monitor" to "postgres";

revoke all on table "public"."admin_import_sessions_monitor" from "service_role";

grant select on table "public"."admin_import_sessions_monitor" to "service_role";

-- schemas/public/views/monitor_cron.sql

create view "public"."monitor_cron" with (security_invoker=true) AS  SELECT job,
    schedule,
    is_active,
    last_status,
    last_started_at,
    (last_ended_at - last_started_at) AS last_took,
    last_message,
    failures_last_day
   FROM private.cron_activity() c(job, schedule, is_active, last_status, last_started_at, last_ended_at, last_message, failures_last_day);

comment on view "public"."monitor_cron" is 'The schedule''s jobs with their last run and how many failed in a day. One row a job.';

revoke all on table "public"."monitor_cron" from "authenticated";

grant select on table "public"."monitor_cron" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_cron" to "postgres";

revoke all on table "public"."monitor_cron" from "service_role";

grant select on table "public"."monitor_cron" to "service_role";

-- schemas/public/views/monitor_errors.sql

create view "public"."monitor_errors" with (security_invoker=true) AS  SELECT e.org_id,
    o.slug AS organization,
    j.job_type,
    e.sqlstate AS code,
    e.message,
    count(*) AS times,
    count(DISTINCT e.job_id) AS jobs,
    min(e.at) AS first_at,
    max(e.at) AS last_at,
    (array_agg(e.job_id ORDER BY e.at DESC))[1] AS last_job_id,
    (array_agg(e.hint ORDER BY e.at DESC))[1] AS hint
   FROM ((public.sync_error_log e
     JOIN public.scheduled_jobs j ON ((j.id = e.job_id)))
     JOIN public.organization o ON ((o.id = e.org_id)))
  WHERE ((e.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids))) AND (e.at > (now() - '7 days'::interval)))
  GROUP BY e.org_id, o.slug, j.job_type, e.sqlstate, e.message;

comment on view "public"."monitor_errors" is 'What went wrong in the last seven days, also where another attempt mended it. One row an organization, job type, code and message; get_job(last_job_id) tells all.';

revoke all on table "public"."monitor_errors" from "authenticated";

grant select on table "public"."monitor_errors" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_errors" to "postgres";

revoke all on table "public"."monitor_errors" from "service_role";

grant select on table "public"."monitor_errors" to "service_role";

-- schemas/public/views/monitor_health.sql

create view "public"."monitor_health" with (security_invoker=true) AS  SELECT subject,
    status,
    detail,
        CASE
            WHEN (status <> 'ok'::text) THEN hint
            ELSE NULL::text
        END AS hint
   FROM ( SELECT 'workers'::text AS subject,
                CASE
                    WHEN (w.alive = 0) THEN 'failing'::text
                    WHEN (w.alive < c.scheduled) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS status,
            format('%s of %s are alive'::text, w.alive, c.scheduled) AS detail,
            'monitor_cron says why; select private.set_worker_count(2) schedules them anew.'::text AS hint
           FROM (( SELECT count(*) AS alive
                   FROM public.monitor_workers m) w
             CROSS JOIN ( SELECT count(*) AS scheduled
                   FROM public.monitor_cron m
                  WHERE ((m.job ~ '^jobs\.work_'::text) AND m.is_active)) c)
          WHERE private.administers_all()
        UNION ALL
         SELECT 'cron'::text,
                CASE
                    WHEN (count(*) FILTER (WHERE ((m.last_status = 'failed'::text) OR (NOT m.is_active))) > 0) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            (COALESCE(string_agg(m.job, ', '::text ORDER BY m.job) FILTER (WHERE ((m.last_status = 'failed'::text) OR (NOT m.is_active))), 'no job'::text) || ' failed or is off'::text),
            'See last_message in monitor_cron.'::text
           FROM public.monitor_cron m
         HAVING private.administers_all()
        UNION ALL
         SELECT 'partitions'::text,
                CASE
                    WHEN (sum(m.default_rows) > (0)::numeric) THEN 'failing'::text
                    WHEN bool_or((m.status <> 'ok'::text)) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            format('%s rows in default partitions, %s ahead at least'::text, sum(m.default_rows), min(m.partitions_ahead)) AS format,
            'select private.create_all_partitions() mends it; monitor_cron says why the schedule did not.'::text
           FROM public.monitor_partitions m
         HAVING private.administers_all()
        UNION ALL
         SELECT 'queue'::text,
                CASE
                    WHEN (max(m.longest_wait) > '00:10:00'::interval) THEN 'failing'::text
                    WHEN (max(m.longest_wait) > '00:01:00'::interval) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            format('%s tasks are ready, the oldest for %s'::text, COALESCE(sum(m.ready_tasks), (0)::numeric), COALESCE(date_trunc('second'::text, max(m.longest_wait)), '00:00:00'::interval)) AS format,
            'Too few workers, or none: see workers.'::text
           FROM public.monitor_queue m
        UNION ALL
         SELECT 'jobs'::text,
                CASE
                    WHEN (sum(m.failed_jobs_last_day) > (0)::numeric) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            format('%s failed in a day'::text, sum(m.failed_jobs_last_day)) AS format,
            'See monitor_errors.'::text
           FROM public.monitor_organizations m
        UNION ALL
         SELECT 'limits'::text,
                CASE
                    WHEN (count(*) FILTER (WHERE ((m.waiting_jobs)::numeric >= (0.8 * (m.most_waiting_jobs)::numeric))) > 0) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            format('%s organizations have nearly as many jobs waiting as they may'::text, count(*) FILTER (WHERE ((m.waiting_jobs)::numeric >= (0.8 * (m.most_waiting_jobs)::numeric)))) AS format,
            'See monitor_organizations; a system admin can set jobs.queued_per_organization.'::text
           FROM public.monitor_organizations m
        UNION ALL
         SELECT 'uploads'::text,
                CASE
                    WHEN (count(*) > 0) THEN 'warning'::text
                    ELSE 'ok'::text
                END AS "case",
            format('%s have been receiving for an hour'::text, count(*)) AS format,
            'imports.fail_interrupted fails those whose process died: see monitor_cron.'::text
           FROM public.import_batches b
          WHERE ((b.status = 'receiving'::public.import_status) AND (b.created_at < (now() - '01:00:00'::interval)))) h
  WHERE (EXISTS ( SELECT
           FROM private.org_ids('admin'::public.org_role) org_ids(org_ids)));

comment on view "public"."monitor_health" is 'Is all well? status: ok, warning or failing; hint: what to do or where to look. One row a subject; those of the whole system (workers, cron, partitions) for system admins and the service.';

revoke all on table "public"."monitor_health" from "authenticated";

grant select on table "public"."monitor_health" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_health" to "postgres";

revoke all on table "public"."monitor_health" from "service_role";

grant select on table "public"."monitor_health" to "service_role";

-- schemas/public/views/monitor_imports.sql

create view "public"."monitor_imports" with (security_invoker=true) AS  SELECT b.org_id,
    o.slug AS organization,
    b.id AS import_id,
    b.dataset,
    b.mode,
    b.status,
    b.file_name,
    p.email AS initiated_by,
    b.row_count,
    c.inserted,
    c.updated,
    c.unchanged,
    c.deleted,
    COALESCE(b.skipped_count, 0) AS skipped,
    (COALESCE(b.invalid_count, 0) + c.refused) AS failed,
    g.percent_done,
    g.items_per_second,
    g.eta_seconds,
    (b.error ->> 'code'::text) AS error_code,
    (b.error ->> 'message'::text) AS error_message,
    b.created_at,
    b.finished_at,
    (COALESCE(b.finished_at, now()) - b.created_at) AS age
   FROM ((((public.import_batches b
     JOIN public.organization o ON ((o.id = b.org_id)))
     LEFT JOIN public.profiles p ON ((p.id = b.initiated_by)))
     CROSS JOIN LATERAL private.outcome_counts(b.*) c(inserted, updated, unchanged, deleted, refused))
     LEFT JOIN LATERAL ( SELECT round(((100.0 * (s.processed_count)::numeric) / (NULLIF(s.total_items, 0))::numeric), 1) AS percent_done,
            round((s.speed_items_per_min / (60)::numeric)) AS items_per_second,
            s.eta_seconds
           FROM (public.scheduled_jobs j
             JOIN public.sync_progress s ON (((s.org_id = j.org_id) AND (s.sync_id = (j.id)::text))))
          WHERE (j.batch_id = b.id)
          ORDER BY j.created_at DESC
         LIMIT 1) g ON (true))
  WHERE (b.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids)));

comment on view "public"."monitor_imports" is 'Imports with what became of their rows, how far the last job is, and why they failed. One row an import.';

revoke all on table "public"."monitor_imports" from "authenticated";

grant select on table "public"."monitor_imports" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_imports" to "postgres";

revoke all on table "public"."monitor_imports" from "service_role";

grant select on table "public"."monitor_imports" to "service_role";

-- schemas/public/views/monitor_jobs.sql

create view "public"."monitor_jobs" with (security_invoker=true) AS  SELECT j.org_id,
    o.slug AS organization,
    j.id AS job_id,
    j.job_type,
    j.status,
    j.phase,
    j.batch_id AS import_id,
    j.run_as,
    p.email AS actor,
    j.total_count,
    j.done_count,
    j.failed_count,
    q.waiting_tasks,
    q.running_tasks,
    q.dead_tasks,
    e.failed_attempts,
    (j.error ->> 'code'::text) AS error_code,
    (j.error ->> 'message'::text) AS error_message,
    j.created_at,
    (j.started_at - j.created_at) AS waited,
    (COALESCE(j.finished_at, now()) - j.started_at) AS ran
   FROM ((((public.scheduled_jobs j
     JOIN public.organization o ON ((o.id = j.org_id)))
     LEFT JOIN public.profiles p ON ((p.id = j.actor)))
     LEFT JOIN LATERAL ( SELECT count(*) FILTER (WHERE (t.status = ANY (ARRAY['pending'::public.task_status, 'held'::public.task_status]))) AS waiting_tasks,
            count(*) FILTER (WHERE (t.status = 'running'::public.task_status)) AS running_tasks,
            count(*) FILTER (WHERE (t.status = 'failed'::public.task_status)) AS dead_tasks
           FROM public.sync_job_queue t
          WHERE (t.job_id = j.id)) q ON (true))
     LEFT JOIN LATERAL ( SELECT count(*) AS failed_attempts
           FROM public.sync_error_log l
          WHERE (l.job_id = j.id)) e ON (true))
  WHERE (j.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids)));

comment on view "public"."monitor_jobs" is 'Background jobs with their tasks and failed attempts. One row a job; dead_tasks were given up.';

revoke all on table "public"."monitor_jobs" from "authenticated";

grant select on table "public"."monitor_jobs" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_jobs" to "postgres";

revoke all on table "public"."monitor_jobs" from "service_role";

grant select on table "public"."monitor_jobs" to "service_role";

-- schemas/public/views/monitor_organizations.sql

create view "public"."monitor_organizations" with (security_invoker=true) AS  SELECT o.id AS org_id,
    o.slug AS organization,
    o.is_active,
    COALESCE(p.people, (0)::bigint) AS people,
    COALESCE(p.admins, (0)::bigint) AS admins,
    COALESCE(j.running, (0)::bigint) AS running_jobs,
    (private.setting('jobs.running_per_organization'::text, o.id))::integer AS most_running_jobs,
    COALESCE(j.waiting, (0)::bigint) AS waiting_jobs,
    (private.setting('jobs.queued_per_organization'::text, o.id))::integer AS most_waiting_jobs,
    COALESCE(j.failed, (0)::bigint) AS failed_jobs_last_day,
    COALESCE(b.imports, (0)::bigint) AS imports_last_day,
    COALESCE(b.rows, (0)::bigint) AS rows_last_day,
    b.last_at AS last_import_at
   FROM (((public.organization o
     LEFT JOIN ( SELECT r.org_id,
            count(*) AS people,
            count(*) FILTER (WHERE (r.org_role = 'admin'::public.org_role)) AS admins
           FROM public.profiles r
          WHERE r.is_active
          GROUP BY r.org_id) p ON ((p.org_id = o.id)))
     LEFT JOIN ( SELECT s.org_id,
            count(*) FILTER (WHERE (s.status = ANY (ARRAY['pending'::public.sync_status_type, 'running'::public.sync_status_type]))) AS running,
            count(*) FILTER (WHERE (s.status = ANY (ARRAY['queued'::public.sync_status_type, 'paused'::public.sync_status_type]))) AS waiting,
            count(*) FILTER (WHERE (s.status = 'failed'::public.sync_status_type)) AS failed
           FROM public.scheduled_jobs s
          WHERE ((s.finished_at IS NULL) OR (s.finished_at > (now() - '1 day'::interval)))
          GROUP BY s.org_id) j ON ((j.org_id = o.id)))
     LEFT JOIN LATERAL ( SELECT count(*) FILTER (WHERE (i.created_at > (now() - '1 day'::interval))) AS imports,
            sum(i.row_count) FILTER (WHERE (i.created_at > (now() - '1 day'::interval))) AS rows,
            max(i.created_at) AS last_at
           FROM public.import_batches i
          WHERE (i.org_id = o.id)) b ON (true))
  WHERE (o.id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids)));

comment on view "public"."monitor_organizations" is 'Organizations with their people, jobs (beside what is allowed) and imports. One row an organization.';

revoke all on table "public"."monitor_organizations" from "authenticated";

grant select on table "public"."monitor_organizations" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_organizations" to "postgres";

revoke all on table "public"."monitor_organizations" from "service_role";

grant select on table "public"."monitor_organizations" to "service_role";

-- schemas/public/views/monitor_partitions.sql

create view "public"."monitor_partitions" with (security_invoker=true) AS  SELECT table_name,
        CASE
            WHEN (default_rows > 0) THEN 'default partition holds rows'::text
            WHEN (partitions_ahead < 2) THEN 'ends soon'::text
            ELSE 'ok'::text
        END AS status,
    partitions,
    partitions_ahead,
    covered_until,
    default_rows,
    total_bytes
   FROM private.partition_activity() p(table_name, partitions, partitions_ahead, covered_until, default_rows, total_bytes);

comment on view "public"."monitor_partitions" is 'Partitioned tables: how far ahead their partitions reach, and what strayed into the default one, which must stay empty (10000: that many or more). maintenance.create_partitions mends both within the hour. One row a table.';

revoke all on table "public"."monitor_partitions" from "authenticated";

grant select on table "public"."monitor_partitions" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_partitions" to "postgres";

revoke all on table "public"."monitor_partitions" from "service_role";

grant select on table "public"."monitor_partitions" to "service_role";

-- schemas/public/views/monitor_queue.sql

create view "public"."monitor_queue" with (security_invoker=true) AS  SELECT q.org_id,
    o.slug AS organization,
    j.job_type,
    count(*) FILTER (WHERE ((q.status = 'pending'::public.task_status) AND (q.next_attempt_at <= clock_timestamp()))) AS ready_tasks,
    count(*) FILTER (WHERE ((q.status = 'pending'::public.task_status) AND (q.next_attempt_at > clock_timestamp()))) AS delayed_tasks,
    count(*) FILTER (WHERE (q.status = 'running'::public.task_status)) AS running_tasks,
    count(*) FILTER (WHERE (q.status = 'held'::public.task_status)) AS held_tasks,
    count(*) FILTER (WHERE (q.status = 'failed'::public.task_status)) AS dead_tasks,
    max(q.attempts) AS most_attempts,
    (clock_timestamp() - min(q.next_attempt_at) FILTER (WHERE ((q.status = 'pending'::public.task_status) AND (q.next_attempt_at <= clock_timestamp())))) AS longest_wait
   FROM ((public.sync_job_queue q
     JOIN public.scheduled_jobs j ON ((j.id = q.job_id)))
     JOIN public.organization o ON ((o.id = q.org_id)))
  WHERE (q.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids)))
  GROUP BY q.org_id, o.slug, j.job_type;

comment on view "public"."monitor_queue" is 'Tasks in the queue by organization and job type. longest_wait beyond a few seconds: too few workers, or none.';

revoke all on table "public"."monitor_queue" from "authenticated";

grant select on table "public"."monitor_queue" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_queue" to "postgres";

revoke all on table "public"."monitor_queue" from "service_role";

grant select on table "public"."monitor_queue" to "service_role";

-- schemas/public/views/monitor_sync_sources.sql

create view "public"."monitor_sync_sources" with (security_invoker=true) AS  SELECT s.org_id,
    o.slug AS organization,
    s.id AS source_id,
    s.name AS source,
    s.dataset,
    s.kind,
    s.mode,
    p.email AS owner,
    s.is_active,
    h.schedules,
    r.id AS last_run_id,
    r.status AS last_status,
    r.reason,
    (r.error ->> 'code'::text) AS error_code,
    (r.error ->> 'message'::text) AS error_message,
    r.created_at AS last_run_at,
    g.finished_at AS last_good_at,
    f.failures AS failures_since,
        CASE
            WHEN (r.finished_at IS NULL) THEN (now() - r.started_at)
            ELSE NULL::interval
        END AS under_way_for
   FROM ((((((public.sync_sources s
     JOIN public.organization o ON ((o.id = s.org_id)))
     LEFT JOIN public.profiles p ON ((p.id = s.owner)))
     CROSS JOIN LATERAL ( SELECT count(*) AS schedules
           FROM public.sync_schedule c
          WHERE ((c.source_id = s.id) AND c.is_enabled)) h)
     LEFT JOIN LATERAL ( SELECT l.id,
            l.org_id,
            l.source_id,
            l.schedule_id,
            l.status,
            l.is_forced,
            l.reason,
            l.job_id,
            l.import_id,
            l.delete_import_id,
            l.fetched,
            l.known_count,
            l.deletion_count,
            l.skipped_count,
            l.error,
            l.started_by,
            l.approved_by,
            l.approved_at,
            l.created_at,
            l.started_at,
            l.finished_at
           FROM public.sync_runs l
          WHERE ((l.source_id = s.id) AND (l.status <> 'waiting'::public.sync_run_status))
          ORDER BY l.created_at DESC
         LIMIT 1) r ON (true))
     LEFT JOIN LATERAL ( SELECT l.created_at,
            l.finished_at
           FROM public.sync_runs l
          WHERE ((l.source_id = s.id) AND (l.status = ANY (ARRAY['completed'::public.sync_run_status, 'unchanged'::public.sync_run_status])))
          ORDER BY l.created_at DESC
         LIMIT 1) g ON (true))
     CROSS JOIN LATERAL ( SELECT count(*) AS failures
           FROM public.sync_runs l
          WHERE ((l.source_id = s.id) AND (l.status = 'failed'::public.sync_run_status) AND (l.created_at > COALESCE(g.created_at, '-infinity'::timestamp with time zone)))) f)
  WHERE (s.org_id = ANY (ARRAY( SELECT private.org_ids('admin'::public.org_role) AS org_ids)));

comment on view "public"."monitor_sync_sources" is 'Sources with their last run, why it asks or failed, when one went well and how many failed since. One row a source.';

revoke all on table "public"."monitor_sync_sources" from "authenticated";

grant select on table "public"."monitor_sync_sources" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_sync_sources" to "postgres";

revoke all on table "public"."monitor_sync_sources" from "service_role";

grant select on table "public"."monitor_sync_sources" to "service_role";

-- schemas/public/views/monitor_webhooks.sql

create view "public"."monitor_webhooks" with (security_invoker=true) AS  SELECT w.org_id,
    o.slug AS organization,
    w.id AS webhook_id,
    "substring"(w.url, '^[^/]+//([^/?#]+)'::text) AS host,
    w.is_active,
    q.waiting,
    f.failed,
    ( SELECT e.delivered_at
           FROM public.webhook_deliveries e
          WHERE ((e.webhook_id = w.id) AND (e.status = 'delivered'::public.webhook_delivery_status))
          ORDER BY e.created_at DESC
         LIMIT 1) AS last_delivered_at,
    (clock_timestamp() - q.oldest) AS longest_wait,
    (COALESCE(w.error, q.error, f.error) ->> 'message'::text) AS error_message
   FROM (((public.webhooks w
     JOIN public.organization o ON ((o.id = w.org_id)))
     CROSS JOIN LATERAL ( SELECT count(*) AS waiting,
            min(e.created_at) AS oldest,
            (array_agg(e.error ORDER BY e.created_at DESC) FILTER (WHERE (e.error IS NOT NULL)))[1] AS error
           FROM public.webhook_deliveries e
          WHERE ((e.webhook_id = w.id) AND (e.status = ANY (ARRAY['pending'::public.webhook_delivery_status, 'sending'::public.webhook_delivery_status])))) q)
     CROSS JOIN LATERAL ( SELECT count(*) AS failed,
            ( SELECT l.error
                   FROM public.webhook_deliveries l
                  WHERE ((l.webhook_id = w.id) AND (l.status = 'failed'::public.webhook_delivery_status))
                  ORDER BY l.created_at DESC
                 LIMIT 1) AS error
           FROM public.webhook_deliveries e
          WHERE ((e.webhook_id = w.id) AND (e.status = 'failed'::public.webhook_delivery_status))) f);

comment on view "public"."monitor_webhooks" is 'Webhooks with what they wait for and what was given up. One row a webhook; the path of its address is left out, as it may be a secret.';

revoke all on table "public"."monitor_webhooks" from "authenticated";

grant select on table "public"."monitor_webhooks" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_webhooks" to "postgres";

revoke all on table "public"."monitor_webhooks" from "service_role";

grant select on table "public"."monitor_webhooks" to "service_role";

-- schemas/public/views/monitor_workers.sql

create view "public"."monitor_workers" with (security_invoker=true) AS  SELECT worker,
    pid,
    state,
    started_at,
    org_id,
    job_id,
    task_id,
    task_type,
    from_row,
    to_row,
    attempt,
    claimed_at,
    (clock_timestamp() - claimed_at) AS busy_for
   FROM private.worker_activity() w(worker, pid, state, started_at, org_id, job_id, task_id, task_type, from_row, to_row, attempt, claimed_at);

comment on view "public"."monitor_workers" is 'The workers that are alive, and the task that each is at.';

revoke all on table "public"."monitor_workers" from "authenticated";

grant select on table "public"."monitor_workers" to "authenticated";

grant delete, insert, maintain, references, select, trigger, truncate, update on table "public"."monitor_workers" to "postgres";

revoke all on table "public"."monitor_workers" from "service_role";

grant select on table "public"."monitor_workers" to "service_role";
