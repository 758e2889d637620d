//! Files as a short description of what stands in them: mostly it is zeros.
//!
//! A file is a list of pieces, each with a first byte that says what it is: 0 and a length of one byte, or 1 and a length
//! of two, then so many bytes; 2, a byte, and how often it stands there (3 bytes); 3, zeros up to the next block; any
//! other, the end.

use super::input::Input;

const BLOCK_BYTES: usize = 4096;

const SHORT: u8 = 0;
const LONG: u8 = 1;
const REPEATED: u8 = 2;
const TO_THE_BLOCK: u8 = 3;

/// Lays out a file of at most `bytes_max`.
pub(super) fn lay_out(input: &mut Input<'_>, bytes_max: usize) -> Vec<u8> {
    let mut file = Vec::new();
    while !input.is_empty() && file.len() < bytes_max {
        let room = bytes_max - file.len();
        match input.u8() {
            SHORT => {
                let length = usize::from(input.u8());
                file.extend_from_slice(input.bytes(length.min(room)));
            }
            LONG => {
                let length = usize::from(input.u16());
                file.extend_from_slice(input.bytes(length.min(room)));
            }
            REPEATED => {
                let (byte, low, high) = (input.u8(), input.u16(), input.u8());
                let count = usize::from(high) << 16 | usize::from(low);
                file.resize(file.len() + count.min(room), byte);
            }
            TO_THE_BLOCK => file.resize(file.len().next_multiple_of(BLOCK_BYTES).min(bytes_max), 0),
            _ => break,
        }
    }
    file
}

/// Describes a file so that [`lay_out`] makes it again.
#[cfg(test)]
pub(super) fn describe(file: &[u8], out: &mut Vec<u8>) {
    const END: u8 = 255;
    let mut rest = file;
    while !rest.is_empty() {
        let (block, behind) = rest.split_at(rest.len().min(BLOCK_BYTES));
        let repeated = rest.iter().take_while(|&byte| *byte == rest[0]).count();
        if repeated >= BLOCK_BYTES {
            let count = (repeated / BLOCK_BYTES * BLOCK_BYTES).min(0xFF_F000);
            out.extend_from_slice(&[REPEATED, rest[0]]);
            out.extend_from_slice(&(count as u32).to_le_bytes()[..3]);
            rest = &rest[count..];
            continue;
        }
        let used = block.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let ends_here = behind.is_empty() && block.len() < BLOCK_BYTES;
        let used = if ends_here { block.len() } else { used };
        out.push(LONG);
        out.extend_from_slice(&(used as u16).to_le_bytes());
        out.extend_from_slice(&block[..used]);
        if used < block.len() {
            out.push(TO_THE_BLOCK);
        }
        rest = behind;
    }
    out.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_laid_out_as_it_was_described() {
        for file in
            [vec![], vec![7; 3], vec![0; 9000], [vec![1; 4096], vec![0; 70_000], vec![2; 40]].concat()]
        {
            let mut described = Vec::new();
            describe(&file, &mut described);
            assert_eq!(lay_out(&mut Input::new(&described), 1 << 20), file);
            assert!(described.len() < 4200, "{} bytes", described.len());
        }
    }
}
