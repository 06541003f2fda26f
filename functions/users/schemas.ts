import { z } from '@hono/zod-openapi'
import { flag, ids, modeSchema, pageSize, uploadSchema, waitSchemaOf } from '../_shared/upload/schemas.ts'

const orgSchema = z.uuid().optional().openapi({
  description: 'The organization, for the service and system admins; that of the caller when not given',
})

/** Hashing passwords takes its time, so the answer waits of its own accord. */
export const waitSchema = z.object({ wait: waitSchemaOf(25) })

/** A value that the database judges, so that a wrong one fails its person and not the request. */
function judged(type: 'string' | 'boolean' | 'object', description: string) {
  return z.unknown().optional().openapi({ type, description })
}

export const newUserSchema = z
  .looseObject({
    email: judged('string', 'Lower case is made of it'),
    password: judged('string', 'At most 72 bytes; only where the organization may confirm'),
    password_hash: judged('string', 'bcrypt, argon2 or fbscrypt, in place of a password'),
    full_name: judged('string', 'The name of the profile'),
    role: judged('string', "viewer (default), member or admin, at most the caller's own"),
    phone: judged('string', 'With or without +'),
    metadata: judged('object', 'The user metadata of the auth service'),
    organization: judged('string', 'Slug or name, for the service and system admins'),
    send_invite: judged('boolean', 'Invite, also where the organization may confirm'),
  })
  .openapi('NewUser')

export const createSchema = z.strictObject({
  users: z.array(newUserSchema).openapi({ description: '1 to 500 people' }),
  mode: modeSchema.exclude(['delete']).optional().openapi({ description: 'insert when not given' }),
  org_id: orgSchema,
})

export const importSchema = uploadSchema.omit({ dataset: true })

const deletionShape = {
  import_id: z.uuid().optional().openapi({ description: 'The import that brought them in' }),
  org_id: orgSchema,
}
const dryRun = 'true: find out what would happen, and delete nobody'

/** Whom to delete, in the body. What it does not know it refuses: a dry run that is not understood would delete. */
export const deletionSchema = z.strictObject({
  ids: z.array(z.uuid()).optional(),
  emails: z.array(z.string()).optional().openapi({ description: 'Up to 100,000' }),
  ...deletionShape,
  dry_run: z.boolean().optional().openapi({ description: dryRun }),
})

/** The same in the query, for those who cannot send a body. */
export const deletionQuerySchema = z.strictObject({
  ids: ids.optional().openapi({ type: 'string', description: 'Separated by commas' }),
  emails: z
    .string()
    .transform((text) => text.split(','))
    .optional()
    .openapi({ type: 'string', description: 'Separated by commas' }),
  ...deletionShape,
  dry_run: flag.optional().openapi({ type: 'boolean', description: dryRun }),
  ...waitSchema.shape,
})

export const listSchema = z.object({
  org_id: orgSchema,
  search: z.string().min(1).max(255).optional().openapi({ description: 'Part of the e-mail or the name' }),
  after: z.string().optional().openapi({ description: 'next_after of the page before' }),
  limit: pageSize(1000, 100),
})
