-- Fields that name another record by its key.
begin;
select plan(20);
select tests.set_up_actors();

create table public.depots (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  number integer not null,
  unique (org_id, number),
  unique (org_id, id)
);
create table public.parcels (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id),
  code        text not null,
  customer_id uuid not null references public.customers (id),
  depot_id    uuid,
  constraint parcels_key unique (org_id, code),
  foreign key (org_id, depot_id) references public.depots (org_id, id)
);
create table public.stocks (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id),
  customer_id uuid not null references public.customers (id),
  depot_id    uuid not null references public.depots (id),
  quantity    integer,
  unique (org_id, customer_id, depot_id)
);
alter table public.depots enable row level security;
alter table public.parcels enable row level security;
alter table public.stocks enable row level security;
create policy depots_all on public.depots to authenticated using (org_id = any (array(select private.org_ids('member'))));
create policy parcels_all on public.parcels to authenticated using (org_id = any (array(select private.org_ids('member'))));
create policy stocks_all on public.stocks to authenticated using (org_id = any (array(select private.org_ids('member'))));
grant select, insert, update, delete on public.depots, public.parcels, public.stocks to authenticated, service_role;

select private.register_dataset('depots', 'public.depots', '{number}');
select private.register_dataset('parcels', 'public.parcels', '{code}');
select private.register_dataset('stocks', 'public.stocks', '{customer,depot}');

select results_eq(
  $$ select f.name, f.column_name, f.type, f.is_required, f.reference from public.dataset_fields as f
     where f.dataset = 'parcels' order by f.position $$,
  $$ values ('code', 'code', 'text', true, null::jsonb),
       ('customer', 'customer_id', 'text', true, '{"dataset": "customers", "field": "external_id"}'),
       ('depot', 'depot_id', 'integer', false, '{"dataset": "depots", "field": "number"}') $$,
  'a foreign key to a dataset becomes a field of the key''s type, also where it holds the organization');

insert into public.customers (org_id, external_id, name)
values (tests.org_id('acme'), 'C1', 'One'), (tests.org_id('acme'), 'C2', 'Two'), (tests.org_id('bolt'), 'B1', 'Theirs');
insert into public.depots (org_id, number) values (tests.org_id('acme'), 7), (tests.org_id('bolt'), 8);

