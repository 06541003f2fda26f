import { AsyncLocalStorage } from 'node:async_hooks'
import type { LiteConnection } from './lite-connection.ts'

/** What PostgreSQL said about the request at hand, since the library forgets most of it on the way out. */
type Refusal = { error?: DatabaseError; role?: string }

type DatabaseError = { code: string; message: string; detail?: string; hint?: string; severity?: string }

const requests = new AsyncLocalStorage<Refusal>()

/** Notes the database's error of each request, for answerAsPostgrest. */
export function noteErrors(connection: LiteConnection): void {
  const withContext = connection.withContext.bind(connection)
  connection.withContext = async (vars, work, options) => {
    try {
      return await withContext(vars, work, options)
    } catch (cause) {
      const refusal = requests.getStore()
      const error = databaseErrorOf(cause)
      if (refusal && error) Object.assign(refusal, { error, role: vars?.auth?.role ?? 'anon' })
      throw cause
    }
  }
}

/** Answers with the status and the four fields that PostgREST has for an error of the database. */
export async function answerAsPostgrest(path: string, respond: () => Promise<Response>): Promise<Response> {
  const refusal: Refusal = {}
  const response = await requests.run(refusal, respond)
  if (path.startsWith('/rest/v1/') && response.status === 500 && !refusal.error)
    return withoutDatabase(response)
  const { error, role } = refusal
  if (!error || response.ok || !path.startsWith('/rest/v1/') || /^PT\d{3}$|^PGRST$/.test(error.code))
    return response

  const text = await response.text()
  const headers = new Headers(response.headers)
  headers.delete('content-length')
  // The library's own findings (unknown column, no such function) are PostgREST's; what a function's body raises is not.
  if (!path.startsWith('/rest/v1/rpc/') && /"code":\s*"PGRST/.test(text)) {
    return new Response(text, { status: response.status, headers })
  }
  headers.set('content-type', 'application/json; charset=utf-8')
  const { code, message, detail = null, hint = null } = error
  const body = JSON.stringify({ code, details: detail, hint, message })
  return new Response(body, { status: statusOf(code, role === 'anon'), headers })
}

/** While the server is down PostgREST asks to come again; the library shows what its driver said. */
async function withoutDatabase(response: Response): Promise<Response> {
  const text = await response.clone().text()
  if (!/CONNECTION_(CLOSED|DESTROYED|ENDED)|ECONNREFUSED|ECONNRESET|EPIPE/.test(text)) return response
  const message = 'Could not connect with the database due to an internal error.'
  return Response.json({ code: 'PGRST001', message, details: null, hint: null }, { status: 503 })
}

/** Whether this is an error that the request at hand is answered with. */
export function isExpected(cause: unknown): boolean {
  if (!requests.getStore()) return false
  return (
    databaseErrorOf(cause) !== undefined ||
    /in the schema cache$|CONNECTION_|ECONNREFUSED/.test(String(cause))
  )
}

/** PostgREST's table of SQLSTATEs. */
export function statusOf(code: string, isAnonymous: boolean): number {
  const exact: Record<string, number> = {
    '23503': 409,
    '23505': 409,
    '25006': 405,
    '42501': isAnonymous ? 401 : 403,
    '42883': 404,
    '42P01': 404,
    '42P17': 500,
    '53400': 500,
    '57P01': 503,
    '57P03': 503,
    P0001: 400,
  }
  if (exact[code]) return exact[code]
  if (/^(08|53)/.test(code)) return 503
  if (/^(09|0L|0P|28)/.test(code)) return 403
  return /^(25|2D|38|39|3B|40|54|55|57|58|F0|HV|P0|XX)/.test(code) ? 500 : 400
}

function databaseErrorOf(cause: unknown): DatabaseError | undefined {
  const candidates = [cause, (cause as { cause?: unknown } | undefined)?.cause] as (
    | DatabaseError
    | undefined
  )[]
  return candidates.find((candidate) => candidate?.severity)
}
