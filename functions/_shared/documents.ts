import { z } from '@hono/zod-openapi'
import { mappingSchema, modeSchema, optionsSchema, statusSchema } from './upload/schemas.ts'

// What is answered of imports. The database makes these documents; here they are described.

/** A value of the schema, with words about it, or null. */
export function orNull<Schema extends z.ZodType>(schema: Schema, description: string) {
  return schema.nullable().openapi({ description })
}

export const time = z.string().openapi({ format: 'date-time' })

/** The shape of every error. */
export const errorSchema = z
  .object({
    code: z.string().openapi({ description: 'SQLSTATE, or a name', example: '22023' }),
    message: z.string(),
    details: z.string().nullable().openapi({ description: 'What it is about' }),
    hint: z.string().nullable().openapi({ description: 'The way out' }),
  })
  .openapi('Error')

export const failureSchema = z
  .looseObject({
    code: z.string(),
    message: z.string(),
    details: z.string().nullable(),
    hint: z.string().nullable(),
  })
  .partial({ details: true, hint: true })

export const jobSchema = z
  .looseObject({
    id: z.uuid(),
    job_type: z.string().openapi({ description: 'ingest, validate, commit, undo, …' }),
    status: z.enum(['pending', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled']),
    phase: orNull(z.string(), 'What it is at; waiting: for other imports'),
    import_id: z.uuid().nullable(),
    total: z.number().openapi({ description: 'Rows to work on, in all its phases; of an ingest bytes' }),
    done: z.number(),
    failed: z.number(),
    result: orNull(
      z.record(z.string(), z.unknown()),
      'What came of it, where that is more than counts: of an undo the records reversed, changed, missing, referenced, denied, refused',
    ),
    error: orNull(failureSchema, 'Why it failed, or waits'),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .openapi('Job')

const count = z.number().nullable()

export const countsSchema = z
  .looseObject({
    rows: count,
    valid: count,
    failed: count,
    skipped: count,
    inserted: count,
    updated: count,
    unchanged: count,
    deleted: count,
    pending: count,
  })
  .openapi({ description: 'Rows by what became of them' })

export const sumsSchema = z
  .array(
    z.looseObject({
      code: z.string(),
      severity: z.enum(['error', 'warning']),
      field: z.string().nullable(),
      count: z.number(),
    }),
  )
  .openapi({ description: 'What was found in the rows, summed up' })

/** An import, as `get_import` describes it. */
export const importSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    dataset: z.string(),
    mode: modeSchema,
    source: z.string().openapi({ description: 'api, portal-upload, cli, …' }),
    status: statusSchema,
    storage_path: orNull(z.string(), 'Its file in the bucket imports, where it came by way of Storage'),
    file_name: z.string().nullable(),
    row_count: count,
    byte_size: orNull(z.number(), 'Of the file as it was sent'),
    content_hash: orNull(z.string(), 'SHA-256 of the file as it was sent'),
    columns: z.array(z.string()).nullable(),
    format: orNull(
      z
        .looseObject({
          kind: z.enum(['csv', 'json', 'ndjson', 'xlsx']),
          delimiter: z.string(),
          quote: z.string(),
          encoding: z.string(),
          header: z.boolean(),
          untrimmed: z.array(z.string()).openapi({ description: 'Columns with blanks around some cells' }),
          sheet: z.string(),
          sheets: z.array(z.string()),
        })
        .partial(),
      'How the file is written, as far as it applies to its kind',
    ),
    sample: orNull(z.array(z.array(z.string().nullable())), 'The first rows; not in lists').optional(),
    mapping: mappingSchema.or(z.null()),
    suggested_mapping: orNull(
      z.record(
        z.string(),
        z.looseObject({ column: z.string().optional(), confidence: z.number(), reason: z.string() }),
      ),
      'From field to what probably fills it: confidence 0 to 1, and the reason',
    ),
    template_id: orNull(z.uuid(), 'The template that it took its mapping from'),
    options: optionsSchema.loose(),
    counts: countsSchema,
    issues: sumsSchema,
    error: orNull(failureSchema, 'Why it failed'),
    undo: orNull(
      z.looseObject({ reversed: z.number(), kept: z.record(z.string(), z.number()) }),
      'How many records an undo took back, and kept for which reason',
    ),
    progress: orNull(
      z.looseObject({
        total: z.number(),
        processed: z.number(),
        failed: z.number(),
        elapsed_seconds: z.number(),
        items_per_minute: z.number().nullable(),
        eta_seconds: z.number().nullable(),
      }),
      'How far the last job is',
    ),
    job: jobSchema.or(z.null()).openapi({ description: 'The last one' }),
    set_id: z.uuid().nullable(),
    depends_on: z.array(z.uuid()),
    waiting_for: z
      .array(z.looseObject({ id: z.uuid(), dataset: z.string().nullable(), status: z.string().nullable() }))
      .openapi({ description: 'The imports that must be completed before it is validated' }),
    corrects: orNull(z.uuid(), 'The import whose failed rows it brings in again'),
    corrected_by: z.array(z.uuid()),
    added_columns: z
      .array(z.string())
      .openapi({ description: "What failed.csv adds: the row's number, its line and why it failed" }),
    chain: orNull(
      z.looseObject({ rows: z.number(), applied: z.number(), failed: z.number() }),
      'With all that it corrects and that corrects it, where there is any',
    ),
    duplicate_of: orNull(z.uuid(), 'An earlier import of the same file: it is applied with force only'),
    initiated_by: orNull(z.uuid(), 'Null for the service'),
    created_at: time,
    staged_at: time.nullable(),
    validated_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .openapi('Import')

/** What a commit would do, as `get_import_preview` describes it. */
export const uploadPlaceSchema = z
  .object({
    upload: z.object({
      method: z.literal('PUT'),
      url: z.string().openapi({ description: 'Where to send the file, without credentials' }),
      token: z.string().openapi({ description: 'For uploadToSignedUrl of supabase-js, with storage_path' }),
      storage_path: z.string(),
      max_bytes: z.number(),
      expires_at: time,
    }),
    next: z
      .object({
        method: z.literal('POST'),
        path: z.string(),
        body: z.looseObject({ storage_path: z.string() }),
      })
      .openapi({ description: 'The request to make once the file is there' }),
  })
  .openapi('UploadPlace')

export const previewSchema = z
  .looseObject({
    kind: z
      .enum(['counts', 'full'])
      .openapi({ description: 'full: the rows were really applied, and taken back' }),
    counts: z
      .looseObject({
        insert: z.number(),
        update: z.number(),
        unchanged: z.number(),
        delete: z.number(),
        fail: z.number(),
        skip: z.number(),
      })
      .openapi({ description: 'Rows by what would become of them' }),
    changes: z
      .array(
        z.looseObject({
          row_number: z.number(),
          key: z.string().nullable(),
          action: z.enum(['insert', 'update', 'delete']),
          before: z.record(z.string(), z.unknown()).nullable(),
          after: z.record(z.string(), z.unknown()).nullable(),
        }),
      )
      .openapi({ description: 'The first 50 rows that would change a record, with that before and after' }),
    created_at: time,
    expires_at: time,
  })
  .openapi('Preview')

export const importListSchema = z
  .looseObject({
    imports: z.array(importSchema),
    next_before: orNull(time, 'Of the next page, where there may be one'),
  })
  .openapi('ImportList')

/** What a zip archive becomes. */
export const archiveSchema = z.object({ set_id: z.uuid(), imports: z.array(importSchema) }).openapi('Archive')

/** Several imports, as `get_import_set` describes them. */
export const setSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    name: z.string().nullable(),
    status: z.enum(['running', 'failed', 'paused', 'open', 'completed', 'cancelled', 'undone']).openapi({
      description: 'failed: an import failed, or waits for one that did; open: some await somebody',
    }),
    imports: z.array(importSchema).openapi({ description: 'In the order of their references' }),
    created_at: time,
  })
  .openapi('ImportSet')

export const issueSchema = z.looseObject({
  field: z.string().nullable(),
  severity: z.enum(['error', 'warning']),
  code: z.string(),
  message: z.string(),
  value: z.string().nullable(),
})

const rowSchema = z
  .looseObject({
    row_number: z.number(),
    line_number: z.number(),
    status: z.string().openapi({
      description: 'pending, validated, failed, skipped, inserted, updated, unchanged, deleted, undone',
    }),
    key: z.string().nullable(),
    record_id: orNull(z.string(), 'Of rows that were acted upon'),
    payload: z
      .record(z.string(), z.string().nullable())
      .openapi({ description: 'From column to cell, as it was sent' }),
    issues: z.array(issueSchema),
  })
  .openapi('Row')

export const rowListSchema = z.array(rowSchema)

export const issueListSchema = z.array(
  issueSchema
    .extend({
      id: z.number(),
      row_number: z.number().nullable(),
      line_number: z.number().nullable(),
      sqlstate: orNull(z.string(), 'What the table said'),
      constraint_name: z.string().nullable(),
    })
    .openapi('Issue'),
)
