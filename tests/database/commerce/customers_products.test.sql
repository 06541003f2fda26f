-- The business tables: viewers read, members write, admins delete; each organization its own.
begin;
select plan(35);
select tests.set_up_actors();

insert into public.customers (id, org_id, external_id, name) values (tests.user_id('c-acme'), tests.org_id('acme'),
  'C1', 'acme''s'), (tests.user_id('c-bolt'), tests.org_id('bolt'), 'C1', 'bolt''s');
insert into public.products (id, org_id, sku, name, unit_price) values (tests.user_id('p-acme'), tests.org_id('acme'),
  'P1', 'acme''s', 1), (tests.user_id('p-bolt'), tests.org_id('bolt'), 'P1', 'bolt''s', 1);

create function pg_temp.seen() returns text language sql as $$
  select concat_ws(' ', (select string_agg(c.name, ',' order by c.name) from public.customers as c
    where c.external_id = 'C1'), (select string_agg(p.name, ',' order by p.name) from public.products as p
    where p.sku = 'P1'))
$$;
-- What the caller may do to acme's records: read, insert, update, delete, as letters; in upper case where it worked.
create function tests.may(p_table text) returns text language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_n   integer;
  v_may text := '';
begin
  execute format('select count(*) from public.%I where org_id = tests.org_id(''acme'')', p_table) into v_n;
  v_may := case when v_n > 0 then 'R' else 'r' end;
  begin
    execute format('insert into public.%I (org_id, %s) values (tests.org_id(''acme''), %s)', p_table,
      case p_table when 'customers' then 'external_id, name' else 'sku, name, unit_price' end, case p_table
        when 'customers' then quote_literal('new') || ', ''x''' else quote_literal('new') || ', ''x'', 1' end);
    v_may := v_may || 'I';
  exception when insufficient_privilege then v_may := v_may || 'i';
  end;
  execute format('update public.%I set name = name where org_id = tests.org_id(''acme'')', p_table);
  get diagnostics v_n = row_count;
  v_may := v_may || case when v_n > 0 then 'U' else 'u' end;
  execute format('delete from public.%I where org_id = tests.org_id(''acme'') and name = ''x''', p_table);
  get diagnostics v_n = row_count;
  v_may := v_may || case when v_n > 0 then 'D' else 'd' end;
  return v_may;
end $$;
grant execute on function tests.may(text) to authenticated, service_role;
insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'spare', 'x');
insert into public.products (org_id, sku, name, unit_price) values (tests.org_id('acme'), 'spare', 'x', 1);

