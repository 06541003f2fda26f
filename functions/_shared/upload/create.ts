import type { CallDatabase, Environment } from '../caller.ts'
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
import { openStored, placeUpload, readNaming, type UploadPlace } from './stored.ts'
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

/** What a request is answered with. */
export interface Created {
  document: ImportDocument | SetAnswer | UploadPlace
  status: number
  replayed: boolean
}

/** POST /imports: makes the import, or those of an archive, stages, and with `review=false` sets them going. */
export async function createImport(
  request: Request,
  query: Record<string, string>,
  { db, files }: Environment,
): Promise<Created> {
  if (query.upload === 'storage') {
    return { document: await placeUpload(query, db, files), status: 200, replayed: false }
  }
  const received = await withConnection((connection) => receive(request, query, { db, files }, connection))
  const { parameters, imports, set, replayed, failure } = received
  if (failure) throw await endFailedIngests(imports, set, failure.cause)
  if (set) return { document: await runSet(db, set, imports, parameters, replayed), status: 201, replayed }

  const [created] = imports
  if (!created) throw new Error('no import was made')
  const document = await proceed(db, created.id, parameters)
  return { document, status: document.status === 'receiving' ? 202 : 201, replayed }
}

/** Sets a staged import going, unless it is to be reviewed, and describes it. Of a file that a job takes in, that is told. */
export async function proceed(
  db: CallDatabase,
  importId: string,
  { review, wait, force }: Pick<UploadParameters, 'review' | 'wait' | 'force'>,
): Promise<ImportDocument> {
  const document = await getImport(db, importId)
  if (document.status === 'receiving') return (await awaitImport(db, importId, wait)).document
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
  { db, files }: Environment,
  connection: Connection,
): Promise<Received> {
  const limits = await readLimits(connection)
  refuseAnnouncedSize(request, limits.max_request_bytes)
  const sent = await openUpload(request, limits.max_request_bytes)
  const named = await readNaming(sent)
  const parameters = readParameters({ ...sent.fields, ...named, ...query, storage_path: named?.storage_path })
  const stored =
    parameters.storage_path === undefined
      ? undefined
      : await openStored(parameters.storage_path, files, limits.max_request_bytes)
  const upload = stored ?? sent
  const content = stored?.isLarge
    ? { bytes: upload.bytes }
    : await openContent(upload.bytes, limits.max_archive_bytes)
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
  const format = formatOf(parameters, fileName, upload)
  try {
    if (stored?.isLarge) {
      const { review, force } = parameters
      await db('ingest_import', { import_id: created.id, format, commit: !review, force })
      return received
    }
    const file = await openTable(content, format, limits)
    const inTransaction: InTransaction = (work) => asIngest(connection, work)
    await stageFile(inTransaction, created.id, upload, file, parameters.review)
    return received
  } catch (cause) {
    return { ...received, failure: { cause } }
  }
}
