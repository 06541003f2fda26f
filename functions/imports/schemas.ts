import { z } from '@hono/zod-openapi'
import { encodings } from './encoding.ts'

/** The shape of every error. */
export const errorSchema = z
  .object({
    code: z.string().openapi({ description: 'SQLSTATE, or a name', example: '22023' }),
    message: z.string(),
    details: z.string().nullable(),
    hint: z.string().nullable().openapi({ description: 'The way out' }),
  })
  .openapi('Error')

export const modeSchema = z.enum(['insert', 'update', 'upsert', 'delete'])

export const mappingSchema = z
  .record(
    z.string(),
    z.union([
      z.string(),
      z.null(),
      z.looseObject({
        column: z.string().optional(),
        columns: z.array(z.string()).optional(),
        transforms: z.array(z.unknown()).optional(),
        default: z.unknown().optional(),
      }),
    ]),
  )
  .openapi('Mapping', {
    description:
      'From field name to column name, or to { column | columns, transforms, default }; null leaves the field out',
    example: { external_id: 'Customer no.', name: { column: 'Name', transforms: ['trim'] }, notes: null },
  })

export const optionsSchema = z
  .strictObject({
    duplicates: z.enum(['error', 'keep_first', 'keep_last']).optional(),
    on_error: z.enum(['skip', 'abort']).optional(),
    blank: z.enum(['ignore', 'clear']).optional(),
  })
  .openapi('Options')

const jobSchema = z
  .looseObject({
    id: z.uuid(),
    job_type: z.string(),
    status: z.string(),
    phase: z.string().nullable().optional(),
    import_id: z.uuid().nullable().optional(),
    total: z.number().nullable().optional(),
    done: z.number().nullable().optional(),
    failed: z.number().nullable().optional(),
    result: z.unknown().optional(),
    error: z.unknown().optional(),
  })
  .openapi('Job')

const statusSchema = z.enum([
  'receiving',
  'staged',
  'validating',
  'validated',
  'committing',
  'completed',
  'failed',
  'cancelled',
  'undoing',
  'undone',
])

/** An import, as `get_import` describes it. The database makes it; this is its documentation. */
export const importSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    dataset: z.string(),
    mode: z.string(),
    source: z.string(),
    status: statusSchema,
    file_name: z.string().nullable(),
    row_count: z.number().nullable(),
    byte_size: z.number().nullable(),
    content_hash: z.string().nullable().openapi({ description: 'SHA-256 of the file as it was sent' }),
    columns: z.array(z.string()).nullable(),
    format: z
      .looseObject({
        kind: z.enum(['csv', 'json', 'ndjson', 'xlsx']),
        delimiter: z.string(),
        quote: z.string(),
        encoding: z.string(),
        header: z.boolean(),
        sheet: z.string(),
        sheets: z.array(z.string()),
      })
      .partial()
      .nullable()
      .openapi({ description: 'How the file is written, as far as it applies to its kind' }),
    sample: z.array(z.array(z.string().nullable())).nullable().optional(),
    mapping: mappingSchema.nullable(),
    suggested_mapping: z.unknown().nullable(),
    options: optionsSchema.loose(),
    counts: z.record(z.string(), z.number().nullable()),
    issues: z.array(
      z.looseObject({
        code: z.string(),
        severity: z.string(),
        field: z.string().nullable(),
        count: z.number(),
      }),
    ),
    error: z.unknown().nullable(),
    undo: z
      .looseObject({ reversed: z.number(), kept: z.record(z.string(), z.number()) })
      .nullable()
      .openapi({ description: 'How many records an undo took back, and kept for which reason' }),
    progress: z.unknown().nullable(),
    job: jobSchema.nullable(),
    set_id: z.uuid().nullable(),
    depends_on: z.array(z.uuid()),
    waiting_for: z.array(
      z.looseObject({ id: z.uuid(), dataset: z.string().nullable(), status: z.string().nullable() }),
    ),
    corrects: z.uuid().nullable(),
    corrected_by: z.array(z.uuid()),
    chain: z
      .looseObject({ rows: z.number(), applied: z.number(), failed: z.number() })
      .nullable()
      .openapi({ description: 'With all that it corrects and that corrects it, where there is any' }),
    duplicate_of: z.uuid().nullable().openapi({
      description: 'An earlier import of the same file: it is applied with force only',
    }),
    initiated_by: z.uuid().nullable(),
    created_at: z.string(),
    staged_at: z.string().nullable(),
    validated_at: z.string().nullable(),
    finished_at: z.string().nullable(),
  })
  .openapi('Import')

/** What a zip archive becomes. */
export const setAnswerSchema = z
  .object({ set_id: z.uuid(), imports: z.array(importSchema) })
  .openapi('ImportSetAnswer')

export const jobAnswerSchema = jobSchema
export const importListSchema = z
  .looseObject({ imports: z.array(importSchema), next_before: z.string().nullable() })
  .openapi('ImportList')

/** Several imports, as `get_import_set` describes them. */
export const setSchema = z
  .looseObject({
    id: z.uuid(),
    org_id: z.uuid(),
    name: z.string().nullable(),
    status: z.enum(['running', 'failed', 'paused', 'open', 'completed', 'cancelled', 'undone']).openapi({
      description: 'failed: an import failed, or waits for one that did. open: some await somebody',
    }),
    imports: z.array(importSchema).openapi({ description: 'In the order of their references' }),
    created_at: z.string(),
  })
  .openapi('ImportSet')

