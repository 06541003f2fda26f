-- Commerce, second part: orders, invoices, payments and delivery routes, and their datasets.
-- Needs: commerce.
-- Exposes: orders, order_lines, invoices, invoice_lines, payments, delivery_routes, delivery_stops, and the datasets
-- orders, invoices, payments and delivery_routes.
--
-- Lines belong to their record: they go with it, and members may delete them, to correct it. A line and
-- its record share no column that a file may fill: both are fields of one row of the file.

create table public.orders (
  id                 uuid primary key default gen_random_uuid(),
  org_id             uuid not null references public.organization (id) on delete cascade,
  order_number       text not null,
  customer_id        uuid not null,
  ordered_on         date not null,
  requested_on       date,
  status             text not null default 'open',
  currency           text not null,
  shipping_cost      numeric(12,2),
  customer_reference text,
  notes              text,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz not null default now(),

  constraint orders_org_id_order_number_key unique (org_id, order_number),
  constraint orders_id_org_id_key unique (id, org_id),
  constraint orders_customer_id_fkey
    foreign key (org_id, customer_id) references public.customers (org_id, id) on delete restrict,
  constraint orders_order_number_check check (length(order_number) <= 100),
  constraint orders_requested_on_check check (requested_on >= ordered_on),
  constraint orders_status_check check (status in ('draft', 'open', 'shipped', 'delivered', 'cancelled')),
  constraint orders_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint orders_shipping_cost_check check (shipping_cost >= 0),
  constraint orders_customer_reference_check check (length(customer_reference) <= 100)
);
alter table public.orders enable row level security;
comment on table public.orders is 'What a customer has ordered. The lines are in order_lines.';
comment on column public.orders.order_number is 'The order''s number: the key of imports.';
comment on column public.orders.requested_on is 'The day on which the customer wants it.';
comment on column public.orders.currency is 'ISO 4217, upper case; of the lines too.';
comment on column public.orders.customer_reference is 'The customer''s own number of the order.';
create index orders_customer_id_idx on public.orders (customer_id, org_id);

create table public.order_lines (
  id               uuid primary key default gen_random_uuid(),
  org_id           uuid not null,
  order_id         uuid not null,
  line_number      integer not null,
  product_id       uuid not null,
  quantity         numeric(12,3) not null,
  unit_price       numeric(12,2) not null,
  discount_percent numeric(5,2),
  line_total       numeric not null
    generated always as (round(quantity * unit_price * (1 - coalesce(discount_percent, 0) / 100), 2)) stored,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),

  constraint order_lines_order_id_org_id_line_number_key unique (order_id, org_id, line_number),
  constraint order_lines_order_id_fkey
    foreign key (org_id, order_id) references public.orders (org_id, id) on delete cascade,
  constraint order_lines_product_id_fkey
    foreign key (org_id, product_id) references public.products (org_id, id) on delete restrict,
  constraint order_lines_line_number_check check (line_number >= 1),
  constraint order_lines_quantity_check check (quantity > 0),
  constraint order_lines_unit_price_check check (unit_price >= 0),
  constraint order_lines_discount_percent_check check (discount_percent >= 0 and discount_percent <= 100)
);
alter table public.order_lines enable row level security;
comment on table public.order_lines is 'The lines of orders.';
comment on column public.order_lines.line_number is 'Counts within the order; with the order''s number the key of imports.';
comment on column public.order_lines.line_total is 'Quantity times price, less the discount. Computed.';
create index order_lines_product_id_idx on public.order_lines (product_id, org_id);

