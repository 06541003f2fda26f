import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres, { type Sql } from 'postgres'
import { findPorts } from '../../../local/ports.ts'
import { type Stack, type StackOptions, startStack } from '../../../local/stack.ts'

/** A small project whose functions and tables only show how the stack behaves. */
export const project = join(import.meta.dirname, 'project')

/** A new folder of the temporary directory, and what removes it. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sluice-local-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Starts a stack of the small project in a folder, on free ports. */
export async function startProbe(dataDir: string, options: Partial<StackOptions> = {}): Promise<Stack> {
  return startStack({ port: await findPorts(), dataDir, project, ...options })
}

/** Runs some work with a connection and ends it. */
export async function withSql<T>(url: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 2, onnotice: () => {}, backoff: () => 0.1 })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}
