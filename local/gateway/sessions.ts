import { sql } from 'kysely'
import type { LiteConnection } from './lite-connection.ts'

/**
 * Makes the library take the caller's role for every request.
 * By itself it looks, at the first request, whether a table has row level security: if one has, it grants all on all
 * tables to anon; if none has, it runs everything as the superuser from then on.
 */
export function alwaysTakeRole(connection: LiteConnection): void {
  connection.rlsState = 'active'
}

/**
 * Sets what PostgREST sets for a request, the time limits of the role among it. The library sets no limits, and the
 * claims of signed-in callers alone.
 */
export function setSessionAsPostgrest(connection: LiteConnection, limits: () => RoleLimits): void {
  connection.applyJwtSessionContext = async (transaction, vars) => {
    const role = vars.auth?.role || 'anon'
    const claims = JSON.stringify(vars.auth?.jwt ?? { role })
    const { statement_timeout, lock_timeout } = limits().get(role) ?? {}
    await sql`
      select
        set_config('role', ${role}, true),
        set_config('request.jwt.claim.sub', ${String(vars.auth?.uid ?? '')}, true),
        set_config('request.jwt.claim.role', ${role}, true),
        set_config('request.jwt.claims', ${claims}, true),
        set_config('storage.operation', ${String(vars.storage?.operation ?? '')}, true),
        set_config('statement_timeout', ${statement_timeout ?? '0'}, true),
        set_config('lock_timeout', ${lock_timeout ?? '0'}, true)`.execute(transaction)
  }
}

/** Time limits by role. */
export type RoleLimits = Map<string, { statement_timeout?: string; lock_timeout?: string }>

/** The limits that the roles' own settings say, and the authenticator's where they say nothing. */
export async function readRoleLimits(connection: LiteConnection): Promise<RoleLimits> {
  const { rows } = await sql<{ rolname: string; setting: string }>`
    select r.rolname, unnest(r.rolconfig) as setting
    from pg_roles as r
    where r.rolname in ('authenticator', 'anon', 'authenticated', 'service_role')`.execute(connection.kysely)
  const limitsOf = (role: string) =>
    Object.fromEntries(
      rows
        .filter(({ rolname, setting }) => rolname === role && /^(statement|lock)_timeout=/.test(setting))
        .map(({ setting }) => setting.split('=')),
    )
  const inherited = limitsOf('authenticator')
  const roles = ['anon', 'authenticated', 'service_role']
  return new Map(roles.map((role) => [role, { ...inherited, ...limitsOf(role) }]))
}
