import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

/** A request as it arrived. */
export interface Received {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}

export interface Nasty {
  url: string
  port: number
  received: Received[]
  stop(): Promise<void>
}

type Behaviour = (request: IncomingMessage, response: ServerResponse, socket: Socket) => void

const zeros = Buffer.alloc(64 * 1024)

/** Says something on the connection itself, which need not be HTTP, and hangs up. */
const raw =
  (text: string | Buffer): Behaviour =>
  (_, __, socket) =>
    void socket.end(text)

function endless(socket: Socket, piece: Buffer | string): void {
  const go = () => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on('drain', go)
  go()
}

/** What a server of somebody else may do. */
const behaviours: Record<string, Behaviour> = {
  ok: (_, response) => response.end('fine'),
  status: (request, response) => {
    const retry = argument(request, 'retry')
    response
      .writeHead(Number(argument(request, 'code')), retry ? { 'retry-after': retry } : {})
      .end('as asked')
  },
  redirect: (request, response) =>
    response.writeHead(Number(argument(request, 'code') || 302), { location: argument(request, 'to') }).end(),
  loop: (_, response) => response.writeHead(302, { location: '/loop' }).end(),
  chunked: (_, response) => {
    response.write('one ')
    setTimeout(() => response.end('two'), 20)
  },
  'to-close': raw('HTTP/1.0 200 OK\r\n\r\nuntil the end'),
  hints: raw(
    'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine',
  ),
  packed: (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('unpacked')),
  damaged: (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip'),
  brotli: (_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('?'),
  bomb: (_, response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(256 * 1024 * 1024))),
  silent: () => {},
  'hangs-up': (_, __, socket) => void socket.destroy(),
  drip: (_, response, socket) => {
    const timer = setInterval(() => response.write('.'), 50)
    socket.on('close', () => clearInterval(timer))
  },
  'drip-head': (_, __, socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write('x-more: 1\r\n'), 50)
    socket.on('close', () => clearInterval(timer))
  },
  endless: (_, __, socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    endless(socket, zeros)
  },
  'endless-head': (_, __, socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    endless(socket, 'x-more: 1\r\n')
  },
  'endless-line': (_, __, socket) => {
    socket.write('HTTP/1.1 200 OK\r\nx-more: ')
    endless(socket, zeros.toString('latin1').replaceAll('\0', 'x'))
  },
  'wide-head': raw(`HTTP/1.1 200 OK\r\n${`x-more: ${'x'.repeat(16_000)}\r\n`.repeat(50)}\r\n`),
  'endless-hints': (_, __, socket) => endless(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n'),
  announces: (_, response) => response.writeHead(200, { 'content-length': '99999999999' }).flushHeaders(),
  'cut-off': raw('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive.'),
  'cut-off-chunk': raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nfew'),
  'no-last-chunk': raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfew\r\n'),
  'bad-chunk': raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-3\r\nfew\r\n0\r\n\r\n'),
  'long-chunk': raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfewer\r\n0\r\n\r\n'),
  'two-lengths': raw('HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfine'),
  'bad-length': raw('HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\nfine'),
  'bad-header': raw('HTTP/1.1 200 OK\r\nno colon\r\n\r\n'),
  'bad-coding': raw('HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
  switches: raw('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'),
  'other-protocol': raw('220 mail.example ESMTP\r\n'),
  nothing: raw(''),
}

function argument(request: IncomingMessage, name: string): string {
  return new URL(request.url ?? '', 'http://x').searchParams.get(name) ?? ''
}

/** A server that does what the first part of the path says, and remembers what it was sent. */
export async function startNasty(tls?: { cert: string; key: string }): Promise<Nasty> {
  const received: Received[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '', headers, socket } = request
    received.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
    socket.on('error', () => {})
    const behaviour = behaviours[/^\/([a-z-]*)/.exec(url)?.[1] ?? '']
    if (behaviour) behaviour(request, response, socket)
    else response.writeHead(404).end()
  }
  const server = tls ? createTlsServer(tls, answer) : createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    received,
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
