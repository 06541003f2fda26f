-- Suggested mappings: by name, label, alias, likeness and content, and the transforms that the values need.
begin;
select plan(60);
select tests.set_up_actors();

-- A dataset with a field of each kind.
insert into public.datasets (key, label, target, id_column, org_column, key_fields, allowed_modes, entity_type, position)
values ('kinds', 'Kinds', 'x', 'id', 'org_id', '{code}', '{insert}', 'other', 99);
insert into public.dataset_fields (dataset, name, column_name, label, type, is_required, aliases, rules, position) values
  ('kinds', 'code', 'code', 'Code', 'text', true, '{}', '{}', 1),
  ('kinds', 'email', 'email', 'E-mail', 'text', false, '{}', '{"format": "email"}', 2),
  ('kinds', 'website', 'website', 'Website', 'text', false, '{}', '{"format": "url"}', 3),
  ('kinds', 'phone', 'phone', 'Phone', 'text', false, '{}', '{"format": "phone"}', 4),
  ('kinds', 'signup_date', 'signup_date', 'Customer since', 'date', false, '{}', '{}', 5),
  ('kinds', 'amount', 'amount', 'Amount', 'numeric(12,2)', false, '{total, sum}', '{}', 6),
  ('kinds', 'quantity', 'quantity', 'Quantity', 'integer', false, '{}', '{}', 7),
  ('kinds', 'is_active', 'is_active', 'Is Active', 'boolean', false, '{status}', '{}', 8),
  ('kinds', 'segment', 'segment', 'Segment', 'text', false, '{}', '{"one_of": ["GOLD", "SILVER"]}', 9),
  ('kinds', 'last_seen', 'last_seen', 'Last seen', 'timestamp with time zone', false, '{}', '{}', 10);

-- One column with these cells; what is suggested for it, in short.
create function pg_temp.short(p_columns text[], p_rows jsonb default null) returns text language sql as $$
  select coalesce(string_agg(format('%s=%s %s %s', s.key, s.value ->> 'column', s.value ->> 'reason', s.value ->> 'confidence'),
    ', ' order by s.key), '')
  from jsonb_each(private.suggest_mapping('kinds', p_columns, p_rows)) as s
$$;
create function pg_temp.transforms(p_column text, variadic p_cells text[]) returns jsonb language sql as $$
  select s.value -> 'transforms'
  from jsonb_each(private.suggest_mapping('kinds', array[p_column],
    (select jsonb_agg(jsonb_build_array(c)) from unnest(p_cells) as c))) as s
$$;

-- By name ----------------------------------------------------------------------------------------------

select is(
  private.suggest_mapping('customers', '{Kunden-Nr.,FIRMA,E-Mail,Credit Limit,Ort,signup date,junk}'),
  '{"external_id": {"column": "Kunden-Nr.", "confidence": 0.90, "reason": "alias"}, "name": {"column": "FIRMA", "confidence": 0.90, "reason": "alias"},
    "email": {"column": "E-Mail", "confidence": 1.00, "reason": "name"}, "credit_limit": {"column": "Credit Limit", "confidence": 1.00, "reason": "name"},
    "city": {"column": "Ort", "confidence": 0.90, "reason": "alias"}, "signup_date": {"column": "signup date", "confidence": 1.00, "reason": "name"}}',
  'by name, label and alias, whatever their writing');
