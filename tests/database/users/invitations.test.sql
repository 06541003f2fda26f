-- Invitations: who is queued, whose turn it is, how many an hour, and what becomes of what the auth service says.
begin;
select plan(61);
select tests.set_up_actors();

-- So many people of an organization, unconfirmed: <slug>-1@example.test, …
create function pg_temp.add_people(p_slug text, p_count integer, p_from integer default 1) returns uuid[] language sql as $$
  with made as (
    insert into auth.users (id, email, aud, role)
    select md5(p_slug || n)::uuid, p_slug || '-' || n || '@Example.test', 'authenticated', 'authenticated'
    from generate_series(p_from, p_from + p_count - 1) as n
    returning id
  )
  select array_agg(id) from made
$$;
create function pg_temp.person(p_slug text, p_number integer) returns uuid language sql as $$ select md5(p_slug || p_number)::uuid $$;
create function pg_temp.state(p_slug text, p_number integer) returns text language sql as $$
  select concat_ws(' ', i.status, i.attempts, i.error ->> 'code') from public.user_invitations as i
  where i.user_id = pg_temp.person(p_slug, p_number)
$$;
create function pg_temp.call() returns uuid language sql as $$
  select c.token from private.invitation_calls as c order by c.called_at desc limit 1
$$;
-- What the worker function says and gets, as it does; the e-mail of the next.
create function pg_temp.next(p_outcome jsonb default null, p_token uuid default pg_temp.call()) returns text language plpgsql as $$
declare
  v_next jsonb;
begin
  perform tests.act_as_role('service_role');
  v_next := public.next_invitation(p_token, p_outcome);
  perform tests.act_as_role('postgres');
  return v_next ->> 'email';
end $$;
create function pg_temp.outcome(p_slug text, p_number integer, p_status integer, p_more jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('user_id', pg_temp.person(p_slug, p_number), 'status', p_status) || p_more
$$;
-- As if that much time had passed.
create function pg_temp.wait(p_time interval) returns void language sql as $$
  update private.invitation_calls set called_at = called_at - p_time, expires_at = expires_at - p_time,
    paused_until = paused_until - p_time;
  update public.user_invitations set next_attempt_at = next_attempt_at - p_time;
$$;

-- Queueing ---------------------------------------------------------------------------------------------

select is(private.post_invitations(), false, 'where nobody is queued nobody is called');
select pg_temp.add_people('acme', 4);
update auth.users set email_confirmed_at = now() where id = pg_temp.person('acme', 4);
select tests.assume('postgres', jsonb_build_object('sub', tests.user_id('ann'), 'role', 'authenticated'));
select is(private.queue_invitations(tests.org_id('acme'), array(select pg_temp.person('acme', n) from generate_series(1, 9) as n)), 3,
  'who has not confirmed the address is queued; who has, or is not there, is not');
select tests.act_as_role('postgres');
select results_eq(
  $$ select i.org_id, i.email, i.status::text, i.attempts, i.requested_by from public.user_invitations as i order by i.email $$,
  $$ select tests.org_id('acme'), 'acme-' || n || '@example.test', 'pending', 0::smallint, tests.user_id('ann')
    from generate_series(1, 3) as n $$, 'with the address in lower case, and who asked for it');
select is(private.queue_invitations(tests.org_id('acme'), array[pg_temp.person('acme', 1)]), 0, 'nobody is queued twice');

-- Who sees and does what -------------------------------------------------------------------------------

select tests.act_as('ann');
select is((select count(*) from public.user_invitations), 3::bigint, 'an admin sees the organization''s invitations');
select throws_ok($$ delete from public.user_invitations $$, '42501', 'permission denied for table user_invitations',
  'and changes nothing by hand');
select throws_ok($$ select public.next_invitation(gen_random_uuid()) $$, '42501', 'permission denied for function next_invitation',
  'nor takes part in the sending');
select throws_ok($$ select private.queue_invitations(tests.org_id('acme'), '{}') $$, '42501',
  'permission denied for function queue_invitations', 'or queues people past what makes them');
select throws_ok($$ select public.set_setting('users.invites_per_hour', '1000') $$, '42501', 'setting is not the caller''s to change',
  'or raises the limit');
select throws_ok($$ select public.set_setting('users.invites_per_hour', '1000', tests.org_id('acme')) $$, '42501',
  'setting is not the caller''s to change', 'for the organization alone neither');
select tests.act_as('max');
select is_empty($$ select 1 from public.user_invitations $$, 'a member sees none');
select throws_ok($$ select public.retry_invitations() $$, '42501', 'organization role required', 'and sends none again');
select tests.act_as('bob');
select is_empty($$ select 1 from public.user_invitations $$, 'nor does another organization''s admin');
select throws_ok($$ select public.retry_invitations(tests.org_id('acme')) $$, 'PT404', 'organization not found',
  'who cannot tell that the organization exists');
select tests.act_as('sid');
select is((select count(*) from public.user_invitations), 3::bigint, 'a system admin sees all');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.user_invitations $$, '42501', 'permission denied for table user_invitations', 'anon sees nothing');
select tests.act_as_role('service_role');
select throws_ok($$ select public.retry_invitations() $$, '22023', 'organization is required', 'the service key names the organization');
select throws_ok($$ select public.next_invitation(gen_random_uuid()) $$, 'PT409', 'call of the worker function is over',
  'and takes part with the token of a call only');
