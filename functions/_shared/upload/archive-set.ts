import type { CallDatabase } from '../caller.ts'
import { type Connection, withConnection } from '../connection.ts'
import { malformed, Refusal } from '../refusal.ts'
import { type ArchiveEntry, type Content, isOfficeDocument, openContent, tooManyEntries } from './archive.ts'
import { awaitImport, getImport, type ImportDocument } from './await-import.ts'
import { notATable } from './binary.ts'
import { answerTo, asIngest, endFailedIngest, type Limits } from './ingest.ts'
import { formatOf, importArguments } from './parameters.ts'
import { overLimit } from './request-body.ts'
import type { UploadParameters } from './schemas.ts'
import { stageFile } from './stage.ts'
import { openTable } from './table.ts'
import { measured } from './upload.ts'

const maxFiles = 50
/** What can be said of one file only. */
const singleParameters = ['mapping', 'template_id', 'set_id', 'depends_on', 'corrects'] as const

/** A set of imports, as the database describes it. */
export interface ImportSet {
  id: string
  replayed?: boolean
  imports?: ImportDocument[]
}

/** What is answered to an archive. */
export interface SetAnswer {
  set_id: string
  imports: ImportDocument[]
}

/** An archive of files, each of which becomes an import of a set. */
export interface Archive {
  entries: ArchiveEntry[]
  fileName: string | undefined
  idempotency_key: string | undefined
  parameters: UploadParameters
  limits: Limits
}

interface ArchiveFile {
  entry: ArchiveEntry
  dataset: string
}

/** Whether what was sent is an archive of files, and not one that is a file itself. */
export function isArchive(content: Content): content is { entries: ArchiveEntry[] } {
  return 'entries' in content && !isOfficeDocument(content.entries)
}

/**
 * Makes a set of the files of an archive and stages them, all in one transaction: where one of them is refused, nothing
 * stays of any.
 */
export async function receiveArchive(
  { entries, fileName, idempotency_key, parameters, limits }: Archive,
  db: CallDatabase,
  connection: Connection,
): Promise<{ imports: ImportDocument[]; set: ImportSet; replayed: boolean; failure?: { cause: unknown } }> {
  for (const name of singleParameters) {
    if (parameters[name] === undefined) continue
    throw malformed('parameter is for a single file', name, 'Send the files one by one, or leave it out.')
  }
  const files = await nameDatasets(tablesOf(entries, limits), parameters.dataset, connection)
  const set = (await db('create_import_set', {
    org_id: parameters.org_id,
    name: fileName,
    idempotency_key,
  })) as ImportSet
  if (set.replayed) return { imports: completeImports(set), set, replayed: true }

  const imports: ImportDocument[] = []
  let current = ''
  let unpacked = 0
  const spent = { bytes: 0 } // by workbooks
  try {
    await asIngest(connection, async (tx) => {
      for (const { entry, dataset } of files) {
        current = entry.name
        const created = await db('create_import', {
          ...importArguments(parameters),
          dataset,
          set_id: set.id,
          file_name: baseName(entry.name).slice(-255),
        })
        imports.push(created as ImportDocument)
        const file = measured(entry.read(), limits.max_request_bytes)
        const content = await openContent(counted(file.bytes), limits.max_archive_bytes)
        if (isArchive(content))
          throw malformed('archive is within an archive', undefined, 'Pack the files themselves.')
        const format = formatOf(parameters, entry.name, { mediaType: undefined, charset: undefined })
        const table = await openTable(content, format, { ...limits, spent })
        await stageFile(
          (work) => work(tx),
          (created as ImportDocument).id,
          { ...file, finish: async () => {} },
          table,
          parameters.review,
        )
      }
    })
    return { imports, set, replayed: false }
  } catch (cause) {
    return { imports, set, replayed: false, failure: { cause: ofEntry(current, cause) } }
  }

  /** Packed once more within the archive, files are larger than its directory says. */
  async function* counted(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      unpacked += chunk.length
      if (unpacked > limits.max_request_bytes) throw tooMuch(limits)
      yield chunk
    }
  }
}

