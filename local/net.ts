import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { persistentClient } from './client.ts'

/** The requests that the database wants sent, of this many at a time. */
const batchSize = 200

type QueuedRequest = {
  id: string
  method: string
  url: string
  headers: Record<string, string>
  body: Uint8Array | null
  timeout_milliseconds: number
}

/** Sends what net.http_post and its like have queued, once and after the commit, and keeps the answers for six hours. */
export function startNet(adminUrl: string, log: (line: string) => void): { stop(): Promise<void> } {
  const client = persistentClient(adminUrl)
  const listener = postgres(adminUrl, { max: 1, onnotice: () => {}, fetch_types: false, backoff: () => 0.2 })
  const stopped = new AbortController()
  let work: Promise<void> | undefined
  let more = false

  /** One round at a time; what is queued during one is found by the next. */
  function poke(): void {
    more = true
    work ??= drain().finally(() => {
      work = undefined
    })
  }

  async function drain(): Promise<void> {
    while (more && !stopped.signal.aborted) {
      more = false
      try {
        await sendQueued()
      } catch (cause) {
        if (stopped.signal.aborted) return
        log(`net: ${cause instanceof Error ? cause.message : cause}`)
        more = true
        await sleep(500)
      }
    }
  }

  async function sendQueued(): Promise<void> {
    const [exists] = await client.ask(
      (sql) => sql`select where to_regclass('net.http_request_queue') is not null`,
    )
    if (!exists) return
    await client.ask((sql) => sql`delete from net._http_response where created < now() - interval '6 hours'`)
    for (let size = batchSize; size === batchSize; ) {
      const requests = await client.ask(
        (sql) => sql<QueuedRequest[]>`
          delete from net.http_request_queue as q
          where q.id in (select id from net.http_request_queue order by id limit ${batchSize} for update skip locked)
          returning *`,
      )
      size = requests.length
      for (const request of requests) void send(request).catch((cause) => log(`net: ${cause}`))
    }
  }

  async function send(request: QueuedRequest): Promise<void> {
    try {
      const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(request.timeout_milliseconds)])
      const { method, headers, body } = request
      const response = await fetch(request.url, { method, headers, body: body as BodyInit | null, signal })
      const content = await response.text()
      await client.ask(
        (sql) => sql`
          insert into net._http_response (id, status_code, content_type, headers, content, timed_out)
          values (${request.id}, ${response.status}, ${response.headers.get('content-type')},
            ${sql.json(Object.fromEntries(response.headers))}, ${content}, false)`,
      )
    } catch (cause) {
      if (stopped.signal.aborted) return
      const timedOut = cause instanceof DOMException && cause.name === 'TimeoutError'
      const reason = cause instanceof Error ? String(cause.cause ?? cause.message) : String(cause)
      await client.ask(
        (sql) => sql`
          insert into net._http_response (id, timed_out, error_msg)
          values (${request.id}, ${timedOut}, ${reason})`,
      )
    }
  }

  // The listener outlives restarts of the server; what was queued meanwhile is found by its second callback.
  listener.listen('pg_net', poke, poke).catch((cause) => {
    if (!stopped.signal.aborted) log(`net: ${cause}`)
  })
  return {
    async stop() {
      stopped.abort()
      await Promise.all([client.end(), listener.end({ timeout: 0 })])
      await work
    },
  }
}
