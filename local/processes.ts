import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Whether a process lives. One that has ended and waits for its parent to notice does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM'
  }
  return process.platform !== 'linux' || statFields(pid)[0] !== 'Z'
}

/** Something that tells a process from a later one with the same number; empty when there is none. */
export function birthOf(pid: number): string {
  if (process.platform === 'linux') return statFields(pid)[19] ?? ''
  return spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? ''
}

/** The command line of a process, words joined by blanks; empty when there is none. */
export function commandLineOf(pid: number): string {
  if (process.platform === 'linux') return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
  return spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? ''
}

/** The processes that work in a folder. Known on Linux alone. */
export function processesIn(folder: string): number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && linkOf(`/proc/${name}/cwd`) === folder)
    .map(Number)
    .filter((pid) => pid !== process.pid)
}

/** Sends a signal, and SIGKILL when the process still lives after the patience is over. */
export async function endProcess(pid: number, signal: NodeJS.Signals, patience: number): Promise<void> {
  signalProcess(pid, signal)
  if (await waitForEnd(pid, patience)) return
  signalProcess(pid, 'SIGKILL')
  await waitForEnd(pid, patience)
}

/** Sends a signal to a process that may be gone already. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause
  }
}

async function waitForEnd(pid: number, patience: number): Promise<boolean> {
  for (const until = Date.now() + patience; Date.now() < until; await sleep(20)) {
    if (!isAlive(pid)) return true
  }
  return !isAlive(pid)
}

/** The fields of /proc/<pid>/stat from the third one on; the second may hold blanks and parentheses. */
function statFields(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`)
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file)
  } catch {
    return ''
  }
}