select is(pg_temp.short('{customer since}'), 'signup_date=customer since label 0.95', 'a label');
select is(private.suggest_mapping('customers', '{emaill}') #>> '{email,reason}', 'likeness', 'by likeness');
select cmp_ok((private.suggest_mapping('customers', '{emaill}') #>> '{email,confidence}')::numeric, '<', 0.95,
  'which is less sure');
select is(
  (select round(max(m.confidence), 4) from private.match_names('kinds', '{quantities}') as m where m.field = 'quantity'),
  round(extensions.similarity('quantity', 'quantities')::numeric, 4), 'as much as pg_trgm says');
select is(private.suggest_mapping('customers', '{name,Name,NAME}'),
  '{"name": {"column": "name", "confidence": 1.00, "reason": "name"}}',
  'a field gets one column, the first of the best');
select is(private.suggest_mapping('customers', '{}'), '{}', 'no columns, no suggestion');
select is(private.suggest_mapping('nowhere', '{name}', '[["a"]]'), '{}', 'no dataset, none either');
select is(pg_temp.short('{!?,***,""}'), '', 'names without letters are like nothing');
select is(pg_temp.short(array[repeat('email', 1000)]), '', 'nor is a text');
select is((private.suggest_mapping('kinds', (select array_agg(format('customer_%s', n)) from generate_series(1, 200) as n) || '{emial}'))
  #>> '{email,column}', null, 'what is unlike stays out');
select is((private.suggest_mapping('kinds',
  (select array_agg(format('the_signup_%s', n)) from generate_series(1, 200) as n) || '{signup_dates}')) #>> '{signup_date,column}',
  'signup_dates', 'among many columns that begin alike the likest is found');

-- By what the sample holds -------------------------------------------------------------------------------

select is(pg_temp.short('{total amount}', '[["1"]]'), 'amount=total amount likeness 0.64', 'a type that fits raises a likeness');
select is(pg_temp.short('{total amount}', '[["much"]]'), '', 'one that contradicts lowers it');
select is(pg_temp.short('{total amount}', '[[""], [null], [" "]]'), 'amount=total amount likeness 0.54', 'blank cells say nothing');
select is(pg_temp.short('{status}', '[["gold"], ["new"]]'), 'is_active=status alias 0.63', 'and lowers an alias');
select is(pg_temp.short('{amount,total}', '[["n/a", "12.50"], ["see total", "9.00"]]'), 'amount=total alias 0.90',
  'so that a column that fits comes first');
select is(pg_temp.short('{codes}', '[["a@example.com"]]'), 'email=codes content 0.5',
  'addresses make no text likelier, but are found');
select is(pg_temp.short('{Kontakt}', '[["a@example.com"], ["b@example.com"], [""]]'), 'email=Kontakt content 0.5', 'by content: e-mail');
select is(pg_temp.short('{Netz}', '[["https://example.com/x"]]'), 'website=Netz content 0.5', 'address');
select is(pg_temp.short('{Ruf}', '[["+49 731 1234"], ["0731/12345"], ["(0731) 99-12"]]'), 'phone=Ruf content 0.5', 'phone number');
select is(pg_temp.short('{Seit}', '[["31.12.2023"], ["1.2.2024"]]'), 'signup_date=Seit content 0.4', 'date, less sure');
select is(pg_temp.short('{Wann}', '[["2024-02-03 10:00"]]'), 'last_seen=Wann content 0.4', 'date and time');
select is(pg_temp.short('{Eins,Zwei}', '[["a@example.com", "b@example.com"]]'), '', 'not where two columns are alike');
select is(pg_temp.short('{email,Zwei}', '[["a@example.com", "b@example.com"]]'), 'email=email name 1.00', 'nor where the field is filled');
select is(pg_temp.short('{Eins}', '[["17"]]'), '', 'numbers are anything');
select is(pg_temp.short('{Eins}', '[["a@example.com"], ["none"], ["unknown"]]'), '', 'nor where few cells are of the kind');

-- Transforms ---------------------------------------------------------------------------------------------

select is(pg_temp.transforms('signup_date', '31.12.2023', '01.02.2024'), '[{"parse_date": "DD.MM.YYYY"}]', 'points: the day first');
select is(pg_temp.transforms('signup_date', '1.2.24'), '[{"parse_date": "DD.MM.YY"}]', 'two digits of the year');
select is(pg_temp.transforms('signup_date', '31/12/2023', '01/02/2024'), '[{"parse_date": "DD/MM/YYYY"}]', 'a 31st is a day');
select is(pg_temp.transforms('signup_date', '12/31/2023', '01/02/2024'), '[{"parse_date": "MM/DD/YYYY"}]', 'wherever it stands');
select is(pg_temp.transforms('signup_date', '01/02/2024', '03/04/2024'), null, 'where it could be either nothing is guessed');
select is(pg_temp.transforms('signup_date', '13/01/2024', '01/13/2024'), null, 'nor where it is both');
select is(pg_temp.transforms('signup_date', '13/01/24', '01/02/2024'), '[{"parse_date": ["DD/MM/YY", "DD/MM/YYYY"]}]', 'two formats');
select is(pg_temp.transforms('signup_date', '2024-01-31', '31.01.2024'), '[{"parse_date": "DD.MM.YYYY"}]', 'ISO dates pass beside them');
select is(pg_temp.transforms('signup_date', '2024-01-31'), null, 'and need nothing');
select is(pg_temp.transforms('signup_date', '2024/01/31'), '[{"parse_date": "YYYY/MM/DD"}]', 'year first');
select is(pg_temp.transforms('signup_date', '20240131'), '[{"parse_date": "YYYYMMDD"}]', 'without marks');
select is(pg_temp.transforms('last_seen', '31.12.2023 09:30', '1.1.2024 9:30'), '[{"parse_date": "DD.MM.YYYY HH24:MI"}]', 'with the time');
select is(pg_temp.transforms('last_seen', '12/31/2023 09:30:15'), '[{"parse_date": "MM/DD/YYYY HH24:MI:SS"}]', 'with seconds');
select is(pg_temp.transforms('amount', '1.234,50', '12'), '[{"parse_number": {"group": ".", "decimal": ","}}]', 'decimal comma');
select is(pg_temp.transforms('amount', '12,5'), '[{"parse_number": {"group": ".", "decimal": ","}}]', 'without groups');
select is(pg_temp.transforms('amount', '1,234.50'), '[{"parse_number": {"group": ",", "decimal": "."}}]', 'decimal point with groups');
select is(pg_temp.transforms('amount', '1 234,50'), '[{"parse_number": {"group": " ", "decimal": ","}}]', 'groups of blanks');
select is(pg_temp.transforms('amount', '1''234.50'), '[{"parse_number": {"group": "''", "decimal": "."}}]', 'of apostrophes');
select is(pg_temp.transforms('amount', '1,234', '5,678'), null, '1,234 could be either');
select is(pg_temp.transforms('amount', '1,234', '5.5'), '[{"parse_number": {"group": ",", "decimal": "."}}]', 'but not beside 5.5');
select is(pg_temp.transforms('amount', '1.5', '2', '-3e5'), null, 'plain numbers need nothing');
select is(pg_temp.transforms('amount', '1.5', '2,5'), null, 'a mixture is left alone');
select is(pg_temp.transforms('quantity', '1.234.567'), '[{"parse_number": {"group": ".", "decimal": ","}}]', 'whole numbers with groups');
select is(pg_temp.transforms('is_active', 'Ja', 'nein'), '[{"parse_boolean": {"true": ["ja"], "false": ["nein"]}}]', 'words for true and false');
select is(pg_temp.transforms('is_active', 'yes', 'NO', 't', '0'), null, 'not where PostgreSQL knows them');
select is(pg_temp.transforms('is_active', 'ja'), '[{"parse_boolean": {"true": ["ja"], "false": ["nein"]}}]', 'with the opposite of one');
select is(pg_temp.transforms('is_active', 'x', ''), '[{"parse_boolean": {"true": ["x"], "false": []}}, {"default": "false"}]', 'a cross or nothing');
select is(pg_temp.transforms('is_active', 'ja', 'vielleicht'), null, 'not with a word that is none');
select is(pg_temp.transforms('segment', 'gold', 'Silver'), '["upper"]', 'letter case, where all are then in the list');
select is(pg_temp.transforms('segment', 'gold', 'bronze'), null, 'not where one is not');
select is(pg_temp.transforms('segment', 'GOLD'), null, 'nor where all are');

-- The suggestion becomes the mapping, and does what it says ----------------------------------------------

select tests.act_as('max');
select tests.keep('i', tests.stage_import('customers', '{Kd-Nr,Firma,Kontakt,Limit,Beginn,aktiv,land}',
  '[["1", "Eins", "a@example.com", "1.234,50", "31.12.2023", "ja", "de"], ["2", "Zwei", "b@example.com", "7,5", "01.02.2024", "nein", "at"]]'));
select is((select jsonb_object_agg(m.key, m.value - 'default') from jsonb_each(public.get_import(tests.kept('i')) -> 'mapping') as m),
  '{"external_id": {"columns": ["Kd-Nr"], "transforms": []}, "name": {"columns": ["Firma"], "transforms": []},
    "email": {"columns": ["Kontakt"], "transforms": []}, "is_active": {"columns": ["aktiv"], "transforms": [{"parse_boolean": {"true": ["ja"], "false": ["nein"]}}]},
    "credit_limit": {"columns": ["Limit"], "transforms": [{"parse_number": {"group": ".", "decimal": ","}}]},
    "country": {"columns": ["land"], "transforms": ["upper"]}}'::jsonb,
  'what is sure enough is the mapping, with its transforms; dates by content alone are not');
select tests.run_import(tests.kept('i'));
select results_eq(
  $$ select c.name, c.email, c.credit_limit, c.is_active, c.country, c.signup_date from public.customers as c order by c.external_id $$,
  $$ values ('Eins', 'a@example.com', 1234.50, true, 'DE', null::date), ('Zwei', 'b@example.com', 7.50, false, 'AT', null) $$,
  'and the rows come out right');

select * from finish();
rollback;
