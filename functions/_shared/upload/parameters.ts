import { malformed } from '../refusal.ts'
import type { Encoding } from './encoding.ts'
import type { FileFormat } from './file.ts'
import { type UploadParameters, uploadSchema } from './schemas.ts'
import type { Upload } from './upload.ts'

/** The parameters of an upload. */
export function readParameters(input: Record<string, string | undefined>): UploadParameters {
  const result = uploadSchema.safeParse(input)
  if (result.success) return result.data
  throw malformedParameters(result.error.issues)
}

/** What zod found, as our errors say it. */
export function malformedParameters(issues: readonly { path: PropertyKey[]; message: string }[]): Error {
  const details = issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; ')
  return malformed('request is not valid', details, 'See openapi.json for what is accepted.')
}

/** What every import of a request is made with. */
export function importArguments(parameters: UploadParameters): Record<string, unknown> {
  const { dataset, mode, org_id, storage_path, options, duplicates, on_error, blank } = parameters
  const own = Object.entries({ duplicates, on_error, blank }).filter(([, value]) => value !== undefined)
  return { dataset, mode, org_id, storage_path, options: { ...options, ...Object.fromEntries(own) } }
}

/** What is said of how a file is written. */
export function formatOf(
  { delimiter, quote, header, encoding, sheet }: UploadParameters,
  fileName: string | undefined,
  { mediaType, charset }: Pick<Upload, 'mediaType' | 'charset'>,
): FileFormat {
  const json = /json/.test(mediaType ?? '') || /\.(json|ndjson|jsonl)(\.gz)?$/i.test(fileName ?? '')
  return { delimiter, quote, header, sheet, json, encoding: encoding ?? encodingOf(charset) }
}

/** A charset of UTF-8 is what clients say without having looked; the others mean something. */
function encodingOf(charset: string | undefined): Encoding | undefined {
  if (charset === 'utf-16le' || charset === 'utf-16be') return charset
  if (charset === 'windows-1252' || charset === 'iso-8859-1') return 'windows-1252'
  return undefined
}
