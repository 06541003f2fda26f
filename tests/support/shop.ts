import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a shop answers to a request. */
export interface Reply {
  status?: number
  headers?: Record<string, string>
  body: string | Uint8Array
}

/** A server of feeds, as shops have them. */
export interface Shop {
  url: string
  /** What it was asked, in order. */
  asked: { url: string; headers: IncomingMessage['headers'] }[]
  /** Answers requests for a path so from now on. */
  serve(path: string, reply: Reply | ((url: URL, headers: IncomingMessage['headers']) => Reply)): void
  stop(): Promise<void>
}

export async function openShop(): Promise<Shop> {
  const replies = new Map<string, Parameters<Shop['serve']>[1]>()
  const asked: Shop['asked'] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://shop')
    asked.push({ url: url.pathname + url.search, headers: request.headers })
    const known = replies.get(url.pathname)
    if (!known) return void response.writeHead(404).end()
    const reply = typeof known === 'function' ? known(url, request.headers) : known
    response.writeHead(reply.status ?? 200, reply.headers).end(reply.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    asked,
    serve: (path, reply) => void replies.set(path, reply),
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** A file that says whether it has changed. */
export function tagged(
  body: string,
  type = 'text/csv',
): (url: URL, headers: IncomingMessage['headers']) => Reply {
  const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`
  return (_, headers) =>
    headers['if-none-match'] === etag
      ? { status: 304, headers: { etag }, body: '' }
      : { headers: { etag, 'content-type': type } as Record<string, string>, body }
}

/** Customers as a CSV file. */
export function customers(...names: string[]): string {
  return `external_id,name\n${names.map((name) => `${name.toLowerCase()},${name}\n`).join('')}`
}
