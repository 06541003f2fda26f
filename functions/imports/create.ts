import type { z } from '@hono/zod-openapi'
import type { CallDatabase } from '../_shared/caller.ts'
import { type Connection, withConnection } from '../_shared/connection.ts'
import { malformed } from '../_shared/refusal.ts'
import { awaitImport, getImport, type ImportDocument } from './await-import.ts'
import type { Encoding } from './encoding.ts'
import { endFailedIngest, readLimits } from './ingest.ts'
import { refuseAnnouncedSize } from './request-body.ts'
import { type optionsSchema, type UploadParameters, uploadSchema } from './schemas.ts'
import { stageFile } from './stage.ts'
import { openUpload, type Upload } from './upload.ts'

/** POST /imports: makes the import, stages its file, and with `review=false` sets it going. */
export async function createImport(
  request: Request,
  query: Record<string, string>,
  db: CallDatabase,
): Promise<{ document: ImportDocument; replayed: boolean }> {
  const { created, parameters, failure } = await withConnection((connection) =>
    receive(request, query, db, connection),
  )
  if (failure) throw await endFailedIngest(created.id, failure.cause)
  const replayed = created.replayed === true
  const status = replayed ? created.status : 'staged'
  if (!parameters.review && status === 'staged') {
    const document = await getImport(db, created.id)
    // The same file again goes on only when somebody says so.
    if (document.duplicate_of && !parameters.force) return { document, replayed }
    await db('validate_import', { import_id: created.id, commit: true, force: parameters.force })
  }
  if (parameters.review || parameters.wait === 0) {
    return { document: await getImport(db, created.id), replayed }
  }
  return { document: (await awaitImport(db, created.id, parameters.wait)).document, replayed }
}

/**
 * Makes the import and stages its file, unless the same request was seen before. What the staging failed for is
 * returned: to end the import takes a connection, and this one is to be given back first.
 */
async function receive(
  request: Request,
  query: Record<string, string>,
  db: CallDatabase,
  connection: Connection,
): Promise<{ created: ImportDocument; parameters: UploadParameters; failure?: { cause: unknown } }> {
  const limits = await readLimits(connection)
  refuseAnnouncedSize(request, limits.max_request_bytes)
  const upload = await openUpload(request, limits.max_request_bytes)
  const parameters = readParameters({ ...upload.fields, ...query })

  const created = (await db('create_import', {
    dataset: parameters.dataset,
    mode: parameters.mode,
    org_id: parameters.org_id,
    set_id: parameters.set_id,
    depends_on: parameters.depends_on,
    corrects: parameters.corrects,
    file_name: parameters.filename ?? upload.fileName,
    mapping: parameters.mapping,
    options: optionsOf(parameters),
    idempotency_key: request.headers.get('idempotency-key') ?? undefined,
  })) as ImportDocument

  if (created.replayed !== true) {
    try {
      await stageFile(connection, created.id, upload, formatOf(parameters, upload), parameters.review, limits)
    } catch (cause) {
      return { created, parameters, failure: { cause } }
    }
  }
  return { created, parameters }
}

function readParameters(input: Record<string, string>): UploadParameters {
  const result = uploadSchema.safeParse(input)
  if (result.success) return result.data
  throw malformedParameters(result.error.issues)
}

/** What zod found, as our errors say it. */
export function malformedParameters(issues: readonly { path: PropertyKey[]; message: string }[]): Error {
  const details = issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; ')
  return malformed('request is not valid', details, 'See openapi.json for what is accepted.')
}

function optionsOf({
  options,
  duplicates,
  on_error,
  blank,
}: UploadParameters): z.output<typeof optionsSchema> {
  const own = Object.entries({ duplicates, on_error, blank }).filter(([, value]) => value !== undefined)
  return { ...options, ...Object.fromEntries(own) }
}

function formatOf(parameters: UploadParameters, upload: Upload) {
  const { delimiter, quote, header } = parameters
  return { delimiter, quote, header, encoding: parameters.encoding ?? encodingOf(upload.charset) }
}

/** A charset of UTF-8 is what clients say without having looked; the others mean something. */
function encodingOf(charset: string | undefined): Encoding | undefined {
  if (charset === 'utf-16le' || charset === 'utf-16be') return charset
  if (charset === 'windows-1252' || charset === 'iso-8859-1') return 'windows-1252'
  return undefined
}
