import { describe, expect, it } from 'vitest'
import { Refusal } from '../../../functions/_shared/refusal.ts'
import { usersApp } from '../../../functions/users/app.ts'
import { sendTo } from '../../support/app.ts'

const id = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const completed = {
  id,
  status: 'completed',
  counts: { rows: 1 },
  issues: [],
  error: null,
  job: { status: 'completed' },
}
const atWork = { ...completed, status: 'committing', job: { status: 'running' } }
const ann = { row_number: 1, email: 'ann@example.com', status: 'created', user_id: id, issues: [] }
const send = sendTo(usersApp(), completed)
const people = JSON.stringify({ users: [{ email: 'ann@example.com' }] })

describe('POST /users', () => {
  it('creates what it is given, and says what became of each', async () => {
    const body = {
      users: [{ email: 'ann@example.com', metadata: { a: 1 }, phone: 49 }],
      mode: 'upsert',
      org_id: id,
    }
    const answer = await send('POST', '/functions/v1/users', {
      body: JSON.stringify(body),
      headers: { 'idempotency-key': 'k' },
      answers: { list_user_results: [ann] },
    })
    expect(answer.calls).toEqual([
      ['create_users', { ...body, idempotency_key: 'k' }],
      ['get_import', { import_id: id }],
      ['list_user_results', { import_id: id, page_size: 1000 }],
    ])
    expect(answer.status).toBe(201)
    expect(answer.body).toEqual({
      import_id: id,
      status: 'completed',
      counts: { rows: 1 },
      issues: [],
      error: null,
      users: [ann],
      next_after: null,
    })
  })

  it('is no creation when nobody was created', async () => {
    const answers = { list_user_results: [{ ...ann, status: 'failed', user_id: null }] }
    expect((await send('POST', '/users', { body: people, answers })).status).toBe(200)
  })

  it('names the import that goes on, when the time is over', async () => {
    const answer = await send('POST', '/users?wait=0', {
      body: people,
      answers: { create_users: atWork, get_import: atWork },
    })
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/functions/v1/imports/${id}`)
    expect(answer.body).toMatchObject({ id, status: 'committing' })
    expect(answer.calls.map(([rpc]) => rpc)).toEqual(['create_users', 'get_import'])
  })

  it('says that an earlier request did it', async () => {
    const answers = { create_users: { ...completed, replayed: true }, list_user_results: [ann] }
    const answer = await send('POST', '/users', { body: people, answers })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('idempotent-replayed')).toBe('true')
  })
})

describe('DELETE /users', () => {
  it.each([
    [`?ids=${id},${id}`, undefined, { ids: [id, id] }],
    ['?emails=a@example.com,b@example.com&wait=0', undefined, { emails: ['a@example.com', 'b@example.com'] }],
    [`?import_id=${id}&dry_run=true`, undefined, { import_id: id, dry_run: true }],
    ['', { emails: ['a@example.com'], dry_run: true }, { emails: ['a@example.com'], dry_run: true }],
    [
      '?dry_run=true',
      { emails: ['a@example.com'], dry_run: false },
      { emails: ['a@example.com'], dry_run: true },
    ],
    [`?org_id=${id}`, { ids: [id] }, { ids: [id], org_id: id }],
  ])('%s %j', async (query, body, args) => {
    const answer = await send('DELETE', `/users${query}`, {
      ...(body && { body: JSON.stringify(body) }),
      answers: { list_user_results: [{ ...ann, status: 'deleted' }] },
    })
    expect(answer.calls[0]).toEqual(['delete_users', args])
    expect(answer.status).toBe(200)
    expect(answer.body.users).toHaveLength(1)
  })

  it('gives the preview of a dry run', async () => {
    const answers = {
      get_import: { ...completed, status: 'validated' },
      list_user_results: [{ ...ann, status: 'pending' }],
      get_import_preview: { kind: 'full', counts: { delete: 1 } },
    }
    const answer = await send('DELETE', `/users?import_id=${id}&dry_run=true`, { answers })
    expect(answer.body).toMatchObject({ status: 'validated', preview: { counts: { delete: 1 } } })
  })

  it('says where a page ends', async () => {
    const results = Array.from({ length: 1000 }, (_, index) => ({ ...ann, row_number: index + 1 }))
    const answer = await send('DELETE', `/users?import_id=${id}`, { answers: { list_user_results: results } })
    expect(answer.body.next_after).toBe(1000)
  })
})

describe('GET /users', () => {
  it('lists page by page', async () => {
    const answers = { list_users: { users: [], next_after: null } }
    const answer = await send('GET', `/users?search=ann&after=ann@example.com&limit=5&org_id=${id}`, {
      answers,
    })
    expect(answer.calls).toEqual([
      ['list_users', { search: 'ann', after: 'ann@example.com', page_size: 5, org_id: id }],
    ])
    expect(answer).toMatchObject({ status: 200, body: { users: [] } })
  })
})

describe('errors', () => {
  it.each([
    ['POST', '/users', '{"users": 1}', 400, '22023'],
    ['POST', '/users', '{"users": ["ann@example.com"]}', 400, '22023'],
    ['POST', '/users', '{"user": {}}', 400, '22023'],
    ['POST', '/users', '{"users": [], "wait": 3}', 400, '22023'],
    ['POST', '/users', '{', 400, '22023'],
    ['POST', '/users', 'text', 415, 'PT415'],
    ['POST', '/users?wait=31', people, 400, '22023'],
    // Whatever could mean a dry run and is not understood must delete nobody.
    ['DELETE', `/users?import_id=${id}&dryrun=true`, undefined, 400, '22023'],
    ['DELETE', `/users?import_id=${id}&dry_run=1`, undefined, 400, '22023'],
    ['DELETE', `/users?import_id=${id}`, '{"dryRun": true}', 400, '22023'],
    ['DELETE', `/users?import_id=${id}`, '{"dry_run": "true"}', 400, '22023'],
    ['DELETE', `/users?import_id=${id}`, 'text', 415, 'PT415'],
    ['DELETE', '/users?ids=nobody', undefined, 400, '22023'],
    ['GET', '/users?limit=0', undefined, 400, '22023'],
    ['PATCH', '/users', undefined, 405, 'PT405'],
    ['GET', '/users/import', undefined, 405, 'PT405'],
    ['GET', `/users/${id}`, undefined, 404, 'PT404'],
  ])('%s %s %s: %i', async (method, path, body, status, code) => {
    const answer = await send(method, path, body === undefined ? {} : { body })
    expect(answer.status).toBe(status)
    expect(answer.body).toMatchObject({ code, message: expect.any(String) })
    expect(answer.calls).toEqual([])
  })

  it('passes on what the database refuses', async () => {
    const refusal = new Refusal(403, '42501', 'organization role required', null, 'Ask an admin.')
    const answer = await send('POST', '/users', { body: people, answers: { create_users: refusal } })
    expect(answer).toMatchObject({ status: 403, body: refusal.body })
  })
})
