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
    const REPEATED_MIN: usize = 16;
    let mut at = 0;
    while at < file.len() {
        let rest = &file[at..];
        let repeated = rest.iter().take_while(|&byte| *byte == rest[0]).count().min(0xFF_F000);
        let to_the_block = BLOCK_BYTES - at % BLOCK_BYTES;
        at += if rest[0] == 0 && to_the_block < BLOCK_BYTES && repeated >= to_the_block {
            out.push(TO_THE_BLOCK);
            to_the_block
        } else if repeated >= REPEATED_MIN {
            out.extend_from_slice(&[REPEATED, rest[0]]);
            out.extend_from_slice(&(repeated as u32).to_le_bytes()[..3]);
            repeated
        } else {
            let starts =
                rest.windows(REPEATED_MIN).position(|bytes| bytes.iter().all(|byte| *byte == bytes[0]));
            let length = starts.unwrap_or(rest.len()).min(usize::from(u16::MAX));
            out.push(LONG);
            out.extend_from_slice(&(length as u16).to_le_bytes());
            out.extend_from_slice(&rest[..length]);
            length
        };
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
            assert!(described.len() < 40, "{} bytes", described.len());
        }
    }
}
