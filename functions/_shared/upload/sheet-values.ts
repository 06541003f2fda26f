/** How the numbers of a cell style are shown. */
export type NumberStyle =
  | { kind: 'number' }
  | { kind: 'date' | 'datetime' | 'time' | 'duration' }
  /** A number of so many digits at least, such as a postal code. */
  | { kind: 'padded'; digits: number }

const shortForm = /^-?(0|[1-9]\d*)(\.\d*[1-9])?$/
const plain: NumberStyle = { kind: 'number' }
const dayMs = 86_400_000
/** The day after the last that a sheet knows, 9999-12-31. */
const endOfDays = 2_958_466

/** The formats that have a number but no text in the file, some only where the program speaks an East Asian language. */
function builtIn(id: number): NumberStyle {
  if (id === 22) return { kind: 'datetime' }
  if ((id >= 14 && id <= 17) || (id >= 27 && id <= 31) || id === 36 || (id >= 50 && id <= 58)) {
    return { kind: 'date' }
  }
  if ((id >= 18 && id <= 21) || (id >= 32 && id <= 35) || id === 45 || id === 47) return { kind: 'time' }
  if (id === 46) return { kind: 'duration' }
  return plain
}

/** What a number format shows: by its text, else by its number. */
export function numberStyle(id: number, code: string | undefined): NumberStyle {
  if (code === undefined) return builtIn(id)
  const first = code.split(';')[0] ?? ''
  const bare = first
    .replace(/"[^"]*"|\\.|[_*]./g, '')
    .replace(/\[(?!h+\]|m+\]|s+\])[^\]]*\]/gi, '') // colours, languages, conditions
    .toLowerCase()
  if (/^0{2,}$/.test(bare)) return { kind: 'padded', digits: bare.length }
  if (/general|[#?]/.test(bare) || /0/.test(bare.replace(/s\]?[.,]0+/g, ''))) return plain
  if (/\[[hms]+\]/.test(bare)) return { kind: 'duration' }
  const hasTime = /[hs]/.test(bare)
  const hasDay = /[ydeg]/.test(bare) || /b{2}/.test(bare) || /mmm/.test(bare)
  if (hasDay) return { kind: hasTime ? 'datetime' : 'date' }
  if (hasTime) return { kind: 'time' }
  return /m/.test(bare) ? { kind: 'date' } : plain
}

/**
 * A number of a sheet as people see it: days as ISO dates, times of day, and other numbers with the 15 digits that a
 * spreadsheet shows, so that 0.1 + 0.2 is 0.3.
 */
export function numberText(stored: string, style: NumberStyle, is1904: boolean): string {
  if (style.kind === 'number' && stored.length <= 16 && shortForm.test(stored)) return stored // most of them, at once
  const value = Number(stored)
  if (!Number.isFinite(value) || stored.trim() === '') return stored
  if (style.kind === 'number') return shortest(value)
  if (style.kind === 'padded') {
    const text = shortest(value)
    return /^\d+$/.test(text) ? text.padStart(style.digits, '0') : text
  }
  const ms = Math.round(value * dayMs)
  if (style.kind === 'duration') return ms < 0 ? `-${clock(-ms)}` : clock(ms)
  const days = Math.floor(ms / dayMs)
  if (days < 0 || days >= endOfDays) return shortest(value) // shown as ########
  const time = clock(ms - days * dayMs)
  if (style.kind === 'time') return time
  const date = dateOf(days, is1904)
  return style.kind === 'date' || time === '00:00:00' ? date : `${date}T${time}`
}

function shortest(value: number): string {
  return String(Number(value.toPrecision(15)))
}

function clock(ms: number): string {
  const two = (part: number) => String(part).padStart(2, '0')
  const seconds = Math.floor(ms / 1000)
  const text = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return ms % 1000 === 0 ? text : `${text}.${String(ms % 1000).padStart(3, '0')}`
}

const isoDates = new Map<number, string>()

/** Day 1 is 1 January 1900, and day 60 the 29 February that 1900 did not have; or day 0 is 1 January 1904. */
function dateOf(days: number, is1904: boolean): string {
  if (is1904) return isoDate(Date.UTC(1904, 0, 1) + days * dayMs)
  if (days === 0) return '1900-01-00'
  if (days === 60) return '1900-02-29'
  return isoDate(Date.UTC(1899, 11, days < 60 ? 31 : 30) + days * dayMs)
}

/** A sheet has few days, and names each of them often. */
function isoDate(ms: number): string {
  let text = isoDates.get(ms)
  if (text === undefined) {
    text = new Date(ms).toISOString().slice(0, 10)
    if (isoDates.size < 10_000) isoDates.set(ms, text)
  }
  return text
}
