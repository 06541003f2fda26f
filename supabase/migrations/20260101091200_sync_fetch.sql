-- What a run fetches: a table here, a file of the bucket by an ingest job, an address by the worker function.
-- Needs: sync_runs, sync_secrets, jobs_remote, imports_storage.
-- Exposes: nothing to clients. begin_fetch, advance_fetch, finish_fetch to the worker function.

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('sync.max_pages', 'number', 1, 1000000, '10000', 'postgres', 'Most pages that a run fetches.');

-- The run of a job's task, if its owner, with whose claims it works, may still do that.
create function private.run_of(p_task public.sync_job_queue)
returns public.sync_runs
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

create function private.source_of(p_run public.sync_runs)
returns public.sync_sources
language sql stable
security invoker
set search_path = ''
as $$
  select s.* from public.sync_sources as s where s.id = p_run.source_id;
$$;

-- By which a run's imports are found, whatever became of the call that made them.
create function private.sync_key(p_run public.sync_runs, p_step text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('sync:%s:%s', p_run.id, p_step);
$$;

-- An import of the run, made as its owner.
create function private.create_sync_import(
  p_run public.sync_runs, p_source public.sync_sources, p_mode text, p_file_name text, p_mapping jsonb, p_storage_path text default null
)
returns public.import_batches
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Nobody else makes an import that says it was synced.
create function private.tg_import_batches__guard_source()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
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
$$;

create trigger _300_guard_source
  before insert on public.import_batches
  for each row when (new.source = 'sync')
  execute function private.tg_import_batches__guard_source();

-- The sample that suggestions look at. A row has no cells of columns that came to light after it.
create function private.first_rows(p_batch public.import_batches, p_columns text[])
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_agg(to_jsonb(array(
    select left(r.cells[n], 1000) from generate_series(1, cardinality(p_columns)) as n order by n
  )) order by r.row_number)
  from private.import_rows as r
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id and r.row_number <= 20;
$$;

-- What was staged and is not to be: nothing of it stays.
create function private.discard_staged(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.import_rows as r where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id;
  delete from private.import_issues as i where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id;
  delete from public.import_batches as b where b.id = p_batch.id and b.status = 'receiving';
end;
$$;

-- All rows are there: they become the run's import, or go, when the last run had the same. Returns what to tell of it.
create function private.end_fetch(
  p_run public.sync_runs, p_source public.sync_sources, p_batch public.import_batches, p_columns text[], p_row_count integer,
  p_byte_size bigint, p_content_hash text, p_format jsonb
)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- A table is read here: all of its rows, in one statement.
create function private.fetch_table(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
as $$
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
$$;

-- Whether somebody's file may be applied with the rights of the source's owner: they could import it themselves, or have the
-- service key. A file for a system admin's source is a system admin's.
create function private.may_feed(p_source public.sync_sources, p_uploader text)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select p_uploader is null or exists (
    select from public.profiles as p
    where p.id::text = p_uploader and p.is_active and (p.is_system_admin or (
      p.org_id = p_source.org_id
      and p.org_role >= private.role_for(p_source.dataset, case p_source.mode when 'mirror' then 'admin' else 'member' end::public.org_role)
      and not exists (select from public.profiles as o where o.id = p_source.owner and o.is_system_admin)
    ))
  );
$$;

-- A file of the bucket: the one that is named, or the newest of a folder, becomes an import, which a job takes in.
create function private.fetch_object(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- The headers by which a source knows who asks. Here alone is a secret read.
create function private.auth_headers(p_source public.sync_sources)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- What the worker function has to fetch, and where an earlier call stopped. Of a source with pages the first says nothing of the
-- others, so that it is not asked whether it has changed.
create function private.describe_fetch(p_task public.sync_job_queue)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- For the call of a task, over the direct connection: the import that its rows go to, made by the first call that has some.
-- Definer, like the two below: it has become sluice_ingest. The token is the proof.
create function private.begin_fetch(p_task_id bigint, p_token uuid, p_columns text[])
returns table (import_id uuid, staged_on date, max_rows bigint, max_cell_bytes integer)
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- Some pages are staged: the next call goes on after them. State and rows are one transaction, so that a call that dies has
-- done nothing.
create function private.advance_fetch(p_task_id bigint, p_token uuid, p_state jsonb)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  perform private.hold_call(p_task_id, p_token);
  update public.sync_job_queue as q set args = q.args || jsonb_build_object('state', p_state) where q.id = p_task_id;
  perform private.repost_task(p_task_id, p_token, 'fetch');
end;
$$;

-- All is staged. The call reports it by complete_worker_task; one that dies before that is repeated, and finds it done.
create function private.finish_fetch(
  p_task_id bigint, p_token uuid, p_columns text[], p_row_count integer, p_byte_size bigint, p_content_hash text, p_format jsonb,
  p_result jsonb
)
returns void
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
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
$$;

-- { unchanged: true, … } where nothing was staged. Written to the job, which its end reads: the run is taken after the organization.
create function private.complete_fetch(p_task public.sync_job_queue, p_result jsonb)
returns private.task_result
language sql volatile
security invoker
set search_path = ''
as $$
  update public.scheduled_jobs as j set result = coalesce(p_task.args -> 'outcome', p_result) where j.id = p_task.job_id;
  select row(1, 0)::private.task_result;
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.begin_fetch(bigint, uuid, text[]), private.advance_fetch(bigint, uuid, jsonb),
  private.finish_fetch(bigint, uuid, text[], integer, bigint, text, jsonb, jsonb)
  to sluice_ingest;
