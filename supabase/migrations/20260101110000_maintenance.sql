-- Maintenance: retention, partitions to come, and every cron job.
-- Needs: all capabilities before it.
-- Exposes: nothing to clients.

-- Drops and deletes what is past its time; returns what went. Bounded, so that it ends soon: what is
-- left goes with the next run.
create function private.purge_expired()
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 10000; -- rows of each kind in one run
  v_rows_before date := current_date - private.setting('imports.retention_days')::integer;
  v_jobs_before timestamptz := now() - make_interval(days => private.setting('jobs.history_days')::integer);
  v_dropped text[];
  v_jobs    integer;
  v_plans   integer;
  v_details integer;
begin
  v_dropped := private.drop_partitions('private.import_rows', v_rows_before)
    || private.drop_partitions('private.import_group_rows', v_rows_before)
    || private.drop_partitions('private.import_issues', v_rows_before)
    || private.drop_partitions('private.import_outcomes', v_rows_before)
    || private.drop_partitions('private.import_reversals', v_rows_before)
    || private.drop_partitions('public.sync_activity_log',
      (now() - make_interval(months => private.setting('activity.retention_months')::integer))::date);

  delete from private.import_plans as p
  where p.batch_id in (
    select b.id from public.import_batches as b
    where b.staged_on < v_rows_before - 7 and b.finished_at is not null
      and exists (select from private.import_plans as e where e.batch_id = b.id)
    limit c_most
  );
  get diagnostics v_plans = row_count;

  v_jobs := private.remove_jobs(array(
    select j.id from public.scheduled_jobs as j where j.finished_at < v_jobs_before limit c_most
  ));

  delete from cron.job_run_details as d
  where d.runid in (
    select o.runid from cron.job_run_details as o
    where o.end_time < now() - make_interval(days => private.setting('cron.history_days')::integer)
    limit c_most * 10
  );
  get diagnostics v_details = row_count;

  return jsonb_build_object('partitions', v_dropped, 'jobs', v_jobs, 'plans', v_plans, 'cron_details', v_details);
end;
$$;

create function private.create_all_partitions()
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select
    private.create_partitions('public.sync_activity_log', 'month', 3),
    private.create_partitions('private.import_rows', 'week', 3),
    private.create_partitions('private.import_group_rows', 'week', 3),
    private.create_partitions('private.import_issues', 'week', 3),
    private.create_partitions('private.import_outcomes', 'week', 3),
    private.create_partitions('private.import_reversals', 'week', 3);
$$;

revoke all on all functions in schema private from public;

select private.set_worker_count(2);
select cron.schedule('jobs.cancel_overdue', '10 seconds', 'select private.cancel_overdue_tasks()');
select cron.schedule('jobs.tend', '5 seconds', $cron$
do $body$
begin
  while private.stop_next_unfit_job() loop
    commit;
  end loop;
  perform private.release_due_jobs();
end
$body$ $cron$);
select cron.schedule('imports.fail_interrupted', '30 seconds', 'select private.fail_interrupted_uploads()');
select cron.schedule('imports.remove_secrets', '* * * * *', $cron$
do $body$
begin
  while private.remove_waiting_secrets() loop
    commit;
  end loop;
end
$body$ $cron$);
select cron.schedule('imports.drop_ingests', '10 seconds', $cron$
do $body$
begin
  while private.drop_next_ingest() loop
    commit;
  end loop;
end
$body$ $cron$);
select cron.schedule('imports.delete_files', '*/5 * * * *', 'select private.delete_expired_files()');
select cron.schedule('imports.expire_sessions', '17 * * * *', 'select private.expire_sessions()');
select cron.schedule('imports.purge_previews', '*/5 * * * *', 'select public.auto_cleanup_preview_cache()');
select cron.schedule('users.invite', '10 seconds', 'select private.post_invitations()');
select cron.schedule('webhooks.send', '5 seconds', 'select private.send_webhooks()');
select cron.schedule('webhooks.purge', '47 * * * *', 'select private.purge_webhooks()');
select cron.schedule('maintenance.create_partitions', '7 * * * *', 'select private.create_all_partitions()');
select cron.schedule('maintenance.purge_expired', '37 * * * *', 'select private.purge_expired()');
select cron.schedule('sync.purge_runs', '47 * * * *', 'select private.purge_sync_runs()');
