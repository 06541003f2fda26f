/**
 * How values go to and come from the database. The library's own way gives numeric as "1.50", timestamps as
 * "2026-01-01 00:00:00+00", and encodes the jsonb arguments of functions twice; PostgREST does none of that.
 */
export const valueTypes = {
  numeric: { to: 1700, from: [1700], serialize: String, parse: numberOf },
  timestamp: { to: 1114, from: [1114], serialize: asIs, parse: isoOf },
  timestamptz: { to: 1184, from: [1184], serialize: asIs, parse: isoOf },
  json: { to: 114, from: [114], serialize: jsonOf, parse: JSON.parse },
  jsonb: { to: 3802, from: [3802], serialize: jsonOf, parse: JSON.parse },
}

/** NaN and the infinities are no JSON numbers; PostgREST gives them as strings too. */
function numberOf(text: string): number | string {
  const number = Number(text)
  return Number.isFinite(number) ? number : text
}

function isoOf(text: string): string {
  return text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')
}

/** The library hands the arguments of functions over as JSON already, and the values of tables as they are. */
function jsonOf(value: unknown): string {
  return typeof value === 'string' && isJson(value) ? value : JSON.stringify(value)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function asIs(value: string): string {
  return value
}
