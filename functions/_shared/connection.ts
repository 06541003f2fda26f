import process from 'node:process'
import postgres from 'postgres'

/** A direct connection to the database, for what the Data API cannot do: COPY. */
export type Connection = postgres.Sql
/** A transaction on it. */
export type Transaction = postgres.TransactionSql

let pool: Connection | undefined

/**
 * The connections of this process, opened when first needed. An upload holds one for as long as it lasts, so there are
 * a few; each counts against the database's limit only while it is in use.
 */
export function connection(): Connection {
  if (pool) return pool
  const url = process.env.SLUICE_DB_URL ?? process.env.SUPABASE_DB_URL
  if (!url) throw new Error('SLUICE_DB_URL or SUPABASE_DB_URL must be set')
  pool = postgres(url, {
    max: 4,
    prepare: false, // a transaction pooler may stand in between
    fetch_types: false,
    idle_timeout: 10,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: 'sluice imports' },
  })
  return pool
}
