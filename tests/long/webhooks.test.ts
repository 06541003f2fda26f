import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { serviceClient } from '../support/client.ts'
import { asPerson, makeOrganization, until } from '../support/imports.ts'
import { type Nasty, startNasty } from '../support/nasty.ts'
import { startTestStack } from '../support/stack.ts'

// Deliveries of webhooks, when the function is killed while it sends: each is sent again, and reported once.

let stack: Stack
let sql: Sql
let receiver: Nasty

beforeAll(async () => {
  stack = await startTestStack()
  sql = postgres(stack.databaseUrl, { max: 4, prepare: false, onnotice: () => {} })
  await sql`select public.set_setting('outbound.allow_private', 'true')`
  receiver = await startNasty()
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await receiver?.stop()
  await stack?.stop()
})

it('are sent again when the function is killed, and what came of a lost call is not taken', async () => {
  const { admin } = await makeOrganization(sql, 'acme')
  const [hook] = await asPerson(
    sql,
    admin,
    (tx) =>
      tx<
        { id: string }[]
      >`select public.create_webhook(${`${receiver.url}/silent`}, '{job.failed}') ->> 'id' as id`,
  )
  const id = hook?.id ?? ''
  for (let n = 0; n < 3; n++) await asPerson(sql, admin, (tx) => tx`select public.send_test_webhook(${id})`)
  await until('they are on their way', 30, async () => receiver.received.length === 3)
  const lost = await sql<
    { id: string; token: string }[]
  >`select d.id, d.token from public.webhook_deliveries as d`

  const killed = stack.functionsPid()
  process.kill(killed, 'SIGKILL')
  await until('the functions are back', 30, async () => stack.functionsPid() !== killed)
  await asPerson(sql, admin, (tx) => tx`select public.change_webhook(${id}, ${`${receiver.url}/ok`})`)
  // Their time is over, and so is the wait for another attempt.
  const hurry = () => sql`
    update public.webhook_deliveries as d set next_attempt_at = clock_timestamp() where d.status in ('pending', 'sending')`
  await hurry()
  await until('they wait again', 30, async () => {
    const [row] =
      await sql`select from public.webhook_deliveries as d where d.status = 'sending' and d.attempts = 1`
    return row === undefined
  })
  await hurry()

  const ends = await until('they are delivered', 30, async () => {
    const rows = await sql`select d.status, d.attempts, d.token from public.webhook_deliveries as d`
    return rows.every(({ status }) => status === 'delivered') && rows
  })
  expect([...ends]).toEqual(Array(3).fill({ status: 'delivered', attempts: 2, token: null }))
  const ids = receiver.received.map(({ headers }) => headers['webhook-id']).sort()
  expect(ids).toEqual(lost.flatMap((delivery) => [delivery.id, delivery.id]).sort())

  for (const { id: delivery_id, token } of lost) {
    const { status } = await serviceClient(stack).rpc('report_webhook_delivery', {
      delivery_id,
      token,
      response_status: 500,
    })
    expect(status).toBe(409)
  }
})
