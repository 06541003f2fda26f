import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallDatabase } from '../_shared/caller.ts'
import { Refusal } from '../_shared/refusal.ts'
import { getImport, type ImportDocument, isAtEnd } from '../_shared/upload/await-import.ts'

/** What is told of an import, and the id of that. */
interface State {
  id: string
  data: string
  isEnd: boolean
}

/** How often the database is asked, and after how long the caller is to ask anew: the platform ends requests at 150 s. */
const pace = { interval: 1000, lifetime: 140_000 }

const told = ['id', 'status', 'counts', 'error', 'progress', 'undo', 'waiting_for', 'job'] as const

/**
 * The state of an import as server-sent events: `state` whenever it changes, `end` when nothing more comes by itself.
 * The id of an event names what it told, so whoever asks again after it hears of what they do not know yet.
 */
export async function importEvents(
  db: CallDatabase,
  importId: string,
  lastEventId?: string,
  { interval, lifetime } = pace,
): Promise<Response> {
  // The first is read before anything is answered: what the database refuses becomes the answer.
  const first = stateOf(await getImport(db, importId))
  if (first.isEnd && first.id === lastEventId) return new Response(null, { status: 204 })

  const gone = new AbortController()
  const events = readEvents(first)
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await events.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(value))
      } catch (cause) {
        if (gone.signal.aborted) return
        // The next request is answered with what this one is refused in its middle: an expired token, say.
        if (!(cause instanceof Refusal)) console.error(cause)
        controller.close()
      }
    },
    cancel: () => gone.abort(),
  })
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      // Neither packed nor held back on the way.
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  })

  async function* readEvents(state: State): AsyncGenerator<string, void> {
    yield `retry: ${interval}\n\n`
    const deadline = Date.now() + lifetime
    for (let known = lastEventId; ; state = stateOf(await getImport(db, importId))) {
      if (state.id !== known) yield eventOf(state)
      // A sign of life, by which it is also seen whether somebody still listens.
      else yield ':\n\n'
      known = state.id
      if (state.isEnd || Date.now() + interval > deadline) return
      await sleep(interval, undefined, { signal: gone.signal })
    }
  }
}

function stateOf(document: ImportDocument): State {
  const data = JSON.stringify(Object.fromEntries(told.map((key) => [key, document[key]])))
  return {
    id: createHash('sha256').update(data).digest('base64url').slice(0, 22),
    data,
    isEnd: isAtEnd(document),
  }
}

function eventOf({ id, data, isEnd }: State): string {
  return `id: ${id}\nevent: ${isEnd ? 'end' : 'state'}\ndata: ${data}\n\n`
}