select tests.act_as('max');
select tests.keep('i', tests.stage_import('parcels', '{code,customer,depot}',
  '[["P1", "C1", "7"], ["P2", "C2", null], ["P3", "C9", "7"], ["P4", "B1", null], ["P5", "C1", "8"], ["P6", "C1", "+07"],
    ["P7", null, null], ["P8", "C1", "x"]]'));
select is(tests.run_import(tests.kept('i')), 'completed', 'an import with references completes');
select results_eq(
  $$ select r.row_number, r.status, r.issues #>> '{0,code}', r.issues #>> '{0,field}', r.issues #>> '{0,value}'
     from public.list_import_rows(tests.kept('i')) as r $$,
  $$ values (1, 'inserted', null, null, null), (2, 'inserted', null, null, null),
       (3, 'failed', 'reference_not_found', 'customer', 'C9'), (4, 'failed', 'reference_not_found', 'customer', 'B1'),
       (5, 'failed', 'reference_not_found', 'depot', '8'), (6, 'inserted', null, null, null),
       (7, 'failed', 'required', 'customer', null), (8, 'failed', 'invalid_type', 'depot', 'x') $$,
  'reference_not_found names the key; another organization''s record is none');
select results_eq(
  $$ select p.code, c.external_id, d.number from public.parcels as p
     join public.customers as c on c.id = p.customer_id left join public.depots as d on d.id = p.depot_id order by p.code $$,
  $$ values ('P1', 'C1', 7), ('P2', 'C2', null), ('P6', 'C1', 7) $$,
  'records refer to those that were named, by value and not by writing');
select is((select message from public.list_import_issues(tests.kept('i'), code => 'reference_not_found') limit 1),
  'no record of Customers has this key', 'the message says where it was looked for');

select tests.keep('again', tests.stage_import('parcels', '{code,customer,depot}',
  '[["P1", "C1", "7"], ["P2", "C1", null], ["P6", "C1", "7"]]'));
select is(tests.run_import(tests.kept('again')), 'completed', 'the same again completes');
select is(tests.counts(tests.kept('again')), '{"rows": 3, "valid": 3, "updated": 1, "unchanged": 2}', 'and changes what differs');

-- Between validation and commit the record goes.
select tests.keep('gone', tests.stage_import('parcels', '{code,customer,depot}', '[["P10", "C1", null], ["P11", "C2", null], ["P12", "C1", "7"]]'));
select is(tests.run_import(tests.kept('gone'), false), 'validated', 'all records are there at validation');
select tests.act_as_role('postgres');
delete from public.parcels;
delete from public.customers where external_id = 'C2';
select tests.act_as('max');
select lives_ok($$ select public.commit_import(tests.kept('gone')) $$, 'the commit starts');
select tests.run_jobs();
select results_eq(
  $$ select r.row_number, r.status, r.issues #>> '{0,code}', r.issues #>> '{0,field}' from public.list_import_rows(tests.kept('gone')) as r $$,
  $$ values (1, 'inserted', null, null), (2, 'failed', 'reference_not_found', 'customer'), (3, 'inserted', null, null) $$,
  'a record that went before the commit costs its rows alone, and is never left out silently');

-- A key of references.
select tests.keep('stock', tests.stage_import('stocks', '{customer,depot,quantity}',
  '[["C1", "7", "5"], ["C1", "07", "6"], ["C9", "7", "1"]]'));
select is(tests.run_import(tests.kept('stock')), 'completed', 'a key may be made of references');
select results_eq(
  $$ select r.row_number, r.status, r.key, r.issues #>> '{0,code}' from public.list_import_rows(tests.kept('stock')) as r $$,
  $$ values (1, 'inserted', 'C1 7', null), (2, 'failed', 'C1 07', 'duplicate_in_file'), (3, 'failed', 'C9 7', 'reference_not_found') $$,
  'its rows are judged by it');
select tests.keep('stock2', tests.stage_import('stocks', '{customer,depot,quantity}', '[["C1", "7", "8"]]', 'update'));
select is(tests.run_import(tests.kept('stock2')), 'completed', 'an update by such a key completes');
select is(tests.counts(tests.kept('stock2')), '{"rows": 1, "valid": 1, "updated": 1}', 'finds its record');
select is((select quantity from public.stocks), 8, 'and changes it');

select tests.act_as('ann');
select tests.keep('stock3', tests.stage_import('stocks', '{customer,depot}', '[["C1", "7"], ["C9", "7"]]', 'delete'));
select is(tests.run_import(tests.kept('stock3')), 'completed', 'a deletion by such a key completes');
select is(tests.counts(tests.kept('stock3')), '{"rows": 2, "valid": 1, "failed": 1, "deleted": 1}', 'and finds its record');

-- Only what the actor may see can be referred to.
select tests.act_as_role('postgres');
create policy customers_hidden on public.customers as restrictive to authenticated using (external_id <> 'C1');
select tests.act_as('max');
select tests.keep('hidden', tests.stage_import('parcels', '{code,customer}', '[["H1", "C1"]]'));
select is(tests.run_import(tests.kept('hidden')), 'completed', 'a reference to a hidden record ends');
select is(tests.counts(tests.kept('hidden')), '{"rows": 1, "valid": 1, "failed": 1}', 'as a failure');
select is((select r.issues #>> '{0,code}' from public.list_import_rows(tests.kept('hidden')) as r), 'reference_not_found',
  'of the reference');

select * from finish();
rollback;
