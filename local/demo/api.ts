import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from './endpoint.ts'

/** Somebody who is signed in. */
export type Person = { email: string; token: string; organizationId: string }

/** What is read here of the document of an import. */
export type ImportDocument = {
  id: string
  dataset: string
  status: string
  row_count: number | null
  mapping: Record<string, unknown> | null
  counts: Record<
    'rows' | 'valid' | 'failed' | 'inserted' | 'updated' | 'unchanged' | 'deleted' | 'pending',
    number
  >
  issues: { code: string; severity: string; field: string | null; count: number }[]
  error: { code: string; message: string } | null
  progress: {
    total: number
    processed: number
    items_per_minute: number | null
    eta_seconds: number | null
  } | null
  job: { job_type: string; status: string } | null
  /** How many records an undo took back, and kept, by reason. */
  undo: { reversed: number; kept: Record<string, number> } | null
  created_at: string
  staged_at: string | null
  validated_at: string | null
  finished_at: string | null
}

/** Signs a new person up and makes them an organization of their own. */
export async function signUpWithOrganization(
  at: Endpoint,
  email: string,
  organization: string,
): Promise<Person> {
  const person = await signUp(at, email)
  const slug = organization.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  const body = { name: organization, slug }
  const { id } = (await request(at, person, '/rest/v1/rpc/create_organization', body)) as { id: string }
  return { ...person, organizationId: id }
}

/** Signs a new person up. */
export async function signUp(at: Endpoint, email: string): Promise<Person> {
  const password = crypto.randomUUID()
  const { access_token } = (await request(at, undefined, '/auth/v1/signup', { email, password })) as {
    access_token: string
  }
  return { email, token: access_token, organizationId: '' }
}

/** GET: the JSON that a path answers with. */
export function get(at: Endpoint, person: Person, path: string): Promise<unknown> {
  return request(at, person, path)
}

/** POST: the JSON that a path answers with. */
export function post(at: Endpoint, person: Person, path: string, body: unknown = {}): Promise<unknown> {
  return request(at, person, path, body)
}

/** How many rows of a table the person can see. */
export async function countRows(at: Endpoint, person: Person, table: string): Promise<number> {
  const response = await fetch(`${at.url}/rest/v1/${table}?select=*`, {
    method: 'HEAD',
    headers: { apikey: at.publishableKey, authorization: `Bearer ${person.token}`, prefer: 'count=exact' },
  })
  const count = Number(response.headers.get('content-range')?.split('/')[1])
  if (!response.ok || Number.isNaN(count))
    throw new Error(`counting ${table} was refused with ${response.status}`)
  return count
}

/** What is sent: a file, under a name, with so many rows, to a route (that for files of customers). */
export type Sending = { file: string; name: string; rows: number; route?: string }

