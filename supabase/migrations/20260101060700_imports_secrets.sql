-- Secrets: what of an import's rows nobody gets to see.
-- Needs: datasets, imports.
-- Exposes: nothing to clients.
--
-- Where a dataset has secret fields a column of a file may hold a secret unless the mapping says that it does not. So of
-- such imports only the columns are shown that are mapped to other fields; the cells of all others leave no trace
-- outside the staged rows, and go from there when they have been applied, or will not be (imports_redaction).

create function private.has_secrets(p_dataset text)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.is_secret);
$$;

create function private.shown_columns(p_batch public.import_batches)
returns text[]
language sql stable
security invoker
set search_path = ''
as $$
  select case when private.has_secrets(p_batch.dataset) then array(
    select c.name
    from unnest(p_batch.columns) with ordinality as c (name, position)
    where (
      select bool_and(not f.is_secret)
      from jsonb_each(p_batch.mapping) as m
      join public.dataset_fields as f on f.dataset = p_batch.dataset and f.name = m.key
      where m.value -> 'columns' ? c.name
    )
    order by c.position
  ) else p_batch.columns end;
$$;

-- A list of rows, each a list of cells, without the cells that are not shown.
create function private.shown_sample(p_batch public.import_batches, p_sample jsonb)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select case when private.has_secrets(p_batch.dataset) then (
    select jsonb_agg((
      select jsonb_agg(case when c.name = any (s.columns) then r.cells -> (c.position::integer - 1) end order by c.position)
      from unnest(p_batch.columns) with ordinality as c (name, position)
    ) order by r.position)
    from private.shown_columns(p_batch) as s (columns)
    cross join jsonb_array_elements(p_sample) with ordinality as r (cells, position)
  ) else p_sample end;
$$;

-- What PostgreSQL says of a row may quote it; what the dataset's own function says is constant.
create function private.shown_message(p_dataset text, p_sqlstate text, p_message text)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select case when p_sqlstate <> 'IR001' and private.has_secrets(p_dataset) then 'the row was refused' else p_message end;
$$;

-- Checks that a mapping, in its normal form, takes the column of a secret for nothing else.
create function private.require_separate_secrets(p_dataset text, p_mapping jsonb)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_detail text;
begin
  select format('column %s of field %s also serves %s', to_json(s.name), s.field, m.key) into v_detail
  from (
    select f.name as field, p_mapping #>> array[f.name, 'columns', '0'] as name
    from public.dataset_fields as f
    where f.dataset = p_dataset and f.is_secret
  ) as s
  join jsonb_each(p_mapping) as m on m.key <> s.field
  where m.value -> 'columns' ? s.name
    or jsonb_path_query_array(m.value, '$.transforms[*].classify[*].column') ? s.name
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'column of a secret field is used twice',
      detail  = v_detail,
      hint    = 'What may hold secrets fills one field, and stands in no rule of another.';
  end if;
end;
$$;

-- The caller knows what is in the file: they sent it. Whoever else may act upon an import does not get to see its
-- secrets, however its columns are mapped.
create function private.is_sender(p_batch public.import_batches)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select private.is_service_caller() or p_batch.initiated_by = auth.uid();
$$;

-- To show a column, or to look at it in a rule, is to map it: so that is the sender's, where there are secrets.
create function private.require_sender(p_batch public.import_batches)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if private.has_secrets(p_batch.dataset) and private.is_sender(p_batch) is not true then
    raise exception using
      errcode = '42501',
      message = 'import with secrets is mapped by its sender',
      detail  = format('import %s', p_batch.id),
      hint    = 'Send the file yourself.';
  end if;
end;
$$;

-- Where there are secrets: the values that issues quote, as nobody knows (any more) of what.
create function private.drop_issue_values(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if private.has_secrets(p_batch.dataset) then
    update private.import_issues as i set value = null
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.value is not null;
  end if;
end;
$$;

-- Once the secrets are gone the rows are not what was sent.
create function private.require_unredacted(p_batch public.import_batches)
returns void
language plpgsql immutable
security invoker
set search_path = ''
as $$
begin
  if p_batch.redacted_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'secrets of the import were removed',
      detail  = format('import %s: at %s', p_batch.id, p_batch.redacted_at),
      hint    = 'Send the file again.';
  end if;
end;
$$;

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('imports.secret_hours', 'number', 1, 720, '24', 'system_admin',
    'Hours that an import with secret fields may wait, staged, validated, queued, paused or failed, before its secrets are removed.');

revoke all on all functions in schema private from public;
grant execute on function private.has_secrets(text) to authenticated, service_role;