create table public.invoices (
  id             uuid primary key default gen_random_uuid(),
  org_id         uuid not null references public.organization (id) on delete cascade,
  invoice_number text not null,
  customer_id    uuid not null,
  order_id       uuid,
  issued_on      date not null,
  due_on         date,
  status         text not null default 'open',
  currency       text not null,
  notes          text,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),

  constraint invoices_org_id_invoice_number_key unique (org_id, invoice_number),
  constraint invoices_id_org_id_key unique (id, org_id),
  constraint invoices_customer_id_fkey
    foreign key (org_id, customer_id) references public.customers (org_id, id) on delete restrict,
  constraint invoices_order_id_fkey
    foreign key (org_id, order_id) references public.orders (org_id, id) on delete restrict,
  constraint invoices_invoice_number_check check (length(invoice_number) <= 100),
  constraint invoices_due_on_check check (due_on >= issued_on),
  constraint invoices_status_check check (status in ('draft', 'open', 'paid', 'overdue', 'cancelled')),
  constraint invoices_currency_check check (currency ~ '^[A-Z]{3}$')
);
alter table public.invoices enable row level security;
comment on table public.invoices is 'What a customer is to pay. The lines are in invoice_lines.';
comment on column public.invoices.invoice_number is 'The invoice''s number: the key of imports.';
comment on column public.invoices.order_id is 'The order that it is for, where it is for one.';
comment on column public.invoices.currency is 'ISO 4217, upper case; of the lines too.';
create index invoices_customer_id_idx on public.invoices (customer_id, org_id);
create index invoices_order_id_idx on public.invoices (order_id, org_id);

create table public.invoice_lines (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null,
  invoice_id  uuid not null,
  line_number integer not null,
  product_id  uuid,
  description text,
  quantity    numeric(12,3) not null,
  unit_price  numeric(12,2) not null,
  tax_percent numeric(5,2),
  line_total  numeric not null generated always as (round(quantity * unit_price, 2)) stored,
  tax_amount  numeric not null
    generated always as (round(quantity * unit_price * coalesce(tax_percent, 0) / 100, 2)) stored,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),

  constraint invoice_lines_invoice_id_org_id_line_number_key unique (invoice_id, org_id, line_number),
  constraint invoice_lines_invoice_id_fkey
    foreign key (org_id, invoice_id) references public.invoices (org_id, id) on delete cascade,
  constraint invoice_lines_product_id_fkey
    foreign key (org_id, product_id) references public.products (org_id, id) on delete restrict,
  constraint invoice_lines_line_number_check check (line_number >= 1),
  constraint invoice_lines_subject_check check (num_nonnulls(product_id, description) >= 1),
  constraint invoice_lines_description_check check (length(description) <= 500),
  constraint invoice_lines_quantity_check check (quantity > 0),
  constraint invoice_lines_tax_percent_check check (tax_percent >= 0 and tax_percent <= 100)
);
alter table public.invoice_lines enable row level security;
comment on table public.invoice_lines is 'The lines of invoices: a product, or what the description says.';
comment on column public.invoice_lines.line_number is 'Counts within the invoice; with the invoice''s number the key of imports.';
comment on column public.invoice_lines.description is 'What it is for; needed where no product is named.';
comment on column public.invoice_lines.unit_price is 'Before tax; below zero for what is taken off.';
comment on column public.invoice_lines.line_total is 'Quantity times price, before tax. Computed.';
comment on column public.invoice_lines.tax_amount is 'The tax on it. Computed.';
create index invoice_lines_product_id_idx on public.invoice_lines (product_id, org_id);

create table public.payments (
  id             uuid primary key default gen_random_uuid(),
  org_id         uuid not null references public.organization (id) on delete cascade,
  payment_number text not null,
  invoice_id     uuid,
  order_id       uuid,
  paid_on        date not null,
  amount         numeric(12,2) not null,
  currency       text not null,
  method         text,
  bank_reference text,
  notes          text,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),

  constraint payments_org_id_payment_number_key unique (org_id, payment_number),
  constraint payments_invoice_id_fkey
    foreign key (org_id, invoice_id) references public.invoices (org_id, id) on delete restrict,
  constraint payments_order_id_fkey
    foreign key (org_id, order_id) references public.orders (org_id, id) on delete restrict,
  constraint payments_payment_number_check check (length(payment_number) <= 100),
  constraint payments_subject_check check (num_nonnulls(invoice_id, order_id) >= 1),
  constraint payments_amount_check check (amount <> 0),
  constraint payments_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint payments_method_check check (method in ('bank_transfer', 'direct_debit', 'card', 'cash', 'other')),
  constraint payments_bank_reference_check check (length(bank_reference) <= 140)
);
alter table public.payments enable row level security;
comment on table public.payments is 'What came in for an invoice, or for an order in advance.';
comment on column public.payments.payment_number is 'The payment''s number in the organization''s own books: the key of imports.';
comment on column public.payments.invoice_id is 'An invoice or an order is needed, or both.';
comment on column public.payments.amount is 'Below zero for what was paid back.';
comment on column public.payments.currency is 'ISO 4217, upper case.';
create index payments_invoice_id_idx on public.payments (invoice_id, org_id);
create index payments_order_id_idx on public.payments (order_id, org_id);

