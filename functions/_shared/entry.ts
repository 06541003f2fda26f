import { type SupabaseContext, withSupabase } from '@supabase/server'
import { corsHeaders } from '@supabase/supabase-js/cors'
import { type App, openApiDocument } from './app.ts'
import { clientFor, databaseOf } from './caller.ts'
import { failure, shaped } from './reply.ts'
import { storedFilesOf } from './stored-files.ts'

const cors = {
  headers: {
    ...corsHeaders,
    'Access-Control-Allow-Headers': `${corsHeaders['Access-Control-Allow-Headers']}, idempotency-key, last-event-id`,
    'Access-Control-Expose-Headers': 'Content-Disposition, Idempotent-Replayed, Location',
  },
}

/** An edge function that serves an app to people and to the service. Only its description is open to anyone. */
export function entryOf(app: App, name: string): { fetch(request: Request): Promise<Response> } {
  /** Made once, when first asked for. */
  let description: ReturnType<typeof openApiDocument> | undefined

  const forCallers = withSupabase(
    { auth: ['user', 'secret'], cors },
    async (request, ctx: SupabaseContext) => {
      try {
        return await app.fetch(request, { db: databaseOf(ctx), files: storedFilesOf(clientFor(ctx)) })
      } catch (cause) {
        return failure(cause) // what is thrown past withSupabase has no CORS headers
      }
    },
  )

  return {
    fetch: async (request) => {
      const isDescription =
        request.method === 'GET' && new URL(request.url).pathname.endsWith(`/${name}/openapi.json`)
      if (isDescription) {
        description ??= openApiDocument(app, name)
        return Response.json(description, { headers: cors.headers })
      }
      return shaped(await forCallers(request))
    },
  }
}
