import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stack } from './stack.ts'

type Schema = {
  $ref?: string
  type?: string | string[]
  format?: string
  enum?: unknown[]
  default?: unknown
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  description?: string
  example?: unknown
  items?: Schema
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
}
type Content = Record<string, { schema: Schema }>
type Parameter = { name: string; in: string; required?: boolean; description?: string; schema: Schema }
type Answer = { description: string; content?: Content }
type Operation = {
  summary: string
  description?: string
  security: unknown[]
  parameters?: Parameter[]
  requestBody?: { content: Content }
  responses: Record<string, Answer>
  'x-codeSamples'?: { source: string }[]
}
type Description = {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}
type Route = { title: string; operation: Operation }

/** The functions that people call. */
const functions = ['imports', 'users', 'sync']

/** docs/http-api.md: a head that is written by hand, and the routes as the functions describe them. */
export async function generateHttpApiDoc(stack: Stack): Promise<string> {
  const descriptions = await Promise.all(functions.map((name) => describedBy(stack, name)))
  const schemas = Object.assign({}, ...descriptions.map(({ components }) => components.schemas))
  const routes = descriptions.flatMap(({ paths }) => routesOf(paths))
  const common = commonAnswers(routes)
  return [
    '<!-- Generated from local/http-api-head.md and openapi.json: npm run generate -->\n',
    `${readFileSync(join(import.meta.dirname, 'http-api-head.md'), 'utf8').trimEnd()}\n`,
    table(
      ['status', ''],
      [...common].map(([status, { description }]) => [status, description]),
    ),
    '## Routes\n',
    table(
      ['route', ''],
      routes.map(({ title, operation }) => [`[\`${title}\`](#${anchor(title)})`, operation.summary]),
    ),
    ...routes.map((route) => routeSection(route, common)),
    '## Documents\n',
    'Further properties may come; whoever reads a document passes over what they do not know.\n',
    ...Object.entries(schemas as Record<string, Schema>).map(documentSection),
  ].join('\n')
}

async function describedBy(stack: Stack, name: string): Promise<Description> {
  const response = await fetch(`${stack.url}/functions/v1/${name}/openapi.json`)
  return (await response.json()) as Description
}

function routesOf(paths: Description['paths']): Route[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      title: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  )
}

/** The answers that every route with credentials may give, in the same words. */
function commonAnswers(routes: Route[]): Map<string, Answer> {
  const [first, ...others] = routes.filter(({ operation }) => operation.security.length > 0)
  const answers = Object.entries(first?.operation.responses ?? {}).filter(([status, { description }]) =>
    others.every(({ operation }) => operation.responses[status]?.description === description),
  )
  return new Map(answers)
}

function routeSection({ title, operation }: Route, common: Map<string, Answer>): string {
  const { summary, description, security, parameters = [], requestBody, responses } = operation
  const answers = Object.entries(responses).filter(
    ([status, answer]) => common.get(status)?.description !== answer.description,
  )
  const sentence = `${summary}.${security.length === 0 ? ' Open to anyone.' : ''}${description ? ` ${description}` : ''}`
  return [
    `### ${title}\n`,
    `${sentence}\n`,
    ...parameterTable(parameters),
    ...bodyTable(requestBody?.content),
    table(
      ['answer', ''],
      answers.map(([status, answer]) => [
        status,
        [answer.description, ...answerTypes(answer, status)].join(': '),
      ]),
    ),
    ...(operation['x-codeSamples'] ?? []).map(({ source }) => `\`\`\`sh\n${source}\n\`\`\`\n`),
  ].join('\n')
}

/** Of ids in the path nothing needs to be said. */
function parameterTable(parameters: Parameter[]): string[] {
  const rows = parameters
    .filter((parameter) => parameter.in !== 'path')
    .map(({ name, in: place, schema, required, description }) => [
      `${code(name)}${place === 'header' ? ' (header)' : ''}`,
      typeOf(schema),
      sentence(description, required && 'required', limitsOf(schema)),
    ])
  return rows.length > 0 ? [table(['parameter', 'type', ''], rows)] : []
}

