-- The datasets of commerce: their keys, what files may fill, to whom they refer, and by what names.
begin;
select plan(13);

select results_eq(
  $$ select d.key, d.entity_type::text, array_to_string(d.key_fields, ' '), d.group_field, d.lines
     from public.datasets as d where d.key <> 'users' order by d.position $$,
  $$ values
    ('customers', 'customer', 'external_id', null, null),
    ('contacts', 'contact', 'external_id', null, null),
    ('products', 'product', 'sku', null, null),
    ('warehouse_locations', 'warehouse_location', 'code', null, null),
    ('inventory_levels', 'inventory', 'product location', null, null),
    ('orders', 'order', 'order_number line_number', 'order_number', 'public.order_lines'),
    ('invoices', 'invoice', 'invoice_number line_number', 'invoice_number', 'public.invoice_lines'),
    ('payments', 'payment', 'payment_number', null, null),
    ('delivery_routes', 'delivery_route', 'route_number stop_number', 'route_number', 'public.delivery_stops') $$,
  'datasets follow those that they refer to');
select results_eq(
  $$ select f.dataset, f.name, f.reference ->> 'dataset' from public.dataset_fields as f
     join public.datasets as d on d.key = f.dataset where f.reference is not null order by d.position, f.position $$,
  $$ values ('contacts', 'customer', 'customers'), ('inventory_levels', 'product', 'products'),
    ('inventory_levels', 'location', 'warehouse_locations'), ('orders', 'customer', 'customers'),
    ('orders', 'product', 'products'), ('invoices', 'customer', 'customers'), ('invoices', 'order', 'orders'),
    ('invoices', 'product', 'products'), ('payments', 'invoice', 'invoices'), ('payments', 'order', 'orders'),
    ('delivery_routes', 'start_location', 'warehouse_locations'), ('delivery_routes', 'customer', 'customers') $$,
  'records are named by their keys');
select results_eq(
  $$ select d.key, (select string_agg(f.name, ' ' order by f.position) from public.dataset_fields as f
       where f.dataset = d.key and f.is_required) from public.datasets as d where d.key <> 'users' order by d.position $$,
  $$ values ('customers', 'external_id name'), ('contacts', 'external_id customer last_name'),
    ('products', 'sku name unit_price'), ('warehouse_locations', 'code name'),
    ('inventory_levels', 'product location quantity'),
    ('orders', 'order_number line_number customer ordered_on currency product quantity unit_price'),
    ('invoices', 'invoice_number line_number customer issued_on currency quantity unit_price'),
    ('payments', 'payment_number paid_on amount currency'),
    ('delivery_routes', 'route_number stop_number start_location scheduled_on customer') $$,
  'a new record needs these');
select results_eq(
  $$ select f.dataset, string_agg(f.name, ' ' order by f.position) from public.dataset_fields as f
     where f.rules ? 'same_in_group' group by f.dataset order by f.dataset $$,
  $$ values ('delivery_routes', 'start_location scheduled_on departs_at driver vehicle status'),
    ('invoices', 'customer order issued_on due_on status currency notes'),
    ('orders', 'customer ordered_on requested_on status currency shipping_cost customer_reference notes') $$,
  'the rows of a record agree on these');
select results_eq(
  $$ select f.dataset, f.name, f.rules -> 'one_of' from public.dataset_fields as f
     where f.rules ? 'one_of' and f.dataset <> 'users' order by f.dataset, f.name $$,
  $$ values ('customers', 'segment', '["key_account", "regular", "small"]'::jsonb),
    ('delivery_routes', 'outcome', '["delivered", "absent", "refused"]'),
    ('delivery_routes', 'status', '["planned", "under_way", "completed", "cancelled"]'),
    ('invoices', 'status', '["draft", "open", "paid", "overdue", "cancelled"]'),
    ('orders', 'status', '["draft", "open", "shipped", "delivered", "cancelled"]'),
    ('payments', 'method', '["bank_transfer", "direct_debit", "card", "cash", "other"]'),
    ('warehouse_locations', 'kind', '["warehouse", "store", "depot", "transit"]') $$,
  'lists of values are read from the checks');
