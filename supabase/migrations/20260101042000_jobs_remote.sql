-- Remote tasks: what needs HTTP is done by the worker function. A task is posted to it with pg_net and waits, like one
-- that is to be tried again later; the function answers through RPCs that want the token of the call.
-- Needs: jobs, their worker, pg_net, Vault.
-- Exposes: get_worker_task, complete_worker_task, fail_worker_task, for the service key.

-- Sends the worker function a request, after the commit and at most once. Ids and tokens only: the queue of pg_net can
-- be read, and a long body hangs in it. p_timeout is how long pg_net waits for the answer, which nobody reads;
-- the work goes on beyond it.
create function private.post_to_worker(p_route text, p_body jsonb, p_timeout interval default '5 seconds')
returns bigint
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_url text := private.setting('worker.url') #>> '{}';
  v_key text := (select s.decrypted_secret from vault.decrypted_secrets as s where s.name = 'sluice/worker_key');
begin
  if v_url = '' or v_key is null then
    raise exception using
      errcode = '55000',
      message = 'worker function is not set up',
      detail  = case when v_url = '' then 'setting worker.url is empty' else 'Vault has no secret sluice/worker_key' end,
      hint    = 'As postgres: select set_setting(''worker.url'', ''"https://<project>.supabase.co/functions/v1/worker"''); '
        'select vault.create_secret(''<secret key>'', ''sluice/worker_key'');';
  end if;

  return net.http_post(
    url                  => rtrim(v_url, '/') || '/' || p_route,
    body                 => p_body,
    headers              => jsonb_build_object('Content-Type', 'application/json', 'apikey', v_key),
    timeout_milliseconds => (extract(epoch from p_timeout) * 1000)::integer
  );
end;
$$;

-- Hands a task over to the worker function: a run function ends with it, and so may a complete function, whose task
-- then goes on. An answer after p_timeout may come too late: the attempt counts as failed, and the next worker takes
-- the task. What follows an answer has all its attempts.
create function private.post_task(
  p_task public.sync_job_queue, p_route text, p_timeout interval default '3 minutes'
)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_token uuid := gen_random_uuid();
begin
  update public.sync_job_queue as q
  set token = v_token, claimed_at = clock_timestamp(), next_attempt_at = clock_timestamp() + p_timeout,
      attempts = case when p_task.token is null then q.attempts else 1 end
  where q.id = p_task.id;

  perform private.post_to_worker(p_route, jsonb_build_object('task_id', p_task.id, 'token', v_token));
  return row(0, 0);
end;
$$;

-- Raises unless it is this task that a call with this token is on its way for.
create function private.require_call(p_task public.sync_job_queue, p_task_id bigint, p_token uuid)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if p_task.token = p_token and exists (
    select from public.scheduled_jobs as j where j.id = p_task.job_id and j.error is null -- else it fails, or has
  ) then
    return;
  end if;

  raise exception using
    errcode = 'PT409',
    message = 'call of the worker function is over',
    detail  = format('task %s', p_task_id),
    hint    = 'Stop: it was answered, took too long, or its job was stopped. What is left of the task is posted anew.';
end;
$$;

-- The task of a call, held to the end of the transaction: nobody takes it back meanwhile. For definer functions, also
-- those of the direct connection. The token is the proof.
create function private.hold_call(p_task_id bigint, p_token uuid)
returns public.sync_job_queue
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_task public.sync_job_queue;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id for update;
  perform private.require_call(v_task, p_task_id, p_token);
  return v_task;
end;
$$;

