import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { anonymousClient, connect, type Person, serviceClient, signUp } from '../support/client.ts'
import { makePerson, until } from '../support/imports.ts'
import { linkIn, mailsTo } from '../support/mails.ts'

// Invitations, from the queue to the person who signs in.

const stack = inject('stack')
let sql: Sql
let ann: Person
let organization: string

beforeAll(async () => {
  sql = connect()
  await sql`select public.set_setting('users.invites_per_hour', '10000')`
  ann = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  organization = (await ann.client.rpc('create_organization', { name: slug, slug })).data.id
})
afterAll(() => sql.end({ timeout: 1 }))

async function queue(people: string[]): Promise<void> {
  await sql`select private.queue_invitations(${organization}, ${people}::uuid[])`
  await sql`select private.post_invitations()` // else the next tick, within ten seconds
}

type Invitation = { user_id: string; email: string; status: string; error: { code: string } | null }

/** What an admin sees of invitations once all have come to an end. */
async function ended(): Promise<Map<string, Invitation>> {
  const rows = await until('invitations come to an end', 30, async () => {
    const { data } = await ann.client.from('user_invitations').select()
    return data?.every(({ status }) => status === 'sent' || status === 'failed') && data
  })
  return new Map((rows as Invitation[]).map((row) => [row.user_id, row]))
}

describe('invited people', () => {
  it('get a mail, follow its link, set a password and sign in', async () => {
    const email = `ida-${randomUUID().slice(0, 8)}@example.com`
    const users = [{ email, full_name: 'Ida' }, { email: email.replace('ida', 'ilse') }]
    expect((await ann.client.rpc('create_users', { users })).error).toBeNull()
    const invitations = await until('both are invited', 30, async () => {
      await sql`select private.post_invitations()`
      const { data } = await ann.client.from('user_invitations').select().eq('status', 'sent')
      return data?.length === 2 && data
    })
    const { user_id: id } = invitations.find((one) => one.email === email) ?? {}

    const mails = mailsTo(stack, email)
    expect(mails).toHaveLength(1)
    const followed = await fetch(linkIn(mails[0]), { redirect: 'manual' })
    expect(followed.status).toBe(303)
    const fragment = new URLSearchParams(followed.headers.get('location')?.split('#')[1])
    expect(fragment.get('type')).toBe('invite')

    const client = anonymousClient()
    await client.auth.setSession({
      access_token: fragment.get('access_token') ?? '',
      refresh_token: fragment.get('refresh_token') ?? '',
    })
    expect((await client.auth.updateUser({ password: 'a password of her own' })).error).toBeNull()
    const signedIn = await anonymousClient().auth.signInWithPassword({
      email,
      password: 'a password of her own',
    })
    expect(signedIn.data.user?.id).toBe(id)
    const { data: profile } = await ann.client.from('profiles').select('org_id, full_name').eq('id', id)
    expect(profile).toEqual([{ org_id: organization, full_name: 'Ida' }])

    const again = await fetch(linkIn(mails[0]), { redirect: 'manual' })
    expect(again.headers.get('location')).toMatch(/#error=access_denied&error_code=otp_expired/)
  })

  it('verify by the code of the mail as well', async () => {
    const person = await makePerson(sql, 'ivo')
    await queue([person])
    const email = (await ended()).get(person)?.email as string
    const token = /code: (\d{6})/.exec(mailsTo(stack, email)[0] ?? '')?.[1] as string
    const { data } = await anonymousClient().auth.verifyOtp({ type: 'invite', email, token })
    expect(data.user?.id).toBe(person)
  })

  it('are not invited once they have confirmed their address, and an admin sees why', async () => {
    const [late, other] = await Promise.all([makePerson(sql, 'lena'), makePerson(sql, 'olga')])
    await sql`select private.queue_invitations(${organization}, ${[late, other]}::uuid[])`
    await sql`update auth.users set email_confirmed_at = now() where id = ${late}`
    await sql`select private.post_invitations()`
    const invitations = await ended()
    expect(invitations.get(late)).toMatchObject({
      status: 'failed',
      error: { code: 'email_exists', status: 422 },
    })
    expect(invitations.get(other)).toMatchObject({ status: 'sent', error: null })
    expect((await ann.client.rpc('retry_invitations')).data).toBe(0)
    expect((await ann.client.rpc('retry_invitations', { user_ids: [late, other] })).data).toBe(1)
    const { email } = invitations.get(other) as Invitation
    await sql`select private.post_invitations()`
    await until('the second mail comes', 30, async () => mailsTo(stack, email).length === 2)
  })
})

describe('the worker function', () => {
  const call = (headers: Record<string, string>, body: unknown) =>
    fetch(`${stack.url}/functions/v1/worker/invitations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })

  it('works for the secret key alone, and for a call that is on', async () => {
    const body = { token: randomUUID() }
    expect((await call({ authorization: `Bearer ${ann.token}` }, body)).status).toBe(401)
    expect((await call({ apikey: stack.publishableKey }, body)).status).toBe(401)
    expect((await call({}, body)).status).toBe(401)
    const late = await call({ apikey: stack.secretKey }, body)
    expect([late.status, await late.json()]).toEqual([
      409,
      expect.objectContaining({ code: 'PT409', message: 'call of the worker function is over' }),
    ])
    expect((await call({ apikey: stack.secretKey }, {})).status).toBe(400)
  })

  it('is the only one that takes part in the sending', async () => {
    const refused = await ann.client.rpc('next_invitation', { token: randomUUID() })
    expect([refused.status, refused.error?.code]).toEqual([403, '42501'])
    expect((await serviceClient().rpc('next_invitation', { token: randomUUID() })).status).toBe(409)
  })
})
