//! The 512-byte ustar block.

/// The size of a block.
pub(super) const BLOCK: usize = 512;

pub(super) type Block = [u8; BLOCK];

/// A field's place in the block.
pub(super) type Field = std::ops::Range<usize>;

pub(super) const NAME: Field = 0..100;
pub(super) const MODE: Field = 100..108;
pub(super) const UID: Field = 108..116;
pub(super) const GID: Field = 116..124;
pub(super) const SIZE: Field = 124..136;
pub(super) const MTIME: Field = 136..148;
pub(super) const CHECKSUM: Field = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Field = 157..257;
pub(super) const MAGIC: Field = 257..265;
pub(super) const MAJOR: Field = 329..337;
pub(super) const MINOR: Field = 337..345;
pub(super) const PREFIX: Field = 345..500;

/// POSIX: `ustar`, NUL, version 00.
pub(super) const POSIX: &[u8; 8] = b"ustar\x0000";
/// GNU's own, where the prefix field holds other things.
pub(super) const GNU: &[u8; 8] = b"ustar  \0";

/// Returns the largest value that a numeric field holds in octal digits and a final NUL.
pub(super) fn octal_limit(field: &Field) -> u64 {
    (1 << (3 * (field.len() - 1))) - 1
}

/// Writes an octal number with leading zeros and a final NUL; what does not fit stands in a PAX record, and 0 here.
pub(super) fn put_octal(block: &mut Block, field: Field, value: u64) {
    let value = if value > octal_limit(&field) { 0 } else { value };
    let digits = field.len() - 1;
    for (at, byte) in block[field].iter_mut().take(digits).enumerate() {
        *byte = b'0' + (value >> (3 * (digits - 1 - at)) & 7) as u8;
    }
}

/// Copies text into a field; the caller made sure that it fits.
pub(super) fn put_text(block: &mut Block, field: Field, text: &[u8]) {
    let length = text.len().min(field.len());
    block[field.start..field.start + length].copy_from_slice(&text[..length]);
}

/// Fills in the checksum: the sum of all bytes with its own field as spaces, six digits, NUL, space.
pub(super) fn seal(block: &mut Block) {
    let sum = checksum(block).0;
    for (at, byte) in block[CHECKSUM].iter_mut().take(6).enumerate() {
        *byte = b'0' + (sum >> (3 * (5 - at)) & 7) as u8;
    }
    block[CHECKSUM.start + 6] = 0;
    block[CHECKSUM.start + 7] = b' ';
}

/// Returns the sum of a block's bytes as unsigned and as signed numbers: old writers used either.
pub(super) fn checksum(block: &Block) -> (u64, i64) {
    let mut sums = (0, 0);
    for (at, byte) in block.iter().enumerate() {
        let byte = if CHECKSUM.contains(&at) { b' ' } else { *byte };
        sums.0 += u64::from(byte);
        sums.1 += i64::from(byte.cast_signed());
    }
    sums
}

/// Returns a text field up to its first NUL.
pub(super) fn text(block: &Block, field: Field) -> &[u8] {
    let bytes = &block[field];
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// Reads a number: octal digits with spaces and NULs around, or GNU's big-endian binary with the top bit set.
pub(super) fn number(block: &Block, field: Field) -> Option<i64> {
    let bytes = &block[field];
    if bytes[0] & 0x80 != 0 {
        return binary(bytes);
    }
    let text = bytes.trim_ascii_start();
    let end = text.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !rest.iter().all(|b| matches!(b, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Reads two's complement with the top bit as a flag and the next one as the sign.
fn binary(bytes: &[u8]) -> Option<i64> {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative { bytes[0] | 0x80 } else { bytes[0] & 0x7f };
    let mut value = i128::from(if negative { -1 } else { 0 }) << 8 | i128::from(first);
    if negative {
        value = -1_i128 << 8 | i128::from(first);
    }
    for byte in &bytes[1..] {
        value = value << 8 | i128::from(*byte);
    }
    i64::try_from(value).ok()
}
