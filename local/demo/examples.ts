import { businessOf, csv, type Dataset, datasets, fileRows } from './business.ts'

const counts: Record<Dataset, number> = {
  customers: 50,
  contacts: 40,
  products: 50,
  warehouse_locations: 5,
  inventory_levels: 80,
  orders: 30,
  invoices: 24,
  payments: 20,
  delivery_routes: 8,
}

/** Customers that are wrong, to show what comes of it: a day that there is not, and a number that is taken. */
const wrongCustomers: Record<number, (cells: string[]) => void> = {
  17: (cells) => cells.splice(9, 1, '2024-02-30'),
  38: (cells) => cells.splice(0, 1, 'C-0000001'),
}

/** The sample files of examples/, by name. They belong together: what one refers to is in another. */
export function exampleFiles(): Record<string, string> {
  const all = businessOf(counts)
  const business = businessOf(
    counts,
    (number, dataset) => dataset === 'customers' && number in wrongCustomers,
  )
  return Object.fromEntries(
    datasets.map((dataset) => {
      const rows = fileRows(dataset, business, all[dataset], ([cells = []], number) => {
        if (dataset === 'customers') wrongCustomers[number]?.(cells)
      })
      return [`${dataset}.csv`, csv(dataset, rows)]
    }),
  )
}