const issueSchema = z.looseObject({
  field: z.string().nullable(),
  severity: z.enum(['error', 'warning']),
  code: z.string(),
  message: z.string(),
  value: z.string().nullable(),
})

export const rowListSchema = z
  .array(
    z.looseObject({
      row_number: z.number(),
      line_number: z.number(),
      status: z.string(),
      key: z.string().nullable(),
      record_id: z.string().nullable(),
      payload: z.record(z.string(), z.string().nullable()),
      issues: z.array(issueSchema),
    }),
  )
  .openapi('Rows')

export const issueListSchema = z
  .array(
    issueSchema.extend({
      id: z.number(),
      row_number: z.number().nullable(),
      line_number: z.number().nullable(),
    }),
  )
  .openapi('Issues')

/** JSON in a query parameter or a form field. */
function json<Schema extends z.ZodType>(schema: Schema) {
  return z
    .string()
    .transform((text, ctx) => {
      try {
        return JSON.parse(text) as unknown
      } catch {
        ctx.addIssue({ code: 'custom', message: 'is not valid JSON' })
        return z.NEVER
      }
    })
    .pipe(schema)
}

const flag = z.enum(['true', 'false']).transform((text) => text === 'true')

/** A separator by name, or as it is. */
function separator(names: Record<string, string>) {
  const accepted = [...Object.keys(names), ...Object.values(names)] as [string, ...string[]]
  return z.enum(accepted).transform((text) => names[text] ?? text)
}

const delimiterSchema = separator({ comma: ',', semicolon: ';', tab: '\t', pipe: '|' })
const quoteSchema = separator({ double: '"', single: "'" })

/** Ids, separated by commas. */
const ids = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(z.uuid()))

const prerequisites = 'Imports that must be completed before this one is validated'
const templateSchema = z.uuid().openapi({
  description: 'A template: its mapping and options are taken, but for those given beside it',
})

const forceSchema = flag.optional().openapi({
  description: 'true: apply a file that was imported before',
  type: 'boolean',
})

export const waitSchema = z.coerce
  .number()
  .min(0)
  .max(30)
  .default(0)
  .openapi({ type: 'number', description: 'Hold the answer for so many seconds, until the work is done' })

const optionShape = optionsSchema.shape

const proceedShape = {
  review: flag.default(true).openapi({
    description: 'false: validate and commit without a stop',
    type: 'boolean',
    default: true,
  }),
  wait: waitSchema,
  force: forceSchema,
}
export const proceedSchema = z.object(proceedShape)

/** The parameters of an upload, in the query or as form fields before the file. */
export const uploadSchema = z.object({
  dataset: z.string().min(1).optional().openapi({
    example: 'customers',
    description:
      'Required, unless corrects says it. The files of a zip archive tell theirs by their names, unless it is given',
  }),
  mode: modeSchema.optional(),
  org_id: z.uuid().optional().openapi({ description: 'For the service, which belongs to no organization' }),
  filename: z.string().min(1).max(500).optional(),
  ...proceedShape,
  set_id: z.uuid().optional().openapi({ description: 'A set of imports that it belongs to' }),
  depends_on: ids.optional().openapi({
    type: 'string',
    description: `${prerequisites}, separated by commas`,
  }),
  corrects: z.uuid().optional().openapi({
    description:
      'The import whose failed rows it brings in again, with the dataset, mode, mapping and options of that one',
  }),
  template_id: templateSchema.optional(),
  mapping: json(mappingSchema).optional().openapi({ type: 'string', description: 'JSON, see Mapping' }),
  options: json(optionsSchema).optional().openapi({ type: 'string', description: 'JSON, see Options' }),
  duplicates: optionShape.duplicates,
  on_error: optionShape.on_error,
  blank: optionShape.blank,
  delimiter: delimiterSchema.optional().openapi({
    type: 'string',
    enum: ['comma', 'semicolon', 'tab', 'pipe', ',', ';', '\t', '|'],
    description: 'Found out when not given',
  }),
  quote: quoteSchema.optional().openapi({
    type: 'string',
    enum: ['double', 'single', '"', "'"],
    description: 'Found out when not given',
  }),
  encoding: z.enum(encodings).optional().openapi({ description: 'Found out when not given' }),
  header: flag.default(true).openapi({
    description: 'false: the first line is a row, and the columns are column_1, column_2, …',
    type: 'boolean',
    default: true,
  }),
  sheet: z.string().min(1).max(255).optional().openapi({
    description:
      'Of a workbook: the name or the number of its sheet; the first that is not empty when not given',
  }),
})
export type UploadParameters = z.output<typeof uploadSchema>

export const idSchema = z.object({ id: z.uuid().openapi({ param: { name: 'id', in: 'path' } }) })
export const idempotencySchema = z.object({
  'idempotency-key': z.string().min(1).max(200).optional().openapi({
    description: 'Makes it safe to send the request again',
  }),
})
export const lastEventSchema = z.object({
  'last-event-id': z.string().optional().openapi({ description: 'The id of the last event that came' }),
})
export const startSchema = z.object({ wait: waitSchema, force: forceSchema })
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
  limit: z.coerce.number().int().min(1).max(200).optional().openapi({ type: 'integer' }),
})
const pageSize = z.coerce.number().int().min(1).max(1000).optional().openapi({ type: 'integer' })
export const rowsSchema = z.object({
  status: z.string().optional().openapi({ example: 'failed' }),
  after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .openapi({ description: 'The last row_number of the page before' }),
  limit: pageSize,
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
  limit: pageSize,
})
