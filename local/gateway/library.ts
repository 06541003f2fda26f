import './hush.ts'
import { join } from 'node:path'
import { App, type Connection, setExperimental } from '@supabase/lite'
import { createPostgresConnection } from '@supabase/lite/postgres'
import type { Options, PostgresType } from 'postgres'
import { connections } from './connections.ts'
import { answerAsPostgrest, noteErrors } from './errors.ts'
import { invite, verifyInvitation } from './invitations.ts'
import type { LiteConnection } from './lite-connection.ts'
import { type Mailbox, mailFolder } from './mails.ts'
import { alwaysTakeRole, readRoleLimits, setSessionAsPostgrest } from './sessions.ts'
import { answerInPart, renameSignedUrl, unwrapUpload } from './storage-requests.ts'
import { storedFiles } from './stored-files.ts'
import { signAsHosted } from './tokens.ts'
import { valueTypes } from './value-types.ts'

/** The keys of a stack. */
export type Keys = { jwtSecret: string; publishableKey: string; secretKey: string }

/** `/rest/v1`, `/auth/v1` and `/storage/v1` over a database. */
export type Lite = {
  /** Makes the auth and storage schemas. Says nothing when it fails. */
  ensureSystemSchemas(): Promise<void>
  /** Reads tables, functions and role settings anew. */
  reload(): Promise<void>
  fetch(request: Request, context: { peerAddress: string | null }): Promise<Response>
  close(): Promise<void>
}

/** The library as it comes: what the corrections are made to, and are compared with. */
export function uncorrected(
  databaseUrl: string,
  keys: Keys,
  filesFolder: string,
  { types = {}, ...mails }: { types?: object; url?: string; mailbox?: Mailbox } = {},
) {
  setExperimental('storage', true) // The environment variable is read when the module loads: too early.
  const connection = connect(databaseUrl, { max: 10, types: types as typeof valueTypes })
  const app = new App({
    connection: connection as unknown as Connection,
    auth: {
      enabled: true,
      jwt_secret: keys.jwtSecret,
      publishable_key: keys.publishableKey,
      secret_key: keys.secretKey,
      ...(mails.url && { site_url: mails.url }), // Links in mails begin with it.
    },
    ...(mails.mailbox && { options: { drivers: { email: mails.mailbox } } }),
    api: { schemas: ['public'] },
    storage: { enabled: true, file_size_limit: '5GiB' },
    db: { migrations: { enabled: false } }, // The Supabase CLI keeps the history.
  })
  app._storageAdapter = storedFiles(filesFolder)
  return { app, connection }
}

/** The library with its corrections: as much of PostgREST, GoTrue and Storage as the local stack needs. */
export async function createLite(
  databaseUrl: string,
  keys: Keys,
  dataDir: string,
  url: string,
): Promise<Lite> {
  const mailbox = mailFolder(join(dataDir, 'mails'))
  const options = { types: valueTypes, url, mailbox }
  const { app, connection } = uncorrected(databaseUrl, keys, join(dataDir, 'storage'), options)
  const inviting = { database: connection.driver, secretKey: keys.secretKey, mailbox }
  const pool = connections(
    10,
    (onclose) => connect(databaseUrl, { max: 1, types: valueTypes, onclose }).driver,
  )
  Object.assign(connection.driver, { reserve: pool.reserve })
  await app.init()

  let limits = await readRoleLimits(connection)
  alwaysTakeRole(connection)
  setSessionAsPostgrest(connection, () => limits)
  noteErrors(connection)

  return {
    ensureSystemSchemas: () => app.ensureSystemSchema(),
    async reload() {
      await connection.clearSchemaCache()
      limits = await readRoleLimits(connection)
    },
    async fetch(original, context) {
      const respond = async (request: Request) => {
        const path = new URL(request.url).pathname
        const response = await answerAsPostgrest(path, () =>
          answerInPart(request, () => app.fetch(request, context)),
        )
        return signAsHosted(request, await renameSignedUrl(request, response), keys.jwtSecret)
      }
      const request = await unwrapUpload(original)
      const path = new URL(request.url).pathname
      if (path === '/auth/v1/invite' && request.method === 'POST') return invite(request, inviting)
      return path === '/auth/v1/verify' ? verifyInvitation(request, respond) : respond(request)
    },
    async close() {
      await pool.close()
      await connection.driver.end({ timeout: 0 })
    },
  }
}

function connect(url: string, options: Options<Record<string, PostgresType>>): LiteConnection {
  const postgresOptions = { onnotice: () => {}, backoff: () => 0.1, ...options }
  return createPostgresConnection({ url, postgresOptions }) as unknown as LiteConnection
}
