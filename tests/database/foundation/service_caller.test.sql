-- Who is taken for the service: the role in the claims; without claims only a session of postgres itself.
begin;
select plan(16);
select tests.set_up_actors();

create function tests.is_service(p_role text, p_claims jsonb)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_answer boolean;
begin
  perform tests.assume(p_role, p_claims);
  v_answer := private.is_service_caller();
  perform tests.assume('none', null);
  return v_answer;
end;
$$;

select is(tests.is_service('none', null), true, 'a session of postgres, no claims');
select is(tests.is_service('postgres', null), true, 'the same, its role set');
select is(tests.is_service('service_role', '{"role": "service_role"}'), true, 'the service key');
select is(tests.is_service('none', '{"role": "service_role"}'), true, 'a task of a service job');

select is(tests.is_service('authenticated', jsonb_build_object('sub', tests.user_id('max'), 'role', 'authenticated')),
  false, 'a person');
select is(tests.is_service('authenticated', jsonb_build_object('sub', tests.user_id('sid'), 'role', 'authenticated')),
  false, 'a system admin');
select is(tests.is_service('none', jsonb_build_object('sub', tests.user_id('max'), 'role', 'authenticated')), false,
  'a task of a person''s job, in a session of postgres');
select is(tests.is_service('none', jsonb_build_object('sub', tests.user_id('max'))), false, 'claims without a role');
select is(tests.is_service('none', '{}'), false, 'empty claims');
select is(tests.is_service('authenticated', '{"role": "authenticated", "app_metadata": {"role": "service_role"}}'),
  false, 'a role that stands elsewhere in the claims');
select is(tests.is_service('none', '{"role": ["service_role"]}'), false, 'a role that is no text');
select is(tests.is_service('sluice_ingest', null), false, 'the upload''s connection');
select is(tests.is_service('authenticated', null), false, 'authenticated without claims');
select is(tests.is_service('service_role', null), false, 'service_role without claims');

select tests.act_as_role('anon');
select throws_ok('select private.is_service_caller()', '42501', 'permission denied for schema private',
  'anon cannot even ask');
select tests.act_as_role('postgres');
select set_config('request.jwt.claims', 'not json', true);
select throws_ok('select private.is_service_caller()', '22P02', 'invalid input syntax for type json',
  'claims that are no JSON are an error, not the service');

select * from finish();
rollback;
