import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ConfigError } from '../kernel/errors.ts'

/** Where the engine's language data lies on disk: gzipped Tesseract models, one per language code. */
export type LanguageData = { code: string; file: string }

const ENGINE_PACKAGE = 'tesseract.js'
const LANGUAGES = ['eng', 'chi_sim']
/** The integer form of the most accurate models; the packages' other folder holds 30 MB of a legacy engine's data. */
const MODEL_FOLDER = '4.0.0_best_int'

/**
 * Finds the engine and its models among the installed npm packages, loading none of them. They are optional, so
 * ConfigError says what to install when one is absent.
 */
export function findEnginePackages(
  resolve: (specifier: string) => string = createRequire(import.meta.url).resolve,
): LanguageData[] {
  const missing: string[] = []
  const locate = (specifier: string, packageName: string): string => {
    try {
      return resolve(specifier)
    } catch {
      missing.push(packageName)
      return ''
    }
  }
  locate(ENGINE_PACKAGE, ENGINE_PACKAGE)
  const languages = LANGUAGES.map((code) => {
    const packageName = `@tesseract.js-data/${code}`
    const folder = dirname(locate(`${packageName}/package.json`, packageName))
    return { code, file: join(folder, MODEL_FOLDER, `${code}.traineddata.gz`) }
  })
  if (missing.length === 0) return languages
  throw new ConfigError(
    missing.map(
      (name) => `the bundled OCR engine needs the package ${name}, which is not installed`,
    ),
    'npm install tesseract.js @tesseract.js-data/eng @tesseract.js-data/chi_sim',
  )
}
