/** The name that clients of HunyuanOCR ask for, so that nothing changes for them when the real model takes over. */
export const MODEL = 'tencent/HunyuanOCR'

/** Who answers in truth; it is in every answer, so that nobody mistakes this engine for the model. */
export const ENGINE = 'gatehouse-bundled-ocr'

export const ENGINE_NOTE =
  'Gatehouse’s bundled CPU engine (Tesseract) answers under this name. It is not the HunyuanOCR model.'

export type EngineState = 'loading' | 'ok' | 'failed'

/** The body of `GET /health`. */
export function describeHealth(state: EngineState): object {
  return { status: state, engine: ENGINE, stands_in_for: MODEL }
}

/** The body of `GET /v1/models`; `createdSeconds` is seconds since the epoch. */
export function describeModels(createdSeconds: number): object {
  return {
    object: 'list',
    data: [
      {
        id: MODEL,
        object: 'model',
        created: createdSeconds,
        owned_by: ENGINE,
        description: ENGINE_NOTE,
      },
    ],
  }
}
