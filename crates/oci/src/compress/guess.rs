//! A look at a block before it is compressed: what is packed or encrypted already is not worth the time.

/// Blocks below this size are compressed in any case.
const LEAST: usize = 16 << 10;

/// How far deflate looks back.
const WINDOW: usize = 32 << 10;

/// Tells whether deflate would leave a block as large as it is: all bytes are about as frequent, and hardly anything is
/// there twice. Whole numbers only, so that it is the same everywhere: digests depend on it.
pub(super) fn is_incompressible(block: &[u8]) -> bool {
    block.len() >= LEAST && is_even(block) && !repeats(block)
}

/// Tells whether codes of different lengths would save less than about half a per cent.
fn is_even(block: &[u8]) -> bool {
    // Four counters for each byte: runs of one byte would wait for themselves otherwise.
    let mut counts = [[0_u32; 256]; 4];
    let quads = block.chunks_exact(4);
    for byte in quads.remainder() {
        counts[0][usize::from(*byte)] += 1;
    }
    for quad in quads {
        for (counts, byte) in counts.iter_mut().zip(quad) {
            counts[usize::from(*byte)] += 1;
        }
    }
    let count = |byte: usize| u64::from(counts.iter().map(|counts| counts[byte]).sum::<u32>());
    let squares: u64 = (0..256).map(|byte| count(byte) * count(byte)).sum();
    let size = block.len() as u64;
    // Bytes that are all as frequent make size² / 256.
    squares * 256 / size < size + size * 3 / 100
}

/// Tells whether more than one in fifty places has its next eight bytes within the window before it. Only places that a hash
/// of those bytes chooses are looked at, so that a copy is looked at where its original was.
fn repeats(block: &[u8]) -> bool {
    const SLOTS: usize = 1 << 12;
    let mut last = vec![0_u32; SLOTS];
    let (mut looked, mut found) = (0_u32, 0_u32);
    for (at, bytes) in block.array_windows::<8>().enumerate() {
        let hash = u64::from_le_bytes(*bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if hash >> 60 != 0 {
            continue;
        }
        looked += 1;
        let slot = (hash >> 40) as usize % SLOTS;
        // One more than the place, so that zero is none.
        let before = std::mem::replace(&mut last[slot], at as u32 + 1) as usize;
        if before > 0 && at + 1 - before <= WINDOW && block[before - 1..][..8] == *bytes {
            found += 1;
        }
    }
    found > looked / 50
}

#[cfg(test)]
mod tests {
    use super::super::tests::{noise, text};
    use super::*;

    #[test]
    fn noise_is_left_alone_and_nothing_else() {
        let noisy = noise(256 << 10, 7);
        assert!(is_incompressible(&noisy));
        assert!(is_incompressible(&noisy[..100_001]));
        assert!(!is_incompressible(&noisy[..1000]), "too little to tell");
        assert!(!is_incompressible(&text(256 << 10)));
        assert!(!is_incompressible(&vec![0; 256 << 10]));
        // Base64: even, but of 64 bytes only.
        let digits: Vec<u8> = noisy.iter().map(|byte| b'0' + byte % 64).collect();
        assert!(!is_incompressible(&digits));
        // Every byte as often, in order.
        let stairs: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(1 << 10);
        assert!(!is_incompressible(&stairs));
    }

    #[test]
    fn noise_that_is_there_twice_is_compressed() {
        let once = noise(20_000, 9);
        assert!(!is_incompressible(&once.repeat(12)));
        // Too far away for deflate.
        assert!(is_incompressible(&noise(50_000, 9).repeat(5)));
    }
}
