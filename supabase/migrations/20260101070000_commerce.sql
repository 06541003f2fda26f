-- Commerce: people, goods and stock, and their datasets. Viewers read, members write, admins delete.
-- Needs: datasets.
-- Exposes: customers, contacts, products, warehouse_locations, inventory_levels, and the datasets of those names.
--
-- References between business tables name the organization too, so that nobody can point at another's
-- record; hence the unique (id, org_id). One index alone begins with the organization, that of the key: a
-- second would be taken for it as long as an organization is new to the statistics.

create table public.customers (
  id           uuid primary key default gen_random_uuid(),
  org_id       uuid not null references public.organization (id) on delete cascade,
  external_id  text not null,
  name         text not null,
  email        text,
  phone        text,
  street       text,
  postal_code  text,
  city         text,
  country      text,
  segment      text,
  credit_limit numeric(12,2),
  signup_date  date,
  is_active    boolean not null default true,
  notes        text,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),

  constraint customers_org_id_external_id_key unique (org_id, external_id),
  constraint customers_id_org_id_key unique (id, org_id),
  constraint customers_external_id_check check (length(external_id) <= 100),
  constraint customers_name_check check (length(name) <= 200),
  constraint customers_country_check check (country ~ '^[A-Z]{2}$'),
  constraint customers_segment_check check (segment in ('key_account', 'regular', 'small')),
  constraint customers_credit_limit_check check (credit_limit >= 0)
);
alter table public.customers enable row level security;
comment on table public.customers is 'Whom an organization sells to.';
comment on column public.customers.external_id is 'The customer''s number in the organization''s own books: the key of imports.';
comment on column public.customers.country is 'ISO 3166-1 alpha-2, upper case.';
comment on column public.customers.segment is 'How the organization treats them.';

create table public.contacts (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id) on delete cascade,
  external_id text not null,
  customer_id uuid not null,
  first_name  text,
  last_name   text not null,
  job_title   text,
  email       text,
  phone       text,
  is_primary  boolean not null default false,
  notes       text,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),

  constraint contacts_org_id_external_id_key unique (org_id, external_id),
  constraint contacts_customer_id_fkey
    foreign key (org_id, customer_id) references public.customers (org_id, id) on delete restrict,
  constraint contacts_external_id_check check (length(external_id) <= 100),
  constraint contacts_first_name_check check (length(first_name) <= 100),
  constraint contacts_last_name_check check (length(last_name) <= 100)
);
alter table public.contacts enable row level security;
comment on table public.contacts is 'Whom one talks to at a customer.';
comment on column public.contacts.external_id is 'The contact''s number in the organization''s own books: the key of imports.';
create index contacts_customer_id_idx on public.contacts (customer_id, org_id);

create table public.products (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id) on delete cascade,
  sku         text not null,
  name        text not null,
  description text,
  category    text,
  unit_price  numeric(12,2) not null,
  currency    text not null default 'EUR',
  weight_kg   numeric(10,3),
  barcode     text,
  is_active   boolean not null default true,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),

  constraint products_org_id_sku_key unique (org_id, sku),
  constraint products_id_org_id_key unique (id, org_id),
  constraint products_barcode_org_id_key unique (barcode, org_id),
  constraint products_sku_check check (length(sku) <= 100),
  constraint products_name_check check (length(name) <= 200),
  constraint products_barcode_check check (length(barcode) <= 100),
  constraint products_unit_price_check check (unit_price >= 0),
  constraint products_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint products_weight_kg_check check (weight_kg >= 0)
);
alter table public.products enable row level security;
comment on table public.products is 'What an organization sells.';
comment on column public.products.sku is 'The article number: the key of imports.';
comment on column public.products.currency is 'ISO 4217, upper case.';

create table public.warehouse_locations (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id) on delete cascade,
  code        text not null,
  name        text not null,
  kind        text not null default 'warehouse',
  street      text,
  postal_code text,
  city        text,
  country     text,
  latitude    numeric(8,6),
  longitude   numeric(9,6),
  is_active   boolean not null default true,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),

  constraint warehouse_locations_org_id_code_key unique (org_id, code),
  constraint warehouse_locations_id_org_id_key unique (id, org_id),
  constraint warehouse_locations_code_check check (length(code) <= 50),
  constraint warehouse_locations_name_check check (length(name) <= 200),
  constraint warehouse_locations_kind_check check (kind in ('warehouse', 'store', 'depot', 'transit')),
  constraint warehouse_locations_country_check check (country ~ '^[A-Z]{2}$'),
  constraint warehouse_locations_latitude_check check (latitude >= -90.0 and latitude <= 90.0),
  constraint warehouse_locations_longitude_check check (longitude >= -180.0 and longitude <= 180.0)
);
alter table public.warehouse_locations enable row level security;
comment on table public.warehouse_locations is 'Where goods are kept, and where routes start.';
comment on column public.warehouse_locations.code is 'Short name of the place: the key of imports.';
comment on column public.warehouse_locations.latitude is 'Degrees, WGS 84, as the longitude.';

