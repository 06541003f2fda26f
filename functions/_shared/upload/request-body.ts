import { tooLarge } from '../refusal.ts'
import { Interruption } from './interruption.ts'

/** A client that sends nothing for so long has gone away; it holds a transaction open. */
const stalledAfter = 60_000

/** The parts of a multipart body that are not the file. */
const envelope = 64 * 1024

/** Refuses a request that says itself that it is too large, before anything of it is read. */
export function refuseAnnouncedSize(request: Request, limit: number): void {
  const announced = Number(request.headers.get('content-length') ?? 0)
  if (announced > limit + envelope) throw overLimit(`the request has ${announced} bytes`, limit)
}

/** What to answer when a file is over the limit for a request. */
export function overLimit(what: string, limit: number): Error {
  return tooLarge(
    'file is too large for a request',
    `${what}, the limit is ${limit}`,
    'Send it by way of Storage (upload=storage), split it into several imports, or have the limit imports.max_request_bytes raised.',
  )
}

/** The bytes of a request, ended by an `Interruption` when they break off or stop coming. */
export async function* requestBytes(request: Request): AsyncGenerator<Uint8Array> {
  if (!request.body) return
  const announced = request.headers.get('content-length')
  const reader = request.body.getReader()
  let received = 0
  try {
    for (;;) {
      const { done, value } = await orStalled(reader.read())
      if (done) break
      received += value.length
      yield value
    }
  } finally {
    reader.releaseLock()
  }
  if (announced !== null && received !== Number(announced)) {
    throw new Interruption(`${received} of ${announced} bytes arrived`)
  }
}

async function orStalled<T>(read: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Interruption(`nothing arrived for ${stalledAfter / 1000} seconds`)),
      stalledAfter,
    )
  })
  try {
    return await Promise.race([read, stalled])
  } catch (cause) {
    if (cause instanceof Interruption) throw cause
    throw new Interruption('the connection was closed before the end of the body', cause)
  } finally {
    clearTimeout(timer)
  }
}
