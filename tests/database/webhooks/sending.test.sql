-- Webhooks: how deliveries are claimed, signed, reported, tried again and given up.
begin;
select plan(64);
select tests.set_up_actors();

select tests.act_as('ann');
create temporary table hooks as
  select n, public.create_webhook('https://' || n || '.example.com/in', '{job.failed}') as document from unnest('{one,two}'::text[]) as n;
select tests.keep(n, (document ->> 'id')::uuid) from hooks;
grant select on hooks to service_role;
select tests.act_as('bob');
select tests.keep('bolt', (public.create_webhook('https://bolt.example.com', '{job.failed}') ->> 'id')::uuid);

select tests.act_as_role('postgres');
create function pg_temp.queue(p_webhook text, p_count integer default 1) returns void language sql security definer as $$
  insert into public.webhook_deliveries (webhook_id, org_id, event, payload)
  select w.id, w.org_id, 'job.failed', jsonb_build_object('type', 'job.failed', 'data', jsonb_build_object('n', n, 'text', 'Ä "€"'))
  from public.webhooks as w, generate_series(1, p_count) as n where w.id = tests.kept(p_webhook);
$$;
create function pg_temp.state(p_webhook text) returns text language sql security definer as $$
  select string_agg(format('%s %s', s.status, s.count), ', ' order by s.status)
  from (select d.status, count(*) from public.webhook_deliveries as d where d.webhook_id = tests.kept(p_webhook) group by d.status) as s;
$$;
-- The tokens that were posted, and forgets them.
create function pg_temp.posted() returns setof uuid language sql as $$
  with q as (delete from net.http_request_queue as r where r.url like '%/worker/webhooks' returning r.id, r.body)
  select (convert_from(q.body, 'utf8')::jsonb ->> 'token')::uuid from q order by q.id;
$$;

-- Claiming --------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select is(private.send_webhooks(), 0, 'where nothing is due');
select is_empty($$ select pg_temp.posted() $$, 'nobody is called');

select pg_temp.queue('one', 30), pg_temp.queue('two', 3), pg_temp.queue('bolt', 30);
select is(private.send_webhooks(), 43, 'of each webhook so many go at once');
select is(pg_temp.state('one') || '; ' || pg_temp.state('two') || '; ' || pg_temp.state('bolt'),
  'pending 10, sending 20; sending 3; pending 10, sending 20', 'the others wait');
select is((select count(*) from pg_temp.posted()), 1::bigint, 'in one call');
select is((select count(*) from public.webhook_deliveries as d where d.status = 'sending' and (d.attempts <> 1 or d.token is null)), 0::bigint,
  'their attempt is counted');
select is(private.send_webhooks(), 0, 'until some are done none follows');

delete from public.webhook_deliveries;
select pg_temp.queue('one', 20), pg_temp.queue('two', 20), pg_temp.queue('bolt', 20);
select is(private.send_webhooks(), 60, 'more than a call takes');
create temporary table tokens as select * from pg_temp.posted() as t (token);
select is((select array_agg(c order by c desc) from (select count(*) as c from public.webhook_deliveries as d group by d.token) as t),
  '{50,10}', 'is sent by several');
select is((select count(*) from public.webhook_deliveries as d where d.webhook_id = tests.kept('bolt')
    and d.token = (select d.token from public.webhook_deliveries as d group by d.token having count(*) = 50)), 20::bigint,
  'in which organizations take turns');

update public.organization as o set is_active = false where o.id = tests.org_id('bolt');
delete from public.webhook_deliveries;
select pg_temp.queue('bolt'), pg_temp.queue('one');
update public.webhooks as w set is_active = false where w.id = tests.kept('one');
select is(private.send_webhooks(), 0, 'what is off, or of an organization that is closed, waits');
update public.organization as o set is_active = true where o.id = tests.org_id('bolt');
update public.webhooks as w set is_active = true where w.id = tests.kept('one');
select is(private.send_webhooks(), 2, 'and goes when it is on again');

