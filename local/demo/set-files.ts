import { type Business, businessOf, csv, type Dataset, datasets, fileRows, kinds } from './business.ts'
import { isWrong, spoil } from './mistakes.ts'

const counts: Record<Dataset, number> = {
  customers: 4000,
  contacts: 5000,
  products: 1500,
  warehouse_locations: 20,
  inventory_levels: 6000,
  orders: 3000,
  invoices: 2200,
  payments: 2000,
  delivery_routes: 500,
}

/** The tables that a dataset fills: records, and where it has lines these. */
export const tables: Record<Dataset, [records: string, lines?: string]> = {
  customers: ['customers'],
  contacts: ['contacts'],
  products: ['products'],
  warehouse_locations: ['warehouse_locations'],
  inventory_levels: ['inventory_levels'],
  orders: ['orders', 'order_lines'],
  invoices: ['invoices', 'invoice_lines'],
  payments: ['payments'],
  delivery_routes: ['delivery_routes', 'delivery_stops'],
}

/** A file of the set, and what must become of it. */
export type SetFile = { dataset: Dataset; text: string; rows: number; failed: number }

/** A business that moves in. */
export type Moving = {
  files: SetFile[]
  /** How many rows each table must have after the import, and when the orders are undone. */
  imported: Map<string, number>
  undone: Map<string, number>
  /** Of the orders, how many an undo must take back, and keep since others refer to them. */
  orders: { reversed: number; referenced: number }
}

/** The files, in which one record in fifty is wrong; to those nothing refers. */
export function movingFiles(): Moving {
  const all = businessOf(counts)
  const business = businessOf(counts, isWrong)

  const imported = new Map<string, number>()
  const files = datasets.map((dataset): SetFile => {
    let failed = 0
    const rows = fileRows(dataset, business, all[dataset], (own, number) => {
      if (!isWrong(number)) return
      spoil(dataset, number, own)
      failed += own.length
    })
    const [records, lines] = tables[dataset]
    imported.set(records, business[dataset].length)
    if (lines) imported.set(lines, rows.length - failed)
    return { dataset, text: csv(dataset, rows), rows: rows.length, failed }
  })

  const named = new Set([...namedOrders('invoices', business), ...namedOrders('payments', business)])
  const kept = business.orders.flatMap((number) => {
    const rows = kinds.orders.rows(number, business)
    return named.has(rows[0]?.[0] ?? '') ? [rows.length] : []
  })
  const undone = new Map(imported)
  undone.set('orders', kept.length)
  undone.set(
    'order_lines',
    kept.reduce((sum, lines) => sum + lines, 0),
  )
  return {
    files,
    imported,
    undone,
    orders: { reversed: business.orders.length - kept.length, referenced: kept.length },
  }
}

/** The orders that the right records of a dataset name. */
function namedOrders(dataset: 'invoices' | 'payments', business: Business): string[] {
  const column = kinds[dataset].columns.indexOf('Order No.')
  return business[dataset].map((number) => kinds[dataset].rows(number, business)[0]?.[column] ?? '')
}
