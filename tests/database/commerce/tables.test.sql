-- The business tables: viewers read, members write, admins delete; no organization reaches into another.
begin;
select plan(235);
select tests.set_up_actors();

-- How a record of each kind is made: %1$s numbers them, {orders} is the organization's first order.
create table tests.tables (
  position integer generated always as identity, name text, columns text, "values" text, changes text, is_lines boolean
);
insert into tests.tables (name, columns, "values", changes, is_lines) values
  ('customers', 'external_id, name', $$ 'K%1$s', 'x' $$, 'name', false),
  ('contacts', 'external_id, customer_id, last_name', $$ 'K%1$s', {customers}, 'x' $$, 'last_name', false),
  ('products', 'sku, name, unit_price', $$ 'K%1$s', 'x', 1 $$, 'name', false),
  ('warehouse_locations', 'code, name', $$ 'K%1$s', 'x' $$, 'name', false),
  ('inventory_levels', 'product_id, location_id, quantity', $$ {stock%1$s}, {warehouse_locations}, 1 $$, 'quantity',
    false),
  ('orders', 'order_number, customer_id, ordered_on, currency', $$ 'K%1$s', {customers}, '2024-05-01', 'EUR' $$,
    'status', false),
  ('order_lines', 'order_id, line_number, product_id, quantity, unit_price', $$ {orders}, %1$s, {products}, 1, 1 $$,
    'quantity', true),
  ('invoices', 'invoice_number, customer_id, order_id, issued_on, currency',
    $$ 'K%1$s', {customers}, {orders}, '2024-05-01', 'EUR' $$, 'status', false),
  ('invoice_lines', 'invoice_id, line_number, product_id, quantity, unit_price',
    $$ {invoices}, %1$s, {products}, 1, 1 $$, 'quantity', true),
  ('payments', 'payment_number, invoice_id, order_id, paid_on, amount, currency',
    $$ 'K%1$s', {invoices}, {orders}, '2024-05-01', 1, 'EUR' $$, 'amount', false),
  ('delivery_routes', 'route_number, start_location_id, scheduled_on',
    $$ 'K%1$s', {warehouse_locations}, '2024-05-01' $$, 'driver', false),
  ('delivery_stops', 'route_id, stop_number, customer_id', $$ {delivery_routes}, %1$s, {customers} $$, 'outcome', true);

create function tests.record_id(p_slug text, p_name text) returns uuid language sql immutable
  security invoker set search_path = '' as $$ select md5('tests.record:' || p_slug || ':' || p_name)::uuid $$;
-- The insert of such a record; p_foreign is taken from the other organization.
create function tests.insertion(p_slug text, p_table text, p_number integer, p_foreign text default '')
returns text language plpgsql stable security invoker set search_path = '' as $$
declare
  v_table  tests.tables;
  v_values text;
  v_name   text;
begin
  select t.* into v_table from tests.tables as t where t.name = p_table;
  v_values := format(v_table."values", p_number);
  for v_name in select m[1] from regexp_matches(v_values, '{([a-z0-9_]+)}', 'g') as m loop
    v_values := replace(v_values, '{' || v_name || '}', quote_literal(tests.record_id(
      case when v_name = p_foreign then 'bolt' else p_slug end, v_name)));
  end loop;
  return format('insert into public.%I (id, org_id, %s) values (%L, %L, %s)', p_table, v_table.columns,
    tests.record_id(p_slug, concat(p_table, nullif(p_number, 1))), tests.org_id(p_slug), v_values);
end $$;
-- What the caller may do to acme's records: read, insert, update, delete, as letters; in upper case where it
-- worked. Nothing of it stays.
create function tests.may(p_table text) returns text language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_n   integer;
  v_may text := '';
begin
  execute format('select count(*) from public.%I where org_id = tests.org_id(''acme'')', p_table) into v_n;
  v_may := case when v_n > 0 then 'R' else 'r' end;
  begin
    execute tests.insertion('acme', p_table, 3);
    v_may := v_may || 'I';
  exception when insufficient_privilege then v_may := v_may || 'i';
  end;
  execute format('update public.%I set %2$I = %2$I where org_id = tests.org_id(''acme'')', p_table,
    (select t.changes from tests.tables as t where t.name = p_table));
  get diagnostics v_n = row_count;
  v_may := v_may || case when v_n > 0 then 'U' else 'u' end;
  execute format('delete from public.%I where id = tests.record_id(''acme'', %L)', p_table, p_table || '2');
  get diagnostics v_n = row_count;
  v_may := v_may || case when v_n > 0 then 'D' else 'd' end;
  raise exception using errcode = 'TT001', message = v_may;
