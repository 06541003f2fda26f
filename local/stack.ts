import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import { repositoryRoot } from './binaries.ts'
import { type CronRunner, startCron } from './cron.ts'
import { bootstrap, makeSystemSchemas, tellDatabase } from './database.ts'
import { emptyDatabase, hasRealCron, makeCron, makeMissingExtensions } from './external.ts'
import { startFunctions } from './functions.ts'
import { createLite } from './gateway/library.ts'
import { keySet } from './gateway/tokens.ts'
import { startGateway } from './gateway.ts'
import { takeFolder } from './lock.ts'
import { pushMigrations } from './migrations.ts'
import { startNet } from './net.ts'
import { requirePorts } from './ports.ts'
import { password, preparePostgres, superuser } from './postgres.ts'
import { type Supervised, supervise } from './supervise.ts'

/** Known to everybody, as the stack listens on 127.0.0.1 only. */
const keys = {
  jwtSecret: 'super-secret-jwt-token-with-at-least-32-characters-long',
  publishableKey: 'sb_publishable_local',
  secretKey: 'sb_secret_local',
}

/** What a stack is to run on. */
export type StackOptions = {
  /** The gateway's port; the two after it are PostgreSQL's and the functions'. */
  port: number
  /** Where data and logs are kept. */
  dataDir: string
  /** The folder with supabase/migrations and functions; this repository when not given. */
  project?: string
  /** Other functions than the project's. */
  functionsFolder?: string
  /** Begin with an empty database. */
  reset?: boolean
  /** Remove the data folder when the stack stops. */
  temporary?: boolean
  /** An existing PostgreSQL 17, as superuser, in place of the embedded one. It is emptied at every start. */
  externalDatabaseUrl?: string
  log?: (line: string) => void
}

/** A running stack. */
export type Stack = {
  url: string
  /** As role postgres: no superuser, not subject to row level security. */
  databaseUrl: string
  /** As the superuser. */
  adminDatabaseUrl: string
  publishableKey: string
  secretKey: string
  dataDir: string
  /** The server that runs now; 0 when it is an external one. */
  postgresPid(): number
  functionsPid(): number
  /** The launcher of cron jobs, for what stops it; on an external server that has pg_cron there is none. */
  cron: { stop(): Promise<void>; start(): void } | undefined
  stop(): Promise<void>
}

/** Starts the local stack: PostgreSQL, the gateway, the functions, and what runs cron jobs and HTTP requests. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const {
    port,
    project = repositoryRoot,
    functionsFolder = join(project, 'functions'),
    log = () => {},
  } = options
  const url = `http://127.0.0.1:${port}`
  const dataDir = resolve(options.dataDir)
  mkdirSync(dataDir, { recursive: true })

  // What has been started, in the order in which it is to be stopped.
  const giveBack = takeFolder(join(dataDir, 'lock'))
  rmSync(join(dataDir, 'env'), { force: true }) // A killed one has left it; it says that the stack is ready.
  const stops: Stop[] = [async () => giveBack()]
  if (options.temporary) stops.unshift(async () => rmSync(dataDir, { recursive: true, force: true }))
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= (async () => {
      for (const one of stops) {
        // One that cannot be stopped must not keep the others running.
        await one().catch((cause) => log(`stopping: ${cause}`))
      }
    })()
    return stopping
  }

  try {
    const database = options.externalDatabaseUrl
      ? await externalDatabase(options.externalDatabaseUrl, dataDir, port)
      : await embeddedDatabase(options, dataDir, log, stops)
    const admin = postgres(database.adminUrl, {
      max: 2,
      onnotice: () => {},
      fetch_types: false,
      backoff: () => 0.1,
    })
    stops.unshift(() => admin.end({ timeout: 0 }))
    const isExternal = options.externalDatabaseUrl !== undefined
    if (isExternal) await emptyDatabase(admin)
    await bootstrap(admin)
    if (isExternal) await makeMissingExtensions(admin)
    const serverRunsCron = isExternal && (await hasRealCron(admin))
    if (serverRunsCron) await makeCron(admin)

    const functions: Promise<Supervised> = supervise(
      'The functions process',
      () =>
        startFunctions(
          {
            folder: functionsFolder,
            port: port + 2,
            cacheFolder: join(dataDir, 'deno'),
            environment: functionsEnvironment(url, database.url),
          },
          log,
        ),
      log,
    )
    functions.catch(() => {}) // Awaited below; an earlier failure must not end the process.
    // Deno would wait for connections to end; what a function has open, the database rolls back.
    stops.unshift(async () => (await functions.catch(() => undefined))?.stop('SIGKILL', 1_000))

    const lite = await createLite(database.adminUrl, keys, dataDir, url)
    stops.unshift(() => lite.close())
    // Also when the listener is back after a restart of the server: who knows what it missed.
    const reload = () => void lite.reload().catch((cause) => log(`gateway: ${cause}`))
    await makeSystemSchemas(admin, lite)
    await pushMigrations(project, database.url, join(dataDir, 'migrations.json'))
    await withPostgresRole(database.url, (sql) => tellDatabase(sql, url, keys.secretKey))
    await admin.listen('pgrst', reload, reload)
    await lite.reload()

    const net = startNet(database.adminUrl, log)
    stops.unshift(() => net.stop())
    const cron = serverRunsCron
      ? undefined
      : cronControl(() => startCron(database.adminUrl, database.urlOf, log))
    stops.unshift(async () => cron?.stop())

    const supervised = await functions
    const gateway = await startGateway(port, port + 2, lite)
    stops.unshift(() => closeGateway(gateway))

    return {
      url,
      databaseUrl: database.url,
      adminDatabaseUrl: database.adminUrl,
      publishableKey: keys.publishableKey,
      secretKey: keys.secretKey,
      dataDir,
      postgresPid: database.pid,
      functionsPid: supervised.pid,
      cron,
      stop,
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** Ends one part of the stack. */
type Stop = () => Promise<unknown>

