import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Person, signUp } from '../support/client.ts'
import { csv, request } from '../support/http.ts'
import { join, until } from '../support/imports.ts'
import { type Nasty, type Received, startNasty } from '../support/nasty.ts'

// Webhooks, from the event to the receiver, who checks the signature with an implementation that is not ours.

interface Delivery {
  id: string
  event: string
  status: string
  attempts: number
  response_status: number | null
  error: { code: string; message: string } | null
}

let sql: Sql
let receiver: Nasty

beforeAll(async () => {
  sql = connect()
  receiver = await startNasty()
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await receiver.stop()
})

/** An admin with an organization, which may be told things at addresses of this machine. */
async function makeAdmin(isPrivateAllowed = true): Promise<Person & { organization: string }> {
  const person = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  const organization = (await person.client.rpc('create_organization', { name: slug, slug })).data.id
  if (isPrivateAllowed)
    await sql`select public.set_setting('outbound.allow_private', 'true', ${organization})`
  return { ...person, organization }
}

/** A webhook to a behaviour of the receiver. */
async function makeWebhook(admin: Person, path: string, events = ['import.completed']) {
  const mark = randomUUID()
  const url = `${receiver.url}/${path}${path.includes('?') ? '&' : '?'}mark=${mark}`
  const { data, error } = await admin.client.rpc('create_webhook', { url, events })
  if (error) throw error
  return { id: data.id as string, secret: data.secret as string, mark }
}

async function test(admin: Person, webhook: { id: string }): Promise<Delivery> {
  const { data, error } = await admin.client.rpc('send_test_webhook', { webhook_id: webhook.id })
  if (error) throw error
  return data
}

function received(mark: string): Received[] {
  return receiver.received.filter(({ url }) => url.includes(mark))
}

/** Waits for what deliveries of a webhook come to; helps the schedule, which is not in a hurry. */
async function awaited(
  admin: Person,
  webhook: { id: string },
  isThere: (delivery: Delivery) => boolean,
): Promise<Delivery[]> {
  return until(`webhook ${webhook.id} has been told`, 30, async () => {
    await sql`select private.send_webhooks()`
    const { data } = await admin.client.rpc('list_webhook_deliveries', { webhook_id: webhook.id })
    const deliveries = data.deliveries as Delivery[]
    return deliveries.length > 0 && deliveries.every(isThere) && deliveries
  })
}

async function settled(admin: Person, webhook: { id: string }): Promise<Delivery[]> {
  return awaited(admin, webhook, ({ status }) => status === 'delivered' || status === 'failed')
}

/** The only delivery of a webhook, after an attempt that failed. */
async function tried(admin: Person, webhook: { id: string }): Promise<Delivery | undefined> {
  const [delivery] = await awaited(admin, webhook, ({ error }) => error !== null)
  return delivery
}

function verified(secret: string, { body, headers }: Received): Record<string, unknown> {
  return new Webhook(secret).verify(body, headers as Record<string, string>) as Record<string, unknown>
}

describe('an import', () => {
  it('is told of at each step, signed', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'ok', [
      'import.staged',
      'import.validated',
      'import.completed',
      'import.failed',
    ])
    const file = csv(
      ['external_id', 'name', 'email'],
      [
        ['W1', 'Zoë', 'zoe@example.com'],
        ['', 'Nobody', ''],
      ],
    )
    const { body } = await request(ann, 'POST', '?dataset=customers&review=false&wait=20', { body: file })
    expect(body.status).toBe('completed')

    await settled(ann, webhook)
    const messages = received(webhook.mark)
    const events = messages.map((message) => verified(webhook.secret, message))
    expect(events.map(({ type }) => type).sort()).toEqual([
      'import.completed',
      'import.staged',
      'import.validated',
    ])
    expect(events.find(({ type }) => type === 'import.completed')).toMatchObject({
      timestamp: expect.any(String),
      data: {
        import_id: body.id,
        org_id: ann.organization,
        status: 'completed',
        counts: { rows: 2, inserted: 1, failed: 1 },
      },
    })
    for (const { method, headers, body } of messages) {
      expect(method).toBe('POST')
      expect(headers['content-type']).toBe('application/json')
      expect(body).not.toMatch(/Zoë|example\.com|file/)
    }
    expect(new Set(messages.map(({ headers }) => headers['webhook-id'])).size).toBe(3)

    const [message] = messages
    if (!message) throw new Error('nothing arrived')
    expect(() => verified(webhook.secret, { ...message, body: `${message.body} ` })).toThrow()
    expect(() => verified(`whsec_${Buffer.from('another').toString('base64')}`, message)).toThrow()
  })
})

