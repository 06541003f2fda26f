import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import { afterAll, describe, expect, inject, it } from 'vitest'

// What administrators run to see that a project is as Sluice needs it: every file of sql/verify, one line a check.

const folder = resolve(import.meta.dirname, '../../sql/verify')
const sql = postgres(inject('stack').databaseUrl, { max: 1, onnotice: () => {} })
const admin = postgres(inject('stack').adminDatabaseUrl, { max: 1, onnotice: () => {} })

afterAll(() => Promise.all([sql.end(), admin.end()]))

/** The lines of a file, run as it stands. */
async function lines(connection: postgres.Sql, file: string): Promise<string[]> {
  const rows = await connection.unsafe(readFileSync(join(folder, file), 'utf8'))
  return rows.map((row) => String(Object.values(row)[0]))
}

describe('sql/verify', () => {
  it.each(readdirSync(folder))('%s passes', async (file) => {
    const found = await lines(sql, file)
    expect(found.length).toBeGreaterThan(0)
    expect(found.filter((line) => !line.startsWith('PASS  '))).toEqual([])
  })

  it('auth_schema.sql tells what the auth service changed', async () => {
    const reserved = await admin.reserve()
    try {
      await reserved`begin`
      await reserved`alter table auth.users rename column reauthentication_token to renamed`
      const found = await lines(reserved, 'auth_schema.sql')
      expect(found.filter((line) => !line.startsWith('PASS  '))).toEqual([
        'FAIL  auth.users.reauthentication_token is there, of type text',
      ])
    } finally {
      await reserved`rollback`
      reserved.release()
    }
  })
})
