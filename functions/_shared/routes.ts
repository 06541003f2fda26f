import { type RouteConfig, z } from '@hono/zod-openapi'
import { archiveSchema, errorSchema, importSchema, uploadPlaceSchema } from './documents.ts'

// What the routes of several functions have in common.

/** An answer with a document. */
export function answer<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

/** What every route with credentials may refuse. */
export const refusals = {
  400: answer(errorSchema, 'Malformed request or file'),
  401: answer(errorSchema, 'No credentials, or wrong ones'),
  403: answer(errorSchema, 'The caller may not do this'),
  404: answer(errorSchema, 'Not there, or not for the caller to see'),
  409: answer(errorSchema, 'Wrong state'),
  500: answer(errorSchema, 'Failure of the server'),
}

/** Who may ask. */
export const security: Record<string, string[]>[] = [{ user: [] }, { secret: [] }]

/** A call that shows how it is done, to what follows the address of the functions. */
export function example(path: string, ...more: string[]) {
  const lines = [`curl "$API${path}"`, '-H "Authorization: Bearer $TOKEN"', ...more]
  return { 'x-codeSamples': [{ lang: 'Shell', source: lines.join(' \\\n  ') }] }
}

export const json = "-H 'Content-Type: application/json' -d"

const file = { schema: {} }

/** The body of an upload. */
export const uploadBody: NonNullable<RouteConfig['request']>['body'] = {
  required: true,
  content: {
    'text/csv': file,
    'text/tab-separated-values': file,
    'text/plain': file,
    'application/json': file,
    'application/x-ndjson': file,
    'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': file,
    'application/zip': file,
    'application/gzip': file,
    'application/octet-stream': file,
    'multipart/form-data': {
      schema: {
        type: 'object',
        required: ['file'],
        properties: { file: { type: 'string', contentMediaType: 'text/csv' } },
      },
    },
  },
}

const uploaded = z.union([importSchema, archiveSchema])

/** What an upload is answered with. */
export const uploadAnswers = {
  ...refusals,
  200: answer(
    z.union([uploaded, uploadPlaceSchema]),
    'What the same Idempotency-Key made before; with upload=storage, where to upload the file',
  ),
  201: answer(uploaded, 'The import; of an archive the set and its imports'),
  202: answer(importSchema, 'The import, whose stored file a job takes in'),
  413: answer(errorSchema, 'Over a limit'),
  415: answer(errorSchema, 'Not a table'),
  422: answer(errorSchema, 'The mapping does not fit the file'),
}
