import { z } from '@hono/zod-openapi'
import { flag, mappingSchema, optionsSchema, pageSize, waitSchema } from '../_shared/upload/schemas.ts'

export const kindSchema = z.enum(['manual', 'http_csv', 'http_json', 'storage', 'foreign_table'])
export const modeSchema = z.enum(['upsert', 'mirror'])
export const overlapSchema = z.enum(['skip', 'wait'])
export const runStatusSchema = z.enum([
  'waiting',
  'fetching',
  'validating',
  'awaiting_approval',
  'committing',
  'deleting',
  'completed',
  'unchanged',
  'failed',
  'cancelled',
])

const orgSchema = z.uuid().optional().openapi({
  description: 'The organization, for the service and system admins; that of the caller when not given',
})
export const ofOrganization = z.object({ org_id: orgSchema })
export const idSchema = z.object({ id: z.uuid() })
export const waitingSchema = z.object({ wait: waitSchema })

/** What the database judges, for a message that says more than a schema could. */
const source = {
  notes: z.string().nullable().optional(),
  location: z.string().nullable().optional().openapi({
    description:
      'An address; a path in the bucket imports, of a folder with a slash at its end; a table that is allowed. None of manual ones',
    example: 'https://shop.example/customers.csv',
  }),
  secret_name: z.string().nullable().optional().openapi({ description: 'A secret of the organization' }),
  options: z
    .record(z.string(), z.unknown())
    .optional()
    .openapi({
      description: 'How it is asked and read; see docs/sync.md',
      example: { delimiter: ';' },
    }),
  mode: modeSchema.optional().openapi({ description: 'upsert when not given' }),
  max_delete_percent: z.number().min(0).max(100).optional().openapi({
    description: 'Of a mirror: what it would delete beyond that is asked for; 10 when not given',
  }),
  requires_approval: z.boolean().optional(),
  overlap: overlapSchema.optional().openapi({
    description: 'What becomes of a run that is due while another is under way; skip when not given',
  }),
  template_id: z.uuid().nullable().optional(),
  mapping: mappingSchema.nullable().optional(),
  import_options: optionsSchema.optional(),
  owner: z
    .uuid()
    .optional()
    .openapi({ description: 'An admin, whose rights its runs work with; the caller when not given' }),
  is_active: z.boolean().optional(),
}
export const newSourceSchema = z.strictObject({
  name: z.string(),
  dataset: z.string().openapi({ example: 'customers' }),
  kind: kindSchema,
  ...source,
  org_id: orgSchema,
})
export const changesSchema = z.strictObject({
  name: z.string().optional(),
  kind: kindSchema.optional(),
  ...source,
})

export const runningSchema = z.object({
  wait: waitSchema,
  force: flag.optional().openapi({
    description: 'true: fetch and apply also what has not changed',
    type: 'boolean',
  }),
})

const schedule = {
  is_enabled: z.boolean().optional(),
  notes: z.string().optional(),
}
const expression = z.string().openapi({
  description: 'Minute, hour, day of the month, month, day of the week, in UTC',
  example: '*/15 * * * *',
})
export const newScheduleSchema = z.strictObject({
  source_id: z.uuid(),
  cron_expression: expression,
  ...schedule,
})
export const scheduleChangesSchema = z.strictObject({ cron_expression: expression.optional(), ...schedule })
export const ofSource = z.object({ source_id: z.uuid().optional() })

export const runListSchema = z.object({
  source_id: z.uuid().optional(),
  status: runStatusSchema.optional(),
  before: z.iso
    .datetime({ offset: true })
    .optional()
    .openapi({ description: 'next_before of the page before' }),
  limit: pageSize(200, 50),
})

export const secretNameSchema = z.object({ name: z.string().openapi({ example: 'shop-key' }) })
export const secretSchema = z.strictObject({ value: z.string(), org_id: orgSchema })