create table public.delivery_routes (
  id                uuid primary key default gen_random_uuid(),
  org_id            uuid not null references public.organization (id) on delete cascade,
  route_number      text not null,
  start_location_id uuid not null,
  scheduled_on      date not null,
  departs_at        time,
  driver            text,
  vehicle           text,
  status            text not null default 'planned',
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),

  constraint delivery_routes_org_id_route_number_key unique (org_id, route_number),
  constraint delivery_routes_id_org_id_key unique (id, org_id),
  constraint delivery_routes_start_location_id_fkey
    foreign key (org_id, start_location_id) references public.warehouse_locations (org_id, id) on delete restrict,
  constraint delivery_routes_route_number_check check (length(route_number) <= 100),
  constraint delivery_routes_driver_check check (length(driver) <= 200),
  constraint delivery_routes_vehicle_check check (length(vehicle) <= 100),
  constraint delivery_routes_status_check check (status in ('planned', 'under_way', 'completed', 'cancelled'))
);
alter table public.delivery_routes enable row level security;
comment on table public.delivery_routes is 'A vehicle''s way to customers on a day. The stops are in delivery_stops.';
comment on column public.delivery_routes.route_number is 'The route''s number: the key of imports.';
comment on column public.delivery_routes.departs_at is 'Time of day where the route starts, as the times of its stops.';
create index delivery_routes_start_location_id_idx on public.delivery_routes (start_location_id, org_id);

create table public.delivery_stops (
  id            uuid primary key default gen_random_uuid(),
  org_id        uuid not null,
  route_id      uuid not null,
  stop_number   integer not null,
  customer_id   uuid not null,
  arrives_from  time,
  arrives_until time,
  outcome       text,
  instructions  text,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),

  constraint delivery_stops_route_id_org_id_stop_number_key unique (route_id, org_id, stop_number),
  constraint delivery_stops_route_id_fkey
    foreign key (org_id, route_id) references public.delivery_routes (org_id, id) on delete cascade,
  constraint delivery_stops_customer_id_fkey
    foreign key (org_id, customer_id) references public.customers (org_id, id) on delete restrict,
  constraint delivery_stops_stop_number_check check (stop_number >= 1),
  constraint delivery_stops_arrives_until_check check (arrives_until >= arrives_from),
  constraint delivery_stops_outcome_check check (outcome in ('delivered', 'absent', 'refused')),
  constraint delivery_stops_instructions_check check (length(instructions) <= 1000)
);
alter table public.delivery_stops enable row level security;
comment on table public.delivery_stops is 'The stops of delivery routes, each at a customer''s.';
comment on column public.delivery_stops.stop_number is 'Counts within the route; with the route''s number the key of imports.';
comment on column public.delivery_stops.arrives_from is 'When the customer expects it, from this time of day until arrives_until.';
comment on column public.delivery_stops.outcome is 'What came of it; nothing as long as nobody has been there.';
create index delivery_stops_customer_id_idx on public.delivery_stops (customer_id, org_id);

-- References restrict, which costs a deletion half of what no action does; so an organization takes its
-- data along in the order of the references, not in that in which its cascades happen to run.
create function private.tg_organization__delete_commerce()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  delete from public.payments as p where p.org_id = old.id;
  delete from public.invoices as i where i.org_id = old.id;
  delete from public.orders as o where o.org_id = old.id;
  delete from public.delivery_routes as r where r.org_id = old.id;
  delete from public.inventory_levels as l where l.org_id = old.id;
  delete from public.contacts as c where c.org_id = old.id;
  return old;
end;
$$;

create trigger _300_delete_commerce
  before delete on public.organization
  for each row execute function private.tg_organization__delete_commerce();

