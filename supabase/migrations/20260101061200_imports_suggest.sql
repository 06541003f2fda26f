-- Suggestions: which column of a file probably fills which field, and what its values need to fit.
-- Needs: datasets, imports_secrets, imports_plan.
-- Exposes: nothing to clients.

-- Names as people type them are the same when letters and digits are.
create function private.plain_name(p_name text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select regexp_replace(lower(p_name), '[^[:alnum:]]+', '', 'g');
$$;

-- Names ---------------------------------------------------------------------------------------------

-- Every column whose name is, or is like, one of a field's names. Likeness is pg_trgm's similarity, counted over an
-- inverted list: a thousand columns beside a hundred fields with their aliases are a million pairs. Trigrams that more
-- than fifty columns have in common tell nothing apart, and are left out of it.
create function private.match_names(p_dataset text, p_columns text[])
returns table (field text, field_position integer, "column" text, column_position bigint, confidence numeric, reason text)
language sql stable
security invoker
set search_path = ''
set enable_nestloop = off -- nothing here is ever analyzed
as $$
  with names as materialized (
    select row_number() over () as id, f.name as field, f.position, n.name, n.weight, n.reason, private.plain_name(n.name) as plain
    from public.dataset_fields as f
    cross join lateral (
      select f.name, 1.0, 'name'
      union all select f.label, 0.95, 'label'
      union all select a, 0.9, 'alias' from unnest(f.aliases) as a
    ) as n (name, weight, reason)
    where f.dataset = p_dataset
  ),
  columns as materialized (
    select c.name, c.position, private.plain_name(c.name) as plain
    from unnest(p_columns) with ordinality as c (name, position)
    where length(c.name) <= 100 -- longer ones are no names
  ),
  column_trigrams as materialized (
    select c.position, u.trigram, count(*) over (partition by u.trigram) > 50 as is_common
    from columns as c
    cross join unnest(extensions.show_trgm(c.name)) as u (trigram)
  ),
  column_parts as (
    select c.position, c.trigram, count(*) over (partition by c.position) as size from column_trigrams as c where not c.is_common
  ),
  name_parts as (
    select n.id, u.trigram, count(*) over (partition by n.id) as size
    from names as n
    cross join unnest(extensions.show_trgm(n.name)) as u (trigram)
    where not exists (select from column_trigrams as c where c.trigram = u.trigram and c.is_common)
  ),
  likenesses as (
    select n.id, c.position, count(*)::numeric / (max(n.size) + max(c.size) - count(*)) as likeness
    from name_parts as n
    join column_parts as c using (trigram)
    group by n.id, c.position
    having count(*) * 3 >= max(n.size) + max(c.size) - count(*)
  )
  select n.field, n.position, c.name, c.position, n.weight, n.reason
  from names as n
  join columns as c on c.plain = n.plain and c.plain <> ''
  union all
  select n.field, n.position, c.name, c.position, n.weight * least(l.likeness, 0.9), 'likeness'
  from likenesses as l
  join names as n on n.id = l.id
  join columns as c on c.position = l.position and c.plain <> n.plain;
$$;

-- Contents ------------------------------------------------------------------------------------------

-- Words for true and false that belong together.
create function private.boolean_words()
returns table (word_true text, word_false text)
language sql immutable
security invoker
set search_path = ''
as $$
  values ('true', 'false'), ('t', 'f'), ('yes', 'no'), ('y', 'n'), ('on', 'off'), ('1', '0'), ('x', null),
    ('active', 'inactive'), ('enabled', 'disabled'), ('ja', 'nein'), ('j', 'n'), ('wahr', 'falsch'), ('aktiv', 'inaktiv'),
    ('oui', 'non'), ('o', 'n'), ('vrai', 'faux'), ('sí', 'no'), ('si', 'no'), ('s', 'n'), ('verdadero', 'falso'),
    ('sì', 'no'), ('vero', 'falso'), ('sim', 'não'), ('tak', 'nie');
$$;

-- What the cells of each column of a sample look like: { column position: { kind: share of the cells that are not
-- blank } }. A sample is a list of rows, each a list of cells.
create function private.sniff_sample(p_sample jsonb)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  with cells as materialized (
    select c.position, btrim(left(c.cell, 101), e' \t\r\n\u00a0') as cell
    from jsonb_array_elements(p_sample) as r (cells)
    cross join lateral jsonb_array_elements_text(r.cells) with ordinality as c (cell, position)
    where c.cell <> ''
  ),
  kinds as (
    select c.position, case
      when length(c.cell) > 100 then 'text'
      when c.cell in ('0', '1') then 'bit'
      when position('@' in c.cell) > 1 and c.cell ~ '^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$' then 'email'
      when length(c.cell) = 36 and pg_input_is_valid(c.cell, 'uuid') then 'uuid'
      when c.cell ~ '^[-+(]?[0-9]' then case
        when c.cell ~ '^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$' then 'compact_date'
        when c.cell ~ '^[-+]?[0-9]+$' then 'integer'
        when c.cell ~ '^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2}))$' then 'date'
        when c.cell ~ '^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}[T, ]+[0-9]{1,2}:[0-9]{2}' then 'timestamp'
        when c.cell ~ '^[0-9]{1,2}:[0-9]{2}(:[0-9.]+)?$' then 'time'
        when c.cell ~ e'^[-+]?[1-9][0-9]{0,2}([., ''\u00a0\u202f][0-9]{3})+$' then 'grouped'
        when c.cell ~ e'^[-+]?([0-9]+|[1-9][0-9]{0,2}([., ''\u00a0\u202f][0-9]{3})+)([.,][0-9]+)?([eE][-+]?[0-9]+)?$' then 'number'
        when c.cell ~ '^[+(0][0-9 ()./-]{5,29}$' then 'phone'
        else 'text'
      end
      when c.cell ~ '^[hH][tT][tT][pP][sS]?://[^[:space:]]+$' then 'url'
      when lower(c.cell) in (
        select w from private.boolean_words() as b, unnest(array[b.word_true, b.word_false]) as w where w is not null
      ) then 'boolean'
      else 'text'
    end as kind
    from cells as c
    where c.cell <> ''
  )
  select coalesce(jsonb_object_agg(s.position, s.shares), '{}')
  from (
    select k.position, jsonb_object_agg(k.kind, round(k.count / k.total, 2)) as shares
    from (
      select k.position, k.kind, count(*), sum(count(*)) over (partition by k.position) as total
      from kinds as k
      group by k.position, k.kind
    ) as k
    group by k.position
  ) as s;
$$;

-- The share of a column's cells that a field of this kind may hold; null where nothing is known.
create function private.fitting_share(p_shares jsonb, p_field_kind text)
returns numeric
language sql immutable
security invoker
set search_path = ''
as $$
  select case when p_field_kind not in ('other') then (
    select coalesce(sum(s.value::numeric) filter (where s.key = any (case p_field_kind
      when 'phone' then '{phone,integer,grouped,number,compact_date}'
      when 'integer' then '{integer,bit,compact_date,grouped}'
      when 'number' then '{integer,bit,compact_date,grouped,number}'
      when 'date' then '{date,timestamp,compact_date}'
      when 'timestamp' then '{date,timestamp,compact_date}'
      when 'boolean' then '{boolean,bit}'
      when 'text' then '{text,uuid,boolean,bit,phone,time,integer,compact_date,grouped,number}'
      else array[p_field_kind]
    end::text[])), 0)
    from jsonb_each(p_shares) as s
    having count(*) > 0
  ) end;
$$;

-- Transforms ----------------------------------------------------------------------------------------

-- How dates and times that are not ISO are written: formats of parse_date. Where day and month could each be the other
-- the format is left open, unless points separate them: then the day comes first. Nothing is guessed.
create function private.date_formats(p_values text[], p_with_time boolean)
returns text[]
language sql immutable
security invoker
set search_path = ''
as $$
  with parts as (
    select m[1] as a, m[2] as s1, m[3] as b, m[4] as s2, m[5] as c, m[6] as gap, m[7] as seconds
    from unnest(p_values) as v
    cross join lateral regexp_match(v,
      '^([0-9]{1,4})([-/.])([0-9]{1,2})([-/.])([0-9]{1,4})(?:(T|,? )[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?$') as m
    where m is not null
  ),
  orders as (
    select p.s1, p.s2, length(p.a) = 4 as year_first, max(p.b::integer) > 12 as second_is_day,
      max(case when length(p.a) = 4 then p.c else p.a end::integer) > 12 as other_is_day
    from parts as p
    group by p.s1, p.s2, length(p.a) = 4
  ),
  formats as (
    select distinct
      case
        when o.year_first and not o.second_is_day then format('YYYY%sMM%sDD', p.s1, p.s2)
        when o.year_first or length(p.c) not in (2, 4) or (o.second_is_day and o.other_is_day) then null
        when o.second_is_day then format('MM%sDD%s%s', p.s1, p.s2, left('YYYY', length(p.c)))
        when o.other_is_day or p.s1 = '.' then format('DD%sMM%s%s', p.s1, p.s2, left('YYYY', length(p.c)))
      end as date_format,
      coalesce(p.gap || 'HH24:MI' || case when p.seconds <> '' then ':SS' else '' end, '') as time_format
    from parts as p
    join orders as o on o.s1 = p.s1 and o.s2 = p.s2 and o.year_first = (length(p.a) = 4)
    union
    select 'YYYYMMDD', ''
    from unnest(p_values) as v
    having bool_and(v ~ '^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$')
  )
  select array_agg(f.date_format || f.time_format order by f.date_format, f.time_format)
  from formats as f
  where f.date_format <> 'YYYY-MM-DD'
    and (p_with_time or f.time_format = '');
$$;

-- The decimal and the group mark, as parse_number takes them; null where plain numbers or none are seen, and where
-- 1,234 could be either.
create function private.number_marks(p_values text[])
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when s.has_decimal_comma and s.has_decimal_point then null
    when s.has_decimal_comma then jsonb_build_object('decimal', ',', 'group', coalesce(s.blank_group, '.'))
    when s.has_decimal_point and s.has_comma_groups or s.blank_group is not null then
      jsonb_build_object('decimal', '.', 'group', coalesce(s.blank_group, ','))
  end
  from (
    select
      bool_or(
        v ~ e'^[-+]?([0-9]+|[0-9]{1,3}([. ''\u00a0\u202f][0-9]{3})+),[0-9]+$' and v !~ '^[-+]?[1-9][0-9]{0,2},[0-9]{3}$'
        or v ~ '^[-+]?[0-9]{1,3}([.][0-9]{3}){2,}$'
      ) as has_decimal_comma,
      bool_or(
        v ~ e'^[-+]?([0-9]+|[0-9]{1,3}([, ''\u00a0\u202f][0-9]{3})+)[.][0-9]+$' and v !~ '^[-+]?[1-9][0-9]{0,2}[.][0-9]{3}$'
        or v ~ '^[-+]?[0-9]{1,3}(,[0-9]{3}){2,}$'
      ) as has_decimal_point,
      bool_or(v ~ '^[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+([.][0-9]+)?$') as has_comma_groups,
      case
        when bool_or(v ~ '^[-+]?[0-9]{1,3}(''[0-9]{3})+([.,][0-9]+)?$') then ''''
        when bool_or(v ~ e'^[-+]?[0-9]{1,3}([ \u00a0\u202f][0-9]{3})+([.,][0-9]+)?$') then ' '
      end as blank_group
    from unnest(p_values) as v
  ) as s;
$$;

-- Word lists for parse_boolean: the words that were seen, with their opposites; null where PostgreSQL reads all of them
-- itself, or one is no such word.
create function private.boolean_lists(p_values text[])
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  with words as (
    select distinct lower(v) as word from unnest(p_values) as v
  ),
  pairs as (
    select b.* from private.boolean_words() as b
    where exists (select from words as w where w.word in (b.word_true, b.word_false))
  )
  select case
    when bool_and(pg_input_is_valid(w.word, 'boolean')) then null
    when bool_and(exists (select from pairs as p where w.word in (p.word_true, p.word_false))) then (
      select jsonb_build_object(
        'true', jsonb_agg(distinct p.word_true),
        'false', coalesce(jsonb_agg(distinct p.word_false) filter (where p.word_false is not null), '[]')
      )
      from pairs as p
    )
  end
  from words as w;
$$;

-- upper or lower, where all values are then in the list, or of the pattern, that the field's rules state.
create function private.letter_case(p_values text[], p_rules jsonb)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select c.letter_case
  from (values (1, null), (2, 'upper'), (3, 'lower')) as c (position, letter_case)
  where p_rules ?| '{one_of,pattern}' and (p_rules -> 'lower')::boolean is not true and not exists (
    select
    from unnest(p_values) as v
    cross join lateral (
      select case c.letter_case when 'upper' then upper(v) when 'lower' then lower(v) else v end
    ) as w (value)
    where not coalesce(p_rules -> 'one_of' ? w.value, true) or w.value !~ (p_rules ->> 'pattern')
  )
  order by c.position
  limit 1;
$$;

-- What these values of a column, null among them where some are blank, need to become the field's: a list of transforms.
create function private.suggest_transforms(p_field public.dataset_fields, p_values text[])
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_class  text := private.type_class(p_field.type);
  v_values text[] := array_remove(p_values, null);
  v_given  jsonb;
begin
  if v_class in ('date', 'timestamp') then
    v_given := to_jsonb(private.date_formats(v_values, v_class = 'timestamp'));
    v_given := jsonb_build_object('parse_date', case jsonb_array_length(v_given) when 1 then v_given -> 0 else v_given end);
  elsif v_class in ('integer', 'number') then
    v_given := jsonb_build_object('parse_number', private.number_marks(v_values));
  elsif v_class = 'boolean' then
    v_given := jsonb_build_object('parse_boolean', private.boolean_lists(v_values));
    if v_given #> '{parse_boolean,false}' = '[]' and array_position(p_values, null) is not null then
      return jsonb_build_array(v_given, '{"default": "false"}'::jsonb); -- x or nothing
    end if;
  else
    v_given := to_jsonb(private.letter_case(v_values, p_field.rules));
  end if;
  return case when v_given is null or jsonb_path_exists(v_given, '$.* ? (@ == null)') then '[]' else jsonb_build_array(v_given) end;
end;
$$;

-- Suggestions ---------------------------------------------------------------------------------------

-- Which column probably fills which field: { field: { column, confidence, reason, transforms? } }. By name, label and
-- alias, then by likeness of names. What a sample of the rows holds lowers a column that does not fit its field,
-- raises a likeness that does, and may find a column by its content alone. Each column serves one field, the best first;
-- those whose name is null none. What a secret looks like is not looked at, and where a dataset has some, no content finds
-- a column: it would be shown.
create function private.suggest_mapping(p_dataset text, p_columns text[], p_sample jsonb default null)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  c_least     constant numeric := 0.5;
  c_cells     constant integer := 20000; -- are looked at: so wide a file's first twenty rows
  v_sample    jsonb := jsonb_path_query_array(coalesce(p_sample, '[]'),
    format('$[0 to %s]', c_cells / greatest(cardinality(p_columns), 1))::jsonpath);
  v_shares    jsonb := private.sniff_sample(v_sample);
  v_kinds     jsonb;
  v_pair      record;
  v_positions bigint[] := '{}'; -- of columns that have a field
  v_fields    jsonb := '{}';
begin
  select coalesce(jsonb_object_agg(f.name, coalesce(
    case when f.is_secret then 'other' end, f.rules ->> 'format', case f.type when 'uuid' then 'uuid' else private.type_class(f.type) end)), '{}') into v_kinds
  from public.dataset_fields as f
  where f.dataset = p_dataset;

  for v_pair in
    select m.field, m.column, m.column_position, round(a.confidence, 2) as confidence, m.reason
    from private.match_names(p_dataset, p_columns) as m
    cross join lateral (
      select private.fitting_share(v_shares -> m.column_position::text, v_kinds ->> m.field), v_kinds ->> m.field = 'text'
    ) as s (share, is_text)
    cross join lateral (
      select case
        when m.reason = 'likeness' and s.share < 0.5 then m.confidence * 0.6
        when m.reason = 'likeness' and s.share >= 0.8 and not s.is_text then least(m.confidence + 0.1, 0.85)
        when s.share < 0.5 and not s.is_text then m.confidence * 0.7
        else m.confidence
      end
    ) as a (confidence)
    where a.confidence >= c_least
    order by a.confidence desc, m.field_position, m.column_position
  loop
    continue when v_fields ? v_pair.field or v_pair.column_position = any (v_positions);
    v_positions := v_positions || v_pair.column_position;
    v_fields := v_fields || jsonb_build_object(v_pair.field, jsonb_build_object(
      'column', v_pair.column, 'confidence', v_pair.confidence, 'reason', v_pair.reason));
  end loop;

  -- By content alone only where a single column and a single field are left of the kind. That it holds dates does not
  -- tell whose: such a column is named, but too unsure to be taken.
  for v_pair in
    select min(k.key) as field, min(p_columns[c.position]) as "column", min(c.position) as column_position,
      case when k.kind in ('email', 'url', 'phone') then c_least else 0.4 end as confidence
    from jsonb_each_text(v_kinds) as k (key, kind)
    join (
      select s.key::bigint as position, s.value as shares from jsonb_each(v_shares) as s
    ) as c on (c.shares ->> k.kind)::numeric >= 0.9
    where not private.has_secrets(p_dataset)
      and k.kind in ('email', 'url', 'phone', 'uuid', 'date', 'timestamp')
      and not v_fields ? k.key
      and c.position <> all (v_positions)
      and p_columns[c.position] is not null
    group by k.kind
    having count(*) = 1
  loop
    v_positions := v_positions || v_pair.column_position;
    v_fields := v_fields || jsonb_build_object(v_pair.field, jsonb_build_object(
      'column', v_pair.column, 'confidence', v_pair.confidence, 'reason', 'content'));
  end loop;

  return v_fields || coalesce((
    select jsonb_object_agg(f.name, v_fields -> f.name || jsonb_build_object('transforms', t.transforms))
    from public.dataset_fields as f
    cross join lateral (
      select array_agg(distinct nullif(btrim(left(r.cells ->> v.index, 101), e' \t\r\n\u00a0'), ''))
      from jsonb_array_elements(v_sample) as r (cells)
      cross join (select array_position(p_columns, v_fields #>> array[f.name, 'column']) - 1) as v (index)
    ) as v (sampled)
    cross join lateral private.suggest_transforms(f, v.sampled) as t (transforms)
    where f.dataset = p_dataset and not f.is_secret and v_fields ? f.name and t.transforms <> '[]'
  ), '{}');
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.plain_name(text), private.match_names(text, text[]), private.boolean_words(), private.sniff_sample(jsonb),
  private.fitting_share(jsonb, text), private.date_formats(text[], boolean), private.number_marks(text[]),
  private.boolean_lists(text[]), private.letter_case(text[], jsonb),
  private.suggest_transforms(public.dataset_fields, text[]), private.suggest_mapping(text, text[], jsonb),
  private.type_class(text)
  to authenticated, service_role;
