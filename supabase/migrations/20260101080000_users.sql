-- Users: who they are to an import, and what is wrong with a row that is to make, change or delete one.
-- Needs: tenancy, datasets.
-- Exposes: nothing to clients. private.users, private.check_users() to the dataset users.

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('users.may_confirm', 'boolean', null, null, 'false', 'system_admin', 'Admins may set passwords and hashes, and people whom they create are confirmed at once; without it they are invited.'),
  ('users.password_min_length', 'number', 6, 72, '8', 'admin', 'Characters that a password has at least.'),
  ('users.password_kinds', 'number', 1, 4, '1', 'admin', 'How many of these a password has: lower case letters, upper case letters, digits, other characters.');

create index profiles_email_idx on public.profiles (lower(email));

-- The people whom the caller may manage. Its columns are what an import compares, so who has signed in since is
-- another than the import made. Owned by postgres, as the API roles may not read auth.users; hence the barrier and the
-- condition. Accounts of single sign-on are left out: their addresses are not unique, and their provider manages them.
create view private.users
with (security_barrier = true)
as
select
  p.id,
  p.org_id,
  lower(p.email) as email,
  p.full_name,
  p.org_role as role,
  u.phone,
  u.raw_user_meta_data as metadata,
  (select o.slug from public.organization as o where o.id = p.org_id) as organization,
  u.last_sign_in_at is not null as signed_in
from public.profiles as p
cross join lateral ( -- fenced: statistics from when there were few would have accounts lead, all of them
  select a.phone::text as phone, a.raw_user_meta_data, a.last_sign_in_at
  from auth.users as a
  where a.id = p.id and not a.is_sso_user
  offset 0
) as u
where p.org_id = any (array(select private.org_ids('admin')))
  or (select private.is_service_caller() or private.is_system_admin());
comment on view private.users is 'The people whom the caller may manage: those of their organization; for system admins and the service, all.';

-- What an import says of a person.
create type private.user_row as (
  email         text,
  password      text,
  password_hash text,
  full_name     text,
  role          public.org_role,
  phone         text,
  metadata      jsonb,
  organization  text,
  send_invite   boolean
);

-- The same, with what is known of the person who has the address.
create type private.named_user as (
  place           integer,
  said            private.user_row,
  address         text, -- the e-mail address and the phone number, as the auth service keeps them
  digits          text,
  org_id          uuid, -- which the row names; null where there is not exactly one
  person_id       uuid,
  person_org_id   uuid,
  person_role     public.org_role,
  is_active_admin boolean,
  is_system_admin boolean,
  is_taken        boolean -- by that person, or as the address of a linked identity
);

-- Forms ---------------------------------------------------------------------------------------------

-- plpgsql, not sql: what pins its search_path is not inlined, and an sql function starts anew with every row.

-- Why a text is no e-mail address that the auth service would take; null where it is one.
create function private.email_fault(p_email text)
returns text
language plpgsql immutable strict
security invoker
set search_path = ''
as $$
declare
  c_local  constant text := '[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+';
  c_label  constant text := '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
begin
  if octet_length(p_email) <= 255 and p_email ~ ('^' || c_local || '@' || c_label || '([.]' || c_label || ')+$') then
    return null;
  end if;
  return case
    when octet_length(p_email) > 255 then 'longer than 255 bytes'
    when p_email ~ '[[:space:]]' then 'it has a blank in it'
    when p_email !~ '@' then 'it has no @'
    when p_email ~ '@.*@' then 'it has more than one @'
    when p_email ~ '^@' then 'there is nothing before the @'
    when p_email ~ '@$' then 'there is nothing after the @'
    when p_email ~ '[^!-~]' then 'it has characters that are not ASCII'
    when p_email !~ ('^' || c_local || '@') then 'a character before the @ is not allowed'
    when p_email !~ '@.*[.]' then 'the domain has no dot'
    else 'the domain is malformed'
  end;
end;
$$;

