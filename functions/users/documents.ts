import { z } from '@hono/zod-openapi'
import {
  countsSchema,
  failureSchema,
  issueSchema,
  orNull,
  previewSchema,
  sumsSchema,
  time,
} from '../_shared/documents.ts'
import { statusSchema } from '../_shared/upload/schemas.ts'

// What is answered about people. The database makes these documents; here they are described.

const role = z.enum(['viewer', 'member', 'admin'])

/** A person, as `list_users` describes them. */
export const userSchema = z
  .looseObject({
    id: z.uuid(),
    email: z.string(),
    full_name: z.string().nullable(),
    role,
    phone: z.string().nullable(),
    metadata: z
      .record(z.string(), z.unknown())
      .openapi({ description: 'The user metadata of the auth service' }),
    is_active: z.boolean(),
    confirmed: z
      .boolean()
      .openapi({ description: 'Whether the address is confirmed: only then they sign in' }),
    invitation: orNull(z.enum(['pending', 'sending', 'sent', 'failed']), 'Where they were invited'),
    organization: z.string().nullable().openapi({ description: 'Its slug' }),
    created_at: time,
    last_sign_in_at: time.nullable(),
  })
  .openapi('User')

export const userListSchema = z
  .looseObject({
    users: z.array(userSchema).openapi({ description: 'In the order of their addresses' }),
    next_after: orNull(z.string(), 'Of the next page, where there is one'),
  })
  .openapi('UserList')

/** What became of one person, as `list_user_results` describes it. */
const resultSchema = z
  .looseObject({
    row_number: z.number().openapi({ description: 'Their place in what was sent, from 1' }),
    email: z.string().nullable(),
    status: z.enum(['created', 'updated', 'unchanged', 'deleted', 'skipped', 'failed', 'undone', 'pending']),
    user_id: orNull(z.uuid(), 'Of who was created, updated, deleted or left as they were'),
    issues: z.array(issueSchema),
  })
  .openapi('UserResult')

export const resultsSchema = z
  .object({
    import_id: z
      .uuid()
      .openapi({ description: 'What was done is an import: /imports/{id} has everything about it' }),
    status: statusSchema,
    counts: countsSchema,
    issues: sumsSchema,
    error: orNull(failureSchema, 'Why it could not be done to its end'),
    preview: previewSchema.optional(), // of a dry run
    users: z.array(resultSchema).openapi({ description: 'What became of each, in the order they were sent' }),
    next_after: orNull(
      z.number(),
      'Where there are more than a thousand: /imports/{id}/rows?after=<next_after> has the others',
    ),
  })
  .openapi('UserResults')
