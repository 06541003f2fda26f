import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Connection, Transaction } from '../../../functions/_shared/connection.ts'
import { openContent } from '../../../functions/_shared/upload/archive.ts'
import { receiveArchive } from '../../../functions/_shared/upload/archive-set.ts'
import { readParameters } from '../../../functions/_shared/upload/parameters.ts'
import { zip } from '../../../local/demo/zip.ts'
import { limits, type Refused } from '../../support/table.ts'

/** A database that makes sets and imports, and takes no rows. */
const db = async (rpc: string) => ({
  id: rpc === 'create_import_set' ? 'set' : 'import',
  status: 'receiving',
})
const connection: Connection = {
  transaction: (work) => work({ unsafe: async () => [] } as unknown as Transaction),
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('an archive', () => {
  it('is held to the limit by what its files unpack to, also when they are packed twice', async () => {
    const bomb = gzipSync('external_id,name\n'.padEnd(1_000_000, 'x'))
    const content = await openContent(whole(zip([{ name: 'customers.csv.gz', content: bomb }])), 1 << 20)
    if (!('entries' in content)) throw new Error('no archive')
    const { failure, imports } = await receiveArchive(
      {
        entries: content.entries,
        fileName: undefined,
        idempotency_key: undefined,
        parameters: readParameters({ dataset: 'customers' }),
        limits: { ...limits, max_request_bytes: 50_000 },
      },
      db,
      connection,
    )
    const { status, body } = (failure as { cause: Refused }).cause
    expect(status).toBe(413)
    expect(body.message).toBe('file is too large for a request')
    expect(body.details).toContain('customers.csv.gz: ')
    expect(imports).toHaveLength(1)
  })
})
