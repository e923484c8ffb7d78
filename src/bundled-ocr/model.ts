/** The name that clients ask for, so that nothing changes for them when a GPU takes over. */
export const MODEL = 'tencent/HunyuanOCR'

/** What stands in for it, said wherever a person or a program may look. */
export const ENGINE = 'gatehouse-bundled-ocr'
