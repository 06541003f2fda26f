-- Accounts fit the auth schema as it is: the columns that a version has are filled, and one that nobody knows is told.
begin;
select plan(10);

-- As the auth service makes its tables.
create temporary table gotrue_users (
  instance_id uuid,
  id uuid primary key,
  aud varchar(255),
  role varchar(255),
  email varchar(255),
  encrypted_password varchar(255),
  email_confirmed_at timestamptz,
  invited_at timestamptz,
  confirmation_token varchar(255),
  confirmation_sent_at timestamptz,
  recovery_token varchar(255),
  recovery_sent_at timestamptz,
  email_change_token_new varchar(255),
  email_change varchar(255),
  email_change_sent_at timestamptz,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_super_admin boolean,
  created_at timestamptz,
  updated_at timestamptz,
  phone text default null unique,
  phone_confirmed_at timestamptz,
  phone_change text default '',
  phone_change_token varchar(255) default '',
  phone_change_sent_at timestamptz,
  confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
  email_change_token_current varchar(255) default '',
  email_change_confirm_status smallint default 0,
  banned_until timestamptz,
  reauthentication_token varchar(255) default '',
  reauthentication_sent_at timestamptz,
  is_sso_user boolean not null default false,
  deleted_at timestamptz,
  is_anonymous boolean not null default false
);
create temporary table gotrue_identities (
  provider_id text not null,
  user_id uuid not null references gotrue_users (id),
  identity_data jsonb not null,
  provider text not null,
  last_sign_in_at timestamptz,
  created_at timestamptz,
  updated_at timestamptz,
  email text generated always as (lower(identity_data ->> 'email')) stored,
  id uuid primary key default gen_random_uuid(),
  unique (provider_id, provider)
);
-- As the local stack's library does, with less: no instance, no default of an id.
create temporary table small_users (
  id uuid primary key,
  aud varchar(255) default 'authenticated',
  role varchar(255) default 'authenticated',
  email varchar(255),
  encrypted_password varchar(255),
  email_confirmed_at timestamptz,
  confirmation_token varchar(255),
  raw_app_meta_data jsonb default '{}',
  raw_user_meta_data jsonb default '{}',
  created_at timestamptz default now()
);
create temporary table small_identities (
  id uuid primary key,
  provider text not null,
  provider_id text not null,
  user_id uuid not null,
  identity_data jsonb not null
);

create function pg_temp.people()
returns private.new_user[]
language sql
as $$
  select array_agg(row(
    md5(n)::uuid, gen_random_uuid(), n || '@example.test', null, case n when 'b' then '$2a$hash' end, n, 'viewer',
    case n when 'a' then '4930' end, '{"k": 1}', n = 'a', false)::private.new_user)
  from unnest('{b,a}'::text[]) as n
$$;

select lives_ok($$ select private.insert_accounts('pg_temp.gotrue_users', 'pg_temp.gotrue_identities', pg_temp.people()) $$,
  'accounts fit the auth service''s tables');
select results_eq($$ select u.email::text, u.encrypted_password::text, u.email_confirmed_at is not null, u.confirmed_at is not null, u.phone, u.raw_user_meta_data
    from gotrue_users as u order by u.email $$,
  $$ values ('a@example.test', '', true, true, '4930', '{"k": 1}'::jsonb), ('b@example.test', '$2a$hash', false, false, null, '{"k": 1}') $$,
  'with what each is to have');
select is_empty($$ select c.column_name from gotrue_users as u cross join lateral jsonb_each_text(to_jsonb(u)) as c (column_name, value)
  where c.value is null and c.column_name in ('instance_id', 'aud', 'role', 'encrypted_password', 'confirmation_token', 'recovery_token', 'email_change',
    'email_change_token_new', 'email_change_token_current', 'email_change_confirm_status', 'phone_change', 'phone_change_token',
    'reauthentication_token', 'raw_app_meta_data', 'created_at', 'updated_at') $$,
  'nothing is null that it cannot read as null');
select is((select instance_id from gotrue_users limit 1), '00000000-0000-0000-0000-000000000000', 'they are of its instance');
select results_eq($$ select i.provider_id, i.provider, i.email, i.created_at is not null from gotrue_identities as i order by i.email $$,
  $$ values (md5('a')::uuid::text, 'email', 'a@example.test', true), (md5('b')::uuid::text, 'email', 'b@example.test', true) $$,
  'each has an identity');

select lives_ok($$ select private.insert_accounts('pg_temp.small_users', 'pg_temp.small_identities', pg_temp.people()) $$,
  'they fit tables with fewer columns');
select is((select count(*) from small_users as u join small_identities as i on i.user_id = u.id and i.id <> u.id), 2::bigint, 'with what these have');

alter table small_users add column locale text not null default 'en';
truncate small_users, small_identities;
select lives_ok($$ select private.insert_accounts('pg_temp.small_users', 'pg_temp.small_identities', pg_temp.people()) $$,
  'a new column with a default is none of ours');
alter table small_users alter column locale drop default;
select throws_ok($$ select private.insert_accounts('pg_temp.small_users', 'pg_temp.small_identities', pg_temp.people()) $$,
  'IM006', 'auth schema requires columns that are not known', 'one that is required is told');
select throws_ok($$ select tests.act_as('ann'), private.insert_accounts('pg_temp.small_users', 'pg_temp.small_identities', '{}') $$,
  '42501', null, 'nobody but postgres inserts accounts');

select * from finish();
rollback;
