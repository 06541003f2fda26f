-- Commerce, third part: records with lines as datasets. What private.apply_orders does is the model for
-- an apply function of one's own: docs/datasets.md.
-- Needs: commerce_documents.
-- Exposes: the datasets orders, invoices, payments and delivery_routes.

-- Several rows of a file make one record with lines. These functions write whole records, with the rights
-- of whoever imports them, and nothing that is as it was. They are called for new records and for those
-- that exist apart, and the latter are locked. New ones match nothing, so that one which somebody else
-- inserts meanwhile is refused by the unique key. That the rows of a record agree on the record's own
-- columns, where they fill them, has been seen to: any of their values will do.
--
-- An organization that is new to the statistics looks as if it had one row. So the rows of the file must
-- lead the joins: an outer join, which a merge is that may insert, and lateral behind a fence.

create type private.order_row as (
  order_number       text,
  line_number        integer,
  customer_id        uuid,
  ordered_on         date,
  requested_on       date,
  status             text,
  currency           text,
  shipping_cost      numeric(12,2),
  customer_reference text,
  notes              text,
  product_id         uuid,
  quantity           numeric(12,3),
  unit_price         numeric(12,2),
  discount_percent   numeric(5,2)
);

create function private.apply_orders(
  p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.order_row[]
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  merge into public.orders as t
  using (
    select
      r.order_number,
      any_value(r.customer_id) as customer_id,
      any_value(r.ordered_on) as ordered_on,
      any_value(r.requested_on) as requested_on,
      any_value(r.status) as status,
      any_value(r.currency) as currency,
      any_value(r.shipping_cost) as shipping_cost,
      any_value(r.customer_reference) as customer_reference,
      any_value(r.notes) as notes
    from unnest(p_rows) as r
    group by r.order_number
    order by r.order_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.order_number = s.order_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.customer_id, t.ordered_on, t.requested_on, t.status, t.currency, t.shipping_cost,
      t.customer_reference, t.notes
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id), coalesce(s.ordered_on, t.ordered_on),
      coalesce(s.requested_on, case when 'requested_on' <> all (p_clear) then t.requested_on end),
      coalesce(s.status, t.status), coalesce(s.currency, t.currency),
      coalesce(s.shipping_cost, case when 'shipping_cost' <> all (p_clear) then t.shipping_cost end),
      coalesce(s.customer_reference, case when 'customer_reference' <> all (p_clear) then t.customer_reference end),
      coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    ) then
    update set (
      customer_id, ordered_on, requested_on, status, currency, shipping_cost, customer_reference, notes
    ) = row(
      coalesce(s.customer_id, t.customer_id), coalesce(s.ordered_on, t.ordered_on),
      coalesce(s.requested_on, case when 'requested_on' <> all (p_clear) then t.requested_on end),
      coalesce(s.status, t.status), coalesce(s.currency, t.currency),
      coalesce(s.shipping_cost, case when 'shipping_cost' <> all (p_clear) then t.shipping_cost end),
      coalesce(s.customer_reference, case when 'customer_reference' <> all (p_clear) then t.customer_reference end),
      coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, order_number, customer_id, ordered_on, requested_on, status, currency, shipping_cost,
      customer_reference, notes
    )
    values (
      p_org_id, s.order_number, s.customer_id, s.ordered_on, s.requested_on, coalesce(s.status, 'open'),
      s.currency, s.shipping_cost, s.customer_reference, s.notes
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.order_lines as t
  using (
    select
      o.id as order_id,
      r.line_number, r.product_id, r.quantity, r.unit_price, r.discount_percent
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.orders as p where p.org_id = p_org_id and p.order_number = r.order_number offset 0
    ) as o
    order by r.order_number, r.line_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.order_id = s.order_id and t.line_number = s.line_number
  when matched and row(
      t.product_id, t.quantity, t.unit_price, t.discount_percent
    ) is distinct from row(
      coalesce(s.product_id, t.product_id), coalesce(s.quantity, t.quantity),
      coalesce(s.unit_price, t.unit_price),
      coalesce(s.discount_percent, case when 'discount_percent' <> all (p_clear) then t.discount_percent end)
    ) then
    update set (
      product_id, quantity, unit_price, discount_percent
    ) = row(
      coalesce(s.product_id, t.product_id), coalesce(s.quantity, t.quantity),
      coalesce(s.unit_price, t.unit_price),
      coalesce(s.discount_percent, case when 'discount_percent' <> all (p_clear) then t.discount_percent end)
    )
  when not matched then
    insert (
      org_id, order_id, line_number, product_id, quantity, unit_price, discount_percent
    )
    values (
      p_org_id, s.order_id, s.line_number, s.product_id, s.quantity, s.unit_price, s.discount_percent
    );
end;
$$;

create type private.invoice_row as (
  invoice_number text,
  line_number    integer,
  customer_id    uuid,
  order_id       uuid,
  issued_on      date,
  due_on         date,
  status         text,
  currency       text,
  notes          text,
  product_id     uuid,
  description    text,
  quantity       numeric(12,3),
  unit_price     numeric(12,2),
  tax_percent    numeric(5,2)
);

create function private.apply_invoices(
  p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.invoice_row[]
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  merge into public.invoices as t
  using (
    select
      r.invoice_number,
      any_value(r.customer_id) as customer_id,
      any_value(r.order_id) as order_id,
      any_value(r.issued_on) as issued_on,
      any_value(r.due_on) as due_on,
      any_value(r.status) as status,
      any_value(r.currency) as currency,
      any_value(r.notes) as notes
    from unnest(p_rows) as r
    group by r.invoice_number
    order by r.invoice_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.invoice_number = s.invoice_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.customer_id, t.order_id, t.issued_on, t.due_on, t.status, t.currency, t.notes
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.order_id, case when 'order_id' <> all (p_clear) then t.order_id end),
      coalesce(s.issued_on, t.issued_on),
      coalesce(s.due_on, case when 'due_on' <> all (p_clear) then t.due_on end), coalesce(s.status, t.status),
      coalesce(s.currency, t.currency), coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    ) then
    update set (
      customer_id, order_id, issued_on, due_on, status, currency, notes
    ) = row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.order_id, case when 'order_id' <> all (p_clear) then t.order_id end),
      coalesce(s.issued_on, t.issued_on),
      coalesce(s.due_on, case when 'due_on' <> all (p_clear) then t.due_on end), coalesce(s.status, t.status),
      coalesce(s.currency, t.currency), coalesce(s.notes, case when 'notes' <> all (p_clear) then t.notes end)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, invoice_number, customer_id, order_id, issued_on, due_on, status, currency, notes
    )
    values (
      p_org_id, s.invoice_number, s.customer_id, s.order_id, s.issued_on, s.due_on,
      coalesce(s.status, 'open'), s.currency, s.notes
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.invoice_lines as t
  using (
    select
      i.id as invoice_id,
      r.line_number, r.product_id, r.description, r.quantity, r.unit_price, r.tax_percent
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.invoices as p where p.org_id = p_org_id and p.invoice_number = r.invoice_number offset 0
    ) as i
    order by r.invoice_number, r.line_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.invoice_id = s.invoice_id and t.line_number = s.line_number
  when matched and row(
      t.product_id, t.description, t.quantity, t.unit_price, t.tax_percent
    ) is distinct from row(
      coalesce(s.product_id, case when 'product_id' <> all (p_clear) then t.product_id end),
      coalesce(s.description, case when 'description' <> all (p_clear) then t.description end),
      coalesce(s.quantity, t.quantity), coalesce(s.unit_price, t.unit_price),
      coalesce(s.tax_percent, case when 'tax_percent' <> all (p_clear) then t.tax_percent end)
    ) then
    update set (
      product_id, description, quantity, unit_price, tax_percent
    ) = row(
      coalesce(s.product_id, case when 'product_id' <> all (p_clear) then t.product_id end),
      coalesce(s.description, case when 'description' <> all (p_clear) then t.description end),
      coalesce(s.quantity, t.quantity), coalesce(s.unit_price, t.unit_price),
      coalesce(s.tax_percent, case when 'tax_percent' <> all (p_clear) then t.tax_percent end)
    )
  when not matched then
    insert (
      org_id, invoice_id, line_number, product_id, description, quantity, unit_price, tax_percent
    )
    values (
      p_org_id, s.invoice_id, s.line_number, s.product_id, s.description, s.quantity, s.unit_price,
      s.tax_percent
    );
end;
$$;

create type private.route_row as (
  route_number      text,
  stop_number       integer,
  start_location_id uuid,
  scheduled_on      date,
  departs_at        time,
  driver            text,
  vehicle           text,
  status            text,
  customer_id       uuid,
  arrives_from      time,
  arrives_until     time,
  outcome           text,
  instructions      text
);

create function private.apply_routes(
  p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.route_row[]
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  merge into public.delivery_routes as t
  using (
    select
      r.route_number,
      any_value(r.start_location_id) as start_location_id,
      any_value(r.scheduled_on) as scheduled_on,
      any_value(r.departs_at) as departs_at,
      any_value(r.driver) as driver,
      any_value(r.vehicle) as vehicle,
      any_value(r.status) as status
    from unnest(p_rows) as r
    group by r.route_number
    order by r.route_number
    offset 0
  ) as s
  on p_mode <> 'insert' and t.org_id = p_org_id and t.route_number = s.route_number
  when matched and p_mode = 'delete' then
    delete
  when matched and row(
      t.start_location_id, t.scheduled_on, t.departs_at, t.driver, t.vehicle, t.status
    ) is distinct from row(
      coalesce(s.start_location_id, t.start_location_id), coalesce(s.scheduled_on, t.scheduled_on),
      coalesce(s.departs_at, case when 'departs_at' <> all (p_clear) then t.departs_at end),
      coalesce(s.driver, case when 'driver' <> all (p_clear) then t.driver end),
      coalesce(s.vehicle, case when 'vehicle' <> all (p_clear) then t.vehicle end),
      coalesce(s.status, t.status)
    ) then
    update set (
      start_location_id, scheduled_on, departs_at, driver, vehicle, status
    ) = row(
      coalesce(s.start_location_id, t.start_location_id), coalesce(s.scheduled_on, t.scheduled_on),
      coalesce(s.departs_at, case when 'departs_at' <> all (p_clear) then t.departs_at end),
      coalesce(s.driver, case when 'driver' <> all (p_clear) then t.driver end),
      coalesce(s.vehicle, case when 'vehicle' <> all (p_clear) then t.vehicle end),
      coalesce(s.status, t.status)
    )
  when not matched and p_mode = 'insert' then
    insert (
      org_id, route_number, start_location_id, scheduled_on, departs_at, driver, vehicle, status
    )
    values (
      p_org_id, s.route_number, s.start_location_id, s.scheduled_on, s.departs_at, s.driver, s.vehicle,
      coalesce(s.status, 'planned')
    );

  if p_mode = 'delete' then
    return;
  end if;

  merge into public.delivery_stops as t
  using (
    select
      d.id as route_id,
      r.stop_number, r.customer_id, r.arrives_from, r.arrives_until, r.outcome, r.instructions
    from unnest(p_rows) as r
    cross join lateral (
      select p.id from public.delivery_routes as p where p.org_id = p_org_id and p.route_number = r.route_number offset 0
    ) as d
    order by r.route_number, r.stop_number
    offset 0
  ) as s
  on t.org_id = p_org_id and t.route_id = s.route_id and t.stop_number = s.stop_number
  when matched and row(
      t.customer_id, t.arrives_from, t.arrives_until, t.outcome, t.instructions
    ) is distinct from row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.arrives_from, case when 'arrives_from' <> all (p_clear) then t.arrives_from end),
      coalesce(s.arrives_until, case when 'arrives_until' <> all (p_clear) then t.arrives_until end),
      coalesce(s.outcome, case when 'outcome' <> all (p_clear) then t.outcome end),
      coalesce(s.instructions, case when 'instructions' <> all (p_clear) then t.instructions end)
    ) then
    update set (
      customer_id, arrives_from, arrives_until, outcome, instructions
    ) = row(
      coalesce(s.customer_id, t.customer_id),
      coalesce(s.arrives_from, case when 'arrives_from' <> all (p_clear) then t.arrives_from end),
      coalesce(s.arrives_until, case when 'arrives_until' <> all (p_clear) then t.arrives_until end),
      coalesce(s.outcome, case when 'outcome' <> all (p_clear) then t.outcome end),
      coalesce(s.instructions, case when 'instructions' <> all (p_clear) then t.instructions end)
    )
  when not matched then
    insert (
      org_id, route_id, stop_number, customer_id, arrives_from, arrives_until, outcome, instructions
    )
    values (
      p_org_id, s.route_id, s.stop_number, s.customer_id, s.arrives_from, s.arrives_until, s.outcome,
      s.instructions
    );
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.apply_orders(uuid, public.import_mode, text[], private.order_row[]),
  private.apply_invoices(uuid, public.import_mode, text[], private.invoice_row[]),
  private.apply_routes(uuid, public.import_mode, text[], private.route_row[])
  to authenticated, service_role;

