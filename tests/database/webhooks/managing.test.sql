-- Webhooks: who makes, changes, rotates and deletes them, and who sees what.
begin;
select plan(68);
select tests.set_up_actors();

-- Making ----------------------------------------------------------------------------------------------

select tests.act_as('ann');
create temporary table made as
  select public.create_webhook('https://hooks.example.com/in?key=1', '{import.failed,import.completed,import.failed}', 'Ours') as document;
select tests.keep('hook', (document ->> 'id')::uuid) from made;

select matches(document ->> 'secret', '^whsec_[A-Za-z0-9+/]{43}=$', 'an admin makes a webhook and is shown its secret') from made;
select is(document - 'id' - 'secret' - 'created_at' - 'updated_at', jsonb_build_object(
  'org_id', tests.org_id('acme'), 'url', 'https://hooks.example.com/in?key=1',
  'events', '["import.completed", "import.failed"]'::jsonb, 'description', 'Ours', 'is_active', true, 'error', null,
  'previous_secret_until', null, 'created_by', tests.user_id('ann')), 'the rest is as asked for, each event once') from made;

select tests.act_as_role('postgres');
select is((select s.decrypted_secret from vault.decrypted_secrets as s
  where s.name = format('sluice/org/%s/webhook/%s', tests.org_id('acme'), tests.kept('hook'))),
  (select document ->> 'secret' from made), 'the secret is in Vault, under its organization');
select is((select to_jsonb(w)::text from public.webhooks as w where w.id = tests.kept('hook')) ~ 'whsec', false, 'and not in the table');
select is(
  (select array_agg((l.action, l.details ->> 'webhook_id')::text) from public.sync_activity_log as l where l.sync_id = tests.kept('hook')::text),
  array[format('(created,%s)', tests.kept('hook'))], 'the log says who made it');
select is((select count(*) from public.sync_activity_log as l where to_jsonb(l)::text ~ 'whsec|key=1'), 0::bigint,
  'but neither the secret nor what the address may hold of one');

select tests.act_as('max');
select throws_ok($$ select public.create_webhook('https://example.com', '{job.failed}') $$, '42501', 'organization role required',
  'a member makes none');
select tests.act_as('vic');
select throws_ok($$ select public.create_webhook('https://example.com', '{job.failed}') $$, '42501', 'organization role required',
  'nor does a viewer');
select tests.act_as('bob');
select throws_ok(format($$ select public.create_webhook('https://example.com', '{job.failed}', org_id => %L) $$, tests.org_id('acme')),
  'PT404', 'organization not found', 'nor an admin of another organization');
select tests.act_as('otto');
select throws_ok($$ select public.create_webhook('https://example.com', '{job.failed}') $$, '22023', 'organization is required',
  'nor who has none');
select tests.act_as_role('anon');
select is(tests.sqlstate_of($$ select public.create_webhook('https://example.com', '{job.failed}') $$), '42501', 'nor anybody');
select tests.act_as('sid');
select ok(public.create_webhook('https://example.com', '{job.failed}', org_id => tests.org_id('bolt')) ? 'secret',
  'a system admin does for any');
select tests.act_as_role('service_role');
select ok(public.create_webhook('https://example.com', '{job.failed}', org_id => tests.org_id('bolt')) ? 'secret', 'so does the service');

select tests.act_as('ann');
select throws_ok(format($$ select public.create_webhook(%L, '{job.failed}') $$, u), '22023', 'address of the webhook is not valid',
  format('not to %s', coalesce(u, 'nowhere')))
from unnest(array['ftp://example.com', 'example.com', 'https://', 'https:///path', 'https://a:b@example.com/', 'https://a\@example.com/',
  'https://example.com/a b', e'https://example.com/\n', 'https://example.com/' || repeat('x', 2000), '', null]) as u;
select lives_ok(format($$ select public.create_webhook(%L, '{job.failed}') $$, u), format('but to %s', u))
from unnest(array['http://example.com', 'HTTPS://example.com:8443/a?b@c', 'http://[2606:4700::1111]/']) as u;
select throws_ok(format($$ select public.create_webhook('https://example.com', %L) $$, e), '22023', 'events of the webhook are not known',
  format('not of %s', coalesce(e, 'null')))
from unnest(array['{}', '{import.completed,import.exploded}', '{webhook.test}', '{null}', null]) as e;

-- Limit -----------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select public.set_setting('webhooks.per_organization', '4', tests.org_id('acme'));
select tests.act_as('ann');
select throws_ok($$ select public.create_webhook('https://example.com', '{job.failed}') $$, 'PT429',
  'organization has as many webhooks as it may', 'an organization has so many');
select throws_ok(format($$ select public.set_setting('webhooks.per_organization', '5', %L) $$, tests.org_id('acme')), '42501',
  'setting is not the caller''s to change', 'its admin does not raise that');
