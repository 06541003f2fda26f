-- What an import makes of people: accounts that can sign in, changes that leave what signs in, deletions.
begin;
select plan(45);
select tests.set_up_actors();
insert into private.settings (key, org_id, value) values ('users.may_confirm', tests.org_id('acme'), 'true');

create function pg_temp.apply(p_mode text, p_rows jsonb, p_org text default 'acme', p_clear text[] default '{}')
returns void
language sql
as $$
  select private.apply_users(tests.org_id(p_org), p_mode::public.import_mode, p_clear,
    array(select r from jsonb_populate_recordset(null::private.user_row, p_rows) as r))
$$;
-- SQLSTATE, code, field and message of what is refused.
create function pg_temp.refusal(p_mode text, p_rows jsonb, p_org text default 'acme')
returns text
language plpgsql
as $$
declare
  v_code text; v_field text; v_message text;
begin
  perform pg_temp.apply(p_mode, p_rows, p_org);
  return null;
exception when others then
  get stacked diagnostics v_code = constraint_name, v_field = column_name, v_message = message_text;
  return concat_ws(' ', sqlstate, nullif(v_code, ''), nullif(v_field, ''), v_message);
end;
$$;
create function pg_temp.person(p_email text)
returns table (org text, role text, full_name text, is_active boolean, phone text, metadata jsonb, confirmed boolean, has_password boolean)
language sql security definer
as $$
  select o.slug, p.org_role::text, p.full_name, p.is_active, u.phone, u.raw_user_meta_data, u.email_confirmed_at is not null,
    u.encrypted_password <> ''
  from auth.users as u join public.profiles as p on p.id = u.id left join public.organization as o on o.id = p.org_id
  where u.email = p_email and p.email = p_email
$$;
grant execute on all functions in schema pg_temp to authenticated, service_role;

