import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Stack } from '../../local/stack.ts'
import { commit, getImport, makeOrganization, settled, stageImport, validate } from '../support/imports.ts'
import { startTestStack } from '../support/stack.ts'
import { crash as crashServer, strike } from '../support/strikes.ts'
import { failedAttempts, setChunkRows } from '../support/targets.ts'

// Whatever is killed in the middle of a chunk of people: each is there whole, once, or not at all.

const rowCount = 2000
let stack: Stack
let sql: Sql

beforeAll(async () => {
  stack = await startTestStack()
  sql = connect()
  await sql`update public.sync_retry_policy set max_attempts = 100, base_delay = '50 milliseconds'`
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await stack?.stop()
})

function connect(): Sql {
  return postgres(stack.databaseUrl, { max: 2, prepare: false, connect_timeout: 5, onnotice: () => {} })
}

const terminate = (pid: number) => sql`select pg_terminate_backend(${pid})`
// The server takes every other backend down with it, and recovers.
const kill = async (pid: number) => {
  sql = await crashServer(sql, connect, () => process.kill(pid, 'SIGKILL'))
}

function* people(name: string): Generator<string[]> {
  for (let n = 1; n <= rowCount; n++)
    yield [`${name}${n}@${name}.example`, `Person ${n}`, n % 100 === 0 ? 'pass word' : '']
}

/** How many of the people of a domain there are, by what is there of them. */
async function whatIsThere(name: string) {
  const [row] = await sql`
    select count(*)::integer as accounts, count(i.id)::integer as identities, count(p.id)::integer as profiles,
      count(*) filter (where p.org_id is not null and p.full_name like 'Person %')::integer as members,
      count(*) filter (where u.encrypted_password like '$2a$10$%')::integer as passwords
    from auth.users as u
    left join auth.identities as i on i.user_id = u.id
    left join public.profiles as p on p.id = u.id
    where u.email like ${`%@${name}.example`}`
  return row
}

describe('the backend at a chunk of people', () => {
  it.each([
    ['terminated', 4, terminate],
    ['killed', 2, kill],
  ])('is %s, up to %i times in the commit and again in the deletion', async (how, times, hit) => {
    const { admin, organization } = await makeOrganization(sql, how)
    await sql`select public.set_setting('users.may_confirm', 'true', ${organization})`
    await setChunkRows(sql, organization, 100)
    const columns = ['email', 'full_name', 'password']
    const created = await stageImport(sql, admin, {
      dataset: 'users',
      columns,
      rows: people(how),
      mode: 'insert',
    })
    await validate(sql, admin, created)
    expect(await settled(sql, created)).toBe('validated')
    await commit(sql, admin, created)
    const hits = await strike(() => sql, created, times, hit)
    expect(hits).toBeGreaterThan(0)
    expect(await settled(sql, created)).toBe('completed')
    expect(await getImport(sql, created)).toMatchObject({
      counts: { rows: rowCount, inserted: rowCount, failed: 0, pending: 0 },
    })
    expect(await whatIsThere(how)).toEqual({
      accounts: rowCount,
      identities: rowCount,
      profiles: rowCount,
      members: rowCount,
      passwords: rowCount / 100,
    })
    expect(Object.keys(await failedAttempts(sql, created)).length).toBeGreaterThan(0)
    const [logged] = await sql`
      select count(*)::integer as entries, count(distinct details ->> 'user_id')::integer as people
      from public.sync_activity_log where sync_id = ${created} and entity_type = 'user' and action = 'created' and details ? 'email'`
    expect(logged).toEqual({ entries: rowCount, people: rowCount })

    const rows = [...people(how)].map(([email]) => [email as string])
    const deletion = { dataset: 'users', columns: ['email'], rows, mode: 'delete' }
    const deleted = await stageImport(sql, admin, deletion)
    await validate(sql, admin, deleted, true)
    await strike(() => sql, deleted, times, hit)
    expect(await settled(sql, deleted)).toBe('completed')
    expect(await getImport(sql, deleted)).toMatchObject({ counts: { deleted: rowCount, failed: 0 } })
    expect(await whatIsThere(how)).toMatchObject({ accounts: 0 })
  })
})