select throws_ok($$ select public.set_setting('outbound.allow_private', 'true') $$, '42501', 'setting is not the caller''s to change',
  'nor allow private addresses');
select tests.act_as_role('service_role');
select throws_ok($$ select public.set_setting('outbound.allow_private', 'true') $$, '42501', 'setting is not the caller''s to change',
  'which not even the service does');

-- Seeing ----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select is((select count(*) from public.webhooks), 4::bigint, 'an admin sees those of the organization');
select is((select (m.host, m.waiting, m.failed)::text from public.monitor_webhooks as m where m.webhook_id = tests.kept('hook')),
  '(hooks.example.com,0,0)', 'and how they do, without the path');
select tests.act_as('max');
select is_empty($$ select id from public.webhooks $$, 'a member sees none');
select is_empty($$ select webhook_id from public.monitor_webhooks $$, 'in no view');
select tests.act_as('bob');
select is_empty(format($$ select id from public.webhooks where org_id = %L $$, tests.org_id('acme')), 'nor does a stranger');
select is(tests.sqlstate_of($$ update public.webhooks set url = 'https://evil.example' where true $$), '42501', 'nobody writes them directly');
select is(tests.sqlstate_of($$ insert into public.webhook_deliveries (webhook_id) values (null) $$), '42501', 'nor deliveries');

-- Changing --------------------------------------------------------------------------------------------

select tests.act_as('ann');
select is(public.change_webhook(tests.kept('hook'), url => 'https://new.example.com', is_active => false, description => '')
    - 'created_at' - 'updated_at' - 'created_by' - 'previous_secret_until' - 'error',
  jsonb_build_object('id', tests.kept('hook'), 'org_id', tests.org_id('acme'), 'url', 'https://new.example.com',
    'events', '["import.completed", "import.failed"]'::jsonb, 'description', null, 'is_active', false),
  'an admin changes what is given, and is not shown the secret again');
select throws_ok(format($$ select public.change_webhook(%L, events => '{x}') $$, tests.kept('hook')), '22023',
  'events of the webhook are not known', 'not to what there is not');
select throws_ok(format($$ select public.change_webhook(%L, events => '{}') $$, tests.kept('hook')), '22023',
  'events of the webhook are not known', 'nor to nothing');
select throws_ok(format($$ select public.send_test_webhook(%L) $$, tests.kept('hook')), 'PT409', 'webhook is switched off',
  'what is off is not tried');
select throws_ok(format($$ select public.redrive_webhook_deliveries(%L) $$, tests.kept('hook')), 'PT409', 'webhook is switched off',
  'nor redriven');

select tests.act_as(nick), throws_ok(format($$ select public.%s(%L) $$, f, tests.kept('hook')), 'PT404', 'webhook not found',
  format('%s: not by %s', f, nick))
from unnest('{max,bob}'::text[]) as nick,
  unnest('{change_webhook,delete_webhook,rotate_webhook_secret,send_test_webhook,redrive_webhook_deliveries,list_webhook_deliveries}'::text[]) as f;

-- Rotating, deleting ----------------------------------------------------------------------------------

select tests.act_as('ann');
create temporary table rotated as select public.rotate_webhook_secret(tests.kept('hook')) as document;
select isnt((select document ->> 'secret' from rotated), (select document ->> 'secret' from made), 'a rotated secret is another');
select ok((document ->> 'previous_secret_until')::timestamptz between now() + interval '23 hours' and now() + interval '25 hours',
  'the one before goes on for a day') from rotated;
select tests.act_as_role('postgres');
select results_eq(
  format($$ select s.decrypted_secret collate "default" from vault.decrypted_secrets as s where s.name like '%%%s%%' order by length(s.name) $$, tests.kept('hook')),
  $$ select document ->> 'secret' from rotated union all select document ->> 'secret' from made $$, 'both are in Vault');

select private.purge_webhooks();
select isnt_empty(format($$ select id from vault.secrets where name like '%%%s/previous' $$, tests.kept('hook')), 'and stay for that day');
update public.webhooks as w set previous_secret_until = now() - interval '1 second' where w.id = tests.kept('hook');
select private.purge_webhooks();
select is_empty(format($$ select id from vault.secrets where name like '%%%s/previous' $$, tests.kept('hook')), 'after it the old one goes');

select tests.act_as('ann');
select lives_ok(format($$ select public.delete_webhook(%L) $$, tests.kept('hook')), 'an admin deletes it');
select tests.act_as_role('postgres');
select is_empty(format($$ select id from vault.secrets where name like '%%%s%%' $$, tests.kept('hook')), 'its secrets go');
delete from public.organization as o where o.id = tests.org_id('acme');
select is_empty(format($$ select id from vault.secrets where name like '%%%s%%' $$, tests.org_id('acme')),
  'as they do with the organization');

select * from finish();
rollback;
