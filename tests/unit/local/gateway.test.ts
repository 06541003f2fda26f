import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { statusOf } from '../../../local/gateway/errors.ts'
import { uncorrected } from '../../../local/gateway/library.ts'
import type { Stack } from '../../../local/stack.ts'
import { startTemporaryStack } from '../../../local/temporary-stack.ts'
import { eventually } from '../../support/eventually.ts'
import { linkIn, mailsTo } from '../../support/mails.ts'
import { project, withSql } from './fixture.ts'

// One test for each correction of the gateway library. It fails when the correction no longer works, and also when
// the library has become right by itself and the correction can go.

type Ask = (path: string, init?: RequestInit) => Promise<Response>

const keys = {
  jwtSecret: 'super-secret-jwt-token-with-at-least-32-characters-long',
  publishableKey: 'sb_publishable_local',
  secretKey: 'sb_secret_local',
}
let stack: Stack
let otherStack: Stack
let corrected: Ask
let plain: Ask
let closePlain: () => Promise<void>

beforeAll(async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {}) // The library prints each error that it answers with.
  // The uncorrected library changes grants and functions of its database, so that it gets one of its own.
  ;[stack, otherStack] = await Promise.all([
    startTemporaryStack({ project }),
    startTemporaryStack({ project }),
  ])
  corrected = (path, init) => fetch(`${stack.url}${path}`, init)

  const { app, connection } = uncorrected(otherStack.adminDatabaseUrl, keys, otherStack.dataDir)
  await app.init()
  await app.ensureSystemSchema()
  plain = async (path, init) =>
    app.fetch(new Request(`${otherStack.url}${path}`, init), { peerAddress: null })
  closePlain = () => connection.driver.end({ timeout: 0 })
})

afterAll(async () => {
  await closePlain?.()
  await Promise.all([stack?.stop(), otherStack?.stop()])
})

async function rpc(ask: Ask, name: string, body: object = {}, key = keys.publishableKey): Promise<Response> {
  const headers = { apikey: key, 'content-type': 'application/json' }
  return ask(`/rest/v1/rpc/${name}`, { method: 'POST', headers, body: JSON.stringify(body) })
}

async function result(
  ask: Ask,
  name: string,
  body: object = {},
  key = keys.publishableKey,
): Promise<unknown> {
  return (await rpc(ask, name, body, key)).json()
}

async function signUp(ask: Ask, email: string): Promise<string> {
  const headers = { apikey: keys.publishableKey, 'content-type': 'application/json' }
  const body = JSON.stringify({ email, password: 'a long password' })
  const session = (await (await ask('/auth/v1/signup', { method: 'POST', headers, body })).json()) as Session
  return session.access_token
}

type Session = { access_token: string }

/** What the corrected stack must say; the library alone must not. */
async function expectCorrected(read: (ask: Ask) => Promise<unknown>, wanted: unknown): Promise<void> {
  expect(await read(corrected)).toEqual(wanted)
  expect(await read(plain), 'the library does it by itself now').not.toEqual(wanted)
}