-- What the auth service can verify: bcrypt, argon2i and argon2id, Firebase's scrypt. Argon2 within its own bounds; it has none
-- for the others, so that a hash could take all of its time (bcrypt) or memory (2^n * r * 128 bytes) at each sign-in:
-- bcrypt to cost 15, about two seconds, scrypt as far as Firebase goes.
create function private.is_password_hash(p_hash text)
returns boolean
language plpgsql immutable strict
security invoker
set search_path = ''
as $$
declare
  c_bcrypt   constant text := '^\$2[abxy]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}$';
  c_argon2   constant text := '^\$argon2id?\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9][0-9]?)'
    '\$(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}\$(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}$';
  c_fbscrypt constant text := '^\$fbscrypt\$v=1,n=([1-9]|1[0-4]),r=[1-8],p=([1-9]|1[0-6])'
    '(,ss=[A-Za-z0-9+/]+={0,2})?(,sk=[A-Za-z0-9+/]+={0,2})?\$[A-Za-z0-9+/]+={0,2}\$[A-Za-z0-9+/]+={0,2}$';
  v_parts text[];
begin
  if octet_length(p_hash) > 255 then
    return false;
  elsif starts_with(p_hash, '$2') then
    return p_hash ~ c_bcrypt;
  elsif starts_with(p_hash, '$fbscrypt') then
    return p_hash ~ c_fbscrypt;
  end if;
  v_parts := regexp_match(p_hash, c_argon2);
  return coalesce(v_parts[1]::integer <= 1048576 and v_parts[2]::integer <= 20 and v_parts[3]::integer <= 16, false);
end;
$$;

-- What is too weak of a password; null where nothing is.
create function private.password_fault(p_password text, p_min_length integer, p_kinds integer)
returns text
language plpgsql immutable strict
security invoker
set search_path = ''
as $$
begin
  return case
    when char_length(p_password) < p_min_length then format('shorter than %s characters', p_min_length)
    when (p_password ~ '[a-z]')::integer + (p_password ~ '[A-Z]')::integer + (p_password ~ '[0-9]')::integer
        + (p_password ~ '[^a-zA-Z0-9]')::integer < p_kinds
      then format('has fewer than %s of: lower case, upper case, digits, others', p_kinds)
  end;
end;
$$;

-- As the auth service keeps them: digits alone, without the (0) that only those dial who leave the country code out.
create function private.phone_digits(p_phone text)
returns text
language plpgsql immutable strict
security invoker
set search_path = ''
as $$
begin
  return nullif(regexp_replace(regexp_replace(
    regexp_replace(p_phone, '^(([+]|00)[0-9 ]+)[(]0[)]', '\1'), '[ ()./-]', '', 'g'), '^([+]|00)', ''), '');
end;
$$;

-- Rights --------------------------------------------------------------------------------------------

create function private.is_users_manager()
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select private.is_service_caller() or private.is_system_admin();
$$;

create function private.may_confirm_users(p_org_id uuid)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select private.is_users_manager() or private.setting('users.may_confirm', p_org_id)::boolean;
$$;

-- Judging -------------------------------------------------------------------------------------------

create type private.user_fault as (field text, code text, message text, value text);