select results_eq(
  $$ select f.dataset, f.name, f.rules from public.dataset_fields as f
     where f.rules ?| '{format,unique_in_file,min,max}' and not f.rules ? 'same_in_group' order by f.dataset, f.name $$,
  $$ values ('contacts', 'email', '{"format": "email"}'::jsonb), ('contacts', 'phone', '{"format": "phone"}'),
    ('customers', 'credit_limit', '{"min": 0}'), ('customers', 'email', '{"format": "email"}'),
    ('customers', 'phone', '{"format": "phone"}'), ('delivery_routes', 'stop_number', '{"min": 1}'),
    ('inventory_levels', 'reorder_level', '{"min": 0}'), ('inventory_levels', 'reserved', '{"min": 0}'),
    ('invoices', 'line_number', '{"min": 1}'), ('invoices', 'tax_percent', '{"min": 0, "max": 100}'),
    ('orders', 'discount_percent', '{"min": 0, "max": 100}'), ('orders', 'line_number', '{"min": 1}'),
    ('orders', 'unit_price', '{"min": 0}'), ('products', 'barcode', '{"max_length": 100, "unique_in_file": true}'),
    ('products', 'unit_price', '{"min": 0}'), ('products', 'weight_kg', '{"min": 0}'),
    ('warehouse_locations', 'latitude', '{"min": -90.0, "max": 90.0}'),
    ('warehouse_locations', 'longitude', '{"min": -180.0, "max": 180.0}') $$,
  'and so are bounds');

-- What may not be filled is no field: ids, organization, times, computed columns, the record of a line.
select is_empty(
  $$ select f.dataset, f.name from public.dataset_fields as f
     where f.name in ('id', 'org_id', 'created_at', 'updated_at', 'available', 'line_total', 'tax_amount', 'order_id',
       'invoice_id', 'route_id') or f.column_name = 'id' $$, 'nothing else is a field');
select is_empty(
  $$ select f.dataset, n from public.dataset_fields as f
     cross join lateral (select private.plain_name(a) from unnest(f.aliases) as a union all select private.plain_name(f.name)) as n (n)
     group by f.dataset, n having count(distinct f.name) > 1 $$, 'a name or alias belongs to one field');
select is_empty($$ select f.dataset, f.name from public.dataset_fields as f where f.aliases = '{}' $$,
  'every field has aliases');

-- What a German program exports.
select results_eq(
  $$ select s.key, s.value ->> 'column' from jsonb_each(private.suggest_mapping('orders',
    '{Auftragsnummer,Pos.,Kundennummer,Auftragsdatum,Liefertermin,Währung,Artikelnummer,Menge,Einzelpreis,Rabatt,Bemerkung}')) as s $$,
  $$ values ('notes', 'Bemerkung'), ('product', 'Artikelnummer'), ('currency', 'Währung'), ('customer', 'Kundennummer'),
    ('quantity', 'Menge'), ('ordered_on', 'Auftragsdatum'), ('unit_price', 'Einzelpreis'), ('line_number', 'Pos.'),
    ('order_number', 'Auftragsnummer'), ('requested_on', 'Liefertermin'), ('discount_percent', 'Rabatt') $$,
  'its columns are understood: orders');
select results_eq(
  $$ select s.key, s.value ->> 'column' from jsonb_each(private.suggest_mapping('inventory_levels',
    '{Artikelnummer,Lagerort,Bestand,Meldebestand}')) as s $$,
  $$ values ('product', 'Artikelnummer'), ('location', 'Lagerort'), ('quantity', 'Bestand'), ('reorder_level', 'Meldebestand') $$,
  'stock');
select results_eq(
  $$ select s.key, s.value ->> 'column' from jsonb_each(private.suggest_mapping('payments',
    '{Zahlungsnummer,Rechnungsnummer,Zahlungsdatum,Betrag,Währung,Zahlungsart,Verwendungszweck}')) as s $$,
  $$ values ('amount', 'Betrag'), ('method', 'Zahlungsart'), ('invoice', 'Rechnungsnummer'), ('paid_on', 'Zahlungsdatum'),
    ('currency', 'Währung'), ('bank_reference', 'Verwendungszweck'), ('payment_number', 'Zahlungsnummer') $$, 'payments');
select results_eq(
  $$ select s.key, s.value ->> 'column' from jsonb_each(private.suggest_mapping('delivery_routes',
    '{Tour,Halt,Startlager,Liefertag,Abfahrt,Fahrer,Kennzeichen,"Kunden-Nr.","Ankunft ab","Ankunft bis",Hinweis}')) as s $$,
  $$ values ('driver', 'Fahrer'), ('vehicle', 'Kennzeichen'), ('customer', 'Kunden-Nr.'), ('departs_at', 'Abfahrt'),
    ('stop_number', 'Halt'), ('arrives_from', 'Ankunft ab'), ('instructions', 'Hinweis'), ('route_number', 'Tour'),
    ('scheduled_on', 'Liefertag'), ('arrives_until', 'Ankunft bis'), ('start_location', 'Startlager') $$, 'routes');

select * from finish();
rollback;
