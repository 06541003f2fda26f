-- Sources, schedules and secrets: who may have them, and what they may say.
begin;
select plan(117);
select tests.set_up_actors();

create function pg_temp.source(p_name text, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object('name', p_name, 'dataset', 'customers', 'kind', 'http_csv', 'location', 'https://shop.example/feed.csv') || p_more;
$$;
create function pg_temp.create_source(p_name text, p_more jsonb default '{}')
returns jsonb
language plpgsql
as $$
declare
  v_source jsonb := public.create_sync_source(pg_temp.source(p_name, p_more));
begin
  perform tests.keep(p_name, (v_source ->> 'id')::uuid);
  return v_source;
end;
$$;

-- Who may ----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select is(
  pg_temp.create_source('feed') - '{id,created_at,updated_at}'::text[],
  jsonb_build_object(
    'org_id', tests.org_id('acme'), 'name', 'feed', 'notes', null, 'dataset', 'customers', 'kind', 'http_csv',
    'location', 'https://shop.example/feed.csv', 'secret_name', null, 'options', '{}'::jsonb, 'mode', 'upsert',
    'max_delete_percent', 10.00, 'requires_approval', false, 'overlap', 'skip', 'template_id', null, 'mapping', null,
    'import_options', '{}'::jsonb, 'owner', tests.user_id('ann'), 'is_active', true, 'state', '{}'::jsonb,
    'created_by', tests.user_id('ann'), 'schedules', '[]'::jsonb),
  'an admin registers a source, and owns it');
select is(public.create_sync_schedule(tests.kept('feed'), '*/15 * * * *') ->> 'time_zone', 'UTC', 'and has it synced by the clock, in UTC');
select tests.keep('schedule', (public.list_sync_schedules(tests.kept('feed')) #>> '{schedules,0,id}')::uuid);
select lives_ok($$ select public.set_sync_secret('shop-key', 'open sesame') $$, 'and keeps a secret');
select results_eq($$ select s.name from public.list_sync_secrets() as s $$, array['shop-key'], 'of which the name can be read');
select is((select count(*) from public.sync_sources), 1::bigint, 'the table shows the source');
select is((select count(*) from public.sync_schedule), 1::bigint, 'and the schedule');

create table pg_temp.denied (actor text, statement text, code text, message text);
grant select on pg_temp.denied to authenticated, service_role;
select tests.act_as_role('postgres');
insert into pg_temp.denied
select a.actor, s.statement, s.code, s.message
from (values ('max'), ('vic'), ('otto'), ('bob')) as a (actor)
cross join (values
  ($$ select public.get_sync_source(tests.kept('feed')) $$, 'PT404', 'sync source not found'),
  ($$ select public.change_sync_source(tests.kept('feed'), '{"location": "https://evil.example"}') $$, 'PT404', 'sync source not found'),
  ($$ select public.create_sync_schedule(tests.kept('feed'), '* * * * *') $$, 'PT404', 'sync source not found'),
  ($$ select public.change_sync_schedule(tests.kept('schedule'), is_enabled => false) $$, 'PT404', 'sync schedule not found'),
  ($$ select public.delete_sync_schedule(tests.kept('schedule')) $$, 'PT404', 'sync schedule not found')
) as s (statement, code, message);
insert into pg_temp.denied
select a.actor, s.statement, a.code, a.message
from (values ('max', '42501', 'organization role required'), ('vic', '42501', 'organization role required'),
  ('otto', 'PT404', 'organization not found'), ('bob', 'PT404', 'organization not found')) as a (actor, code, message)
cross join (values
  ($$ select public.create_sync_source(pg_temp.source('mine'), tests.org_id('acme')) $$),
  ($$ select public.set_sync_secret('shop-key', 'x', tests.org_id('acme')) $$),
  ($$ select public.delete_sync_secret('shop-key', tests.org_id('acme')) $$),
  ($$ select public.list_sync_secrets(tests.org_id('acme')) $$)
) as s (statement);

create function pg_temp.deny()
returns setof text
language plpgsql
as $$
declare
  d pg_temp.denied;
begin
  for d in select x.* from pg_temp.denied as x order by x.actor, x.statement loop
    perform tests.act_as(d.actor);
    return next throws_ok(d.statement, d.code, d.message, d.actor || ' may not:' || d.statement);
  end loop;
end;
$$;
select pg_temp.deny();
select tests.act_as('max');
select is((select count(*) from public.sync_sources) + (select count(*) from public.sync_schedule), 0::bigint, 'a member sees neither table');
select is(public.list_sync_sources() -> 'sources', '[]', 'nor a list');
select is(public.list_sync_schedules() -> 'schedules', '[]', 'of either');
select throws_ok($$ insert into public.sync_sources (name) values ('x') $$, '42501', 'permission denied for table sync_sources',
  'nobody writes the table');
select tests.act_as('ann');
select throws_ok($$ update public.sync_sources set state = '{}' where true $$, '42501', 'permission denied for table sync_sources',
  'admins neither');
select throws_ok($$ delete from public.sync_schedule where true $$, '42501', 'permission denied for table sync_schedule', 'nor schedules');
select throws_ok($$ select private.read_sync_secret(tests.org_id('acme'), 'shop-key') $$, '42501',
  'permission denied for function read_sync_secret', 'what a secret is, nobody reads');
select tests.act_as_role('service_role');
select throws_ok($$ select private.read_sync_secret(tests.org_id('acme'), 'shop-key') $$, '42501',
  'permission denied for function read_sync_secret', 'not the service key either');
select throws_ok($$ select public.create_sync_source(pg_temp.source('of nobody'), tests.org_id('acme')) $$,
  '22023', 'owner of the source must be an admin', 'the service key names an owner');
select lives_ok(
  $$ select public.create_sync_source(pg_temp.source('of ann', jsonb_build_object('owner', tests.user_id('ann'))), tests.org_id('acme')) $$,
  'who is an admin');
select throws_ok(
  $$ select public.create_sync_source(pg_temp.source('of max', jsonb_build_object('owner', tests.user_id('max'))), tests.org_id('acme')) $$,
  '22023', 'owner of the source must be an admin', 'a member is not enough');
select throws_ok(
  $$ select public.create_sync_source(pg_temp.source('of bob', jsonb_build_object('owner', tests.user_id('bob'))), tests.org_id('acme')) $$,
  '22023', 'owner of the source must be an admin', 'nor is another organization''s admin');

-- A system admin's rights are not an admin's to use.
select tests.act_as('sid');
select tests.keep('of_sid', (public.create_sync_source(pg_temp.source('of sid'), tests.org_id('acme')) ->> 'id')::uuid);
select tests.act_as('ann');
select throws_ok($$ select public.change_sync_source(tests.kept('of_sid'), '{"location": "https://evil.example"}') $$,
  '42501', 'source of a system admin is theirs to change', 'an admin does not say what is fetched with a system admin''s rights');
select throws_ok(
  $$ select public.change_sync_source(tests.kept('feed'), jsonb_build_object('owner', tests.user_id('sid'))) $$,
  '42501', 'source of a system admin is theirs to change', 'nor make one the owner');
select is(public.change_sync_source(tests.kept('of_sid'), '{"is_active": false}') ->> 'is_active', 'false', 'but may stop it');
select is(
  public.change_sync_source(tests.kept('of_sid'), jsonb_build_object('owner', tests.user_id('ann'), 'location', 'https://a.example')) ->> 'location',
  'https://a.example', 'or take it over');

-- Nor are they where rows may name other organizations, whoever feeds them.
select tests.act_as('sid');
select throws_ok($$ select public.create_sync_source(pg_temp.source('people', '{"dataset": "users"}'), tests.org_id('acme')) $$,
  '22023', 'owner of the source must not be a system admin', 'a system admin owns no source of people');
select lives_ok(
  $$ select public.create_sync_source(
    pg_temp.source('people', jsonb_build_object('dataset', 'users', 'owner', tests.user_id('ann'))), tests.org_id('acme')) $$,
  'but registers one for an admin');
select tests.act_as('ann');

-- What it may say ---------------------------------------------------------------------------------------

create function pg_temp.refused(p_more jsonb, p_message text, p_description text)
returns text
language sql
as $$
  select throws_ok(format('select public.create_sync_source(pg_temp.source(''x'', %L))', p_more), '22023', p_message, p_description);
$$;
select pg_temp.refused('{"dataset": "nonsense"}', 'dataset is unknown', 'the dataset must be there');
select pg_temp.refused('{"kind": "ftp"}', 'property of the source is not understood', 'the kind as well');
select pg_temp.refused('{"colour": "red"}', 'property of the source is not understood', 'a property must be known');
select pg_temp.refused('{"state": {"etag": "x"}}', 'property of the source is not understood', 'and the caller''s to set');
select pg_temp.refused('{"org_id": "00000000-0000-0000-0000-000000000000"}', 'property of the source is not understood', 'the organization is not');
select pg_temp.refused('{"location": "ftp://shop.example/feed"}', 'location of the source is not allowed', 'an address is http or https');
select pg_temp.refused('{"location": "https://ann:secret@shop.example/feed"}', 'location of the source is not allowed', 'without a password in it');
select pg_temp.refused('{"location": null}', 'location of the source is not allowed', 'and has to be there');
select pg_temp.refused('{"kind": "manual"}', 'location of the source is not allowed', 'unless somebody uploads');
select pg_temp.refused(jsonb_build_object('kind', 'storage', 'location', tests.org_id('bolt') || '/feed.csv'),
  'location of the source is not allowed', 'a path begins with one''s own organization');
select pg_temp.refused(jsonb_build_object('kind', 'storage', 'location', tests.org_id('acme') || '/../' || tests.org_id('bolt') || '/feed.csv'),
  'location of the source is not allowed', 'and does not leave it');
select pg_temp.refused('{"kind": "foreign_table", "location": "public.customers"}', 'location of the source is not allowed',
  'a table has to be allowed');
select pg_temp.refused('{"options": {"path": "items"}}', 'option of the source is not understood', 'an option belongs to its kind');
select pg_temp.refused('{"options": {"auth": "basic"}}', 'option of the source is not understood', 'and has what it needs');
select pg_temp.refused('{"options": {"headers": {"Host": "internal"}}}', 'option of the source is not understood', 'headers are not those that we send');
select pg_temp.refused('{"options": {"auth": "header", "auth_header": "User-Agent"}}', 'option of the source is not understood',
  'nor is a secret in one that a redirect takes along');
select pg_temp.refused('{"options": {"headers": {"X-A": "b\r\nHost: c"}}}', 'option of the source is not understood', 'nor several in one');
select pg_temp.refused('{"import_options": {"blank": "maybe"}}', 'option is not understood', 'import options are those of imports');
select pg_temp.refused('{"mapping": {"nonsense": "a"}}', 'mapping names an unknown field', 'and so is the mapping');
select throws_ok($$ select pg_temp.create_source('feed') $$, '23505',
  'duplicate key value violates unique constraint "sync_sources_org_id_name_key"', 'a name is there once');
select throws_ok($$ select pg_temp.create_source('x', '{"max_delete_percent": 101}') $$, '23514',
  'new row for relation "sync_sources" violates check constraint "sync_sources_max_delete_percent_check"', 'a share is a percentage');

select lives_ok($$ select pg_temp.create_source('by_hand', '{"kind": "manual", "location": null, "notes": "Mrs. Miller sends it"}') $$,
  'what somebody uploads is registered, too');
select lives_ok($$ select pg_temp.create_source('paged', '{"kind": "http_json", "secret_name": "shop-key",
  "options": {"path": "data.items", "cursor": "meta.next", "cursor_parameter": "after", "headers": {"Accept": "application/json"}}}') $$,
  'a source with pages and a secret');
select is((select s.options ->> 'auth' from public.sync_sources as s where s.id = tests.kept('paged')), 'bearer', 'which is a token unless said otherwise');
select lives_ok(format($$ select pg_temp.create_source('stored', '{"kind": "storage", "location": "%s/feeds/"}') $$, tests.org_id('acme')),
  'a folder of one''s own');
select tests.act_as_role('postgres');
select private.allow_foreign_table(tests.org_id('acme'), 'public.organization');
select tests.act_as('ann');
select lives_ok($$ select pg_temp.create_source('tabled', '{"kind": "foreign_table", "location": "public.organization"}') $$,
  'a table that postgres allowed');
select tests.act_as('bob');
select pg_temp.refused('{"kind": "foreign_table", "location": "public.organization"}', 'location of the source is not allowed',
  'to this organization, and no other');
select tests.act_as_role('service_role');
select throws_ok($$ select private.allow_foreign_table(tests.org_id('acme'), 'auth.users') $$, '42501',
  'permission denied for function allow_foreign_table', 'nobody but postgres allows one');

-- Changes
select tests.act_as_role('postgres');
update public.sync_sources as s set state = '{"etag": "x"}' where s.id = tests.kept('feed');
select tests.act_as('ann');
select is(public.change_sync_source(tests.kept('feed'), '{"notes": "n", "requires_approval": true}') -> 'state', '{"etag": "x"}',
  'what the last run found stays when that is not touched');
select is(public.change_sync_source(tests.kept('feed'), '{"location": "https://other.example"}') -> 'state', '{}',
  'and goes with the place where it was found');
select tests.act_as_role('postgres');
update public.sync_sources as s set state = '{"etag": "x"}' where s.id = tests.kept('feed');
select tests.act_as('ann');
select is(public.change_sync_source(tests.kept('feed'), '{"secret_name": "shop-key"}') -> 'state', '{}', 'or with whom the source took us for');
select throws_ok($$ select public.change_sync_source(tests.kept('feed'), '{"dataset": "products"}') $$, 'PT409',
  'dataset of a source cannot be changed', 'a source stays with its dataset');
select tests.act_as_role('service_role');
select public.set_setting('sync.sources_per_organization', '1', tests.org_id('bolt'));
select tests.act_as('bob');
select lives_ok($$ select pg_temp.create_source('first') $$, 'as many as the quota says');
select throws_ok($$ select pg_temp.create_source('second') $$, 'PT429', 'organization has too many sync sources', 'and no more');

select tests.act_as_role('service_role');
select public.set_setting('sync.secrets_per_organization', '1', tests.org_id('acme'));
select tests.act_as('ann');
select lives_ok($$ select public.set_sync_secret('shop-key', 'open again') $$, 'a secret is replaced');
select throws_ok($$ select public.set_sync_secret('other-key', 'x') $$, 'PT429', 'organization has too many secrets', 'and there are only so many');

-- Schedules -----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok($$ select public.create_sync_schedule(tests.kept('feed'), 'every day') $$, '22023', 'schedule is not understood',
  'an expression that pg_cron does not read');
select throws_ok($$ select public.create_sync_schedule(tests.kept('feed'), '61 * * * *') $$, '22023', 'schedule is not understood',
  'or that names no time');
select throws_ok($$ select public.create_sync_schedule(tests.kept('feed'), '5 seconds') $$, '22023', 'schedule is not allowed',
  'each few seconds is too often');
select throws_ok($$ select public.create_sync_schedule(tests.kept('feed'), '*/15 * * * *') $$, '23505',
  'duplicate key value violates unique constraint "sync_schedule_source_id_cron_expression_key"', 'the same twice is a mistake');
select throws_ok($$ select public.create_sync_schedule(tests.kept('by_hand'), '* * * * *') $$, 'PT409', 'source is fed by hand',
  'what somebody uploads has no schedule');
select tests.act_as_role('postgres');
create function pg_temp.cron_job()
returns text
language sql
as $$
  select j.schedule || ' ' || j.command from cron.job as j where j.jobname = 'sync.run_' || tests.kept('schedule');
$$;
select is(pg_temp.cron_job(), format($$*/15 * * * * select private.run_schedule('%s')$$, tests.kept('schedule')),
  'a schedule is a job of pg_cron, which holds an id and nothing else');
select tests.act_as('ann');
select public.change_sync_schedule(tests.kept('schedule'), '0 4 * * *');
select tests.act_as_role('postgres');
select is(left(pg_temp.cron_job(), 9), '0 4 * * *', 'it follows');
select tests.act_as('ann');
select public.change_sync_schedule(tests.kept('schedule'), is_enabled => false);
select tests.act_as_role('postgres');
select is(pg_temp.cron_job(), null, 'stops');
select tests.act_as('ann');
select public.change_sync_schedule(tests.kept('schedule'), is_enabled => true);
select tests.act_as_role('postgres');
select isnt(pg_temp.cron_job(), null, 'and goes on');
select tests.act_as('ann');
select public.delete_sync_schedule(tests.kept('schedule'));
select tests.act_as_role('postgres');
select is(pg_temp.cron_job(), null, 'and goes with the schedule');
select tests.act_as_role('service_role');
select public.set_setting('sync.schedules_per_organization', '0', tests.org_id('bolt'));
select tests.act_as('bob');
select throws_ok($$ select public.create_sync_schedule(tests.kept('first'), '* * * * *') $$, 'PT429',
  'organization has too many schedules', 'there is a quota');

-- Secrets -------------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok($$ select public.set_sync_secret('../bolt/key', 'x') $$, '22023', 'name of the secret is out of form',
  'a name stays in the organization');
select throws_ok($$ select public.set_sync_secret('key', e'x\r\nHost: y') $$, '22023', 'value of the secret is out of form',
  'a value stays in its header');
select throws_ok($$ select public.delete_sync_secret('webhook/1') $$, 'PT404', 'secret not found', 'secrets of other parts are out of reach');
select lives_ok($$ select public.set_sync_secret('shop-key', 'open barley') $$, 'a secret is replaced');
select tests.act_as('bob');
select public.set_sync_secret('shop-key', 'of bolt');
select tests.act_as_role('postgres');
select is(private.read_sync_secret(tests.org_id('acme'), 'shop-key') || ', ' || private.read_sync_secret(tests.org_id('bolt'), 'shop-key'),
  'open barley, of bolt', 'each organization has its own');
select throws_ok($$ select private.read_sync_secret(tests.org_id('acme'), 'other') $$, 'SY004', 'secret of the source is missing',
  'one that is missing is said so');
select is_empty($$ select from public.sync_activity_log as l where l.details::text ~ 'open|of bolt' $$, 'the log has no value');
select tests.act_as('ann');
select lives_ok($$ select public.delete_sync_secret('shop-key') $$, 'a secret is deleted');
select is_empty($$ select from public.list_sync_secrets() $$, 'and gone');
select tests.act_as_role('postgres');
delete from public.organization as o where o.id = tests.org_id('bolt');
select is_empty(format($$ select from vault.secrets as s where s.name like 'sluice/org/%s/%%' $$, tests.org_id('bolt')),
  'with an organization its secrets go');

select * from finish();
rollback;