-- Taking ----------------------------------------------------------------------------------------------

delete from public.webhook_deliveries;
select pg_temp.queue('one');
select private.send_webhooks();
select set_config('tests.token', (select max(p::text) from pg_temp.posted() as p), true);
select tests.keep('delivery', (select d.id from public.webhook_deliveries as d));
-- Two are in the queue of pg_net since the last look.
select set_config('tests.token', (select d.token::text from public.webhook_deliveries as d), true);

select tests.act_as('ann');
select is(tests.sqlstate_of(format($$ select public.take_webhook_deliveries(%L) $$, tests.kept('token'))), '42501',
  'an admin does not take deliveries');
select is(tests.sqlstate_of(format($$ select public.report_webhook_delivery(%L, %L, 200) $$, tests.kept('delivery'), tests.kept('token'))),
  '42501', 'nor reports of any');
select is(tests.sqlstate_of($$ select token from public.webhook_deliveries $$), '42501', 'nor sees a token');
select is((select public.list_webhook_deliveries()::text) ~ tests.kept('token')::text, false, 'in the list, either');

select tests.act_as_role('service_role');
create temporary table taken as
  select t.value as document from jsonb_array_elements(public.take_webhook_deliveries(tests.kept('token'))) as t;
select is((select count(*) from taken), 1::bigint, 'the service does');
select is(document - 'headers' - 'body', jsonb_build_object(
  'id', tests.kept('delivery'), 'url', 'https://one.example.com/in', 'allow_private', false), 'where to') from taken;
