import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runSupabase } from './supabase-cli.ts'

/** Content hashes of migrations by file name. */
type Hashes = Record<string, string>

/**
 * Pushes the project's migrations with the Supabase CLI. The CLI knows a migration by its number alone; since they
 * are edited in place until 1.0, their content is remembered in a file, and a changed one stops the start.
 */
export async function pushMigrations(project: string, databaseUrl: string, record: string): Promise<void> {
  const wanted = hashesOf(join(project, 'supabase/migrations'))
  const pushed: Hashes = existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : {}
  const changed = Object.keys(pushed).filter((name) => wanted[name] !== pushed[name])
  if (changed.length > 0) {
    throw new Error(
      `These migrations have changed since they were applied to the local database: ${changed.join(', ')}.\n` +
        'Start with a new database (what is in the old one is lost): npm start -- --reset',
    )
  }
  if (Object.keys(wanted).length > Object.keys(pushed).length) {
    await runSupabase(['db', 'push', `--remote=${databaseUrl}`, '--yes', '--workdir', project])
  }
  writeFileSync(record, JSON.stringify(wanted, null, 2))
}

function hashesOf(folder: string): Hashes {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.sql')) : []
  return Object.fromEntries(
    names.sort().map((name) => {
      const content = readFileSync(join(folder, name))
      return [name, createHash('sha256').update(content).digest('hex')]
    }),
  )
}