-- The persons and organizations that rows name. Rows lead the joins, behind fences: the statistics may not know yet how
-- many people there are.
create function private.name_users(p_org_id uuid, p_rows private.user_row[])
returns setof private.named_user
language sql stable
security invoker
rows 2000
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
as $$
  with organizations as materialized ( -- anybody may take names: one's own comes first, and Acme is rather a name than a slug
    select n.name, coalesce(
      (select o.id from public.organization as o where o.id = p_org_id and lower(n.name) in (o.slug, lower(o.name))),
      (select o.id from public.organization as o where o.slug = n.name),
      (
        select case count(*)
          when 0 then (select s.id from public.organization as s where s.slug = lower(n.name))
          when 1 then any_value(o.id)
        end
        from public.organization as o
        where lower(o.name) = lower(n.name)
      )
    ) as id
    from (select distinct btrim(r.organization) as name from unnest(p_rows) as r) as n
  )
  select
    r.place::integer,
    row(r.email, r.password, r.password_hash, r.full_name, r.role, r.phone, r.metadata, r.organization, r.send_invite)::private.user_row,
    lower(r.email),
    private.phone_digits(r.phone),
    case when r.organization is null then p_org_id else o.id end,
    p.id,
    p.org_id,
    p.org_role,
    p.is_active and p.org_role = 'admin',
    p.is_system_admin,
    p.id is not null or exists (
      select from auth.identities as i where i.email = lower(r.email) and i.provider not like 'sso:%'
    )
  from unnest(p_rows) with ordinality
    as r (email, password, password_hash, full_name, role, phone, metadata, organization, send_invite, place)
  left join organizations as o on o.name = btrim(r.organization)
  left join lateral (
    select f.*
    from (select a.* from public.profiles as a where lower(a.email) = lower(r.email) offset 0) as f
    where exists (select from auth.users as u where u.id = f.id and not u.is_sso_user offset 0)
    limit 1
  ) as p on true;
$$;

-- What is wrong with rows, whoever asks for what: with the rights of the claims. One thing a field.
create function private.judge_users(p_org_id uuid, p_mode public.import_mode, p_users private.named_user[])
returns table (place integer, field text, code text, message text, value text)
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_is_manager  constant boolean := private.is_users_manager();
  c_may_confirm constant boolean := private.may_confirm_users(p_org_id);
  c_role        constant public.org_role := (select p.org_role from public.profiles as p where p.id = auth.uid());
  c_min_length  constant integer := private.setting('users.password_min_length', p_org_id)::integer;
  c_kinds       constant integer := private.setting('users.password_kinds', p_org_id)::integer;