describe('the corrections', () => {
  it('leaves the grants as the migrations made them', async () => {
    const openToAnon = async (ask: Ask, url: string) => {
      await rpc(ask, 'integer_scalar')
      return withSql(url, async (sql) => {
        const [row] = await sql`select has_table_privilege('anon', 'public.shut', 'select') as open`
        return row?.open
      })
    }
    expect(await openToAnon(corrected, stack.adminDatabaseUrl)).toBe(false)
    expect(await openToAnon(plain, otherStack.adminDatabaseUrl), 'the library does it by itself now').toBe(
      true,
    )
  })

  it('takes the caller’s role also when no table has row level security', async () => {
    const bare = await startTemporaryStack({ project: import.meta.dirname })
    const { app, connection } = uncorrected(bare.adminDatabaseUrl, keys, bare.dataDir)
    try {
      await app.init()
      await withSql(
        bare.databaseUrl,
        (sql) => sql`create function public.me() returns text language sql as 'select current_user::text'`,
      )
      await eventually(async () => {
        return (await result((route, init) => fetch(`${bare.url}${route}`, init), 'me')) === 'anon'
      })
      // auth and storage have row level security: without them the library finds none.
      await withSql(bare.adminDatabaseUrl, (sql) => sql`drop schema auth, storage cascade`)
      const ask: Ask = async (route, init) =>
        app.fetch(new Request(`${bare.url}${route}`, init), { peerAddress: null })
      expect(await result(ask, 'me'), 'the library does it by itself now').not.toBe('anon')
    } finally {
      await connection.driver.end({ timeout: 0 })
      await bare.stop()
    }
  })

  it('hands jsonb arguments over as they were sent', async () => {
    const doc = { a: 1, b: [null, 'x', { c: 'ä' }] }
    await expectCorrected(
      async (ask) => {
        const echoed = (await result(ask, 'echo', { doc })) as { doc: unknown; doc_type: string }
        return [echoed.doc, echoed.doc_type]
      },
      [doc, 'object'],
    )
  })

  it.each([
    ['an array', [1, { a: 2 }]],
    ['a string', 'word'],
    ['a number', 5],
    ['a boolean', true],
    ['null', null],
  ])('hands %s over as jsonb', async (_name, doc) => {
    expect(await result(corrected, 'echo', { doc })).toMatchObject({ doc })
  })

  it('hands arrays, enums, numbers, times and booleans over', async () => {
    const sent = { words: ['a', 'b c', 'q"uo,te', null], feeling: 'happy', amount: 1.5, flag: false }
    const echoed = await result(corrected, 'echo', { ...sent, at: '2026-01-02T04:04:05+01:00' })
    expect(echoed).toMatchObject({ ...sent, at: '2026-01-02T03:04:05+00:00' })
    expect(await result(corrected, 'echo', { words: [] })).toMatchObject({ words: [] })
  })

  it('gives numeric as a number and times in ISO 8601', async () => {
    await expectCorrected(
      async (ask) => {
        const [row] = (await result(ask, 'typed_rows')) as { price: unknown; noted_at: unknown }[]
        return [row?.price, row?.noted_at]
      },
      [1.5, '2026-01-02T03:04:05.123456+00:00'],
    )
  })

  it('gives scalars, sets and nothing as PostgREST does', async () => {
    expect(await result(corrected, 'integer_scalar')).toBe(42)
    expect(await result(corrected, 'jsonb_text')).toBe('word')
    expect(await result(corrected, 'jsonb_array')).toEqual([1, { b: 2 }])
    expect(await result(corrected, 'jsonb_null')).toBe(null)
    expect(await result(corrected, 'jsonb_set_of')).toEqual([{ n: 1 }, 2])
    expect(await result(corrected, 'note_set', {}, keys.secretKey)).toEqual([])
    expect((await rpc(corrected, 'nothing')).status).toBe(204)
  })

  it.each([
    ['P0001', 400],
    ['P0002', 500],
    ['28000', 403],
    ['40001', 500],
    ['57014', 500],
  ])('answers SQLSTATE %s as PostgREST does', async (code, status) => {
    const body = { code, message: 'it failed', detail: 'because', hint: 'do so' }
    const wanted = [status, { code, message: 'it failed', details: 'because', hint: 'do so' }]
    await expectCorrected(async (ask) => {
      const response = await rpc(ask, 'fail', body)
      return [response.status, await response.json().catch(() => undefined)]
    }, wanted)
  })

  it('keeps the hint of a violated constraint', async () => {
    await expectCorrected(
      async (ask) =>
        (await result(ask, 'fail', { code: '23505', detail: 'because', hint: 'do so' })) as object,
      { code: '23505', message: 'it failed', details: 'because', hint: 'do so' },
    )
  })

  it.each([
    ['PT404', 404],
    ['PT409', 409],
    ['PT422', 422],
    ['22023', 400],
    ['23503', 409],
    ['23514', 400],
    ['42P01', 404],
    ['IM001', 400],
    ['55P03', 500],
    ['42501', 401],
  ])('answers SQLSTATE %s to nobody in particular with %i', async (code, status) => {
    const response = await rpc(corrected, 'fail', { code, detail: 'because', hint: 'do so' })
    expect([response.status, await response.json()]).toEqual([
      status,
      { code, message: 'it failed', details: 'because', hint: 'do so' },
    ])
  })

  it('answers a missing right with 403 to somebody known', async () => {
    expect((await rpc(corrected, 'fail', { code: '42501' }, keys.secretKey)).status).toBe(403)
  })

  it('sets the time limits of the caller’s role', async () => {
    await expectCorrected(
      async (ask) => ((await result(ask, 'claims')) as { statement_timeout: string }).statement_timeout,
      '3s',
    )
    expect(await result(corrected, 'claims', {}, keys.secretKey)).toMatchObject({
      role: 'service_role',
      statement_timeout: '8s',
      lock_timeout: '8s',
    })
  })

  it('sets the claims of callers without a token', async () => {
    expect(await result(corrected, 'claims')).toMatchObject({
      jwt: { role: 'anon' },
      user: 'anon',
      uid: null,
    })
  })

  it('lets auth.uid() read request.jwt.claims', async () => {
    const uidOf = (url: string) =>
      withSql(url, (sql) =>
        sql.begin(async (transaction) => {
          await transaction`
            select set_config('request.jwt.claims', '{"sub":"11111111-1111-4111-8111-111111111111"}', true)`
          const [row] = await transaction`select auth.uid() as uid`
          return row?.uid
        }),
      )
    expect(await uidOf(stack.databaseUrl)).toBe('11111111-1111-4111-8111-111111111111')
    expect(await uidOf(otherStack.adminDatabaseUrl), 'the library does it by itself now').toBe(null)
  })

  it('signs tokens with the key’s name and the claims of hosted ones', async () => {
    await expectCorrected(
      async (ask) => {
        const token = await signUp(ask, `${crypto.randomUUID()}@example.com`)
        const { aal, app_metadata: metadata, is_anonymous: isAnonymous } = decodeJwt(token)
        return {
          kid: decodeProtectedHeader(token).kid,
          aal,
          provider: (metadata as Metadata)?.provider,
          isAnonymous,
        }
      },
      { kid: 'local', aal: 'aal1', provider: 'email', isAnonymous: false },
    )
  })

  it('invites, and verifies who is invited', async () => {
    const email = `${crypto.randomUUID()}@example.com`
    const invite = (ask: Ask, headers: Record<string, string>, address = email) =>
      ask('/auth/v1/invite', { method: 'POST', headers, body: JSON.stringify({ email: address }) })
    const secret = { apikey: keys.secretKey }
    await expectCorrected(async (ask) => (await invite(ask, secret)).status, 200)
    expect((await invite(corrected, secret)).status, 'again, while it is not confirmed').toBe(200)
    expect((await invite(corrected, { apikey: keys.publishableKey })).status).toBe(403)
    expect((await invite(corrected, {})).status).toBe(401)
    expect((await invite(corrected, secret, 'nobody')).status).toBe(400)

    const mails = mailsTo(stack, email)
    const [outdated, link] = mails.map(linkIn) as [string, string]
    const follow = async (href: string) =>
      (await fetch(href, { redirect: 'manual' })).headers.get('location') ?? ''
    expect(await follow(outdated)).toMatch(/#error=access_denied&error_code=otp_expired&/)
    const location = await follow(link.replace(/redirect_to=.*/, 'redirect_to=https%3A%2F%2Fevil.example'))
    expect(location.startsWith(`${stack.url}#access_token=`)).toBe(true)
    const token = new URLSearchParams(location.split('#')[1]).get('access_token') ?? ''
    expect(decodeProtectedHeader(token).kid).toBe('local')
    const refused = await invite(corrected, secret)
    expect([refused.status, await refused.json()]).toMatchObject([422, { error_code: 'email_exists' }])
  })

  it('puts mails into a folder', async () => {
    const email = `${crypto.randomUUID()}@example.com`
    await signUp(corrected, email)
    const headers = { apikey: keys.publishableKey, 'content-type': 'application/json' }
    await corrected('/auth/v1/recover', { method: 'POST', headers, body: JSON.stringify({ email }) })
    const [mail] = mailsTo(stack, email)
    expect(linkIn(mail)).toMatch(`${stack.url}/auth/v1/verify?token=`)
  })

  it('sees what is created after the start', async () => {
    await Promise.all(
      [stack, otherStack].map(({ databaseUrl }) =>
        withSql(
          databaseUrl,
          (sql) => sql`create function public.brand_new() returns integer language sql as 'select 7'`,
        ),
      ),
    )
    await eventually(async () => (await result(corrected, 'brand_new')) === 7, 3_000)
    expect((await rpc(plain, 'brand_new')).status, 'the library does it by itself now').toBe(404)
  })

  it('keeps the routes closed that show the database’s password', async () => {
    expect((await corrected('/_system/info')).status).toBe(404)
    expect((await corrected('/')).status).toBe(404)
  })

  it('stores and gives back what supabase-js sends as a form, whole, in part and by signed URLs', async () => {
    const bucket = { id: 'files', name: 'files', public: false }
    const read = async (ask: Ask) => {
      const headers = { apikey: keys.secretKey, authorization: `Bearer ${keys.secretKey}` }
      const json = { ...headers, 'content-type': 'application/json' }
      await ask('/storage/v1/bucket', { method: 'POST', headers: json, body: JSON.stringify(bucket) })
      const form = new FormData()
      form.append('cacheControl', '3600')
      form.append('', new Blob(['a,b\n1,2\n'], { type: 'text/csv' }))
      const sent = await ask('/storage/v1/object/files/some/x.csv', { method: 'POST', headers, body: form })
      const signing = await ask('/storage/v1/object/sign/files/some/x.csv', {
        method: 'POST',
        headers: json,
        body: JSON.stringify({ expiresIn: 60 }),
      })
      const { signedURL } = (await signing.json()) as { signedURL?: string }
      const signed = signedURL ? await (await ask(`/storage/v1${signedURL}`)).text() : undefined
      const placing = await ask('/storage/v1/object/upload/sign/files/some/y.csv', {
        method: 'POST',
        headers,
      })
      const { url } = (await placing.json()) as { url?: string }
      const placed = url ? await ask(`/storage/v1${url}`, { method: 'PUT', body: 'a\n1\n' }) : undefined
      return { sent: sent.status, signed, placed: placed?.status }
    }
    await expectCorrected(read, { sent: 200, signed: 'a,b\n1,2\n', placed: 200 })

    const headers = { apikey: keys.secretKey, authorization: `Bearer ${keys.secretKey}`, range: 'bytes=4-6' }
    const part = await corrected('/storage/v1/object/files/some/x.csv', { headers })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      'bytes 4-6/8',
      '1,2',
    ])
    const end = await corrected('/storage/v1/object/files/some/x.csv', {
      headers: { ...headers, range: 'bytes=-4' },
    })
    expect([end.status, await end.text()]).toEqual([206, '1,2\n'])
    const beyond = await corrected('/storage/v1/object/files/some/x.csv', {
      headers: { ...headers, range: 'bytes=8-' },
    })
    expect(beyond.status).toBe(416)
  })
})

