import type { SupabaseClient } from '@supabase/supabase-js'
import { Refusal } from './refusal.ts'

/** The files in the bucket imports, as far as somebody may have them. */
export interface StoredFiles {
  /** Where somebody may upload a file, without credentials. */
  signUpload(path: string): Promise<UploadTarget>
  /** Where a file can be read for a while, without credentials. */
  signRead(path: string): Promise<string>
  /** Deletes files; how many of them there were. */
  remove(paths: string[]): Promise<number>
}

export interface UploadTarget {
  method: 'PUT'
  url: string
  token: string
  expires_at: string
}

const bucket = 'imports'
const readableFor = 600

/** The bucket imports, with the rights of a client: its policies say what that may. */
export function storedFilesOf(client: Pick<SupabaseClient, 'storage'>): StoredFiles {
  const files = () => client.storage.from(bucket)
  return {
    async signUpload(path) {
      const { data, error } = await files().createSignedUploadUrl(path)
      if (!data) throw new Error('Storage gave no place to upload to', { cause: error })
      return { method: 'PUT', url: data.signedUrl, token: data.token, expires_at: expiryOf(data.token) }
    },
    async signRead(path) {
      const { data, error } = await files().createSignedUrl(path, readableFor)
      if (data) return data.signedUrl
      if (isMissing(error)) throw missing()
      throw new Error('Storage does not let the file be read', { cause: error })
    },
    async remove(paths) {
      const { data, error } = await files().remove(paths)
      if (!data) throw new Error('Storage does not delete', { cause: error })
      return data.length
    },
  }
}

/** A part of a file. */
export interface Range {
  bytes: AsyncIterable<Uint8Array>
  /** Of the whole file. */
  size: number
  /** Changes when the file does. */
  tag: string | null
  contentType: string
}

/** Reads a part of a file, or whatever there is of it. */
export async function readRange(
  url: string,
  from: number,
  length: number,
  signal?: AbortSignal,
): Promise<Range> {
  const headers = { Range: `bytes=${from}-${from + length - 1}` }
  const response = await fetch(url, { headers, signal: signal ?? null })
  const { status, body } = response
  if (status !== 206 || !body) {
    await body?.cancel()
    if (status === 416) return { bytes: nothing(), size: 0, tag: null, contentType: '' }
    if (status === 400 || status === 404) throw missing()
    throw new Error(`Storage answers ${status}`)
  }
  return {
    bytes: body,
    size: Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]),
    tag: response.headers.get('etag'),
    contentType: response.headers.get('content-type') ?? '',
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** What Storage says of a file that is not there, or not for the caller to see. */
function isMissing(error: unknown): boolean {
  const { status, statusCode } = error as { status?: number; statusCode?: string }
  return status === 404 || status === 400 || statusCode === '404'
}

function missing(): Refusal {
  return new Refusal(
    404,
    'PT404',
    'stored file not found',
    null,
    'Upload it into the bucket imports first: POST /imports?upload=storage says where.',
  )
}

/** When a token expires, as it says itself. */
function expiryOf(token: string): string {
  const [, payload = ''] = token.split('.')
  const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { exp: number }
  return new Date(exp * 1000).toISOString()
}
