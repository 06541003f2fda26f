-- Webhooks: what is queued, when, and what it says.
begin;
select plan(30);
select tests.set_up_actors();

select tests.act_as('ann');
select tests.keep('all', (public.create_webhook('https://all.example.com',
  '{import.staged,import.validated,import.completed,import.failed,import.cancelled,import.undone,job.failed}') ->> 'id')::uuid);
select tests.keep('failures', (public.create_webhook('https://failures.example.com', '{import.failed,job.failed}') ->> 'id')::uuid);
select tests.keep('off', (public.create_webhook('https://off.example.com', '{import.completed}') ->> 'id')::uuid);
select public.change_webhook(tests.kept('off'), is_active => false);
select tests.act_as('bob');
select tests.keep('bolt', (public.create_webhook('https://bolt.example.com', '{import.completed}') ->> 'id')::uuid);

select tests.act_as_role('postgres');
create function pg_temp.told(p_webhook text) returns text[] language sql security definer as $$
  select coalesce(array_agg(d.event order by d.created_at, d.id), '{}')
  from public.webhook_deliveries as d where d.webhook_id = tests.kept(p_webhook);
$$;

-- Imports ---------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('import', tests.stage_import('customers', '{external_id,name}', '[["C1", "Ann of the file"], ["C2", "Bob"], ["", "nobody"]]',
  p_mapping => '{"external_id": "external_id", "name": "name"}'));
select is(pg_temp.told('all'), '{import.staged}', 'a member stages a file: the webhook is told');
select is(tests.run_import(tests.kept('import')), 'completed', 'it is applied');
select is(pg_temp.told('all'), '{import.staged,import.validated,import.completed}', 'and each step was told');
select is(pg_temp.told('failures'), '{}', 'not to who chose other events');
select is(pg_temp.told('off'), '{}', 'not where it is switched off');
select is(pg_temp.told('bolt'), '{}', 'and not to another organization');

select tests.act_as_role('postgres');
select is((select d.payload - 'timestamp' from public.webhook_deliveries as d
    where d.webhook_id = tests.kept('all') and d.event = 'import.completed'),
  jsonb_build_object('type', 'import.completed', 'data', jsonb_build_object(
    'import_id', tests.kept('import'), 'org_id', tests.org_id('acme'), 'dataset', 'customers', 'mode', 'upsert', 'source', 'api',
    'set_id', null, 'status', 'completed',
    'counts', '{"rows": 3, "failed": 1, "skipped": 0, "inserted": 2, "updated": 0, "unchanged": 0, "deleted": 0}'::jsonb,
    'error', '{"code": null, "message": null}'::jsonb)),
  'it says ids, states and counts');
select is((select count(*) from public.webhook_deliveries as d where d.payload::text ~ 'Ann of the file|file\.csv'), 0::bigint, 'and no rows');
select is((select (d.status, d.attempts, d.expires_at - d.created_at between interval '23:59' and interval '24:01')::text
    from public.webhook_deliveries as d where d.webhook_id = tests.kept('all') and d.event = 'import.completed'),
  '(pending,0,t)', 'it waits to be sent');

select tests.act_as('ann');
select public.undo_import(tests.kept('import'));
select tests.run_jobs();
select is((pg_temp.told('all'))[4:], '{import.undone}', 'an undo is told');

select tests.act_as('max');
select tests.keep('cancelled', tests.stage_import('customers', '{external_id,name}', '[["C3", "Cem"]]'));
select public.cancel_import(tests.kept('cancelled'));
select is((pg_temp.told('all'))[5:], '{import.staged,import.cancelled}', 'so is that one was cancelled');

