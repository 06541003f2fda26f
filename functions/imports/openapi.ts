import type { OpenAPIHono } from '@hono/zod-openapi'
import * as routes from './routes.ts'

/** Adds to an app what its description says beyond the routes it serves. */
export function describeApp(app: Pick<OpenAPIHono, 'openAPIRegistry'>): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'user', { type: 'http', scheme: 'bearer' })
  app.openAPIRegistry.registerComponent('securitySchemes', 'secret', {
    type: 'apiKey',
    in: 'header',
    name: 'apikey',
  })
  app.openAPIRegistry.registerPath(routes.description)
}

/** The description of an app, from the schemas that check its requests. */
export function openApiDocument(app: Pick<OpenAPIHono, 'getOpenAPI31Document'>) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Sluice imports', version: '0.1.0' },
    servers: [{ url: '/functions/v1' }],
  })
}