select tests.act_as('vic');
select is(pg_temp.seen(), 'acme''s acme''s', 'a viewer sees their organization''s');
select is(tests.may(t), 'Riud', 'and only reads ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as('max');
select is(pg_temp.seen(), 'acme''s acme''s', 'a member, too');
select is(tests.may(t), 'RIUd', 'and writes ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as_role('postgres');
delete from public.customers where external_id = 'new';
delete from public.products where sku = 'new';
select tests.act_as('bob');
select is(pg_temp.seen(), 'bolt''s bolt''s', 'another organization''s admin sees the other''s');
select is(tests.may(t), 'riud', 'and has no hand in ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as('otto');
select is(tests.may(t), 'riud', 'nor who belongs to none: ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as('ann');
select is(tests.may(t), 'RIUD', 'an admin also deletes ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as('sid');
select is(pg_temp.seen(), 'acme''s,bolt''s acme''s,bolt''s', 'a system admin sees all');
select is(tests.may(t), 'RIUD', 'and does all: ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as_role('service_role');
select is(tests.may(t), 'RIUD', 'so does the service: ' || t) from unnest('{customers,products}'::text[]) as t;
select tests.act_as_role('anon');
select throws_ok('select 1 from public.' || t, '42501', 'permission denied for table ' || t, 'anon reads no ' || t)
  from unnest('{customers,products}'::text[]) as t;

-- Columns that are not for clients
select tests.act_as('ann');
select throws_ok(format('update public.customers set %I = %L', c.name, c.value), '42501',
  'permission denied for table customers', c.name || ' does not change')
from (values ('id', tests.user_id('x')::text), ('org_id', tests.org_id('bolt')::text), ('created_at', '2001-01-01'),
  ('updated_at', '2001-01-01')) as c (name, value);
select throws_ok($$ insert into public.products (id, org_id, sku, name, unit_price) values (gen_random_uuid(),
  tests.org_id('acme'), 'x', 'x', 1) $$,
  '42501', 'permission denied for table products', 'nor is an id chosen');
select throws_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('bolt'), 'x', 'x') $$,
  '42501', 'new row violates row-level security policy for table "customers"', 'nor another organization');

-- Shapes
select throws_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'C1',
  'x') $$, '23505',
  'duplicate key value violates unique constraint "customers_org_id_external_id_key"',
    'a customer''s number is one''s own');
select throws_ok($$ insert into public.customers (org_id, external_id, name, country) values (tests.org_id('acme'),
  'C2', 'x', 'de') $$, '23514',
  'new row for relation "customers" violates check constraint "customers_country_check"',
    'countries have two capitals');
select throws_ok($$ insert into public.customers (org_id, external_id, name, credit_limit) values (tests.org_id('acme'),
  'C2', 'x', -1) $$, '23514',
  'new row for relation "customers" violates check constraint "customers_credit_limit_check"',
    'a credit limit is not negative');
select throws_ok($$ insert into public.products (org_id, sku, name, unit_price, currency) values (tests.org_id('acme'),
  'P2', 'x', 1, 'euro') $$, '23514',
  'new row for relation "products" violates check constraint "products_currency_check"',
    'currencies have three capitals');
update public.products set barcode = '1' where sku = 'P1';
select throws_ok($$ insert into public.products (org_id, sku, name, unit_price, barcode) values (tests.org_id('acme'),
  'P2', 'x', 1, '1') $$, '23505',
  'duplicate key value violates unique constraint "products_org_id_barcode_key"', 'a barcode is one product''s');
select tests.act_as_role('postgres');
update public.customers set updated_at = '2001-01-01' where external_id = 'C1';
select is((select min(updated_at) from public.customers where external_id = 'C1'), now(),
  'updated_at is the trigger''s');

-- Their datasets
select results_eq(
  $$ select f.name, f.type, f.is_required, f.rules from public.dataset_fields as f where f.dataset = 'customers'
    order by f.position $$,
  $$ values ('external_id', 'text', true, '{"max_length": 100}'::jsonb), ('name', 'text', true, '{"max_length": 200}'),
    ('email', 'text', false, '{"format": "email"}'),
    ('phone', 'text', false, '{"format": "phone"}'), ('street', 'text', false, '{}'),
      ('postal_code', 'text', false, '{}'), ('city', 'text', false, '{}'),
    ('country', 'text', false, '{"pattern": "^[A-Z]{2}$"}'), ('credit_limit', 'numeric(12,2)', false, '{"min": 0}'),
      ('signup_date', 'date', false, '{}'),
    ('is_active', 'boolean', false, '{}'), ('notes', 'text', false, '{}') $$, 'customers can be imported');
select results_eq(
  $$ select f.name, f.type, f.is_required, f.rules from public.dataset_fields as f where f.dataset = 'products'
    order by f.position $$,
  $$ values ('sku', 'text', true, '{"max_length": 100}'::jsonb), ('name', 'text', true, '{"max_length": 200}'),
    ('description', 'text', false, '{}'), ('category', 'text', false, '{}'),
    ('unit_price', 'numeric(12,2)', true, '{"min": 0}'), ('currency', 'text', false, '{"pattern": "^[A-Z]{3}$"}'),
      ('weight_kg', 'numeric(10,3)', false, '{"min": 0}'),
    ('barcode', 'text', false, '{"max_length": 100, "unique_in_file": true}'), ('is_active', 'boolean', false, '{}') $$,
      'so can products');
select is_empty(
  $$ select f.dataset, a from public.dataset_fields as f cross join unnest(f.aliases) as a
     where f.dataset in ('customers', 'products')
     group by f.dataset, a having count(*) > 1 $$, 'an alias belongs to one field');

select * from finish();
rollback;
