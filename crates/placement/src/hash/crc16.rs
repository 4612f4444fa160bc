//! CRC-16/XMODEM (polynomial 0x1021, start 0) in a register of 32 bits that is never masked: the low 16
//! bits are the true CRC, and what was shifted into the high 16 bits is part of twemproxy's result.

pub(super) fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |crc: u32, &byte| {
        let row = ((crc >> 8) ^ u32::from(byte)) & 0xff;
        (crc << 8) ^ u32::from(TABLE[row as usize])
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut row = 0;
    while row < table.len() {
        let mut crc = (row as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[row] = crc;
        row += 1;
    }
    table
};
