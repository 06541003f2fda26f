import { createClient } from '@supabase/supabase-js'
import { countRows, type Person } from '../../local/demo/api.ts'
import type { Endpoint } from '../../local/demo/endpoint.ts'
import { record } from './file.ts'

const batchSize = 1000

/**
 * How many milliseconds supabase-js needs to insert so many customers in batches of 1,000, one after the other, as a
 * person under row level security. Nothing is validated but what the table refuses. The rows are made outside the time.
 */
export async function timeInserts(
  at: Endpoint,
  person: Person,
  rows: number,
  progress: (done: number) => void,
): Promise<number> {
  const client = createClient(at.url, at.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { authorization: `Bearer ${person.token}` } },
    realtime: { transport: NoWebSocket as unknown as typeof WebSocket }, // Node 20 has none.
  })
  let taken = 0
  for (let done = 0; done < rows; done += batchSize) {
    const size = Math.min(batchSize, rows - done)
    const batch = Array.from({ length: size }, (_, index) => ({
      ...record(done + index + 1),
      org_id: person.organizationId,
    }))
    const began = performance.now()
    const { error } = await client.from('customers').insert(batch)
    taken += performance.now() - began
    if (error) throw new Error(`supabase-js: ${error.message} (${error.code})`)
    progress(done + size)
  }
  const found = await countRows(at, person, 'customers')
  if (found !== rows) throw new Error(`supabase-js inserted ${found} rows in place of ${rows}`)
  return taken
}

class NoWebSocket {}