-- Made -----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select set_config('sluice.import_id', 'import-1', true);
select lives_ok($$ select pg_temp.apply('insert', '[
    {"email": "Pam@Example.test", "password": "correct horse", "full_name": "Pam", "role": "member", "phone": "+49 30 1234567", "metadata": {"team": "a"}},
    {"email": "hal@example.test", "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"},
    {"email": "non@example.test", "organization": "tests-acme"},
    {"email": "inv@example.test", "send_invite": true, "password": "correct horse"}]') $$, 'an admin makes people');
select tests.act_as_role('postgres');
select results_eq($$ select p.* from unnest('{pam,hal,non,inv}'::text[]) as n cross join lateral pg_temp.person(n || '@example.test') as p $$,
  $$ values ('tests-acme', 'member', 'Pam', true, '49301234567', '{"team": "a"}'::jsonb, true, true),
    ('tests-acme', 'viewer', null, true, null, '{}', true, true),
    ('tests-acme', 'viewer', null, true, null, '{}', true, false),
    ('tests-acme', 'viewer', null, true, null, '{}', false, true) $$,
  'with organization, role, name, phone, metadata; confirmed, but for the invited');
select is((select u.encrypted_password from auth.users as u where u.email = 'hal@example.test'),
  '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', 'a hash is kept as it is');
select ok((select u.encrypted_password like '$2a$10$%' and u.encrypted_password = extensions.crypt('correct horse', u.encrypted_password)
  from auth.users as u where u.email = 'pam@example.test'), 'a password becomes a bcrypt hash of cost 10');
select results_eq($$ select u.aud::text, u.role::text, u.raw_app_meta_data, u.is_sso_user, u.is_anonymous, u.instance_id, u.email_change_confirm_status::integer,
    concat('.', u.confirmation_token, u.recovery_token, u.email_change, u.email_change_token_new, u.email_change_token_current,
      u.phone_change, u.phone_change_token, u.reauthentication_token),
    num_nulls(u.confirmation_token, u.recovery_token, u.email_change, u.email_change_token_new, u.email_change_token_current,
      u.phone_change, u.phone_change_token, u.reauthentication_token, u.created_at, u.updated_at)
    from auth.users as u where u.email = 'non@example.test' $$,
  $$ values ('authenticated', 'authenticated', '{"provider": "email", "providers": ["email"]}'::jsonb, false, false,
    '00000000-0000-0000-0000-000000000000'::uuid, 0, '.', 0) $$, 'no column is null that the auth service cannot read as null');
select results_eq($$ select i.provider, i.provider_id = u.id::text, i.email::text, i.identity_data - 'sub', i.identity_data ->> 'sub' = u.id::text, i.last_sign_in_at
    from auth.identities as i join auth.users as u on u.id = i.user_id where u.email = 'pam@example.test' $$,
  $$ values ('email', true, 'pam@example.test', '{"email": "pam@example.test", "email_verified": false, "phone_verified": false}'::jsonb, true, null::timestamptz) $$,
  'each has an identity of its address');
select results_eq($$ select u.email::text from public.user_invitations as v join auth.users as u on u.id = v.user_id where v.org_id = tests.org_id('acme') $$,
  array['inv@example.test'], 'who is to be invited is');
select results_eq($$ select l.user_id, l.action::text, l.status::text, l.sync_id, l.details - 'user_id', (l.details ->> 'user_id')::uuid = u.id
    from public.sync_activity_log as l join auth.users as u on u.email = l.details ->> 'email'
    where l.org_id = tests.org_id('acme') and l.entity_type = 'user' order by u.email $$,
  $$ select tests.user_id('ann'), 'created', 'completed', 'import-1', jsonb_build_object('email', n || '@example.test', 'role', r), true
    from (values ('hal', 'viewer'), ('inv', 'viewer'), ('non', 'viewer'), ('pam', 'member')) as p (n, r) $$,
  'the log says who made whom, from which import');
select is_empty($$ select 1 from public.sync_activity_log as l where l.details::text ~ 'correct horse|[$]2a' $$, 'and no password or hash');

-- Without the right to confirm: no passwords, and addresses are proved by who has them.
select tests.act_as('bob');
select is(pg_temp.refusal('insert', '[{"email": "x@example.test", "password": "correct horse"}]', 'bolt'),
  'IR001 permission_denied password passwords are not the caller''s to set: leave the column unmapped, and people are invited',
  'where admins may not confirm they set no password');
select is(pg_temp.refusal('insert', '[{"email": "x@example.test", "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}]', 'bolt'),
  'IR001 permission_denied password_hash hashes are not the caller''s to set: leave the column unmapped, and people are invited', 'nor a hash');
select lives_ok($$ select pg_temp.apply('insert', '[{"email": "una@example.test", "phone": "+49 30 5555555", "metadata": {"a": 1}}, {"email": "uno@example.test", "send_invite": false}]', 'bolt') $$,
  'they make people without');
select tests.act_as_role('postgres');
select results_eq($$ select p.* from unnest('{una,uno}'::text[]) as n cross join lateral pg_temp.person(n || '@example.test') as p $$,
  $$ values ('tests-bolt', 'viewer', null::text, true, null::text, '{"a": 1, "phone": "49305555555"}'::jsonb, false, false),
    ('tests-bolt', 'viewer', null, true, null, '{}', false, false) $$,
  'who are not confirmed; a phone number, which would sign in too, is but metadata');
select results_eq($$ select u.email::text from public.user_invitations as v join auth.users as u on u.id = v.user_id where v.org_id = tests.org_id('bolt') $$,
  array['una@example.test'], 'and are invited, but for whom the file says not to');

-- Who may --------------------------------------------------------------------------------------------

select tests.act_as(a.nick), is(pg_temp.refusal('insert', '[{"email": "y@example.test"}]'), a.refusal, a.nick || ' makes no people in acme')
from (values ('max', '42501 organization role required'), ('vic', '42501 organization role required'),
  ('otto', '42501 organization role required'), ('bob', '42501 organization role required')) as a (nick, refusal);
select tests.act_as_role('anon');
select throws_ok($$ select private.apply_users(null, 'insert', '{}', '{}') $$, '42501', null, 'anon calls nothing');
select tests.act_as('sid');
select lives_ok($$ select pg_temp.apply('insert', '[{"email": "sa1@example.test", "organization": "tests-bolt", "role": "admin", "password": "correct horse"}, {"email": "sa2@example.test"}]') $$,
  'a system admin does, in every organization');
select tests.act_as_role('service_role');
select lives_ok($$ select pg_temp.apply('insert', '[{"email": "se1@example.test", "organization": "Bolt", "password": "correct horse"}]') $$, 'so does the service');
select tests.act_as_role('postgres');
select results_eq($$ select n, p.org, p.role, p.confirmed from unnest('{sa1,sa2,se1}'::text[]) as n cross join lateral pg_temp.person(n || '@example.test') as p $$,
  $$ values ('sa1', 'tests-bolt', 'admin', true), ('sa2', 'tests-acme', 'viewer', true), ('se1', 'tests-bolt', 'viewer', true) $$,
  'where the row says, with what it says');
select results_eq($$ select l.org_id from public.sync_activity_log as l where l.details ->> 'email' in ('sa1@example.test', 'se1@example.test') $$,
  array[tests.org_id('bolt'), tests.org_id('bolt')], 'the log of that organization has it');

-- What became untrue since the rows were judged.
select tests.act_as('ann');
select is(pg_temp.refusal('insert', '[{"email": "fine@example.test"}, {"email": "ben@example.test"}]'),
  'IR001 already_exists email this address has an account', 'an account that came in between is refused as one that was there');
select is_empty($$ select * from pg_temp.person('fine@example.test') $$, 'and nothing is made of the others then');
select is(pg_temp.refusal('update', '[{"email": "ben@example.test", "role": "viewer"}]'), 'IR001 not_found email no record has this key', 'nobody''s people are another''s to change');
select is(pg_temp.refusal('delete', '[{"email": "ben@example.test"}]'), 'IR001 not_found email no record has this key', 'nor to delete');
select is(pg_temp.refusal('insert', '[{"email": "p1@example.test", "phone": "+49 30 1234567"}]'), 'IR001 already_exists phone this phone number has an account', 'a phone number is taken once');
select is(pg_temp.refusal('insert', '[{"email": "p1@example.test", "phone": "+49 30 99999999"}, {"email": "p2@example.test", "phone": "4930-99999999"}]'),
  'IR001 already_exists phone this phone number has an account', 'also by two of one file');
select is(pg_temp.refusal('insert', '[{"email": "pp@example.test"}, {"email": "PP@example.test"}]'),
  'IR001 already_exists email this address has an account', 'and so is an address');

-- Changed --------------------------------------------------------------------------------------------

select set_config('sluice.import_id', 'import-2', true);
select lives_ok($$ select pg_temp.apply('update', '[
    {"email": "pam@example.test", "full_name": "Pamela", "role": "admin", "phone": "+49 30 8888888", "metadata": {"desk": 7}, "password": "another one"},
    {"email": "hal@example.test", "role": "viewer", "metadata": {}},
    {"email": "non@example.test", "full_name": "Non"}]') $$, 'people of the organization are changed');
select tests.act_as_role('postgres');
select results_eq($$ select p.* from unnest('{pam,hal,non}'::text[]) as n cross join lateral pg_temp.person(n || '@example.test') as p $$,
  $$ values ('tests-acme', 'admin', 'Pamela', true, '49301234567', '{"team": "a", "desk": 7}'::jsonb, true, true),
    ('tests-acme', 'viewer', null, true, null, '{}', true, true),
    ('tests-acme', 'viewer', 'Non', true, null, '{}', true, false) $$, 'name, role and keys of the metadata; phone and password are theirs');
select ok((select u.encrypted_password = extensions.crypt('correct horse', u.encrypted_password) from auth.users as u where u.email = 'pam@example.test'),
  'the password is the old one');
select results_eq($$ select l.details ->> 'email', l.details ->> 'role' from public.sync_activity_log as l where l.sync_id = 'import-2' and l.action = 'updated' order by 1 $$,
  $$ values ('non@example.test', 'viewer'), ('pam@example.test', 'admin') $$, 'the log has those who changed');
select tests.act_as('ann');
select lives_ok($$ select pg_temp.apply('update', '[{"email": "pam@example.test", "role": "member", "metadata": {"b": 1}}]', p_clear => '{full_name,metadata,role,phone}') $$,
  'blanks may clear');
select tests.act_as_role('postgres');
select results_eq($$ select p.* from pg_temp.person('pam@example.test') as p $$,
  $$ values ('tests-acme', 'member', null::text, true, '49301234567', '{"b": 1}'::jsonb, true, true) $$,
  'the name, and with it the metadata are what the row says');
select tests.act_as('ann');
select is(pg_temp.refusal('update', '[{"email": "ann@example.test", "role": "viewer"}]'),
  'IR001 last_admin role the last admin of an organization stays one', 'the last admin stays one');

-- Deleted --------------------------------------------------------------------------------------------

select set_config('sluice.import_id', 'import-3', true);
select is(pg_temp.refusal('delete', '[{"email": "hal@example.test"}, {"email": "ann@example.test"}]'),
  'IR001 own_account email one''s own account is not deleted', 'nobody deletes themself');
select tests.act_as_role('service_role');
select is(pg_temp.refusal('delete', '[{"email": "ann@example.test"}]'),
  'IR001 last_admin email the last admin of an organization is not deleted', 'not even the service deletes the last admin');
select is(pg_temp.refusal('delete', '[{"email": "sid@example.test"}]'),
  'IR001 system_admin email system admins are not deleted', 'or a system admin');

select tests.act_as('max');
select tests.keep('theirs', tests.stage_import('customers', '{external_id,name}', '[["C1", "One"]]'));
select tests.act_as('ann');
select lives_ok($$ select pg_temp.apply('delete', '[{"email": "max@example.test"}, {"email": "hal@example.test"}]') $$, 'an admin deletes people');
select tests.act_as_role('postgres');
select is_empty($$ select 1 from auth.users as u where u.email in ('max@example.test', 'hal@example.test')
  union all select 1 from public.profiles as p where p.email in ('max@example.test', 'hal@example.test')
  union all select 1 from auth.identities as i where i.email = 'hal@example.test' $$, 'profile, account and identity');
select results_eq($$ select b.initiated_by, b.status::text from public.import_batches as b where b.id = tests.kept('theirs') $$,
  $$ values (null::uuid, 'staged') $$, 'what they made stays, without an owner');
select results_eq($$ select l.user_id, l.details ->> 'email', (l.details ->> 'user_id')::uuid is not null from public.sync_activity_log as l
    where l.sync_id = 'import-3' and l.action = 'deleted' order by 2 $$,
  $$ values (tests.user_id('ann'), 'hal@example.test', true), (tests.user_id('ann'), 'max@example.test', true) $$, 'the log says who deleted whom');
select tests.act_as('sid');
select lives_ok($$ select pg_temp.apply('delete', '[{"email": "ben@example.test"}, {"email": "mia@example.test"}]') $$,
  'a system admin takes back what they did in several organizations');

select * from finish();
rollback;
