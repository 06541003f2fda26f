-- What people do with sessions: go on where they left, share, hand over, clean up.
-- Needs: imports_sessions, imports_rpc.
-- Exposes: list_import_sessions, open_import_session, save_import_session, find_similar_imports, share_import_session,
-- unshare_import_session, transfer_import_session, abandon_import_sessions.

create function private.describe_session(p_session public.import_sessions)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
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
$$;

-- How the caller stands to a session: owner (also of those without one, for admins), shared, or null: it is hidden
-- from them. What the policy says, for functions that row level security does not hold.
create function private.session_standing(p_session public.import_sessions)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when p_session.id is null then null
    when private.is_service_caller() or private.is_system_admin() then 'owner'
    when p_session.created_by is null and p_session.org_id in (select private.org_ids('admin')) then 'owner'
    when p_session.org_id not in (select private.org_ids('viewer')) then null
    when p_session.created_by = auth.uid() then 'owner'
    when p_session.id in (select private.shared_session_ids()) then 'shared'
  end;
$$;

-- The session of which the caller is the owner, locked; the organization and the import before it, as jobs lock them.
create function private.lock_session(p_session_id uuid)
returns public.import_sessions
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Somebody else is at it, or a worker.
create function private.require_idle_session(p_session public.import_sessions)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

create function private.require_colleague(p_user_id uuid, p_org_id uuid, p_minimum_role public.org_role)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- The role that a colleague needs to have the session: of a dataset that is for admins nobody else sees the import.
create function private.session_role(p_session public.import_sessions, p_minimum_role public.org_role)
returns public.org_role
language sql stable
security invoker
set search_path = ''
as $$
  select case when b.dataset in (select private.open_datasets()) then p_minimum_role else 'admin' end
  from public.import_batches as b
  where b.id = p_session.batch_id;
$$;

create function private.log_session(p_session public.import_sessions, p_action public.sync_action, p_details jsonb)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.log_activity(
    p_session.org_id, d.entity_type, p_action, 'completed', p_session.batch_id::text,
    jsonb_build_object('session_id', p_session.id, 'file_name', p_session.file_name) || p_details
  )
  from public.import_batches as b
  join public.datasets as d on d.key = b.dataset
  where b.id = p_session.batch_id;
$$;

-- Working -------------------------------------------------------------------------------------------

create function public.list_import_sessions(
  status text default null, page_size integer default 50, before timestamptz default null
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.list_import_sessions(text, integer, timestamptz) is
  'One''s own sessions and those shared with one, newest first, and for admins those whose owner is gone: { sessions: [as open_import_session, '
  'with dataset, mode and row_count in place of import], next_before: timestamp of the next page, or null }. Errors: 22023.';

-- Definer: sessions are written by Sluice alone. Any change is an access, and brings an expired one back.
create function private.touch_session(p_session_id uuid, p_state jsonb)
returns public.import_sessions
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.open_import_session(session_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.describe_session(s) || jsonb_build_object('import', private.describe_import(s.batch_id))
  from private.touch_session(open_import_session.session_id, null) as s;
$$;
comment on function public.open_import_session(uuid) is
  'Goes on where one left: { id, org_id, import_id, created_by, status, current_step, file_name, content_hash, header_hash, state, '
  'shared_with: [user ids], created_at, last_accessed_at, import: its document }. An expired session is in progress again. Errors: PT404.';

create function public.save_import_session(session_id uuid, state jsonb)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.save_import_session(uuid, jsonb) is
  'Keeps what a client needs to go on later (an object of at most 64 KB), in place of what was there; returns the session without its '
  'import. Errors: 22023, 42501 (a viewer''s), PT404, PT413.';

create function public.find_similar_imports(import_id uuid)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.find_similar_imports(uuid) is
  'Among one''s own sessions alone, those of files like this import''s: { similar: [{ session_id, import_id, status, current_step, file_name, '
  'dataset, row_count, reason, likeness, created_at }] }, at most 20. reason: content (the same file), header (the same columns) or '
  'name; likeness: of the file names, 0 to 1. Errors: PT404.';

-- Sharing and handing over --------------------------------------------------------------------------

-- Definer: as above. Authorises first, as all of them do.
create function private.share_session(p_session_id uuid, p_user_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.share_import_session(session_id uuid, user_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.share_session(share_import_session.session_id, share_import_session.user_id);
$$;
comment on function public.share_import_session(uuid, uuid) is
  'Lets another person of the organization see the session and, if they are a member, work on its import; it stays its owner''s. '
  'Returns the session. Errors: 22023 (person), 42501 (not the owner), PT404.';

-- Definer: as above. The owner takes a share back; who has one gives it up.
create function private.unshare_session(p_session_id uuid, p_user_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.unshare_import_session(session_id uuid, user_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.unshare_session(unshare_import_session.session_id, unshare_import_session.user_id);
$$;
comment on function public.unshare_import_session(uuid, uuid) is
  'Takes a share back, or gives up one''s own. A job that the person has running ends at its next chunk with permission_denied. '
  'Returns the session. Errors: 42501 (not the owner), PT404.';

-- Definer: as above.
create function private.transfer_session(p_session_id uuid, p_user_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.transfer_import_session(session_id uuid, user_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.transfer_session(transfer_import_session.session_id, transfer_import_session.user_id);
$$;
comment on function public.transfer_import_session(uuid, uuid) is
  'An admin hands a session, with the right to work on its import, to a member of the same organization; its former owner has it no more. '
  'Returns the session. Errors: 22023 (person), 42501, PT404, PT409 (a job of it is running).';

-- Cleaning up ---------------------------------------------------------------------------------------

-- Definer: as above. An import of which nothing runs is cancelled with it.
create function private.abandon_session(p_session_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.abandon_import_sessions(session_ids uuid[])
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.abandon_import_sessions(uuid[]) is
  'Gives up many sessions at once (1 to 1000), cancelling imports that are staged or validated: { abandoned: [ids], failed: [{ id, '
  'error: { code, message, details, hint } }] }. An admin cleans up those whose owner is gone, too. Each is tried for itself: its '
  'errors 42501, PT404 and PT409 (completed; a job is running) stand in the answer. Errors: PT413.';

-- Grants --------------------------------------------------------------------------------------------

revoke all on function
  public.list_import_sessions(text, integer, timestamptz), public.open_import_session(uuid),
  public.save_import_session(uuid, jsonb), public.find_similar_imports(uuid), public.share_import_session(uuid, uuid),
  public.unshare_import_session(uuid, uuid), public.transfer_import_session(uuid, uuid),
  public.abandon_import_sessions(uuid[])
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_import_sessions(text, integer, timestamptz), public.open_import_session(uuid),
  public.save_import_session(uuid, jsonb), public.find_similar_imports(uuid), public.share_import_session(uuid, uuid),
  public.unshare_import_session(uuid, uuid), public.transfer_import_session(uuid, uuid),
  public.abandon_import_sessions(uuid[])
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.describe_session(public.import_sessions), private.touch_session(uuid, jsonb), private.share_session(uuid, uuid),
  private.unshare_session(uuid, uuid), private.transfer_session(uuid, uuid), private.abandon_session(uuid)
  to authenticated, service_role;
