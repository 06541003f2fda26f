-- Users, applied: accounts, identities and profiles are made, changed and deleted, as the rows of an import say.
-- Needs: users, activity.
-- Exposes: nothing to clients. private.apply_users() to the dataset users.

-- A person to be made.
create type private.new_user as (
  id            uuid,
  org_id        uuid,
  email         text,
  password      text,
  password_hash text,
  full_name     text,
  role          public.org_role,
  phone         text,
  metadata      jsonb,
  is_confirmed  boolean,
  is_invited    boolean
);

-- The auth service's schema ---------------------------------------------------------------------------

-- What is written to its tables, of a person s. It reads some columns into values that cannot be null, so all of its
-- texts are set, although only some of them have a default. sql/verify/auth_schema.sql holds this against the catalog.
create function private.auth_columns()
returns table (table_name text, column_name text, type_name text, expression text)
language sql immutable
security invoker
set search_path = ''
as $$
  values
    ('users', 'instance_id', 'uuid', '''00000000-0000-0000-0000-000000000000''::uuid'),
    ('users', 'id', 'uuid', 's.id'),
    ('users', 'aud', 'text', '''authenticated'''),
    ('users', 'role', 'text', '''authenticated'''),
    ('users', 'email', 'text', 's.email'),
    ('users', 'encrypted_password', 'text', 'coalesce(s.password_hash, '''')'),
    ('users', 'email_confirmed_at', 'timestamptz', 'case when s.is_confirmed then now() end'),
    ('users', 'confirmation_token', 'text', ''''''),
    ('users', 'recovery_token', 'text', ''''''),
    ('users', 'email_change', 'text', ''''''),
    ('users', 'email_change_token_new', 'text', ''''''),
    ('users', 'email_change_token_current', 'text', ''''''),
    ('users', 'email_change_confirm_status', 'int2', '0'),
    ('users', 'phone', 'text', 's.phone'),
    ('users', 'phone_change', 'text', ''''''),
    ('users', 'phone_change_token', 'text', ''''''),
    ('users', 'reauthentication_token', 'text', ''''''),
    ('users', 'raw_app_meta_data', 'jsonb', '''{"provider": "email", "providers": ["email"]}''::jsonb'),
    ('users', 'raw_user_meta_data', 'jsonb', 's.metadata'),
    ('users', 'is_sso_user', 'bool', 'false'),
    ('users', 'is_anonymous', 'bool', 'false'),
    ('users', 'created_at', 'timestamptz', 'now()'),
    ('users', 'updated_at', 'timestamptz', 'now()'),
    ('identities', 'id', 'uuid', 'gen_random_uuid()'),
    ('identities', 'provider_id', 'text', 's.id::text'),
    ('identities', 'user_id', 'uuid', 's.id'),
    ('identities', 'provider', 'text', '''email'''),
    ('identities', 'identity_data', 'jsonb', 'jsonb_build_object(''sub'', s.id, ''email'', s.email, ''email_verified'', false, ''phone_verified'', false)'),
    ('identities', 'created_at', 'timestamptz', 'now()'),
    ('identities', 'updated_at', 'timestamptz', 'now()');
$$;

-- The statement that inserts people $1 into one of its tables, with those of the columns that this version has.
create function private.compile_auth_insert(p_table regclass, p_table_name text)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_columns     text;
  v_expressions text;
  v_unknown     text;
begin
  select
    string_agg(format('%I', a.attname), ', ' order by a.attnum) filter (where c.column_name is not null and a.attgenerated = ''),
    string_agg(c.expression, ', ' order by a.attnum) filter (where a.attgenerated = ''),
    string_agg(format('%I', a.attname), ', ' order by a.attnum)
      filter (where c.column_name is null and a.attnotnull and not a.atthasdef and a.attidentity = '')
  into v_columns, v_expressions, v_unknown
  from pg_attribute as a
  left join private.auth_columns() as c on c.table_name = p_table_name and c.column_name = a.attname
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped;

  if v_unknown is not null then
    raise exception using
      errcode = 'IM006',
      message = 'auth schema requires columns that are not known',
      detail  = format('%s: %s', p_table, v_unknown),
      hint    = 'The auth service is newer than this version of Sluice; sql/verify/auth_schema.sql tells what differs.';
  end if;
  return format('insert into %s (%s) select %s from unnest($1::private.new_user[]) as s order by s.email', p_table, v_columns, v_expressions);
end;
$$;

create function private.insert_accounts(p_users regclass, p_identities regclass, p_people private.new_user[])
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  execute private.compile_auth_insert(p_users, 'users') using p_people;
  execute private.compile_auth_insert(p_identities, 'identities') using p_people;
end;
$$;

-- What is done ----------------------------------------------------------------------------------------

-- One entry a person, of the import that is at work.
create function private.log_users(p_action public.sync_action, p_ids uuid[], p_org_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into public.sync_activity_log (org_id, user_id, sync_id, entity_type, action, status, details)
  select
    coalesce(p.org_id, p_org_id), auth.uid(), nullif(current_setting('sluice.import_id', true), ''), 'user', p_action, 'completed',
    jsonb_build_object('user_id', p.id, 'email', p.email, 'role', p.org_role)
  from public.profiles as p
  where p.id = any (p_ids);
$$;

-- Addresses are inserted in their order, so that two imports of the same ones do not wait for each other crosswise;
-- passwords are hashed at the very end: what is refused has not cost that much.
create function private.insert_users(p_org_id uuid, p_users private.named_user[])
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_may_confirm constant boolean := private.may_confirm_users(p_org_id);
  v_people     private.new_user[];
  v_person     private.new_user;
  v_schema     text;
  v_constraint text;
begin
  -- A phone number signs people in where that is switched on: without the right to confirm it is but metadata.
  v_people := array(
    select row(
      gen_random_uuid(), u.org_id, u.address, (u.said).password, (u.said).password_hash, (u.said).full_name,
      coalesce((u.said).role, 'viewer'),
      case when c_may_confirm then u.digits end,
      coalesce((u.said).metadata, '{}')
        || case when u.digits is not null and not c_may_confirm then jsonb_build_object('phone', u.digits) else '{}' end,
      c_may_confirm and (u.said).send_invite is not true,
      coalesce((u.said).send_invite, not c_may_confirm)
    )::private.new_user
    from unnest(p_users) as u
  );

  begin
    perform private.insert_accounts('auth.users', 'auth.identities', v_people);
  exception when unique_violation then
    get stacked diagnostics v_schema = schema_name, v_constraint = constraint_name;
    if v_schema is distinct from 'auth' then
      raise; -- a trigger's
    end if;
    -- Somebody else was faster, after the rows were judged.
    if v_constraint ~ 'phone' then
      perform private.refuse_row('already_exists', 'phone', 'this phone number has an account');
    end if;
    perform private.refuse_row('already_exists', 'email', 'this address has an account');
  end;

  -- A trigger made them with the accounts. A merge that may insert has the people lead the join, whatever the
  -- statistics take the table for.
  merge into public.profiles as p
  using (select s.* from unnest(v_people) as s order by s.id) as s
  on p.id = s.id
  when matched then
    update set org_id = s.org_id, org_role = s.role, full_name = coalesce(s.full_name, p.full_name)
  when not matched then
    insert (id, email, org_id, org_role, full_name) values (s.id, s.email, s.org_id, s.role, s.full_name);

  perform private.log_users('created', array(select s.id from unnest(v_people) as s), p_org_id);

  perform private.queue_invitations(s.org_id, array_agg(s.id order by s.email))
  from unnest(v_people) as s
  where s.is_invited
  group by s.org_id;

  foreach v_person in array v_people loop
    if v_person.password is not null then
      update auth.users as u
      set encrypted_password = extensions.crypt(v_person.password, extensions.gen_salt('bf', 10))
      where u.id = v_person.id;
    end if;
  end loop;
end;
$$;

-- Name, role and metadata: what signs a person in is theirs.
create function private.change_users(p_org_id uuid, p_clear text[], p_users private.named_user[])
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_user private.named_user;
  v_said private.user_row;
  v_is_changed boolean;
  v_ids  uuid[] := '{}';
begin
  foreach v_user in array p_users loop
    v_said := v_user.said;

    update auth.users as u
    set raw_user_meta_data = s.metadata, updated_at = now()
    from (
      select case
        when 'metadata' = any (p_clear) then coalesce(v_said.metadata, '{}')
        else coalesce(a.raw_user_meta_data, '{}') || coalesce(v_said.metadata, '{}')
      end as metadata
      from auth.users as a
      where a.id = v_user.person_id
    ) as s
    where u.id = v_user.person_id and coalesce(u.raw_user_meta_data, '{}') <> s.metadata;
    v_is_changed := found;

    update public.profiles as p
    set full_name = coalesce(v_said.full_name, case when 'full_name' <> all (p_clear) then p.full_name end),
        org_role  = coalesce(v_said.role, p.org_role)
    where p.id = v_user.person_id
      and (p.full_name, p.org_role) is distinct from (
        coalesce(v_said.full_name, case when 'full_name' <> all (p_clear) then p.full_name end), coalesce(v_said.role, p.org_role));

    if v_is_changed or found then
      v_ids := v_ids || v_user.person_id;
    end if;
  end loop;

  perform private.log_users('updated', v_ids, p_org_id);
end;
$$;

create function private.remove_users(p_org_id uuid, p_ids uuid[])
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.log_users('deleted', p_ids, p_org_id);
  delete from public.profiles as p where p.id = any (p_ids);
  delete from auth.users as u where u.id = any (p_ids);
end;
$$;

-- Judges the rows itself, with the rights of the claims: what validation said of them can be old.
-- Definer: no API role may write accounts, profiles or the log. Authorises first.
create function private.apply_users(
  p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.user_row[]
)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_users private.named_user[];
  v_wrong record;
begin
  perform private.require_org_role(p_org_id, 'admin');

  v_users := array(select u from private.name_users(p_org_id, p_rows) as u);
  if p_mode <> 'insert' then
    -- Two that each take one of two admins away wait for each other, and then look again.
    perform from public.organization as o
    where o.id in (select u.person_org_id from unnest(v_users) as u where u.is_active_admin)
    order by o.id
    for no key update;
    v_users := array(select u from private.name_users(p_org_id, p_rows) as u);
  end if;

  select j.* into v_wrong from private.judge_users(p_org_id, p_mode, v_users) as j limit 1;
  if found then
    perform private.refuse_row(v_wrong.code, v_wrong.field, v_wrong.message, v_wrong.value);
  end if;

  case p_mode
    when 'insert' then perform private.insert_users(p_org_id, v_users);
    when 'update' then perform private.change_users(p_org_id, p_clear, v_users);
    when 'delete' then perform private.remove_users(p_org_id, array(select u.person_id from unnest(v_users) as u));
  end case;
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function private.apply_users(uuid, public.import_mode, text[], private.user_row[]) to authenticated, service_role;

select private.register_dataset('users', 'private.users', '{email}', entity_type => 'user', org_column => null,
  apply_function => 'private.apply_users', check_function => 'private.check_users', required_role => 'admin');

update public.dataset_fields as f
set aliases = a.aliases, rules = f.rules || a.rules, chunk_rows = a.chunk_rows, is_secret = f.name in ('password', 'password_hash')
from (values
  ('email', '{e-mail, mail, email_address, e-mail-adresse, mail_address, user_email, benutzer}'::text[], '{"lower": true}'::jsonb, 1000),
  ('password', '{pass, passwort, kennwort, initial_password}', '{}', 40), -- some two seconds: the last ones keep all workers busy, and a machine ten times as slow is in time
  ('password_hash', '{hash, encrypted_password, passwort_hash, passworthash}', '{}', null),
  ('full_name', '{name, display_name, user_name, anzeigename, vollständiger_name, vor_und_nachname}', '{}', null),
  ('role', '{org_role, user_role, rolle, benutzerrolle, berechtigung}', '{"lower": true}', null),
  ('phone', '{telephone, phone_number, mobile, telefon, telefonnummer, handy, mobil}', '{}', null),
  ('metadata', '{meta, meta_data, user_metadata, raw_user_meta_data, metadaten}', '{}', null),
  ('organization', '{organisation, company, company_name, tenant, firma, unternehmen}', '{}', null),
  ('send_invite', '{invite, invitation, send_invitation, einladen, einladung}', '{}', null)
) as a (name, aliases, rules, chunk_rows)
where f.dataset = 'users' and f.name = a.name;
