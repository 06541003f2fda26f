import { z } from '@hono/zod-openapi'
import { encodings } from './encoding.ts'

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

export const statusSchema = z.enum([
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

export const flag = z.enum(['true', 'false']).transform((text) => text === 'true')

/** A separator by name, or as it is. */
function separator(names: Record<string, string>) {
  const accepted = [...Object.keys(names), ...Object.values(names)] as [string, ...string[]]
  return z.enum(accepted).transform((text) => names[text] ?? text)
}

const delimiterSchema = separator({ comma: ',', semicolon: ';', tab: '\t', pipe: '|' })
const quoteSchema = separator({ double: '"', single: "'" })

/** Ids, separated by commas. */
export const ids = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(z.uuid()))

export const prerequisites = 'Imports that must be completed before this one is validated'
export const templateSchema = z.uuid().openapi({
  description: 'A template: its mapping and options are taken, but for those given beside it',
})

export const forceSchema = flag.optional().openapi({
  description: 'true: apply a file that was imported before',
  type: 'boolean',
})

/** How long an answer may be held. */
export function waitSchemaOf(fallback: number) {
  return z.coerce.number().min(0).max(30).default(fallback).openapi({
    type: 'number',
    minimum: 0,
    maximum: 30,
    default: fallback,
    description: 'Hold the answer for so many seconds, until the work is done',
  })
}
export const waitSchema = waitSchemaOf(0)

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
  upload: z.enum(['storage']).optional().openapi({
    description: 'Answer with a place in Storage where the file can be uploaded, instead of taking it here',
  }),
  storage_path: z.string().min(1).max(1024).optional().openapi({
    description:
      'The file in the bucket imports. Only in a body of JSON, with the other parameters beside it',
  }),
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
  mapping: json(mappingSchema).optional().openapi({ type: 'string', description: 'JSON: a Mapping' }),
  options: json(optionsSchema).optional().openapi({ type: 'string', description: 'JSON: Options' }),
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

export const idempotencySchema = z.object({
  'idempotency-key': z.string().min(1).max(200).optional().openapi({
    description: 'Makes it safe to send the request again',
  }),
})

/** How many there are on a page. */
export function pageSize(maximum: number, fallback: number) {
  return z.coerce
    .number()
    .int()
    .min(1)
    .max(maximum)
    .optional()
    .openapi({ type: 'integer', minimum: 1, maximum, default: fallback })
}
