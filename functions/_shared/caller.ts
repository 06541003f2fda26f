import type { SupabaseContext } from '@supabase/server'
import type { Database } from './database.types.ts'
import { type DatabaseResult, dataOf } from './reply.ts'
import type { StoredFiles } from './stored-files.ts'

type Rpc = keyof Database['public']['Functions']

/** Calls an RPC as the caller of the request and gives its data; a refusal is thrown. */
export type CallDatabase = (rpc: Rpc, args: Record<string, unknown>) => Promise<unknown>

/** What a request is handled with, as its caller. */
export interface Environment {
  db: CallDatabase
  files: StoredFiles
}

/** In secret mode `ctx.supabase` is anonymous: the service's own client is the admin's. */
export function clientFor(ctx: SupabaseContext): SupabaseContext['supabase'] {
  return ctx.authMode === 'secret' ? ctx.supabaseAdmin : ctx.supabase
}

/** The RPCs of the database, as the caller. An argument that is undefined is left out, so that its default holds. */
export function databaseOf(ctx: SupabaseContext): CallDatabase {
  const client = clientFor(ctx)
  return async (rpc, args) => dataOf((await client.rpc(rpc, args)) as DatabaseResult)
}