select is((document ->> 'body')::jsonb, '{"type": "job.failed", "data": {"n": 1, "text": "Ä \"€\""}}', 'and what') from taken;
select is(document -> 'headers' ->> 'webhook-id', tests.kept('delivery')::text, 'by its id') from taken;
select cmp_ok(abs(extract(epoch from clock_timestamp()) - (document #>> '{headers,webhook-timestamp}')::bigint), '<', 5::numeric,
  'and the time it is sent') from taken;
select is(
  document #>> '{headers,webhook-signature}',
  'v1,' || encode(extensions.hmac(
    convert_to(concat_ws('.', document #>> '{headers,webhook-id}', document #>> '{headers,webhook-timestamp}', document ->> 'body'), 'utf8'),
    decode(substr((select h.document ->> 'secret' from hooks as h where h.n = 'one'), 7), 'base64'), 'sha256'), 'base64'),
  'signed with its secret') from taken;
select is(document::text ~ 'whsec', false, 'which stays in the database') from taken;
select is(public.take_webhook_deliveries(gen_random_uuid()), '[]', 'another token takes nothing');

select tests.act_as('ann');
select public.rotate_webhook_secret(tests.kept('one'));
select tests.act_as_role('service_role');
select matches(public.take_webhook_deliveries(tests.kept('token')) #>> '{0,headers,webhook-signature}', '^v1,[^ ]{44} v1,[^ ]{44}$',
  'after a rotation there are two signatures');
select is(split_part(public.take_webhook_deliveries(tests.kept('token')) #>> '{0,headers,webhook-signature}', ' ', 1)
  <> (select document #>> '{headers,webhook-signature}' from taken), true, 'that of the new secret first');
select tests.act_as_role('postgres');
update public.webhooks as w set previous_secret_until = now() - interval '1 second' where w.id = tests.kept('one');
select matches(private.take_webhook_deliveries(tests.kept('token')) #>> '{0,headers,webhook-signature}', '^v1,[^ ]{44}$', 'for a day');

select public.set_setting('outbound.allow_private', 'true', tests.org_id('acme'));
select is(private.take_webhook_deliveries(tests.kept('token')) #>> '{0,allow_private}', 'true',
  'postgres may allow an organization private addresses');

-- Reporting -------------------------------------------------------------------------------------------

select tests.act_as_role('service_role');
select throws_ok(format($$ select public.report_webhook_delivery(%L, %L, 200) $$, tests.kept('delivery'), gen_random_uuid()),
  'PT409', 'call of the worker function is over', 'a report wants the token');
select throws_ok(format($$ select public.report_webhook_delivery(%L, null, 200) $$, tests.kept('delivery')),
  'PT409', 'call of the worker function is over', 'which is never null');
select throws_ok(format($$ select public.report_webhook_delivery(%L, %L, 200) $$, gen_random_uuid(), tests.kept('token')),
  'PT409', 'call of the worker function is over', 'and a delivery');
select throws_ok(format($$ select public.report_webhook_delivery(%L, %L, %s) $$, tests.kept('delivery'), tests.kept('token'), a),
  '22023', 'report is not understood', format('and says something: not %s', a))
from unnest(array['null', '99', '200, ''{}''', '500, null, -1']) as a;
select public.report_webhook_delivery(tests.kept('delivery'), tests.kept('token'), 204);
select throws_ok(format($$ select public.report_webhook_delivery(%L, %L, 500) $$, tests.kept('delivery'), tests.kept('token')),
  'PT409', 'call of the worker function is over', 'and comes once');
select tests.act_as('ann');
select is((select (d.status, d.response_status, d.attempts, d.delivered_at is not null)::text from public.webhook_deliveries as d),
  '(delivered,204,1,t)', 'a delivery that was accepted is delivered');

-- Retries ---------------------------------------------------------------------------------------------

-- An attempt at the only delivery of webhook one; how long until the next, and its state.
create function pg_temp.attempt(p_status integer, p_error jsonb default null, p_retry_after integer default null)
returns text language plpgsql as $$
declare
  v_delivery public.webhook_deliveries;
begin
  update public.webhook_deliveries as d set next_attempt_at = clock_timestamp() where d.status = 'pending';
  perform private.send_webhooks();
  select d.* into v_delivery from public.webhook_deliveries as d where d.webhook_id = tests.kept('one');
  perform private.report_webhook_delivery(v_delivery.id, v_delivery.token, p_status, p_error, p_retry_after);
  select d.* into v_delivery from public.webhook_deliveries as d where d.webhook_id = tests.kept('one');
  return format('%s %s', v_delivery.status, width_bucket(extract(epoch from v_delivery.next_attempt_at - clock_timestamp())::numeric,
    '{4,6,17,23,71,89,287,353,1150,1409,4607,5633,18431,23761,86300,86401}'::numeric[]));
end;
$$;

select tests.act_as_role('postgres');
delete from public.webhook_deliveries;
select pg_temp.queue('one');
select is((select array_agg(pg_temp.attempt(500) order by n) from generate_series(1, 8) as n),
  '{pending 1,pending 3,pending 5,pending 7,pending 9,pending 11,pending 13,pending 13}',
  'each wait is four times the one before, to six hours');
select is((select (d.response_status, d.error)::text from public.webhook_deliveries as d), (500, jsonb_build_object(
  'code', 'not_accepted', 'message', 'receiver did not accept the event', 'details', 'status 500', 'hint', null))::text, 'it says why');
update public.webhook_deliveries as d set expires_at = clock_timestamp() + interval '5 hours';
select is(pg_temp.attempt(null, '{"code": "timed_out", "message": "it took too long", "details": null}'), 'failed 13', 'after a day it is given up');
select is((select d.error ->> 'message' from public.webhook_deliveries as d), 'it took too long', 'with the last reason');

delete from public.webhook_deliveries;
select pg_temp.queue('one');
select is(pg_temp.attempt(429, p_retry_after => 100), 'pending 6', 'a receiver may ask for time');
select is(pg_temp.attempt(503, p_retry_after => 1), 'pending 3', 'not for less than there is');
select is(pg_temp.attempt(503, p_retry_after => 1000000), 'failed 15', 'nor for more than a day');

delete from public.webhook_deliveries;
select pg_temp.queue('one');
select is(left(pg_temp.attempt(null, '{"code": "address_refused", "message": "address is not on the internet"}'), 6), 'failed',
  'an address that is refused is not tried again');
delete from public.webhook_deliveries;
select pg_temp.queue('one');
select is(pg_temp.attempt(302), 'pending 1', 'a redirect is no success');
select matches((select d.error ->> 'hint' from public.webhook_deliveries as d), '^Redirects are not followed', 'and says what to do');
select is(left(pg_temp.attempt(410), 6), 'failed', 'who is gone is told no more');
select is((select (w.is_active, w.error ->> 'code')::text from public.webhooks as w where w.id = tests.kept('one')), '(f,gone)', 'at all');

-- Redriving -------------------------------------------------------------------------------------------

select tests.act_as('ann');
select is((public.change_webhook(tests.kept('one'), is_active => true)) -> 'error', 'null', 'until it is switched on again');
select is(jsonb_path_query_array(public.list_webhook_deliveries(tests.kept('one'), 'failed'), '$.deliveries[*].error.message'),
  '["receiver did not accept the event"]', 'dead letters are listed');
select is(public.redrive_webhook_deliveries(tests.kept('one'), array[gen_random_uuid()]), 0, 'only those named');
select is(public.redrive_webhook_deliveries(tests.kept('one')), 1, 'or all are queued again');
select tests.act_as_role('postgres');
select is(pg_temp.attempt(500), 'pending 1', 'and have their attempts once more');

-- Lost calls, lost secrets ----------------------------------------------------------------------------

update public.webhook_deliveries as d set next_attempt_at = clock_timestamp();
select private.send_webhooks();
update public.webhook_deliveries as d set next_attempt_at = clock_timestamp() - interval '1 second';
select private.send_webhooks();
select is((select (d.status, d.attempts, d.token, d.error ->> 'message')::text from public.webhook_deliveries as d),
  '(pending,2,,"worker function did not answer")', 'a call that says nothing was an attempt');

delete from vault.secrets as s where s.name like format('%%%s%%', tests.kept('one'));
update public.webhook_deliveries as d set next_attempt_at = clock_timestamp();
select private.send_webhooks();
select is(private.take_webhook_deliveries((select d.token from public.webhook_deliveries as d)), '[]', 'without its secret nothing is sent');
select is((select (d.status, d.error ->> 'message')::text from public.webhook_deliveries as d),
  '(failed,"secret of the webhook is missing")', 'and it says so');

select is((select (m.waiting, m.failed, m.error_message, m.is_active)::text from public.monitor_webhooks as m
    where m.webhook_id = tests.kept('one')), '(0,1,"secret of the webhook is missing",t)', 'as the view does');

-- Listing ---------------------------------------------------------------------------------------------

select pg_temp.queue('two', 5);
select tests.act_as('ann');
create temporary table pages as
  with recursive p (n, page) as (
    select 1, public.list_webhook_deliveries(page_size => 4)
    union all
    select p.n + 1, public.list_webhook_deliveries(page_size => 4, after => (p.page ->> 'next_after')::uuid)
    from p where p.page ->> 'next_after' is not null
  )
  select p.n, d.value ->> 'id' as id from p cross join lateral jsonb_array_elements(p.page -> 'deliveries') as d;
select is((select array_agg(c order by n) from (select n, count(*) as c from pages group by n) as t), '{4,2}', 'deliveries come in pages');
select is((select count(distinct id) from pages), 6::bigint, 'each once');
select throws_ok($$ select public.list_webhook_deliveries(page_size => 0) $$, '22023', 'page_size must be from 1 to 1000', 'of a size');
select throws_ok($$ select public.list_webhook_deliveries(status => 'lost') $$, '22023', 'status is unknown', 'of a status there is');
select tests.act_as('max');
select is(public.list_webhook_deliveries(), '{"deliveries": [], "next_after": null}', 'a member is shown none');
select is_empty($$ select id from public.webhook_deliveries $$, 'nor reads any');

select * from finish();
rollback;