describe('a delivery', () => {
  it('is tried again, as the same message, until it is accepted', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'status?code=500')
    const { id } = await test(ann, webhook)
    expect(await tried(ann, webhook)).toMatchObject({
      id,
      response_status: 500,
      error: { code: 'not_accepted' },
    })
    await ann.client.rpc('change_webhook', {
      webhook_id: webhook.id,
      url: `${receiver.url}/ok?mark=${webhook.mark}`,
    })
    expect(await settled(ann, webhook)).toMatchObject([{ id, status: 'delivered', attempts: 2, error: null }])

    const [refused, accepted] = received(webhook.mark)
    expect([refused?.headers['webhook-id'], accepted?.headers['webhook-id']]).toEqual([id, id])
    expect(accepted?.headers['webhook-timestamp']).not.toBe(refused?.headers['webhook-timestamp'])
    expect(accepted?.body).toBe(refused?.body)
    expect(verified(webhook.secret, accepted as Received)).toMatchObject({ type: 'webhook.test' })
  })

  it('goes to no private address unless postgres said so', async () => {
    const bob = await makeAdmin(false)
    const webhook = await makeWebhook(bob, 'ok')
    await test(bob, webhook)
    expect(await settled(bob, webhook)).toMatchObject([
      { status: 'failed', attempts: 1, response_status: null, error: { code: 'address_refused' } },
    ])
    expect(received(webhook.mark)).toEqual([])

    await sql`select public.set_setting('outbound.allow_private', 'true', ${bob.organization})`
    const { data } = await bob.client.rpc('redrive_webhook_deliveries', { webhook_id: webhook.id })
    expect(data).toBe(1)
    expect(await settled(bob, webhook)).toMatchObject([{ status: 'delivered' }])
  })

  it('follows no redirect', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'redirect?code=307&to=/ok')
    await test(ann, webhook)
    expect(await tried(ann, webhook)).toMatchObject({
      status: 'pending',
      response_status: 307,
      error: { code: 'not_accepted' },
    })
    expect(received(webhook.mark).every(({ url }) => url.startsWith('/redirect'))).toBe(true)
  })

  it('to one that is silent, endless or breaks off keeps no other waiting', async () => {
    const ann = await makeAdmin()
    const bob = await makeAdmin()
    for (const path of ['silent', 'drip-head', 'endless-head', 'hangs-up']) {
      const webhook = await makeWebhook(ann, path)
      for (let n = 0; n < 10; n++) await test(ann, webhook)
    }
    await sql`select private.send_webhooks()`
    const good = await makeWebhook(bob, 'ok')
    await test(bob, good)
    const began = Date.now()
    expect(await settled(bob, good)).toMatchObject([{ status: 'delivered', attempts: 1 }])
    expect(Date.now() - began).toBeLessThan(10_000)
  })

  it('is signed with both secrets after a rotation', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'ok')
    const { data } = await ann.client.rpc('rotate_webhook_secret', { webhook_id: webhook.id })
    await test(ann, webhook)
    await settled(ann, webhook)
    const [message] = received(webhook.mark)
    for (const secret of [webhook.secret, data.secret]) {
      expect(verified(secret, message as Received)).toMatchObject({ type: 'webhook.test' })
    }
  })

  it('that is answered by gone is the last', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'status?code=410')
    await test(ann, webhook)
    expect(await settled(ann, webhook)).toMatchObject([
      { status: 'failed', attempts: 1, response_status: 410 },
    ])
    const { data } = await ann.client
      .from('webhooks')
      .select('is_active, error')
      .eq('id', webhook.id)
      .single()
    expect(data).toMatchObject({ is_active: false, error: { code: 'gone' } })
    const refused = await ann.client.rpc('send_test_webhook', { webhook_id: webhook.id })
    expect([refused.status, refused.error?.code]).toEqual([409, 'PT409'])
  })
})

describe('rights', () => {
  it('are those of admins, over HTTP as in SQL', async () => {
    const ann = await makeAdmin()
    const webhook = await makeWebhook(ann, 'ok')
    await test(ann, webhook)
    const max = await signUp('max')
    await join(sql, max.id, ann.organization, 'member')
    const stranger = await makeAdmin()

    const made = await max.client.rpc('create_webhook', { url: `${receiver.url}/ok`, events: ['job.failed'] })
    expect([made.status, made.error?.code]).toEqual([403, '42501'])
    for (const { client } of [max, stranger]) {
      expect((await client.from('webhooks').select('id')).data).toEqual([])
      expect((await client.from('webhook_deliveries').select('id')).data).toEqual([])
      expect((await client.rpc('rotate_webhook_secret', { webhook_id: webhook.id })).status).toBe(404)
    }
    for (const { client } of [ann, max]) {
      expect((await client.rpc('take_webhook_deliveries', { token: randomUUID() })).status).toBe(403)
      expect((await client.from('webhook_deliveries').select('token')).status).toBe(403)
    }
    expect((await ann.client.from('webhooks').select('*')).data).toMatchObject([{ id: webhook.id }])
    expect(JSON.stringify((await ann.client.from('webhooks').select('*')).data)).not.toContain('whsec')
  })
})
