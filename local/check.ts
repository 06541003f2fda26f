import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { denoBinary, repositoryRoot } from './binaries.ts'
import { staleFiles } from './generate.ts'
import { run } from './run.ts'
import { runSupabase } from './supabase-cli.ts'
import { withTemporaryStack } from './temporary-stack.ts'

/** A check says what is wrong; nothing, when all is well. */
type Check = [name: string, run: () => Promise<string>]

const packages = join(repositoryRoot, 'node_modules')

const checks: Check[] = [
  [
    'Format and lint',
    () => complaintsOf(process.execPath, [join(packages, '@biomejs/biome/bin/biome'), 'check']),
  ],
  [
    'Types, as Node sees them',
    () => complaintsOf(process.execPath, [join(packages, 'typescript/bin/tsc'), '--noEmit']),
  ],
  ['Types, as Deno sees them', checkFunctions],
  ['Generated files and database advisors', checkDatabase],
]

async function complaintsOf(command: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args)
  return code === 0 ? '' : `${stdout}${stderr}`.trim() || `it ended with exit code ${code}`
}

/** Everything that is served as a function, without asking the network. */
async function checkFunctions(): Promise<string> {
  const folder = join(repositoryRoot, 'functions')
  const entries = readdirSync(folder).map((name) => join(folder, name, 'index.ts'))
  const files = [
    join(repositoryRoot, 'local/functions-main.ts'),
    ...entries.filter((file) => existsSync(file)),
  ]
  const config = join(repositoryRoot, 'deno.json')
  return complaintsOf(denoBinary(), [
    'check',
    '--quiet',
    '--cached-only',
    '--no-lock',
    '--config',
    config,
    ...files,
  ])
}

async function checkDatabase(): Promise<string> {
  return withTemporaryStack(async (stack) => {
    const stale = await staleFiles(stack)
    const target = [`--remote=${stack.databaseUrl}`, '--workdir', repositoryRoot]
    const advice = await runSupabase(['db', 'advisors', ...target, '--level', 'warn', '--fail-on', 'none'])
    return [
      stale.length > 0 ? `Out of date: ${stale.join(', ')}. Run: npm run generate` : '',
      advice.includes('No issues found') ? '' : advice,
    ]
      .filter(Boolean)
      .join('\n')
  })
}

for (const [name, check] of checks) {
  const began = performance.now()
  const complaint = await check().catch((cause: unknown) =>
    cause instanceof Error ? cause.message : String(cause),
  )
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`${complaint ? 'FAIL' : 'ok  '}  ${name} (${seconds} s)`)
  if (complaint) {
    console.log(complaint)
    process.exitCode = 1
  }
}