-- The step of a call is done, in this transaction, and the next is posted; where the job is paused or queues again, once
-- it goes on; where it was cancelled there is none.
create function private.repost_task(
  p_task_id bigint, p_token uuid, p_route text, p_timeout interval default '3 minutes'
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_task public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job  public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id for no key update;
  if v_job.cancel_requested_at is not null then
    perform private.finish_task(v_task, null);
  elsif v_job.status = 'running' then
    perform private.post_task(v_task, p_route, p_timeout);
    perform private.await_call(v_task);
  else
    update public.sync_job_queue as q set next_attempt_at = clock_timestamp() where q.id = v_task.id;
    perform private.return_task(v_task);
  end if;
end;
$$;

-- What the worker function is told of a task. Not locked: who cancels the job passes over what is.
-- Definer: the service key reads no claims. The token is the proof, here and below.
create function private.describe_call(p_task_id bigint, p_token uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_task     public.sync_job_queue;
  v_job      public.scheduled_jobs;
  v_describe text;
  v_work     jsonb;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id;
  perform private.require_call(v_task, p_task_id, p_token);
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.describe_function into v_describe from private.job_types as t where t.job_type = v_job.job_type;

  if v_describe is not null then
    perform private.assume_claims(v_job.claims);
    execute format('select %s($1)', v_describe) into v_work using v_task;
  end if;
  return jsonb_build_object(
    'job_id', v_job.id, 'job_type', v_job.job_type, 'org_id', v_job.org_id, 'task_type', v_task.task_type,
    'attempt', v_task.attempts, 'args', v_task.args, 'work', v_work
  );
end;
$$;

-- Takes what the worker function found, under the job's claims and with the guard of every task. A definer cannot take
-- the actor's role: a complete function writes down what came, rows are applied by tasks that follow.
create function private.complete_call(p_task_id bigint, p_token uuid, p_result jsonb)
returns boolean
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_task     public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_job      public.scheduled_jobs;
  v_complete text;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.complete_function into v_complete from private.job_types as t where t.job_type = v_job.job_type;
  return private.do_task(v_task, v_job, v_complete || '($1, $2)', p_result) is null;
end;
$$;

create function private.fail_call(p_task_id bigint, p_token uuid, p_error jsonb, p_retry_after_seconds integer)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_task public.sync_job_queue := private.hold_call(p_task_id, p_token);
begin
  perform private.fail_task(
    v_task, p_error, p_not_before => clock_timestamp() + make_interval(secs => p_retry_after_seconds)
  );
end;
$$;

-- An address as somebody may name one for the worker function to call: with no user or password, which others would
-- read. Whether it may be reached is found out when it is resolved, each time.
create function private.is_outbound_url(p_url text)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select p_url ~* '^https?://[^@/?#\\\s]+([/?#]\S*)?$' and length(p_url) <= 2000;
$$;

-- RPCs --------------------------------------------------------------------------------------------

create function public.get_worker_task(task_id bigint, token uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.describe_call(get_worker_task.task_id, get_worker_task.token);
$$;
comment on function public.get_worker_task(bigint, uuid) is
  'What the worker function has to do: { job_id, job_type, org_id, task_type, attempt, args, work }, work as the job type '
  'describes it. Service key only. Errors: PT409 (the call is over).';

create function public.complete_worker_task(task_id bigint, token uuid, result jsonb)
returns boolean
language sql volatile
security invoker
set search_path = ''
as $$
  select private.complete_call(complete_worker_task.task_id, complete_worker_task.token, complete_worker_task.result);
$$;
comment on function public.complete_worker_task(bigint, uuid, jsonb) is
  'Reports what the worker function found; the task is done. False: that could not be taken, which counts as a failed attempt '
  '(sync_error_log says why). Service key only. Errors: PT409 (the call is over: nothing has changed).';

create function public.fail_worker_task(task_id bigint, token uuid, error jsonb, retry_after_seconds integer default null)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_most_seconds constant integer := 86400;
begin
  if coalesce(fail_worker_task.error ->> 'code', '') !~ '^[0-9A-Z]{5}$'
    or coalesce(fail_worker_task.error ->> 'message', '') = '' then
    raise exception using
      errcode = '22023',
      message = 'error must have a code and a message',
      detail  = format('got %s', fail_worker_task.error),
      hint    = 'The code is an SQLSTATE; its class decides whether the task is tried again.';
  end if;

  if fail_worker_task.retry_after_seconds < 0 then
    raise exception using
      errcode = '22023',
      message = 'retry_after_seconds must not be negative',
      detail  = format('got %s', fail_worker_task.retry_after_seconds);
  end if;

  perform private.fail_call(
    fail_worker_task.task_id, fail_worker_task.token, fail_worker_task.error,
    least(coalesce(fail_worker_task.retry_after_seconds, 0), c_most_seconds)
  );
end;
$$;
comment on function public.fail_worker_task(bigint, uuid, jsonb, integer) is
  'Reports that an attempt failed: { code, message, details, hint }. The retry policy decides whether there is another, not before '
  'retry_after_seconds (a day at most). Service key only. Errors: 22023, PT409 (the call is over: nothing has changed).';

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('worker.url', 'string', null, null, '""', 'postgres', 'Address of the worker function, to which the database posts what needs HTTP.'),
  ('outbound.allow_private', 'boolean', null, null, 'false', 'postgres', 'The worker function may call loopback and private addresses that somebody else has named.');

revoke all on function
  public.get_worker_task(bigint, uuid), public.complete_worker_task(bigint, uuid, jsonb),
  public.fail_worker_task(bigint, uuid, jsonb, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.get_worker_task(bigint, uuid), public.complete_worker_task(bigint, uuid, jsonb),
  public.fail_worker_task(bigint, uuid, jsonb, integer)
  to service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.describe_call(bigint, uuid), private.complete_call(bigint, uuid, jsonb), private.fail_call(bigint, uuid, jsonb, integer)
  to service_role;
