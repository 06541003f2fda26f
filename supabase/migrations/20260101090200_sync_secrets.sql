-- The secrets of an organization, by which its sources know who asks: kept in Vault, named by their sources.
-- Needs: tenancy, activity, Vault.
-- Exposes: set_sync_secret, delete_sync_secret, list_sync_secrets.

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('sync.secrets_per_organization', 'number', 0, 10000, '100', 'system_admin', 'Secrets for its sources that an organization may have.');

-- The one place where the name is built: nobody names a secret of Vault in full, so nobody reaches another's.
create function private.sync_secret_name(p_org_id uuid, p_name text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('sluice/org/%s/%s', p_org_id, p_name);
$$;

-- For the tasks that need it; never for clients.
create function private.read_sync_secret(p_org_id uuid, p_name text)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_value text;
begin
  select s.decrypted_secret into v_value
  from vault.decrypted_secrets as s
  where s.name = private.sync_secret_name(p_org_id, p_name);
  if not found then
    raise exception using
      errcode = 'SY004',
      message = 'secret of the source is missing',
      detail  = format('secret %s', p_name),
      hint    = 'An admin of the organization sets it (set_sync_secret).';
  end if;
  return v_value;
end;
$$;

-- Definer: Vault is closed to callers. Authorises first.
create function private.write_sync_secret(p_org_id uuid, p_name text, p_value text)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  c_longest constant integer := 8192;
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_name   text := private.sync_secret_name(v_org_id, p_name);
  v_most   integer := private.setting('sync.secrets_per_organization', v_org_id)::integer;
begin
  perform private.require_org_role(v_org_id, 'admin');
  if (p_name ~ '^[a-z0-9_-]{1,63}$') is not true then
    raise exception using
      errcode = '22023',
      message = 'name of the secret is out of form',
      hint    = 'Up to 63 lower case letters, digits, hyphens and underscores.';
  elsif (length(p_value) between 1 and c_longest and p_value !~ '[\x01-\x1f\x7f]') is not true then
    raise exception using
      errcode = '22023',
      message = 'value of the secret is out of form',
      hint    = format('1 to %s characters on one line: it goes into a header.', c_longest);
  end if;

  perform private.lock_organization(v_org_id); -- two that set it at once
  if exists (select from vault.secrets as s where s.name = v_name) then
    perform vault.update_secret(s.id, p_value) from vault.secrets as s where s.name = v_name;
  elsif (select count(*) from private.read_sync_secrets(v_org_id)) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many secrets',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.secrets_per_organization raised.';
  else
    perform vault.create_secret(p_value, v_name);
  end if;
  perform private.log_activity(v_org_id, 'other', 'updated', 'completed', null, jsonb_build_object('secret', p_name));
end;
$$;

-- Definer: as above.
create function private.remove_sync_secret(p_org_id uuid, p_name text)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
begin
  perform private.require_org_role(v_org_id, 'admin');
  delete from vault.secrets as s where s.name = private.sync_secret_name(v_org_id, p_name) and p_name !~ '/';
  if not found then
    raise exception using errcode = 'PT404', message = 'secret not found';
  end if;
  perform private.log_activity(v_org_id, 'other', 'deleted', 'completed', null, jsonb_build_object('secret', p_name));
end;
$$;

-- Definer: as above. Names and times only.
create function private.read_sync_secrets(p_org_id uuid)
returns table (name text, updated_at timestamptz)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_prefix text := private.sync_secret_name(v_org_id, '');
begin
  perform private.require_org_role(v_org_id, 'admin');
  return query
  select substr(s.name, length(v_prefix) + 1), s.updated_at
  from vault.secrets as s
  where starts_with(s.name, v_prefix) and substr(s.name, length(v_prefix) + 1) !~ '/'
  order by s.name;
end;
$$;

-- Definer: what Vault keeps for an organization goes with it.
create function private.tg_organization__drop_secrets()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from vault.secrets as s where starts_with(s.name, private.sync_secret_name(old.id, ''));
  return null;
end;
$$;

create trigger _500_drop_secrets
  after delete on public.organization
  for each row execute function private.tg_organization__drop_secrets();

-- RPCs --------------------------------------------------------------------------------------------

create function public.set_sync_secret(name text, value text, org_id uuid default null)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.write_sync_secret(set_sync_secret.org_id, set_sync_secret.name, set_sync_secret.value);
$$;
comment on function public.set_sync_secret(text, text, uuid) is
  'Keeps a secret of the organization in Vault, for its sources to name, or replaces it; it cannot be read again. For admins. '
  'Errors: 22023, 42501, PT404, PT429 (too many).';

create function public.delete_sync_secret(name text, org_id uuid default null)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.remove_sync_secret(delete_sync_secret.org_id, delete_sync_secret.name);
$$;
comment on function public.delete_sync_secret(text, uuid) is 'Deletes a secret; runs of sources that name it fail. For admins. Errors: 42501, PT404.';

create function public.list_sync_secrets(org_id uuid default null)
returns table (name text, updated_at timestamptz)
language sql stable
security invoker
set search_path = ''
as $$
  select s.* from private.read_sync_secrets(list_sync_secrets.org_id) as s;
$$;
comment on function public.list_sync_secrets(uuid) is 'Names of the organization''s secrets, never their values. For admins. Errors: 42501, PT404.';

revoke all on function
  public.set_sync_secret(text, text, uuid), public.delete_sync_secret(text, uuid), public.list_sync_secrets(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.set_sync_secret(text, text, uuid), public.delete_sync_secret(text, uuid), public.list_sync_secrets(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.write_sync_secret(uuid, text, text), private.remove_sync_secret(uuid, text), private.read_sync_secrets(uuid)
  to authenticated, service_role;
