import { z } from '@hono/zod-openapi'
import {
  flag,
  forceSchema,
  mappingSchema,
  optionsSchema,
  pageSize,
  prerequisites,
  statusSchema,
  templateSchema,
  waitSchema,
} from '../_shared/upload/schemas.ts'

export const idSchema = z.object({ id: z.uuid().openapi({ param: { name: 'id', in: 'path' } }) })
export const lastEventSchema = z.object({
  'last-event-id': z.string().optional().openapi({ description: 'The id of the last event that came' }),
})
export const startSchema = z.object({ wait: waitSchema, force: forceSchema })
export const commitSchema = startSchema.extend({
  dry_run: z.enum(['counts', 'full']).optional().openapi({
    description:
      'Find out what it would do, and apply nothing. counts: from what is there; full: the rows are really applied and taken back, so that triggers and constraints speak',
  }),
})
export const undoSchema = z.object({
  wait: waitSchema,
  dry_run: flag.optional().openapi({
    description: 'true: find out what would be taken back, and take nothing back',
    type: 'boolean',
  }),
})
export const changeSchema = z.strictObject({
  mapping: mappingSchema.optional(),
  options: optionsSchema.optional(),
  template_id: templateSchema.optional(),
  depends_on: z.array(z.uuid()).optional().openapi({ description: prerequisites }),
})
export const correctionsSchema = z.strictObject({
  corrections: z
    .array(
      z.strictObject({
        row: z.int().openapi({ description: 'The row_number of a failed row' }),
        cells: z
          .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
          .openapi({ description: 'From column to what its cell should be; the others stay' }),
      }),
    )
    .openapi({ example: [{ row: 17, cells: { email: 'x@example.com' } }] }),
})
export const newSetSchema = z.strictObject({
  name: z.string().min(1).max(255).optional(),
  org_id: z.uuid().optional().openapi({ description: 'For the service, which belongs to no organization' }),
})
export const runSetSchema = z.object({
  commit: flag.optional().openapi({
    description: 'false: validate only',
    type: 'boolean',
    default: true,
  }),
  wait: waitSchema,
  force: forceSchema,
})
export const listSchema = z.object({
  dataset: z.string().optional(),
  status: statusSchema.optional(),
  before: z.iso
    .datetime({ offset: true })
    .optional()
    .openapi({ description: 'next_before of the page before' }),
  limit: pageSize(200, 50),
})
export const rowsSchema = z.object({
  status: z.string().optional().openapi({ example: 'failed' }),
  after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .openapi({ type: 'integer', description: 'The last row_number of the page before' }),
  limit: pageSize(1000, 100),
})
export const issuesSchema = z.object({
  after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .openapi({ type: 'integer', description: 'The last id of the page before' }),
  code: z.string().optional(),
  severity: z.enum(['error', 'warning']).optional(),
  limit: pageSize(1000, 100),
})
