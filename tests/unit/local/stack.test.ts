import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { repositoryRoot } from '../../../local/binaries.ts'
import { findPorts } from '../../../local/ports.ts'
import { isAlive } from '../../../local/processes.ts'
import type { Stack } from '../../../local/stack.ts'
import { eventually } from '../../support/eventually.ts'
import { project, startProbe, temporaryFolder, withSql } from './fixture.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

function folder(): string {
  const { path, remove } = temporaryFolder()
  endings.push(remove)
  return path
}

async function start(dataDir: string, options = {}): Promise<Stack> {
  const stack = await startProbe(dataDir, options)
  endings.push(() => stack.stop())
  return stack
}

async function addNote(stack: Stack, title: string): Promise<void> {
  await withSql(stack.databaseUrl, (sql) => sql`insert into public.notes (title) values (${title})`)
}

function titles(stack: Stack): Promise<string[]> {
  return withSql(stack.databaseUrl, async (sql) => {
    const rows = await sql<{ title: string }[]>`select title from public.notes order by id`
    return rows.map(({ title }) => title)
  })
}

async function restStatus(stack: Stack): Promise<number> {
  const headers = { apikey: stack.publishableKey }
  return (await fetch(`${stack.url}/rest/v1/rpc/integer_scalar`, { method: 'POST', headers })).status
}

async function functionStatus(stack: Stack): Promise<number> {
  return (await fetch(`${stack.url}/functions/v1/probe`)).status
}

describe('startStack', () => {
  it('works below a folder that nobody else may enter, goes on with its data, and stops everything', async () => {
    const parent = folder()
    chmodSync(parent, 0o700)
    const dataDir = join(parent, 'deep')
    const first = await start(dataDir)
    expect(await restStatus(first)).toBe(200)
    expect(await functionStatus(first)).toBe(200)
    await addNote(first, 'kept')
    const pids = [first.postgresPid(), first.functionsPid()]
    const began = performance.now()
    await first.stop()
    expect(performance.now() - began).toBeLessThan(3_000)
    expect(pids.filter(isAlive)).toEqual([])

    const second = await start(dataDir)
    expect(await titles(second)).toEqual(['kept'])
  })

  // PostgreSQL refuses root; elsewhere there is nothing to be done about it.
  if (process.getuid?.() === 0) {
    it('runs as root also where there are no user namespaces, and leaves no data behind', async () => {
      vi.stubEnv('SLUICE_NO_USER_NAMESPACE', '1')
      endings.push(() => vi.unstubAllEnvs())
      const dataDir = folder()
      const first = await start(dataDir)
      const elsewhere = dirname(realpathSync(join(dataDir, 'postgres/data')))
      expect(elsewhere.startsWith(dataDir)).toBe(false)
      await addNote(first, 'kept')
      await first.stop()

      const second = await start(dataDir, { temporary: true })
      expect(await titles(second)).toEqual(['kept'])
      await second.stop()
      expect([dataDir, elsewhere].filter(existsSync)).toEqual([])
    })
  }

  it('runs side by side with another', async () => {
    const [one, other] = await Promise.all([start(folder()), start(folder())])
    await addNote(one, 'one')
    await addNote(other, 'other')
    expect(await titles(one)).toEqual(['one'])
    expect(await titles(other)).toEqual(['other'])
  })

  it('says which port is taken, and the way out', async () => {
    const port = await findPorts()
    const other = createServer().listen(port + 1, '127.0.0.1')
    endings.push(() => other.close())
    await once(other, 'listening')
    await expect(startProbe(folder(), { port })).rejects.toThrow(
      new RegExp(`Port ${port + 1} is taken .* SLUICE_PORT=`),
    )
  })

  it('adds new migrations, and refuses edited ones until it may begin anew', async () => {
    const copy = folder()
    cpSync(project, copy, { recursive: true })
    const migrations = join(copy, 'supabase/migrations')
    const dataDir = folder()
    const first = await start(dataDir, { project: copy })
    await addNote(first, 'kept')
    await first.stop()

    writeFileSync(join(migrations, '20260102000000_later.sql'), 'create table public.later (id integer);')
    const second = await start(dataDir, { project: copy })
    expect(await titles(second)).toEqual(['kept'])
    await withSql(second.databaseUrl, (sql) => sql`select from public.later`)
    await second.stop()

    writeFileSync(
      join(migrations, '20260102000000_later.sql'),
      'create table public.much_later (id integer);',
    )
    await expect(startProbe(dataDir, { project: copy })).rejects.toThrow(
      /_later\.sql.*\n.*npm start -- --reset/,
    )

    const anew = await start(dataDir, { project: copy, reset: true })
    expect(await titles(anew)).toEqual([])
    await withSql(anew.databaseUrl, (sql) => sql`select from public.much_later`)
  })
})

