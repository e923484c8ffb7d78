import type { LockedPackage } from './lockfile.ts'

/** SPDX ids of licences that ask for nothing but their text. A new one is a decision: read it, then add it. */
const ALLOWED_LICENCES = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
])

const REGISTRY = 'https://registry.npmjs.org/'
const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/
const EXACT_VERSION = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/

/** What is wrong with the packages of a lockfile, each finding with the path of its package. */
export function reviewDependencies(
  packages: readonly LockedPackage[],
  allowedScripts: Readonly<Record<string, boolean>>,
): string[] {
  return packages.flatMap((locked) => [
    ...findingsOfOrigin(locked),
    ...(locked.dev === true ? [] : findingsOfProduction(locked)),
    ...(locked.hasInstallScript === true && allowedScripts[locked.name] === undefined
      ? [`${locked.path}: has an install script, about which allowScripts says nothing`]
      : []),
  ])
}

/**
 * Where `resolved` is missing npm asks the registry that is configured; whatever that sends has to have the hash. An
 * address of its own is another matter: a tarball or a repository can be anybody's.
 */
function findingsOfOrigin({ path, version, integrity, resolved, link }: LockedPackage): string[] {
  return [
    ...(link === true ? [`${path}: is a link`] : []),
    ...(integrity === undefined || !SHA512.test(integrity) ? [`${path}: has no SHA-512`] : []),
    ...(resolved !== undefined && !resolved.startsWith(REGISTRY)
      ? [`${path}: comes from ${resolved}`]
      : []),
    ...(EXACT_VERSION.test(version) ? [] : [`${path}: its version is ${version}`]),
  ]
}

function findingsOfProduction({ path, license, deprecated }: LockedPackage): string[] {
  return [
    ...(isAllowed(license) ? [] : [`${path}: its licence is ${license ?? 'not given'}`]),
    ...(deprecated === undefined ? [] : [`${path}: its author has given it up (${deprecated})`]),
  ]
}

/** An SPDX expression of ids with OR; whatever is more than that is for a person to read. */
function isAllowed(licence = ''): boolean {
  return licence
    .replaceAll(/^\(|\)$/g, '')
    .split(' OR ')
    .some((id) => ALLOWED_LICENCES.has(id))
}
