import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { repositoryRoot } from './binaries.ts'
import type { Stack } from './stack.ts'

type Rules = {
  lower?: boolean
  format?: string
  pattern?: string
  one_of?: string[]
  min?: number
  max?: number
  min_length?: number
  max_length?: number
  unique_in_file?: boolean
}
type Field = {
  name: string
  type: string
  is_required: boolean
  is_secret: boolean
  aliases: string[]
  rules: Rules
  reference: { dataset: string; field: string } | null
  default_value: string | null
  is_record: boolean
  description: string | null
}
type Dataset = {
  key: string
  label: string
  description: string
  key_fields: string[]
  group_field: string | null
  lines: string | null
  required_role: string
  allowed_modes: string[]
  fields: Field[]
}

/** docs/datasets.md: a head that is written by hand, and the registry as a database with the migrations has it. */
export async function generateDatasetsDoc(stack: Stack): Promise<string> {
  const sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} })
  try {
    const registered = await sql<Dataset[]>`
      select d.key, d.label, obj_description(d.target::regclass, 'pg_class') as description, d.key_fields,
        d.group_field, d.lines, d.required_role, d.allowed_modes::text[], f.fields
      from public.datasets as d
      cross join lateral (
        select jsonb_agg(jsonb_build_object(
          'name', f.name, 'type', f.type, 'is_required', f.is_required, 'is_secret', f.is_secret, 'aliases', f.aliases, 'rules', f.rules,
          'reference', f.reference, 'default_value', pg_get_expr(e.adbin, e.adrelid),
          'is_record', a.attrelid = d.target::regclass,
          'description', coalesce(col_description(a.attrelid, a.attnum), col_description(w.attrelid, w.attnum))
        ) order by f.position) as fields
        from public.dataset_fields as f
        left join lateral (
          select a.* from pg_attribute as a
          where a.attrelid in (d.target::regclass, d.lines::regclass) and a.attname = f.column_name
          order by a.attrelid = d.target::regclass desc
          limit 1
        ) as a on true
        left join pg_attribute as w on w.attrelid = private.apply_row_type(d.apply_function) and w.attname = f.column_name
        left join pg_attrdef as e on e.adrelid = a.attrelid and e.adnum = a.attnum
        where f.dataset = d.key
      ) as f
      order by d.position`
    return [head(), ...registered.map(datasetSection)].join('\n')
  } finally {
    await sql.end()
  }
}

function head(): string {
  const text = readFileSync(join(import.meta.dirname, 'datasets-head.md'), 'utf8')
  return `<!-- Generated from local/datasets-head.md and the migrations: npm run generate -->\n\n${text.trimEnd()}\n`
}

function datasetSection(dataset: Dataset): string {
  const { key, label, description, key_fields, group_field, required_role, allowed_modes, fields } = dataset
  const sample = `examples/${key}.csv`
  const rows = fields.map((field) => `| ${fieldCells(field, group_field !== null).join(' | ')} |`)
  return `## ${label}

\`${key}\`: ${description} Key: ${key_fields.map(code).join(' and ')}.${
    group_field ? ` Rows with the same ${code(group_field)} are one record.` : ''
  } Modes: ${allowed_modes.join(', ')}.${required_role === 'admin' ? ' For admins.' : ''}${existsSync(join(repositoryRoot, sample)) ? ` Sample: [${sample}](../${sample}).` : ''}

| field | type | required | rules | other names |
|---|---|---|---|---|
${rows.join('\n')}
`
}

function fieldCells(field: Field, isGrouped: boolean): string[] {
  const {
    name,
    type,
    is_required,
    is_secret,
    aliases,
    rules,
    reference,
    default_value,
    is_record,
    description,
  } = field
  const notes = [
    reference
      ? `the ${code(reference.field)} of one of the [${reference.dataset}](#${anchor(reference.dataset)})`
      : '',
    isGrouped && is_record ? 'of the record' : '',
    is_secret ? '[secret](imports.md#secrets)' : '',
    ...ruleWords(rules),
    default_value ? `else ${code(default_value.replace(/::[a-z ]+$/, ''))}` : '',
  ].filter(Boolean)
  const text = [notes.join('; '), description ?? ''].filter(Boolean).join('. ')
  return [code(name), type, is_required ? 'yes' : '', text.replaceAll('|', '\\|'), aliases.join(', ')]
}

function ruleWords(rules: Rules): string[] {
  const formats: Record<string, string> = {
    email: 'an e-mail address',
    url: 'a web address',
    phone: 'a phone number',
    uuid: 'a uuid',
  }
  return [
    rules.lower ? 'in lower case, whatever was sent' : '',
    rules.format ? (formats[rules.format] ?? rules.format) : '',
    rules.pattern ? code(rules.pattern) : '',
    rules.one_of ? `one of ${rules.one_of.map(code).join(', ')}` : '',
    rules.min !== undefined && rules.max !== undefined ? `${rules.min} to ${rules.max}` : '',
    rules.min !== undefined && rules.max === undefined ? `at least ${rules.min}` : '',
    rules.min === undefined && rules.max !== undefined ? `at most ${rules.max}` : '',
    rules.min_length !== undefined ? `at least ${rules.min_length} characters` : '',
    rules.max_length !== undefined ? `at most ${rules.max_length} characters` : '',
    rules.unique_in_file ? 'no two rows alike' : '',
  ]
}

function anchor(dataset: string): string {
  return dataset.replaceAll('_', '-')
}

function code(text: string): string {
  return `\`${text}\``
}
