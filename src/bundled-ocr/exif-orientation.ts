/** The quarter turns and mirrorings of EXIF's tag 274: 1 is upright, from 5 on width and height change places. */
const UPRIGHT = 1
const FIRST_SIDEWAYS = 5

const EXIF_SEGMENT_BYTES = 36
const ORIENTATION_TAG = 0x0112
const TYPE_SHORT = 3

export function isSideways(orientation = UPRIGHT): boolean {
  return orientation >= FIRST_SIDEWAYS
}

/**
 * The JPEG with its orientation, 1 to 8, repeated in a segment of its own right behind the start marker. The engine
 * turns phone photos upright, but knows only a big-endian tag in the first 500 bytes, and many phones write the other.
 */
export function withLeadingOrientation(jpeg: Uint8Array, orientation = UPRIGHT): Uint8Array {
  if (orientation <= UPRIGHT) return jpeg
  const startMarker = jpeg.subarray(0, 2)
  return Buffer.concat([startMarker, exifSegment(orientation), jpeg.subarray(2)])
}

/** An APP1 segment (EXIF 2.3 §4.5.4) that holds the orientation alone. */
function exifSegment(orientation: number): Buffer {
  const segment = Buffer.alloc(EXIF_SEGMENT_BYTES)
  segment.writeUInt16BE(0xffe1, 0)
  segment.writeUInt16BE(EXIF_SEGMENT_BYTES - 2, 2)
  segment.write('Exif\0\0MM\0*', 4, 'latin1')
  // The directory starts 8 bytes behind the byte order mark and has one entry: tag, type, count, value.
  segment.writeUInt32BE(8, 14)
  segment.writeUInt16BE(1, 18)
  segment.writeUInt16BE(ORIENTATION_TAG, 20)
  segment.writeUInt16BE(TYPE_SHORT, 22)
  segment.writeUInt32BE(1, 24)
  segment.writeUInt16BE(orientation, 28)
  return segment
}