select throws_ok($$ select public.next_invitation(null) $$, 'PT409', 'call of the worker function is over', 'not without');
select throws_ok($$ select public.next_invitation(gen_random_uuid(), '{"user_id": "x", "status": 200}') $$,
  '22023', 'outcome is malformed', 'and says what it has to say in the one form');
select tests.act_as_role('postgres');

-- Turns ------------------------------------------------------------------------------------------------

select pg_temp.add_people('bolt', 2);
select private.queue_invitations(tests.org_id('bolt'), array(select pg_temp.person('bolt', n) from generate_series(1, 2) as n));
select is(private.post_invitations(), true, 'where somebody is queued the worker function is called');
select is((select convert_from(r.body, 'utf8')::jsonb from net.http_request_queue as r where r.url like '%/worker/invitations'),
  jsonb_build_object('token', pg_temp.call()), 'with a token and nothing else');
select is(private.post_invitations(), false, 'one call at a time');
create temporary table served (position integer, email text);
insert into served values (1, pg_temp.next());
insert into served select 2, pg_temp.next(pg_temp.outcome(split_part(email, '-', 1), substring(email from '-([0-9])')::integer, 200))
  from served where position = 1;
insert into served select 3, pg_temp.next(pg_temp.outcome(split_part(email, '-', 1), substring(email from '-([0-9])')::integer, 200))
  from served where position = 2;
insert into served select 4, pg_temp.next(pg_temp.outcome(split_part(email, '-', 1), substring(email from '-([0-9])')::integer, 200))
  from served where position = 3;
select results_eq($$ select count(distinct split_part(email, '-', 1)) from served group by (position - 1) / 2 $$, array[2, 2]::bigint[],
  'organizations take turns');
select is((select i.status::text from public.user_invitations as i join served as s on s.email = i.email and s.position = 4), 'sending',
  'whom the function is at is being invited');
select is((select array_agg(distinct concat(i.status, i.sent_at is not null, i.attempts)) from public.user_invitations as i
  join served as s on s.email = i.email and s.position < 4), '{sentt1}', 'whose mail was taken is invited');
select is((select pg_temp.next(pg_temp.outcome(split_part(email, '-', 1), substring(email from '-([0-9])')::integer, 200)) is not null
  from served where position = 4), true, 'the last of the longer queue comes last');
select is((select c.mail_count from private.invitation_calls as c), 5, 'each mail counts');
select is(pg_temp.next(pg_temp.outcome('acme', 3, 200)), null, 'there is nobody after the last');
select throws_ok($$ select pg_temp.next() $$, 'PT409', 'call of the worker function is over', 'and with that the call is over');
select tests.act_as_role('postgres');
select is((select count(*) from public.user_invitations where status = 'sent'), 5::bigint, 'all are invited, once');

-- The limit --------------------------------------------------------------------------------------------

insert into private.settings (key, value) values ('users.invites_per_hour', '7');
select pg_temp.add_people('bolt', 4, 11);
select private.queue_invitations(tests.org_id('bolt'), array(select pg_temp.person('bolt', n) from generate_series(11, 14) as n));
select is(private.post_invitations(), true, 'a call goes out while the hour has something left');
select is(pg_temp.next(), 'bolt-11@example.test', 'for the sixth of seven');
select is(pg_temp.next(pg_temp.outcome('bolt', 11, 200)), 'bolt-12@example.test', 'the seventh');
delete from auth.users where id = pg_temp.person('bolt', 12);
select is(pg_temp.next(pg_temp.outcome('bolt', 12, 200)), null, 'and no eighth');
select is(private.post_invitations(), false, 'nor a call for one');
delete from auth.users where id = pg_temp.person('bolt', 11);
select is(private.post_invitations(), false, 'also where invited people are deleted');
select pg_temp.wait('61 minutes');
select is(private.post_invitations(), true, 'an hour later there is');
update private.settings set value = '1000' where key = 'users.invites_per_hour';

