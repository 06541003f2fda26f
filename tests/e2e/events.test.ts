import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Person, serviceClient, signUp } from '../support/client.ts'
import { allEventsOf, eventsOf, type ServerSentEvent } from '../support/events.ts'
import { csv, importsUrl, request } from '../support/http.ts'
import { addTrigger, makeTarget, setChunkRows, targetColumns, targetRows } from '../support/targets.ts'

// Listening to an import, from the upload to its end and to its undo, with interruptions.

const rowCount = 3000
let sql: Sql
let ann: Person
let stranger: Person
let target: string

beforeAll(async () => {
  sql = connect()
  ;[ann, stranger] = (await Promise.all(['ann', 'stranger'].map((name) => signUp(name)))) as [Person, Person]
  for (const person of [ann, stranger]) {
    const slug = `org-${randomUUID().slice(0, 8)}`
    const { data } = await person.client.rpc('create_organization', { name: slug, slug })
    await setChunkRows(sql, data.id, 100)
  }
  target = `target_${randomUUID().slice(0, 8)}`
  await makeTarget(sql, target)
  await addTrigger(sql, target, 'insert', 'perform pg_sleep(0.001);')
})
afterAll(() => sql.end({ timeout: 1 }))

async function upload(prefix: string, query = ''): Promise<string> {
  const body = csv(targetColumns, targetRows(rowCount, prefix))
  const { status, body: document } = await request(ann, 'POST', `?dataset=${target}${query}`, { body })
  expect(status).toBe(201)
  return document.id
}

/** Listens to an import, after an event where that is given. */
function listen(id: string, after?: ServerSentEvent, signal?: AbortSignal, person = ann): Promise<Response> {
  const headers = {
    authorization: `Bearer ${person.token}`,
    ...(after && { 'last-event-id': after.id }),
  }
  return fetch(importsUrl(`/${id}/events`), { headers, signal: signal ?? null })
}

const insertedOf = (event?: ServerSentEvent) => event?.data.counts.inserted ?? -1

describe('whoever listens', () => {
  it('hears every state once, through interruptions, to the end', async () => {
    const id = await upload('A', '&review=false')
    const heard: ServerSentEvent[] = []
    // Twice the listener goes away after an event, and comes again later.
    for (let turn = 0; turn < 2; turn++) {
      const leaving = new AbortController()
      const response = await listen(id, heard.at(-1), leaving.signal)
      expect([response.status, response.headers.get('content-type')]).toEqual([
        200,
        'text/event-stream; charset=utf-8',
      ])
      for await (const event of eventsOf(response)) {
        heard.push(event)
        break
      }
      leaving.abort()
    }
    heard.push(...(await allEventsOf(await listen(id, heard.at(-1)))))

    expect(heard.length).toBeGreaterThan(2)
    expect(heard.map(({ event }) => event)).toEqual([...heard.slice(1).map(() => 'state'), 'end'])
    expect(new Set(heard.map((event) => event.id)).size).toBe(heard.length)
    const inserted = heard.map(insertedOf)
    expect(inserted).toEqual([...inserted].sort((a, b) => a - b))
    const { sample, columns, ...document } = (await request(ann, 'GET', `/${id}`)).body as unknown as Record<
      string,
      unknown
    >
    expect(document).toMatchObject(heard.at(-1)?.data ?? {})
    expect(heard.at(-1)?.data).toMatchObject({
      id,
      status: 'completed',
      counts: { inserted: rowCount, pending: 0 },
    })
    expect(heard.at(-1)?.data).not.toHaveProperty('sample')

    const after = await listen(id, heard.at(-1))
    expect([after.status, await after.text()]).toEqual([204, ''])
  })

  it('hears nothing while nothing changes, but that somebody is there', async () => {
    const id = await upload('B')
    const response = await listen(id)
    const text: string[] = []
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text.push(chunk)
      if (text.join('').split('\n\n').length > 4) break
    }
    expect(text.join('')).toMatch(
      /^retry: \d+\n\nid: \S+\nevent: state\ndata: .*"status":"staged".*\n\n(:\n\n)+$/,
    )
  })

  it('hears of a pause, of what comes after it, and of an undo', async () => {
    const id = await upload('C', '&review=false')
    await request(ann, 'POST', `/${id}/pause`)
    let paused: ServerSentEvent | undefined
    for await (const event of eventsOf(await listen(id))) {
      paused = event
      if (event.data.job?.status === 'paused') break
    }
    await request(ann, 'POST', `/${id}/resume?wait=30`)
    const rest = await allEventsOf(await listen(id, paused))
    expect(rest.map(({ event, data }) => [event, data.status])).toEqual([['end', 'completed']])

    await request(ann, 'POST', `/${id}/undo`)
    const undo = await allEventsOf(await listen(id, rest[0]))
    expect(undo.at(-1)).toMatchObject({
      event: 'end',
      data: {
        status: 'undone',
        undo: { reversed: rowCount, kept: {} },
        job: { result: { reversed: rowCount } },
      },
    })
    expect(undo.slice(0, -1).every(({ data }) => data.status === 'undoing')).toBe(true)
  })

  it('needs the right to: others get 404, and nobody gets 401', async () => {
    const id = await upload('D')
    const hidden = await listen(id, undefined, undefined, stranger)
    expect([hidden.status, await hidden.json()]).toMatchObject([404, { code: 'PT404' }])
    const nobody = await fetch(importsUrl(`/${id}/events`))
    expect([nobody.status, nobody.headers.get('content-type')]).toEqual([401, 'application/json'])
  })

  it('is told no more once the import is gone', async () => {
    const id = await upload('E')
    const events = allEventsOf(await listen(id))
    await sql`delete from public.import_batches where id = ${id}`
    expect((await events).map(({ event }) => event)).toEqual(['state'])
    expect((await listen(id)).status).toBe(404)
    expect((await serviceClient().rpc('get_import', { import_id: id })).status).toBe(404)
  })
})
