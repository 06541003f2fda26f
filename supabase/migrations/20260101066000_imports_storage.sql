-- Files that are too large for a request: they are in the bucket imports, and a job takes them in, range by range.
-- Needs: jobs_remote, imports_rpc, and Storage's schema.
-- Exposes: prepare_import_upload, ingest_import; for the service key list_expired_files. The job type ingest.

insert into private.job_types (
  job_type, run_function, advance_function, end_function, describe_function, complete_function, right_function
)
values (
  'ingest', 'private.run_ingest', 'private.is_ingested', 'private.end_ingest', 'private.describe_ingest', 'private.complete_ingest',
  'private.require_import_job_right'
);
insert into public.sync_retry_policy (job_type) values ('ingest');

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('imports.max_object_bytes', 'number', 1024, 107374182400, '5368709120', 'postgres', 'Largest file that comes by way of Storage, in bytes.'),
  ('imports.range_bytes', 'number', 65536, 33554432, '25165824', 'postgres', 'How much of a stored file a call of the worker function takes in, in bytes: what it can do in the two seconds of CPU that it has.');

-- The bucket --------------------------------------------------------------------------------------

insert into storage.buckets (id, name, public)
values ('imports', 'imports', false)
on conflict (id) do update set public = false;

-- A file may hold what its import does not show to every member: the dataset users has passwords.
create policy imports_select_member on storage.objects
  for select to authenticated
  using (
    bucket_id = 'imports' and (
      (owner_id = (select auth.uid())::text
        and split_part(name, '/', 1) = any (array(select o.id::text from private.org_ids('member') as o (id))))
      or split_part(name, '/', 1) = any (array(select o.id::text from private.org_ids('admin') as o (id)))
    )
  );
create policy imports_insert_member on storage.objects
  for insert to authenticated
  with check (
    bucket_id = 'imports'
    and split_part(name, '/', 1) = any (array(select o.id::text from private.org_ids('member') as o (id)))
  );
create policy imports_delete_admin on storage.objects
  for delete to authenticated
  using (
    bucket_id = 'imports'
    and split_part(name, '/', 1) = any (array(select o.id::text from private.org_ids('admin') as o (id)))
  );

-- Where the caller may upload a file that they may make an import of. Definer: as create_import, which it comes before.
create function private.prepare_upload(p_dataset text, p_mode text, p_org_id uuid, p_corrects uuid, p_file_name text)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
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
$$;

-- Reading it --------------------------------------------------------------------------------------

create table private.import_ingests (
  batch_id  uuid primary key references public.import_batches (id) on delete cascade,
  byte_size bigint not null,
  position  bigint not null default 0,
  row_count integer not null default 0,
  state     text,

  constraint import_ingests_position_check check (position between 0 and byte_size)
);
comment on table private.import_ingests is
  'How far a stored file has been taken in. Gone once its rows are staged, or once none of them is left.';
comment on column private.import_ingests.position is 'Bytes that have been read.';
comment on column private.import_ingests.state is
  'JSON by which the worker function goes on. Text, since jsonb cannot hold every JSON.';

-- The file of an import that waits for it, in the size that it may have.
create function private.require_ingestible(p_batch public.import_batches)
returns bigint
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- Definer: locks the import.
create function private.tg_scheduled_jobs__resolve_ingest()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
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
$$;

-- Definer: enqueues the task.
create function private.tg_scheduled_jobs__start_ingest()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.import_ingests (batch_id, byte_size) values (new.batch_id, new.total_count);
  perform private.enqueue_tasks(new, 'ingest', 0, 0, 1);
  return null;
end;
$$;

create trigger _200_resolve_ingest
  before insert on public.scheduled_jobs
  for each row when (new.job_type = 'ingest')
  execute function private.tg_scheduled_jobs__resolve_ingest();

create trigger _600_start_ingest
  after insert on public.scheduled_jobs
  for each row when (new.job_type = 'ingest')
  execute function private.tg_scheduled_jobs__start_ingest();

-- One task from the first byte to the last: each call takes in a range and has the next one posted.
create function private.run_ingest(p_task public.sync_job_queue)
returns private.task_result
language sql volatile
security invoker
set search_path = ''
as $$
  select private.post_task(p_task, 'ingest');
$$;

create function private.describe_ingest(p_task public.sync_job_queue)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
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
$$;

create function private.refuse_range(p_import_id uuid, p_position bigint)
returns void
language plpgsql immutable
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT409',
    message = 'range was taken in before',
    detail  = format('import %s, from byte %s', p_import_id, p_position),
    hint    = 'Stop: another call goes on.';
