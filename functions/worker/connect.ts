import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { reachOf } from './address.ts'
import { OutboundFailure } from './outbound-failure.ts'

export type Resolve = (host: string) => Promise<string[]>

const maxAddresses = 4

/** Connects to the host of a URL, at an address that was judged: the name is resolved once. */
export async function connectTo(
  url: URL,
  allowPrivate: boolean,
  until: number,
  resolve: Resolve = resolved,
): Promise<Socket> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const addresses = isIP(host) ? [host] : await orLate(until, resolve(host))
  // One that is refused is enough: who mixes them has a reason.
  for (const address of addresses) {
    const reach = reachOf(address)
    if (reach === 'never' || (reach === 'private' && !allowPrivate)) {
      throw new OutboundFailure('address_refused', 'address is not on the internet', host)
    }
  }

  let failure = new OutboundFailure('unknown_host', 'host is not known', host)
  for (const [index, address] of addresses.slice(0, maxAddresses).entries()) {
    const now = performance.now()
    const share = (until - now) / (Math.min(addresses.length, maxAddresses) - index)
    try {
      return await connected(url, host, address, now + share)
    } catch (cause) {
      if (!(cause instanceof OutboundFailure)) throw cause
      failure = cause
    }
  }
  throw failure
}

/** Destroys the socket when the time comes, with what whoever uses it then is told; returns how to take that back. */
export function limited(socket: Socket, until: number): () => void {
  const timer = setTimeout(() => socket.destroy(timedOut()), Math.max(until - performance.now(), 0))
  return () => clearTimeout(timer)
}

async function resolved(host: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true })
    return found.map(({ address }) => address).sort((a, b) => isIP(a) - isIP(b)) // IPv4 is there everywhere
  } catch {
    return []
  }
}

async function connected(url: URL, host: string, address: string, until: number): Promise<Socket> {
  const isSecure = url.protocol === 'https:'
  const plain = connect({ host: address, port: Number(url.port) || (isSecure ? 443 : 80) })
  // The certificate is the host's, whose name the platform's Deno takes from `host`; and it wants a socket that is not connected yet.
  const socket = isSecure
    ? connectTls({ socket: plain, host, ...(!isIP(host) && { servername: host }) })
    : plain
  plain.on('error', (cause) => socket.destroy(cause))
  socket.on('error', () => {}) // also where nobody is reading
  socket.once('close', () => plain.destroy())
  const release = limited(socket, until)
  try {
    await new Promise<void>((settle, reject) => {
      socket.once(isSecure ? 'secureConnect' : 'connect', settle)
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('the connection was closed')))
    })
    return socket
  } catch (cause) {
    socket.destroy()
    if (cause instanceof OutboundFailure) throw cause
    const { message, code } = cause as Error & { code?: string }
    throw new OutboundFailure('not_connected', 'host cannot be connected to', `${host}: ${code ?? message}`)
  } finally {
    release()
  }
}

async function orLate<T>(until: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut()), Math.max(until - performance.now(), 0))
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function timedOut(): OutboundFailure {
  return new OutboundFailure('timed_out', 'it took too long')
}
