import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Person, signUp } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { csv, request } from '../support/http.ts'

// Several files that refer to each other, over HTTP: whatever comes first, each waits for what it needs.

const customers = csv(
  ['external_id', 'name'],
  [
    ['K1', 'Ann'],
    ['K2', 'Bob'],
  ],
)
const contacts = csv(
  ['external_id', 'customer', 'last_name'],
  [
    ['P1', 'K1', 'Adams'],
    ['P2', 'K2', 'Brown'],
    ['P3', 'K9', 'Cole'],
  ],
)
let ann: Person

beforeAll(async () => {
  ann = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  await ann.client.rpc('create_organization', { name: slug, slug })
})

/** Uploads a file, as far as staged. */
async function upload(dataset: string, body: string, query = ''): Promise<string> {
  const { status, body: document } = await request(ann, 'POST', `?dataset=${dataset}${query}`, { body })
  expect(status).toBe(201)
  return document.id
}

describe('a set', () => {
  it('runs in the order of its references, whatever was sent first', async () => {
    const key = { headers: { 'idempotency-key': randomUUID() }, body: { name: 'Move' } }
    const made = await request(ann, 'POST', '/sets', key)
    expect(made).toMatchObject({ status: 201, body: { name: 'Move', status: 'open', imports: [] } })
    const again = await request(ann, 'POST', '/sets', key)
    expect([again.status, again.body.id]).toEqual([200, made.body.id])
    expect(again.headers.get('idempotent-replayed')).toBe('true')

    const id = made.body.id
    const second = await upload('contacts', contacts, `&set_id=${id}`)
    const first = await upload('customers', customers, `&set_id=${id}`)
    expect((await request(ann, 'GET', `/sets/${id}`)).body.imports.map((found) => found.id)).toEqual([
      first,
      second,
    ])

    const run = await request(ann, 'POST', `/sets/${id}/run?wait=30`)
    expect(run).toMatchObject({
      status: 200,
      body: {
        status: 'completed',
        imports: [
          { id: first, status: 'completed', counts: { inserted: 2, failed: 0 } },
          {
            id: second,
            status: 'completed',
            counts: { inserted: 2, failed: 1 },
            issues: [{ code: 'reference_not_found' }],
          },
        ],
      },
    })
  })

  it.each([
    ['{', 400],
    [{ name: '' }, 400],
    [{ unknown: 1 }, 400],
  ])('is not made of %j', async (body, status) => {
    const headers = { 'content-type': 'application/json' }
    const refused = await request(ann, 'POST', '/sets', { body, headers })
    expect([refused.status, refused.body.code]).toEqual([status, '22023'])
  })
})

describe('an import that depends on others', () => {
  it('waits until they are completed', async () => {
    const first = await upload('customers', csv(['external_id', 'name'], [['K9', 'Cid']]))
    const second = await upload('contacts', contacts)
    const changed = await request(ann, 'PATCH', `/${second}`, { body: { depends_on: [first] } })
    expect([changed.status, changed.body.waiting_for]).toEqual([
      200,
      [{ id: first, dataset: 'customers', status: 'staged' }],
    ])
    const circle = await request(ann, 'PATCH', `/${first}`, { body: { depends_on: [second] } })
    expect(circle).toMatchObject({ status: 400, body: { message: 'imports would wait for each other' } })

    const started = await request(ann, 'POST', `/${second}/validate?wait=1`)
    expect(started).toMatchObject({ status: 202, body: { job: { status: 'queued', phase: 'waiting' } } })
    await request(ann, 'POST', `/${first}/validate?wait=30`)
    await request(ann, 'POST', `/${first}/commit?wait=30`)
    // It goes on by itself, with Cid there.
    const validated = await eventually(async () => {
      const { body } = await request(ann, 'GET', `/${second}`)
      return body.status === 'validated' ? body : undefined
    })
    expect(validated?.counts).toMatchObject({ valid: 3, failed: 0 })
  })
})
