-- Webhooks: what admins do with them.
-- Needs: webhooks, imports_create.
-- Exposes: create_webhook, change_webhook, delete_webhook, rotate_webhook_secret, send_test_webhook, list_webhook_deliveries,
-- redrive_webhook_deliveries, monitor_webhooks.

-- The webhook, if the caller manages it. PT404 also where it is another organization's.
create function private.find_webhook(p_webhook_id uuid)
returns public.webhooks
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

create function private.describe_webhook(p_webhook public.webhooks)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_webhook.id, 'org_id', p_webhook.org_id, 'url', p_webhook.url, 'events', p_webhook.events,
    'description', p_webhook.description, 'is_active', p_webhook.is_active, 'error', p_webhook.error,
    'previous_secret_until', p_webhook.previous_secret_until, 'created_by', p_webhook.created_by,
    'created_at', p_webhook.created_at, 'updated_at', p_webhook.updated_at
  );
$$;

create function private.describe_delivery(p_delivery public.webhook_deliveries)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_delivery.id, 'webhook_id', p_delivery.webhook_id, 'event', p_delivery.event, 'payload', p_delivery.payload,
    'status', p_delivery.status, 'attempts', p_delivery.attempts,
    'next_attempt_at', case when p_delivery.status = 'pending' then p_delivery.next_attempt_at end,
    'response_status', p_delivery.response_status, 'error', p_delivery.error,
    'created_at', p_delivery.created_at, 'delivered_at', p_delivery.delivered_at
  );
$$;

-- Refuses what no webhook can have. Where it leads is found out when something is sent.
create function private.check_webhook(p_url text, p_events text[])
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

