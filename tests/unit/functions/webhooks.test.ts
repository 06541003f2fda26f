import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Refusal } from '../../../functions/_shared/refusal.ts'
import { sendWebhooks } from '../../../functions/worker/webhooks.ts'
import { type Nasty, startNasty } from '../../support/nasty.ts'

const token = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
let receiver: Nasty

beforeAll(async () => {
  receiver = await startNasty()
})
afterAll(() => receiver.stop())

/** Sends to these paths of the receiver, each the id of its delivery; says what was reported of each. */
async function send(paths: string[], isPrivateAllowed = true) {
  const reports: Record<string, unknown> = {}
  const answer = await sendWebhooks({ token }, async (rpc, args) => {
    if (rpc === 'take_webhook_deliveries') {
      expect(args).toEqual({ token })
      return paths.map((path) => ({
        id: path,
        url: `${receiver.url}/${path}`,
        headers: { 'content-type': 'application/json', 'webhook-id': path },
        body: '{"ü":1}',
        allow_private: isPrivateAllowed,
      }))
    }
    const { delivery_id, token: proof, ...report } = args
    expect([rpc, proof]).toEqual(['report_webhook_delivery', token])
    reports[String(delivery_id)] = JSON.parse(JSON.stringify(report))
    if (String(delivery_id).includes('taken-back')) throw new Refusal(409, 'PT409', 'it is over')
  })
  return { answer, reports }
}

describe('the route of webhooks', () => {
  it('posts what it is given as it is', async () => {
    const { answer, reports } = await send(['status?code=204'])
    expect(answer).toEqual({ sent: 1 })
    expect(reports).toEqual({ 'status?code=204': { response_status: 204 } })
    expect(receiver.received.at(-1)).toMatchObject({
      method: 'POST',
      body: '{"ü":1}',
      headers: {
        'content-type': 'application/json',
        'webhook-id': 'status?code=204',
        'user-agent': 'Sluice',
      },
    })
  })

  it('reports each, whatever becomes of the others', async () => {
    const { reports } = await send([
      'ok?taken-back',
      'hangs-up',
      'endless',
      'redirect?to=/ok',
      'status?code=500',
      'ok',
    ])
    expect(reports).toEqual({
      'ok?taken-back': { response_status: 200 },
      'hangs-up': {
        error: { code: 'broken_answer', message: 'answer is not valid', details: 'it breaks off' },
      },
      endless: { response_status: 200 },
      'redirect?to=/ok': { response_status: 302 },
      'status?code=500': { response_status: 500 },
      ok: { response_status: 200 },
    })
  })

  it.each([
    ['120', 120],
    ['0', 0],
    [new Date(Date.now() + 90_500).toUTCString(), expect.closeTo(90, -1)],
    [new Date(Date.now() - 90_000).toUTCString(), 0],
    ['99999999999', 86_400],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400],
    ['soon', undefined],
  ])('tells what is asked by Retry-After: %s', async (retry, retry_after_seconds) => {
    const path = `status?code=503&retry=${encodeURIComponent(retry)}`
    const { reports } = await send([path])
    expect(reports[path]).toMatchObject({ response_status: 503 })
    expect((reports[path] as Record<string, unknown>).retry_after_seconds).toEqual(retry_after_seconds)
  })

  it('goes to no private address where that is not allowed', async () => {
    receiver.received.length = 0
    expect((await send(['ok'], false)).reports).toMatchObject({ ok: { error: { code: 'address_refused' } } })
    expect(receiver.received).toEqual([])
  })

  it.each([null, {}, { token: 'x' }])('refuses the body %j', async (body) => {
    await expect(sendWebhooks(body, async () => [])).rejects.toMatchObject({ status: 400 })
  })
})
