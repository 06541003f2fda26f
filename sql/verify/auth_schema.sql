-- Does the auth service's schema still fit what private.apply_users() writes? One line a check: PASS or FAIL.
-- Run it as postgres, after an update of the project: psql "$DATABASE_URL" -At -f sql/verify/auth_schema.sql

with present as (
  select c.relname as table_name, a.attname as column_name, a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated,
    case t.typname when 'varchar' then 'text' else t.typname end as type_name
  from pg_attribute as a
  join pg_class as c on c.oid = a.attrelid
  join pg_namespace as n on n.oid = c.relnamespace
  join pg_type as t on t.oid = a.atttypid
  where n.nspname = 'auth' and c.relname in ('users', 'identities') and a.attnum > 0 and not a.attisdropped
),
-- What the auth service reads into values that cannot be null.
not_null (column_name) as (
  values ('instance_id'), ('aud'), ('role'), ('confirmation_token'), ('recovery_token'), ('email_change'), ('email_change_token_new'),
    ('email_change_token_current'), ('email_change_confirm_status'), ('phone_change'), ('phone_change_token'), ('reauthentication_token'),
    ('raw_app_meta_data'), ('raw_user_meta_data'), ('is_sso_user'), ('is_anonymous'), ('created_at'), ('updated_at')
),
checks (position, passed, name) as (
  select 1, coalesce(p.type_name = w.type_name and p.attgenerated = '', false),
    format('auth.%s.%s is there, of type %s', w.table_name, w.column_name, w.type_name)
  from private.auth_columns() as w
  left join present as p using (table_name, column_name)
  union all
  select 2, w.column_name is not null or not p.attnotnull or p.atthasdef or p.attidentity <> '',
    format('auth.%s.%s is not required, or is written', p.table_name, p.column_name)
  from present as p
  left join private.auth_columns() as w using (table_name, column_name)
  union all
  select 3, w.column_name is not null, format('auth.users.%s, which must not be null, is written', n.column_name)
  from not_null as n
  left join private.auth_columns() as w on w.table_name = 'users' and w.column_name = n.column_name
  union all
  select 3, exists (select from present as p where p.table_name = 'identities' and p.column_name = 'email' and p.type_name = 'text'),
    'auth.identities.email, which is looked at, is there'
  union all
  select 4, has_table_privilege(format('auth.%I', t.name), p.name), format('postgres may %s auth.%s', p.name, t.name)
  from (values ('users'), ('identities')) as t (name)
  cross join (values ('select'), ('insert'), ('update'), ('delete')) as p (name)
  union all
  select 5, exists (
      select from pg_trigger as g where g.tgrelid = 'auth.users'::regclass and g.tgname = t.name and g.tgenabled in ('O', 'A')
    ), format('trigger %s on auth.users is enabled', t.name)
  from (values ('_500_create_profile'), ('_500_copy_email')) as t (name)
)
select format('%s  %s', case when c.passed then 'PASS' else 'FAIL' end, c.name)
from checks as c
order by c.position, c.name;
