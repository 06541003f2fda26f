import { afterEach, beforeAll, expect, it, vi } from 'vitest'
import { sendInvitations } from '../../../functions/worker/invitations.ts'

const token = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const people = ['ann@example.com', 'bob@example.com'].map((email, n) => ({ user_id: `id-${n}`, email }))

beforeAll(() => {
  process.env.SUPABASE_URL = 'http://auth.test'
  process.env.SUPABASE_SECRET_KEYS = '{"default":"sb_secret_test"}'
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

/** Sends invitations with a database that has so many people, and an auth service that says this; what each was told. */
async function send(count: number, says: () => Promise<Response>) {
  const told: Record<string, unknown>[] = []
  const asked: [string, RequestInit][] = []
  vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
    asked.push([url, init])
    return says()
  })
  const waiting = people.slice(0, count)
  const answer = await sendInvitations({ token }, async (rpc, args) => {
    expect([rpc, args.token]).toEqual(['next_invitation', token])
    told.push(args.outcome as Record<string, unknown>)
    return waiting.shift() ?? null
  })
  return { answer, told, asked }
}

it('asks the auth service for one person after the other, with the secret key', async () => {
  const { answer, told, asked } = await send(2, async () => Response.json({ id: 'x' }))
  expect(answer).toEqual({ asked: 2 })
  expect(told).toEqual([undefined, { user_id: 'id-0', status: 200 }, { user_id: 'id-1', status: 200 }])
  expect(asked.map(([url, init]) => [url, init.method, init.body])).toEqual(
    people.map(({ email }) => ['http://auth.test/auth/v1/invite', 'POST', JSON.stringify({ email })]),
  )
  expect(asked[0]?.[1].headers).toMatchObject({ apikey: 'sb_secret_test' })
})

it('asks nobody when there is nobody', async () => {
  expect(await send(0, () => Promise.reject(new Error('asked')))).toMatchObject({
    answer: { asked: 0 },
    told: [undefined],
  })
})

const inAMinute = new Date(Date.now() + 60_000).toUTCString()
it.each([
  [
    422,
    '{"code":422,"error_code":"email_exists","msg":"registered"}',
    {},
    { code: 'email_exists', message: 'registered' },
  ],
  [400, '{"code":400,"msg":"older"}', {}, { code: undefined, message: 'older' }],
  [
    429,
    '{"error_code":"over_email_send_rate_limit","msg":"limit"}',
    { 'retry-after': '90' },
    { retry_after_seconds: 90 },
  ],
  [
    429,
    'slow down',
    { 'retry-after': inAMinute },
    { retry_after_seconds: expect.toSatisfy((n: number) => n > 50 && n <= 60) },
  ],
  [429, '', { 'retry-after': 'soon' }, { retry_after_seconds: undefined }],
  [429, '', { 'retry-after': '99999999' }, { retry_after_seconds: 86_400 }],
  [502, '<html>', {}, { code: undefined, message: undefined }],
  [500, '[]', {}, { code: undefined, message: undefined }],
  [500, 'null', {}, { code: undefined, message: undefined }],
])('tells what it says: %i %s %j', async (status, text, headers, outcome) => {
  const { told } = await send(1, async () => new Response(text, { status, headers: headers as HeadersInit }))
  expect(told[1]).toMatchObject({ user_id: 'id-0', status })
  for (const [name, value] of Object.entries(outcome)) expect(told[1]?.[name]).toEqual(value)
})

it('tells that there was no answer', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const { told } = await send(1, () => Promise.reject(new TypeError('connection refused')))
  expect(told[1]).toEqual({ user_id: 'id-0', status: 0, message: 'auth service did not answer' })
})

it.each([null, {}, { token: 'x' }])('refuses the body %j', async (body) => {
  await expect(sendInvitations(body, async () => null)).rejects.toMatchObject({ status: 400 })
})
