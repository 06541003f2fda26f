import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import { describe, expect, inject, it } from 'vitest'

// Every tests/database/**/*.test.sql is one test here, in the order of their names. The files are plain SQL for any
// driver; they run as role postgres, which is no superuser.

const folder = resolve(import.meta.dirname, '../database')
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.sql'))
  .sort()

describe('pgTAP', () => {
  for (const file of files) {
    it(file, async () => {
      const lines = await run(join(folder, file))
      expect(failuresOf(lines), `failed assertions of ${file}`).toEqual([])
    })
  }
})

/** Runs a file in a session of its own and returns the lines that pgTAP wrote. */
async function run(path: string): Promise<string[]> {
  const text = readFileSync(path, 'utf8')
  const lines: string[] = []
  const sql = postgres(inject('stack').databaseUrl, { max: 1, onnotice: () => {} })
  try {
    await sql
      .unsafe(text)
      .simple()
      .forEach((row) => {
        for (const value of Object.values(row))
          if (typeof value === 'string') lines.push(...value.split('\n'))
      })
    return lines
  } catch (cause) {
    if (!(cause instanceof postgres.PostgresError)) throw cause
    throw new Error(explain(path, text, lines, cause))
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** What psql would say, and the assertions before it. */
function explain(path: string, text: string, lines: string[], error: postgres.PostgresError): string {
  const line = error.position ? text.slice(0, Number(error.position)).split('\n').length : undefined
  return [
    `${path}${line ? `:${line}` : ''}: ERROR ${error.code}: ${error.message}`,
    error.detail && `DETAIL: ${error.detail}`,
    error.hint && `HINT: ${error.hint}`,
    error.where && `CONTEXT: ${error.where}`,
    'The last assertions before it:',
    ...lines.slice(-5),
  ]
    .filter(Boolean)
    .join('\n')
}

/** The failed assertions with what pgTAP says of them, and a plan that was not kept. */
function failuresOf(lines: string[]): string[] {
  const results = lines.filter((line) => /^(not )?ok \d+/.test(line))
  const plan = lines.find((line) => /^1\.\.\d+/.test(line))
  const failures = lines.flatMap((line, index) => {
    if (!line.startsWith('not ok ')) return []
    const rest = lines.slice(index + 1)
    const end = rest.findIndex((next) => !next.startsWith('#'))
    return [[line, ...rest.slice(0, end === -1 ? undefined : end)].join('\n')]
  })
  if (!plan) failures.push('there is no plan')
  else if (plan !== `1..${results.length}`)
    failures.push(`the plan was ${plan}, the file ran ${results.length}`)
  return failures
}
