import { createRoute, z } from '@hono/zod-openapi'
import {
  errorSchema,
  importListSchema,
  importSchema,
  issueListSchema,
  jobSchema,
  previewSchema,
  rowListSchema,
  setSchema,
} from '../_shared/documents.ts'
import { answer, example, json, refusals, security, uploadAnswers, uploadBody } from '../_shared/routes.ts'
import { idempotencySchema, proceedSchema, uploadSchema, waitSchema } from '../_shared/upload/schemas.ts'
import {
  changeSchema,
  commitSchema,
  correctionsSchema,
  idSchema,
  issuesSchema,
  lastEventSchema,
  listSchema,
  newSetSchema,
  rowsSchema,
  runSetSchema,
  startSchema,
  undoSchema,
} from './schemas.ts'

const eventExample =
  'id: 0YvOtD3bEvCIqeT1MTw3pg\nevent: state\ndata: {"id": "…", "status": "committing", "counts": { … }, …}\n\n'

export const upload = createRoute({
  method: 'post',
  path: '/imports',
  operationId: 'createImport',
  summary: 'Upload a file and stage its rows',
  description:
    'CSV or other delimited text, JSON (an array of objects, or one object a line), an Excel workbook (xlsx), each plain or gzip, or a zip archive of these, as the body or as the part `file` of multipart/form-data. The parameters of a multipart upload may also be form fields before the file. Each file of an archive becomes an import of one set: all of them, or none. A file that is too large for a request goes by way of Storage: `upload=storage` answers with a place to upload it to, then JSON names it: `{ "storage_path": "…", "dataset": "…" }`. Where it is CSV or JSON, a job takes it in, whatever its size.',
  ...example(
    '/imports?dataset=customers&review=false&wait=30',
    "-H 'Content-Type: text/csv' --data-binary @customers.csv",
  ),
  security,
  request: {
    query: uploadSchema,
    headers: idempotencySchema,
    body: uploadBody,
  },
  responses: uploadAnswers,
})

export const list = createRoute({
  method: 'get',
  path: '/imports',
  operationId: 'listImports',
  summary: 'Imports, the newest first',
  security,
  request: { query: listSchema },
  responses: { ...refusals, 200: answer(importListSchema, 'A page of imports') },
})

export const get = createRoute({
  method: 'get',
  path: '/imports/{id}',
  operationId: 'getImport',
  summary: 'One import',
  security,
  request: { params: idSchema },
  responses: { ...refusals, 200: answer(importSchema, 'The import') },
})

export const change = createRoute({
  method: 'patch',
  path: '/imports/{id}',
  operationId: 'changeImport',
  summary: 'Set mapping, options or prerequisites',
  ...example(
    '/imports/$ID',
    `-X PATCH ${json} '{ "mapping": { "name": "Company" }, "options": { "blank": "clear" } }'`,
  ),
  security,
  request: {
    params: idSchema,
    body: { required: true, content: { 'application/json': { schema: changeSchema } } },
  },
  responses: {
    ...refusals,
    200: answer(importSchema, 'The import'),
    422: answer(errorSchema, 'It does not fit'),
  },
})

const tooMuch = {
  413: answer(errorSchema, 'Too many rows for `on_error=abort`'),
  422: answer(errorSchema, 'A field that is required has no column'),
}
const started = {
  200: answer(importSchema, 'With wait: the import, when the work was done in time'),
  202: answer(z.union([jobSchema, importSchema]), 'The job; with wait, the import as it is'),
}

export const validate = createRoute({
  method: 'post',
  path: '/imports/{id}/validate',
  operationId: 'validateImport',
  summary: 'Judge every row',
  description: 'Then what the commit would do is counted: see the preview.',
  security,
  request: { params: idSchema, query: startSchema, headers: idempotencySchema },
  responses: { ...refusals, ...started, ...tooMuch },
})

export const commit = createRoute({
  method: 'post',
  path: '/imports/{id}/commit',
  operationId: 'commitImport',
  summary: 'Apply the valid rows, or find out what that would do',
  security,
  ...example('/imports/$ID/commit?wait=30', '-X POST'),
  request: { params: idSchema, query: commitSchema, headers: idempotencySchema },
  responses: { ...refusals, ...started },
})

export const preview = createRoute({
  method: 'get',
  path: '/imports/{id}/preview',
  operationId: 'getImportPreview',
  summary: 'What the commit of a validated import would do',
  description:
    'Kept for an hour, for whoever asked for it: the validation ends with one, and `commit` with `dry_run` makes another.',
  security,
  request: { params: idSchema },
  responses: { ...refusals, 200: answer(previewSchema, 'The preview') },
})

export const undo = createRoute({
  method: 'post',
  path: '/imports/{id}/undo',
  operationId: 'undoImport',
  summary: 'Take back what an import did',
  description:
    'Inserted records are deleted, updated ones get their former values, deleted ones return. What somebody changed since, what others refer to and what the caller may not write is kept. The `result` of the job says how many records were `reversed`, `changed`, `missing`, `referenced`, `denied` and `refused`.',
  ...example('/imports/$ID/undo?dry_run=true&wait=30', '-X POST'),
  security,
  request: { params: idSchema, query: undoSchema, headers: idempotencySchema },
  responses: { ...refusals, ...started },
})

