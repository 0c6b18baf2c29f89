//! Reading a file of an export. Whatever changed in it since it was written is found by the time its end is reached.

use std::io::{self, BufRead, Read as _};

use aws_lc_rs::digest::Context;

use super::lines::{Content, FORMAT_VERSION, Header};
use super::order::Order;
use super::parsing::BadLine;
use super::spelling::Checksum;
use super::wire::{self, End, Line};

/// Longest line. The longest that is written, an organization with 64 labels in every map, has some 30 kilobytes.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// Why a file is not a whole export. Never quotes its content.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Written in a version of the format that this one does not know.
    #[error(
        "is written in version {0} of the format, and this program reads version {FORMAT_VERSION}: use a newer program"
    )]
    Version(u32),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// The member and what is wrong with it.
        problem: String,
    },
    /// The last line is missing.
    #[error("ends after line {0} without its last line: it was cut off, or the export did not finish")]
    CutOff(u64),
    /// Lines are missing, or were added.
    #[error("has {found} lines before its last one and should have {expected}")]
    Lines {
        /// How many there are.
        found: u64,
        /// How many its last line says.
        expected: u64,
    },
    /// Something changed.
    #[error("does not have the checksum in its last line: it changed since it was written")]
    Checksum,
    /// It is not the file any more that was verified.
    #[error("changed while it was read")]
    Changed,
}

/// A file that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What its first line says.
    pub header: Header,
    /// Lines, the first and the last included.
    pub lines: u64,
    /// Checksum of all lines but the first and the last.
    pub content: Checksum,
}

/// Whether the first line of a file says that it is an export.
#[must_use]
pub fn is_export(first_line: &[u8]) -> bool {
    wire::is_header(first_line.trim_ascii_end())
}

/// Reads a file to its end.
///
/// # Errors
/// [`FileError`], naming the first line that is not what it should be.
pub fn verify(input: impl BufRead) -> Result<Verified, FileError> {
    let mut reader = ExportReader::new(input);
    while reader.next_content()?.is_some() {}
    reader.verified()
}

/// Reads line by line.
pub(super) struct ExportReader<R> {
    input: R,
    order: Order,
    /// Number of the line in `line`, from 1.
    number: u64,
    line: Vec<u8>,
    whole: Context,
    content: Context,
    header: Option<Header>,
    ended: bool,
}

impl<R: BufRead> ExportReader<R> {
    pub(super) fn new(input: R) -> Self {
        let (whole, content) = (Checksum::context(), Checksum::context());
        let order = Order::default();
        Self { input, order, number: 0, line: Vec::new(), whole, content, header: None, ended: false }
    }

    /// The next line of content; `None` once the last line was found to be right. What was answered before it may
    /// still turn out to be part of a damaged file.
    pub(super) fn next_content(&mut self) -> Result<Option<Content>, FileError> {
        while !self.ended {
            self.read_line()?;
            let (line, order) = (self.line.trim_ascii_end(), &mut self.order);
            match wire::read(line).map_err(|bad| refused(self.number, bad))? {
                Line::Header(header) => {
                    order.header().map_err(|problem| at(self.number, problem))?;
                    self.whole.update(&self.line);
                    self.header = Some(header);
                }
                Line::Content(content) => {
                    order.content(&content).map_err(|problem| at(self.number, problem))?;
                    self.whole.update(&self.line);
                    self.content.update(&self.line);
                    return Ok(Some(content));
                }
                Line::End(end) => {
                    order.end().map_err(|problem| at(self.number, problem))?;
                    self.check_end(&end)?;
                    self.ended = true;
                }
            }
        }
        Ok(None)
    }

    /// What the file is, once its end was reached.
    pub(super) fn verified(self) -> Result<Verified, FileError> {
        match self.header {
            Some(header) if self.ended => {
                Ok(Verified { header, lines: self.number, content: Checksum::of(self.content) })
            }
            _ => Err(FileError::CutOff(self.number)),
        }
    }

    fn read_line(&mut self) -> Result<(), FileError> {
        self.line.clear();
        let read = self.input.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Err(FileError::CutOff(self.number));
        }
        self.number += 1;
        if read as u64 > MAX_LINE_BYTES {
            return Err(at(self.number, "is too long"));
        }
        // Only a file that was cut off ends in the middle of a line.
        if !self.line.ends_with(b"\n") {
            return Err(FileError::CutOff(self.number - 1));
        }
        Ok(())
    }

    fn check_end(&mut self, end: &End) -> Result<(), FileError> {
        let found = self.number - 1;
        if end.lines != found {
            return Err(FileError::Lines { found, expected: end.lines });
        }
        let mut expected = Vec::with_capacity(self.line.len());
        let right = End::new(found, Checksum::of(self.whole.clone()).to_string());
        wire::write_end(&mut expected, &right).map_err(io::Error::from)?;
        // Byte by byte: the last line is the one that no checksum covers.
        if expected != self.line {
            return Err(FileError::Checksum);
        }
        if !self.input.fill_buf()?.is_empty() {
            return Err(at(self.number + 1, "follows the last line"));
        }
        Ok(())
    }
}

fn at(line: u64, problem: &str) -> FileError {
    FileError::Line { line, problem: problem.to_owned() }
}

fn refused(line: u64, bad: BadLine) -> FileError {
    match bad {
        BadLine::Version(version) => FileError::Version(version),
        BadLine::Member(None, problem) => at(line, problem),
        BadLine::Member(Some(field), problem) => at(line, &format!("{field} {problem}")),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "round_trip_tests.rs"]
mod round_trip_tests;
