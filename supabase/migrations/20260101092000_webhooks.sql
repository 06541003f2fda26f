-- Webhooks: what happens to imports, jobs, syncs and invitations, told to addresses that an organization names, signed.
-- Needs: jobs, remote tasks, imports, users_invitations, sync_runs, Vault.
-- Exposes: webhooks, webhook_deliveries.

create type public.webhook_delivery_status as enum ('pending', 'sending', 'delivered', 'failed');
comment on type public.webhook_delivery_status is
  'pending: due at next_attempt_at; sending: the worker function is at it; delivered; failed: given up (dead letter).';

create table private.webhook_events (
  event       text primary key,
  description text not null
);
comment on table private.webhook_events is 'What a webhook can be told of.';

insert into private.webhook_events (event, description) values
  ('import.staged', 'The file of an import has arrived.'),
  ('import.validated', 'The rows of an import are judged.'),
  ('import.completed', 'An import is applied.'),
  ('import.failed', 'An import, or its undo, has failed.'),
  ('import.cancelled', 'An import was cancelled.'),
  ('import.undone', 'An import is undone.'),
  ('job.failed', 'A job has failed, whatever its type.'),
  ('sync.awaiting_approval', 'A run of a sync waits for somebody to approve it.'),
  ('sync.completed', 'A run of a sync is applied.'),
  ('sync.unchanged', 'A run of a sync found nothing new.'),
  ('sync.failed', 'A run of a sync has failed.'),
  ('sync.cancelled', 'A run of a sync was cancelled.'),
  ('invitation.sent', 'The auth service has taken the mail that invites somebody.'),
  ('invitation.failed', 'An invitation is given up.');

-- Tables ------------------------------------------------------------------------------------------

create table public.webhooks (
  id                    uuid primary key default gen_random_uuid(),
  org_id                uuid not null references public.organization (id) on delete cascade,
  url                   text not null,
  events                text[] not null,
  description           text,
  is_active             boolean not null default true,
  error                 jsonb,
  previous_secret_until timestamptz,
  created_by            uuid references auth.users (id) on delete set null,
  created_at            timestamptz not null default now(),
  updated_at            timestamptz not null default now(),

  constraint webhooks_url_check check (private.is_outbound_url(url)),
  constraint webhooks_description_check check (length(description) between 1 and 255)
);
alter table public.webhooks enable row level security;
comment on table public.webhooks is
  'Addresses that are told of events, of one organization. The secret that signs is in Vault: sluice/org/<org_id>/webhook/<id>.';
comment on column public.webhooks.is_active is 'False: nothing is queued for it, and what is queued waits.';
comment on column public.webhooks.error is 'Why it was switched off, where its receiver asked for that: { code, message, details, hint }.';
comment on column public.webhooks.previous_secret_until is 'Until then deliveries are signed with the secret before the present one, too.';
create index webhooks_org_id_idx on public.webhooks (org_id);
create index webhooks_created_by_idx on public.webhooks (created_by);

create trigger _100_touch_updated_at
  before update on public.webhooks
  for each row execute function private.tg__touch_updated_at();

create table public.webhook_deliveries (
  id              uuid primary key default gen_random_uuid(),
  webhook_id      uuid not null references public.webhooks (id) on delete cascade,
  org_id          uuid not null references public.organization (id) on delete cascade,
  event           text not null,
  payload         jsonb not null,
  status          public.webhook_delivery_status not null default 'pending',
  attempts        smallint not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  expires_at      timestamptz not null default clock_timestamp() + interval '1 day',
  token           uuid,
  response_status smallint,
  error           jsonb,
  created_at      timestamptz not null default clock_timestamp(),
  delivered_at    timestamptz,

  constraint webhook_deliveries_delivered_at_check check ((delivered_at is not null) = (status = 'delivered')),
  constraint webhook_deliveries_token_check check ((token is not null) = (status = 'sending'))
);
alter table public.webhook_deliveries enable row level security;
comment on table public.webhook_deliveries is 'What webhooks were or are to be told: queue, log and dead letters.';
comment on column public.webhook_deliveries.id is 'The receiver gets it as webhook-id, the same at each attempt.';
comment on column public.webhook_deliveries.payload is 'What is sent: { type, timestamp, data }. Ids, states and counts, never rows.';
comment on column public.webhook_deliveries.next_attempt_at is 'While it is sent, when that counts as lost.';
comment on column public.webhook_deliveries.expires_at is 'It is given up rather than tried again after that.';
comment on column public.webhook_deliveries.token is 'Known to the call that sends it. Never shown to clients.';
comment on column public.webhook_deliveries.error is 'Why the last attempt failed: { code, message, details, hint }.';
create index webhook_deliveries_queue_idx on public.webhook_deliveries (webhook_id, status, next_attempt_at)
  where status in ('pending', 'sending');
