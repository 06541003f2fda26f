import { createRoute, OpenAPIHono } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
import type { Environment } from './caller.ts'
import { Refusal } from './refusal.ts'
import { failure } from './reply.ts'
import type { Awaited } from './upload/await-import.ts'
import { malformedParameters } from './upload/parameters.ts'

export type App = OpenAPIHono<{ Bindings: Environment }>

/** An app without routes: it refuses what is malformed or unknown, in the shape of all errors. */
export function newApp(): App {
  const app: App = new OpenAPIHono<{ Bindings: Environment }>({
    // The platform strips /functions/v1, a gateway may not.
    getPath: (request) =>
      new URL(request.url).pathname.replace(/^\/functions\/v1(?=\/)/, '').replace(/\/+$/, ''),
    defaultHook: (result) => {
      if (!result.success) throw malformedParameters(result.error.issues)
    },
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'user', { type: 'http', scheme: 'bearer' })
  app.openAPIRegistry.registerComponent('securitySchemes', 'secret', {
    type: 'apiKey',
    in: 'header',
    name: 'apikey',
  })
  app.onError((cause) => failure(cause instanceof HTTPException ? unreadable(cause) : cause))
  app.notFound((c) => failure(unknownRoute(app.routes, c.req.method, c.req.path)))
  return app
}

/** The description of the app of a function, from the schemas that check its requests. */
export function openApiDocument(app: App, name: string) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: `Sluice ${name}`, version: '0.1.0' },
    servers: [{ url: '/functions/v1' }],
  })
}

/** The route of the description itself, which is served before anybody is asked who they are. */
export function describedAt(path: `/${string}/openapi.json`) {
  return createRoute({
    method: 'get',
    path,
    operationId: 'describe',
    summary: 'This description',
    security: [],
    responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: {} } } } },
  })
}

/**
 * An answer of the database, passed on as it is. The RPCs make the documents and the schemas of the routes describe
 * them; `never` says that the compiler need not compare the two.
 */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): never {
  return Response.json(body, { status, headers }) as never
}

/** What a request made, or an earlier one with the same Idempotency-Key. */
export function made(document: unknown, replayed = false, status = 201): never {
  if (!replayed) return json(document, status)
  return json(document, 200, replay)
}

/** Says that an earlier request with the same Idempotency-Key did it. */
export const replay = { 'Idempotent-Replayed': 'true' }

/** What the database said of something that was started; with `wait`, what is read once it is done or the time is over. */
export async function answered(
  started: unknown,
  wait: number,
  read: () => Promise<Awaited<unknown>>,
): Promise<never> {
  if (wait === 0) return json(started, 202)
  const { document, done } = await read()
  return json(document, done ? 200 : 202)
}

/** What hono says of a body that it cannot read. */
function unreadable(cause: HTTPException): Refusal {
  const code = cause.status === 415 ? 'PT415' : '22023'
  return new Refusal(
    cause.status,
    code,
    'request is not valid',
    cause.message,
    'Send JSON as application/json.',
  )
}

function unknownRoute(known: { path: string; method: string }[], method: string, path: string): Refusal {
  const allowed = known.filter((route) => matches(route.path, path)).map((route) => route.method)
  if (allowed.length === 0) return new Refusal(404, 'PT404', 'route not found', `${method} ${path}`)
  const methods = [...new Set(allowed)].sort().join(', ')
  return new Refusal(405, 'PT405', 'method is not allowed', `${method} ${path}`, `Use ${methods}.`)
}

function matches(pattern: string, path: string): boolean {
  return new RegExp(`^${pattern.replaceAll('.', '\\.').replace(/:[^/]+/g, '[^/]+')}$`).test(path)
}
