import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { repositoryRoot } from './binaries.ts'
import { generateDatasetsDoc } from './datasets-doc.ts'
import { generateHttpApiDoc } from './http-api-doc.ts'
import { run } from './run.ts'
import type { Stack } from './stack.ts'
import { runSupabase } from './supabase-cli.ts'
import { withTemporaryStack } from './temporary-stack.ts'

/** The generated files and what makes them from a database with the migrations applied. */
const generators: Record<string, (stack: Stack) => Promise<string>> = {
  'functions/_shared/database.types.ts': generateTypes,
  'sql/schema.sql': generateSchema,
  'docs/datasets.md': generateDatasetsDoc,
  'docs/http-api.md': generateHttpApiDoc,
}

/** Names of the generated files that differ from what the migrations make now. */
export async function staleFiles(stack: Stack): Promise<string[]> {
  const stale: string[] = []
  for (const [file, content] of await generateAll(stack)) {
    if (contentOf(file) !== content) stale.push(file)
  }
  return stale
}

async function generateAll(stack: Stack): Promise<[file: string, content: string][]> {
  return Promise.all(
    Object.entries(generators).map(
      async ([file, generate]): Promise<[string, string]> => [file, await generate(stack)],
    ),
  )
}

/** The types of the API, for supabase-js. */
async function generateTypes(stack: Stack): Promise<string> {
  const args = ['gen', 'types', 'typescript', `--remote=${stack.databaseUrl}`, '--schema', 'public']
  const types = await runSupabase([...args, '--workdir', repositoryRoot])
  const biome = join(repositoryRoot, 'node_modules/@biomejs/biome/bin/biome')
  const formatted = await run(process.execPath, [biome, 'format', '--stdin-file-path=types.ts'], {
    input: types,
  })
  if (formatted.code !== 0) throw new Error(`the generated types cannot be formatted:\n${formatted.stderr}`)
  return `// Generated from the migrations: npm run generate\n\n${formatted.stdout.trimStart()}`
}

/** The schema as the migrations leave it, object by object: what changes in it is seen at a glance. */
async function generateSchema(stack: Stack): Promise<string> {
  const folder = join(stack.dataDir, 'schema')
  const args = [
    'schema',
    'export',
    '--source',
    stack.adminDatabaseUrl,
    '--out-dir',
    folder,
    '--profile',
    'supabase',
  ]
  const { code, stdout, stderr } = await run(process.execPath, [pgDelta(), ...args, '--layout', 'by-object'])
  if (code !== 0) throw new Error(`the schema cannot be read:\n${stderr}${stdout}`)

  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    // Partitions come and go with the calendar.
    .filter((name) => name.endsWith('.sql') && !/_y\d{4}[mw]\d\d\.sql$/.test(name))
    .sort()
  const parts = files.map((name) => `-- ${name}\n\n${readFileSync(join(folder, name), 'utf8').trim()}\n`)
  return `-- Generated from the migrations, to be read and compared, not run: npm run generate\n\n${parts.join('\n')}`
}

/** The schema exporter that comes with the gateway library. */
function pgDelta(): string {
  const library = createRequire(import.meta.url).resolve('@supabase/lite/dist/manifest.json')
  const main = createRequire(library).resolve('@supabase/pg-delta')
  return join(dirname(main), 'cli/main.js')
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(join(repositoryRoot, file), 'utf8')
  } catch {
    return undefined
  }
}

async function main(): Promise<void> {
  if (process.argv.includes('--check')) {
    const stale = await withTemporaryStack(staleFiles)
    if (stale.length === 0) return
    console.error(`Out of date: ${stale.join(', ')}. Run: npm run generate`)
    process.exitCode = 1
    return
  }
  for (const [file, content] of await withTemporaryStack(generateAll)) {
    const isNew = contentOf(file) !== content
    if (isNew) writeFileSync(join(repositoryRoot, file), content)
    console.log(`${isNew ? 'written' : 'as it was'}  ${file}`)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()