-- Datasets ----------------------------------------------------------------------------------------

select private.register_dataset('orders', 'public.orders', '{order_number,line_number}', entity_type => 'order',
  group_field => 'order_number', lines => 'public.order_lines', apply_function => 'private.apply_orders');
select private.register_dataset('invoices', 'public.invoices', '{invoice_number,line_number}', entity_type => 'invoice',
  group_field => 'invoice_number', lines => 'public.invoice_lines', apply_function => 'private.apply_invoices');
select private.register_dataset('payments', 'public.payments', '{payment_number}', entity_type => 'payment');
select private.register_dataset('delivery_routes', 'public.delivery_routes', '{route_number,stop_number}', entity_type => 'delivery_route',
  group_field => 'route_number', lines => 'public.delivery_stops', apply_function => 'private.apply_routes');

update public.dataset_fields as f
set aliases = a.aliases, rules = f.rules || a.rules
from (values
  ('orders', 'order_number', '{order_no, order, order_id, auftrag, auftragsnummer, auftrags_nr, bestellnummer, belegnummer}'::text[], '{}'::jsonb),
  ('orders', 'line_number', '{line_no, line, position, pos, item_no, zeile, positionsnummer}', '{}'),
  ('orders', 'customer', '{customer_no, customer_number, customer_id, kunde, kundennummer, kunden_nr, kdnr, debitor}', '{}'),
  ('orders', 'ordered_on', '{order_date, date, ordered_at, auftragsdatum, bestelldatum, bestellt_am, datum}', '{}'),
  ('orders', 'requested_on', '{requested_date, delivery_date, due_date, wunschtermin, liefertermin, lieferdatum}', '{}'),
  ('orders', 'status', '{order_status, state, auftragsstatus}', '{}'),
  ('orders', 'currency', '{currency_code, waehrung, währung}', '{}'),
  ('orders', 'shipping_cost', '{shipping, freight, delivery_cost, versandkosten, fracht, porto}', '{}'),
  ('orders', 'customer_reference', '{reference, your_reference, po_number, purchase_order, kundenreferenz, ihr_zeichen, ihre_bestellung}', '{}'),
  ('orders', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('orders', 'product', '{sku, article, article_number, article_no, item, item_number, product_number, artikel, artikelnummer, art_nr}', '{}'),
  ('orders', 'quantity', '{qty, amount, count, menge, anzahl, stueck, stück}', '{}'),
  ('orders', 'unit_price', '{price, net_price, preis, einzelpreis, stückpreis, stueckpreis}', '{}'),
  ('orders', 'discount_percent', '{discount, rebate, rabatt, rabatt_prozent}', '{}'),
  ('invoices', 'invoice_number', '{invoice_no, invoice, invoice_id, bill_number, rechnung, rechnungsnummer, rechnungs_nr, belegnummer}', '{}'),
  ('invoices', 'line_number', '{line_no, line, position, pos, item_no, zeile, positionsnummer}', '{}'),
  ('invoices', 'customer', '{customer_no, customer_number, customer_id, kunde, kundennummer, kunden_nr, kdnr, debitor}', '{}'),
  ('invoices', 'order', '{order_no, order_number, order_id, auftrag, auftragsnummer, bestellnummer}', '{}'),
  ('invoices', 'issued_on', '{invoice_date, date, issued_at, rechnungsdatum, datum}', '{}'),
  ('invoices', 'due_on', '{due_date, payable_until, faellig_am, fällig_am, faelligkeit, fälligkeit, zahlbar_bis}', '{}'),
  ('invoices', 'status', '{invoice_status, state, rechnungsstatus}', '{}'),
  ('invoices', 'currency', '{currency_code, waehrung, währung}', '{}'),
  ('invoices', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('invoices', 'product', '{sku, article, article_number, article_no, item, item_number, product_number, artikel, artikelnummer, art_nr}', '{}'),
  ('invoices', 'description', '{text, details, bezeichnung, beschreibung, leistung}', '{}'),
  ('invoices', 'quantity', '{qty, count, menge, anzahl, stueck, stück}', '{}'),
  ('invoices', 'unit_price', '{price, net_price, preis, einzelpreis, nettopreis}', '{}'),
  ('invoices', 'tax_percent', '{tax, tax_rate, vat, vat_rate, mwst, ust, steuersatz}', '{}'),
  ('payments', 'payment_number', '{payment_no, payment, payment_id, receipt_number, zahlung, zahlungsnummer, id}', '{}'),
  ('payments', 'invoice', '{invoice_no, invoice_number, invoice_id, rechnung, rechnungsnummer}', '{}'),
  ('payments', 'order', '{order_no, order_number, order_id, auftrag, auftragsnummer, bestellnummer}', '{}'),
  ('payments', 'paid_on', '{payment_date, date, paid_at, received_on, zahlungsdatum, bezahlt_am, zahlungseingang, datum}', '{}'),
  ('payments', 'amount', '{total, sum, paid, betrag, summe}', '{}'),
  ('payments', 'currency', '{currency_code, waehrung, währung}', '{}'),
  ('payments', 'method', '{payment_method, type, zahlungsart, zahlungsweise}', '{}'),
  ('payments', 'bank_reference', '{reference, remittance, purpose, verwendungszweck, referenz}', '{}'),
  ('payments', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('delivery_routes', 'route_number', '{route_no, route, route_id, tour, tournummer, tour_nr}', '{}'),
  ('delivery_routes', 'stop_number', '{stop_no, stop, sequence, position, pos, halt, reihenfolge}', '{}'),
  ('delivery_routes', 'start_location', '{start, depot, warehouse, warehouse_code, from, lager, startlager, abfahrtsort}', '{}'),
  ('delivery_routes', 'scheduled_on', '{date, route_date, delivery_date, liefertag, tourdatum, datum}', '{}'),
  ('delivery_routes', 'departs_at', '{departure, departure_time, start_time, abfahrt, abfahrtszeit}', '{}'),
  ('delivery_routes', 'driver', '{driver_name, fahrer}', '{}'),
  ('delivery_routes', 'vehicle', '{truck, van, licence_plate, license_plate, fahrzeug, kennzeichen}', '{}'),
  ('delivery_routes', 'status', '{route_status, state, tourstatus}', '{}'),
  ('delivery_routes', 'customer', '{customer_no, customer_number, customer_id, kunde, kundennummer, kunden_nr, kdnr, debitor}', '{}'),
  ('delivery_routes', 'arrives_from', '{arrival, arrival_from, window_start, earliest, ankunft, ankunft_ab, frühestens}', '{}'),
  ('delivery_routes', 'arrives_until', '{arrival_until, window_end, latest, ankunft_bis, spätestens}', '{}'),
  ('delivery_routes', 'outcome', '{result, stop_status, delivered, ergebnis}', '{}'),
  ('delivery_routes', 'instructions', '{note, notes, comment, remark, hinweis, bemerkung}', '{}')
) as a (dataset, name, aliases, rules)
where f.dataset = a.dataset and f.name = a.name;
