import { readFileSync, writeFileSync } from 'node:fs'

/** What a process has used. Known on Linux alone. */
export type Usage = { residentBytes: number; peakBytes: number; cpuSeconds: number }

/** Ticks of a second in /proc, on every machine that Linux runs on today. */
const ticksPerSecond = 100

/** Lets the peak begin anew, from what is resident now. */
export function resetPeak(pid: number): void {
  if (process.platform === 'linux') writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** Memory that is resident and that was at most since `resetPeak`, and processor time since the start. */
export function usageOf(pid: number): Usage | undefined {
  if (process.platform !== 'linux') return undefined
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1])
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in the second field may hold blanks; user and system time are the 12th and 13th after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return {
    residentBytes: kilobytes('VmRSS') * 1024,
    peakBytes: kilobytes('VmHWM') * 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
  }
}