type Metadata = { provider?: string } | undefined

describe('tables under row level security', () => {
  it('are read, filtered, written and counted as their owner', async () => {
    const token = await signUp(corrected, `${crypto.randomUUID()}@example.com`)
    const headers = {
      apikey: keys.publishableKey,
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      prefer: 'return=representation',
    }
    const notes = [
      { title: 'a', price: 1.5, facts: { x: 'y' }, tags: ['t', 'u v'], mood: 'ok' },
      { title: 'b' },
    ]
    const made = await corrected('/rest/v1/notes?columns=title,price,facts,tags,mood', {
      method: 'POST',
      headers,
      body: JSON.stringify(notes),
    })
    expect([made.status, await made.json()]).toMatchObject([201, notes])

    const query = 'select=title,x:facts->>x&price=gte.1&order=title.desc&limit=5'
    const read = await corrected(`/rest/v1/notes?${query}`, {
      headers: { ...headers, prefer: 'count=exact' },
    })
    expect(await read.json()).toEqual([{ title: 'a', x: 'y' }])
    expect(read.headers.get('content-range')).toBe('0-0/1')

    const stranger = await signUp(corrected, `${crypto.randomUUID()}@example.com`)
    const others = await corrected('/rest/v1/notes', {
      headers: { ...headers, authorization: `Bearer ${stranger}` },
    })
    expect(await others.json()).toEqual([])
    const nobody = await corrected('/rest/v1/notes', { headers: { apikey: keys.publishableKey } })
    expect(nobody.status).toBe(401)
  })
})

