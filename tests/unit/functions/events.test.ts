import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { Refusal } from '../../../functions/_shared/refusal.ts'
import { importEvents } from '../../../functions/imports/events.ts'
import { allEventsOf } from '../../support/events.ts'

const pace = { interval: 5, lifetime: 10_000 }
const running = { id: 'i', status: 'committing', job: { status: 'running' }, sample: [['secret']] }
const completed = { id: 'i', status: 'completed', job: { status: 'completed' } }

/** A database that gives one answer after the other, and the last one for ever. */
function database(...answers: unknown[]) {
  const asked = vi.fn(async () => {
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    if (answer instanceof Error) throw answer
    return answer
  })
  return asked
}

const counted = (inserted: number) => ({ ...running, counts: { inserted } })

describe('events of an import', () => {
  it('tell every change once, in order, and the end', async () => {
    const db = database(counted(1), counted(1), counted(2), counted(2), completed)
    const response = await importEvents(db, 'i', undefined, pace)
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const events = await allEventsOf(response)
    expect(events.map(({ event, data }) => [event, data.status, data.counts?.inserted])).toEqual([
      ['state', 'committing', 1],
      ['state', 'committing', 2],
      ['end', 'completed', undefined],
    ])
    expect(new Set(events.map(({ id }) => id)).size).toBe(3)
    expect(JSON.stringify(events)).not.toContain('secret')
    expect(db).toHaveBeenCalledTimes(5)
  })

  it('go on after the last that was heard', async () => {
    const [first] = await allEventsOf(
      await importEvents(database(counted(1), completed), 'i', undefined, pace),
    )
    const again = await importEvents(database(counted(1), counted(2), completed), 'i', first?.id, pace)
    const events = await allEventsOf(again)
    expect(events.map(({ data }) => data.counts?.inserted)).toEqual([2, undefined])
    const after = await importEvents(database(completed), 'i', events[1]?.id, pace)
    expect([after.status, await after.text()]).toEqual([204, ''])
  })

  it('begin with the hint when to come again, and show life meanwhile', async () => {
    const response = await importEvents(database(running), 'i', undefined, { interval: 5, lifetime: 40 })
    const text = await response.text()
    expect(text).toMatch(/^retry: 5\n\nid: [\w-]{22}\nevent: state\ndata: \{.*\}\n\n(:\n\n)+$/)
  })

  it('end before the request must', async () => {
    const began = performance.now()
    await (await importEvents(database(running), 'i', undefined, { interval: 5, lifetime: 50 })).text()
    expect(performance.now() - began).toBeLessThan(1000)
  })

  it('are not the end while a job runs, whatever the status', async () => {
    const judging = { ...completed, job: { status: 'running' } }
    const events = await allEventsOf(await importEvents(database(judging, completed), 'i', undefined, pace))
    expect(events.map(({ event }) => event)).toEqual(['state', 'end'])
  })

  it('ask nobody any more when the listener is gone', async () => {
    const db = database(running)
    const response = await importEvents(db, 'i', undefined, pace)
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await sleep(20)
    const asked = db.mock.calls.length
    await sleep(50)
    expect(db).toHaveBeenCalledTimes(asked)
  })

  it('refuse before they begin, and stop at a refusal later', async () => {
    const expired = new Refusal(401, 'PGRST303', 'JWT expired')
    await expect(importEvents(database(expired), 'i', undefined, pace)).rejects.toBe(expired)
    const response = await importEvents(database(running, expired), 'i', undefined, pace)
    expect((await allEventsOf(response)).map(({ event }) => event)).toEqual(['state'])
  })
})