begin
  return query
  with named as (
    select
      u.*,
      (u.said).*,
      private.email_fault(u.address) as email_fault,
      private.password_fault((u.said).password, c_min_length, c_kinds) as password_fault,
      coalesce(u.person_org_id = u.org_id, false) as is_theirs,
      p_mode = 'insert' or p_mode = 'upsert' and u.person_org_id is distinct from u.org_id as is_new,
      -- no admin any more
      u.is_active_admin and (c_is_manager or u.person_org_id = p_org_id) and case p_mode
        when 'delete' then not u.is_system_admin and u.person_id is distinct from auth.uid()
        else u.person_org_id = u.org_id and (u.said).role < 'admin'
      end as leaves
    from unnest(p_users) as u
  ),
  counted as (
    select
      n.*,
      n.leaves
        and n.place = max(n.place) filter (where n.leaves) over (partition by n.person_org_id)
        and not exists (
          select from public.profiles as p
          join auth.users as a on a.id = p.id and a.deleted_at is null -- the auth service keeps some, for reference
          where p.org_id = n.person_org_id and p.org_role = 'admin' and p.is_active
            and p.id not in (select l.person_id from named as l where l.leaves)
        ) as is_last_admin
    from named as n
  )
  select distinct on (u.place, j.field) u.place, j.field, j.code, j.message, j.value
  from (
    select u.place, array_remove(array[
      case when u.is_new and u.email_fault is not null
        then row('email', 'invalid_format', 'not an e-mail address: ' || u.email_fault, u.email)::private.user_fault end,
      case when u.is_new and u.is_taken
        then row('email', 'already_exists', 'this address has an account', u.address)::private.user_fault end,
      case when p_mode = 'update' and not u.is_theirs
          or p_mode = 'delete' and (u.person_id is null or not c_is_manager and u.person_org_id is distinct from p_org_id)
        then row('email', 'not_found', 'no record has this key', u.address)::private.user_fault end,
      case when p_mode in ('update', 'upsert') and u.is_theirs and u.is_system_admin and not c_is_manager
        then row('email', 'system_admin', 'system admins are not the caller''s to change', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.person_id = auth.uid()
        then row('email', 'own_account', 'one''s own account is not deleted', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.is_system_admin
        then row('email', 'system_admin', 'system admins are not deleted', u.address)::private.user_fault end,
      case when p_mode = 'delete' and u.is_last_admin
        then row('email', 'last_admin', 'the last admin of an organization is not deleted', u.address)::private.user_fault end,
      case when p_mode <> 'delete' and u.is_last_admin
        then row('role', 'last_admin', 'the last admin of an organization stays one', u.role::text)::private.user_fault end,
      case when p_mode <> 'delete' and not c_is_manager and u.role > c_role
        then row('role', 'permission_denied', 'a role above one''s own is not given', u.role::text)::private.user_fault end,
      case when p_mode <> 'delete' and not c_is_manager and u.org_id is distinct from p_org_id
        then row('organization', 'permission_denied', 'only system admins name another organization', u.organization)::private.user_fault end,
      case when p_mode <> 'delete' and u.org_id is null
        then row('organization', 'reference_not_found', 'no organization has this slug, nor exactly one this name', u.organization)::private.user_fault end,
      case when p_mode <> 'delete' and u.password is not null and not c_may_confirm
        then row('password', 'permission_denied', 'passwords are not the caller''s to set: leave the column unmapped, and people are invited', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_hash is not null and not c_may_confirm
        then row('password_hash', 'permission_denied', 'hashes are not the caller''s to set: leave the column unmapped, and people are invited', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password is not null and u.password_hash is not null
        then row('password_hash', 'invalid_format', 'password and hash exclude each other', null)::private.user_fault end,
      case when p_mode <> 'delete' and octet_length(u.password) > 72
        then row('password', 'too_long', 'longer than 72 bytes', null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_fault is not null
        then row('password', 'invalid_format', u.password_fault, null)::private.user_fault end,
      case when p_mode <> 'delete' and u.password_hash is not null and not private.is_password_hash(u.password_hash)
        then row('password_hash', 'invalid_format', 'unknown kind of hash: bcrypt, argon2i, argon2id and fbscrypt are', null)::private.user_fault end,
      case when u.is_new and u.digits !~ '^[1-9][0-9]{6,14}$'
        then row('phone', 'invalid_format', 'not a phone number in international form: +49 30 123456', u.phone)::private.user_fault end,
      case when u.is_new and c_may_confirm and exists (select from auth.users as o where o.phone = u.digits)
        then row('phone', 'already_exists', 'this phone number has an account', u.phone)::private.user_fault end,
      case when p_mode <> 'delete' and jsonb_typeof(u.metadata) <> 'object'
        then row('metadata', 'invalid_type', 'not a JSON object', u.metadata::text)::private.user_fault end
    ], null) as faults
    from counted as u
  ) as u
  cross join lateral unnest(u.faults) with ordinality as j (field, code, message, value, position)
  order by u.place, j.field, j.position;
end;
$$;

-- At validation. Nobody is deleted elsewhere by mistake: who may manage all people names the organization, too.
create function private.check_users(p_org_id uuid, p_mode public.import_mode, p_rows private.user_row[])
returns table (place integer, field text, code text, message text, value text)
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_users private.named_user[] := array(select u from private.name_users(p_org_id, p_rows) as u);
begin
  return query
  select u.place, 'email', 'not_found', 'no record has this key', u.address
  from unnest(v_users) as u
  where p_mode = 'delete' and u.person_org_id is distinct from p_org_id
  union all
  select j.*
  from private.judge_users(p_org_id, p_mode, array(
    select u from unnest(v_users) as u where p_mode <> 'delete' or u.person_org_id = p_org_id
  )) as j;
end;
$$;

revoke all on private.users from public, anon, authenticated, service_role;
grant select on private.users to authenticated, service_role;
revoke all on all functions in schema private from public;
