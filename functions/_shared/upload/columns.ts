/** The names of a file's columns from its header: none empty, none twice. */
export function columnNames(header: string[]): string[] {
  const taken = new Set(header.map((cell) => cell.trim()))
  const used = new Set<string>()
  // Where the search for a free suffix goes on: a hostile header repeats one name ten thousand times.
  const nextSuffix = new Map<string, number>()
  return header.map((cell, index) => {
    const wanted = cell.trim() || `column_${index + 1}`
    if (!used.has(wanted) && (cell.trim() || !taken.has(wanted))) {
      used.add(wanted)
      return wanted
    }
    let suffix = nextSuffix.get(wanted) ?? 2
    while (used.has(`${wanted}_${suffix}`) || taken.has(`${wanted}_${suffix}`)) suffix++
    nextSuffix.set(wanted, suffix + 1)
    const name = `${wanted}_${suffix}`
    used.add(name)
    return name
  })
}

/** Names for the columns of a file without a header. */
export function numberedColumns(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `column_${index + 1}`)
}
