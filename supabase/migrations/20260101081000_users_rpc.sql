-- What clients do with people: make some, delete some, list them, and read what became of each.
-- Needs: users_apply, imports_rpc.
-- Exposes: create_users, delete_users, list_users, list_user_results.

create type public.user_result as (
  row_number integer,
  email      text,
  status     text,
  user_id    uuid,
  issues     jsonb
);
comment on type public.user_result is
  'What became of a person: created, updated, unchanged, deleted, skipped, failed, undone or pending; issues: [{ field, severity, code, message, value }].';

-- The import, if the caller may see it, and people are what it is of.
create function private.find_users_import(p_import_id uuid)
returns public.import_batches
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- Making --------------------------------------------------------------------------------------------

-- Refuses what is no list of objects with the fields of the dataset.
create function private.check_user_objects(p_users jsonb, p_org_id uuid)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- An import of people whose rows are at hand, staged, and judged and applied in the background; its document.
create function private.import_users(
  p_org_id uuid, p_mode text, p_columns text[], p_rows jsonb, p_params jsonb, p_idempotency_key text
)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Definer: batches and rows are written by Sluice alone. create_import authorises.
create function private.create_users(p_users jsonb, p_org_id uuid, p_mode text, p_idempotency_key text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.create_users(
  users jsonb, org_id uuid default null, mode text default 'insert', idempotency_key text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_users(create_users.users, create_users.org_id, create_users.mode, create_users.idempotency_key);
$$;
comment on function public.create_users(jsonb, uuid, text, text) is
  'Makes people, in the background: an import of the dataset users whose rows are the 1 to 500 objects given, with any of its fields; email is '
  'needed. mode: insert (default), update, upsert. Returns its document (see get_import), with "replayed": true where the idempotency key was used '
  'before; list_user_results tells what became of each. Errors: 22023, 42501, PT404, PT409 (key in use), PT413.';

-- Deleting ------------------------------------------------------------------------------------------

-- The addresses of people, in their order. Who is nobody the caller may manage stays an id, and will not be found.
create function private.addresses_of(p_ids uuid[])
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_agg(coalesce(u.email, i.id::text) order by i.place)
  from unnest(p_ids) with ordinality as i (id, place)
  left join private.users as u on u.id = i.id;
$$;

-- Whom an import made, but for those that an undo took back.
create function private.people_of_import(p_import_id uuid)
returns uuid[]
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- Definer: as above.
create function private.delete_users(
  p_ids uuid[], p_emails text[], p_import_id uuid, p_dry_run boolean, p_org_id uuid, p_idempotency_key text
)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.delete_users(
  ids uuid[] default null, emails text[] default null, import_id uuid default null, dry_run boolean default false,
  org_id uuid default null, idempotency_key text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.delete_users(
    delete_users.ids, delete_users.emails, delete_users.import_id, delete_users.dry_run, delete_users.org_id, delete_users.idempotency_key);
$$;
comment on function public.delete_users(uuid[], text[], uuid, boolean, uuid, text) is
  'Deletes people of the organization, in the background: those with these ids or addresses, at most 100000, or whom an import made. What they '
  'made stays, without an owner. Refused, each with a code: one''s own account, the last admin of the organization, system admins. dry_run: '
  'nothing is deleted; the import ends as validated, with a full preview (get_import_preview). Returns the document of the import that does it (see '
  'get_import); list_user_results tells what became of each. Errors: 22023, 42501, PT404, PT409 (key in use; rows expired), PT413.';

-- Reading -------------------------------------------------------------------------------------------

-- Definer: accounts are closed. Authorises first.
create function private.read_users(p_org_id uuid, p_after text, p_page_size integer, p_search text)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
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
$$;

create function public.list_users(
  org_id uuid default null, after text default null, page_size integer default 100, search text default null
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if (list_users.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return private.read_users(list_users.org_id, list_users.after, list_users.page_size, nullif(btrim(list_users.search), ''));
end;
$$;
comment on function public.list_users(uuid, text, integer, text) is
  'The people of the organization, for its admins, by their addresses: { users: [{ id, email, full_name, role, phone, metadata, is_active, confirmed, '
  'created_at, last_sign_in_at, invitation (pending, sending, sent, failed or null), organization (its slug) }], next_after: what the next page takes '
  'as after, or null }. search: a part of address or name. page_size at most 1000. Errors: 22023, 42501, PT404.';

create function public.list_user_results(import_id uuid, after_row integer default 0, page_size integer default 100)
returns setof public.user_result
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.list_user_results(uuid, integer, integer) is
  'What became of each person of an import of users, in the order of its rows; the next page begins after the last row_number; page_size at most '
  '1000. Errors: 22023, PT404.';

-- Grants --------------------------------------------------------------------------------------------

revoke all on function
  public.create_users(jsonb, uuid, text, text), public.delete_users(uuid[], text[], uuid, boolean, uuid, text),
  public.list_users(uuid, text, integer, text), public.list_user_results(uuid, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_users(jsonb, uuid, text, text), public.delete_users(uuid[], text[], uuid, boolean, uuid, text),
  public.list_users(uuid, text, integer, text), public.list_user_results(uuid, integer, integer)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.create_users(jsonb, uuid, text, text), private.delete_users(uuid[], text[], uuid, boolean, uuid, text),
  private.read_users(uuid, text, integer, text), private.find_users_import(uuid)
  to authenticated, service_role;