create table public.inventory_levels (
  id            uuid primary key default gen_random_uuid(),
  org_id        uuid not null references public.organization (id) on delete cascade,
  product_id    uuid not null,
  location_id   uuid not null,
  quantity      numeric(14,3) not null,
  reserved      numeric(14,3) not null default 0,
  available     numeric not null generated always as (quantity - reserved) stored,
  reorder_level numeric(14,3),
  counted_on    date,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),

  constraint inventory_levels_org_id_product_id_location_id_key unique (org_id, product_id, location_id),
  constraint inventory_levels_product_id_fkey
    foreign key (org_id, product_id) references public.products (org_id, id) on delete restrict,
  constraint inventory_levels_location_id_fkey
    foreign key (org_id, location_id) references public.warehouse_locations (org_id, id) on delete restrict,
  constraint inventory_levels_reserved_check check (reserved >= 0),
  constraint inventory_levels_reorder_level_check check (reorder_level >= 0)
);
alter table public.inventory_levels enable row level security;
comment on table public.inventory_levels is 'How much of a product there is at a location. Product and location are the key of imports.';
comment on column public.inventory_levels.quantity is 'On hand; below zero where more was taken than had been booked in.';
comment on column public.inventory_levels.available is 'On hand and not reserved. Computed.';
create index inventory_levels_location_id_idx on public.inventory_levels (location_id, org_id);

create trigger _100_touch_updated_at
  before update on public.customers
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.contacts
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.products
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.warehouse_locations
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.inventory_levels
  for each row execute function private.tg__touch_updated_at();

-- Policies ----------------------------------------------------------------------------------------

create policy customers_select_viewer on public.customers
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy customers_insert_member on public.customers
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy customers_update_member on public.customers
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy customers_delete_admin on public.customers
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy contacts_select_viewer on public.contacts
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy contacts_insert_member on public.contacts
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy contacts_update_member on public.contacts
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy contacts_delete_admin on public.contacts
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy products_select_viewer on public.products
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy products_insert_member on public.products
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy products_update_member on public.products
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy products_delete_admin on public.products
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy warehouse_locations_select_viewer on public.warehouse_locations
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy warehouse_locations_insert_member on public.warehouse_locations
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy warehouse_locations_update_member on public.warehouse_locations
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy warehouse_locations_delete_admin on public.warehouse_locations
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

create policy inventory_levels_select_viewer on public.inventory_levels
  for select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy inventory_levels_insert_member on public.inventory_levels
  for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))));
create policy inventory_levels_update_member on public.inventory_levels
  for update to authenticated
  using (org_id = any (array(select private.org_ids('member'))))
  with check (org_id = any (array(select private.org_ids('member'))));
create policy inventory_levels_delete_admin on public.inventory_levels
  for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));

-- Grants: organization and times are not for clients to change; an id only where a record comes back --

revoke all on public.customers, public.contacts, public.products, public.warehouse_locations, public.inventory_levels
  from public, anon, authenticated, service_role;
grant select, delete
  on public.customers, public.contacts, public.products, public.warehouse_locations, public.inventory_levels
  to authenticated, service_role;
grant insert (id, org_id, external_id, name, email, phone, street, postal_code, city, country, segment,
    credit_limit, signup_date, is_active, notes),
  update (external_id, name, email, phone, street, postal_code, city, country, segment,
    credit_limit, signup_date, is_active, notes)
  on public.customers to authenticated, service_role;
grant insert (id, org_id, external_id, customer_id, first_name, last_name, job_title, email, phone, is_primary,
    notes),
  update (external_id, customer_id, first_name, last_name, job_title, email, phone, is_primary,
    notes)
  on public.contacts to authenticated, service_role;
grant insert (id, org_id, sku, name, description, category, unit_price, currency, weight_kg, barcode, is_active),
  update (sku, name, description, category, unit_price, currency, weight_kg, barcode, is_active)
  on public.products to authenticated, service_role;
grant insert (id, org_id, code, name, kind, street, postal_code, city, country, latitude, longitude, is_active),
  update (code, name, kind, street, postal_code, city, country, latitude, longitude, is_active)
  on public.warehouse_locations to authenticated, service_role;
grant insert (id, org_id, product_id, location_id, quantity, reserved, reorder_level, counted_on),
  update (product_id, location_id, quantity, reserved, reorder_level, counted_on)
  on public.inventory_levels to authenticated, service_role;

-- Datasets ----------------------------------------------------------------------------------------

select private.register_dataset('customers', 'public.customers', '{external_id}', entity_type => 'customer');
select private.register_dataset('contacts', 'public.contacts', '{external_id}', entity_type => 'contact');
select private.register_dataset('products', 'public.products', '{sku}', entity_type => 'product');
select private.register_dataset('warehouse_locations', 'public.warehouse_locations', '{code}', entity_type => 'warehouse_location');
select private.register_dataset('inventory_levels', 'public.inventory_levels', '{product,location}', entity_type => 'inventory');