create index webhook_deliveries_failed_idx on public.webhook_deliveries (webhook_id, created_at desc) where status = 'failed';
create index webhook_deliveries_lost_idx on public.webhook_deliveries (next_attempt_at) where status = 'sending';
create index webhook_deliveries_depth_idx on public.webhook_deliveries (org_id) where status in ('pending', 'sending');
create index webhook_deliveries_token_idx on public.webhook_deliveries (token) where token is not null;
create index webhook_deliveries_org_id_created_at_idx on public.webhook_deliveries (org_id, created_at desc, id);
create index webhook_deliveries_webhook_id_created_at_idx on public.webhook_deliveries (webhook_id, created_at desc, id);
create index webhook_deliveries_created_at_idx on public.webhook_deliveries (created_at);

-- Secrets -----------------------------------------------------------------------------------------

create function private.webhook_secret_name(p_webhook public.webhooks)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('sluice/org/%s/webhook/%s', p_webhook.org_id, p_webhook.id);
$$;

-- The keys that sign: the present one, and for a day after it was changed the one before.
-- Definer: Vault is closed to callers; none of them gets the result.
create function private.webhook_keys(p_webhook public.webhooks)
returns bytea[]
language sql stable
security definer
set search_path = ''
as $$
  select array_agg(decode(substr(s.decrypted_secret, 7), 'base64') order by length(s.name)) -- after whsec_
  from vault.decrypted_secrets as s
  where s.name = private.webhook_secret_name(p_webhook)
    or (s.name = private.webhook_secret_name(p_webhook) || '/previous' and p_webhook.previous_secret_until > clock_timestamp());
$$;

-- Gives the webhook a new secret, in the form of Standard Webhooks; it is never shown again. A secret that there was
-- goes on signing for a day. Definer: as above. Its caller proved the right to the webhook.
create function private.renew_webhook_secret(p_webhook public.webhooks)
returns text
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- Definer: as above.
create function private.tg_webhooks__delete_secrets()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_name text := private.webhook_secret_name(old);
begin
  delete from vault.secrets as s where s.name in (v_name, v_name || '/previous');
  return null;
end;
$$;

create trigger _500_delete_secrets
  after delete on public.webhooks
  for each row execute function private.tg_webhooks__delete_secrets();

-- What happened -----------------------------------------------------------------------------------

-- How many deliveries an organization may still queue.
create function private.webhook_room(p_org_id uuid)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select l.most - (
    select count(*) from (
      select from public.webhook_deliveries as d where d.org_id = p_org_id and d.status in ('pending', 'sending') limit l.most
    ) as waiting
  )::integer
  from (select private.setting('webhooks.queued_per_organization', p_org_id)::integer) as l (most);
$$;

-- Queues what is to be told, in the transaction in which it happens. It never fails that: what is too much for the
-- queue is a dead letter at once.
create function private.queue_webhooks(p_org_id uuid, p_event text, p_data jsonb)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Definer: outcomes are closed, and whoever ends an import may have lost the right to see it.
create function private.tg_import_batches__tell_webhooks()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
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
$$;

-- Not where a mapping was changed, nor where there was nothing to undo.
create trigger _700_tell_webhooks
  after update of status on public.import_batches
  for each row when (
    (new.status = 'staged' and old.status = 'receiving')
    or (new.status = 'validated' and old.status = 'validating')
    or (new.status in ('completed', 'cancelled') and old.status not in (new.status, 'undoing'))
    or (new.status in ('failed', 'undone') and old.status <> new.status)
  )
  execute function private.tg_import_batches__tell_webhooks();

-- Definer: whoever ends a job may not write deliveries.
create function private.tg_scheduled_jobs__tell_webhooks()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.queue_webhooks(new.org_id, 'job.failed', jsonb_build_object(
    'job_id', new.id, 'org_id', new.org_id, 'job_type', new.job_type, 'import_id', new.batch_id, 'status', new.status,
    'counts', jsonb_build_object('total', new.total_count, 'done', new.done_count, 'failed', new.failed_count),
    'error', jsonb_build_object('code', new.error ->> 'code', 'message', new.error ->> 'message')));
  return null;
end;
$$;

create trigger _700_tell_webhooks
  after update of status on public.scheduled_jobs
  for each row when (old.status <> 'failed' and new.status = 'failed')
  execute function private.tg_scheduled_jobs__tell_webhooks();

-- Definer: as above.
create function private.tg_sync_runs__tell_webhooks()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.queue_webhooks(new.org_id, 'sync.' || new.status, jsonb_build_object(
    'run_id', new.id, 'org_id', new.org_id, 'source_id', new.source_id, 'schedule_id', new.schedule_id,
    'import_id', new.import_id, 'delete_import_id', new.delete_import_id, 'status', new.status, 'reason', new.reason,
    'counts', jsonb_build_object('known', new.known_count, 'deletions', new.deletion_count),
    'error', jsonb_build_object('code', new.error ->> 'code', 'message', new.error ->> 'message')));
  return null;
