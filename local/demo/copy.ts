import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'

/**
 * How many milliseconds PostgreSQL itself needs for a CSV file of customers: a plain COPY into a table that is as
 * public.customers, with its columns, checks, unique keys and the foreign key to the organization. The yardstick for
 * everything else. The table goes again. Without an organization the foreign key, which is looked up for every row, is
 * left out.
 */
export async function timeRawCopy(
  databaseUrl: string,
  file: string,
  rows: number,
  organizationId?: string,
): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
  const schema = sql(`yardstick_${process.pid}`)
  try {
    await sql`create schema ${schema}`
    await sql`create table ${schema}.customers (like public.customers including all)`
    // The file has no organization; a constant costs COPY least.
    const constant = organizationId ?? '00000000-0000-0000-0000-000000000000'
    await sql`alter table ${schema}.customers alter org_id set default ${sql.unsafe(`'${constant}'`)}`
    if (organizationId) {
      await sql`alter table ${schema}.customers add foreign key (org_id) references public.organization (id)`
    }
    const columns = await firstLine(file)
    const began = performance.now()
    const copy =
      await sql`copy ${schema}.customers (${sql.unsafe(columns)}) from stdin (format csv, header)`.writable()
    await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), copy)
    const taken = performance.now() - began

    const [counted] = await sql`select count(*)::integer as rows from ${schema}.customers`
    if (counted?.rows !== rows) throw new Error(`raw COPY wrote ${counted?.rows} rows in place of ${rows}`)
    return taken
  } finally {
    await sql`drop schema if exists ${schema} cascade`
    await sql.end()
  }
}

async function firstLine(file: string): Promise<string> {
  for await (const chunk of createReadStream(file, { encoding: 'utf8', end: 1023 }))
    return String(chunk).split('\n')[0] ?? ''
  throw new Error(`${file} is empty`)
}
