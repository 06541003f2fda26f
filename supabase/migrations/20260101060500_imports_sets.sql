-- What an import waits for: the imports that it names, and those of its set that it refers to.
-- Needs: imports.
-- Exposes: nothing to clients.

-- The imports that must be completed before this one is validated: those it names, and those of its set
-- whose datasets its own refers to. What failed, was cancelled or undone in a set counts no more once
-- the same dataset was sent again. One that is gone has neither dataset nor status.
create function private.prerequisites(p_batch public.import_batches)
returns table (id uuid, dataset text, status public.import_status)
language sql stable
security invoker
set search_path = ''
as $$
  select d.id, b.dataset, b.status
  from unnest(p_batch.depends_on) as d (id)
  left join public.import_batches as b on b.id = d.id and b.org_id = p_batch.org_id
  union
  select b.id, b.dataset, b.status
  from public.import_batches as b
  where b.set_id = p_batch.set_id
    and b.dataset <> p_batch.dataset
    and b.dataset in (
      select f.reference ->> 'dataset' from public.dataset_fields as f where f.dataset = p_batch.dataset
    )
    and not (b.status::text in ('failed', 'cancelled', 'undone') and exists (
      select from public.import_batches as n
      where n.set_id = b.set_id and n.dataset = b.dataset and n.created_at > b.created_at
    ));
$$;

-- The imports of which each waits for the next and the last for the first, as text; null: there is no such circle.
create function private.prerequisite_cycle(p_import_id uuid)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_via   jsonb := '{}'; -- import to the one that waits for it
  v_new   jsonb;
  v_front uuid[] := array[p_import_id];
  v_id    uuid := p_import_id;
  v_path  uuid[] := array[p_import_id];
begin
  loop
    select jsonb_object_agg(p.id, b.id), array_agg(distinct p.id) into v_new, v_front
    from public.import_batches as b
    cross join lateral private.prerequisites(b) as p
    where b.id = any (v_front) and not v_via ? p.id::text;

    if v_front is null then
      return null;
    end if;
    v_via := v_via || v_new;
    exit when v_via ? p_import_id::text;
  end loop;

  loop
    v_id := v_via ->> v_id::text;
    v_path := v_id || v_path;
    exit when v_id = p_import_id;
  end loop;
  return (
    select string_agg(format('%s (%s)', b.dataset, b.id), ' waits for ' order by p.position)
    from unnest(v_path) with ordinality as p (id, position)
    join public.import_batches as b on b.id = p.id
  );
end;
$$;

-- Its caller holds the organization's lock where others may make circles at the same time.
create function private.require_no_cycle(p_import_id uuid)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_cycle text := private.prerequisite_cycle(p_import_id);
begin
  if v_cycle is not null then
    raise exception using
      errcode = '22023',
      message = 'imports would wait for each other',
      detail  = v_cycle,
      hint    = 'Take one of them out of depends_on, or out of the set.';
  end if;
end;
$$;

-- The imports that another one of the organization is to wait for, each once. PT404 where the caller may not see one.
create function private.normalize_prerequisites(p_org_id uuid, p_ids uuid[])
returns uuid[]
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_ids      uuid[] := array(select distinct i.id from unnest(p_ids) as i (id) order by i.id);
  v_stranger uuid;
begin
  if cardinality(v_ids) > c_most then
    raise exception using
      errcode = '22023',
      message = 'depends_on names too many imports',
      detail  = format('got %s', cardinality(v_ids)),
      hint    = format('At most %s; put them into a set.', c_most);
  end if;

  select i.id into v_stranger
  from unnest(v_ids) as i (id)
  where not exists (
    select from public.import_batches as b
    where b.id = i.id and b.org_id = p_org_id and b.org_id in (select private.org_ids('viewer'))
  )
  limit 1;
  if found then
    raise exception using
      errcode = 'PT404',
      message = 'import not found',
      detail  = format('depends_on names %s', coalesce(v_stranger::text, 'null'));
  end if;
  return v_ids;
end;
$$;

revoke all on all functions in schema private from public;