describe('the way to the functions', () => {
  it('leads to the function that the path names', async () => {
    const response = await corrected('/functions/v1/probe/some/where?q=1', { method: 'PUT', body: 'x' })
    expect(await response.json()).toEqual({
      url: `${stack.url}/functions/v1/probe/some/where?q=1`,
      method: 'PUT',
    })
    expect((await corrected('/functions/v1/nothing')).status).toBe(404)
    expect((await corrected('/functions/v1/..%2fprobe')).status).toBe(404)
  })

  it('gives the functions what the platform gives', async () => {
    expect(await (await corrected('/functions/v1/probe/environment')).json()).toEqual({
      SUPABASE_URL: stack.url,
      SUPABASE_DB_URL: stack.databaseUrl,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    })
  })

  it('streams: what one end does not read, the other does not send', async () => {
    const request = http.request(`${stack.url}/functions/v1/probe/stall`, { method: 'POST' })
    request.on('error', () => {}) // It is broken off below.
    const chunk = Buffer.alloc(64 * 1024)
    let sent = 0
    const send = () => {
      do sent += chunk.length
      while (request.write(chunk) && sent < 64 * 1024 * 1024)
    }
    request.on('drain', send)
    send()
    let before = 0
    await eventually(async () => {
      await new Promise((settle) => setTimeout(settle, 300))
      const isHeldBack = sent === before
      before = sent
      return isHeldBack
    })
    expect(sent).toBeLessThan(32 * 1024 * 1024)

    request.destroy()
    // The function finds the body broken off, not ended.
    await eventually(async () => (await (await corrected('/functions/v1/probe/broken')).json()) === 1, 5_000)
  })

  it('passes on at once what a function says, and tells it when nobody listens any more', async () => {
    const listening = new AbortController()
    const response = await corrected('/functions/v1/probe/stream', { signal: listening.signal })
    const { value } = (await response.body?.getReader().read()) ?? {}
    expect(new TextDecoder().decode(value)).toBe('here')
    expect(await (await corrected('/functions/v1/probe/lost')).json()).toBe(0)
    listening.abort()
    await eventually(async () => (await (await corrected('/functions/v1/probe/lost')).json()) === 1, 5_000)
  })

  it('carries a body whole', async () => {
    const body = new Uint8Array(3_000_001).fill(7)
    const response = await corrected('/functions/v1/probe/count', { method: 'POST', body })
    expect(await response.json()).toEqual({ bytes: body.length })
  })
})

