import { createRoute, type z } from '@hono/zod-openapi'
import { errorSchema } from '../_shared/documents.ts'
import { answer, example, json, refusals, security } from '../_shared/routes.ts'
import * as documents from './documents.ts'
import * as schemas from './schemas.ts'

// For admins of the organization, system admins and the service alone.

const tooMany = { 429: answer(errorSchema, 'As many as the organization may have') }
const gone = { 204: { description: 'It is done' } }

function body<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } }
}

export const listSources = createRoute({
  method: 'get',
  path: '/sync/sources',
  operationId: 'listSyncSources',
  summary: 'Where the data of the organization comes from',
  ...example('/sync/sources'),
  security,
  request: { query: schemas.ofOrganization },
  responses: { ...refusals, 200: answer(documents.sourcesSchema, 'The sources, with their schedules') },
})

export const createSource = createRoute({
  method: 'post',
  path: '/sync/sources',
  operationId: 'createSyncSource',
  summary: 'Register a source',
  ...example(
    '/sync/sources',
    `${json} '{ "name": "shop", "dataset": "customers", "kind": "http_csv", "location": "https://shop.example/customers.csv" }'`,
  ),
  security,
  request: { body: body(schemas.newSourceSchema) },
  responses: { ...refusals, 201: answer(documents.sourceSchema, 'The source'), ...tooMany },
})

export const getSource = createRoute({
  method: 'get',
  path: '/sync/sources/{id}',
  operationId: 'getSyncSource',
  summary: 'A source with its schedules',
  security,
  request: { params: schemas.idSchema },
  responses: { ...refusals, 200: answer(documents.sourceSchema, 'The source') },
})

export const changeSource = createRoute({
  method: 'patch',
  path: '/sync/sources/{id}',
  operationId: 'changeSyncSource',
  summary: 'Change a source, stop it or let it go on',
  description:
    'What is given is changed. Where it says where data is or how it is read, the next run fetches all of it.',
  ...example('/sync/sources/$ID', `-X PATCH ${json} '{ "is_active": false }'`),
  security,
  request: { params: schemas.idSchema, body: body(schemas.changesSchema) },
  responses: { ...refusals, 200: answer(documents.sourceSchema, 'The source') },
})

export const deleteSource = createRoute({
  method: 'delete',
  path: '/sync/sources/{id}',
  operationId: 'deleteSyncSource',
  summary: 'Delete a source with its schedules and runs',
  description: 'Imports and records stay.',
  security,
  request: { params: schemas.idSchema },
  responses: { ...refusals, ...gone },
})

const started = {
  200: answer(documents.runSchema, 'The run, which is at its end or asks'),
  202: answer(documents.runSchema, 'The run, which goes on: GET /sync/runs/{id} follows it'),
}

export const runSource = createRoute({
  method: 'post',
  path: '/sync/sources/{id}/run',
  operationId: 'runSync',
  summary: 'Sync a source now',
  ...example('/sync/sources/$ID/run?wait=30', '-X POST'),
  security,
  request: { params: schemas.idSchema, query: schemas.runningSchema },
  responses: { ...refusals, ...started },
})

export const listSchedules = createRoute({
  method: 'get',
  path: '/sync/schedules',
  operationId: 'listSyncSchedules',
  summary: 'When sources are synced',
  security,
  request: { query: schemas.ofSource },
  responses: { ...refusals, 200: answer(documents.schedulesSchema, 'The schedules') },
})

export const createSchedule = createRoute({
  method: 'post',
  path: '/sync/schedules',
  operationId: 'createSyncSchedule',
  summary: 'Have a source synced by schedule',
  ...example('/sync/schedules', `${json} '{ "source_id": "'$ID'", "cron_expression": "*/15 * * * *" }'`),
  security,
  request: { body: body(schemas.newScheduleSchema) },
  responses: { ...refusals, 201: answer(documents.scheduleSchema, 'The schedule'), ...tooMany },
})

export const changeSchedule = createRoute({
  method: 'patch',
  path: '/sync/schedules/{id}',
  operationId: 'changeSyncSchedule',
  summary: 'Change a schedule, stop it or let it go on',
  security,
  request: { params: schemas.idSchema, body: body(schemas.scheduleChangesSchema) },
  responses: { ...refusals, 200: answer(documents.scheduleSchema, 'The schedule') },
})

export const deleteSchedule = createRoute({
  method: 'delete',
  path: '/sync/schedules/{id}',
  operationId: 'deleteSyncSchedule',
  summary: 'Delete a schedule',
  security,
  request: { params: schemas.idSchema },
  responses: { ...refusals, ...gone },
})

export const listRuns = createRoute({
  method: 'get',
  path: '/sync/runs',
  operationId: 'listSyncRuns',
  summary: 'What syncs did, the newest first',
  ...example('/sync/runs?status=awaiting_approval'),
  security,
  request: { query: schemas.runListSchema },
  responses: { ...refusals, 200: answer(documents.runsSchema, 'A page of runs') },
})

export const getRun = createRoute({
  method: 'get',
  path: '/sync/runs/{id}',
  operationId: 'getSyncRun',
  summary: 'A run, with its preview for an hour',
  security,
  request: { params: schemas.idSchema },
  responses: { ...refusals, 200: answer(documents.runSchema, 'The run') },
})

export const approveRun = createRoute({
  method: 'post',
  path: '/sync/runs/{id}/approve',
  operationId: 'approveSync',
  summary: 'Let a run go on that asks',
  ...example('/sync/runs/$ID/approve?wait=30', '-X POST'),
  security,
  request: { params: schemas.idSchema, query: schemas.waitingSchema },
  responses: { ...refusals, ...started },
})

export const cancelRun = createRoute({
  method: 'post',
  path: '/sync/runs/{id}/cancel',
  operationId: 'cancelSync',
  summary: 'Stop a run, or refuse one that asks',
  description: 'What is in flight ends, and what was applied stays.',
  security,
  request: { params: schemas.idSchema, query: schemas.waitingSchema },
  responses: { ...refusals, ...started },
})

export const listSecrets = createRoute({
  method: 'get',
  path: '/sync/secrets',
  operationId: 'listSyncSecrets',
  summary: 'The names of the secrets of the organization',
  security,
  request: { query: schemas.ofOrganization },
  responses: { ...refusals, 200: answer(documents.secretsSchema, 'Names, never values') },
})

export const setSecret = createRoute({
  method: 'put',
  path: '/sync/secrets/{name}',
  operationId: 'setSyncSecret',
  summary: 'Keep a secret for sources to name, or replace it',
  description: 'It cannot be read again.',
  ...example('/sync/secrets/shop-key', `-X PUT ${json} '{ "value": "…" }'`),
  security,
  request: { params: schemas.secretNameSchema, body: body(schemas.secretSchema) },
  responses: { ...refusals, ...gone, ...tooMany },
})

export const deleteSecret = createRoute({
  method: 'delete',
  path: '/sync/secrets/{name}',
  operationId: 'deleteSyncSecret',
  summary: 'Delete a secret',
  description: 'Runs of sources that name it fail.',
  security,
  request: { params: schemas.secretNameSchema, query: schemas.ofOrganization },
  responses: { ...refusals, ...gone },
})