export const pause = createRoute({
  method: 'post',
  path: '/imports/{id}/pause',
  operationId: 'pauseImport',
  summary: 'Hold the job of an import until it is resumed; tasks in flight end',
  security,
  request: { params: idSchema },
  responses: { ...refusals, 202: answer(importSchema, 'The import') },
})
export const resume = goOn('resume', 'resumeImport', 'Let a paused import go on')
export const retry = goOn('retry', 'retryImport', 'Try again what a failed import was given up for')
export const cancel = goOn('cancel', 'cancelImport', 'Stop an import; what is applied stays')

function goOn<Action extends string>(action: Action, operationId: string, summary: string) {
  return createRoute({
    method: 'post',
    path: `/imports/{id}/${action}` as const,
    operationId,
    summary,
    security,
    request: { params: idSchema, query: z.object({ wait: waitSchema }) },
    responses: { ...refusals, 200: started[200], 202: answer(importSchema, 'The import as it is') },
  })
}

export const rows = createRoute({
  method: 'get',
  path: '/imports/{id}/rows',
  operationId: 'listImportRows',
  summary: 'What became of the rows',
  ...example('/imports/$ID/rows?status=failed&limit=10'),
  security,
  request: { params: idSchema, query: rowsSchema },
  responses: { ...refusals, 200: answer(rowListSchema, 'A page of rows') },
})

export const issues = createRoute({
  method: 'get',
  path: '/imports/{id}/issues',
  operationId: 'listImportIssues',
  summary: 'What was found in the rows',
  security,
  request: { params: idSchema, query: issuesSchema },
  responses: { ...refusals, 200: answer(issueListSchema, 'A page of issues') },
})

export const failedCsv = createRoute({
  method: 'get',
  path: '/imports/{id}/failed.csv',
  operationId: 'downloadFailedRows',
  summary: 'The failed rows as they were sent, with the reasons',
  description: 'Correct it, and upload it again with `corrects`.',
  ...example('/imports/$ID/failed.csv', '-o failed.csv'),
  security,
  request: { params: idSchema },
  responses: { ...refusals, 200: { description: 'A file', content: { 'text/csv': { schema: z.string() } } } },
})

export const correct = createRoute({
  method: 'post',
  path: '/imports/{id}/corrections',
  operationId: 'correctImport',
  summary: 'Bring failed rows in again, with some cells replaced',
  description:
    'Makes an import of these rows, with dataset, mode, mapping and options of the one that they failed in; the cells not given are as they were sent. For more than a thousand rows correct the `failed.csv` and upload it with `corrects`.',
  ...example(
    '/imports/$ID/corrections?review=false&wait=30',
    `${json} '{ "corrections": [{ "row": 17, "cells": { "email": "x@example.com" } }] }'`,
  ),
  security,
  request: {
    params: idSchema,
    query: proceedSchema,
    headers: idempotencySchema,
    body: { required: true, content: { 'application/json': { schema: correctionsSchema } } },
  },
  responses: {
    ...refusals,
    200: answer(importSchema, 'The import that the same Idempotency-Key made before'),
    201: answer(importSchema, 'The new import'),
    413: answer(errorSchema, 'Too many rows'),
  },
})

export const events = createRoute({
  method: 'get',
  path: '/imports/{id}/events',
  operationId: 'listenToImport',
  summary: 'Status, counts, progress and job, whenever they change',
  description:
    'Server-sent events. `state` tells of a change, `end` of the last one: nothing more comes by itself. The data of both are `id`, `status`, `counts`, `error`, `progress`, `undo`, `waiting_for` and `job` of the import. The stream ends after 140 seconds, before the platform ends it, and when the import can be read no longer: ask again with the id of the last event, as EventSource does by itself, and it goes on from there.',
  ...example('/imports/$ID/events', '-N'),
  security,
  request: { params: idSchema, headers: lastEventSchema },
  responses: {
    ...refusals,
    200: {
      description: 'The events',
      content: { 'text/event-stream': { schema: z.string().openapi({ example: eventExample }) } },
    },
    204: { description: 'The last event was the end' },
  },
})

export const createSet = createRoute({
  method: 'post',
  path: '/imports/sets',
  operationId: 'createImportSet',
  summary: 'Make a set of imports',
  description:
    'Uploads join it with `set_id`. Each of its imports waits for those of the set whose datasets its own refers to. A zip archive makes a set by itself.',
  ...example('/imports/sets', `${json} '{ "name": "Move in" }'`),
  security,
  request: {
    headers: idempotencySchema,
    body: { required: true, content: { 'application/json': { schema: newSetSchema } } },
  },
  responses: {
    ...refusals,
    200: answer(setSchema, 'The set that the same Idempotency-Key made before'),
    201: answer(setSchema, 'The set'),
  },
})

export const getSet = createRoute({
  method: 'get',
  path: '/imports/sets/{id}',
  operationId: 'getImportSet',
  summary: 'A set and its imports',
  security,
  request: { params: idSchema },
  responses: { ...refusals, 200: answer(setSchema, 'The set') },
})

export const runSet = createRoute({
  method: 'post',
  path: '/imports/sets/{id}/run',
  operationId: 'runImportSet',
  summary: 'Validate and commit every staged import of a set, in the order of their references',
  ...example('/imports/sets/$SET/run?wait=30', '-X POST'),
  security,
  request: { params: idSchema, query: runSetSchema },
  responses: {
    ...refusals,
    200: answer(setSchema, 'With wait: the set, when nothing of it runs any more'),
    202: answer(setSchema, 'The set as it is'),
  },
})
