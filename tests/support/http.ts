import { inject } from 'vitest'
import type { ImportDocument } from './imports.ts'

/** Who asks: somebody who is signed in, or whoever holds a key. */
export type Caller = { token: string } | { key: string }

/** A document, a job or an error, as far as tests look at single values of it. */
export type Body = ImportDocument & {
  code: string
  message: string
  result: Record<string, number> | null
  imports: ImportDocument[]
  waiting_for: { id: string; dataset: string; status: string }[] | null
  undo: { reversed: number; kept: Record<string, number> } | null
}

export type Answer<Read = Body> = { status: number; headers: Headers; body: Read }

/** The address of a route of the imports function. */
export function importsUrl(path: string): string {
  return `${inject('stack').url}/functions/v1/imports${path}`
}

/** Sends a request to the imports function as somebody, and reads the JSON of the answer. A body that is no text goes as JSON. */
export function request(
  caller: Caller,
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return send<Body>(caller, method, importsUrl(path), body, headers)
}

/** What became of people, the people themselves, or an error, as far as tests look at single values of it. */
export type People = {
  code: string
  message: string
  import_id: string
  id: string
  status: string
  counts: Record<string, number>
  preview?: { counts: Record<string, number> }
  next_after: string | null
  users: {
    row_number: number
    email: string
    status: string
    user_id: string | null
    issues: { field: string | null; code: string; message: string; value: string | null }[]
  }[]
}

/** Sends a request to the users function. */
export function usersRequest(
  caller: Caller,
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer<People>> {
  return send<People>(caller, method, `${inject('stack').url}/functions/v1/users${path}`, body, headers)
}

async function send<Read>(
  caller: Caller,
  method: string,
  url: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer<Read>> {
  const credentials: Record<string, string> =
    'key' in caller ? { apikey: caller.key } : { authorization: `Bearer ${caller.token}` }
  const type = typeof body === 'string' ? 'text/csv' : 'application/json'
  const response = await fetch(url, {
    method,
    headers: { ...credentials, ...(body !== undefined && { 'content-type': type }), ...headers },
    body: typeof body === 'string' ? body : body && JSON.stringify(body),
  } as RequestInit)
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null }
}

/** Rows as a CSV file. */
export function csv(columns: string[], rows: Iterable<string[]>): string {
  return [columns, ...rows].map((row) => `${row.join(',')}\n`).join('')
}