-- What the auth service says ---------------------------------------------------------------------------

select is(pg_temp.next(), 'bolt-13@example.test', 'the next is');
select is(pg_temp.next(pg_temp.outcome('bolt', 13, 422, '{"code": "email_exists", "message": "already registered"}')), 'bolt-14@example.test',
  'whom it refuses costs the others nothing');
select is(pg_temp.state('bolt', 13), 'failed 1 email_exists', 'and has failed with the reason');
select is(pg_temp.next(pg_temp.outcome('bolt', 13, 200), pg_temp.call()), null, 'what is said of another is not taken');
select is(pg_temp.state('bolt', 13), 'failed 1 email_exists', 'and changes nothing');
select pg_temp.wait('4 minutes');
select private.post_invitations();
select is(pg_temp.state('bolt', 14), 'pending 1 08006', 'of whom nothing is said waits for another attempt');
select pg_temp.wait('1 minute');
select is(private.post_invitations(), true, 'which comes');
select is(pg_temp.next(), 'bolt-14@example.test', 'in another call');
select is(pg_temp.next(pg_temp.outcome('bolt', 14, 503)), null, 'where the service is down the call ends');
select is(pg_temp.state('bolt', 14), 'pending 2 08006', 'and all are tried later');
select results_eq(
  $$ select round(extract(epoch from i.next_attempt_at - clock_timestamp())) from public.user_invitations as i
    where i.user_id = pg_temp.person('bolt', 14) $$, array[240::numeric], 'each time four times as late');

select pg_temp.wait('5 minutes');
select private.post_invitations(), pg_temp.next();
select is(pg_temp.next(pg_temp.outcome('bolt', 14, 429, '{"retry_after_seconds": 600}')), null, 'one too many ends the call');
select is(pg_temp.state('bolt', 14), 'pending 2 08006', 'and is no attempt');
select pg_temp.wait('9 minutes');
select is(private.post_invitations(), false, 'all wait as long as the service says');
select pg_temp.wait('1 minute');
select is(private.post_invitations(), true, 'and no longer');
select pg_temp.next(), pg_temp.next(pg_temp.outcome('bolt', 14, 401)), pg_temp.wait('20 minutes');
select is(pg_temp.state('bolt', 14), 'pending 3 08006', 'a wrong key is not the person''s fault');
select private.post_invitations(), pg_temp.next(), pg_temp.next(pg_temp.outcome('bolt', 14, 500)), pg_temp.wait('70 minutes');
select private.post_invitations(), pg_temp.next(), pg_temp.next(pg_temp.outcome('bolt', 14, 500, '{"code": "unexpected_failure"}'));
select is(pg_temp.state('bolt', 14), 'failed 5 unexpected_failure', 'after five attempts it is given up');

-- Again ------------------------------------------------------------------------------------------------

select tests.act_as('bob');
select is(public.retry_invitations(), 2, 'an admin has all sent again that failed');
select is(public.retry_invitations(), 0, 'once');
select is(public.retry_invitations(user_ids => array[pg_temp.person('bolt', 1), pg_temp.person('acme', 1)]), 1,
  'and of people who are named those who were invited, of the own organization');
select tests.act_as_role('postgres');
select is((select i.requested_by from public.user_invitations as i where i.user_id = pg_temp.person('bolt', 1)), tests.user_id('bob'),
  'who asked for it is said');
update auth.users set email_confirmed_at = now() where id = pg_temp.person('acme', 1);
select tests.act_as('ann');
select is(public.retry_invitations(user_ids => array[pg_temp.person('acme', 1)]), 0, 'nobody is invited who has confirmed the address since');
select tests.act_as_role('postgres');

-- An organization that is closed
update public.organization set is_active = false where id = tests.org_id('bolt');
select pg_temp.wait('2 hours');
select is(private.post_invitations(), false, 'a closed organization invites nobody');

select * from finish();
rollback;
