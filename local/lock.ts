import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { birthOf, isAlive } from './processes.ts'

type Holder = { pid: number; birth: string }

/** Takes a data folder for this process; a killed owner's claim is void. Returns what gives it back. */
export function takeFolder(file: string): () => void {
  const holder = holderOf(file)
  if (holder && isAlive(holder.pid) && birthOf(holder.pid) === holder.birth) {
    throw new Error(
      `A stack already runs on this data folder (process ${holder.pid}). ` +
        'Stop it, or choose another folder and port: SLUICE_DATA_DIR=.sluice2 SLUICE_PORT=55321 npm start',
    )
  }
  writeFileSync(file, JSON.stringify({ pid: process.pid, birth: birthOf(process.pid) } satisfies Holder))
  return () => rmSync(file, { force: true })
}

function holderOf(file: string): Holder | undefined {
  try {
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Holder) : undefined
  } catch {
    return undefined // Half written by one that was killed.
  }
}
