import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Refusal } from '../../../functions/_shared/refusal.ts'
import { workerOf } from '../../../functions/worker/app.ts'
import { TaskFailure, taskRoute, type Work } from '../../../functions/worker/task.ts'

const call = { task_id: 7, token: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' }

describe('the entry', () => {
  beforeAll(() => {
    vi.stubGlobal('WebSocket', class {}) // Node 20 has none, and supabase-js wants one.
    process.env.SUPABASE_URL = 'http://127.0.0.1:1'
    process.env.SUPABASE_PUBLISHABLE_KEYS = '{"default":"sb_publishable_test"}'
    process.env.SUPABASE_SECRET_KEYS = '{"default":"sb_secret_test"}'
    process.env.SUPABASE_JWKS = '{"keys":[]}'
  })

  afterAll(() => vi.unstubAllGlobals())

  async function send(method: string, path: string, headers: Record<string, string>, body?: string) {
    const worker = workerOf({ echo: async (received) => received })
    const response = await worker.fetch(new Request(`http://localhost${path}`, { method, headers, body }))
    return { status: response.status, body: await response.json() }
  }
  const secret = { apikey: 'sb_secret_test' }

  it.each<Record<string, string>>([
    {},
    { apikey: 'sb_publishable_test' },
    { authorization: 'Bearer nonsense' },
    { apikey: 'sb_secret_other' },
  ])('refuses %j in the shape of all errors', async (headers) => {
    const answer = await send('POST', '/functions/v1/worker/echo', headers, '{}')
    expect(answer).toEqual({
      status: 401,
      body: {
        code: expect.any(String),
        message: expect.any(String),
        details: null,
        hint: expect.anything(),
      },
    })
  })

  it.each(['/functions/v1/worker/echo', '/worker/echo/'])('takes the secret key at %s', async (path) => {
    expect(await send('POST', path, secret, '{"a":1}')).toEqual({ status: 200, body: { a: 1 } })
  })

  it.each([
    ['POST', '/worker/other', '{}', 404, 'route not found'],
    ['POST', '/worker/constructor', '{}', 404, 'route not found'],
    ['POST', '/worker', '{}', 404, 'route not found'],
    ['PUT', '/worker/echo', '{}', 405, 'method is not allowed'],
    ['POST', '/worker/echo', '{', 400, 'request is not valid'],
  ])('answers %s %s with %s by %i', async (method, path, body, status, message) => {
    expect(await send(method, path, secret, body)).toMatchObject({ status, body: { message } })
  })
})

describe('the route of a task', () => {
  /** Does a call with a database that tells of a task and takes reports; says what it was asked after that. */
  async function run(work: Work, answers: Record<string, unknown> = {}) {
    const calls: [string, Record<string, unknown>][] = []
    const answer = taskRoute(work)(call, async (rpc, args) => {
      calls.push([rpc, args])
      if (answers[rpc] instanceof Error) throw answers[rpc]
      return answers[rpc] ?? true
    })
    return { answer: await answer.catch((cause: unknown) => cause), calls: calls.slice(1), first: calls[0] }
  }

  it('asks for the task and reports the result', async () => {
    const done = await run(async (task) => ({ saw: task.job_type }), {
      get_worker_task: { job_type: 'probe' },
    })
    expect(done.first).toEqual(['get_worker_task', call])
    expect(done.calls).toEqual([['complete_worker_task', { ...call, result: { saw: 'probe' } }]])
    expect(done.answer).toEqual({ completed: true })
  })

  it('reports nothing where the work has done so itself', async () => {
    expect(await run(async () => undefined)).toMatchObject({ answer: { reported: true }, calls: [] })
  })

  it.each([
    [
      new TaskFailure('53400', 'too fast', { details: 'slow down', retryAfterSeconds: 9 }),
      { code: '53400', message: 'too fast', details: 'slow down', hint: null },
      9,
    ],
    [
      new Refusal(403, '42501', 'not yours'),
      { code: '42501', message: 'not yours', details: null, hint: null },
      undefined,
    ],
    [
      new Refusal(401, 'PGRST301', 'no'),
      { code: 'XX000', message: 'unexpected error', details: null, hint: expect.stringMatching(/log/) },
      undefined,
    ],
    [
      new Error('a password'),
      { code: 'XX000', message: 'unexpected error', details: null, hint: expect.stringMatching(/log/) },
      undefined,
    ],
  ])('reports %s', async (cause, error, retry_after_seconds) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { calls, answer } = await run(() => Promise.reject(cause))
    log.mockRestore()
    expect(calls).toEqual([['fail_worker_task', { ...call, error, retry_after_seconds }]])
    expect(answer).toEqual({ failed: error })
  })

  it('reports also what the task cannot be told for', async () => {
    const refusal = new Refusal(400, 'SY004', 'secret of the source is missing')
    const { calls } = await run(async () => 1, { get_worker_task: refusal })
    expect(calls).toMatchObject([
      ['fail_worker_task', { error: { code: 'SY004', message: 'secret of the source is missing' } }],
    ])
  })

  it('reports what is in another state than it should be', async () => {
    const refusal = new Refusal(409, 'PT409', 'template was deleted')
    const { calls } = await run(() => Promise.reject(refusal))
    expect(calls).toMatchObject([['fail_worker_task', { error: { code: 'PT409' } }]])
  })

  it.each(['call of the worker function is over', 'range was taken in before'])(
    'stops without a word: %s',
    async (message) => {
      const over = new Refusal(409, 'PT409', message)
      expect(await run(() => Promise.reject(over))).toMatchObject({ answer: over, calls: [] })
      expect(await run(async () => 1, { get_worker_task: over })).toMatchObject({ answer: over, calls: [] })
    },
  )

  it.each([null, {}, { task_id: '7', token: call.token }, { task_id: 7, token: 'x' }])(
    'refuses the body %j',
    async (body) => {
      const answer = taskRoute(async () => 1)(body, async () => null)
      await expect(answer).rejects.toMatchObject({ status: 400, body: { message: 'request is not valid' } })
    },
  )
})