-- Failures: nothing of it in the payload but code and message.
select tests.keep('failed', tests.stage_import('customers', '{external_id,name}', '[["C4", "Dora"]]'));
select tests.act_as_role('postgres');
update public.profiles as p set is_active = false where p.id = tests.user_id('max');
select tests.act_as('ann');
select is(tests.run_import(tests.kept('failed')), 'completed', 'another may run it');
select tests.act_as_role('postgres');
update public.profiles as p set is_active = true where p.id = tests.user_id('max');
update public.import_batches as b set status = 'undoing' where b.id = tests.kept('failed');
update public.import_batches as b set status = 'failed', error = '{"code": "XX000", "message": "told to", "details": "a value of a row"}'
where b.id = tests.kept('failed');
select is((select (d.payload -> 'data' -> 'error') from public.webhook_deliveries as d
    where d.webhook_id = tests.kept('failures') and d.event = 'import.failed'),
  '{"code": "XX000", "message": "told to"}', 'a failure says code and message, and no details');
update public.import_batches as b set status = 'undoing' where b.id = tests.kept('failed');
update public.import_batches as b set status = 'completed' where b.id = tests.kept('failed');
select is((select count(*) from public.webhook_deliveries as d
    where d.event = 'import.completed' and d.payload #>> '{data,import_id}' = tests.kept('failed')::text), 1::bigint,
  'an undo that had nothing to undo completes nothing again');

select tests.keep('job', (select j.id from public.scheduled_jobs as j where j.batch_id = tests.kept('failed') limit 1));
update public.scheduled_jobs as j set status = 'running', finished_at = null where j.id = tests.kept('job');
update public.scheduled_jobs as j set status = 'failed', finished_at = now(), error = '{"code": "57P01", "message": "worker lost", "details": "x"}'
where j.id = tests.kept('job');
select is((select (d.payload -> 'data') - 'counts' - 'job_type' from public.webhook_deliveries as d
    where d.webhook_id = tests.kept('failures') and d.event = 'job.failed'),
  jsonb_build_object('job_id', tests.kept('job'), 'org_id', tests.org_id('acme'), 'import_id', tests.kept('failed'), 'status', 'failed',
    'error', '{"code": "57P01", "message": "worker lost"}'::jsonb), 'a failed job is told');

-- Invitations.
select tests.act_as('ann');
select tests.keep('people', (public.create_webhook('https://people.example.com', '{invitation.sent,invitation.failed}') ->> 'id')::uuid);
select tests.act_as_role('postgres');
insert into public.user_invitations (user_id, org_id, email) values (tests.user_id('vic'), tests.org_id('acme'), 'vic@example.test');
update public.user_invitations as i set status = 'sending', attempts = 1 where i.user_id = tests.user_id('vic');
update public.user_invitations as i set status = 'failed', error = '{"code": "email_exists", "message": "vic@example.test is there"}'
where i.user_id = tests.user_id('vic');
select is((select d.payload - 'timestamp' from public.webhook_deliveries as d where d.webhook_id = tests.kept('people')),
  jsonb_build_object('type', 'invitation.failed', 'data', jsonb_build_object('user_id', tests.user_id('vic'), 'org_id', tests.org_id('acme'),
    'status', 'failed', 'attempts', 1, 'error', '{"code": "email_exists"}'::jsonb)), 'an invitation that is given up is told, without the address');
update public.user_invitations as i set status = 'sent', error = null where i.user_id = tests.user_id('vic');
select is(pg_temp.told('people'), '{invitation.failed,invitation.sent}', 'and one that went out');

-- Syncs.
create table private.feed (no text, called text);
insert into private.feed values ('c9', 'Nina of the feed');
select private.allow_foreign_table(tests.org_id('acme'), 'private.feed');
select tests.act_as('ann');
select tests.keep('syncs', (public.create_webhook('https://syncs.example.com',
  '{sync.awaiting_approval,sync.completed,sync.unchanged,sync.failed,sync.cancelled}') ->> 'id')::uuid);
select tests.keep('source', (public.create_sync_source(jsonb_build_object('name', 'feed', 'dataset', 'customers', 'kind', 'foreign_table',
  'location', 'private.feed', 'mapping', '{"external_id": "no", "name": "called"}'::jsonb)) ->> 'id')::uuid);
create function pg_temp.sync() returns void language plpgsql as $$
begin
  perform tests.keep('run', (public.run_sync(tests.kept('source')) ->> 'id')::uuid);
  perform tests.run_jobs();
end $$;
select pg_temp.sync();
select is((select d.payload - 'timestamp' from public.webhook_deliveries as d where d.webhook_id = tests.kept('syncs')),
  jsonb_build_object('type', 'sync.completed', 'data', jsonb_build_object('run_id', tests.kept('run'), 'org_id', tests.org_id('acme'),
    'source_id', tests.kept('source'), 'schedule_id', null, 'import_id', (select b.id from public.import_batches as b where b.source = 'sync'),
    'delete_import_id', null, 'status', 'completed', 'reason', null, 'counts', '{"known": null, "deletions": null}'::jsonb,
    'error', '{"code": null, "message": null}'::jsonb)), 'a sync that is applied is told');
select pg_temp.sync();
select is(pg_temp.told('syncs'), '{sync.completed,sync.unchanged}', 'so is that there was nothing new');
select tests.act_as_role('postgres');
delete from private.feed;
select tests.act_as('ann');
select pg_temp.sync();
select is((select d.payload #>> '{data,error,code}' from public.webhook_deliveries as d
    where d.webhook_id = tests.kept('syncs') and d.event = 'sync.failed'), 'source_empty', 'and why one failed');
select tests.act_as_role('postgres');
insert into private.feed values ('c9', 'Nina');
update public.sync_sources as s set requires_approval = true where s.id = tests.kept('source');
select tests.act_as('ann');
select pg_temp.sync();
select public.cancel_sync(tests.kept('run'));
select is((pg_temp.told('syncs'))[4:], '{sync.awaiting_approval,sync.cancelled}', 'or waits for somebody, who says no');
select tests.act_as_role('postgres');

-- Together with what it tells of.
savepoint before;
update public.scheduled_jobs as j set status = 'running', finished_at = null where j.id = tests.kept('job');
update public.scheduled_jobs as j set status = 'failed', finished_at = now() where j.id = tests.kept('job');
rollback to before;
select is((select count(*) from public.webhook_deliveries as d
    where d.event = 'job.failed' and d.payload #>> '{data,job_id}' = tests.kept('job')::text), 2::bigint,
  'what did not happen is not told');

-- Depth of the queue ----------------------------------------------------------------------------------

select public.set_setting('webhooks.queued_per_organization', to_jsonb((select count(*) + 1 from public.webhook_deliveries as d
  where d.org_id = tests.org_id('acme'))), tests.org_id('acme'));
update public.scheduled_jobs as j set status = 'running', finished_at = null where j.id = tests.kept('job');
select lives_ok(format($$ update public.scheduled_jobs as j set status = 'failed', finished_at = now() where j.id = %L $$, tests.kept('job')),
  'a full queue does not keep a job from its end');
select results_eq(
  $$ select d.status::text, d.error ->> 'code' from (
      select l.* from public.webhook_deliveries as l order by l.created_at desc limit 2
    ) as d order by d.status $$,
  $$ values ('pending', null), ('failed', 'PT429') $$, 'what is too much for it is a dead letter');
select tests.act_as('ann');
select throws_ok(format($$ select public.send_test_webhook(%L) $$, tests.kept('all')), 'PT429', 'too many deliveries are queued',
  'a test is refused then');
select throws_ok(format($$ select public.redrive_webhook_deliveries(%L) $$, tests.kept('all')), 'PT429', 'too many deliveries are queued',
  'so is another try');
select tests.act_as('bob');
select is(public.send_test_webhook(tests.kept('bolt')) ->> 'event', 'webhook.test', 'other organizations have queues of their own');

-- Retention -------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select is(private.purge_webhooks(), 0, 'what is young stays');
update public.webhook_deliveries as d set created_at = now() - interval '91 days' where d.webhook_id = tests.kept('failures');
select is(private.purge_webhooks(), 4, 'what is older than the history of jobs goes');
select isnt_empty($$ select id from public.webhook_deliveries $$, 'and nothing else');

select * from finish();
rollback;
