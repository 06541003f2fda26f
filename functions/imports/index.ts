import { type SupabaseContext, withSupabase } from '@supabase/server'
import { corsHeaders } from '@supabase/supabase-js/cors'
import { databaseOf } from '../_shared/caller.ts'
import { failure, shaped } from '../_shared/reply.ts'
import { importsApp } from './app.ts'
import { openApiDocument } from './openapi.ts'

const app = importsApp()
const cors = {
  headers: {
    ...corsHeaders,
    'Access-Control-Allow-Headers': `${corsHeaders['Access-Control-Allow-Headers']}, idempotency-key, last-event-id`,
    'Access-Control-Expose-Headers': 'Content-Disposition, Idempotent-Replayed',
  },
}

/** Made once, when first asked for. */
let description: ReturnType<typeof openApiDocument> | undefined

const forCallers = withSupabase({ auth: ['user', 'secret'], cors }, async (request, ctx: SupabaseContext) => {
  try {
    return await app.fetch(request, { db: databaseOf(ctx) })
  } catch (cause) {
    return failure(cause) // what is thrown past withSupabase has no CORS headers
  }
})

/** The edge function `imports`. Its routes are in app.ts; only their description is open to anyone. */
export default {
  fetch: async (request: Request): Promise<Response> => {
    const isDescription =
      request.method === 'GET' && /\/imports\/openapi\.json$/.test(new URL(request.url).pathname)
    if (isDescription) {
      description ??= openApiDocument(app)
      return Response.json(description, { headers: cors.headers })
    }
    return shaped(await forCallers(request))
  },
}