exception when sqlstate 'TT001' then
  return sqlerrm;
end $$;
grant select on tests.tables to authenticated, service_role;
grant execute on function tests.record_id(text, text), tests.insertion(text, text, integer, text), tests.may(text)
  to authenticated, service_role;

-- Two records of each kind in each organization; of stock, one for each of three products.
do $$
declare
  v_insertion text;
begin
  insert into public.products (id, org_id, sku, name, unit_price)
  select tests.record_id(o, 'stock' || n), tests.org_id(o), 'S' || n, 'x', 1
  from unnest('{acme,bolt}'::text[]) as o cross join generate_series(1, 3) as n;
  for v_insertion in
    select tests.insertion(o, t.name, n)
    from tests.tables as t cross join unnest('{acme,bolt}'::text[]) as o cross join generate_series(1, 2) as n
    order by t.position
  loop
    execute v_insertion;
  end loop;
end $$;

select bag_eq(
  $$ select c.relname::text from pg_class as c where c.relnamespace = 'public'::regnamespace
     and has_table_privilege('authenticated', c.oid, 'delete') $$,
  'select t.name from tests.tables as t', 'these are all the tables that people write to');

-- Rights ------------------------------------------------------------------------------------------------------

select tests.act_as('vic');
select is(tests.may(t.name), 'Riud', 'a viewer only reads ' || t.name) from tests.tables as t order by t.position;
select is((select count(*)::integer from public.orders), 2, 'those of the own organization');
select tests.act_as('max');
select is(tests.may(t.name), case when t.is_lines then 'RIUD' else 'RIUd' end, 'a member writes ' || t.name)
  from tests.tables as t order by t.position;
select tests.act_as('bob');
select is(tests.may(t.name), 'riud', 'another organization''s admin has no hand in ' || t.name)
  from tests.tables as t order by t.position;
select tests.act_as('otto');
select is(tests.may(t.name), 'riud', 'nor who belongs to none: ' || t.name) from tests.tables as t order by t.position;
select tests.act_as('ann');
select is(tests.may(t.name), 'RIUD', 'an admin also deletes ' || t.name) from tests.tables as t order by t.position;
select tests.act_as('sid');
select is(tests.may(t.name), 'RIUD', 'a system admin does all: ' || t.name) from tests.tables as t order by t.position;
select is((select count(*)::integer from public.orders where order_number = 'K1'), 2, 'in every organization');
select tests.act_as_role('service_role');
select is(tests.may(t.name), 'RIUD', 'so does the service: ' || t.name) from tests.tables as t order by t.position;
select tests.act_as_role('postgres');
select is_empty($$ select t.name from tests.tables as t where has_any_column_privilege('anon', 'public.' || t.name,
  'select, insert, update') $$, 'anon does nothing');

select tests.act_as('ann');
select throws_ok(format('update public.%I set %I = null', t.name, c), '42501', 'permission denied for table ' || t.name,
  format('%s of %s does not change', c, t.name))
from tests.tables as t cross join unnest('{id,org_id,created_at,updated_at}'::text[]) as c order by t.position;

-- References --------------------------------------------------------------------------------------------------

create temporary view foreign_keys as
  select c.conname as name, t.name as "table", m[1] as referenced, t.position
  from tests.tables as t
  cross join regexp_matches(format(t."values", 3), '{([a-z0-9_]+)}', 'g') as m
  join pg_constraint as c on c.conrelid = ('public.' || t.name)::regclass and c.contype = 'f'
    and c.confrelid = ('public.' || replace(m[1], 'stock3', 'products'))::regclass;
grant select on foreign_keys to authenticated, service_role;
select tests.act_as_role('postgres');
select is_empty(
  $$ select c.conrelid::regclass, c.conname from pg_constraint as c join tests.tables as t
       on c.conrelid = ('public.' || t.name)::regclass
     where c.contype = 'f' and c.confrelid <> 'public.organization'::regclass and not (cardinality(c.conkey) = 2
       and c.conkey[1] = (select a.attnum from pg_attribute as a where a.attrelid = c.conrelid and a.attname = 'org_id')) $$,
  'references between business tables name the organization');
select is_empty(
  $$ select i.indrelid::regclass from pg_index as i join tests.tables as t on i.indrelid = ('public.' || t.name)::regclass
     join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] and a.attname = 'org_id'
     group by i.indrelid having count(*) > 1 $$, 'one index begins with the organization, that of the key');
