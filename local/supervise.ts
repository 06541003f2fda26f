import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that is started again when it ends without being asked to. */
export type Supervised = {
  /** The process that runs now, or that ran last. */
  pid(): number
  /** Asks the process to end, kills it when it does not, and starts it no more. */
  stop(signal: NodeJS.Signals, patience: number): Promise<void>
}

/** Starts a process and keeps it running. The first start may fail; later ones are tried until they succeed. */
export async function supervise(
  name: string,
  start: () => Promise<ChildProcess>,
  log: (line: string) => void,
): Promise<Supervised> {
  let stopping = false
  let child = await start()
  const watching = watch()

  async function watch(): Promise<void> {
    for (;;) {
      await ended(child)
      if (stopping) return
      log(`${name} ended (${child.signalCode ?? `exit code ${child.exitCode}`}); starting it again`)
      await restart()
    }
  }

  async function restart(): Promise<void> {
    for (let pause = 0; !stopping; pause = Math.min(5_000, pause + 500)) {
      try {
        await sleep(pause)
        child = await start()
        return
      } catch (cause) {
        log(`${name} does not start: ${cause instanceof Error ? cause.message : cause}`)
      }
    }
  }

  return {
    pid: () => child.pid ?? 0,
    async stop(signal, patience) {
      stopping = true
      // A restart may be under way: what it brings up has to go down as well.
      for (let last: ChildProcess | undefined; last !== child; ) {
        last = child
        last.kill(signal)
        const kill = setTimeout(() => last?.kill('SIGKILL'), patience)
        await ended(last)
        clearTimeout(kill)
      }
      await watching
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await ended(child)
      }
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
