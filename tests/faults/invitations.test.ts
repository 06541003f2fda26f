import process from 'node:process'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { makeOrganization, until } from '../support/imports.ts'
import { mailsTo } from '../support/mails.ts'
import { startTestStack } from '../support/stack.ts'

// The function that sends invitations is killed in the middle of them.

const peopleCount = 60
let stack: Stack
let sql: Sql

beforeAll(async () => {
  stack = await startTestStack()
  sql = postgres(stack.databaseUrl, { max: 2, prepare: false, onnotice: () => {} })
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await stack?.stop()
})

async function countOf(status: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::integer as count from public.user_invitations where status = ${status}::public.invitation_status`
  return row?.count ?? 0
}

describe('the function that sends invitations', () => {
  it('is killed twice: everybody is invited, and hardly anybody twice', async () => {
    await sql`select public.set_setting('users.invites_per_hour', '1000')`
    const { organization } = await makeOrganization(sql, 'acme')
    await sql`
      insert into auth.users (id, email, aud, role)
      select gen_random_uuid(), 'person-' || n || '@example.com', 'authenticated', 'authenticated'
      from generate_series(1, ${peopleCount}::integer) as n`
    await sql`
      select private.queue_invitations(${organization},
        array(select u.id from auth.users as u where u.email like 'person-%'))`

    let kills = 0
    for (const sent of [5, 25]) {
      await sql`select private.post_invitations()`
      await until(`${sent} are sent`, 30, async () => (await countOf('sent')) >= sent)
      const killed = stack.functionsPid()
      process.kill(killed, 'SIGKILL')
      kills++
      await until('the functions are back', 30, async () => stack.functionsPid() !== killed)
      expect(await countOf('sent')).toBeLessThan(peopleCount)
      // As if the time of the call, and of the next attempt, had passed.
      await sql`update private.invitation_calls set expires_at = clock_timestamp() where ended_at is null`
      await sql`update public.user_invitations set next_attempt_at = clock_timestamp() where status = 'sending'`
      await sql`select private.post_invitations()`
      await sql`update public.user_invitations set next_attempt_at = clock_timestamp() where status = 'pending'`
    }
    await sql`select private.post_invitations()`
    await until('all are sent', 30, async () => (await countOf('sent')) === peopleCount)

    const mails = Array.from(
      { length: peopleCount },
      (_, n) => mailsTo(stack, `person-${n + 1}@example.com`).length,
    )
    expect(mails.every((count) => count >= 1)).toBe(true)
    const total = mails.reduce((sum, count) => sum + count, 0)
    expect(total).toBeLessThanOrEqual(peopleCount + kills)
    const [counted] = await sql<{ count: number }[]>`
      select sum(mail_count)::integer as count from private.invitation_calls`
    expect(counted?.count).toBeGreaterThanOrEqual(total) // the limit counts what may have gone out
  })
})