update public.dataset_fields as f
set aliases = a.aliases, rules = f.rules || a.rules
from (values
  ('customers', 'external_id', '{customer_no, customer_number, customer_id, id, number, kundennummer, kunden_nr, kdnr, debitor}'::text[], '{}'::jsonb),
  ('customers', 'name', '{customer_name, company, company_name, firma, kunde}', '{}'),
  ('customers', 'email', '{e-mail, mail, email_address, e-mail-adresse}', '{"format": "email"}'),
  ('customers', 'phone', '{telephone, phone_number, tel, telefon, telefonnummer, mobile}', '{"format": "phone"}'),
  ('customers', 'street', '{address, address_line_1, strasse, straße, anschrift}', '{}'),
  ('customers', 'postal_code', '{zip, zip_code, postcode, plz, postleitzahl}', '{}'),
  ('customers', 'city', '{town, ort, stadt}', '{}'),
  ('customers', 'country', '{country_code, land, laendercode}', '{}'),
  ('customers', 'segment', '{customer_segment, customer_class, class, category, kundengruppe, kundenklasse}', '{}'),
  ('customers', 'credit_limit', '{limit, credit, kreditlimit}', '{}'),
  ('customers', 'signup_date', '{signed_up, customer_since, since, registered_at, kunde_seit}', '{}'),
  ('customers', 'is_active', '{active, enabled, aktiv, status}', '{}'),
  ('customers', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('contacts', 'external_id', '{contact_no, contact_number, contact_id, id, number, kontaktnummer, ansprechpartner_nr}', '{}'),
  ('contacts', 'customer', '{customer_no, customer_number, customer_id, kunde, kundennummer, kunden_nr, kdnr, debitor}', '{}'),
  ('contacts', 'first_name', '{forename, given_name, vorname}', '{}'),
  ('contacts', 'last_name', '{surname, family_name, name, nachname}', '{}'),
  ('contacts', 'job_title', '{position, role, function, title, funktion, stellung}', '{}'),
  ('contacts', 'email', '{e-mail, mail, email_address, e-mail-adresse}', '{"format": "email"}'),
  ('contacts', 'phone', '{telephone, phone_number, tel, telefon, telefonnummer, mobile}', '{"format": "phone"}'),
  ('contacts', 'is_primary', '{primary, main, main_contact, hauptkontakt, hauptansprechpartner}', '{}'),
  ('contacts', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('products', 'sku', '{article_number, article_no, item_number, product_number, product_id, artikelnummer, art_nr, id}', '{}'),
  ('products', 'name', '{product_name, title, bezeichnung, artikel}', '{}'),
  ('products', 'description', '{details, text, beschreibung}', '{}'),
  ('products', 'category', '{group, product_group, warengruppe, kategorie}', '{}'),
  ('products', 'unit_price', '{price, list_price, preis, einzelpreis}', '{}'),
  ('products', 'currency', '{currency_code, waehrung, währung}', '{}'),
  ('products', 'weight_kg', '{weight, gewicht}', '{}'),
  ('products', 'barcode', '{ean, gtin, upc}', '{"unique_in_file": true}'),
  ('products', 'is_active', '{active, enabled, aktiv}', '{}'),
  ('warehouse_locations', 'code', '{location_code, warehouse_code, warehouse_no, location_no, id, number, lagercode, lagernummer, lager_nr}', '{}'),
  ('warehouse_locations', 'name', '{location, location_name, warehouse, warehouse_name, lager, bezeichnung}', '{}'),
  ('warehouse_locations', 'kind', '{type, location_type, art, typ, lagerart}', '{}'),
  ('warehouse_locations', 'street', '{address, address_line_1, strasse, straße, anschrift}', '{}'),
  ('warehouse_locations', 'postal_code', '{zip, zip_code, postcode, plz, postleitzahl}', '{}'),
  ('warehouse_locations', 'city', '{town, ort, stadt}', '{}'),
  ('warehouse_locations', 'country', '{country_code, land, laendercode}', '{}'),
  ('warehouse_locations', 'latitude', '{lat, breite, breitengrad}', '{}'),
  ('warehouse_locations', 'longitude', '{lon, lng, long, laenge, länge, längengrad}', '{}'),
  ('warehouse_locations', 'is_active', '{active, enabled, aktiv}', '{}'),
  ('inventory_levels', 'product', '{sku, article, article_number, article_no, item, item_number, product_number, artikel, artikelnummer, art_nr}', '{}'),
  ('inventory_levels', 'location', '{location_code, warehouse, warehouse_code, warehouse_no, lager, lagerort, lagernummer, standort}', '{}'),
  ('inventory_levels', 'quantity', '{qty, on_hand, stock, stock_level, bestand, lagerbestand, menge}', '{}'),
  ('inventory_levels', 'reserved', '{reserved_quantity, allocated, reserviert}', '{}'),
  ('inventory_levels', 'reorder_level', '{reorder_point, minimum, minimum_stock, meldebestand, mindestbestand}', '{}'),
  ('inventory_levels', 'counted_on', '{count_date, counted, stocktaking, inventurdatum, gezaehlt_am, gezählt_am}', '{}')
) as a (dataset, name, aliases, rules)
where f.dataset = a.dataset and f.name = a.name;