end;
$$;

create trigger _700_tell_webhooks
  after update of status on public.sync_runs
  for each row when (
    old.status <> new.status and new.status in ('awaiting_approval', 'completed', 'unchanged', 'failed', 'cancelled')
  )
  execute function private.tg_sync_runs__tell_webhooks();

-- Definer: as above.
create function private.tg_user_invitations__tell_webhooks()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.queue_webhooks(new.org_id, 'invitation.' || new.status, jsonb_build_object(
    'user_id', new.user_id, 'org_id', new.org_id, 'status', new.status, 'attempts', new.attempts,
    'error', jsonb_build_object('code', new.error ->> 'code'))); -- its message may repeat the address
  return null;
end;
$$;

create trigger _700_tell_webhooks
  after update of status on public.user_invitations
  for each row when (old.status <> new.status and new.status in ('sent', 'failed'))
  execute function private.tg_user_invitations__tell_webhooks();

-- Sending -----------------------------------------------------------------------------------------

-- An attempt failed: again later, four times as long after each and a day in all, or not at all.
create function private.fail_webhook_delivery(
  p_delivery public.webhook_deliveries, p_response_status integer, p_error jsonb,
  p_is_final boolean default false, p_retry_after interval default '0'
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_delay interval := least(interval '5 seconds' * 4 ^ least(p_delivery.attempts - 1, 10), interval '6 hours') * (0.9 + random() * 0.2);
  v_next  timestamptz := clock_timestamp() + greatest(v_delay, p_retry_after);
begin
  update public.webhook_deliveries as d
  set status = case when p_is_final or v_next > d.expires_at then 'failed' else 'pending' end::public.webhook_delivery_status,
      next_attempt_at = v_next, token = null, response_status = p_response_status, error = p_error
  where d.id = p_delivery.id;
end;
$$;

-- Posts what is due to the worker function, in batches: of each webhook so many at once, organizations in turn, so that
-- one that does not answer keeps nobody waiting. Returns how many deliveries went.
create function private.send_webhooks()
returns integer
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- What a call has to send, signed by the scheme of Standard Webhooks (v1: HMAC-SHA256 of id, time and body), so that
-- no secret leaves the database. Definer: as its callers may not read deliveries. The token is the proof, here and below.
create function private.take_webhook_deliveries(p_token uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- What came of a delivery: a status, or an error where there was no answer. A receiver that is gone (410) is not told again.
-- Definer: as above.
create function private.report_webhook_delivery(
  p_delivery_id uuid, p_token uuid, p_response_status integer, p_error jsonb, p_retry_after_seconds integer
)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function public.take_webhook_deliveries(token uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.take_webhook_deliveries(take_webhook_deliveries.token);
$$;
comment on function public.take_webhook_deliveries(uuid) is
  'What a call of the worker function has to send: [{ id, url, headers, body, allow_private }], signed; empty once the call is over. '
  'Service key only.';

create function public.report_webhook_delivery(
  delivery_id uuid, token uuid, response_status integer default null, error jsonb default null, retry_after_seconds integer default null
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;
comment on function public.report_webhook_delivery(uuid, uuid, integer, jsonb, integer) is
  'Reports what came of a delivery: the status of the answer, or { code, message, details } where there was none. Service key only. '
  'Errors: 22023, PT409 (the call is over: nothing has changed).';

-- Deletes deliveries with the history of jobs, a bounded number at a time, and secrets that sign no more. Returns how many deliveries.
create function private.purge_webhooks()
returns integer
language plpgsql volatile
security invoker
set search_path = ''
as $$
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
$$;

-- Settings, policies, grants ----------------------------------------------------------------------

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('webhooks.per_organization', 'number', 0, 1000, '10', 'system_admin', 'Webhooks of one organization.'),
  ('webhooks.queued_per_organization', 'number', 1, 1000000, '10000', 'system_admin', 'Deliveries of one organization that wait; further ones are dead letters at once.');

create policy webhooks_select_admin on public.webhooks
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
create policy webhook_deliveries_select_admin on public.webhook_deliveries
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));

revoke all on public.webhooks, public.webhook_deliveries from public, anon, authenticated, service_role;
grant select on public.webhooks to authenticated, service_role;
grant select (
    id, webhook_id, org_id, event, payload, status, attempts, next_attempt_at, expires_at, response_status, error, created_at, delivered_at
  ) on public.webhook_deliveries to authenticated, service_role;

revoke all on function
  public.take_webhook_deliveries(uuid), public.report_webhook_delivery(uuid, uuid, integer, jsonb, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.take_webhook_deliveries(uuid), public.report_webhook_delivery(uuid, uuid, integer, jsonb, integer)
  to service_role;

revoke all on private.webhook_events from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.take_webhook_deliveries(uuid), private.report_webhook_delivery(uuid, uuid, integer, jsonb, integer)
  to service_role;
