import type { Kysely } from 'kysely'
import type { Sql } from 'postgres'

/** The library's connection with the members that the corrections touch. Private ones: its version is pinned. */
export type LiteConnection = {
  kysely: Kysely<unknown>
  driver: Sql
  rlsState: string
  applyJwtSessionContext(transaction: Kysely<unknown>, vars: RequestVars): Promise<void>
  withContext<T>(
    vars: RequestVars | undefined,
    work: (db: Kysely<unknown>) => Promise<T>,
    options?: object,
  ): Promise<T>
  clearSchemaCache(): Promise<void>
}

type RequestVars = {
  auth?: { role?: string; uid?: unknown; jwt?: object }
  storage?: { operation?: unknown }
}