end;
$$;

-- A call begins with its range: the task is its own until the transaction ends, and whoever asked for the import still
-- may. Definer: for the direct connection, as sluice_ingest. The token is the proof, here and below.
create function private.begin_range(p_task_id bigint, p_token uuid, p_from bigint)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- The rows of a range are there, in this transaction: the next call begins behind it. A repeat that overlaps it finds
-- the position moved, and changes nothing.
create function private.advance_ingest(
  p_task_id bigint, p_token uuid, p_from bigint, p_to bigint, p_row_count integer, p_state text
)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- All of it has been read: { columns, sample, format, content_hash }.
create function private.complete_ingest(p_task public.sync_job_queue, p_result jsonb)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

create function private.is_ingested(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

-- Takes away rows of a file that came to nothing, so many at a time; returns whether none is left.
create function private.drop_ingested_rows(p_import_id uuid)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- What is left of files that came to nothing; false: nothing. For maintenance.
create function private.drop_next_ingest()
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- The import follows its job, and goes on by itself where that was asked for. What keeps it from going on is told with
-- the job: its rows are staged all the same.
create function private.end_ingest(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Files that are past their time ------------------------------------------------------------------

-- Stored files that nobody needs any more, whoever has put them there: those past the time of staged rows, and those
-- with secrets as soon as their rows are staged or their import has ended.
create function private.expired_files(p_most integer)
returns setof text
language sql stable
security invoker
set search_path = ''
as $$
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
$$;

-- Has them deleted: only Storage can delete what its rows stand for. Null: there are none. For maintenance.
create function private.delete_expired_files()
returns bigint
language sql volatile
security invoker
set search_path = ''
as $$
  select private.post_to_worker('files', '{}') where exists (select from private.expired_files(1));
$$;

-- Definer: sees every import.
create function private.list_expired_files()
returns text[]
language sql stable
security definer
set search_path = ''
as $$
  select array(select f.name from private.expired_files(1000) as f (name));
$$;

-- RPCs --------------------------------------------------------------------------------------------

create function public.prepare_import_upload(
  dataset text default null,
  mode text default null,
  org_id uuid default null,
  file_name text default null,
  corrects uuid default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.prepare_upload(
    prepare_import_upload.dataset, prepare_import_upload.mode, prepare_import_upload.org_id, prepare_import_upload.corrects,
    prepare_import_upload.file_name
  );
$$;
comment on function public.prepare_import_upload(text, text, uuid, text, uuid) is
  'Where to upload a file that the caller may make an import of: { storage_path (in the bucket imports), max_bytes }. Nothing is '
  'made yet: then create_import with the storage_path, and ingest_import. Errors: 22023, 42501, PT404, PT409 (nothing to correct).';

create function public.ingest_import(
  import_id uuid, format jsonb default '{}', commit boolean default false, force boolean default false
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('ingest', ingest_import.import_id,
    jsonb_build_object('format', ingest_import.format, 'commit', ingest_import.commit, 'force', ingest_import.force), null);
$$;
comment on function public.ingest_import(uuid, jsonb, boolean, boolean) is
  'Takes in the stored file of an import that create_import has made with a storage_path, in the background: CSV or other delimited '
  'text, or JSON, not packed. format: { delimiter, quote, encoding, header, json }; what is left out is found out. With commit it is '
  'validated and applied without a further call. Returns the job, whose counts are bytes. The import is then staged; or failed or '
  'cancelled, without a row. Errors: 22023, 42501, PT404, PT409 (it awaits no file), PT413, PT429.';

create function public.list_expired_files()
returns text[]
language sql stable
security invoker
set search_path = ''
as $$
  select private.list_expired_files();
$$;
comment on function public.list_expired_files() is
  'Paths in the bucket imports that are to be deleted, at most 1000. Service key only.';

revoke all on function
  public.prepare_import_upload(text, text, uuid, text, uuid), public.ingest_import(uuid, jsonb, boolean, boolean),
  public.list_expired_files()
  from public, anon, authenticated, service_role;
grant execute on function
  public.prepare_import_upload(text, text, uuid, text, uuid), public.ingest_import(uuid, jsonb, boolean, boolean)
  to authenticated, service_role;
grant execute on function public.list_expired_files() to service_role;

revoke all on private.import_ingests from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function private.prepare_upload(text, text, uuid, uuid, text) to authenticated, service_role;
grant execute on function private.list_expired_files() to service_role;
grant execute on function
  private.begin_range(bigint, uuid, bigint), private.advance_ingest(bigint, uuid, bigint, bigint, integer, text)
  to sluice_ingest;
