import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Stack, startStack } from './stack.ts'

const port = Number(process.env.SLUICE_PORT ?? 54321)
const dataDir = resolve(process.env.SLUICE_DATA_DIR ?? '.sluice')
const environmentFile = join(dataDir, 'env')

let stack: Stack | undefined
let isStopping = false

async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  const began = performance.now()
  await starting
  if (stack) rmSync(environmentFile, { force: true })
  await stack?.stop()
  console.log(`\nStopped in ${seconds(began)}.`)
  process.exit()
}

async function start(): Promise<void> {
  const began = performance.now()
  const arguments_ = process.argv.slice(2)
  const unknown = arguments_.find((argument) => argument !== '--reset')
  if (unknown)
    throw new Error(`Unknown argument ${unknown}. There is one: --reset (begin with an empty database)`)
  if (!Number.isInteger(port) || port < 1024 || port > 65_533) {
    throw new Error(`SLUICE_PORT is ${process.env.SLUICE_PORT}; it must be a number from 1024 to 65533`)
  }

  stack = await startStack({ port, dataDir, reset: arguments_.includes('--reset'), log: console.error })
  if (isStopping) return
  writeEnvironment(stack)
  console.log(whatNext(stack, began))
}

/** Written beside and renamed: whoever waits for the file finds it complete. */
function writeEnvironment(stack: Stack): void {
  const variables = {
    SUPABASE_URL: stack.url,
    SUPABASE_DB_URL: stack.databaseUrl,
    SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
    SUPABASE_SECRET_KEY: stack.secretKey,
  }
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(`${environmentFile}.new`, lines.join(''))
  renameSync(`${environmentFile}.new`, environmentFile)
}

function whatNext(stack: Stack, began: number): string {
  return `
Sluice runs at ${stack.url} (ready in ${seconds(began)}).

  Database          ${stack.databaseUrl}
  Publishable key   ${stack.publishableKey}
  Secret key        ${stack.secretKey}
  As variables      ${environmentFile}
  Data and logs     ${dataDir}
  Mails             ${join(dataDir, 'mails')}

Sign up, and keep the token:

  TOKEN=$(curl -s ${stack.url}/auth/v1/signup -H 'apikey: ${stack.publishableKey}' \\
    -H 'content-type: application/json' -d '{"email":"you@example.com","password":"a long password"}' \\
    | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

Make an organization, then send a file:

  curl -s ${stack.url}/rest/v1/rpc/create_organization -H 'apikey: ${stack.publishableKey}' \\
    -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"name":"Acme","slug":"acme"}'

  printf 'external_id,name,email\\nC1,Ann,ann@example.com\\n,Nobody,\\n' | curl -s --data-binary @- \\
    '${stack.url}/functions/v1/imports?dataset=customers&review=false&wait=30' \\
    -H "authorization: Bearer $TOKEN" -H 'content-type: text/csv'

Ctrl-C stops it; the data stays.`
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

// The database driver drops errors of connections that end with the server; the stack itself goes on.
process.on('unhandledRejection', (cause) => console.error(cause instanceof Error ? cause.message : cause))

const starting = start().catch((cause: unknown) => {
  console.error(`\n${cause instanceof Error ? cause.message : cause}`)
  process.exitCode = 1
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
starting.then(() => stack ?? process.exit())