select tests.act_as('max');
select throws_ok(tests.insertion('acme', f."table", 3, f.referenced), '23503',
  format('insert or update on table "%s" violates foreign key constraint "%s"', f."table", f.name),
  'a member cannot point at another organization''s record: ' || f.name)
from foreign_keys as f order by f.position, f.name;
select throws_ok(
  $$ update public.orders set customer_id = tests.record_id('bolt', 'customers') where order_number = 'K1' $$, '23503',
  'insert or update on table "orders" violates foreign key constraint "orders_customer_id_fkey"',
  'nor later');
select tests.act_as_role('service_role');
select throws_ok(tests.insertion('acme', 'orders', 3, 'customers'), '23503',
  'insert or update on table "orders" violates foreign key constraint "orders_customer_id_fkey"',
  'nor can the service');

-- Shapes ------------------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
create temporary table violations as
  select v."table", v.name, v.assignment
  from (values
    ('customers', 'customers_external_id_check', $$ external_id = repeat('x', 101) $$),
    ('customers', 'customers_name_check', $$ name = repeat('x', 201) $$),
    ('customers', 'customers_country_check', $$ country = 'de' $$),
    ('customers', 'customers_segment_check', $$ segment = 'gold' $$),
    ('customers', 'customers_credit_limit_check', $$ credit_limit = -1 $$),
    ('contacts', 'contacts_external_id_check', $$ external_id = repeat('x', 101) $$),
    ('contacts', 'contacts_first_name_check', $$ first_name = repeat('x', 101) $$),
    ('contacts', 'contacts_last_name_check', $$ last_name = repeat('x', 101) $$),
    ('products', 'products_sku_check', $$ sku = repeat('x', 101) $$),
    ('products', 'products_name_check', $$ name = repeat('x', 201) $$),
    ('products', 'products_barcode_check', $$ barcode = repeat('x', 101) $$),
    ('products', 'products_unit_price_check', $$ unit_price = -1 $$),
    ('products', 'products_currency_check', $$ currency = 'euro' $$),
    ('products', 'products_weight_kg_check', $$ weight_kg = -1 $$),
    ('warehouse_locations', 'warehouse_locations_code_check', $$ code = repeat('x', 51) $$),
    ('warehouse_locations', 'warehouse_locations_name_check', $$ name = repeat('x', 201) $$),
    ('warehouse_locations', 'warehouse_locations_kind_check', $$ kind = 'garage' $$),
    ('warehouse_locations', 'warehouse_locations_country_check', $$ country = 'D' $$),
    ('warehouse_locations', 'warehouse_locations_latitude_check', $$ latitude = 91 $$),
    ('warehouse_locations', 'warehouse_locations_longitude_check', $$ longitude = -181 $$),
    ('inventory_levels', 'inventory_levels_reserved_check', $$ reserved = -1 $$),
    ('inventory_levels', 'inventory_levels_reorder_level_check', $$ reorder_level = -1 $$),
    ('orders', 'orders_order_number_check', $$ order_number = repeat('x', 101) $$),
    ('orders', 'orders_requested_on_check', $$ requested_on = ordered_on - 1 $$),
    ('orders', 'orders_status_check', $$ status = 'lost' $$),
    ('orders', 'orders_currency_check', $$ currency = 'eur' $$),
    ('orders', 'orders_shipping_cost_check', $$ shipping_cost = -1 $$),
    ('orders', 'orders_customer_reference_check', $$ customer_reference = repeat('x', 101) $$),
    ('order_lines', 'order_lines_line_number_check', $$ line_number = 0 $$),
    ('order_lines', 'order_lines_quantity_check', $$ quantity = 0 $$),
    ('order_lines', 'order_lines_unit_price_check', $$ unit_price = -1 $$),
    ('order_lines', 'order_lines_discount_percent_check', $$ discount_percent = 101 $$),
    ('invoices', 'invoices_invoice_number_check', $$ invoice_number = repeat('x', 101) $$),
    ('invoices', 'invoices_due_on_check', $$ due_on = issued_on - 1 $$),
    ('invoices', 'invoices_status_check', $$ status = 'lost' $$),
    ('invoices', 'invoices_currency_check', $$ currency = '€' $$),
    ('invoice_lines', 'invoice_lines_line_number_check', $$ line_number = 0 $$),
    ('invoice_lines', 'invoice_lines_subject_check', $$ product_id = null $$),
    ('invoice_lines', 'invoice_lines_description_check', $$ description = repeat('x', 501) $$),
    ('invoice_lines', 'invoice_lines_quantity_check', $$ quantity = -1 $$),
    ('invoice_lines', 'invoice_lines_tax_percent_check', $$ tax_percent = -1 $$),
    ('payments', 'payments_payment_number_check', $$ payment_number = repeat('x', 101) $$),
    ('payments', 'payments_subject_check', $$ invoice_id = null, order_id = null $$),
    ('payments', 'payments_amount_check', $$ amount = 0 $$),
    ('payments', 'payments_currency_check', $$ currency = '' $$),
    ('payments', 'payments_method_check', $$ method = 'shells' $$),
    ('payments', 'payments_bank_reference_check', $$ bank_reference = repeat('x', 141) $$),
    ('delivery_routes', 'delivery_routes_route_number_check', $$ route_number = repeat('x', 101) $$),
    ('delivery_routes', 'delivery_routes_driver_check', $$ driver = repeat('x', 201) $$),
    ('delivery_routes', 'delivery_routes_vehicle_check', $$ vehicle = repeat('x', 101) $$),
    ('delivery_routes', 'delivery_routes_status_check', $$ status = 'lost' $$),
    ('delivery_stops', 'delivery_stops_stop_number_check', $$ stop_number = 0 $$),
    ('delivery_stops', 'delivery_stops_arrives_until_check', $$ arrives_from = '12:00', arrives_until = '11:00' $$),
    ('delivery_stops', 'delivery_stops_outcome_check', $$ outcome = 'eaten' $$),
    ('delivery_stops', 'delivery_stops_instructions_check', $$ instructions = repeat('x', 1001) $$)
  ) as v ("table", name, assignment);
