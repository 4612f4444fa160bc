//! Bob Jenkins' lookup3 (`hashlittle`) with the initial value 13.

pub(super) fn hash(key: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(key.len() as u32).wrapping_add(13);
    let mut abc = [start; 3];
    let mut rest = key;
    // The last block, even when full, gets the final mixing instead of the ordinary one.
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        add(&mut abc, block);
        mix(&mut abc);
        rest = after;
    }
    if !rest.is_empty() {
        add(&mut abc, rest);
        finish(&mut abc);
    }
    abc[2]
}

/// Adds up to 12 bytes as three little-endian words, absent bytes being 0.
fn add(abc: &mut [u32; 3], block: &[u8]) {
    for (word, bytes) in abc.iter_mut().zip(block.chunks(4)) {
        let mut full = [0; 4];
        full[..bytes.len()].copy_from_slice(bytes);
        *word = word.wrapping_add(u32::from_le_bytes(full));
    }
}

fn mix(abc: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *abc;
    for (first, second, third) in [(4, 6, 8), (16, 19, 4)] {
        a = a.wrapping_sub(c) ^ c.rotate_left(first);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(second);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(third);
        b = b.wrapping_add(a);
    }
    *abc = [a, b, c];
}

fn finish(abc: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *abc;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    *abc = [a, b, c];
}