-- Definer: webhooks are written by Sluice alone. Each of these authorises first.
create function private.create_webhook(p_url text, p_events text[], p_description text, p_org_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function private.change_webhook(p_webhook_id uuid, p_url text, p_events text[], p_is_active boolean, p_description text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function private.delete_webhook(p_webhook_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
begin
  delete from public.webhooks as w where w.id = p_webhook_id;
  perform private.log_activity(v_webhook.org_id, 'other', 'deleted', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id));
end;
$$;

create function private.rotate_webhook_secret(p_webhook_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_webhook public.webhooks := private.find_webhook(p_webhook_id);
  v_secret  text := private.renew_webhook_secret(v_webhook);
begin
  perform private.log_activity(v_webhook.org_id, 'other', 'updated', 'completed', v_webhook.id::text,
    jsonb_build_object('webhook_id', v_webhook.id, 'secret', 'rotated'));
  return private.describe_webhook(private.find_webhook(p_webhook_id)) || jsonb_build_object('secret', v_secret);
end;
$$;

-- Refuses to queue for a webhook that is off, or more than there is room for; returns how much that is.
create function private.require_webhook_room(p_webhook public.webhooks)
returns integer
language plpgsql stable
security invoker
set search_path = ''
as $$
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
$$;

create function private.send_test_webhook(p_webhook_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

create function private.redrive_webhook_deliveries(p_webhook_id uuid, p_delivery_ids uuid[])
returns integer
language plpgsql volatile
security definer
set search_path = ''
as $$
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
$$;

-- Newest first. Definer: the token of a delivery is closed to clients.
create function private.read_webhook_deliveries(
  p_webhook_id uuid, p_status public.webhook_delivery_status, p_event text, p_after uuid, p_page_size integer
)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
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
$$;

-- RPCs --------------------------------------------------------------------------------------------

create function public.create_webhook(url text, events text[], description text default null, org_id uuid default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_webhook(create_webhook.url, create_webhook.events, create_webhook.description, create_webhook.org_id);
$$;
comment on function public.create_webhook(text, text[], text, uuid) is
  'Makes a webhook: url is told of the events chosen, signed by the scheme of Standard Webhooks. Returns { id, org_id, url, events, description, '
  'is_active, error, …, secret }; the secret is shown this once. Admins. Errors: 22023, 42501, PT404, PT429 (as many as there may be).';

create function public.change_webhook(
  webhook_id uuid, url text default null, events text[] default null, is_active boolean default null, description text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.change_webhook(
    change_webhook.webhook_id, change_webhook.url, change_webhook.events, change_webhook.is_active, change_webhook.description);
$$;
comment on function public.change_webhook(uuid, text, text[], boolean, text) is
  'Changes what is given of a webhook (an empty description takes it away); returns it. While it is off nothing is queued for it, and what is '
  'queued waits. Admins. Errors: 22023, PT404.';

create function public.delete_webhook(webhook_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.delete_webhook(delete_webhook.webhook_id);
$$;
comment on function public.delete_webhook(uuid) is
  'Deletes a webhook with its deliveries and its secret. Admins. Errors: PT404.';

create function public.rotate_webhook_secret(webhook_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.rotate_webhook_secret(rotate_webhook_secret.webhook_id);
$$;
comment on function public.rotate_webhook_secret(uuid) is
  'Gives a webhook a new secret, shown this once: the webhook with its secret. For a day deliveries are signed with the one before, too. Admins. '
  'Errors: PT404.';

create function public.send_test_webhook(webhook_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.send_test_webhook(send_test_webhook.webhook_id);
$$;
comment on function public.send_test_webhook(uuid) is
  'Queues the event webhook.test for a webhook; returns the delivery. Admins. Errors: PT404, PT409 (switched off), PT429.';

create function public.list_webhook_deliveries(
  webhook_id uuid default null, status text default null, event text default null, after uuid default null, page_size integer default 100
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if (list_webhook_deliveries.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  perform private.require_status(list_webhook_deliveries.status, null::public.webhook_delivery_status);
  return private.read_webhook_deliveries(
    list_webhook_deliveries.webhook_id, list_webhook_deliveries.status::public.webhook_delivery_status,
    list_webhook_deliveries.event, list_webhook_deliveries.after, list_webhook_deliveries.page_size);
end;
$$;
comment on function public.list_webhook_deliveries(uuid, text, text, uuid, integer) is
  'Deliveries of the webhooks that the caller manages, newest first: { deliveries: [{ id, webhook_id, event, payload, status, attempts, '
  'next_attempt_at, response_status, error, created_at, delivered_at }], next_after: cursor of the next page, or null }. status failed: the dead '
  'letters. Admins. Errors: 22023, PT404.';

create function public.redrive_webhook_deliveries(webhook_id uuid, delivery_ids uuid[] default null)
returns integer
language sql volatile
security invoker
set search_path = ''
as $$
  select private.redrive_webhook_deliveries(redrive_webhook_deliveries.webhook_id, redrive_webhook_deliveries.delivery_ids);
$$;
comment on function public.redrive_webhook_deliveries(uuid, uuid[]) is
  'Queues dead letters of a webhook again, those named or all, the oldest first, as far as the queue has room; returns how many. Admins. '
  'Errors: PT404, PT409 (switched off), PT429.';

create view public.monitor_webhooks
with (security_invoker = true)
as
select
  w.org_id,
  o.slug as organization,
  w.id as webhook_id,
  substring(w.url from '^[^/]+//([^/?#]+)') as host,
  w.is_active,
  q.waiting,
  f.failed,
  (
    select e.delivered_at from public.webhook_deliveries as e
    where e.webhook_id = w.id and e.status = 'delivered'
    order by e.created_at desc
    limit 1
  ) as last_delivered_at,
  clock_timestamp() - q.oldest as longest_wait,
  coalesce(w.error, q.error, f.error) ->> 'message' as error_message
from public.webhooks as w
join public.organization as o on o.id = w.org_id
cross join lateral (
  select
    count(*) as waiting, min(e.created_at) as oldest,
    (array_agg(e.error order by e.created_at desc) filter (where e.error is not null))[1] as error
  from public.webhook_deliveries as e
  where e.webhook_id = w.id and e.status in ('pending', 'sending')
) as q
cross join lateral (
  select
    count(*) as failed,
    (select l.error from public.webhook_deliveries as l where l.webhook_id = w.id and l.status = 'failed' order by l.created_at desc limit 1) as error
  from public.webhook_deliveries as e
  where e.webhook_id = w.id and e.status = 'failed'
) as f;
comment on view public.monitor_webhooks is
  'Webhooks with what they wait for and what was given up. One row a webhook; the path of its address is left out, as it may be a secret.';

-- Grants ------------------------------------------------------------------------------------------

revoke all on public.monitor_webhooks from public, anon, authenticated, service_role;
grant select on public.monitor_webhooks to authenticated, service_role;

revoke all on function
  public.create_webhook(text, text[], text, uuid), public.change_webhook(uuid, text, text[], boolean, text),
  public.delete_webhook(uuid), public.rotate_webhook_secret(uuid), public.send_test_webhook(uuid),
  public.list_webhook_deliveries(uuid, text, text, uuid, integer), public.redrive_webhook_deliveries(uuid, uuid[])
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_webhook(text, text[], text, uuid), public.change_webhook(uuid, text, text[], boolean, text),
  public.delete_webhook(uuid), public.rotate_webhook_secret(uuid), public.send_test_webhook(uuid),
  public.list_webhook_deliveries(uuid, text, text, uuid, integer), public.redrive_webhook_deliveries(uuid, uuid[])
  to authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.create_webhook(text, text[], text, uuid), private.change_webhook(uuid, text, text[], boolean, text),
  private.delete_webhook(uuid), private.rotate_webhook_secret(uuid), private.send_test_webhook(uuid),
  private.read_webhook_deliveries(uuid, public.webhook_delivery_status, text, uuid, integer),
  private.redrive_webhook_deliveries(uuid, uuid[])
  to authenticated, service_role;
