import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Throws, with the way out, when one of the stack's three ports is taken. */
export async function requirePorts(port: number): Promise<void> {
  for (const candidate of [port, port + 1, port + 2]) {
    // What a killed stack has left needs a moment to go.
    for (let attempt = 0; !(await isFree(candidate)); attempt++) {
      if (attempt === 20) {
        throw new Error(
          `Port ${candidate} is taken by another program (the stack needs ${port} to ${port + 2}). ` +
            `Stop it, or choose other ports: SLUICE_PORT=${port + 1000} npm start`,
        )
      }
      await sleep(50)
    }
  }
}

/** Three free ports in a row; the first of them. */
export async function findPorts(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    // Below the range that the system gives to outgoing connections.
    const port = 20_000 + 3 * Math.floor(Math.random() * 4_000)
    const free = await Promise.all([port, port + 1, port + 2].map(isFree))
    if (free.every(Boolean)) return port
  }
  throw new Error('there are no three free ports in a row between 20000 and 32000')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const probe = createServer()
    probe.once('error', () => settle(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => settle(true)))
  })
}
