import { ENGLISH } from './text-en.ts'
import { CHINESE } from './text-zh.ts'
import type { PageText } from './page-text.ts'

/** What is looked for in `Accept-Language`; `zh` takes every other kind of Chinese along. */
const OFFERED = ['en', 'zh-CN', 'zh']

/** The words for this reader: Chinese for whoever prefers it, else English (RFC 9110 §12.5.4). */
export function textFor(request: { acceptsLanguages: (offered: string[]) => string | false }) {
  const language = request.acceptsLanguages(OFFERED)
  return language === 'zh' || language === 'zh-CN' ? CHINESE : ENGLISH
}

export const TEXTS: readonly PageText[] = [ENGLISH, CHINESE]