/** The imports of a set that was made by the same request before. */
function completeImports({ id, imports = [] }: ImportSet): ImportDocument[] {
  if (imports.length > 0 && imports.every(({ status }) => status !== 'receiving')) return imports
  throw new Refusal(
    409,
    'PT409',
    'idempotency key is in use',
    `set ${id} awaits its files`,
    'Wait for that upload to end, or use another key for another request.',
  )
}

/** The files of an archive that are to be read. What they unpack to is bounded, so it does not matter how well they are packed. */
function tablesOf(entries: ArchiveEntry[], limits: Limits): ArchiveEntry[] {
  const files = entries.filter(({ name }) => !isLitter(name))
  if (files.length === 0) throw malformed('archive is empty', undefined, 'Pack at least one file.')
  if (files.length > maxFiles) throw tooManyEntries(maxFiles)
  if (files.reduce((sum, { size }) => sum + size, 0) > limits.max_request_bytes) throw tooMuch(limits)
  const names = new Set<string>()
  if (files[0]?.name === 'mimetype') throw notATable('an OpenDocument file (ods)')
  for (const { name } of files) {
    if (names.has(name)) throw malformed('archive has a file twice', name, 'Pack the files again.')
    names.add(name)
  }
  return files
}

function tooMuch({ max_request_bytes }: Limits): Error {
  return overLimit(`the files of the archive have more than ${max_request_bytes} bytes`, max_request_bytes)
}

/** What file managers leave in archives. */
function isLitter(name: string): boolean {
  return /(^|\/)(__MACOSX\/|\.DS_Store$|\._|Thumbs\.db$|desktop\.ini$)/i.test(name)
}

function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

/** The dataset of each file: the one that was given, else the one whose key is in the name of the file. */
async function nameDatasets(
  entries: ArchiveEntry[],
  given: string | undefined,
  connection: Connection,
): Promise<ArchiveFile[]> {
  if (given !== undefined) return entries.map((entry) => ({ entry, dataset: given }))
  return asIngest(connection, async (tx) => {
    const files: ArchiveFile[] = []
    for (const entry of entries) {
      const [row] = await tx<{ dataset: string | null }[]>`
        select private.dataset_of_file(${baseName(entry.name)}) as dataset`
      if (!row?.dataset) {
        throw malformed(
          'dataset of a file is unknown',
          entry.name,
          'Name the file after its dataset (customers.csv), or give dataset=<key> for all files of the archive.',
        )
      }
      files.push({ entry, dataset: row.dataset })
    }
    return files
  })
}

/** Says of which file a refusal is. */
function ofEntry(name: string, cause: unknown): Refusal {
  const { status, body } = answerTo(cause)
  const details = body.details === null ? name : `${name}: ${body.details}`
  const hint = ['Nothing of the archive was taken in.', body.hint].filter(Boolean).join(' ')
  return new Refusal(status, body.code, body.message, details, hint)
}

/** Ends the imports of a request that failed, and their set; gives what to answer. */
export async function endFailedIngests(
  imports: ImportDocument[],
  set: ImportSet | undefined,
  cause: unknown,
): Promise<Error> {
  let answer: Error = answerTo(cause)
  for (const { id } of imports) answer = await endFailedIngest(id, cause)
  if (!set) return answer
  try {
    await withConnection((connection) =>
      asIngest(connection, (tx) => tx`select private.end_failed_set(${set.id}::uuid)`),
    )
  } catch (again) {
    console.error(again)
  }
  return answer
}

/** Sets the imports of a set going where that is asked for, and describes them. */
export async function runSet(
  db: CallDatabase,
  set: ImportSet,
  imports: ImportDocument[],
  { review, wait, force }: UploadParameters,
  replayed: boolean,
): Promise<SetAnswer> {
  const staged = await Promise.all(imports.map(({ id }) => getImport(db, id)))
  // The same file again goes on only when somebody says so.
  const isHeld = review || (!replayed && !force && staged.some((document) => document.duplicate_of))
  if (isHeld) return { set_id: set.id, imports: staged }
  if (!replayed) await db('run_import_set', { set_id: set.id, commit: true, force })

  const deadline = Date.now() + wait * 1000
  const documents: ImportDocument[] = []
  for (const { id } of imports) {
    const seconds = Math.max(0, deadline - Date.now()) / 1000
    documents.push((await awaitImport(db, id, seconds)).document)
  }
  return { set_id: set.id, imports: documents }
}
