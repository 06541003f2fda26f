import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { postgresFolder } from './binaries.ts'
import { installExtensions } from './extensions.ts'
import { commandLineOf, endProcess, isAlive, processesIn, signalProcess } from './processes.ts'

/** The superuser of the local server, named as on the platform. */
export const superuser = 'supabase_admin'

/** The password of every role that may log in. The server listens on 127.0.0.1 only. */
export const password = 'postgres'

/** Settings in which the local server differs from PostgreSQL's defaults. */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  timezone: 'UTC',
  log_timezone: 'UTC',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  // No replica hangs on this server.
  wal_level: 'minimal',
  max_wal_senders: '0',
}

/** A server that can be started again after it has died. */
export type PostgresServer = {
  /** Starts the server on its data, after clearing away what a killed one has left. */
  start(): Promise<ChildProcess>
  /** Stops a server that a killed stack has left running on this data. */
  stopLeftover(): Promise<void>
  /** Removes the data of a server that does not run, wherever it is. */
  removeData(): void
}

/** Prepares the PostgreSQL server of a data folder: makes the database cluster when there is none. */
export async function preparePostgres(
  folder: string,
  port: number,
  logFile: string,
): Promise<PostgresServer> {
  mkdirSync(folder, { recursive: true })
  const home = homeOf(realpathSync(folder))
  installExtensions(home.postgres)
  const data = home.data

  async function stopLeftover(): Promise<void> {
    const pid = postmasterOf(data)
    if (pid) await endProcess(pid, 'SIGINT', 10_000)
    // After a kill -9 of the postmaster its children go on until they next look up, and keep the shared memory.
    for (const orphan of processesIn(data)) signalProcess(orphan, 'SIGKILL')
  }

  async function start(): Promise<ChildProcess> {
    await stopLeftover()
    if (!existsSync(join(data, 'PG_VERSION'))) await initialise(home)
    for (let attempt = 1; ; attempt++) {
      const child = run(home, 'postgres', arguments_(data, port), logFile)
      if (await isReady(child, data)) return child
      const log = readFileSync(logFile, 'utf8').slice(-2000)
      // A server that was just killed holds its lock and its memory for some 100 ms more.
      if (attempt < 40 && /lock file .* already exists|shared memory block/.test(log.slice(-1000)))
        await sleep(250)
      else throw new Error(`PostgreSQL did not start; its log ${logFile} ends with:\n${log}`)
    }
  }

  function removeData(): void {
    rmSync(data, { recursive: true, force: true })
    if (home.elsewhere) rmSync(home.elsewhere, { recursive: true, force: true })
  }

  return { start, stopLeftover, removeData }
}

/** Where the server's programs and data are, and as whom they run. */
type Home = {
  postgres: string
  data: string
  prefix: string[]
  /** The folder outside the data folder that holds the data, when somebody else runs the server. */
  elsewhere?: string
  uid?: number
  gid?: number
}

/**
 * PostgreSQL refuses to run as root. A user namespace that shows root as somebody else needs no other user, no
 * change of owner, and works below folders that others cannot enter. Without one, programs and data are put into
 * the temporary folder and belong to another user.
 */
function homeOf(folder: string): Home {
  const postgres = postgresFolder()
  const data = join(folder, 'data')
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { postgres, data, prefix: [] }

  const prefix = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--']
  const works = spawnSync('unshare', [...prefix.slice(1), 'true']).status === 0
  if (works && process.env.SLUICE_NO_USER_NAMESPACE !== '1') return { postgres, data, prefix }

  const uid = idOf('-u')
  const gid = idOf('-g')
  const elsewhere = join(tmpdir(), `sluice-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`)
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 })
  requireOwn(elsewhere)
  rmSync(data, { force: true })
  symlinkSync(join(elsewhere, 'data'), data)
  return { postgres: copyOf(postgres), data: join(elsewhere, 'data'), elsewhere, prefix: [], uid, gid }
}

