-- Invitations: mails that the auth service sends to people who are to confirm their address. The worker function asks it
-- for them, one after the other, within a limit for the whole project.
-- Needs: tenancy, remote tasks (the way to the worker function).
-- Exposes: user_invitations (read by admins), retry_invitations; next_invitation for the service key.

create type public.invitation_status as enum ('pending', 'sending', 'sent', 'failed');
comment on type public.invitation_status is
  'pending: waits for its turn or its next attempt; sending: the auth service is asked; sent: it has taken the mail; failed: given up.';

create table public.user_invitations (
  user_id         uuid primary key references auth.users (id) on delete cascade,
  org_id          uuid not null references public.organization (id) on delete cascade,
  email           text not null,
  status          public.invitation_status not null default 'pending',
  attempts        smallint not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  error           jsonb,
  requested_by    uuid default auth.uid() references auth.users (id) on delete set null,
  created_at      timestamptz not null default clock_timestamp(),
  tried_at        timestamptz,
  sent_at         timestamptz,

  constraint user_invitations_error_check check (status <> 'failed' or error is not null)
);
alter table public.user_invitations enable row level security;
comment on table public.user_invitations is 'Who is to be invited by mail, or was: one row a person.';
comment on column public.user_invitations.next_attempt_at is 'Not sent before; while it is being sent, when that counts as lost.';
comment on column public.user_invitations.error is
  'Why the last attempt failed: { code, message, status }, as the auth service says it.';
comment on column public.user_invitations.sent_at is 'When the auth service took the last mail.';
create index user_invitations_org_id_tried_at_idx on public.user_invitations (org_id, tried_at);
create index user_invitations_requested_by_idx on public.user_invitations (requested_by);
create index user_invitations_pending_idx on public.user_invitations (org_id, next_attempt_at) where status = 'pending';
create index user_invitations_sending_idx on public.user_invitations (next_attempt_at) where status = 'sending';

-- What the limit counts: who deletes people does not get mails back.
create table private.invitation_calls (
  token        uuid primary key default gen_random_uuid(),
  user_id      uuid,
  called_at    timestamptz not null default clock_timestamp(),
  expires_at   timestamptz not null default clock_timestamp() + interval '3 minutes',
  mail_count   integer not null default 0,
  paused_until timestamptz,
  ended_at     timestamptz
);
comment on table private.invitation_calls is
  'Calls of the worker function that send invitations; one at a time. user_id: whom it is at; mail_count: mails that went out, or may have; '
  'paused_until: the auth service asks all to wait.';

-- Queues people who have not confirmed their address. Who is queued stays where they are.
create function private.queue_invitations(p_org_id uuid, p_user_ids uuid[])
returns integer
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- How many mails may go out now: what the last hour has left of the limit.
create function private.invitations_left()
returns integer
language sql volatile
security invoker
set search_path = ''
as $$
  select case
    when bool_or(c.paused_until > clock_timestamp()) then 0
    else private.setting('users.invites_per_hour')::integer
      - coalesce(sum(c.mail_count) filter (where c.called_at > clock_timestamp() - interval '1 hour'), 0)
  end::integer
  from private.invitation_calls as c;
$$;

-- Who is next: of the organization served longest ago, who has waited longest.
create function private.due_invitation()
returns uuid
language sql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- An attempt failed: another, each time four times as late, or none.
create function private.fail_invitation(p_user_id uuid, p_error jsonb, p_is_final boolean)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  update public.user_invitations as i
  set status = (case when p_is_final or i.attempts >= 5 then 'failed' else 'pending' end)::public.invitation_status,
      next_attempt_at = clock_timestamp() + interval '1 minute' * power(4, i.attempts - 1),
      error = p_error
  where i.user_id = p_user_id;
$$;

-- The tick: calls the worker function where somebody is due, the limit allows it and no call is at it. True: called.
create function private.post_invitations()
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Writes down what the auth service said of a person. Whose the fault is decides: theirs is final; where it lies with the
-- service, others wait for the next call, and for as long as it says where it asks for patience.
create function private.record_invitation(p_call private.invitation_calls, p_outcome jsonb)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Takes what became of the person before and gives the next; null: there is none for this call.
-- Definer: the service key reads no auth tables. The token is the proof.
create function private.next_invitation(p_token uuid, p_outcome jsonb)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.next_invitation(token uuid, outcome jsonb default null)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.next_invitation(uuid, jsonb) is
  'For the worker function: takes what the auth service said of the person before, and gives the next, { user_id, email }; null: '
  'there is none. Service key only. Errors: 22023, PT409 (the call is over: nothing has changed).';

-- Definer: nobody may write the table. Authorises first.
create function private.retry_invitations(p_org_id uuid, p_user_ids uuid[])
returns integer
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.retry_invitations(org_id uuid default null, user_ids uuid[] default null)
returns integer
language sql volatile
security invoker
set search_path = ''
as $$
  select private.retry_invitations(retry_invitations.org_id, retry_invitations.user_ids);
$$;
comment on function public.retry_invitations(uuid, uuid[]) is
  'Sends invitations again: those that failed, or of user_ids those that failed or were sent, as far as people have not confirmed their '
  'address since. Returns how many were queued. For admins; org_id: the caller''s own unless given, the service key must name it. '
  'Errors: 42501, 22023 (no organization), PT404.';

create policy user_invitations_select_admin on public.user_invitations
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('users.invites_per_hour', 'number', 0, 100000, '30', 'system_admin', 'Invitations that are sent in an hour, of all organizations together. The auth service has a limit of its own.');

revoke all on public.user_invitations from public, anon, authenticated, service_role;
grant select on public.user_invitations to authenticated, service_role;
revoke all on private.invitation_calls from public, anon, authenticated, service_role;
revoke all on function public.next_invitation(uuid, jsonb), public.retry_invitations(uuid, uuid[])
  from public, anon, authenticated, service_role;
grant execute on function public.next_invitation(uuid, jsonb) to service_role;
grant execute on function public.retry_invitations(uuid, uuid[]) to authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function private.next_invitation(uuid, jsonb) to service_role;
grant execute on function private.retry_invitations(uuid, uuid[]) to authenticated, service_role;