describe('requests from the database', () => {
  it('are sent once, after the commit, and their answers kept', async () => {
    const bodies: string[] = []
    const server = http.createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      bodies.push(`${request.method} ${request.headers['content-type']} ${body}`)
      response.writeHead(418, { 'content-type': 'text/plain' }).end('short and stout')
    })
    await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    try {
      await withSql(stack.databaseUrl, async (sql) => {
        await sql
          .begin(async (transaction) => {
            await transaction`select net.http_post(${url}, '{"rolled": "back"}'::jsonb)`
            throw new Error('no')
          })
          .catch(() => {})
        const [row] = await sql`select net.http_post(${url}, '{"hello": "world"}'::jsonb) as id`
        const answer = await eventually(async () => {
          const [found] =
            await sql`select status_code, content, timed_out from net._http_response where id = ${row?.id}`
          return found
        })
        expect(answer).toEqual({ status_code: 418, content: 'short and stout', timed_out: false })
        expect(bodies).toEqual(['POST application/json {"hello": "world"}'])
      })
    } finally {
      server.close()
    }
  })

  it('that fail are noted', async () => {
    await withSql(stack.databaseUrl, async (sql) => {
      const [row] = await sql`select net.http_get('http://127.0.0.1:9/') as id`
      const answer = await eventually(async () => {
        const [found] = await sql`select status_code, error_msg from net._http_response where id = ${row?.id}`
        return found
      })
      expect(answer).toMatchObject({ status_code: null, error_msg: expect.stringMatching(/./) })
    })
  })
})

describe('statusOf', () => {
  it.each([
    ['08006', 503],
    ['53300', 503],
    ['53400', 500],
    ['25006', 405],
    ['42883', 404],
    ['42P17', 500],
    ['0LP01', 403],
    ['54001', 500],
    ['XX000', 500],
    ['22P02', 400],
  ])('%s is %i', (code, status) => {
    expect(statusOf(code, false)).toBe(status)
  })
})