/** The programs where others may read them. Shared by all stacks; made beside and renamed. */
function copyOf(postgres: string): string {
  const { version } = JSON.parse(readFileSync(join(postgres, '../package.json'), 'utf8')) as {
    version: string
  }
  const copy = join(tmpdir(), `sluice-postgres-${version}`)
  if (!existsSync(copy)) {
    const beside = mkdtempSync(`${copy}-`)
    chmodSync(beside, 0o755)
    cpSync(postgres, beside, { recursive: true, verbatimSymlinks: true })
    try {
      renameSync(beside, copy)
    } catch {
      rmSync(beside, { recursive: true }) // Another stack was faster.
    }
  }
  requireOwn(copy)
  return copy
}

/** Anybody may write to the temporary folder, also under the names that are used here. */
function requireOwn(path: string): void {
  const stats = lstatSync(path)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.())
    throw new Error(`${path} belongs to somebody else`)
}

/** The number of the system's postgres user, or of nobody. */
function idOf(flag: '-u' | '-g'): number {
  const result = spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' })
  return result.status === 0 ? Number(result.stdout) : 65534
}

function run(home: Home, program: string, args: string[], logFile: string): ChildProcess {
  const [command, ...rest] = [...home.prefix, join(home.postgres, 'bin', program), ...args]
  // A file and no pipe: the server outlives a killed stack, and would write into nothing.
  const log = openSync(logFile, 'a')
  const child = spawn(command as string, rest, {
    cwd: home.postgres,
    // Not in the terminal's process group: Ctrl-C is for the stack alone, which stops the server last.
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    ...(home.uid !== undefined && { uid: home.uid, gid: home.gid }),
  })
  closeSync(log)
  return child
}

/** Made beside and renamed: a cluster is there in full or not at all. */
async function initialise(home: Home): Promise<void> {
  const beside = `${home.data}.new`
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  const passwordFile = join(folder, 'password')
  const logFile = join(folder, 'log')
  writeFileSync(passwordFile, `${password}\n`)
  rmSync(beside, { recursive: true, force: true })
  mkdirSync(beside, { recursive: true, mode: 0o700 })
  if (home.uid !== undefined && home.gid !== undefined) {
    for (const path of [folder, passwordFile, beside]) chownSync(path, home.uid, home.gid)
  }
  try {
    const locale = process.platform === 'linux' ? 'C.UTF-8' : 'en_US.UTF-8'
    const args = [`--pgdata=${beside}`, `--username=${superuser}`, `--pwfile=${passwordFile}`]
    args.push('--auth=scram-sha-256', '--encoding=UTF8', `--locale=${locale}`, '--no-sync')
    const child = run(home, 'initdb', args, logFile)
    const code = await new Promise((settle, fail) => child.on('exit', settle).on('error', fail))
    if (code !== 0) throw new Error(`initdb failed:\n${readFileSync(logFile, 'utf8')}`)
    renameSync(beside, home.data)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function arguments_(data: string, port: number): string[] {
  return [
    '-D',
    data,
    '-p',
    String(port),
    ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`]),
  ]
}

/** The server says in its lock file, line 8, when it takes connections. */
async function isReady(child: ChildProcess, data: string): Promise<boolean> {
  let failed = false
  child.once('exit', () => (failed = true)).once('error', () => (failed = true))
  for (; !failed; await sleep(10)) {
    const lines = linesOf(join(data, 'postmaster.pid'))
    if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return true
  }
  return false
}

/** The server that runs on this data, if there is one. A lock file whose number now belongs to another is removed. */
function postmasterOf(data: string): number | undefined {
  const file = join(data, 'postmaster.pid')
  const pid = Number(linesOf(file)[0])
  if (!pid) return undefined
  if (isAlive(pid) && commandLineOf(pid).includes(data)) return pid
  rmSync(file, { force: true })
  return undefined
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch {
    return []
  }
}
