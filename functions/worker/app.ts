import { type SupabaseContext, withSupabase } from '@supabase/server'
import { type CallDatabase, databaseOf } from '../_shared/caller.ts'
import { malformed, Refusal } from '../_shared/refusal.ts'
import { failure, shaped } from '../_shared/reply.ts'

/** Does what the database has posted to a route. What it returns is kept by pg_net for a while, for whoever looks there. */
export type Route = (body: unknown, db: CallDatabase) => Promise<unknown>

/** On the platform: lets work end that goes on when the database no longer waits for the answer. */
declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined

/** An edge function that works for the database: `POST /worker/<route>`, with the secret key alone. */
export function workerOf(routes: Record<string, Route>): { fetch(request: Request): Promise<Response> } {
  const forDatabase = withSupabase({ auth: 'secret' }, async (request, ctx: SupabaseContext) => {
    try {
      const route = routeOf(request, routes)
      const work = route(await jsonOf(request), databaseOf(ctx))
      if (typeof EdgeRuntime !== 'undefined') EdgeRuntime.waitUntil(work.catch(() => {}))
      return Response.json(await work)
    } catch (cause) {
      return failure(cause)
    }
  })
  return { fetch: async (request) => shaped(await forDatabase(request)) }
}

function routeOf(request: Request, routes: Record<string, Route>): Route {
  const { pathname } = new URL(request.url)
  const name = /\/worker\/([a-z-]+)\/?$/.exec(pathname)?.[1] ?? ''
  const route = Object.hasOwn(routes, name) ? routes[name] : undefined
  if (!route) throw new Refusal(404, 'PT404', 'route not found', `${request.method} ${pathname}`)
  if (request.method === 'POST') return route
  throw new Refusal(405, 'PT405', 'method is not allowed', `${request.method} ${pathname}`, 'Use POST.')
}

async function jsonOf(request: Request): Promise<unknown> {
  try {
    return await request.json()
  } catch {
    throw malformed('request is not valid', 'the body is not JSON')
  }
}
