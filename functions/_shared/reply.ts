import { Refusal } from './refusal.ts'

/** What supabase-js answers to an RPC. */
export interface DatabaseResult {
  data: unknown
  error: { code: string; message: string; details?: string | null; hint?: string | null } | null
  status: number
}

/** The data of an RPC; what it refused is thrown with PostgREST's status. */
export function dataOf(result: DatabaseResult): unknown {
  if (!result.error) return result.data
  const { code, message, details, hint } = result.error
  // supabase-js reports a request that never got an answer as status 0, without a code.
  if (!result.status || !code) throw new Error(`no answer from the database API: ${message}`)
  throw new Refusal(result.status, code, message, details, hint)
}

/** The answer to a failure; what nobody foresaw goes to the log and not to the client. */
export function failure(cause: unknown): Response {
  if (cause instanceof Refusal) return Response.json(cause.body, { status: cause.status })
  console.error(cause)
  const body = { code: 'XX000', message: 'unexpected error', details: null, hint: null }
  return Response.json(body, { status: 500 })
}

/**
 * Gives the errors of `withSupabase` itself (no or wrong credentials, missing configuration) the shape of all others.
 */
export async function shaped(response: Response): Promise<Response> {
  if (!response.headers.has('x-supabase-server-error')) return response
  const { code, message, hint } = (await response.json()) as { code: string; message: string; hint?: string }
  const body = { code, message, details: null, hint: hint ?? null }
  const headers = new Headers(response.headers)
  headers.delete('content-length')
  return new Response(JSON.stringify(body), { status: response.status, headers })
}
