-- Orders, invoices and routes: records with lines, written by the functions of their datasets.
begin;
select plan(42);
select tests.set_up_actors();

insert into public.customers (org_id, external_id, name) values
  (tests.org_id('acme'), 'C1', 'One'), (tests.org_id('acme'), 'C2', 'Two'), (tests.org_id('bolt'), 'B1', 'Theirs');
insert into public.products (org_id, sku, name, unit_price) values
  (tests.org_id('acme'), 'P1', 'Nail', 1), (tests.org_id('acme'), 'P2', 'Saw', 20), (tests.org_id('bolt'), 'P9', 'Theirs', 1);
insert into public.warehouse_locations (org_id, code, name) values (tests.org_id('acme'), 'W1', 'Main');

create function pg_temp.fates(p_id uuid) returns text language sql as $$
  select string_agg(concat_ws(' ', r.status, r.issues #>> '{0,code}'), ', ' order by r.row_number)
  from public.list_import_rows(p_id) as r
$$;
create function pg_temp.orders() returns table (number text, header text, lines text) language sql as $$
  select o.order_number, concat_ws(' ', c.external_id, o.status, o.currency, o.shipping_cost, o.notes), (
    select string_agg(concat_ws(' ', l.line_number, p.sku, l.line_total), ', ' order by l.line_number)
    from public.order_lines as l join public.products as p on p.id = l.product_id where l.order_id = o.id
  )
  from public.orders as o join public.customers as c on c.id = o.customer_id order by o.order_number
$$;
-- What an import wrote last, by the versions of the rows.
create function pg_temp.versions() returns text language sql as $$
  select string_agg(format('%s %s %s', o.ctid, o.xmin, o.updated_at), ',' order by o.order_number) || (
    select string_agg(format('%s %s', l.ctid, l.xmin), ',' order by l.id) from public.order_lines as l)
  from public.orders as o
$$;

-- Orders ------------------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('i', tests.stage_import('orders',
  '{order_number,line_number,customer,ordered_on,currency,shipping_cost,notes,product,quantity,unit_price,discount_percent}', '[
  ["O1", "1", "C1", "2024-05-01", "EUR", "4.90", "ring twice", "P1", "100",  "0.05", null],
  ["O2", "1", "C2", "2024-05-02", "EUR", null,   null,         "P2", "1",    "20",   "10"],
  ["O1", "2", "C1", "2024-05-01", "EUR", null,   null,         "P2", "2",    "19.5", null],
  ["O3", "1", "B1", "2024-05-02", "EUR", null,   null,         "P2", "1",    "20",   null],
  ["O4", "1", "C1", "2024-05-02", "EUR", null,   null,         "P9", "1",    "20",   null],
  ["O4", "2", "C1", "2024-05-02", "EUR", null,   null,         "P1", "1",    "20",   null],
  ["O5", "1", "C1", "2024-05-02", "EUR", null,   null,         "P1", "0",    "20",   null],
  ["O6", "1", "C1", "2024-05-02", "EUR", null,   null,         "P1", "1",    "20",   null],
  ["O6", "2", "C2", "2024-05-02", "EUR", null,   null,         "P1", "1",    "20",   null]
]'));
select is(tests.run_import(tests.kept('i')), 'completed', 'orders are imported');
select is(pg_temp.fates(tests.kept('i')),
  'inserted, inserted, inserted, failed reference_not_found, failed reference_not_found, failed group_failed, '
  'failed constraint_violation, failed group_failed, failed group_failed',
  'strangers'' customers and products are none; an order fails whole');
select results_eq('select * from pg_temp.orders()',
  $$ values ('O1', 'C1 open EUR 4.90 ring twice', '1 P1 5.00, 2 P2 39.00'), ('O2', 'C2 open EUR', '1 P2 18.00') $$,
  'each with its lines, and the status that new ones have');

-- Again: a line is new, a line changes, an order changes, the rest is as it was.
select tests.keep('versions', null);
select set_config('tests.versions', pg_temp.versions(), true);
select tests.keep('same', tests.stage_import('orders', '{order_number,line_number,customer,product,quantity}',
  '[["O1", "2", "C1", "P2", "2.000"], ["O2", "1", "C2", "P2", "1"]]', 'update'));
select is(tests.run_import(tests.kept('same')), 'completed', 'the same again is');
select is(pg_temp.fates(tests.kept('same')), 'unchanged, unchanged', 'unchanged');
select is(pg_temp.versions(), current_setting('tests.versions'), 'and not a row is written');
select tests.keep('more', tests.stage_import('orders',
  '{order_number,line_number,customer,ordered_on,currency,status,product,quantity,unit_price}', '[
  ["O1", "3", "C1", "2024-05-01", "EUR", "shipped", "P1", "5", "1"],
  ["O2", "1", "C2", "2024-05-02", "EUR", null,      "P2", "3", "20"],
  ["O7", "1", "C2", "2024-05-09", "EUR", "draft",   "P2", "1", "20"]
]'));
select is(tests.run_import(tests.kept('more')), 'completed', 'changes are');
select is(pg_temp.fates(tests.kept('more')), 'updated, updated, inserted', 'applied');
select results_eq('select * from pg_temp.orders()',
  $$ values ('O1', 'C1 shipped EUR 4.90 ring twice', '1 P1 5.00, 2 P2 39.00, 3 P1 5.00'),
    ('O2', 'C2 open EUR', '1 P2 54.00'), ('O7', 'C2 draft EUR', '1 P2 20.00') $$,
  'lines that the file does not name stay, as does what it leaves blank');

-- insert, update, delete
select tests.keep('insert', tests.stage_import('orders',
  '{order_number,line_number,customer,ordered_on,currency,product,quantity,unit_price}', '[
  ["O1", "9", "C2", "2024-05-01", "EUR", "P1", "5", "1"], ["O8", "1", "C2", "2024-05-01", "EUR", "P1", "5", "1"]]', 'insert'));
select is(tests.run_import(tests.kept('insert')), 'completed', 'insert');
select is(pg_temp.fates(tests.kept('insert')), 'failed already_exists, inserted', 'leaves what is there');
select tests.keep('update', tests.stage_import('orders', '{order_number,line_number,product,quantity,unit_price}',
  '[["O8", "1", "P1", "6", null], ["O9", "1", "P1", "6", "1"]]', 'update'));
select is(tests.run_import(tests.kept('update')), 'completed', 'update');
select is(pg_temp.fates(tests.kept('update')), 'updated, failed not_found', 'makes nothing new');
select results_eq($$ select * from pg_temp.orders() as o where o.number in ('O1', 'O8', 'O9') $$,
  $$ values ('O1', 'C1 shipped EUR 4.90 ring twice', '1 P1 5.00, 2 P2 39.00, 3 P1 5.00'), ('O8', 'C2 open EUR', '1 P1 6.00') $$,
  'in orders and lines');
select throws_ok($$ select public.create_import('orders', 'delete') $$, '42501', null, 'members do not delete orders');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('orders', '{Order No.}', '[["O8"], ["O7"], ["O9"]]', 'delete'));
select is(tests.run_import(tests.kept('delete')), 'completed', 'delete');
select is(pg_temp.fates(tests.kept('delete')), 'deleted, deleted, failed not_found', 'takes the orders that are named');
select results_eq($$ select o.number from pg_temp.orders() as o $$, array['O1', 'O2'], 'and no other');
select is((select count(*)::integer from public.order_lines), 4, 'with their lines');

-- Blank cells that clear: what the file maps and may be null.
select tests.act_as('max');
update public.order_lines set discount_percent = 50 where line_number = 1;
update public.orders set notes = 'keep', customer_reference = 'clear' where order_number = 'O1';
select tests.keep('clear', tests.stage_import('orders',
  '{order_number,line_number,customer,customer_reference,shipping_cost,product,quantity,unit_price,discount_percent}', '[
  ["O1", "1", "C1", null, "5",  "P1", "100", "0.05", null],
  ["O1", "2", "C1", null, null, "P2", "2",   "19.5", null]]', 'update', null, '{"blank": "clear"}'));
select is(tests.run_import(tests.kept('clear')), 'completed', 'blank cells clear');
select is(pg_temp.fates(tests.kept('clear')), 'updated, updated', 'where that is said');
select results_eq(
  $$ select o.customer_reference, o.shipping_cost, o.notes, l.discount_percent from public.orders as o
     join public.order_lines as l on l.order_id = o.id where o.order_number = 'O1' and l.line_number = 1 $$,
  $$ values (null::text, 5.00, 'keep', null::numeric) $$, 'but not what the file does not map');

-- The order's own columns on its first line alone.
select tests.keep('first', tests.stage_import('orders',
  '{order_number,line_number,customer,ordered_on,currency,product,quantity,unit_price}', '[
  ["F1", "1", "C1", "2024-05-01", "EUR", "P1", "1", "1"], ["F1", "2", null, null, null, "P2", "1", "1"],
  ["F2", "1", null, "2024-05-01", "EUR", "P1", "1", "1"], ["F2", "2", null, null, null, "P2", "1", "1"]]'));
select is(tests.run_import(tests.kept('first')), 'completed', 'who orders need be said but once');
select is(pg_temp.fates(tests.kept('first')), 'inserted, inserted, failed required, failed group_failed', 'though once it must');

-- Invoices ----------------------------------------------------------------------------------------------------

select tests.keep('invoices', tests.stage_import('invoices',
  '{invoice_number,line_number,customer,order,issued_on,due_on,currency,product,description,quantity,unit_price,tax_percent}', '[
  ["R1", "1", "C1", "O1", "2024-06-01", "2024-06-30", "EUR", "P1", null, "100", "0.05", "19"],
  ["R1", "2", "C1", null, "2024-06-01", null, "EUR", null, "Assembly", "1.5", "40", "19"],
  ["R2", "1", "C2", "O9", "2024-06-01", null, "EUR", "P1", null, "1", "1", null],
  ["R3", "1", "C2", null, "2024-06-02", "2024-06-01", "EUR", "P1", null, "1", "1", null],
  ["R4", "1", "C2", null, "2024-06-02", null, "EUR", null, null, "1", "1", null],
  ["R5", "1", "C2", null, "2024-06-02", null, "EUR", "P2", "used", "1", "-5", null]
]'));
select is(tests.run_import(tests.kept('invoices')), 'completed', 'invoices are imported');
select is(pg_temp.fates(tests.kept('invoices')),
  'inserted, inserted, failed reference_not_found, failed constraint_violation, failed constraint_violation, inserted',
  'an order that there is not, a day before the other and a line about nothing are refused');
select results_eq(
  $$ select i.invoice_number, o.order_number, i.due_on, i.status, l.line_number, l.description, l.line_total, l.tax_amount
     from public.invoices as i left join public.orders as o on o.id = i.order_id
     join public.invoice_lines as l on l.invoice_id = i.id order by 1, 5 $$,
  $$ values ('R1', 'O1', '2024-06-30'::date, 'open', 1, null, 5.00, 0.95), ('R1', 'O1', '2024-06-30', 'open', 2, 'Assembly', 60.00, 11.40),
    ('R5', null, null, 'open', 1, 'used', -5.00, 0.00) $$, 'with their lines');
select tests.keep('again', tests.stage_import('invoices', '{invoice_number,line_number,status,quantity,description}',
  '[["R1", "2", null, "1.5", "Assembly"], ["R5", "1", "paid", "1", "worn"]]', 'update'));
select is(tests.run_import(tests.kept('again')), 'completed', 'again');
select is(pg_temp.fates(tests.kept('again')), 'unchanged, updated', 'what differs is updated');
select results_eq($$ select i.status, l.description from public.invoices as i join public.invoice_lines as l
  on l.invoice_id = i.id where i.invoice_number = 'R5' $$, $$ values ('paid', 'worn') $$, 'in record and line');

-- Payments: a plain table that refers to records with lines ----------------------------------------------------

select tests.keep('payments', tests.stage_import('payments',
  '{payment_number,invoice,order,paid_on,amount,currency,method}', '[
  ["Z1", "R1", null, "2024-07-01", "77.35", "EUR", "bank_transfer"],
  ["Z2", null, "O2", "2024-07-01", "18", "EUR", "card"],
  ["Z3", "R9", null, "2024-07-01", "1", "EUR", null],
  ["Z4", null, null, "2024-07-01", "1", "EUR", null]]'));
select is(tests.run_import(tests.kept('payments')), 'completed', 'payments are imported');
select is(pg_temp.fates(tests.kept('payments')), 'inserted, inserted, failed reference_not_found, failed constraint_violation',
  'each for an invoice or an order');

-- Routes ------------------------------------------------------------------------------------------------------

select tests.keep('routes', tests.stage_import('delivery_routes',
  '{route_number,stop_number,start_location,scheduled_on,departs_at,driver,customer,arrives_from,arrives_until,instructions}', '[
  ["T1", "2", "W1", "2024-08-01", "07:30", "Ada", "C2", "09:00", "10:00", null],
  ["T1", "1", null, null, null, null, "C1", "08:00", "08:30", "back door"],
  ["T2", "1", "W9", "2024-08-01", null, null, "C1", null, null, null],
  ["T3", "1", "W1", "2024-08-01", null, null, "C1", "10:00", "09:00", null]]'));
select is(tests.run_import(tests.kept('routes')), 'completed', 'routes are imported');
select is(pg_temp.fates(tests.kept('routes')), 'inserted, inserted, failed reference_not_found, failed constraint_violation',
  'from a warehouse, at sensible times');
select results_eq(
  $$ select r.route_number, w.code, r.departs_at, r.driver, r.status, string_agg(format('%s %s %s', s.stop_number,
       c.external_id, s.arrives_from), ', ' order by s.stop_number)
     from public.delivery_routes as r join public.warehouse_locations as w on w.id = r.start_location_id
     join public.delivery_stops as s on s.route_id = r.id join public.customers as c on c.id = s.customer_id group by 1, 2, 3, 4, 5 $$,
  $$ values ('T1', 'W1', '07:30'::time, 'Ada', 'planned', '1 C1 08:00:00, 2 C2 09:00:00') $$, 'with their stops');
select tests.keep('done', tests.stage_import('delivery_routes', '{route_number,stop_number,status,outcome}',
  '[["T1", "1", "completed", "delivered"], ["T1", "2", "completed", "absent"]]', 'update'));
select is(tests.run_import(tests.kept('done')), 'completed', 'what came of them');
select results_eq($$ select r.status, array_agg(s.outcome order by s.stop_number) from public.delivery_routes as r
  join public.delivery_stops as s on s.route_id = r.id group by 1 $$, $$ values ('completed', '{delivered,absent}'::text[]) $$,
  'can be brought in later');

-- Rights ------------------------------------------------------------------------------------------------------

select tests.act_as('vic');
select throws_ok($$ select public.create_import('orders') $$, '42501', null, 'viewers import no orders');
select throws_ok(
  $$ select private.apply_orders(tests.org_id('acme'), 'insert', '{}', array[row('X1', 1, (select c.id from public.customers as c limit 1),
    '2024-05-01', null, null, 'EUR', null, null, null, (select p.id from public.products as p limit 1), 1, 1, null)::private.order_row]) $$,
  '42501', 'new row violates row-level security policy for table "orders"', 'nor does the function let them');
select throws_ok(
  $$ select private.apply_orders(tests.org_id('acme'), 'update', '{}', array[row('O1', 1, null,
    null, null, null, 'USD', null, null, null, null, 7, 1, null)::private.order_row]) $$,
  '42501', 'target row violates row-level security policy (USING expression) for table "orders"', 'change one');
select tests.act_as('ben');
select lives_ok(
  $$ select private.apply_orders(tests.org_id('acme'), 'update', '{}', array[row('O1', 1, null,
    null, null, null, 'USD', null, null, null, null, 7, 1, null)::private.order_row]),
    private.apply_orders(tests.org_id('acme'), 'delete', '{}', array[row('O1', 1, null,
    null, null, null, 'USD', null, null, null, null, 7, 1, null)::private.order_row]) $$,
  'another organization''s orders');
select tests.act_as_role('postgres');
select is((select o.currency from public.orders as o where o.order_number = 'O1'), 'EUR', 'are out of reach');

select * from finish();
rollback;