/** Sends a file to be imported without a stop; ends when it is staged and the work has begun. */
export async function upload(
  at: Endpoint,
  person: Person,
  { file, name, route = '/imports?dataset=customers' }: Omit<Sending, 'rows'>,
  progress: (sentBytes: number, allBytes: number) => void,
): Promise<ImportDocument> {
  // force: a benchmark sends the same file twice
  const query = new URLSearchParams({ review: 'false', force: 'true', filename: name })
  const path = `/functions/v1${route}${route.includes('?') ? '&' : '?'}${query}`
  if (statSync(file).size > (await requestLimit(at, person))) {
    return staged(
      at,
      person,
      await importStored(at, person, await storeFile(at, person, path, file, progress)),
    )
  }
  const response = await fetch(at.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.token}`, 'content-type': 'text/csv' },
    body: bytesOf(file, progress),
    duplex: 'half',
  } as RequestInit)
  return (await answerOf(response, 'the upload')) as ImportDocument
}

async function requestLimit(at: Endpoint, person: Person): Promise<number> {
  const settings = (await request(at, person, '/rest/v1/rpc/list_settings', {})) as {
    key: string
    value: number
  }[]
  return settings.find(({ key }) => key === 'imports.max_request_bytes')?.value ?? Number.POSITIVE_INFINITY
}

function bytesOf(file: string, progress: (sentBytes: number, allBytes: number) => void): ReadableStream {
  const size = statSync(file).size
  let sent = 0
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
      yield chunk
      sent += chunk.length
      progress(sent, size)
    }
  }
  return Readable.toWeb(Readable.from(chunks(), { objectMode: false })) as ReadableStream
}

/** What is posted to have a stored file imported. */
export type Naming = { path: string; body: Record<string, unknown> }

/** Uploads a file to Storage, where the route of uploads says; gives the request that is to be made then. */
export async function storeFile(
  at: Endpoint,
  person: Person,
  path: string,
  file: string,
  progress: (sentBytes: number, allBytes: number) => void = () => {},
): Promise<Naming> {
  const place = (await request(at, person, `${path}&upload=storage`, {})) as {
    upload: { url: string }
    next: Naming
  }
  const response = await fetch(place.upload.url, {
    method: 'PUT',
    headers: { 'content-type': 'text/csv', 'content-length': String(statSync(file).size) },
    body: bytesOf(file, progress),
    duplex: 'half',
  } as RequestInit)
  await answerOf(response, 'the upload')
  return place.next
}

/** Has a stored file imported. */
export async function importStored(
  at: Endpoint,
  person: Person,
  { path, body }: Naming,
): Promise<ImportDocument> {
  return (await request(at, person, `/functions/v1${path}`, body)) as ImportDocument
}

async function staged(at: Endpoint, person: Person, { id }: ImportDocument): Promise<ImportDocument> {
  for (;;) {
    const document = (await get(at, person, `/functions/v1/imports/${id}`)) as ImportDocument
    if (document.status !== 'receiving') return document
    await sleep(250)
  }
}

/** Posts a zip archive of files, each named after its dataset, to be imported as a set without a stop. */
export async function uploadArchive(
  at: Endpoint,
  person: Person,
  archive: Uint8Array<ArrayBuffer>,
  fileName: string,
): Promise<ImportDocument[]> {
  const query = new URLSearchParams({ review: 'false', filename: fileName })
  const response = await fetch(`${at.url}/functions/v1/imports?${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.token}`, 'content-type': 'application/zip' },
    body: archive,
  })
  return ((await answerOf(response, 'the upload')) as { imports: ImportDocument[] }).imports
}

/** Signs somebody in with their password; nobody, where that is refused. */
export async function signIn(at: Endpoint, email: string, password: string): Promise<Person | undefined> {
  const response = await fetch(`${at.url}/auth/v1/token?grant_type=password`, {
    method: 'POST',
    headers: { apikey: at.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  })
  if (response.status === 400) return undefined
  const { access_token } = (await answerOf(response, 'the sign-in')) as { access_token: string }
  return { email, token: access_token, organizationId: '' }
}

/** Begins to take back what an import did. */
export async function undo(at: Endpoint, person: Person, id: string): Promise<void> {
  await request(at, person, '/rest/v1/rpc/undo_import', { import_id: id })
}

/** Begins to delete the people whom an import created; gives the import that does it. */
export async function deleteUsers(at: Endpoint, person: Person, importId: string): Promise<{ id: string }> {
  return (await request(at, person, '/rest/v1/rpc/delete_users', { import_id: importId })) as { id: string }
}

/** Follows an import until it has come to what is expected. Gives up when nothing has moved for a minute. */
export async function follow(
  at: Endpoint,
  person: Person,
  id: string,
  progress: (document: ImportDocument) => void,
  goal: 'completed' | 'undone' = 'completed',
): Promise<ImportDocument> {
  let last = ''
  let movedAt = performance.now()
  const began = performance.now()
  for (;;) {
    const document = (await get(at, person, `/functions/v1/imports/${id}`)) as ImportDocument
    progress(document)
    if (document.status === goal) return document
    if (['failed', 'cancelled'].includes(document.status)) {
      const { code, message } = document.error ?? { code: 'no code', message: 'it does not say why' }
      throw new Error(`the import ended as ${document.status}: ${message} (${code})`)
    }
    const state = JSON.stringify([document.status, document.counts, document.progress?.processed])
    if (state !== last) {
      last = state
      movedAt = performance.now()
    } else if (performance.now() - movedAt > 60_000) {
      throw new Error(
        `the import has been ${document.status} for a minute and nothing moves: do the workers run?`,
      )
    }
    // As exact as two in a hundred of the time so far: each question costs the workers some.
    await sleep(Math.min(Math.max((performance.now() - began) / 50, 100), 500))
  }
}

async function request(
  at: Endpoint,
  person: Person | undefined,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(at.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      apikey: at.publishableKey,
      'content-type': 'application/json',
      ...(person && { authorization: `Bearer ${person.token}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return answerOf(response, path.split('?')[0] ?? path)
}

async function answerOf(response: Response, what: string): Promise<unknown> {
  const text = await response.text()
  if (response.ok) return JSON.parse(text)
  throw new Error(`${what} was refused with ${response.status}: ${text}`)
}
