import { afterEach, expect, it, vi } from 'vitest'
import { fetchSource } from '../../../functions/worker/fetch.ts'
import { openShop } from '../../support/shop.ts'

afterEach(() => void vi.restoreAllMocks())

it('page after page without a record is no source', async () => {
  const shop = await openShop()
  shop.serve('/empty', (url) => {
    const page = Number(url.searchParams.get('page') ?? 0)
    return { body: `{"rows": [], "next": ${page + 1}}` }
  })
  let now = performance.now()
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 1_000
    return now
  })
  const work = {
    kind: 'http_json',
    location: `${shop.url}/empty`,
    headers: {},
    conditions: {},
    options: { path: 'rows', cursor: 'next', cursor_parameter: 'page' },
    allow_private: true,
    limits: { max_request_bytes: 1_000, max_object_bytes: 1_000_000 },
    max_pages: 10_000,
    state: null,
    is_staged: false,
  }
  const call = { task_id: 1, token: '00000000-0000-4000-8000-000000000000' }
  const answer = await fetchSource(call, async (rpc) => (rpc === 'get_worker_task' ? { work } : null))
  await shop.stop()
  expect(answer).toMatchObject({ failed: { code: 'SY003', message: 'source does not end' } })
  expect(shop.asked.length).toBeLessThan(100)
})