function bodyTable(content: Content = {}): string[] {
  const types = Object.keys(content)
  const json = content['application/json']?.schema
  if (types.length !== 1 || !json?.properties) {
    return types.length > 0 ? [`Body: ${types.map(code).join(', ')}.\n`] : []
  }
  return [table(['body (JSON)', 'type', ''], propertyRows(json))]
}

/** Errors have one type. */
function answerTypes({ content = {} }: Answer, status: string): string[] {
  if (Number(status) >= 400) return []
  return Object.entries(content).map(([type, { schema }]) =>
    type === 'application/json' ? (Object.keys(schema).length > 0 ? typeOf(schema) : 'JSON') : code(type),
  )
}

function documentSection([name, schema]: [string, Schema]): string {
  const { description, example, properties } = schema
  return [
    `### ${name}\n`,
    ...(description ? [`${description}.\n`] : []),
    ...(properties ? [table(['property', 'type', ''], propertyRows(schema))] : []),
    ...(example ? [`\`\`\`json\n${JSON.stringify(example)}\n\`\`\`\n`] : []),
  ].join('\n')
}

function propertyRows({ properties = {}, required = [] }: Schema): string[][] {
  return Object.entries(properties).map(([name, schema]) => [
    code(name),
    `${typeOf(schema)}${required.includes(name) ? '' : ', optional'}`,
    sentence(schema.description, limitsOf(schema)),
  ])
}

/** What a value is, in words. */
function typeOf(schema: Schema): string {
  const { $ref, anyOf, enum: values, type, format, items, properties, additionalProperties } = schema
  if ($ref) {
    const name = $ref.slice($ref.lastIndexOf('/') + 1)
    return `[${name}](#${anchor(name)})`
  }
  if (anyOf) return anyOf.map(typeOf).join(' or ')
  if (values)
    return [
      ...values.filter((value) => value !== null).map((value) => code(String(value))),
      ...(isNullable(schema) ? ['null'] : []),
    ].join(' ')
  const kinds = [type ?? []].flat().map((kind) => {
    if (kind === 'array') return `list of ${bracketed(items ? typeOf(items) : 'anything')}`
    if (kind === 'string') return format === 'date-time' ? 'time' : (format ?? 'text')
    if (kind !== 'object') return kind
    if (properties) return `{ ${Object.keys(properties).join(', ')} }`
    return typeof additionalProperties === 'object' && Object.keys(additionalProperties).length > 0
      ? `object of ${bracketed(typeOf(additionalProperties))}`
      : 'object'
  })
  return kinds.length > 0 ? kinds.join(' or ') : 'anything'
}

function bracketed(type: string): string {
  return type.includes(' or ') ? `(${type})` : type
}

function isNullable({ type }: Schema): boolean {
  return Array.isArray(type) && type.includes('null')
}

function limitsOf({ default: fallback, minimum, maximum, minLength, maxLength, example }: Schema): string {
  const range = [minimum ?? minLength, maximum ?? maxLength]
  const unit = maxLength === undefined ? '' : ' characters'
  return [
    range[1] === undefined ? '' : `${range[0] ?? 0} to ${range[1]}${unit}`,
    fallback === undefined ? '' : `default ${code(String(fallback))}`,
    example === undefined || typeof example === 'object' ? '' : `like ${code(String(example))}`,
  ]
    .filter(Boolean)
    .join('; ')
}

function sentence(...parts: (string | false | undefined)[]): string {
  return parts.filter(Boolean).join('; ')
}

function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(cell).join(' | ')} |`)
  return `${lines.join('\n')}\n`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

/** As GitHub makes it of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-')
}

function code(text: string): string {
  return `\`${text.replace('\t', '\\t')}\``
}