create trigger _100_touch_updated_at
  before update on public.orders
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.order_lines
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.invoices
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.invoice_lines
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.payments
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.delivery_routes
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.delivery_stops
  for each row execute function private.tg__touch_updated_at();

-- Policies ----------------------------------------------------------------------------------------

create policy orders_select_viewer on public.orders
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy orders_insert_member on public.orders
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy orders_update_member on public.orders
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy orders_delete_admin on public.orders
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy order_lines_select_viewer on public.order_lines
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy order_lines_insert_member on public.order_lines
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy order_lines_update_member on public.order_lines
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy order_lines_delete_member on public.order_lines
  for delete to authenticated using (org_id = any (array(select private.org_ids('member'))));

create policy invoices_select_viewer on public.invoices
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy invoices_insert_member on public.invoices
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy invoices_update_member on public.invoices
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy invoices_delete_admin on public.invoices
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy invoice_lines_select_viewer on public.invoice_lines
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy invoice_lines_insert_member on public.invoice_lines
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy invoice_lines_update_member on public.invoice_lines
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy invoice_lines_delete_member on public.invoice_lines
  for delete to authenticated using (org_id = any (array(select private.org_ids('member'))));

create policy payments_select_viewer on public.payments
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy payments_insert_member on public.payments
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy payments_update_member on public.payments
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy payments_delete_admin on public.payments
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy delivery_routes_select_viewer on public.delivery_routes
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy delivery_routes_insert_member on public.delivery_routes
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy delivery_routes_update_member on public.delivery_routes
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy delivery_routes_delete_admin on public.delivery_routes
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy delivery_stops_select_viewer on public.delivery_stops
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy delivery_stops_insert_member on public.delivery_stops
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy delivery_stops_update_member on public.delivery_stops
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy delivery_stops_delete_member on public.delivery_stops
  for delete to authenticated using (org_id = any (array(select private.org_ids('member'))));

-- Grants: as in the first part --------------------------------------------------------------------

revoke all on public.orders, public.order_lines, public.invoices, public.invoice_lines, public.payments,
  public.delivery_routes, public.delivery_stops from public, anon, authenticated, service_role;
grant select, delete on public.orders, public.order_lines, public.invoices, public.invoice_lines, public.payments,
  public.delivery_routes, public.delivery_stops to authenticated, service_role;
grant insert (id, org_id, order_number, customer_id, ordered_on, requested_on, status, currency, shipping_cost,
    customer_reference, notes),
  update (order_number, customer_id, ordered_on, requested_on, status, currency, shipping_cost,
    customer_reference, notes)
  on public.orders to authenticated, service_role;
grant insert (id, org_id, order_id, line_number, product_id, quantity, unit_price, discount_percent),
  update (line_number, product_id, quantity, unit_price, discount_percent)
  on public.order_lines to authenticated, service_role;
grant insert (id, org_id, invoice_number, customer_id, order_id, issued_on, due_on, status, currency, notes),
  update (invoice_number, customer_id, order_id, issued_on, due_on, status, currency, notes)
  on public.invoices to authenticated, service_role;
grant insert (id, org_id, invoice_id, line_number, product_id, description, quantity, unit_price, tax_percent),
  update (line_number, product_id, description, quantity, unit_price, tax_percent)
  on public.invoice_lines to authenticated, service_role;
grant insert (id, org_id, payment_number, invoice_id, order_id, paid_on, amount, currency, method, bank_reference, notes),
  update (payment_number, invoice_id, order_id, paid_on, amount, currency, method, bank_reference, notes)
  on public.payments to authenticated, service_role;
grant insert (id, org_id, route_number, start_location_id, scheduled_on, departs_at, driver, vehicle, status),
  update (route_number, start_location_id, scheduled_on, departs_at, driver, vehicle, status)
  on public.delivery_routes to authenticated, service_role;
grant insert (id, org_id, route_id, stop_number, customer_id, arrives_from, arrives_until, outcome, instructions),
  update (stop_number, customer_id, arrives_from, arrives_until, outcome, instructions)
  on public.delivery_stops to authenticated, service_role;
