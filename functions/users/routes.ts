import { createRoute, z } from '@hono/zod-openapi'
import { errorSchema, importSchema } from '../_shared/documents.ts'
import { answer, example, json, refusals, security, uploadAnswers, uploadBody } from '../_shared/routes.ts'
import { idempotencySchema } from '../_shared/upload/schemas.ts'
import { resultsSchema, userListSchema } from './documents.ts'
import * as schemas from './schemas.ts'

const waits = {
  202: {
    ...answer(importSchema, 'Not done in time: the import that does it, which `Location` names'),
    headers: z.object({ Location: z.string().openapi({ description: 'GET it until it is at its end' }) }),
  },
}
const tooMany = { 413: answer(errorSchema, 'Too many people for a request') }

export const create = createRoute({
  method: 'post',
  path: '/users',
  operationId: 'createUsers',
  summary: 'Create people, and say of each what became of them',
  description:
    'Each is judged alone: one that is wrong fails with its issues, and the others are created. What was done is an import of the dataset `users` like one of a file, and can be undone like one.',
  ...example(
    '/users',
    `${json} '{ "users": [{ "email": "ann@example.com", "full_name": "Ann", "role": "member" }] }'`,
  ),
  security,
  request: {
    query: schemas.waitSchema,
    headers: idempotencySchema,
    body: { required: true, content: { 'application/json': { schema: schemas.createSchema } } },
  },
  responses: {
    ...refusals,
    200: answer(resultsSchema, 'It is done, and nobody was created; or an earlier request did it'),
    201: answer(resultsSchema, 'It is done, and somebody was created'),
    ...waits,
    ...tooMany,
  },
})

export const upload = createRoute({
  method: 'post',
  path: '/users/import',
  operationId: 'importUsers',
  summary: 'Upload a file of people',
  description: '`POST /imports` with the dataset `users`: what is said there holds here.',
  ...example('/users/import?review=false&wait=30', "-H 'Content-Type: text/csv' --data-binary @users.csv"),
  security,
  request: { query: schemas.importSchema, headers: idempotencySchema, body: uploadBody },
  responses: uploadAnswers,
})

export const remove = createRoute({
  method: 'delete',
  path: '/users',
  operationId: 'deleteUsers',
  summary: 'Delete people, by their ids, their addresses or the import that brought them in',
  description:
    'Exactly one of `ids`, `emails` and `import_id`, in the body or in the query. Who is not there, and who may not be deleted (oneself, the last admin, system admins), is reported, and the others are deleted; it cannot be undone. With `dry_run` nobody is: the answer has the `preview`, and `POST /imports/{import_id}/commit` does it.',
  ...example('/users', `-X DELETE ${json} '{ "emails": ["ann@example.com"], "dry_run": true }'`),
  security,
  request: {
    query: schemas.deletionQuerySchema,
    headers: idempotencySchema,
    body: { content: { 'application/json': { schema: schemas.deletionSchema } } },
  },
  responses: { ...refusals, 200: answer(resultsSchema, 'It is done'), ...waits, ...tooMany },
})

export const list = createRoute({
  method: 'get',
  path: '/users',
  operationId: 'listUsers',
  summary: 'The people of the organization',
  ...example('/users?search=ann'),
  security,
  request: { query: schemas.listSchema },
  responses: { ...refusals, 200: answer(userListSchema, 'A page of people') },
})
