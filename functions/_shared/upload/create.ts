import type { CallDatabase } from '../caller.ts'
import { type Connection, withConnection } from '../connection.ts'
import { openContent } from './archive.ts'
import {
  endFailedIngests,
  type ImportSet,
  isArchive,
  receiveArchive,
  runSet,
  type SetAnswer,
} from './archive-set.ts'
import { awaitImport, getImport, type ImportDocument } from './await-import.ts'
import { asIngest, readLimits } from './ingest.ts'
import { formatOf, importArguments, readParameters } from './parameters.ts'
import { refuseAnnouncedSize } from './request-body.ts'
import type { UploadParameters } from './schemas.ts'
import { type InTransaction, stageFile } from './stage.ts'
import { openTable } from './table.ts'
import { openUpload } from './upload.ts'

/** What became of a request: the imports that it made, maybe in a set, and what staging them failed for. */
interface Received {
  parameters: UploadParameters
  imports: ImportDocument[]
  set: ImportSet | undefined
  replayed: boolean
  failure?: { cause: unknown }
}

/** POST /imports: makes the import, or those of an archive, stages, and with `review=false` sets them going. */
export async function createImport(
  request: Request,
  query: Record<string, string>,
  db: CallDatabase,
): Promise<{ document: ImportDocument | SetAnswer; replayed: boolean }> {
  const received = await withConnection((connection) => receive(request, query, db, connection))
  const { parameters, imports, set, replayed, failure } = received
  if (failure) throw await endFailedIngests(imports, set, failure.cause)
  if (set) return { document: await runSet(db, set, imports, parameters, replayed), replayed }

  const [created] = imports
  if (!created) throw new Error('no import was made')
  return { document: await proceed(db, created.id, parameters), replayed }
}

/** Sets a staged import going, unless it is to be reviewed, and describes it. */
export async function proceed(
  db: CallDatabase,
  importId: string,
  { review, wait, force }: Pick<UploadParameters, 'review' | 'wait' | 'force'>,
): Promise<ImportDocument> {
  const document = await getImport(db, importId)
  if (review) return document
  if (document.status === 'staged') {
    // The same file again goes on only when somebody says so.
    if (document.duplicate_of && !force) return document
    await db('validate_import', { import_id: importId, commit: true, force })
  }
  return (await awaitImport(db, importId, wait)).document
}

/**
 * Makes the imports and stages their files, unless the same request was seen before. What the staging failed for is
 * returned: to end an import takes a connection, and this one is to be given back first.
 */
async function receive(
  request: Request,
  query: Record<string, string>,
  db: CallDatabase,
  connection: Connection,
): Promise<Received> {
  const limits = await readLimits(connection)
  refuseAnnouncedSize(request, limits.max_request_bytes)
  const upload = await openUpload(request, limits.max_request_bytes)
  const parameters = readParameters({ ...upload.fields, ...query })
  const content = await openContent(upload.bytes, limits.max_archive_bytes)
  const idempotency_key = request.headers.get('idempotency-key') ?? undefined
  const fileName = parameters.filename ?? upload.fileName

  if (isArchive(content)) {
    await upload.finish()
    const archive = { entries: content.entries, fileName, idempotency_key, parameters, limits }
    return { parameters, ...(await receiveArchive(archive, db, connection)) }
  }
  const created = (await db('create_import', {
    ...importArguments(parameters),
    template_id: parameters.template_id,
    set_id: parameters.set_id,
    depends_on: parameters.depends_on,
    corrects: parameters.corrects,
    file_name: fileName,
    mapping: parameters.mapping,
    idempotency_key,
  })) as ImportDocument
  const received = { parameters, imports: [created], set: undefined, replayed: created.replayed === true }
  if (received.replayed) return received
  try {
    const file = await openTable(content, formatOf(parameters, fileName, upload), limits)
    const inTransaction: InTransaction = (work) => asIngest(connection, work)
    await stageFile(inTransaction, created.id, upload, file, parameters.review)
    return received
  } catch (cause) {
    return { ...received, failure: { cause } }
  }
}