type Database = {
  url: string
  adminUrl: string
  urlOf(username: string, database: string): string
  pid(): number
}

async function embeddedDatabase(
  { port, reset, temporary }: StackOptions,
  dataDir: string,
  log: (line: string) => void,
  stops: Stop[],
): Promise<Database> {
  const logFile = join(dataDir, 'postgres.log')
  writeFileSync(logFile, '')
  const server = await preparePostgres(join(dataDir, 'postgres'), port + 1, logFile)
  await server.stopLeftover()
  await requirePorts(port)
  if (reset) {
    server.removeData()
    removeState(dataDir)
  }
  if (temporary) stops.unshift(async () => server.removeData())
  const supervised = await supervise('PostgreSQL', server.start, log)
  stops.unshift(() => supervised.stop('SIGINT', 2_000))

  const urlOf = (username: string, database: string) =>
    `postgresql://${username}:${password}@127.0.0.1:${port + 1}/${database}`
  return {
    url: urlOf('postgres', 'postgres'),
    adminUrl: urlOf(superuser, 'postgres'),
    urlOf,
    pid: supervised.pid,
  }
}

async function externalDatabase(adminUrl: string, dataDir: string, port: number): Promise<Database> {
  await requirePorts(port)
  removeState(dataDir)
  const urlOf = (username: string, database: string) => {
    const url = new URL(adminUrl)
    url.username = username
    url.password = password
    url.pathname = `/${database}`
    return url.href
  }
  const name = new URL(adminUrl).pathname.slice(1)
  return { url: urlOf('postgres', name), adminUrl, urlOf, pid: () => 0 }
}

/** What belongs to a database and is kept beside it. */
function removeState(dataDir: string): void {
  for (const name of ['storage', 'mails', 'migrations.json'])
    rmSync(join(dataDir, name), { recursive: true, force: true })
}

/** What the platform tells every function. */
function functionsEnvironment(url: string, databaseUrl: string): Record<string, string> {
  return {
    SUPABASE_URL: url,
    SUPABASE_DB_URL: databaseUrl,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_JWKS: JSON.stringify(keySet(keys.jwtSecret)),
  }
}

function cronControl(begin: () => CronRunner): { stop(): Promise<void>; start(): void } {
  let runner: CronRunner | undefined = begin()
  return {
    async stop() {
      const last = runner
      runner = undefined
      await last?.stop()
    },
    start() {
      runner ??= begin()
    },
  }
}

async function withPostgresRole(url: string, work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await work(sql)
  } finally {
    await sql.end()
  }
}

async function closeGateway(server: Server): Promise<void> {
  const closed = new Promise((settle) => server.close(settle))
  server.closeAllConnections()
  await closed
}
