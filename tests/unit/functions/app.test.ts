import { describe, expect, it } from 'vitest'
import { Refusal } from '../../../functions/_shared/refusal.ts'
import { importsApp } from '../../../functions/imports/app.ts'
import { sendTo } from '../../support/app.ts'

const id = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const send = sendTo(importsApp(), { id, status: 'staged', columns: ['a'], job: null })

describe('routes', () => {
  it.each([
    ['GET', `/imports/${id}`, 'get_import', { import_id: id }, 200],
    ['GET', `/functions/v1/imports/${id}/`, 'get_import', { import_id: id }, 200],
    [
      'GET',
      '/imports?dataset=customers&limit=5',
      'list_imports',
      { dataset: 'customers', page_size: 5 },
      200,
    ],
    ['POST', `/imports/${id}/validate`, 'validate_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/commit`, 'commit_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/validate?force=true`, 'validate_import', { import_id: id, force: true }, 202],
    ['POST', `/imports/${id}/pause`, 'pause_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/resume`, 'resume_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/retry`, 'retry_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/commit?dry_run=counts`, 'preview_import', { import_id: id, full: false }, 202],
    ['POST', `/imports/${id}/commit?dry_run=full`, 'preview_import', { import_id: id, full: true }, 202],
    ['GET', `/imports/${id}/preview`, 'get_import_preview', { import_id: id }, 200],
    ['POST', `/imports/${id}/cancel`, 'cancel_import', { import_id: id }, 202],
    ['GET', `/imports/sets/${id}`, 'get_import_set', { set_id: id }, 200],
    ['POST', `/imports/sets/${id}/run`, 'run_import_set', { set_id: id }, 202],
    [
      'POST',
      `/imports/sets/${id}/run?commit=false&force=true`,
      'run_import_set',
      { set_id: id, commit: false, force: true },
      202,
    ],
    ['POST', `/imports/${id}/undo`, 'undo_import', { import_id: id }, 202],
    ['POST', `/imports/${id}/undo?dry_run=true`, 'undo_import', { import_id: id, dry_run: true }, 202],
    [
      'GET',
      `/imports/${id}/rows?status=failed&after=7&limit=2`,
      'list_import_rows',
      { import_id: id, status: 'failed', after_row: 7, page_size: 2 },
      200,
    ],
    [
      'GET',
      `/imports/${id}/issues?code=required&severity=error&after=3`,
      'list_import_issues',
      { import_id: id, code: 'required', severity: 'error', after_id: 3 },
      200,
    ],
  ])('%s %s calls %s', async (method, path, rpc, args, status) => {
    const answer = await send(method, path)
    expect(answer.calls).toEqual([[rpc, args]])
    expect(answer.status).toBe(status)
  })

  it('PATCH sets what it is given', async () => {
    const change = {
      mapping: { name: 'Name', email: { column: 'Mail', transforms: ['trim'] }, notes: null },
      options: { blank: 'clear' },
      template_id: id,
      depends_on: [id],
    }
    const answer = await send('PATCH', `/imports/${id}`, { body: JSON.stringify(change) })
    expect(answer.calls).toEqual([['set_import_mapping', { import_id: id, ...change }]])
    expect(answer.status).toBe(200)
  })

  it('wait answers with the import when the work is done', async () => {
    const documents = [
      { id, status: 'validating', job: { status: 'running' } },
      { id, status: 'validated', job: { status: 'completed' } },
    ]
    const answers = {
      get get_import() {
        return documents.length > 1 ? documents.shift() : documents[0]
      },
    }
    const done = await send('POST', `/imports/${id}/validate?wait=5`, { answers })
    expect(done).toMatchObject({ status: 200, body: { status: 'validated' } })
    const stillRunning = { get_import: { id, status: 'committing', job: { status: 'running' } } }
    const late = await send('POST', `/imports/${id}/commit?wait=0.3`, { answers: stillRunning })
    expect(late).toMatchObject({ status: 202, body: { status: 'committing' } })
  })

  it('wait is for the work, also where that leaves the import as it was', async () => {
    const documents = [
      { id, status: 'completed', job: { status: 'running' } },
      { id, status: 'completed', job: { status: 'completed' } },
    ]
    const answers = {
      get get_import() {
        return documents.length > 1 ? documents.shift() : documents[0]
      },
    }
    const done = await send('POST', `/imports/${id}/undo?dry_run=true&wait=5`, { answers })
    expect(done).toMatchObject({ status: 200, body: { job: { status: 'completed' } } })
    expect(done.calls.map(([rpc]) => rpc)).toEqual(['undo_import', 'get_import', 'get_import'])
  })
})

describe('errors', () => {
  const shape = { code: expect.any(String), message: expect.any(String) }

  it.each([
    ['GET', '/imports/not-an-id', undefined, 400, '22023'],
    ['GET', '/imports?limit=0', undefined, 400, '22023'],
    ['POST', `/imports/${id}/commit?wait=31`, undefined, 400, '22023'],
    ['POST', `/imports/${id}/commit?dry_run=true`, undefined, 400, '22023'],
    ['POST', `/imports/${id}/undo?dry_run=1`, undefined, 400, '22023'],
    ['PATCH', `/imports/${id}`, '{"mapping": 1}', 400, '22023'],
    ['PATCH', `/imports/${id}`, '{"unknown": 1}', 400, '22023'],
    ['PATCH', `/imports/${id}`, '{', 400, '22023'],
    ['PATCH', `/imports/${id}`, 'text', 415, 'PT415'],
    ['GET', '/elsewhere', undefined, 404, 'PT404'],
    ['GET', `/imports/${id}/nothing`, undefined, 404, 'PT404'],
    ['DELETE', `/imports/${id}`, undefined, 405, 'PT405'],
    ['GET', `/imports/${id}/commit`, undefined, 405, 'PT405'],
  ])('%s %s %s: %i', async (method, path, body, status, code) => {
    const answer = await send(method, path, body === undefined ? {} : { body })
    expect(answer.status).toBe(status)
    expect(answer.body).toMatchObject({ ...shape, code })
    expect(Object.keys(answer.body).sort()).toEqual(['code', 'details', 'hint', 'message'])
    expect(answer.calls).toEqual([])
  })

  it('passes on what the database refuses', async () => {
    const refusal = new Refusal(409, 'PT409', 'wrong state', 'import is completed', 'Start a new import.')
    const answer = await send('POST', `/imports/${id}/commit`, { answers: { commit_import: refusal } })
    expect(answer.status).toBe(409)
    expect(answer.body).toEqual({
      code: 'PT409',
      message: 'wrong state',
      details: 'import is completed',
      hint: 'Start a new import.',
    })
  })

  it('says nothing of what nobody foresaw', async () => {
    const { error } = console
    console.error = () => {}
    const answer = await send('GET', `/imports/${id}`, {
      answers: { get_import: new Error('password=secret') },
    })
    console.error = error
    expect(answer.status).toBe(500)
    expect(answer.body).toEqual({ code: 'XX000', message: 'unexpected error', details: null, hint: null })
  })
})
