-- A small project that shows how the stack behaves, apart from Sluice's own schema.

create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_trgm with schema extensions;

create type public.mood as enum ('sad', 'ok', 'happy');

create table public.notes (
  id bigint generated always as identity primary key,
  owner_id uuid default auth.uid(),
  title text not null unique,
  price numeric(10, 2),
  facts jsonb,
  tags text[],
  mood public.mood,
  noted_at timestamptz not null default '2026-01-02 03:04:05.5+00',

  constraint notes_title_check check (title <> '')
);
alter table public.notes enable row level security;
create policy notes_own on public.notes
  for all to authenticated
  using (owner_id = (select auth.uid())) with check (owner_id = (select auth.uid()));
revoke all on public.notes from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.notes to authenticated, service_role;

-- Without row level security, and with a right for nobody: what the gateway must not open.
create table public.shut (id integer);
revoke all on public.shut from public, anon, authenticated, service_role;

create function public.echo(
  doc jsonb default null,
  words text[] default null,
  feeling public.mood default null,
  amount numeric default null,
  at timestamptz default null,
  flag boolean default null
)
returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'doc', echo.doc,
    'doc_type', jsonb_typeof(echo.doc),
    'doc_is_null', echo.doc is null,
    'words', echo.words,
    'feeling', echo.feeling,
    'amount', echo.amount,
    'at', echo.at,
    'flag', echo.flag
  )
$$;

create function public.typed_rows()
returns table (id bigint, price numeric, noted_at timestamptz, doc jsonb, feeling public.mood, words text[], day date)
language sql stable
as $$
  values
    (1::bigint, 1.50::numeric, '2026-01-02 03:04:05.123456+00'::timestamptz, '{"a": [1, null]}'::jsonb,
      'ok'::public.mood, array['x', 'y z'], '2026-01-02'::date),
    (2, null, null, null, null, null, null)
$$;

create function public.note_set() returns setof public.notes language sql stable as $$ select * from public.notes $$;
create function public.jsonb_set_of() returns setof jsonb language sql stable as $$ values ('{"n": 1}'::jsonb), ('2') $$;
create function public.jsonb_text() returns jsonb language sql stable as $$ select to_jsonb('word'::text) $$;
create function public.jsonb_array() returns jsonb language sql stable as $$ select '[1, {"b": 2}]'::jsonb $$;
create function public.jsonb_null() returns jsonb language sql stable as $$ select null::jsonb $$;
create function public.integer_scalar() returns integer language sql stable as $$ select 42 $$;
create function public.nothing() returns void language sql volatile as $$ select $$;

create function public.claims() returns jsonb language sql stable as $$
  select jsonb_build_object(
    'uid', auth.uid(), 'role', auth.role(), 'jwt', auth.jwt(), 'user', current_user,
    'statement_timeout', current_setting('statement_timeout'), 'lock_timeout', current_setting('lock_timeout')
  )
$$;

create function public.fail(code text, message text default 'it failed', detail text default null, hint text default null)
returns void
language plpgsql
as $$
begin
  if fail.detail is null then
    raise exception using errcode = fail.code, message = fail.message;
  end if;
  raise exception using errcode = fail.code, message = fail.message, detail = fail.detail, hint = fail.hint;
end $$;

create function public.nap(seconds numeric) returns void language sql volatile as $$ select pg_sleep(nap.seconds) $$;

create function public.call_out(url text) returns bigint language sql volatile security definer set search_path = ''
as $$ select net.http_post(call_out.url, '{"hello": "world"}') $$;