select bag_eq(
  $$ select c.conname::text from pg_constraint as c join tests.tables as t on c.conrelid = ('public.' || t.name)::regclass
     where c.contype = 'c' $$, 'select v.name from violations as v', 'these are all the checks');
select throws_ok(
  format('update public.%I set %s where id = tests.record_id(''acme'', %1$L)', v."table", v.assignment), '23514',
  format('new row for relation "%s" violates check constraint "%s"', v."table", v.name), v.name)
from violations as v;
select throws_ok(
  $$ update public.products set barcode = '1' where org_id = tests.org_id('acme') $$, '23505',
  'duplicate key value violates unique constraint "products_barcode_org_id_key"', 'a barcode is one product''s');
update public.order_lines set quantity = 3, unit_price = 9.99, discount_percent = 10 where line_number = 1;
update public.invoice_lines set quantity = 3, unit_price = 9.99, tax_percent = 7 where line_number = 1;
update public.inventory_levels set quantity = 5, reserved = 7;
select results_eq(
  $$ select distinct o.line_total, i.line_total, i.tax_amount, l.available from public.order_lines as o
     cross join public.invoice_lines as i cross join public.inventory_levels as l
     where o.line_number = 1 and i.line_number = 1 $$,
  'values (26.97, 29.97, 2.10, -2.000)', 'totals are computed');
do $$
declare
  v_name text;
begin
  for v_name in select t.name from tests.tables as t loop
    execute format('update public.%I set updated_at = ''2001-01-01''', v_name);
  end loop;
end $$;
select is_empty(format('select 1 from public.%I where updated_at <> now()', t.name), 'updated_at is the trigger''s: ' || t.name)
from tests.tables as t order by t.position;

-- Deletion ----------------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok(format('delete from public.%I where id = tests.record_id(''acme'', %1$L)', r.name), '23503', null,
  'what others refer to stays: ' || r.name)
from unnest('{customers,products,warehouse_locations,orders,invoices}'::text[]) as r (name);
delete from public.payments;
delete from public.invoices;
delete from public.delivery_routes;
delete from public.orders;
select is_empty($$ select 1 from public.invoice_lines union all select 1 from public.order_lines union all
  select 1 from public.delivery_stops $$, 'lines go with their records');
select lives_ok(tests.insertion('acme', 'orders', 1), 'a deleted record can come back with its id');
select throws_ok(tests.insertion('bolt', 'orders', 3), '42501',
  'new row violates row-level security policy for table "orders"', 'but not in another organization');
select tests.act_as_role('postgres');
select lives_ok($$ delete from public.organization as o where o.id in (tests.org_id('acme'), tests.org_id('bolt')) $$,
  'an organization goes whole');
select is_empty($$ select 1 from public.customers union all select 1 from public.delivery_stops union all
  select 1 from public.payments $$, 'with all that is its');

select * from finish();
rollback;
