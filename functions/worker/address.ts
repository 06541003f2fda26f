import { isIPv4, isIPv6 } from 'node:net'

/** Whom an address belongs to: the internet, a network of one's own, or nobody who is to be talked to. */
export type Reach = 'public' | 'private' | 'never'

/** IANA's special-purpose registries, and those who serve metadata at an address like any other. The first that holds it decides. */
const narrowRanges: [string, Reach][] = [
  ['0.0.0.0/8', 'never'],
  ['100.100.100.200/32', 'never'], // metadata
  ['168.63.129.16/32', 'never'], // metadata
  ['169.254.0.0/16', 'never'], // link-local, metadata
  ['192.0.0.0/24', 'never'],
  ['192.0.2.0/24', 'never'],
  ['192.31.196.0/24', 'never'],
  ['192.52.193.0/24', 'never'],
  ['192.88.99.0/24', 'never'],
  ['192.175.48.0/24', 'never'],
  ['198.18.0.0/15', 'never'],
  ['198.51.100.0/24', 'never'],
  ['203.0.113.0/24', 'never'],
  ['224.0.0.0/3', 'never'], // multicast, reserved, broadcast
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'private'],
  ['127.0.0.0/8', 'private'],
  ['172.16.0.0/12', 'private'],
  ['192.168.0.0/16', 'private'],
  ['0.0.0.0/0', 'public'],
]

/** IPv6 that carries an IPv4 address in it is refused, whichever it is. */
const wideRanges: [string, Reach][] = [
  ['fd00:ec2::/32', 'never'], // metadata
  ['fd20:ce::/32', 'never'], // metadata
  ['2001::/23', 'never'],
  ['2001:db8::/32', 'never'],
  ['2002::/16', 'never'],
  ['2620:4f:8000::/48', 'never'],
  ['3fff::/20', 'never'],
  ['::1/128', 'private'],
  ['fc00::/7', 'private'],
  ['2000::/3', 'public'],
  ['::/0', 'never'],
]

/** Judges an address in text, as a resolver gives it. */
export function reachOf(address: string): Reach {
  if (isIPv4(address)) return reachIn(narrowRanges, 32, narrowValue, address)
  // A zone (fe80::1%eth0) says which network of one's own is meant.
  if (isIPv6(address) && !address.includes('%')) return reachIn(wideRanges, 128, wideValue, address)
  return 'never'
}

function reachIn(
  ranges: [string, Reach][],
  bits: number,
  toValue: (address: string) => bigint,
  address: string,
): Reach {
  const value = toValue(address)
  const holding = ranges.find(([range]) => {
    const [base = '', length] = range.split('/')
    const rest = BigInt(bits - Number(length))
    return value >> rest === toValue(base) >> rest
  })
  return holding?.[1] ?? 'never'
}

function narrowValue(address: string): bigint {
  return address.split('.').reduce((value, part) => value * 256n + BigInt(part), 0n)
}

function wideValue(address: string): bigint {
  // The URL parser brings every notation to one without an IPv4 part.
  const [left = '', right] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::')
  const groups = (part: string) => part.split(':').filter((group) => group !== '')
  const before = groups(left)
  const after = groups(right ?? '')
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n)
}
