import { inject } from 'vitest'
import type { ImportDocument } from './imports.ts'

/** A document, a job or an error, as far as tests look at single values of it. */
export type Body = ImportDocument & {
  code: string
  message: string
  result: Record<string, number> | null
  imports: ImportDocument[]
  waiting_for: { id: string; dataset: string; status: string }[] | null
  undo: { reversed: number; kept: Record<string, number> } | null
}

export type Answer = { status: number; headers: Headers; body: Body }

/** The address of a route of the imports function. */
export function importsUrl(path: string): string {
  return `${inject('stack').url}/functions/v1/imports${path}`
}

/** Sends a request to the imports function as somebody, and reads the JSON of the answer. A body that is no text goes as JSON. */
export async function request(
  person: { token: string },
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const type = typeof body === 'string' ? 'text/csv' : 'application/json'
  const response = await fetch(importsUrl(path), {
    method,
    headers: {
      authorization: `Bearer ${person.token}`,
      ...(body !== undefined && { 'content-type': type }),
      ...headers,
    },
    body: typeof body === 'string' ? body : body && JSON.stringify(body),
  } as RequestInit)
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null }
}

/** Rows as a CSV file. */
export function csv(columns: string[], rows: Iterable<string[]>): string {
  return [columns, ...rows].map((row) => `${row.join(',')}\n`).join('')
}
