import type { Body } from './http.ts'

export type ServerSentEvent = { id: string; event: string; data: Body }

/** The events of an answer, as they come. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerSentEvent> {
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s, 2)))
      if (fields.event) yield { id: fields.id, event: fields.event, data: JSON.parse(fields.data) }
    }
  }
}

/** The events of an answer, once it has ended. */
export async function allEventsOf(response: Response): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = []
  for await (const event of eventsOf(response)) events.push(event)
  return events
}
