-- Commerce: the business tables and their datasets. Viewers read, members write, admins delete.
-- Needs: datasets.
-- Exposes: customers, products, and the datasets of those names.

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
  credit_limit numeric(12,2),
  signup_date  date,
  is_active    boolean not null default true,
  notes        text,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),

  constraint customers_org_id_external_id_key unique (org_id, external_id),
  constraint customers_external_id_check check (length(external_id) <= 100),
  constraint customers_name_check check (length(name) <= 200),
  constraint customers_country_check check (country ~ '^[A-Z]{2}$'),
  constraint customers_credit_limit_check check (credit_limit >= 0)
);
alter table public.customers enable row level security;
comment on table public.customers is 'Whom an organization sells to.';
comment on column public.customers.external_id is 'The customer''s number in the organization''s own books: the key of imports.';
comment on column public.customers.country is 'ISO 3166-1 alpha-2, upper case.';

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
  constraint products_org_id_barcode_key unique (org_id, barcode),
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

create trigger _100_touch_updated_at
  before update on public.customers
  for each row execute function private.tg__touch_updated_at();
create trigger _100_touch_updated_at
  before update on public.products
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

-- Grants: id, organization and times are not for clients to change --------------------------------

revoke all on public.customers, public.products from public, anon, authenticated, service_role;
grant select, delete on public.customers, public.products to authenticated, service_role;
grant insert (org_id, external_id, name, email, phone, street, postal_code, city, country, credit_limit, signup_date, is_active, notes),
  update (external_id, name, email, phone, street, postal_code, city, country, credit_limit, signup_date, is_active, notes)
  on public.customers to authenticated, service_role;
grant insert (org_id, sku, name, description, category, unit_price, currency, weight_kg, barcode, is_active),
  update (sku, name, description, category, unit_price, currency, weight_kg, barcode, is_active)
  on public.products to authenticated, service_role;

-- Datasets ----------------------------------------------------------------------------------------

select private.register_dataset('customers', 'public.customers', '{external_id}', entity_type => 'customer');
select private.register_dataset('products', 'public.products', '{sku}', entity_type => 'product');

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
  ('customers', 'credit_limit', '{limit, credit, kreditlimit}', '{}'),
  ('customers', 'signup_date', '{signed_up, customer_since, since, registered_at, kunde_seit}', '{}'),
  ('customers', 'is_active', '{active, enabled, aktiv, status}', '{}'),
  ('customers', 'notes', '{note, comment, comments, remark, bemerkung, notiz}', '{}'),
  ('products', 'sku', '{article_number, article_no, item_number, product_number, product_id, artikelnummer, art_nr, id}', '{}'),
  ('products', 'name', '{product_name, title, bezeichnung, artikel}', '{}'),
  ('products', 'description', '{details, text, beschreibung}', '{}'),
  ('products', 'category', '{group, product_group, warengruppe, kategorie}', '{}'),
  ('products', 'unit_price', '{price, list_price, preis, einzelpreis}', '{}'),
  ('products', 'currency', '{currency_code, waehrung, währung}', '{}'),
  ('products', 'weight_kg', '{weight, gewicht}', '{}'),
  ('products', 'barcode', '{ean, gtin, upc}', '{"unique_in_file": true}'),
  ('products', 'is_active', '{active, enabled, aktiv}', '{}')
) as a (dataset, name, aliases, rules)
where f.dataset = a.dataset and f.name = a.name;
