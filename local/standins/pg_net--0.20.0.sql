-- What clients of pg_net see of it. The requests are sent by the local stack (local/net.ts), after the commit.

create schema net;

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');

create unlogged table net.http_request_queue (
  id bigserial,
  method text not null,
  url text not null,
  headers jsonb not null,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

create function net.queue_request(
  p_method text,
  p_url text,
  p_params jsonb,
  p_headers jsonb,
  p_body bytea,
  p_timeout_milliseconds integer
)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_query text;
  v_id bigint;
begin
  select string_agg(p.key || '=' || p.value, '&')
  into v_query
  from jsonb_each_text(p_params) as p;

  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    p_method,
    p_url || coalesce(case when position('?' in p_url) > 0 then '&' else '?' end || v_query, ''),
    p_headers,
    p_body,
    p_timeout_milliseconds
  )
  returning id into v_id;

  notify pg_net; -- Arrives with the commit, like the request itself.
  return v_id;
end $$;

create function net.http_get(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000
)
returns bigint
language sql
as $$ select net.queue_request('GET', url, params, headers, null, timeout_milliseconds) $$;

create function net.http_delete(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000,
  body jsonb default null
)
returns bigint
language sql
as $$
  select net.queue_request(
    'DELETE', url, params, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds
  )
$$;

create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql
as $$
declare
  v_content_type text := (
    select h.value from jsonb_each_text(headers) as h where lower(h.key) = 'content-type' limit 1
  );
begin
  if coalesce(v_content_type, '') not ilike 'application/json%' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  return net.queue_request(
    'POST', url, params, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds
  );
end $$;

-- As on the platform.
grant usage on schema net to @extowner@, anon, authenticated, service_role;
grant all on all tables in schema net to @extowner@;