describe('a running stack', () => {
  const place = temporaryFolder()
  let stack: Stack

  beforeAll(async () => {
    stack = await startProbe(place.path)
  })

  afterAll(async () => {
    await stack?.stop()
    place.remove()
  })

  it('has applied the migrations as a role that is no superuser', async () => {
    const [role] = await withSql(
      stack.databaseUrl,
      (sql) => sql`
        select r.rolsuper, r.rolbypassrls, r.rolcreaterole, c.relowner::regrole::text as owner
        from pg_roles as r, pg_class as c
        where r.rolname = current_user and c.oid = 'public.notes'::regclass`,
    )
    expect(role).toEqual({ rolsuper: false, rolbypassrls: true, rolcreaterole: true, owner: 'postgres' })
  })

  it('is left alone by another that is to use its data folder', async () => {
    await expect(startProbe(place.path)).rejects.toThrow(/already runs on this data folder/)
    expect(await restStatus(stack)).toBe(200)
  })

  it('starts PostgreSQL again after a kill -9 of its postmaster, with all that was committed', async () => {
    await addNote(stack, 'committed')
    const killed = stack.postgresPid()
    process.kill(killed, 'SIGKILL')
    await eventually(async () => stack.postgresPid() !== killed && (await restStatus(stack)) === 200)
    expect(await titles(stack)).toEqual(['committed'])
  })

  it('ends what a killed postmaster leaves at work', async () => {
    const busy = withSql(
      stack.databaseUrl,
      (sql) => sql`select count(*) from generate_series(1, 100000) as a, generate_series(1, 100000) as b`,
    )
    const lost = expect(busy).rejects.toThrow()
    await eventually(() =>
      withSql(stack.databaseUrl, async (sql) => {
        const rows =
          await sql`select from pg_stat_activity where query like 'select count%' and state = 'active'`
        return rows.length === 1
      }),
    )
    const killed = stack.postgresPid()
    process.kill(killed, 'SIGKILL')
    await lost
    await eventually(async () => stack.postgresPid() !== killed && (await restStatus(stack)) === 200, 5_000)
  })

  it('starts the functions again after a kill -9', async () => {
    const killed = stack.functionsPid()
    process.kill(killed, 'SIGKILL')
    await eventually(async () => stack.functionsPid() !== killed && (await functionStatus(stack)) === 200)
  })
})

describe('npm start', () => {
  it('prints what to do, writes the variables, and ends on Ctrl-C within 3 seconds', async () => {
    const dataDir = folder()
    const { child, output } = await startCommand(dataDir, await findPorts())
    const variables = readFileSync(join(dataDir, 'env'), 'utf8')
    for (const name of [
      'SUPABASE_URL',
      'SUPABASE_DB_URL',
      'SUPABASE_PUBLISHABLE_KEY',
      'SUPABASE_SECRET_KEY',
    ]) {
      expect(variables).toMatch(new RegExp(`^${name}=.+$`, 'm'))
    }
    expect(output()).toContain('curl')

    const began = performance.now()
    child.kill('SIGINT')
    const [code] = await once(child, 'exit')
    expect(performance.now() - began).toBeLessThan(3_000)
    expect(code).toBe(0)
    expect(existsSync(join(dataDir, 'env'))).toBe(false)
  })

  it('cleans up after a kill -9, and goes on with the data', async () => {
    const dataDir = folder()
    const port = await findPorts()
    const { child } = await startCommand(dataDir, port)
    const orphan = postmasterOf(dataDir)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(isAlive(orphan)).toBe(true)

    const again = await startCommand(dataDir, port)
    expect(isAlive(orphan)).toBe(false)
    expect(postmasterOf(dataDir)).not.toBe(orphan)
    again.child.kill('SIGINT')
    await once(again.child, 'exit')
  })

  it('refuses arguments that it does not know', async () => {
    await expect(startCommand(folder(), await findPorts(), ['--fresh'])).rejects.toThrow(/--fresh.*--reset/)
  })
})

function postmasterOf(dataDir: string): number {
  return Number(readFileSync(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0])
}

/** Runs the command in a process of its own until it is ready. */
async function startCommand(
  dataDir: string,
  port: number,
  args: string[] = [],
): Promise<{ child: ChildProcess; output(): string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'local/start.ts', ...args], {
    cwd: repositoryRoot,
    env: { ...process.env, NODE_ENV: '', SLUICE_DATA_DIR: dataDir, SLUICE_PORT: String(port) },
  })
  endings.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGINT')
    await once(child, 'exit')
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  await eventually(async () => {
    return existsSync(join(dataDir, 'env')) || child.exitCode !== null
  }, 20_000)
  if (child.exitCode !== null) throw new Error(output)
  await eventually(async () => output.includes('Ctrl-C'))
  return { child, output: () => output }
}
