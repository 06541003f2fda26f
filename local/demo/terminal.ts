/** A step of the work, on a line of its own. */
export type Step = {
  /** How far it is, from 0 to 1, and what to say beside the bar. */
  update(fraction: number, text: string): void
  done(text: string): void
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'cyan'
const codes: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  cyan: [36, 39],
}

const { stdout, env } = process
/** Lines that change and colours: only for somebody who looks at a terminal. */
const isLive = stdout.isTTY === true && !env.NO_COLOR && !env.CI && env.TERM !== 'dumb'
const spinner = [...'⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏']
const labelWidth = 11
const barWidth = 28

let isMute = false
let redraw: (() => void) | undefined
let timer: NodeJS.Timeout | undefined

/** Text in a style, where the terminal shows styles. */
export function styled(style: Style, text: string): string {
  const [on, off] = codes[style]
  return isLive ? `\x1b[${on}m${text}\x1b[${off}m` : text
}

/** How many characters a line holds. */
export function terminalWidth(): number {
  return isLive ? Math.max(40, stdout.columns) : 120
}

/** Writes a line; what is written in mid-step goes above the step. */
export function print(line = ''): void {
  if (isMute) return
  if (redraw) stdout.write('\r\x1b[2K')
  stdout.write(`${line}\n`)
  redraw?.()
}

/** Begins a step. On a terminal its line moves; elsewhere it is written once, when the step is done. */
export function startStep(label: string): Step {
  const title = label.padEnd(labelWidth)
  let fraction: number | undefined
  let text = ''
  let frame = 0
  draw(() => {
    const bar =
      fraction === undefined ? '' : `${barOf(fraction)} ${String(Math.floor(fraction * 100)).padStart(3)} %  `
    const width = terminalWidth() - title.length - 5 - (bar ? barWidth + 8 : 0)
    return `  ${styled('cyan', spinner[frame++ % spinner.length] ?? '')} ${title} ${bar}${styled('dim', text.slice(0, width))}`
  })
  return {
    update(newFraction, newText) {
      fraction = Math.min(1, newFraction)
      text = newText
    },
    done(result) {
      endLine()
      print(`  ${styled('green', '✔')} ${title} ${result}`)
    },
  }
}

/** Takes away the line of a step that will not be done, and shows the cursor again. */
export function endLine(): void {
  clearInterval(timer)
  if (redraw) stdout.write('\r\x1b[2K\x1b[?25h')
  redraw = undefined
}

/** Lets nothing more be written: work that was interrupted may still report what it has done. */
export function mute(): void {
  endLine()
  isMute = true
}

function draw(line: () => string): void {
  endLine()
  if (!isLive || isMute) return
  redraw = () => stdout.write(`\r\x1b[2K${line()}`)
  stdout.write('\x1b[?25l')
  redraw()
  timer = setInterval(redraw, 80)
}

function barOf(fraction: number): string {
  const full = Math.round(fraction * barWidth)
  return styled('green', '█'.repeat(full)) + styled('dim', '░'.repeat(barWidth - full))
}
