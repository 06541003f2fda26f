import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { connectTo, limited, type Resolve } from './connect.ts'
import { readBody, readHead, requestText, wireOf } from './http.ts'
import { OutboundFailure } from './outbound-failure.ts'

export interface OutboundOptions {
  method?: string
  /** After a redirect another origin gets those alone that hold no secret. */
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** As the setting outbound.allow_private says: loopback and private networks, too. */
  allowPrivate: boolean
  /** The most bytes of an answer, unpacked. */
  maxBytes: number
  /** How many redirects of a GET or HEAD are followed; with 0 a redirect is the answer, as it is to all else. */
  maxRedirects?: number
  limits?: Partial<Limits>
  resolve?: Resolve
}

/** Milliseconds: until it is connected, from then until the head of the answer is there, and for all, with redirects. */
export interface Limits {
  connect: number
  head: number
  total: number
}

export interface OutboundAnswer {
  status: number
  headers: Headers
  /** Where it came from. */
  url: string
  /** To be read to its end, or closed. */
  body: AsyncIterable<Uint8Array>
  close(): void
}

const defaultLimits: Limits = { connect: 10_000, head: 30_000, total: 60_000 }
const harmless = ['accept', 'accept-language', 'if-modified-since', 'if-none-match', 'range', 'user-agent']

/**
 * Fetches what somebody else has named. Each address a name has is judged before one of them is connected to, so a
 * name that changes its mind gains nothing. Over sockets, since fetch and the platform's node:http resolve names
 * themselves. Whatever goes wrong, while the body is read too, is an `OutboundFailure`.
 */
export async function outboundFetch(target: string, options: OutboundOptions): Promise<OutboundAnswer> {
  const { method = 'GET', maxRedirects = 5 } = options
  const limits = { ...defaultLimits, ...options.limits }
  const until = performance.now() + limits.total
  const follows = maxRedirects > 0 && (method === 'GET' || method === 'HEAD')
  let headers = headersOf(options.headers)
  let url = urlOf(target)

  for (let redirects = 0; ; redirects++) {
    const answer = await request(url, method, headers, options, limits, until)
    const location = answer.headers.get('location')
    if (!follows || location === null || ![301, 302, 303, 307, 308].includes(answer.status)) return answer
    answer.close()
    if (redirects === maxRedirects) {
      throw new OutboundFailure(
        'too_many_redirects',
        'there are too many redirects',
        `more than ${redirects}`,
      )
    }
    const next = urlOf(location, url)
    if (next.origin !== url.origin) {
      headers = new Headers([...headers].filter(([name]) => harmless.includes(name)))
    }
    url = next
  }
}

function urlOf(target: string, base?: URL): URL {
  if (!URL.canParse(target, base)) throw new OutboundFailure('invalid_request', 'address is not a URL')
  const url = new URL(target, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new OutboundFailure('invalid_request', 'address must begin with http:// or https://', url.protocol)
  }
  if (url.username !== '' || url.password !== '') {
    throw new OutboundFailure('invalid_request', 'address must not hold a user or password', url.host)
  }
  return url
}

function headersOf(given: Record<string, string> | undefined): Headers {
  try {
    return new Headers(given)
  } catch {
    throw new OutboundFailure('invalid_request', 'header is not valid')
  }
}

async function request(
  url: URL,
  method: string,
  headers: Headers,
  { body, allowPrivate, maxBytes, resolve }: OutboundOptions,
  limits: Limits,
  until: number,
): Promise<OutboundAnswer> {
  const connectUntil = Math.min(until, performance.now() + limits.connect)
  const socket = await connectTo(url, allowPrivate, connectUntil, resolve)
  const close = () => void socket.destroy()
  socket.once('close', limited(socket, until))

  const sent = body === undefined ? undefined : Buffer.from(body as string)
  socket.write(requestText(method, url, headers, sent?.length), 'latin1')
  if (sent) socket.write(sent)

  const wire = wireOf(socket)
  const release = limited(socket, performance.now() + limits.head)
  try {
    const head = await orClosed(socket, readHead(wire))
    return { ...head, url: url.href, close, body: readTo(socket, readBody(wire, head, method, maxBytes)) }
  } finally {
    release()
  }
}

/** What is read, to the end of which the connection ends, too. */
async function* readTo(socket: Socket, body: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const { done, value } = await orClosed(socket, body.next())
      if (done) return
      yield value
    }
  } finally {
    socket.destroy()
  }
}

/** Gives a lost connection its words, and closes it whatever went wrong. */
async function orClosed<T>(socket: Socket, read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (cause) {
    socket.destroy()
    if (cause instanceof OutboundFailure) throw cause
    throw new OutboundFailure('broken_answer', 'answer is not valid', 'the connection was lost')
  }
}
