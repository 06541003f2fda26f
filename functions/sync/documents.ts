import { z } from '@hono/zod-openapi'
import { failureSchema, orNull, previewSchema, time } from '../_shared/documents.ts'
import { mappingSchema, optionsSchema } from '../_shared/upload/schemas.ts'
import { kindSchema, modeSchema, overlapSchema, runStatusSchema } from './schemas.ts'

// What is answered about syncs. The database makes these documents; here they are described.

export const scheduleSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    source_id: z.uuid(),
    cron_expression: z.string().openapi({ example: '*/15 * * * *' }),
    time_zone: z.literal('UTC'),
    is_enabled: z.boolean(),
    notes: z.string().nullable(),
    created_by: z.uuid().nullable(),
    created_at: time,
    updated_at: time,
  })
  .openapi('SyncSchedule')

export const sourceSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    name: z.string(),
    notes: z.string().nullable(),
    dataset: z.string(),
    kind: kindSchema,
    location: z.string().nullable(),
    secret_name: z.string().nullable(),
    options: z.record(z.string(), z.unknown()),
    mode: modeSchema,
    max_delete_percent: z.number(),
    requires_approval: z.boolean(),
    overlap: overlapSchema,
    template_id: z.uuid().nullable(),
    mapping: mappingSchema.nullable(),
    import_options: optionsSchema,
    owner: orNull(z.uuid(), 'Whose rights its runs work with; null: their account is gone'),
    is_active: z.boolean(),
    state: z.record(z.string(), z.unknown()).openapi({
      description: 'What the last completed run found, by which the next one asks for what is newer',
    }),
    created_by: z.uuid().nullable(),
    created_at: time,
    updated_at: time,
    schedules: z.array(scheduleSchema),
  })
  .openapi('SyncSource')

export const runSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    source_id: z.uuid(),
    source: z.string().openapi({ description: 'Its name' }),
    dataset: z.string(),
    schedule_id: orNull(z.uuid(), 'Whose time had come'),
    status: runStatusSchema,
    is_forced: z.boolean(),
    reason: orNull(
      z.enum(['approval_required', 'too_many_deletions', 'rows_without_key']),
      'Why it asks, or asked',
    ),
    job_id: orNull(z.uuid(), 'Its latest job of type sync'),
    import_id: orNull(z.uuid(), 'The import that applies what came'),
    delete_import_id: orNull(z.uuid(), 'The import that deletes what the source no longer has'),
    fetched: z
      .record(z.string(), z.unknown())
      .openapi({ description: 'What came: status, pages, bytes, row_count, …' }),
    known_count: orNull(z.number(), 'Of mirrors: records that it had delivered before'),
    deletion_count: orNull(z.number(), 'Of mirrors: those that it no longer has'),
    skipped_count: z
      .number()
      .openapi({ description: 'How often another run was due meanwhile, and left out' }),
    counts: z.looseObject({
      inserted: z.number(),
      updated: z.number(),
      unchanged: z.number(),
      deleted: z.number(),
      failed: z.number(),
      skipped: z.number(),
    }),
    error: orNull(failureSchema, 'Why it failed'),
    started_by: z.uuid().nullable(),
    approved_by: z.uuid().nullable(),
    approved_at: time.nullable(),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    preview: previewSchema.nullable().optional(), // of one that is asked for alone
  })
  .openapi('SyncRun')

export const secretsSchema = z.object({
  secrets: z.array(z.object({ name: z.string(), updated_at: time })),
})
export const sourcesSchema = z.object({ sources: z.array(sourceSchema) })
export const schedulesSchema = z.object({ schedules: z.array(scheduleSchema) })
export const runsSchema = z.object({
  runs: z.array(runSchema),
  next_before: orNull(time, 'Of the next page, where there is one'),
})
