-- Corrections: failed rows of an import, brought in again with some cells replaced.
-- Needs: imports_rpc.
-- Exposes: correct_import.

-- Refuses what is no list of { row, cells }, or is larger than a file may be.
create function private.check_corrections(p_corrections jsonb, p_parent public.import_batches)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_most       constant integer := 1000;
  c_most_bytes constant bigint := private.setting('imports.max_request_bytes', p_parent.org_id)::bigint;
  c_cell_bytes constant bigint := private.setting('imports.max_cell_bytes', p_parent.org_id)::bigint;
  v_wrong text;
begin
  if octet_length(p_corrections::text) > c_most_bytes then
    raise exception using
      errcode = 'PT413',
      message = 'corrections are too large',
      detail  = format('%s bytes, the limit is %s', octet_length(p_corrections::text), c_most_bytes),
      hint    = 'Send them in several calls.';
  elsif jsonb_typeof(p_corrections) is distinct from 'array' or p_corrections = '[]' then
    v_wrong := left(coalesce(p_corrections::text, 'null'), 200);
  elsif jsonb_array_length(p_corrections) > c_most then
    raise exception using
      errcode = 'PT413',
      message = 'too many rows are corrected at once',
      detail  = format('got %s', jsonb_array_length(p_corrections)),
      hint    = format('At most %s in a call; or send them as a file that corrects the import.', c_most);
  else
    select left(c.value::text, 200) into v_wrong
    from jsonb_array_elements(p_corrections) as c
    where case
      when jsonb_typeof(c.value) <> 'object' then true
      when jsonb_typeof(c.value -> 'row') is distinct from 'number' or jsonb_typeof(c.value -> 'cells') is distinct from 'object' then true
      else c.value - '{row,cells}'::text[] <> '{}'
        or not pg_input_is_valid(c.value ->> 'row', 'integer')
        or c.value -> 'cells' = '{}'
        or jsonb_path_exists(c.value -> 'cells', 'strict $.* ? (@.type() == "object" || @.type() == "array")')
    end
    limit 1;
  end if;
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'corrections are not understood',
      detail  = case when private.has_secrets(p_parent.dataset) then '' else v_wrong end,
      hint    = 'Give a list of { "row": <its number>, "cells": { "<column>": "<what it should be>" } }.';
  end if;

  select format('row %s, column %s: %s bytes, the limit is %s',
    c.value ->> 'row', to_json(left(k.name, 100)), octet_length(k.cell), c_cell_bytes) into v_wrong
  from jsonb_array_elements(p_corrections) as c
  cross join lateral jsonb_each_text(c.value -> 'cells') as k (name, cell)
  where octet_length(k.cell) > c_cell_bytes
  limit 1;
  if found then
    raise exception using errcode = 'PT413', message = 'cell is too large', detail = v_wrong, hint = 'Shorten it.';
  end if;
end;
$$;

-- Definer: batches and rows are written by Sluice alone. find_correctable authorises.
create function private.correct_import(p_import_id uuid, p_corrections jsonb, p_idempotency_key text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_parent  public.import_batches := private.find_correctable(p_import_id);
  v_columns text[] := array_remove(private.file_columns(v_parent, v_parent.columns), null);
  v_copied  text[] := case when private.is_sender(v_parent) then v_parent.columns else private.shown_columns(v_parent) end;
  v_created jsonb;
  v_child   public.import_batches;
  v_row     integer;
  v_column  text;
begin
  perform private.check_corrections(p_corrections, v_parent);

  select (c.value ->> 'row')::integer into v_row
  from jsonb_array_elements(p_corrections) as c
  group by 1
  having count(*) > 1
  limit 1;
  if found then
    raise exception using errcode = '22023', message = 'row is corrected twice', detail = format('row %s', v_row);
  end if;

  select (c.value ->> 'row')::integer into v_row
  from jsonb_array_elements(p_corrections) as c
  where not exists (
    select from private.import_issues as i
    where i.staged_on = v_parent.staged_on and i.batch_id = v_parent.id
      and i.row_number = (c.value ->> 'row')::integer and i.severity = 'error'
  )
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'row did not fail',
      detail  = format('row %s of the %s rows of import %s', v_row, v_parent.row_count, v_parent.id),
      hint    = 'Name rows that list_import_rows gives as failed, by their row_number.';
  end if;

  select (c.value ->> 'row')::integer, k.name into v_row, v_column
  from jsonb_array_elements(p_corrections) as c
  cross join lateral jsonb_object_keys(c.value -> 'cells') as k (name)
  where k.name <> all (v_columns)
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'correction names an unknown column',
      detail  = format('row %s: the file has no column %s', v_row, to_json(v_column)),
      hint    = format('Its columns are: %s.', left(array_to_string(v_columns, ', '), 1000));
  end if;

  v_created := private.create_import(
    null, null, null, v_parent.file_name, 'api', null, '{}', p_idempotency_key, null, null, null, v_parent.id);
  if v_created ? 'replayed' then
    return v_created;
  end if;
  select b.* into v_child from public.import_batches as b where b.id = (v_created ->> 'id')::uuid;

  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select
    v_child.staged_on, v_child.id, row_number() over (order by r.row_number), r.line_number,
    array(
      select case
        when c.value -> 'cells' ? f.name then c.value -> 'cells' ->> f.name
        when f.name = any (v_copied) then r.cells[f.position] -- else it may be a secret, and not the caller's
      end
      from unnest(v_parent.columns) with ordinality as f (name, position)
      where f.name = any (v_columns)
      order by f.position
    ) || r.row_number::text
  from jsonb_array_elements(p_corrections) as c
  join private.import_rows as r
    on r.staged_on = v_parent.staged_on and r.batch_id = v_parent.id and r.row_number = (c.value ->> 'row')::integer;

  perform private.end_staging(
    v_child, v_columns || (private.added_columns(v_parent))[1], jsonb_array_length(p_corrections), octet_length(p_corrections::text),
    encode(sha256(convert_to(v_parent.id || p_corrections::text, 'utf8')), 'hex'),
    (
      select jsonb_agg(to_jsonb(r.cells) order by r.row_number)
      from private.import_rows as r
      where r.staged_on = v_child.staged_on and r.batch_id = v_child.id and r.row_number <= 20
    ),
    null
  );
  return private.describe_import(v_child.id);
end;
$$;

create function public.correct_import(import_id uuid, corrections jsonb, idempotency_key text default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.correct_import(correct_import.import_id, correct_import.corrections, correct_import.idempotency_key);
$$;
comment on function public.correct_import(uuid, jsonb, text) is
  'Makes a staged import of failed rows of another one, with the cells given replaced and the others as they were sent; dataset, mode, mapping '
  'and options are those of that one. corrections: [{ "row": 17, "cells": { "email": "x@example.com" } }], at most 1000. Returns its '
  'document, with "replayed": true where the idempotency key was used before. Errors: 22023, 42501, PT404, PT409 (not judged yet; rows expired), PT413.';

revoke all on function public.correct_import(uuid, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.correct_import(uuid, jsonb, text) to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function private.correct_import(uuid, jsonb, text) to authenticated, service_role;
