import http from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import type { Lite } from './gateway/library.ts'

/** The HTTP face of the stack: `/rest/v1`, `/auth/v1`, `/storage/v1` here, `/functions/v1` from the functions' process. */
export async function startGateway(port: number, functionsPort: number, lite: Lite): Promise<http.Server> {
  const listener = getRequestListener(
    (request, env) => {
      const { incoming } = env as HttpBindings
      return lite.fetch(request, { peerAddress: incoming.socket.remoteAddress ?? null })
    },
    // Its own Response sends the length twice when the library has set it.
    { overrideGlobalObjects: false },
  )

  const server = http.createServer((request, response) => {
    const path = request.url ?? '/'
    if (path.startsWith('/functions/v1/')) passOn(request, response, functionsPort)
    else if (/^\/(rest|auth|storage)\/v1(\/|\?|$)/.test(path)) void listener(request, response)
    // Nothing else of the library is let out: its /_system routes show the password of the database.
    else answer(response, 404, 'PGRST125', 'Invalid path specified in request URL')
  })
  server.requestTimeout = 0 // A large upload takes its time.

  await new Promise<void>((settle, fail) => {
    server.once('error', fail).listen(port, '127.0.0.1', settle)
  })
  return server
}

/** Streams a request to the functions and the answer back; nothing is held here, and either end may break off. */
function passOn(request: http.IncomingMessage, response: http.ServerResponse, port: number): void {
  const { method, url: path, headers } = request
  const upstream = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })

  upstream.on('response', (answered) => {
    response.writeHead(answered.statusCode ?? 502, answered.headers)
    answered.pipe(response)
    answered.on('error', () => response.destroy())
  })
  upstream.on('error', () => {
    // An answer that is complete may come before the request is: then its end is no error.
    if (!response.headersSent) answer(response, 503, 'WORKER_UNAVAILABLE', 'The functions are not running')
    else if (!response.writableEnded) response.destroy()
  })
  response.on('close', () => upstream.destroy())
  request.pipe(upstream)
}

function answer(response: http.ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify({ code, message, details: null, hint: null }))
}
