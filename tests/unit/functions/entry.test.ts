import { beforeAll, describe, expect, it } from 'vitest'

type Entry = { fetch(request: Request): Promise<Response> }
const entries: Record<string, Entry> = {}

beforeAll(async () => {
  process.env.SUPABASE_URL = 'http://127.0.0.1:1'
  process.env.SUPABASE_PUBLISHABLE_KEYS = '{"default":"sb_publishable_test"}'
  process.env.SUPABASE_SECRET_KEYS = '{"default":"sb_secret_test"}'
  process.env.SUPABASE_JWKS = '{"keys":[]}'
  entries.imports = (await import('../../../functions/imports/index.ts')).default
  entries.users = (await import('../../../functions/users/index.ts')).default
})

describe.each(['imports', 'users'])('the entry of %s', (name) => {
  const send = (path: string, init?: RequestInit) =>
    (entries[name] as Entry).fetch(new Request(`http://localhost${path}`, init))

  it.each<Record<string, string>>([
    {},
    { apikey: 'sb_publishable_test' },
    { authorization: 'Bearer nonsense' },
  ])('refuses %j in the shape of all errors', async (headers) => {
    const response = await send(`/functions/v1/${name}`, { headers })
    expect(response.status).toBe(401)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(await response.json()).toEqual({
      code: expect.any(String),
      message: expect.any(String),
      details: null,
      hint: expect.anything(),
    })
  })

  it.each([`/functions/v1/${name}/openapi.json`, `/${name}/openapi.json`])(
    'describes itself at %s',
    async (path) => {
      const response = await send(path)
      expect(response.status).toBe(200)
      expect(await response.json()).toMatchObject({ openapi: '3.1.0' })
    },
  )

  it('answers a preflight, its own headers included', async () => {
    const response = await send(`/${name}`, { method: 'OPTIONS' })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-headers')).toMatch(/idempotency-key, last-event-id/)
  })
})
